//! A place for runs: its own data directory, HOME and temporary directory, all gone with the test.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use mesh_agents_acp_bridge::{AcpBridge, BridgeConfig};
use mesh_agents_core::agent::{AgentDefinition, testing};
use mesh_agents_core::ids::{ContextId, RunId, TaskId};
use mesh_agents_core::layout::Layout;
use mesh_agents_core::run::{
    Answer, Before, MeshEndpoints, Outcome, QuestionKind, QuestionOption, Run, RunEvent, RunSpec,
    Runner as _,
};
use mesh_agents_core::task::Failure;
use tempfile::TempDir;
use ulid::Ulid;

/// The longest anything here may take before the test fails: far more than it needs on a busy machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// A place for runs.
pub(crate) struct World {
    root: TempDir,
    pub(crate) config: BridgeConfig,
}

impl World {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(&path).unwrap();
            path
        };
        let environment = BTreeMap::from([
            ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
            ("HOME".to_owned(), at("owner").to_str().unwrap().to_owned()),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
            ("LC_TIME".to_owned(), "C".to_owned()),
            ("SECRET_OF_OURS".to_owned(), "do not pass on".to_owned()),
            ("GH_TOKEN".to_owned(), "passed when named".to_owned()),
        ]);
        let stage = PathBuf::from(env!("CARGO_BIN_EXE_harness-stage"));
        let mut config = BridgeConfig::new(environment, stage, at("tmp"), at("data/a2a"));
        // What was killed needs a processor to die on, for which a busy machine makes it wait.
        config.timeouts.sweep = DEADLINE / 3;
        at("agents/tester");
        Self { root, config }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    pub(crate) fn owner_home(&self) -> PathBuf {
        self.path("owner")
    }

    pub(crate) fn tmp(&self) -> PathBuf {
        self.path("tmp")
    }

    pub(crate) fn bridge(&self) -> AcpBridge {
        AcpBridge::new(self.config.clone())
    }

    /// An agent whose harness is the scripted one.
    pub(crate) fn agent(&self) -> AgentDefinition {
        let mut agent = testing::definition("tester");
        agent.dir = self.path("agents/tester");
        let program = mesh_agents_testkit::bin("scripted-acp-agent");
        agent.runtime.command = Some(program.to_str().unwrap().to_owned());
        agent
    }

    pub(crate) fn spec(&self, agent: AgentDefinition, prompt: &str) -> RunSpec {
        let layout = Layout::new(&self.path("data"));
        let task_id = TaskId::from_ulid(Ulid::new());
        RunSpec {
            run_id: RunId::from_ulid(Ulid::new()),
            context_id: ContextId::from_ulid(Ulid::new()),
            attempt: 1,
            prompt: prompt.to_owned(),
            resume: None,
            before: Before::default(),
            patience: None,
            skill: None,
            dirs: layout.run(&agent.id, &task_id),
            home: layout.agent_home(&agent.id),
            mesh: MeshEndpoints {
                data_dir: self.path("data"),
                ..MeshEndpoints::default()
            },
            tools: None,
            task_id,
            agent: Arc::new(agent),
        }
    }

    /// Runs the prompt with the plain agent to its end.
    pub(crate) async fn run(&self, prompt: &str) -> Events {
        self.run_agent(self.agent(), prompt).await
    }

    pub(crate) async fn run_agent(&self, agent: AgentDefinition, prompt: &str) -> Events {
        self.run_spec(self.spec(agent, prompt)).await
    }

    pub(crate) async fn run_spec(&self, spec: RunSpec) -> Events {
        let bridge = self.bridge();
        let events = Events::collect(bridge.start(spec)).await;
        within(bridge.drain()).await;
        events
    }

    /// Runs to the end, each question answered with the next of `answers`.
    pub(crate) async fn run_answering(&self, spec: RunSpec, answers: &[Answer]) -> Events {
        let bridge = self.bridge();
        let mut run = bridge.start(spec);
        let mut answers = answers.iter();
        let mut events = Vec::new();
        while let Some(event) = within(run.events.next()).await {
            if let RunEvent::Question { id, .. } = &event {
                let answer = answers.next().expect("no more questions were expected");
                run.control.answer(id, answer.clone());
            }
            events.push(event);
        }
        assert_eq!(answers.next(), None, "{events:#?}");
        within(bridge.drain()).await;
        Events(events)
    }

    /// What is left in the system's temporary directory.
    pub(crate) fn left_in_tmp(&self) -> Vec<String> {
        names(&self.tmp())
    }
}

