//! `SendStreamingMessage`, `SubscribeToTask`, `CancelTask`.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use a2a::{StreamResponse, TaskState, error_code};
use futures::StreamExt as _;
use serde_json::json;

use crate::events::{Reader, assembled, collect, ends_with, states, stream_code};
use crate::report::{Check, checks};
use crate::world::{Sending, UNKNOWN, World, answer, code, fresh, of, said};

pub(crate) fn checks() -> Vec<(&'static str, Check)> {
    checks![
        "Stream/order" => order,
        "Stream/chunked" => chunked,
        "Stream/burst-400" => burst_400,
        "Stream/burst-10000" => burst_10000,
        "Stream/input-required" => input_required,
        "Stream/failure" => failure,
        "Stream/refused" => refused,
        "Stream/duplicate" => duplicate,
        "Stream/two-readers" => two_readers,
        "Stream/reader-leaves" => reader_leaves,
        "Subscribe/running" => subscribe_running,
        "Subscribe/queued" => subscribe_queued,
        "Subscribe/input-required" => subscribe_input_required,
        "Subscribe/terminal" => subscribe_terminal,
        "Subscribe/unknown" => subscribe_unknown,
        "Cancel/running" => cancel_running,
        "Cancel/again" => cancel_again,
        "Cancel/queued" => cancel_queued,
        "Cancel/input-required" => cancel_input_required,
        "Cancel/terminal" => cancel_terminal,
        "Cancel/unknown" => cancel_unknown,
    ]
}

async fn order(world: World) {
    let script = "script: text one \nscript: sleep 300\nscript: text two";
    let events = collect(world.stream("worker", Sending::text(script)).await).await;
    let task = ends_with(&events, &TaskState::Completed);
    let told = states(&events);
    assert_eq!(
        told[told.len() - 2..],
        [TaskState::Working, TaskState::Completed]
    );
    let done = world.get("worker", &task.id).await;
    assert_eq!(assembled(&events), answer(&done));
    let updated = |event: &StreamResponse| match event {
        StreamResponse::ArtifactUpdate(update) => Some(update.artifact.artifact_id.clone()),
        _ => None,
    };
    let told: BTreeSet<_> = events.iter().filter_map(updated).collect();
    let kept = done.artifacts.unwrap().into_iter();
    let kept: BTreeSet<_> = kept.map(|one| one.artifact_id).collect();
    assert_eq!(told, kept, "the artifacts told");
}

async fn chunked(world: World) {
    let events = collect(
        world
            .stream("worker", Sending::text("tck-stream-chunked"))
            .await,
    )
    .await;
    let task = ends_with(&events, &TaskState::Completed);
    assert_eq!(assembled(&events).len(), 5 * 16);
    let done = world.get("worker", &task.id).await;
    assert_eq!(assembled(&events), answer(&done));
}

async fn burst(world: World, count: u32) {
    let mut wanted = String::new();
    for n in 1..=count {
        writeln!(wanted, "{n}").unwrap();
    }
    let script = format!("script: burst {count}");
    let events = collect(world.stream("worker", Sending::text(&script)).await).await;
    let task = ends_with(&events, &TaskState::Completed);
    let text = assembled(&events);
    assert!(
        text == wanted,
        "every chunk comes once and in order; {} bytes came",
        text.len()
    );
    let done = world.get("worker", &task.id).await;
    assert!(answer(&done) == wanted, "every chunk is kept");
}

async fn burst_400(world: World) {
    burst(world, 400).await;
}

async fn burst_10000(world: World) {
    burst(world, 10_000).await;
}

async fn input_required(world: World) {
    let events = collect(
        world
            .stream("worker", Sending::text("tck-multi-turn"))
            .await,
    )
    .await;
    let task = ends_with(&events, &TaskState::InputRequired);
    let done = Sending::text("done").with(json!({ "taskId": task.id }));
    let events = collect(world.stream("worker", done).await).await;
    assert_eq!(ends_with(&events, &TaskState::Completed).id, task.id);
}

