//! A task engine whose runs do what their message says, the tools over it, and strict eyes.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::ids::{QuestionId, RunId};
use mesh_agents_core::layout::Layout;
use mesh_agents_core::limits::RESULT_BYTES;
use mesh_agents_core::run::{
    Answer, ArtifactSource, MeshEndpoints, Outcome, ProcessRef, QuestionKind, QuestionOption, Run,
    RunControl, RunEvent, RunSpec, Runner,
};
use mesh_agents_tasks::{Agents, EngineConfig};
use serde_json::{Value, json};

use super::super::*;
use crate::backend::Surface;
use crate::tool::table;

#[derive(Debug)]
struct Noon;
impl Clock for Noon {
    fn now(&self) -> UnixMillis {
        UnixMillis(1_700_000_000_000)
    }
}

/// Runs what the message says: each line `NAME CHAR COUNT` is an artifact, `hang` never ends, `answer
/// COUNT` makes the answer that long, `ask` asks for a permission and ends with what it was told.
#[derive(Debug)]
struct Lines;

struct Told(futures::channel::mpsc::UnboundedSender<RunEvent>);
impl RunControl for Told {
    fn answer(&self, _: &QuestionId, answer: Answer) {
        let answer = format!("told {answer:?}");
        let ended = RunEvent::Ended(Outcome::Completed { answer });
        self.0.unbounded_send(ended).unwrap();
    }
    fn cancel(&self) {}
}

fn permission() -> RunEvent {
    let option = |id: &str, name: &str, kind: &str| QuestionOption {
        id: id.into(),
        name: name.into(),
        kind: kind.into(),
    };
    RunEvent::Question {
        id: QuestionId::from_ulid(ulid::Ulid::new()),
        kind: QuestionKind::Permission,
        text: "Run rm -rf build?".into(),
        options: vec![
            option("p1", "Allow once", "allow_once"),
            option("p2", "Reject", "reject_once"),
        ],
    }
}

impl Runner for Lines {
    fn start(&self, spec: RunSpec) -> Run {
        let mut events = Vec::new();
        let mut answer = "Done".to_owned();
        let mut hang = false;
        for line in spec.prompt.lines() {
            match line.split(' ').collect::<Vec<_>>()[..] {
                ["hang"] => hang = true,
                ["ask"] => {
                    events.push(permission());
                    hang = true;
                }
                ["answer", count] => answer = "ä".repeat(count.parse().unwrap()),
                [name, char, count] => {
                    events.push(artifact(name, &char.repeat(count.parse().unwrap())));
                }
                ["json", text] => events.push(artifact("findings.json", text)),
                ["bytes"] => events.push(binary(&spec)),
                _ => {}
            }
        }
        events.push(RunEvent::Text(answer.clone()));
        let ended = (!hang).then_some(RunEvent::Ended(Outcome::Completed { answer }));
        let first = futures::stream::iter(events.into_iter().chain(ended));
        let (tell, told) = futures::channel::mpsc::unbounded();
        Run {
            events: first.chain(told).boxed(),
            control: Arc::new(Told(tell)),
        }
    }

    fn alive(&self, _: &ProcessRef) -> bool {
        false
    }

    fn reap(&self, _run: &RunId, _guard: Option<&ProcessRef>) -> u32 {
        0
    }

    fn unavailable(&self, agent: &AgentDefinition) -> Option<String> {
        (agent.id.as_str() == "broken").then(|| "opencode is not on PATH".to_owned())
    }
}

fn artifact(name: &str, content: &str) -> RunEvent {
    let json = name.ends_with(".json");
    RunEvent::Artifact {
        id: name.parse().unwrap(),
        media_type: if json {
            "application/json"
        } else {
            "text/markdown"
        }
        .into(),
        source: ArtifactSource::Text(content.to_owned()),
        complete: true,
    }
}

fn binary(spec: &RunSpec) -> RunEvent {
    let path = spec.dirs.root.with_extension("bin");
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(&path, [0xff, 0xfe, 0x00]).unwrap();
    RunEvent::Artifact {
        id: "shot.png".parse().unwrap(),
        media_type: "image/png".into(),
        source: ArtifactSource::File(path),
        complete: true,
    }
}