/// Makes a program of this text. A process of its own writes it: a descriptor of ours that is open for writing is
/// for a moment also one of whatever another test starts then, and what is open for writing is "busy" and not executed.
pub(crate) fn program(path: &Path, text: &str) {
    let mut writer = Command::new("/bin/sh")
        .args(["-c", "cat >\"$0\" && chmod 755 \"$0\""])
        .arg(path)
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = writer.stdin.take().unwrap();
    input.write_all(text.as_bytes()).unwrap();
    drop(input);
    assert!(writer.wait().unwrap().success(), "{}", path.display());
}

/// Sets what the scripted agent does on its own.
pub(crate) fn scripted(mut agent: AgentDefinition, script: &str) -> AgentDefinition {
    let entry = ("SCRIPTED_ACP".to_owned(), script.to_owned());
    agent.runtime.env.push(entry);
    agent
}

pub(crate) fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

/// Fails the test when `future` does not come to its end.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future)
        .await
        .expect("it did not end in time")
}

/// Waits until `condition` holds.
pub(crate) async fn until<T>(mut condition: impl FnMut() -> Option<T>) -> T {
    within(async {
        loop {
            if let Some(value) = condition() {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// All events of a run.
#[derive(Debug)]
pub(crate) struct Events(pub(crate) Vec<RunEvent>);

impl Events {
    pub(crate) async fn collect(run: Run) -> Self {
        let events = within(run.events.collect::<Vec<_>>()).await;
        assert!(
            matches!(events.last(), Some(RunEvent::Ended(_))),
            "the last event is not the end: {events:#?}"
        );
        Self(events)
    }

    pub(crate) fn outcome(&self) -> &Outcome {
        match self.0.last() {
            Some(RunEvent::Ended(outcome)) => outcome,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn answer(&self) -> &str {
        match self.outcome() {
            Outcome::Completed { answer } => answer,
            other => panic!("not completed: {other:?}\n{:#?}", self.0),
        }
    }

    pub(crate) fn failure(&self) -> &Failure {
        match self.outcome() {
            Outcome::Failed(failure) => failure,
            other => panic!("not failed: {other:?}\n{:#?}", self.0),
        }
    }

    pub(crate) fn text(&self) -> String {
        let texts = self.0.iter().filter_map(|event| match event {
            RunEvent::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    /// The questions asked, in order; each has to be gone in the end.
    pub(crate) fn questions(&self) -> Vec<(QuestionKind, &str, &[QuestionOption])> {
        let asked = self.0.iter().filter_map(|event| match event {
            RunEvent::Question {
                id,
                kind,
                text,
                options,
            } => {
                let gone = RunEvent::QuestionGone(id.clone());
                assert!(self.0.contains(&gone), "{id} is still open: {:#?}", self.0);
                Some((*kind, text.as_str(), options.as_slice()))
            }
            _ => None,
        });
        asked.collect()
    }

    /// The session's id and whether it can be resumed.
    pub(crate) fn started(&self) -> (&str, bool) {
        let started = self.0.iter().find_map(|event| match event {
            RunEvent::Started {
                session_id,
                resumable,
            } => Some((session_id.as_str(), *resumable)),
            _ => None,
        });
        started.unwrap()
    }

    pub(crate) fn note(&self, wanted: &str) -> Option<&str> {
        self.0.iter().find_map(|event| match event {
            RunEvent::Note { code, text } if code == wanted => Some(text.as_str()),
            _ => None,
        })
    }

    /// Ids of the artifacts and whether they are complete.
    pub(crate) fn artifacts(&self) -> Vec<(&str, bool)> {
        let artifacts = self.0.iter().filter_map(|event| match event {
            RunEvent::Artifact { id, complete, .. } => Some((id.as_str(), *complete)),
            _ => None,
        });
        artifacts.collect()
    }
}
