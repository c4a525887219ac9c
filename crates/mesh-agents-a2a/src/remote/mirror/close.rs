//! The end of a run: the results are handed over, and the verdict is given.

use std::time::Duration;

use a2a::{Artifact, Message, Task, TaskState, TaskStatus};
use mesh_agents_core::ids::ArtifactId;
use mesh_agents_core::run::Outcome;
use serde_json::Value;

use super::{Content, Do, End, Kept, Mirror, Phase, Request};
use crate::remote::fault::words;
use crate::remote::question;
use crate::remote::results::{Held, Piece};
use crate::remote::verdict::{self, SUMMARY};

/// For the one look at a task that has ended without a final word in its stream.
const LAST_LOOK: Duration = Duration::from_secs(10);
/// Longest reason of a remote that is kept, in characters.
const REASON_CHARS: usize = 4000;

impl Mirror {
    /// Ends the run as the remote ended.
    pub(super) fn end(&mut self, end: End) {
        match end {
            End::Other(outcome) => self.end_other(outcome),
            End::Message(message) => self.end_with(message),
            End::Task { status, whole } => self.finished(&status, whole),
        }
    }

    /// Ends with this, and with what there is of a task that did not complete.
    pub(super) fn end_other(&mut self, outcome: Outcome) {
        let (pieces, skipped) = std::mem::take(&mut self.results).finish();
        self.deliver(pieces, &skipped, false);
        self.over(outcome);
    }

    /// The remote answered with a message and made no task of it.
    fn end_with(&mut self, message: Message) {
        let text = question::text(&message);
        let files = message.parts.into_iter();
        let files: Vec<_> = files.filter(|part| part.as_text().is_none()).collect();
        if !files.is_empty() {
            self.results.gather(
                Artifact {
                    artifact_id: "answer".to_owned(),
                    name: None,
                    description: None,
                    parts: files,
                    metadata: None,
                    extensions: None,
                },
                false,
            );
        }
        self.judge(&TaskState::Completed, "", None, text);
    }

    fn finished(&mut self, status: &TaskStatus, whole: bool) {
        let text = status.message.as_ref().map(question::text);
        let mut said = text.unwrap_or_default();
        let code = status.message.as_ref().and_then(failure_code);
        let state = status.state.clone();
        if state != TaskState::Completed {
            said = said.trim().chars().take(REASON_CHARS).collect();
        }
        let silent = state == TaskState::Completed && said.trim().is_empty();
        if (silent || self.results.is_doubted())
            && !whole
            && let Some(task) = self.remote.clone()
        {
            // The final word is in the history, which streams do not show; artifacts that a stream
            // may have lost come with it.
            self.out.push_back(Do::Request(Request::Get { task }));
            return self.after(LAST_LOOK, Phase::LastLook { state, said, code });
        }
        self.last_look_over(&state, &said, code.as_deref());
    }

    /// Takes the task as it was seen last.
    pub(super) fn take_last(&mut self, task: Task) {
        self.heard();
        self.news(task);
    }

    /// There is no more to see.
    pub(super) fn last_look_over(&mut self, state: &TaskState, said: &str, code: Option<&str>) {
        let answer = self.final_word(said).to_owned();
        self.judge(state, said, code, answer);
    }

    /// The answer for the history: what the last status said, else the end of the streamed text
    /// where the history shows it as a message of its own, else whatever text there is.
    fn final_word<'a>(&'a self, status: &'a str) -> &'a str {
        let streamed = self.results.said();
        let last = self.last_words.as_deref().unwrap_or_default();
        if let Some(anew) = self.results.answer_anew() {
            // Its agent began again, and what was passed on before is no answer any more.
            let said = [status, last, anew].into_iter();
            let mut said = said.filter(|text| !text.trim().is_empty());
            return said.next().unwrap_or_default();
        }
        let last_of_streamed = if streamed.ends_with(last) { last } else { "" };
        let only = self.results.only_text().unwrap_or_default();
        [status, last_of_streamed, streamed, last, only]
            .into_iter()
            .find(|text| !text.trim().is_empty())
            .unwrap_or_default()
    }

    fn judge(&mut self, state: &TaskState, said: &str, code: Option<&str>, answer: String) {
        if *state == TaskState::Completed && self.results.said().is_empty() {
            // An answer that was not streamed is one piece of it.
            self.say(answer.clone());
        }
        let (pieces, skipped) = std::mem::take(&mut self.results).finish();
        let require = &self.terms.require;
        let outcome = verdict::decide(state, said, code, &answer, &pieces, require);
        let completed = matches!(outcome, Outcome::Completed { .. });
        let summary = completed
            && !answer.trim().is_empty()
            && !pieces.iter().any(|piece| piece.id.as_str() == SUMMARY);
        self.deliver(pieces, &skipped, completed);
        if let (true, Ok(id)) = (summary, SUMMARY.parse::<ArtifactId>()) {
            self.out.push_back(Do::Keep(Kept {
                id,
                media_type: "text/markdown".to_owned(),
                content: Content::Here(answer.into_bytes()),
                complete: true,
            }));
        }
        self.over(outcome);
    }

    fn deliver(&mut self, pieces: Vec<Piece>, skipped: &[String], complete: bool) {
        if !skipped.is_empty() {
            self.note("artifact_skipped", skipped.join("; "));
        }
        for piece in pieces {
            let content = match piece.content {
                Held::Here(content) => Content::Here(content),
                Held::There { sha256, bytes } => Content::There {
                    name: format!(
                        "{}/{}",
                        self.remote.as_deref().unwrap_or_default(),
                        piece.owner
                    ),
                    sha256,
                    bytes,
                },
            };
            self.out.push_back(Do::Keep(Kept {
                id: piece.id,
                media_type: piece.media_type,
                content,
                complete,
            }));
        }
    }
}

/// The failure code a node like ours writes beside a failure's text.
fn failure_code(message: &Message) -> Option<String> {
    match message.metadata.as_ref()?.get("failure_code")? {
        Value::String(code) => Some(words(code)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
