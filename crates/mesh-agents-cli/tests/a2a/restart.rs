//! What becomes of everything when the engine is killed with SIGKILL and started again.

use std::sync::Arc;

use a2a::{StreamResponse, Task, TaskPushNotificationConfig, TaskState, error_code};
use serde_json::json;
use tokio::sync::Mutex;

use crate::events::{Reader, assembled, ends_with, stream_code};
use crate::node::Node;
use crate::pushing::{all_of, create, read};
use crate::report::Report;
use crate::world::{Gate, Sending, World, answer, fresh, of, said};

/// One binding's state of affairs at the moment of the kill.
struct Before {
    world: World,
    gate: Gate,
    again: Sending,
    context: String,
    done: Task,
    page_token: String,
    asks: Task,
    hook: String,
    retried: Task,
    resumed: Task,
    failed: Task,
    failed_hook: String,
    config: TaskPushNotificationConfig,
    queued: Task,
    readers: Mutex<Vec<Reader>>,
}

async fn prepare(world: World) -> Before {
    let gate = world.gate();
    let wait = format!("script: text begun,\n{}\nscript: text ended", gate.wait());
    let wait = Sending::text(&wait).at_once();
    let context = fresh("restart");
    let again = json!({ "messageId": fresh("m"), "contextId": context });
    let again = Sending::text("tck-artifact-data").with(again);
    let done = world.send("worker", again.clone()).await;
    let later = Sending::text("hi").with(json!({ "contextId": context }));
    world.send("worker", later).await;
    let query = json!({ "contextId": context, "pageSize": 1 });
    let page_token = world.list("worker", query).await.next_page_token;
    let asks = world.send("resumer", Sending::text("tck-multi-turn")).await;
    assert_eq!(asks.status.state, TaskState::InputRequired);
    let (hook, url) = world.receiver.hook();
    let push = json!({ "taskPushNotificationConfig": { "url": url, "token": "t" } });
    let retried = wait.clone().configured(push).at_once();
    let retried = world.send("retrier", retried).await;
    let resumed = world.send("resumer", wait.clone()).await;
    let failed = world.send("worker", wait.clone()).await;
    let (failed_hook, url) = world.receiver.hook();
    let config = create(&world, &failed.id, json!({ "url": url })).await;
    world.send("line", wait).await;
    let queued = world.send("line", Sending::text("hi").at_once()).await;
    let running = [
        ("retrier", &retried),
        ("resumer", &resumed),
        ("worker", &failed),
    ];
    for (agent, task) in running {
        let working = [TaskState::Working];
        world.until_state(agent, &task.id, &working).await;
    }
    let mut readers = vec![
        Reader::new(world.subscribe("retrier", &retried.id).await),
        Reader::new(world.subscribe("worker", &failed.id).await),
    ];
    for reader in &mut readers {
        reader.first().await;
    }
    Before {
        gate,
        again,
        context,
        done: world.get("worker", &done.id).await,
        page_token,
        asks,
        hook,
        retried,
        resumed,
        failed,
        failed_hook,
        config: config.unwrap(),
        queued,
        readers: Mutex::new(readers),
        world,
    }
}

impl Before {
    async fn streams_break(&self) {
        for reader in self.readers.lock().await.drain(..) {
            let (events, _error) = reader.ended().await;
            if let Some(StreamResponse::StatusUpdate(last)) = events.last() {
                let state = &last.status.state;
                assert!(!state.is_terminal(), "an end that was none: {last:?}");
            }
        }
    }

    async fn ended_task(&self) {
        assert_eq!(self.world.get("worker", &self.done.id).await, self.done);
    }

    async fn duplicate(&self) {
        let again = self.world.send("worker", self.again.clone()).await;
        assert_eq!(again.id, self.done.id);
    }

    async fn page_token(&self) {
        let query =
            json!({ "contextId": self.context, "pageSize": 1, "pageToken": self.page_token });
        let page = self.world.list("worker", query).await;
        assert_eq!(page.tasks[0].id, self.done.id);
    }

    async fn push_config(&self) {
        let id = self.config.id.clone().unwrap();
        let kept = read(&self.world, &self.failed.id, &id).await.unwrap();
        assert_eq!(kept, self.config);
        assert_eq!(all_of(&self.world, &self.failed.id).await.unwrap(), [id]);
    }

