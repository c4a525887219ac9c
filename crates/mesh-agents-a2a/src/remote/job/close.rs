//! The end of a run: the results are handed over, and the verdict is given.

use std::path::PathBuf;

use a2a::{Artifact, Message, TaskState, TaskStatus};
use mesh_agents_core::ids::ArtifactId;
use mesh_agents_core::run::{ArtifactSource, Outcome, RunEvent};
use serde_json::Value;
use tokio::time::timeout;

use super::{End, Talk};
use crate::remote::fault::words;
use crate::remote::question;
use crate::remote::results::Piece;
use crate::remote::verdict::{self, SUMMARY};

/// For the one look at a task that has ended without a final word in its stream.
const LAST_LOOK: std::time::Duration = std::time::Duration::from_secs(10);
/// Longest reason of a remote that is kept, in characters.
const REASON_CHARS: usize = 4000;

impl Talk {
    /// Ends the run as the remote ended.
    pub(super) async fn end(mut self, end: End) -> Outcome {
        match end {
            End::Other(outcome) => {
                self.partial().await;
                outcome
            }
            End::Message(message) => self.answered(message).await,
            End::Task { status, whole } => self.finished(status, whole).await,
        }
    }

    /// The remote answered with a message and made no task of it.
    async fn answered(&mut self, message: Message) -> Outcome {
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
        self.judge(&TaskState::Completed, "", None, text).await
    }

    async fn finished(&mut self, status: TaskStatus, whole: bool) -> Outcome {
        let text = status.message.as_ref().map(question::text);
        let mut said = text.unwrap_or_default();
        if status.state == TaskState::Completed && said.trim().is_empty() && !whole {
            self.look_last().await;
        }
        let code = status.message.as_ref().and_then(failure_code);
        if status.state != TaskState::Completed {
            said = said.trim().chars().take(REASON_CHARS).collect();
        }
        let answer = self.final_word(&said).to_owned();
        self.judge(&status.state, &said, code.as_deref(), answer)
            .await
    }

    /// The answer for the history: what the last status said, else the end of the streamed text
    /// where the history shows it as a message of its own, else whatever text there is.
    fn final_word<'a>(&'a self, status: &'a str) -> &'a str {
        let streamed = self.results.said();
        let last = self.last_words.as_deref().unwrap_or_default();
        let last_of_streamed = if streamed.ends_with(last) { last } else { "" };
        let only = self.results.only_text().unwrap_or_default();
        [status, last_of_streamed, streamed, last, only]
            .into_iter()
            .find(|text| !text.trim().is_empty())
            .unwrap_or_default()
    }

    /// The final word is in the history, which streams do not show; artifacts that a stream may
    /// have lost come with it.
    async fn look_last(&mut self) {
        let Some(id) = self.remote.clone() else {
            return;
        };
        match timeout(LAST_LOOK, self.caller.get(&id)).await {
            Ok(Ok(task)) => {
                self.take_task(task).await;
            }
            Ok(Err(fault)) => {
                tracing::debug!(task = %self.spec.task_id, cause = %fault.cause(), "no last look");
            }
            Err(_) => tracing::debug!(task = %self.spec.task_id, "no last look in time"),
        }
    }

    async fn judge(
        &mut self,
        state: &TaskState,
        said: &str,
        code: Option<&str>,
        answer: String,
    ) -> Outcome {
        if *state == TaskState::Completed && self.results.said().is_empty() {
            // An answer that was not streamed is one piece of it.
            self.say(answer.clone()).await;
        }
        let (pieces, skipped) = std::mem::take(&mut self.results).finish();
        let require = &self.spec.agent.require;
        let outcome = verdict::decide(state, said, code, &answer, &pieces, require);
        let completed = matches!(outcome, Outcome::Completed { .. });
        let summary = completed
            && !answer.trim().is_empty()
            && !pieces.iter().any(|piece| piece.id.as_str() == SUMMARY);
        self.deliver(pieces, skipped, completed).await;
        if let (true, Ok(id)) = (summary, SUMMARY.parse::<ArtifactId>()) {
            self.emit(RunEvent::Artifact {
                id,
                media_type: "text/markdown".to_owned(),
                source: ArtifactSource::Text(answer),
                complete: true,
            })
            .await;
        }
        outcome
    }

    /// Hands over what there is of a task that did not complete.
    pub(super) async fn partial(&mut self) {
        let (pieces, skipped) = std::mem::take(&mut self.results).finish();
        self.deliver(pieces, skipped, false).await;
    }

    async fn deliver(&self, pieces: Vec<Piece>, skipped: Vec<String>, complete: bool) {
        if !skipped.is_empty() {
            self.note("artifact_skipped", skipped.join("; ")).await;
        }
        for piece in pieces {
            let source = match String::from_utf8(piece.content) {
                Ok(text) => ArtifactSource::Text(text),
                Err(bytes) => match self.file(&piece.id, bytes.into_bytes()).await {
                    Ok(path) => ArtifactSource::File(path),
                    Err(error) => {
                        let text = format!("\"{}\" was not kept: {error}", piece.id);
                        self.note("artifact_skipped", text).await;
                        continue;
                    }
                },
            };
            self.emit(RunEvent::Artifact {
                id: piece.id,
                media_type: piece.media_type,
                source,
                complete,
            })
            .await;
        }
    }

    /// Bytes that are no text go to the engine as a file.
    async fn file(&self, id: &ArtifactId, bytes: Vec<u8>) -> std::io::Result<PathBuf> {
        let path = self.spec.dirs.artifacts().join(id.as_str());
        if let Some(parent) = path.parent() {
            tokio::fs::create_dir_all(parent).await?;
        }
        tokio::fs::write(&path, bytes).await?;
        Ok(path)
    }
}

/// The failure code a node like ours writes beside a failure's text.
fn failure_code(message: &Message) -> Option<String> {
    match message.metadata.as_ref()?.get("failure_code")? {
        Value::String(code) => Some(words(code)),
        _ => None,
    }
}
