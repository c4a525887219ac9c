//! Where answers go: data to standard output, everything else to standard error (DESIGN §2.1).

mod words;

use std::io::{self, Write};

use anyhow::Context as _;
use mesh_agents_core::refusal::Refusal;
use serde::Serialize;

pub(crate) use words::Words;

/// How a verb ended, as an exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done.
    Done = 0,
    /// It failed.
    Failed = 1,
    /// It was called wrongly.
    Usage = 2,
    /// Whoever read standard output left early: what a shell shows of a program that ends by SIGPIPE.
    Closed = 141,
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

    /// How to name commands to whoever reads this.
    pub(crate) fn words(&self) -> Words {
        Words {
            in_host: !self.open_ended,
        }
    }

    /// Says something that names a command, as whoever reads it would type it.
    pub(crate) fn hint(&mut self, line: &str) {
        let line = self.words().commands(line);
        self.say(&line);
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
        let gone = |cause: &(dyn std::error::Error + 'static)| {
            let cause = cause.downcast_ref::<io::Error>();
            cause.is_some_and(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
        };
        if error.chain().any(gone) {
            return Exit::Closed;
        }
        let words = self.words();
        let refusal = error
            .downcast_ref::<Refusal>()
            .map(|refusal| words.refusal(refusal));
        if self.json {
            let code = refusal
                .as_ref()
                .map_or("failed", |refusal| refusal.code.as_str());
            let message = refusal.as_ref().map_or_else(
                || words.commands(&format!("{error:#}")),
                |refusal| refusal.message.clone(),
            );
            let hint = refusal.as_ref().and_then(|refusal| refusal.hint.clone());
            let body = serde_json::json!({
                "schema": "agents.error/1",
                "error": { "code": code, "message": message, "hint": hint },
            });
            let _closed = writeln!(self.out, "{body}").and_then(|()| self.out.flush());
        } else {
            match refusal {
                Some(refusal) => self.say(&format!("error: {refusal}")),
                None => self.hint(&format!("error: {error:#}")),
            }
        }
        Exit::Failed
    }
}

/// How long ago something was, in one unit: `42s`, `5m`, `3h`, `12d`.
pub(crate) fn age(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m", seconds / 60),
        3600..86_400 => format!("{}h", seconds / 3600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// The first line of a text, cut to `most` characters; `…` says that there is more.
pub(crate) fn first_line(text: &str, most: usize) -> String {
    let line = text.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(most).collect();
    if cut.len() < text.trim_end().len() {
        format!("{cut} …")
    } else {
        cut
    }
}

/// Rows in columns, two spaces apart; the last column is as wide as it is.
pub(crate) fn table<const N: usize>(
    out: &mut dyn Write,
    rows: impl IntoIterator<Item = [String; N]>,
) -> io::Result<()> {
    let rows: Vec<[String; N]> = rows.into_iter().collect();
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in &rows {
        let cells = row.iter().zip(&widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:<width$}"))
            .collect();
        writeln!(out, "{}", cells.join("  ").trim_end())?;
    }
    Ok(())
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
    fn an_age_is_short_and_rows_stand_in_columns() {
        let ages = [0, 59_999, 60_000, 3_599_999, 86_399_999, 86_400_000 * 9].map(age);
        assert_eq!(ages, ["0s", "59s", "1m", "59m", "23h", "9d"]);
        let mut out = Vec::new();
        let rows = [["ä", "long", "x y"], ["bbb", "s", ""]];
        table(&mut out, rows.map(|row| row.map(str::to_owned))).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "ä    long  x y\nbbb  s\n");
    }

    #[test]
    fn who_leaves_early_is_told_nothing() {
        let closed = anyhow::Error::from(io::Error::from(io::ErrorKind::BrokenPipe));
        let mut output = Output::captured(Box::new(io::sink()), Box::new(Refuses), false);
        assert_eq!(output.error(&closed.context("cannot write")), Exit::Closed);
    }

    /// Fails the test that writes to it.
    struct Refuses;

    impl Write for Refuses {
        fn write(&mut self, text: &[u8]) -> io::Result<usize> {
            panic!("{}", String::from_utf8_lossy(text))
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
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
