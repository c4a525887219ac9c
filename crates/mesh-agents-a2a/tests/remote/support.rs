//! Runs against a scripted remote, and what they gave.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use mesh_agents_a2a::remote::{RemoteRunner, RemoteTimeouts};
use mesh_agents_core::agent::RuntimeKind;
use mesh_agents_core::agent::testing::definition;
use mesh_agents_core::ids::{ContextId, RunId, TaskId};
use mesh_agents_core::json::JsonText;
use mesh_agents_core::layout::Layout;
use mesh_agents_core::run::{
    Answer, ArtifactSource, Before, MeshEndpoints, Outcome, Resume, Run, RunEvent, RunSpec, Runner,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use ulid::Ulid;

use crate::server::Beat;

/// The variable with the token.
pub(crate) const TOKEN_VARIABLE: &str = "REVIEW_TOKEN";

/// A run to be made.
pub(crate) struct Plan {
    url: String,
    binding: &'static str,
    streaming: bool,
    bearer_env: Option<&'static str>,
    resume: Option<Resume>,
    before: Before,
    require: Vec<&'static str>,
    timeouts: RemoteTimeouts,
    dir: TempDir,
}

/// Timeouts a test can wait for; what must not happen in a test takes as long as for a user.
fn timeouts() -> RemoteTimeouts {
    RemoteTimeouts {
        opening: Duration::from_millis(200),
        retry_first: Duration::from_millis(5),
        retry_most: Duration::from_millis(50),
        poll_most: Duration::from_millis(20),
        cancel: Duration::from_secs(60),
        ..RemoteTimeouts::default()
    }
}

impl Plan {
    pub(crate) fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            binding: "JSONRPC",
            streaming: true,
            bearer_env: None,
            resume: None,
            before: Before::default(),
            require: Vec::new(),
            timeouts: timeouts(),
            dir: TempDir::new().unwrap(),
        }
    }

    pub(crate) fn over_rest(mut self) -> Self {
        self.url = format!("{}/rest", self.url);
        self.binding = "HTTP+JSON";
        self
    }

    pub(crate) fn polling(mut self) -> Self {
        self.streaming = false;
        self
    }

    pub(crate) fn with_token(mut self, variable: &'static str) -> Self {
        self.bearer_env = Some(variable);
        self
    }

    pub(crate) fn requiring(mut self, id: &'static str) -> Self {
        self.require = vec![id];
        self
    }

    pub(crate) fn resuming(mut self, resume: Resume) -> Self {
        self.resume = Some(resume);
        self
    }

    /// What the run that is resumed had said, and the answer it waited for.
    pub(crate) fn after(mut self, said: &str, answer: Option<Answer>) -> Self {
        let said = said.to_owned();
        self.before = Before {
            said,
            answer,
            ..Before::default()
        };
        self
    }

    pub(crate) fn timing(mut self, change: impl FnOnce(&mut RemoteTimeouts)) -> Self {
        change(&mut self.timeouts);
        self
    }

    /// The id of the task.
    pub(crate) fn task() -> TaskId {
        TaskId::from_ulid(Ulid::from_parts(7, 7))
    }

    fn spec(&self) -> RunSpec {
        let mut agent = definition("far");
        agent.runtime.kind = RuntimeKind::Remote;
        agent.bearer_env = self.bearer_env.map(str::to_owned);
        agent.require = self.require.iter().map(|id| id.parse().unwrap()).collect();
        let card = json!({
            "name": "Far", "description": "Elsewhere.", "version": "1.0.0",
            "supportedInterfaces": [
                {"url": "grpc.example:443", "protocolBinding": "GRPC", "protocolVersion": "1.0"},
                {"url": self.url, "protocolBinding": self.binding, "protocolVersion": "1.0"}],
            "capabilities": {"streaming": self.streaming},
            "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/plain"],
            "skills": []
        });
        agent.card.json = JsonText::of(&card).unwrap();
        let task_id = Self::task();
        RunSpec {
            run_id: RunId::from_ulid(Ulid::from_parts(8, 8)),
            context_id: ContextId::from_ulid(Ulid::from_parts(9, 9)),
            attempt: 1,
            prompt: "Review it.".to_owned(),
            resume: self.resume.clone(),
            before: self.before.clone(),
            patience: None,
            skill: None,
            dirs: Layout::new(self.dir.path()).run(&agent.id, &task_id),
            home: self.dir.path().join("home"),
            mesh: MeshEndpoints::default(),
            tools: None,
            task_id,
            agent: Arc::new(agent),
        }
    }

    /// Starts it.
    pub(crate) fn start(self) -> Running {
        let lookup = |name: &str| (name == TOKEN_VARIABLE).then(|| "s3cret".to_owned());
        let runner = RemoteRunner::new(Arc::new(lookup), self.timeouts, None);
        Running {
            run: runner.start(self.spec()),
            seen: Vec::new(),
            _dir: self.dir,
        }
    }

    /// Makes it, to its end.
    pub(crate) async fn finish(self) -> Seen {
        self.start().finish().await
    }
}

