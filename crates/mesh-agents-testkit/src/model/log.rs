//! What the model server was asked and how it went: the record that tests read and wait on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;
use serde_json::Value;
use tokio::sync::watch;

/// One request to the model.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct LogEntry {
    /// Number of the request since the server's start, from 0; a reset does not start it again.
    pub seq: usize,
    /// The request's path, such as `/v1/chat/completions`.
    pub path: String,
    /// The last user text in it.
    pub last_user: String,
    /// Names of the tools it offered.
    pub tools: Vec<String>,
    /// The `when` of the rule that answered; none when the top-level steps or `aux` did.
    pub rule: Option<String>,
    /// Index of the step that answered; none for `aux` and past the script's end.
    pub step: Option<usize>,
    /// Whether an answer went out whole.
    pub finished: bool,
    /// Whether the client left before its answer was whole.
    pub client_gone: bool,
    /// Why the script could not answer, when it could not.
    pub problem: Option<String>,
    /// The request's body.
    pub body: Value,
}

/// The shared log; watchers wake at every change.
#[derive(Debug, Clone)]
pub(super) struct Log {
    entries: Arc<watch::Sender<Vec<LogEntry>>>,
    next: Arc<AtomicUsize>,
}

impl Log {
    pub(super) fn new() -> Self {
        Self {
            entries: Arc::new(watch::Sender::new(Vec::new())),
            next: Arc::default(),
        }
    }

    pub(super) fn entries(&self) -> Vec<LogEntry> {
        self.entries.borrow().clone()
    }

    pub(super) fn watch(&self) -> watch::Receiver<Vec<LogEntry>> {
        self.entries.subscribe()
    }

    pub(super) fn clear(&self) {
        self.entries.send_modify(Vec::clear);
    }

    /// Adds `entry`; the exchange's end is recorded through what is returned.
    pub(super) fn open(&self, mut entry: LogEntry) -> Exchange {
        let seq = self.next.fetch_add(1, Ordering::Relaxed);
        entry.seq = seq;
        self.entries.send_modify(|entries| entries.push(entry));
        Exchange {
            log: self.clone(),
            seq,
            open: true,
        }
    }

    fn change(&self, seq: usize, change: impl FnOnce(&mut LogEntry)) {
        // Gone when the log was reset meanwhile.
        self.entries.send_modify(|entries| {
            if let Some(entry) = entries.iter_mut().find(|entry| entry.seq == seq) {
                change(entry);
            }
        });
    }
}

/// A request being answered. Dropped before [`Exchange::finish`], it was the client that left: nothing else drops it.
#[derive(Debug)]
pub(super) struct Exchange {
    log: Log,
    pub(super) seq: usize,
    open: bool,
}

impl Exchange {
    pub(super) fn finish(mut self) {
        self.open = false;
        self.log.change(self.seq, |entry| entry.finished = true);
    }

    /// The script could not answer.
    pub(super) fn fail(mut self, problem: &str) {
        self.open = false;
        self.log
            .change(self.seq, |entry| entry.problem = Some(problem.to_owned()));
    }

    /// The server stops; nobody's fault.
    pub(super) fn abandon(mut self) {
        self.open = false;
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if self.open {
            self.log.change(self.seq, |entry| entry.client_gone = true);
        }
    }
}