    async fn failed_with_cause(&self) {
        let failed = [TaskState::Failed];
        let task = self
            .world
            .until_state("worker", &self.failed.id, &failed)
            .await;
        let why = said(task.status.message.as_ref());
        assert!(why.contains("engine"), "{why}");
        let metadata = task.status.message.as_ref().unwrap().metadata.as_ref();
        assert_eq!(metadata.unwrap()["failure_code"], "interrupted");
        assert_eq!(answer(&task), "begun,", "what it had said");
        let client = self.world.client("worker").await;
        let stream = client
            .subscribe_to_task(&of(json!({ "id": task.id })))
            .await;
        let code = stream_code(stream).await;
        assert_eq!(code, error_code::UNSUPPORTED_OPERATION);
        self.world.receiver.until(&self.failed_hook, "FAILED").await;
    }

    async fn subscribe_again(&self) {
        let world = &self.world;
        let mut reader = Reader::new(world.subscribe("retrier", &self.retried.id).await);
        let StreamResponse::Task(first) = reader.first().await else {
            panic!("the first event is the task");
        };
        assert!(!first.status.state.is_terminal(), "{first:?}");
        self.gate.open();
        let events = reader.all().await;
        let task = ends_with(&events, &TaskState::Completed);
        assert_eq!(task.id, self.retried.id);
        let text = assembled(&events);
        assert_eq!(text, answer(&world.get("retrier", &task.id).await));
        assert!(text.ends_with("begun,ended"), "the second attempt: {text}");
    }

    async fn pushed_after(&self) {
        let receiver = &self.world.receiver;
        receiver.until(&self.hook, "COMPLETED").await;
        let told = receiver.states(&self.hook);
        let ends = told.iter().filter(|state| *state == "COMPLETED").count();
        assert_eq!(ends, 1, "{told:?}");
        for (headers, _) in receiver.told(&self.hook) {
            assert_eq!(headers["x-a2a-notification-token"], "t");
        }
    }

    async fn session_resumed(&self) {
        let completed = [TaskState::Completed];
        let id = &self.resumed.id;
        let task = self.world.until_state("resumer", id, &completed).await;
        let said = answer(&task);
        assert!(said.contains("was cut off"), "its session is told: {said}");
    }

    async fn queued_runs(&self) {
        let completed = [TaskState::Completed];
        let id = &self.queued.id;
        let task = self.world.until_state("line", id, &completed).await;
        assert!(answer(&task).ends_with("hi"), "{task:?}");
    }

    async fn question_answered(&self) {
        let world = &self.world;
        let mut reader = Reader::new(world.subscribe("resumer", &self.asks.id).await);
        let StreamResponse::Task(first) = reader.first().await else {
            panic!("the first event is the task");
        };
        assert_eq!(first.status.state, TaskState::InputRequired);
        let done = Sending::text("done").with(json!({ "taskId": self.asks.id }));
        let ended = world.send("resumer", done).await;
        assert_eq!(ended.id, self.asks.id);
        assert_eq!(ended.status.state, TaskState::Completed);
    }
}

/// Prepares both bindings, kills the node's engine, starts it again and looks.
pub(crate) async fn run(report: &mut Report, node: &Node, worlds: &[World]) {
    if !report.wants("Restart") {
        return;
    }
    let mut befores = Vec::new();
    for world in worlds.iter().cloned() {
        let label = world.label();
        let kept = Arc::new(Mutex::new(None));
        let keep = Arc::clone(&kept);
        report
            .check(label, "Restart/prepare", async move {
                *keep.lock().await = Some(prepare(world).await);
            })
            .await;
        if let Some(before) = kept.lock().await.take() {
            befores.push((label, Arc::new(before)));
        }
    }
    tokio::task::block_in_place(|| node.kill_and_start_again());
    macro_rules! look {
        ($($name:literal => $method:ident),* $(,)?) => {$(
            for (label, before) in &befores {
                let before = Arc::clone(before);
                report.check(label, $name, async move { before.$method().await }).await;
            }
        )*};
    }
    look![
        "Restart/streams-break" => streams_break,
        "Restart/ended-task" => ended_task,
        "Restart/duplicate" => duplicate,
        "Restart/page-token" => page_token,
        "Restart/push-config" => push_config,
        "Restart/failed-with-cause" => failed_with_cause,
        "Restart/subscribe-again" => subscribe_again,
        "Restart/pushed-after" => pushed_after,
        "Restart/session-resumed" => session_resumed,
        "Restart/queued-runs" => queued_runs,
        "Restart/question-answered" => question_answered,
    ];
}