async fn failure(world: World) {
    let script = "script: text begun\nscript: exit 3";
    let events = collect(world.stream("worker", Sending::text(script)).await).await;
    ends_with(&events, &TaskState::Failed);
    let Some(StreamResponse::StatusUpdate(last)) = events.last() else {
        panic!("{events:?}");
    };
    assert!(!said(last.status.message.as_ref()).is_empty(), "{last:?}");
}

async fn refused(world: World) {
    let client = world.client("worker").await;
    let sending = Sending::text("hi").with(json!({ "taskId": UNKNOWN }));
    let code = stream_code(client.send_streaming_message(&sending.request()).await).await;
    assert_eq!(code, error_code::TASK_NOT_FOUND);
}

async fn duplicate(world: World) {
    let sending = Sending::text("hi").with(json!({ "messageId": fresh("m") }));
    let first = world.send("worker", sending.clone()).await;
    let mut events = world.stream("worker", sending).await;
    let Some(Ok(StreamResponse::Task(task))) = events.next().await else {
        panic!("the first event of a repeat is the task");
    };
    assert_eq!(
        (task.id, task.status.state),
        (first.id, TaskState::Completed)
    );
}

async fn two_readers(world: World) {
    let gate = world.gate();
    let work = "script: tool looking\nscript: burst 50\nscript: sleep 150\nscript: burst 50";
    let sending = Sending::text(&format!("{}\n{work}", gate.wait())).at_once();
    let task = world.send("worker", sending).await;
    world
        .until_state("worker", &task.id, &[TaskState::Working])
        .await;
    let mut one = Reader::new(world.subscribe("worker", &task.id).await);
    let mut two = Reader::new(world.subscribe("worker", &task.id).await);
    one.first().await;
    two.first().await;
    gate.open();
    let (one, two) = (one.all().await, two.all().await);
    ends_with(&one, &TaskState::Completed);
    assert!(one.len() > 2, "there is more than the end: {one:?}");
    assert_eq!(one, two);
}

async fn reader_leaves(world: World) {
    let gate = world.gate();
    let sending = Sending::text(&format!("{}\nscript: burst 400", gate.wait()));
    let mut leaves = world.stream("worker", sending).await;
    let Some(Ok(StreamResponse::Task(task))) = leaves.next().await else {
        panic!("the first event is the task");
    };
    let mut stays = Reader::new(world.subscribe("worker", &task.id).await);
    stays.first().await;
    drop(leaves);
    gate.open();
    let events = stays.all().await;
    ends_with(&events, &TaskState::Completed);
    assert_eq!(assembled(&events).lines().count(), 400);
}

async fn subscribe_running(world: World) {
    let gate = world.gate();
    let script = format!("script: text before,\n{}\nscript: text after", gate.wait());
    let task = world.send("worker", Sending::text(&script).at_once()).await;
    world
        .until_state("worker", &task.id, &[TaskState::Working])
        .await;
    let mut reader = Reader::new(world.subscribe("worker", &task.id).await);
    reader.first().await;
    gate.open();
    let events = reader.all().await;
    assert_eq!(ends_with(&events, &TaskState::Completed).id, task.id);
    assert_eq!(assembled(&events), "before,after");
}

async fn subscribe_queued(world: World) {
    let gate = world.gate();
    let ahead = Sending::text(&format!("{}\nscript: text done", gate.wait())).at_once();
    let ahead = world.send("line", ahead).await;
    let task = world.send("line", Sending::text("hi").at_once()).await;
    let mut reader = Reader::new(world.subscribe("line", &task.id).await);
    let StreamResponse::Task(first) = reader.first().await else {
        panic!("the first event is the task");
    };
    assert_eq!(first.status.state, TaskState::Submitted);
    gate.open();
    ends_with(&reader.all().await, &TaskState::Completed);
    world
        .until_state("line", &ahead.id, &[TaskState::Completed])
        .await;
}