/// A run under way.
pub(crate) struct Running {
    pub(crate) run: Run,
    seen: Vec<RunEvent>,
    _dir: TempDir,
}

impl Running {
    /// Follows it until an event is as wanted.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&RunEvent) -> bool) -> RunEvent {
        loop {
            let event = self.run.events.next().await.expect("the run ended early");
            self.seen.push(event.clone());
            if wanted(&event) {
                return event;
            }
        }
    }

    pub(crate) async fn finish(mut self) -> Seen {
        while let Some(event) = self.run.events.next().await {
            self.seen.push(event);
        }
        Seen {
            events: self.seen,
            _dir: self._dir,
        }
    }
}

/// Has the run's clock show so much more, whatever the machine does meanwhile.
pub(crate) async fn jump(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

/// All events of a run, and the files of its artifacts.
pub(crate) struct Seen {
    pub(crate) events: Vec<RunEvent>,
    _dir: TempDir,
}

impl Seen {
    pub(crate) fn outcome(&self) -> &Outcome {
        match self.events.last() {
            Some(RunEvent::Ended(outcome)) => outcome,
            other => panic!("the last event is {other:?}"),
        }
    }

    /// The code and message of the failure it ended with.
    pub(crate) fn failure(&self) -> (&str, &str) {
        match self.outcome() {
            Outcome::Failed(failure) => (&failure.code, &failure.message),
            other => panic!("{other:?}"),
        }
    }

    /// The streamed text.
    pub(crate) fn text(&self) -> String {
        let texts = self.events.iter().filter_map(|event| match event {
            RunEvent::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    /// The codes of the notes.
    pub(crate) fn notes(&self) -> Vec<&str> {
        let codes = self.events.iter().filter_map(|event| match event {
            RunEvent::Note { code, .. } => Some(code.as_str()),
            _ => None,
        });
        codes.collect()
    }

    /// Artifacts as `id media-type content`, unfinished ones with a `?`.
    pub(crate) fn artifacts(&self) -> Vec<String> {
        let shown = |event: &RunEvent| match event {
            RunEvent::Artifact {
                id,
                media_type,
                source,
                complete,
            } => {
                let content = match source {
                    ArtifactSource::Text(text) => text.clone(),
                    ArtifactSource::File(path) => format!("{:?}", std::fs::read(path).unwrap()),
                    ArtifactSource::Elsewhere { name, .. } => format!("at its node: {name}"),
                };
                let open = if *complete { "" } else { " ?" };
                Some(format!("{id} {media_type} {content}{open}"))
            }
            _ => None,
        };
        self.events.iter().filter_map(shown).collect()
    }

    /// How often the remote's task was named, and as what.
    pub(crate) fn sessions(&self) -> Vec<&str> {
        let ids = self.events.iter().filter_map(|event| match event {
            RunEvent::Started { session_id, .. } => Some(session_id.as_str()),
            _ => None,
        });
        ids.collect()
    }
}

/// The task `t1` of the remote.
pub(crate) fn task(state: &str) -> Value {
    json!({"id": "t1", "contextId": "c1", "status": {"state": format!("TASK_STATE_{state}")}})
}

/// The same with artifacts.
pub(crate) fn task_with(state: &str, artifacts: Value) -> Value {
    let mut task = task(state);
    task["artifacts"] = artifacts;
    task
}

/// A stream's event of the whole task.
pub(crate) fn whole(task: Value) -> Beat {
    Beat::Event(Value::from_iter([("task", task)]))
}

/// A new state.
pub(crate) fn state(state: &str) -> Beat {
    let status = json!({"state": format!("TASK_STATE_{state}")});
    Beat::Event(json!({"statusUpdate": {"taskId": "t1", "contextId": "c1", "status": status}}))
}

/// A new state with words.
pub(crate) fn saying(state: &str, words: &str) -> Beat {
    let message = json!({"messageId": "m", "role": "ROLE_AGENT", "parts": [{"text": words}]});
    let status = json!({"state": format!("TASK_STATE_{state}"), "message": message});
    Beat::Event(json!({"statusUpdate": {"taskId": "t1", "contextId": "c1", "status": status}}))
}

/// An artifact of one part, or more of one.
pub(crate) fn part(id: &str, part: Value, append: bool) -> Beat {
    let mut artifact = json!({"artifactId": id});
    artifact["parts"] = Value::Array(vec![part]);
    Beat::Event(json!({"artifactUpdate": {
        "taskId": "t1", "contextId": "c1", "artifact": artifact, "append": append}}))
}
