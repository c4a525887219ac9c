//! Questions of a run under way: stored and shown, answered, expired, taken back.

use std::time::Duration;

use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::ids::QuestionId;
use mesh_agents_core::question::Question;
use mesh_agents_core::run::{Answer, RunControl};
use mesh_agents_core::transition::StopCause;
use tokio::time::Instant;

use super::RETRY;
use super::follow::{Drive, seconds};
use crate::store::{self, OpenQuestion, StoreError};

/// Questions of one run that may be open at once; more are declined. A person answers one after
/// the other, and a harness that asks faster than this does not wait for answers.
pub(super) const QUESTIONS: usize = 32;

/// Longer than an answer that is stored takes to arrive here.
const NEVER: Duration = Duration::from_secs(86_400);

/// Questions a run waits for.
#[derive(Debug, Default)]
pub(super) struct Asked(Vec<(Question, Instant)>);

impl Asked {
    /// Whether nothing is asked.
    pub(super) fn none(&self) -> bool {
        self.0.is_empty()
    }

    /// When no answer is the answer to one of them; far away while nothing is asked.
    pub(super) fn due(&self) -> Instant {
        let due = self.0.iter().map(|(_, due)| *due).min();
        due.unwrap_or_else(|| Instant::now() + NEVER)
    }

    fn take(&mut self, id: &QuestionId) -> Option<Question> {
        let at = self.0.iter().position(|(question, _)| question.id == *id)?;
        Some(self.0.remove(at).0)
    }

    fn take_due(&mut self) -> Option<Question> {
        let now = Instant::now();
        let at = self.0.iter().position(|(_, due)| *due <= now)?;
        Some(self.0.remove(at).0)
    }
}

impl Drive<'_> {
    /// Questions an earlier run left open, and that this one knows of.
    pub(super) fn still_asks(&mut self, open: Vec<OpenQuestion>) {
        let now = self.inner.now();
        self.asked.0.extend(open.into_iter().map(|open| {
            let left = Duration::from_millis(open.expires.since(now));
            (open.question, Instant::now() + left)
        }));
    }

    /// Stores a question, so that it can be answered; one that cannot be is declined at once.
    pub(super) async fn ask(&mut self, question: Question, control: &dyn RunControl) {
        // What was said before it is read before it.
        self.flush().await;
        if self.asked.0.len() >= QUESTIONS {
            control.answer(&question.id, question.declined());
            return self.note(
                "question_declined",
                format!(
                    "declined, because {QUESTIONS} questions are open: {}",
                    question.text
                ),
            );
        }
        let patience = seconds(self.agent.policy.ask_seconds);
        let now = self.inner.now();
        let millis = i64::try_from(patience.as_millis()).unwrap_or(i64::MAX);
        let open = OpenQuestion {
            question: question.clone(),
            expires: UnixMillis(now.0.saturating_add(millis)),
        };
        let (id, attempt, minted) = (self.task.clone(), self.attempt, self.inner.mint_message());
        let stored = self
            .inner
            .store
            .write(move |db| store::ask(db, now, &id, attempt, &open, &minted));
        match stored.await {
            Ok(Some(change)) => {
                self.inner.follow(change);
                self.asked.0.push((question, Instant::now() + patience));
            }
            // The run is being stopped.
            Ok(None) => control.answer(&question.id, Answer::Declined),
            Err(error) => {
                self.inner.too_late(&error);
                control.answer(&question.id, question.declined());
                tracing::warn!(task = %self.task, %error, "a question was not stored and is declined");
                if matches!(error, StoreError::LogFull) {
                    self.stop(StopCause::TooMuchOutput).await;
                }
            }
        }
    }

    /// Tells the run an answer that is stored.
    pub(super) fn pass_on(&mut self, id: &QuestionId, answer: Answer, control: &dyn RunControl) {
        self.asked.take(id);
        control.answer(id, answer);
    }

    /// Answers what nobody answered in time: no.
    pub(super) async fn expire(&mut self, control: &dyn RunControl) {
        while let Some(question) = self.asked.take_due() {
            let answer = question.declined();
            let chosen = match &answer {
                Answer::Option(option) => Some(option.clone()),
                Answer::Text(_) | Answer::Declined => None,
            };
            let note = TaskEvent::expired(&question);
            let id = question.id.clone();
            if self.settle(question, chosen, Some(note)).await {
                control.answer(&id, answer);
            }
        }
    }

    /// The run does not wait for this answer any more.
    pub(super) async fn taken_back(&mut self, id: &QuestionId) {
        if let Some(question) = self.asked.take(id) {
            self.flush().await;
            self.settle(question, None, None).await;
        }
    }

    /// Closes a question. `false` when that was not ours to do: a caller's answer was stored first
    /// and is on its way here, or the store refused and it is tried again.
    async fn settle(
        &mut self,
        question: Question,
        chosen: Option<String>,
        note: Option<TaskEvent>,
    ) -> bool {
        let (now, id, attempt) = (self.inner.now(), self.task.clone(), self.attempt);
        let (minted, asked) = (self.inner.mint_message(), question.id.clone());
        let stored = self.inner.store.write(move |db| {
            let gone = (&asked, chosen);
            store::settle(db, now, &id, Some(attempt), gone, note.as_ref(), &minted)
        });
        match stored.await {
            Ok(Some(change)) => {
                self.inner.follow(change);
                true
            }
            Ok(None) => {
                self.asked.0.push((question, Instant::now() + NEVER));
                false
            }
            Err(error) if self.inner.too_late(&error) => true,
            Err(error) => {
                tracing::warn!(task = %self.task, %error, "the end of a question was not stored; trying again");
                self.asked.0.push((question, Instant::now() + RETRY));
                false
            }
        }
    }
}
