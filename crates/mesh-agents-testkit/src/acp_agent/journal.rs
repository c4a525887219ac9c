//! `SCRIPTED_ACP_LOG`: a JSON line for everything that happened to the agent, for tests that look at it afterwards.

use std::fs::{File, OpenOptions};
use std::io::Write as _;

use serde_json::{Value, json};

/// Appends to the journal's file, or to nothing. Several agents may share one file: each line is one write and carries a pid.
#[derive(Debug)]
pub(super) struct Journal(Option<File>);

impl Journal {
    /// A journal in `path`; one that cannot be opened is reported on stderr and then left out.
    pub(super) fn open(path: Option<&str>) -> Self {
        let Some(path) = path else { return Self(None) };
        match OpenOptions::new().create(true).append(true).open(path) {
            Ok(file) => Self(Some(file)),
            Err(error) => {
                // Best effort: stderr may be closed too.
                let _ = writeln!(
                    std::io::stderr(),
                    "scripted-acp-agent: SCRIPTED_ACP_LOG {path}: {error}"
                );
                Self(None)
            }
        }
    }

    /// A line as the client sent it: JSON-RPC under `message`, anything else under `text`.
    pub(super) fn received(&self, line: &str) {
        match serde_json::from_str::<Value>(line) {
            Ok(message) => self.write(&json!({ "pid": std::process::id(), "message": message })),
            Err(_) => self.write(&json!({ "pid": std::process::id(), "text": line })),
        }
    }

    /// Something that is no message: `started`, `ignoring`, `eof`, `sigterm`.
    pub(super) fn event(&self, event: &str) {
        self.write(&json!({ "pid": std::process::id(), "event": event }));
    }

    fn write(&self, entry: &Value) {
        if let Some(mut file) = self.0.as_ref() {
            // The journal observes; a full disk must not change how the agent behaves.
            let _ = file.write_all(format!("{entry}\n").as_bytes());
        }
    }
}
