//! Another node that follows a task here, over a line that breaks: what it has heard is not told again.

use std::io;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::HeaderValue;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use futures::StreamExt as _;
use futures::future::BoxFuture;
use http_body_util::BodyExt as _;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use mesh_agents_a2a::remote::{Dial, MeshStream, RemoteRunner, RemoteTimeouts};
use mesh_agents_core::agent::RuntimeKind;
use mesh_agents_core::agent::testing::definition;
use mesh_agents_core::ids::{AgentId, ContextId, RunId, TaskId};
use mesh_agents_core::json::JsonText;
use mesh_agents_core::layout::Layout;
use mesh_agents_core::policy::{Caller, Grant, Standing};
use mesh_agents_core::run::{
    Answer, ArtifactSource, Away, Before, MeshEndpoints, Outcome, QuestionKind, Resume,
    ResumeReason, Run, RunEvent, RunSpec, Runner as _,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use ulid::Ulid;

use crate::fake::{Events, Node, rpc};

const ADA: &str = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
/// By which a node says what it has heard.
const AFTER: &str = "mesh-agents-after";

fn ada() -> Caller {
    let grant = Grant {
        agent: "a".parse().unwrap(),
        skill: None,
        advertised: true,
        standing: Standing::Allowed,
        approve: false,
    };
    Caller::key(ADA, grant)
}

/// A stream of the task as this caller gets it who says that it has heard all up to `after`.
async fn follow(node: &Node, caller: &Caller, task: &Value, after: &str) -> Events {
    let mut request = rpc("SubscribeToTask", &json!({ "id": task }));
    let value = HeaderValue::from_str(after).unwrap();
    request.headers_mut().insert(AFTER, value);
    Events::of(node.request_as(caller, request).await)
}

fn number(event: &Value) -> u64 {
    let update = event["result"].as_object().unwrap().values().next();
    let number = update.unwrap()["metadata"]["mesh_agents_seq"].as_u64();
    number.unwrap_or_else(|| panic!("no number: {event}"))
}

#[tokio::test]
async fn a_node_is_told_what_came_after_the_event_it_names_and_anybody_else_the_task() {
    let mut node = Node::start().await;
    let params = json!({ "message": crate::fake::message("m1", "x") });
    let request = rpc("SendStreamingMessage", &params);
    let mut events = Events::of(node.request_as(&ada(), request).await);
    let run = node.next_run().await;
    let task = json!(run.spec.task_id.to_string());
    run.say(RunEvent::Text("one ".into()));
    let mut heard = Vec::new();
    while heard
        .last()
        .is_none_or(|last: &Value| !last.to_string().contains("one "))
    {
        heard.push(events.next().await.unwrap());
    }
    let after = number(heard.last().unwrap());
    run.say(RunEvent::Text("two ".into()));
    let two = events.next().await.unwrap();
    let mut late = follow(&node, &ada(), &task, &after.to_string()).await;
    // A reader of all that is already told is told nothing, and then what happens.
    let mut newest = follow(&node, &ada(), &task, &number(&two).to_string()).await;
    run.complete("one two ");
    let rest: Vec<Value> = events.rest().await;
    assert_eq!(late.next().await.unwrap(), two);
    assert_eq!(late.rest().await, rest);
    assert_eq!(newest.next().await.unwrap(), rest[0]);
    assert_eq!(newest.rest().await, rest[1..]);

    let another = json!({ "message": crate::fake::message("m2", "x") });
    let request = rpc("SendStreamingMessage", &another);
    let _open = Events::of(node.request_as(&ada(), request).await);
    let run = node.next_run().await;
    let task = json!(run.spec.task_id.to_string());
    // An event it has not, what is no number, and a caller that is no node.
    for (caller, after) in [
        (ada(), "1000"),
        (ada(), "0"),
        (ada(), "-1"),
        (ada(), "two"),
        (Caller::local(), "1"),
    ] {
        let first = follow(&node, &caller, &task, after).await.next().await;
        assert!(first.unwrap()["result"]["task"].is_object(), "{after}");
    }
    run.keep();
}

/// The way to a node in this process: it can be cut, and remembers which calls named an event and what those
/// were answered.
#[derive(Clone, Default)]
struct Line {
    app: Router,
    up: Arc<Mutex<Option<CancellationToken>>>,
    behind: Arc<Mutex<Vec<(u64, String)>>>,
    carriers: TaskTracker,
}

impl Line {
    fn to(node: &Node) -> Self {
        let line = Self::default();
        line.mend();
        let app = node.app.clone();
        let app = app.layer(from_fn_with_state(line.clone(), Self::passed));
        Self { app, ..line }
    }

    fn cut(&self) {
        self.up.lock().unwrap().take().unwrap().cancel();
    }

    fn mend(&self) {
        *self.up.lock().unwrap() = Some(CancellationToken::new());
    }

    async fn passed(
        axum::extract::State(line): axum::extract::State<Self>,
        mut request: Request,
        next: Next,
    ) -> Response {
        request.extensions_mut().insert(ada());
        let after = request.headers().get(AFTER).cloned();
        let response = next.run(request).await;
        let Some(after) = after else {
            return response;
        };
        let at = {
            let mut behind = line.behind.lock().unwrap();
            behind.push((after.to_str().unwrap().parse().unwrap(), String::new()));
            behind.len() - 1
        };
        response.map(|body| {
            Body::new(body.map_frame(move |frame| {
                let data = frame.data_ref().cloned().unwrap_or_default();
                let text = std::str::from_utf8(&data).unwrap();
                line.behind.lock().unwrap()[at].1.push_str(text);
                frame
            }))
        })
    }
}

#[async_trait]
impl Dial for Line {
    async fn dial(&self, _node: &str) -> io::Result<Box<dyn MeshStream>> {
        let up = self.up.lock().unwrap().clone();
        let up = up.ok_or_else(|| io::Error::other("the line is cut"))?;
        let (here, there) = tokio::io::duplex(64 * 1024);
        let service = TowerToHyperService::new(self.app.clone());
        self.carriers.spawn(async move {
            let served = http1::Builder::new().serve_connection(TokioIo::new(there), service);
            tokio::select! {
                _ended = served => {}
                () = up.cancelled() => {}
            }
        });
        Ok(Box::new(here))
    }

    fn back(&self, _node: &str) -> BoxFuture<'static, ()> {
        Box::pin(std::future::pending())
    }

    fn away(&self, _node: &str) -> Option<Away> {
        None
    }
}

