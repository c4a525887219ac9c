//! What flows from a session to the engine, and what is kept of it for the verdict.

use std::collections::HashSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use mesh_agents_core::limits::ARTIFACT_BYTES;
use mesh_agents_core::run::RunEvent;
use mesh_agents_core::task::Failure;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::updates::{self, Update};
use crate::logs::WireLog;

/// The way from a session to the engine.
#[derive(Debug)]
pub(crate) struct Feed {
    events: mpsc::Sender<RunEvent>,
    log: Arc<WireLog>,
    /// Whether text is part of the answer now: between prompt and response. Before, harnesses speak
    /// of themselves (acp.md §1).
    collecting: AtomicBool,
    /// Whether updates tell what was before this run: then they are signs of life and no more.
    replaying: AtomicBool,
    answer: Mutex<Answer>,
    session: OnceLock<String>,
    ignored: OnceLock<String>,
    fatal: OnceLock<Failure>,
    junk: AtomicU64,
    ended: CancellationToken,
}

/// The answer so far: a text between two tool calls is one segment. News of a call that was told before, such as
/// that it is done, may come in the middle of a sentence and ends none.
#[derive(Debug, Default)]
struct Answer {
    segment: String,
    last: String,
    /// Ids of the tool calls so far, at most [`TOOL_CALLS`] of them.
    calls: HashSet<String>,
}

/// Tool calls told apart in one run; more than a task's log has room for would be of no use.
const TOOL_CALLS: usize = 50_000;

impl Feed {
    /// A feed into `events`.
    pub(crate) fn new(events: mpsc::Sender<RunEvent>, log: Arc<WireLog>) -> Self {
        Self {
            events,
            log,
            collecting: AtomicBool::new(false),
            replaying: AtomicBool::new(false),
            answer: Mutex::default(),
            session: OnceLock::new(),
            ignored: OnceLock::new(),
            fatal: OnceLock::new(),
            junk: AtomicU64::new(0),
            ended: CancellationToken::new(),
        }
    }

    /// The log of the wire.
    pub(crate) fn log(&self) -> Arc<WireLog> {
        Arc::clone(&self.log)
    }

    /// Passes an event on, as fast as the engine takes them.
    pub(crate) async fn emit(&self, event: RunEvent) {
        // A consumer that is gone is noticed by the run, which then ends.
        let _ = self.events.send(event).await;
    }

    /// Passes a note on.
    pub(crate) async fn note(&self, code: &str, text: String) {
        let code = code.to_owned();
        self.emit(RunEvent::Note { code, text }).await;
    }

    /// Takes the parameters of one `session/update`.
    pub(super) async fn update(&self, params: &Value) {
        let event = match updates::decode(params) {
            _ if self.replaying.load(Ordering::SeqCst) => RunEvent::Activity,
            Update::Text(text) if self.is_answer(&text) => {
                self.answer().add(&text);
                RunEvent::Text(text)
            }
            Update::Text(_) | Update::Activity => RunEvent::Activity,
            Update::ToolCall(call) => {
                self.answer().call(&call.id);
                RunEvent::ToolCall(call)
            }
            Update::Plan(plan) => RunEvent::Plan(plan),
            Update::Usage { used, size } => RunEvent::Usage { used, size },
        };
        self.emit(event).await;
    }

    fn is_answer(&self, text: &str) -> bool {
        self.collecting.load(Ordering::SeqCst)
            && !text.is_empty()
            && self.ignored.get().is_none_or(|ignored| ignored != text)
    }

    /// Whether text is part of the answer from now on.
    pub(super) fn collect(&self, on: bool) {
        self.collecting.store(on, Ordering::SeqCst);
    }

    /// Whether updates are of an earlier time from now on.
    pub(super) fn replay(&self, on: bool) {
        self.replaying.store(on, Ordering::SeqCst);
    }

    /// The session is open; `ignored` is a text of the harness's own.
    pub(super) fn opened(&self, session: &str, ignored: Option<String>) {
        let _ = self.session.set(session.to_owned());
        if let Some(ignored) = ignored {
            let _ = self.ignored.set(ignored);
        }
    }

    /// The open session.
    pub(super) fn session(&self) -> Option<&str> {
        self.session.get().map(String::as_str)
    }

    /// The final text: what was said after the last tool call, or the last thing said at all.
    pub(crate) fn final_text(&self) -> String {
        let mut answer = self.answer();
        answer.cut();
        answer.last.clone()
    }

    /// Counts a line that is no ACP.
    pub(super) fn junk_line(&self) {
        self.junk.fetch_add(1, Ordering::Relaxed);
    }

    /// Lines that were no ACP.
    pub(crate) fn junk_lines(&self) -> u64 {
        self.junk.load(Ordering::Relaxed)
    }

    /// Why the line had to be closed by us.
    pub(super) fn fatal(&self) -> Option<&Failure> {
        self.fatal.get()
    }

    /// The line has to be closed for this reason.
    pub(super) fn set_fatal(&self, failure: Failure) {
        let _ = self.fatal.set(failure);
    }

    /// Nothing more is to be expected of this session.
    pub(crate) fn end(&self) {
        self.ended.cancel();
    }

    /// Waits for [`Feed::end`].
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    fn answer(&self) -> MutexGuard<'_, Answer> {
        self.answer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Answer {
    fn add(&mut self, text: &str) {
        let room = usize::try_from(ARTIFACT_BYTES)
            .unwrap_or(usize::MAX)
            .saturating_sub(self.segment.len());
        // An artifact holds no more; the engine has the whole stream anyway.
        let mut end = room.min(text.len());
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        self.segment.push_str(text.get(..end).unwrap_or_default());
    }

    /// Something is told of a tool call. Not every harness announces one before it says how it goes (acp.md §1).
    fn call(&mut self, id: &str) {
        let known = self.calls.contains(id);
        if !known && self.calls.len() < TOOL_CALLS {
            self.calls.insert(id.to_owned());
        }
        if !known {
            self.cut();
        }
    }

    fn cut(&mut self) {
        if self.segment.trim().is_empty() {
            self.segment.clear();
        } else {
            self.last = std::mem::take(&mut self.segment);
        }
    }
}
