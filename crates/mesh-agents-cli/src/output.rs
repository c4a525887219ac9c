//! Where answers go: data to standard output, everything else to standard error (DESIGN §2.1).

use std::io::{self, Write};

use anyhow::Context as _;
use mesh_agents_core::refusal::Refusal;
use serde::Serialize;

/// How a verb ended, as an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// It was called wrongly.
    Usage = 2,
}

/// The two streams of one invocation: a terminal's, or buffers when the host runs the verb.
pub(crate) struct Output {
    out: Box<dyn Write + Send>,
    err: Box<dyn Write + Send>,
    json: bool,
    /// Whether the invocation may go on for ever (a terminal) or must end (`cli.run`).
    pub(crate) open_ended: bool,
}

impl std::fmt::Debug for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("json", &self.json)
            .finish_non_exhaustive()
    }
}

impl Output {
    /// This process's own streams.
    pub(crate) fn terminal(json: bool) -> Self {
        Self {
            out: Box::new(io::stdout()),
            err: Box::new(io::stderr()),
            json,
            open_ended: true,
        }
    }

    /// Streams that end up somewhere else.
    pub(crate) fn captured(
        out: Box<dyn Write + Send>,
        err: Box<dyn Write + Send>,
        json: bool,
    ) -> Self {
        Self {
            out,
            err,
            json,
            open_ended: false,
        }
    }

    /// Whether JSON is wanted.
    pub(crate) fn is_json(&self) -> bool {
        self.json
    }

    /// Prints the document of a verb when JSON is wanted, else what `text` writes.
    pub(crate) fn answer<T: Serialize>(
        &mut self,
        verb: &str,
        document: &T,
        text: impl FnOnce(&mut dyn Write) -> io::Result<()>,
    ) -> anyhow::Result<()> {
        if self.json {
            let document = serde_json::to_string(document)?;
            writeln!(self.out, "{}", under_schema(verb, &document)?)?;
        } else {
            text(&mut *self.out)?;
        }
        self.out.flush()?;
        Ok(())
    }

    /// Standard output itself, for raw content.
    pub(crate) fn raw(&mut self) -> &mut dyn Write {
        &mut *self.out
    }

    /// Says something to the person, not to a program.
    pub(crate) fn say(&mut self, line: &str) {
        // A closed standard error is no reason to stop working.
        let _closed = writeln!(self.err, "{line}").and_then(|()| self.err.flush());
    }

    /// Reports an error in the form that was asked for.
    pub(crate) fn error(&mut self, error: &anyhow::Error) -> Exit {
        let refusal = error.downcast_ref::<Refusal>();
        if self.json {
            let code = refusal.map_or("failed", |refusal| refusal.code.as_str());
            let message =
                refusal.map_or_else(|| format!("{error:#}"), |refusal| refusal.message.clone());
            let hint = refusal.and_then(|refusal| refusal.hint.clone());
            let body = serde_json::json!({
                "schema": "agents.error/1",
                "error": { "code": code, "message": message, "hint": hint },
            });
            let _closed = writeln!(self.out, "{body}").and_then(|()| self.out.flush());
        } else {
            match refusal {
                Some(refusal) => self.say(&format!("error: {refusal}")),
                None => self.say(&format!("error: {error:#}")),
            }
        }
        Exit::Failed
    }
}

/// The document of a verb with its schema as the first key.
///
/// Put together as text: what a tool answered is JSON that passes through unread, and serde cannot
/// merge such a text into an object, it shows its own name for it instead.
fn under_schema(verb: &str, document: &str) -> anyhow::Result<String> {
    let keys = document
        .strip_prefix('{')
        .with_context(|| format!("agents {verb}: its answer is no object: {document}"))?;
    let comma = if keys == "}" { "" } else { "," };
    Ok(format!("{{\"schema\":\"agents.{verb}/1\"{comma}{keys}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_agents_core::json::JsonText;
    use serde_json::Value;

    fn shown<T: Serialize>(verb: &str, document: &T) -> Value {
        let text = under_schema(verb, &serde_json::to_string(document).unwrap()).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn what_a_tool_answered_is_merged_with_the_schema() {
        let answer = JsonText::parse(r#"{"task_id":"task-1","task":{"id":"task-1"}}"#).unwrap();
        assert_eq!(
            shown("send", &answer),
            serde_json::json!({ "schema": "agents.send/1", "task_id": "task-1", "task": { "id": "task-1" } })
        );
    }

    #[test]
    fn a_document_without_keys_has_its_schema() {
        let nothing = serde_json::json!({});
        assert_eq!(
            shown("stop", &nothing),
            serde_json::json!({ "schema": "agents.stop/1" })
        );
        assert!(under_schema("stop", "null").is_err());
    }
}