async fn subscribe_input_required(world: World) {
    let task = world.send("worker", Sending::text("tck-multi-turn")).await;
    let mut reader = Reader::new(world.subscribe("worker", &task.id).await);
    let StreamResponse::Task(first) = reader.first().await else {
        panic!("the first event is the task");
    };
    assert_eq!(first.status.state, TaskState::InputRequired);
    let done = Sending::text("done").with(json!({ "taskId": task.id }));
    let done = world.send("worker", done).await;
    assert_eq!(done.status.state, TaskState::Completed);
    let told = states(&reader.all().await);
    let end = told.last();
    assert!(
        end.is_none_or(|end| *end == TaskState::Completed),
        "a subscription that stays sees the end: {told:?}"
    );
}

async fn subscribe_terminal(world: World) {
    let task = world.send("worker", Sending::text("hi")).await;
    let client = world.client("worker").await;
    let stream = client
        .subscribe_to_task(&of(json!({ "id": task.id })))
        .await;
    let code = stream_code(stream).await;
    assert_eq!(code, error_code::UNSUPPORTED_OPERATION);
}

async fn subscribe_unknown(world: World) {
    let client = world.client("worker").await;
    let stream = client
        .subscribe_to_task(&of(json!({ "id": UNKNOWN })))
        .await;
    assert_eq!(stream_code(stream).await, error_code::TASK_NOT_FOUND);
}

async fn cancel_running(world: World) {
    let mut reader = Reader::new(
        world
            .stream("worker", Sending::text("tck-long-running"))
            .await,
    );
    let StreamResponse::Task(task) = reader.first().await else {
        panic!("the first event is the task");
    };
    world
        .until_state("worker", &task.id, &[TaskState::Working])
        .await;
    let canceled = world.cancel("worker", &task.id).await.unwrap();
    assert_eq!(canceled.id, task.id);
    assert_eq!(canceled.status.state, TaskState::Canceled);
    ends_with(&reader.all().await, &TaskState::Canceled);
    let kept = world.get("worker", &task.id).await;
    assert_eq!(kept.status.state, TaskState::Canceled);
}

async fn cancel_again(world: World) {
    let sending = Sending::text(&world.gate().wait()).at_once();
    let task = world.send("worker", sending).await;
    world.cancel("worker", &task.id).await.unwrap();
    let code = code(world.cancel("worker", &task.id).await);
    assert_eq!(code, error_code::TASK_NOT_CANCELABLE);
}

async fn cancel_queued(world: World) {
    let gate = world.gate();
    let ahead = Sending::text(&format!("{}\nscript: text done", gate.wait())).at_once();
    let ahead = world.send("line", ahead).await;
    let task = world.send("line", Sending::text("hi").at_once()).await;
    let canceled = world.cancel("line", &task.id).await.unwrap();
    assert_eq!(canceled.status.state, TaskState::Canceled);
    gate.open();
    world
        .until_state("line", &ahead.id, &[TaskState::Completed])
        .await;
    let kept = world.get("line", &task.id).await;
    assert_eq!(kept.status.state, TaskState::Canceled);
}

async fn cancel_input_required(world: World) {
    let task = world.send("worker", Sending::text("tck-multi-turn")).await;
    let canceled = world.cancel("worker", &task.id).await.unwrap();
    assert_eq!(canceled.status.state, TaskState::Canceled);
}

async fn cancel_terminal(world: World) {
    let task = world.send("worker", Sending::text("hi")).await;
    let code = code(world.cancel("worker", &task.id).await);
    assert_eq!(code, error_code::TASK_NOT_CANCELABLE);
    let kept = world.get("worker", &task.id).await;
    assert_eq!(kept.status.state, TaskState::Completed);
}

async fn cancel_unknown(world: World) {
    let code = code(world.cancel("worker", UNKNOWN).await);
    assert_eq!(code, error_code::TASK_NOT_FOUND);
}
