//! What a streaming call answers with: the task, then what happens to it, as events of a stream (SSE).
//! A node that names the event it has heard last is told what happened since, without the task.
//!
//! Each stream reads the log for itself, as fast as its reader takes it: two streams of one task
//! carry the same updates in the same order, and one that stands still costs one batch of memory.

use std::collections::VecDeque;
use std::time::Duration;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::json::JsonText;
use mesh_agents_core::task::TaskState;
use mesh_agents_tasks::{Follow, StoredEvent};
use tokio_util::sync::CancellationToken;

use super::document::GONE;
use super::error::Fault;
use crate::convert::Body as Content;
use crate::json::compact;
use crate::updates::{Update, Updates};

/// A comment this often keeps proxies and clients from taking a quiet stream for a dead one.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// How a stream begins that has no first value.
const NOTHING_NEW: &str = ": goes on\n\n";
/// Updates of one batch are sent together up to this size, so that a burst takes few writes.
const CHUNK_BYTES: usize = 32 * 1024;

/// The envelope a binding puts around each value of a stream.
pub(super) trait Envelope: Send + Sync + 'static {
    /// Around a value.
    fn value(&self, value: &JsonText) -> String;
    /// Around what ended the stream before its time.
    fn fault(&self, fault: &Fault) -> String;
}

/// A stream that is about to begin.
#[derive(Debug)]
pub(super) struct TaskStream {
    /// Its first value: the task. `None` for a reader that has it, and goes on behind what it has heard.
    pub(super) first: Option<JsonText>,
    /// What comes behind; `None` when nothing does.
    pub(super) rest: Option<(Follow, Updates)>,
}

impl TaskStream {
    /// The answer that carries it; ends early when the node stops.
    pub(super) fn respond(self, envelope: impl Envelope, end: CancellationToken) -> Response {
        let mut chunk = String::new();
        match &self.first {
            Some(first) => frame(&mut chunk, &envelope.value(first)),
            // Something is to be sent at once, so that the reader sees that there is a stream.
            None => chunk.push_str(NOTHING_NEW),
        }
        let state = Running {
            ready: Some(chunk),
            rest: self.rest,
            events: VecDeque::new(),
            envelope,
            end,
        };
        let chunks = stream::unfold(state, |mut state| async move {
            let chunk = state.next().await?;
            Some((Ok::<_, std::convert::Infallible>(Bytes::from(chunk)), state))
        });
        let mut response = Response::new(Body::from_stream(chunks));
        *response.status_mut() = StatusCode::OK;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("text/event-stream"),
        );
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        // Some proxies gather an answer before they pass it on, unless they are told.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }
}

/// A stream under way.
struct Running<E> {
    /// What is to be sent before anything else.
    ready: Option<String>,
    /// Where the events come from; `None` when the stream is over.
    rest: Option<(Follow, Updates)>,
    /// Events read and not sent.
    events: VecDeque<StoredEvent>,
    envelope: E,
    end: CancellationToken,
}

impl<E: Envelope> Running<E> {
    /// What to send next; `None` when that was all.
    async fn next(&mut self) -> Option<String> {
        if let Some(ready) = self.ready.take() {
            return Some(ready);
        }
        loop {
            if self.events.is_empty() {
                let (follow, _) = self.rest.as_mut()?;
                let next = tokio::select! {
                    next = follow.next() => next,
                    () = tokio::time::sleep(KEEP_ALIVE) => return Some(": keep-alive\n\n".to_owned()),
                    () = self.end.cancelled() => return None,
                };
                match next {
                    Ok(Some(events)) => self.events.extend(events),
                    Ok(None) => return None,
                    Err(refusal) => return Some(self.fail(&refusal.into())),
                }
            }
            let chunk = self.chunk().await;
            if !chunk.is_empty() {
                return Some(chunk);
            }
        }
    }

    /// The updates of what was read, as many as make a chunk.
    async fn chunk(&mut self) -> String {
        let mut chunk = String::new();
        while chunk.len() < CHUNK_BYTES
            && let Some((follow, updates)) = self.rest.as_mut()
            && let Some(event) = self.events.pop_front()
        {
            match update(follow, updates, &event).await {
                Ok(Some(value)) => frame(&mut chunk, &self.envelope.value(&value)),
                Ok(None) => {}
                Err(fault) => {
                    let last = self.fail(&fault);
                    chunk.push_str(&last);
                }
            }
            if let TaskEvent::State { state, .. } = &event.event
                && closes(*state)
            {
                self.rest = None;
                self.events.clear();
            }
        }
        chunk
    }

    /// Ends the stream with the reason.
    fn fail(&mut self, fault: &Fault) -> String {
        tracing::warn!(fault = %fault.message, "a stream was cut off");
        self.rest = None;
        self.events.clear();
        let mut last = String::new();
        frame(&mut last, &self.envelope.fault(fault));
        last
    }
}

/// Whether a stream ends with this state: nothing more comes until the caller does something. A
/// task that waits for a login outside goes on by itself (§7.6.1).
pub(super) fn closes(state: TaskState) -> bool {
    state.is_terminal() || state == TaskState::InputRequired
}

async fn update(
    follow: &Follow,
    updates: &mut Updates,
    event: &StoredEvent,
) -> Result<Option<JsonText>, Fault> {
    match updates.take(event)? {
        None => Ok(None),
        Some(Update::Send(value)) => Ok(Some(value)),
        Some(Update::Stored(info)) => {
            let content = follow.content(&info).await;
            let body = match &content {
                Ok(bytes) => Content::Whole(bytes),
                Err(refusal) => {
                    tracing::warn!(%refusal, "an artifact is missing from a stream");
                    Content::LeftOut(GONE)
                }
            };
            Ok(Some(updates.whole(&info, body)?))
        }
    }
}

/// One event of the stream. Its data is one line: JSON has line breaks only between tokens.
fn frame(chunk: &mut String, data: &str) {
    chunk.push_str("data: ");
    if data.contains(['\n', '\r']) {
        chunk.push_str(&compact(data));
    } else {
        chunk.push_str(data);
    }
    chunk.push_str("\n\n");
}