pub(super) struct Bench {
    tools: EngineTools,
    _dir: tempfile::TempDir,
}

impl Bench {
    pub(super) async fn open(agents: impl IntoIterator<Item = AgentDefinition>) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ready: BTreeMap<_, _> = agents
            .into_iter()
            .map(|one| (one.id.clone(), Arc::new(one)))
            .collect();
        let engine = TaskEngine::open(EngineConfig {
            layout: Layout::new(dir.path()),
            clock: Arc::new(Noon),
            runner: Arc::new(Lines),
            agents: Agents {
                ready: Arc::new(ready),
                broken: Arc::default(),
            },
            mesh: MeshEndpoints::default(),
            tools_url: None,
        });
        let problem = |n: usize| ProblemLine {
            file: format!("/agents/x{n}/runtime.toml"),
            line: Some(3),
            key: Some("runtime.typ".into()),
            reason: "unknown key. ".repeat(60),
            fix: Some("Did you mean type?".into()),
        };
        let tools = EngineTools {
            engine: engine.await.unwrap(),
            problems: Arc::new(move || (0..40).map(problem).collect()),
            place: mesh_agents_a2a::card::Place {
                base: "http://127.0.0.1:3131".to_owned(),
                tokens: mesh_agents_a2a::card::AccessTokens::None,
                seal: None,
            },
            clock: Arc::new(Noon),
            mesh: None,
        };
        Self { tools, _dir: dir }
    }

    /// Calls a tool and holds its result against the table: its size and its shape.
    pub(super) async fn ask(
        &self,
        meta: CallMeta,
        tool: &str,
        args: Value,
    ) -> Result<Value, Refusal> {
        let args = JsonText::of(&args).unwrap();
        let result = self.tools.call(meta, tool, args).await?;
        let bytes = result.as_str().len();
        assert!(bytes <= RESULT_BYTES, "{tool}: {bytes} bytes");
        let result: Value = result.read().unwrap();
        let shown = table(std::time::Duration::ZERO);
        let schema = shown.iter().find(|one| one.name.as_str() == tool).unwrap();
        matches(&Value::Object(schema.output.clone()), &result, tool);
        Ok(result)
    }

    pub(super) async fn call(&self, tool: &str, args: Value) -> Result<Value, Refusal> {
        self.ask(CallMeta::local(Surface::Http), tool, args).await
    }

    /// Sends a message and waits for the end of its task; returns the result and the task's id.
    pub(super) async fn done(&self, message: &str) -> (Value, String) {
        let args = json!({"agent_id": "a", "message": message, "wait_seconds": 60});
        let sent = self.call("send_message", args).await.unwrap();
        assert_eq!(sent["state"], "completed", "{sent}");
        let id = sent["task_id"].as_str().unwrap().to_owned();
        (sent, id)
    }

    pub(super) async fn refused(&self, tool: &str, args: Value) -> String {
        self.call(tool, args).await.unwrap_err().to_string()
    }
}

/// What a strict client checks: types, required members, and that no member is a surprise.
fn matches(schema: &Value, value: &Value, at: &str) {
    let is = match value {
        Value::Object(_) => "object",
        Value::Array(_) => "array",
        Value::String(_) => "string",
        Value::Bool(_) => "boolean",
        Value::Number(_) => "integer",
        Value::Null => "null",
    };
    assert!(
        schema["type"].is_null() || schema["type"] == is,
        "{at} is {is}"
    );
    if let (Some(properties), Some(members)) = (schema["properties"].as_object(), value.as_object())
    {
        for (name, member) in members {
            let property = properties
                .get(name)
                .unwrap_or_else(|| panic!("{at}/{name}"));
            matches(property, member, &format!("{at}/{name}"));
        }
        for name in schema["required"].as_array().into_iter().flatten() {
            assert!(
                members.contains_key(name.as_str().unwrap()),
                "{at} has no {name}"
            );
        }
    }
    for element in value.as_array().into_iter().flatten() {
        matches(&schema["items"], element, at);
    }
}