/// A run of the agent on that node.
fn run(line: &Line, dir: &std::path::Path) -> Run {
    run_over("JSONRPC", line, dir)
}

fn run_over(binding: &str, line: &Line, dir: &std::path::Path) -> Run {
    start(&runner(line), binding, dir)
}

fn runner(line: &Line) -> RemoteRunner {
    let timeouts = RemoteTimeouts {
        retry_first: std::time::Duration::from_millis(5),
        retry_most: std::time::Duration::from_millis(50),
        ..RemoteTimeouts::default()
    };
    RemoteRunner::new(Arc::new(|_| None), timeouts, Some(Arc::new(line.clone())))
}

fn start(runner: &RemoteRunner, binding: &str, dir: &std::path::Path) -> Run {
    runner.start(first(binding, dir))
}

fn first(binding: &str, dir: &std::path::Path) -> RunSpec {
    let id = AgentId::on_node(&"a".parse().unwrap(), ADA).unwrap();
    let mut agent = definition("a");
    agent.runtime.kind = RuntimeKind::Remote;
    let url = format!("mesh://{ADA}/a2a/agents/a");
    let card = json!({
        "name": "A", "description": "Elsewhere.", "version": "1.0.0",
        "supportedInterfaces": [{"url": url, "protocolBinding": binding, "protocolVersion": "1.0"}],
        "capabilities": {"streaming": true}, "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/plain"], "skills": []
    });
    agent.card.json = JsonText::of(&card).unwrap();
    agent.id = id;
    let task_id = TaskId::from_ulid(Ulid::from_parts(7, 7));
    RunSpec {
        run_id: RunId::from_ulid(Ulid::from_parts(8, 8)),
        context_id: ContextId::from_ulid(Ulid::from_parts(9, 9)),
        attempt: 1,
        prompt: "Do it.".to_owned(),
        resume: None,
        before: Before::default(),
        patience: None,
        skill: None,
        dirs: Layout::new(dir).run(&agent.id, &task_id),
        home: dir.join("home"),
        mesh: MeshEndpoints::default(),
        tools: None,
        task_id,
        agent: Arc::new(agent),
    }
}

/// What the run says up to the first event that is as wanted, that one too.
async fn until(run: &mut Run, wanted: impl Fn(&RunEvent) -> bool) -> Vec<RunEvent> {
    let mut seen = Vec::new();
    loop {
        let event = run.events.next().await.expect("the run ended early");
        seen.push(event.clone());
        if wanted(&event) {
            return seen;
        }
    }
}

