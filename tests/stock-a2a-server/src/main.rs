//! A server made of the stock crate `a2a-server-lf` and its in-memory store, as its documentation builds one: what our
//! own server is measured beside (`scripts/bench.sh server`).
//!
//! `stock-a2a-server --tasks N` stores N ended tasks, prints `ready http://127.0.0.1:PORT/`, and serves JSON-RPC until
//! its stdin closes. Two messages are understood: `done` ends its task at once; `stream COUNT BYTES PACE FILE` waits until
//! FILE exists, then says BYTES of text COUNT times, one in PACE milliseconds, or (0) as fast as they are taken.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use a2a::{
    A2AError, Artifact, Message, Part, Role, StreamResponse, Task, TaskArtifactUpdateEvent,
    TaskState, TaskStatus, TaskStatusUpdateEvent,
};
use a2a_server::jsonrpc::jsonrpc_router;
use a2a_server::{
    AgentExecutor, DefaultRequestHandler, ExecutorContext, InMemoryTaskStore, TaskStore,
};
use anyhow::Context as _;
use chrono::DateTime;
use futures::StreamExt as _;
use futures::stream::BoxStream;
use tokio::io::AsyncReadExt as _;

/// How often it is looked whether a stream may begin.
const LOOK: Duration = Duration::from_millis(5);
/// When the first stored task was made, and how far apart they are.
const FIRST_MS: i64 = 1_700_000_000_000;
const STEP_MS: i64 = 2_000;

type Events = BoxStream<'static, Result<StreamResponse, A2AError>>;

/// Does what the text of a message says.
#[derive(Debug)]
struct Words;

impl AgentExecutor for Words {
    fn execute(&self, context: ExecutorContext) -> Events {
        let text = context.message.as_ref().and_then(Message::text);
        let words: Vec<String> = text
            .unwrap_or_default()
            .split(' ')
            .map(str::to_owned)
            .collect();
        let begun = StreamResponse::Task(Task {
            id: context.task_id.clone(),
            context_id: context.context_id.clone(),
            status: status(TaskState::Working),
            artifacts: None,
            history: context.message.clone().map(|message| vec![message]),
            metadata: None,
        });
        let said = match words.as_slice() {
            [word, count, bytes, pace, gate] if word == "stream" => {
                let (count, bytes) = (count.parse().unwrap_or(0), bytes.parse().unwrap_or(0));
                let pace = Duration::from_millis(pace.parse().unwrap_or(0));
                said(&context, count, bytes, pace, gate.into())
            }
            _ => futures::stream::empty().boxed(),
        };
        let ended = ended(&context, TaskState::Completed);
        let all = futures::stream::iter([begun])
            .chain(said)
            .chain(futures::stream::iter([ended]));
        all.map(Ok).boxed()
    }

    fn cancel(&self, context: ExecutorContext) -> Events {
        let ended = ended(&context, TaskState::Canceled);
        futures::stream::iter([Ok(ended)]).boxed()
    }
}

/// `count` pieces of `bytes` each, one in each `pace`, as soon as the file `gate` exists.
fn said(
    context: &ExecutorContext,
    count: usize,
    bytes: usize,
    pace: Duration,
    gate: PathBuf,
) -> BoxStream<'static, StreamResponse> {
    let (task_id, context_id) = context.task_info();
    let piece = move |n: usize| {
        StreamResponse::ArtifactUpdate(TaskArtifactUpdateEvent {
            task_id: task_id.clone(),
            context_id: context_id.clone(),
            artifact: artifact("response", "#".repeat(bytes)),
            append: Some(n > 0),
            last_chunk: None,
            metadata: None,
        })
    };
    let open = async move {
        while !gate.exists() {
            tokio::time::sleep(LOOK).await;
        }
        let beats = (!pace.is_zero()).then(|| tokio::time::interval(pace));
        futures::stream::unfold((0, beats), move |(n, mut beats)| {
            let piece = (n < count).then(|| piece(n));
            async move {
                let piece = piece?;
                match &mut beats {
                    Some(beats) => {
                        beats.tick().await;
                    }
                    // Let the streams go on in between, or each would lag at once.
                    None => tokio::task::yield_now().await,
                }
                Some((piece, (n + 1, beats)))
            }
        })
    };
    futures::stream::once(open).flatten().boxed()
}

fn ended(context: &ExecutorContext, state: TaskState) -> StreamResponse {
    StreamResponse::StatusUpdate(TaskStatusUpdateEvent {
        task_id: context.task_id.clone(),
        context_id: context.context_id.clone(),
        status: status(state),
        metadata: None,
    })
}

fn status(state: TaskState) -> TaskStatus {
    TaskStatus {
        state,
        message: None,
        timestamp: None,
    }
}

fn artifact(id: &str, text: String) -> Artifact {
    Artifact {
        artifact_id: id.to_owned(),
        name: None,
        description: None,
        parts: vec![Part::text(text)],
        metadata: None,
        extensions: None,
    }
}

/// Stored task number `n`, of the size and in the states in which our own bench writes them.
fn stored(n: i64) -> Task {
    let id = format!("task-{n:07}");
    let said = "All is well, but".repeat(20);
    let asked = format!("Review change {n} of the shop and say what is wrong with it.");
    let mut history = vec![
        Message::new(Role::User, vec![Part::text(asked)]),
        Message::new(Role::Agent, vec![Part::text(said.clone())]),
    ];
    for message in &mut history {
        message.task_id = Some(id.clone());
    }
    let state = match n % 100 {
        0..12 => TaskState::Failed,
        12..15 => TaskState::Canceled,
        _ => TaskState::Completed,
    };
    Task {
        context_id: format!("context-{:07}", n / 5),
        status: TaskStatus {
            timestamp: DateTime::from_timestamp_millis(FIRST_MS + n * STEP_MS),
            ..status(state)
        },
        artifacts: Some(vec![artifact("response", said)]),
        history: Some(history),
        metadata: None,
        id,
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let count: i64 = match words.as_slice() {
        [flag, count] if flag == "--tasks" => count.parse().context("--tasks takes a number")?,
        _ => anyhow::bail!("say --tasks N"),
    };
    let store = InMemoryTaskStore::new();
    for n in 0..count {
        store.create(stored(n)).await?;
    }
    let app = jsonrpc_router(Arc::new(DefaultRequestHandler::new(Words, store)));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("ready http://{}/", listener.local_addr()?);
    let gone = async {
        let mut stdin = tokio::io::stdin();
        // Whoever started this process has ended; an error says the same.
        let _end = stdin.read_to_end(&mut Vec::new()).await;
    };
    tokio::select! {
        served = async { axum::serve(listener, app).await } => served?,
        () = gone => {}
    }
    Ok(())
}