#[tokio::test]
async fn after_a_cut_a_caller_asks_for_later_events_alone_and_none_is_lost_or_doubled() {
    let mut node = Node::start().await;
    let line = Line::to(&node);
    let dir = tempfile::tempdir().unwrap();
    let mut run = run(&line, dir.path());
    let there = node.next_run().await;
    there.say(RunEvent::Text("one ".into()));
    there.say(RunEvent::Artifact {
        id: "early.txt".parse().unwrap(),
        media_type: "text/plain".into(),
        source: ArtifactSource::Text("early file".into()),
        complete: true,
    });
    there.say(RunEvent::Text("two ".into()));
    let text = |wanted: &'static str| move |event: &RunEvent| matches!(event, RunEvent::Text(text) if text.contains(wanted));
    let mut seen = until(&mut run, text("two ")).await;
    for (during, after) in [("three ", "four "), ("five ", "six ")] {
        line.cut();
        there.say(RunEvent::Text(during.into()));
        let lost = |event: &RunEvent| matches!(event, RunEvent::Reach { away: Some(_) });
        seen.extend(until(&mut run, lost).await);
        line.mend();
        // That there is contact again is known before anything new is said.
        let found = |event: &RunEvent| matches!(event, RunEvent::Reach { away: None });
        seen.extend(until(&mut run, found).await);
        seen.extend(until(&mut run, text(during)).await);
        there.say(RunEvent::Text(after.into()));
        seen.extend(until(&mut run, text(after)).await);
    }
    let all = "one two three four five six ";
    there.complete(all);
    while let Some(event) = run.events.next().await {
        seen.push(event);
    }
    let said: String = seen
        .iter()
        .filter_map(|event| match event {
            RunEvent::Text(text) => Some(text.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(said, all);
    let completed = RunEvent::Ended(Outcome::Completed { answer: all.into() });
    assert_eq!(seen.last(), Some(&completed));
    let kept = seen.iter().filter(|event| {
        matches!(event, RunEvent::Artifact { id, source: ArtifactSource::Text(text), .. }
            if id.as_str() == "early.txt" && text == "early file")
    });
    assert_eq!(kept.count(), 1);

    let behind = line.behind.lock().unwrap().clone();
    assert_eq!(behind.len(), 2, "{behind:?}");
    assert!(0 < behind[0].0 && behind[0].0 < behind[1].0, "{behind:?}");
    for ((_, told), (new, old)) in behind.iter().zip([("three ", "two "), ("five ", "four ")]) {
        assert!(told.contains(new), "{told}");
        for old in [old, "early file", "\"task\":"] {
            assert!(!told.contains(old), "{old} in {told}");
        }
    }
}

#[tokio::test]
async fn the_stream_after_an_answer_goes_on_behind_what_the_caller_has_over_either_binding() {
    for binding in ["JSONRPC", "HTTP+JSON"] {
        let mut node = Node::start().await;
        let line = Line::to(&node);
        let dir = tempfile::tempdir().unwrap();
        let mut run = run_over(binding, &line, dir.path());
        let mut there = node.next_run().await;
        there.say(RunEvent::Text("one ".into()));
        there.ask(QuestionKind::Elicitation, "Which?");
        let asks = |event: &RunEvent| matches!(event, RunEvent::Question { .. });
        let mut seen = until(&mut run, asks).await;
        let Some(RunEvent::Question { id, .. }) = seen.last().cloned() else {
            panic!("{seen:?}");
        };
        run.control.answer(&id, Answer::Text("that".into()));
        assert_eq!(there.told().await, Answer::Text("that".into()));
        there.say(RunEvent::Text("two ".into()));
        there.complete("one two ");
        seen.extend(until(&mut run, |event| matches!(event, RunEvent::Ended(_))).await);
        let said = seen.iter().filter_map(|event| match event {
            RunEvent::Text(text) => Some(text.as_str()),
            _ => None,
        });
        assert_eq!(said.collect::<String>(), "one two ");
        assert_eq!(seen.iter().filter(|event| asks(event)).count(), 1);
        let behind = line.behind.lock().unwrap().clone();
        let [(after, told)] = behind.as_slice() else {
            panic!("{binding}: {behind:?}");
        };
        assert!(*after > 1, "{binding}: {after}");
        assert!(told.contains("two "), "{binding}: {told}");
        for old in ["one ", "Which?", "\"task\":"] {
            assert!(!told.contains(old), "{binding}: {old} in {told}");
        }
    }
}

#[tokio::test]
async fn after_a_restart_a_caller_asks_for_what_it_has_not_and_a_lost_log_for_the_whole() {
    for (has, behind) in [("one ", true), ("one two ", true), ("", false)] {
        let mut node = Node::start().await;
        let line = Line::to(&node);
        let dir = tempfile::tempdir().unwrap();
        let mut run = run(&line, dir.path());
        let there = node.next_run().await;
        there.say(RunEvent::Text("one ".into()));
        let text = |event: &RunEvent| matches!(event, RunEvent::Text(_));
        let seen = until(&mut run, text).await;
        let session_id = seen.iter().find_map(|event| match event {
            RunEvent::Started { session_id, .. } => Some(session_id.clone()),
            _ => None,
        });
        let mut again = first("JSONRPC", dir.path());
        let kept = again.dirs.logs().join("followed.json");
        while !kept.exists() {
            tokio::task::yield_now().await;
        }
        // The engine is killed, and the next one has this much in its log.
        drop(run);
        there.say(RunEvent::Text("two ".into()));
        again.attempt = 2;
        again.before.said = has.into();
        again.resume = Some(Resume {
            session_id: session_id.unwrap(),
            why: ResumeReason::Interrupted,
        });
        let mut run = runner(&line).start(again);
        let joined = |event: &RunEvent| matches!(event, RunEvent::Started { .. });
        let mut seen = until(&mut run, joined).await;
        there.say(RunEvent::Text("three ".into()));
        there.complete("one two three ");
        seen.extend(until(&mut run, |event| matches!(event, RunEvent::Ended(_))).await);
        let said = seen.iter().filter_map(|event| match event {
            RunEvent::Text(text) => Some(text.as_str()),
            _ => None,
        });
        let said: String = said.collect();
        assert_eq!(format!("{has}{said}"), "one two three ");
        let named = line.behind.lock().unwrap().clone();
        assert_eq!(named.len(), usize::from(behind), "{has:?}: {named:?}");
        for (after, told) in named {
            assert!(after > 0 && told.contains("two "), "{told}");
            for old in ["one ", "\"task\":"] {
                assert!(!told.contains(old), "{old} in {told}");
            }
        }
        // Nobody goes on with what is over.
        while kept.exists() {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test]
async fn a_node_whose_agent_is_full_is_asked_until_it_takes_the_message_over_either_binding() {
    for binding in ["JSONRPC", "HTTP+JSON"] {
        let mut agent = definition("a");
        agent.runtime.max_concurrent_tasks = std::num::NonZeroU32::MIN;
        agent.runtime.max_pending_tasks = 0;
        let mut node = Node::with([agent], mesh_agents_a2a::card::AccessTokens::None).await;
        let params = crate::fake::at_once("first", "x");
        node.call("SendMessage", params).await;
        let first = node.next_run().await;
        let line = Line::to(&node);
        let dir = tempfile::tempdir().unwrap();
        let mut run = run_over(binding, &line, dir.path());
        let seen = until(&mut run, |event| matches!(event, RunEvent::Note { .. })).await;
        let Some(RunEvent::Note { code, text }) = seen.last() else {
            panic!("{seen:?}");
        };
        assert_eq!(code, "remote_busy", "{text}");
        first.complete("done");
        let there = node.next_run().await;
        there.complete("so it is");
        let rest = until(&mut run, |event| matches!(event, RunEvent::Ended(_))).await;
        let completed = RunEvent::Ended(Outcome::Completed {
            answer: "so it is".into(),
        });
        assert_eq!(rest.last(), Some(&completed), "{binding}");
        let away = |event: &RunEvent| matches!(event, RunEvent::Reach { away: Some(_) });
        assert!(!rest.iter().any(away), "{binding}: {rest:?}");
    }
}

#[tokio::test]
async fn a_runner_that_is_drained_ends_its_idle_streams() {
    let mut node = Node::start().await;
    let line = Line::to(&node);
    let dir = tempfile::tempdir().unwrap();
    let runner = runner(&line);
    let mut run = start(&runner, "JSONRPC", dir.path());
    node.next_run().await.complete("done");
    until(&mut run, |event| matches!(event, RunEvent::Ended(_))).await;
    drop(run);
    line.carriers.close();
    assert!(!line.carriers.is_empty(), "none was kept");
    runner.drain().await;
    let ended = line.carriers.wait();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(60), ended).await;
    assert!(ended.is_ok(), "{} are left", line.carriers.len());
    // It lives: not its end ended them.
    drop(runner);
}
