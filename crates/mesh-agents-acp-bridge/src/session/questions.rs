//! The open questions of a run: asked as events, answered through the run's control.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use mesh_agents_core::ids::QuestionId;
use mesh_agents_core::run::{Answer, QuestionKind, QuestionOption, RunEvent};
use tokio::sync::oneshot;
use ulid::Ulid;

use super::feed::Feed;

/// Longest text of a question, in characters: what a permission's text is cut to, and its note about that.
const TEXT_CHARS: usize = 4100;
/// Longest name of an option that is shown.
const NAME_CHARS: usize = 200;
/// Longest id of an option, which is answered by it as it is; one beyond that is not offered.
const ID_CHARS: usize = 1000;
/// Most options that are shown.
const OPTIONS: usize = 100;

/// The open questions of one run.
#[derive(Debug, Default)]
pub(crate) struct Questions {
    /// Where the answer goes; `None` once it went there.
    open: Mutex<HashMap<QuestionId, Option<oneshot::Sender<Answer>>>>,
}

/// What is asked.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) kind: QuestionKind,
    pub(super) text: String,
    pub(super) options: Vec<QuestionOption>,
}

impl Question {
    /// As much of it as somebody reads. It is part of its task's row, which every list of tasks loads.
    fn shown(self) -> Self {
        let options = self.options.into_iter();
        let options = options.filter(|option| option.id.chars().nth(ID_CHARS).is_none());
        Self {
            kind: self.kind,
            text: cut(self.text, TEXT_CHARS),
            options: options
                .take(OPTIONS)
                .map(|option| QuestionOption {
                    name: cut(option.name, NAME_CHARS),
                    kind: cut(option.kind, NAME_CHARS),
                    ..option
                })
                .collect(),
        }
    }
}

/// A text that says so where it was cut.
fn cut(text: String, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        None => text,
        Some((end, _)) => format!("{}… (cut off here)", &text[..end]),
    }
}

/// A question and what became of it. It stays open until [`Questions::gone`].
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) id: QuestionId,
    /// `None` when it became void before anybody answered.
    pub(super) answer: Option<Answer>,
}

impl Questions {
    /// Answers an open question. An unknown or settled one is ignored.
    pub(crate) fn answer(&self, question: &QuestionId, answer: Answer) {
        let waiting = self.open().get_mut(question).and_then(Option::take);
        if let Some(waiting) = waiting {
            // Whoever asked may have given up meanwhile.
            let _ = waiting.send(answer);
        }
    }

    /// Asks, and waits for the answer or for `void`. Must not run in the SDK's dispatch loop.
    pub(super) async fn ask(
        &self,
        feed: &Feed,
        question: Question,
        void: impl Future<Output = ()>,
    ) -> Asked {
        let question = question.shown();
        let id = QuestionId::from_ulid(Ulid::new());
        let (waiting, answer) = oneshot::channel();
        // First, for the answer may come as soon as the event is out.
        self.open().insert(id.clone(), Some(waiting));
        let asking = async {
            feed.emit(RunEvent::Question {
                id: id.clone(),
                kind: question.kind,
                text: question.text,
                options: question.options,
            })
            .await;
            answer.await.ok()
        };
        let answer = tokio::select! {
            biased;
            () = void => None,
            answer = asking => answer,
        };
        Asked { id, answer }
    }

    /// Says that a question is settled or void. To be called after the harness has its answer, for
    /// this waits until the engine takes the event.
    pub(super) async fn gone(&self, feed: &Feed, id: QuestionId) {
        feed.emit(RunEvent::QuestionGone(id.clone())).await;
        self.open().remove(&id);
    }

    /// Says so of all that are still open, once the harness that asked is gone.
    pub(crate) async fn void(&self, feed: &Feed) {
        let left: Vec<_> = self.open().keys().cloned().collect();
        for id in left {
            self.gone(feed, id).await;
        }
    }

    fn open(&self) -> MutexGuard<'_, HashMap<QuestionId, Option<oneshot::Sender<Answer>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The option an answer means: by its id, or by a text that is its id or its name.
pub(super) fn chosen<'a>(
    answer: &Answer,
    options: &'a [QuestionOption],
) -> Option<&'a QuestionOption> {
    let (Answer::Option(text) | Answer::Text(text)) = answer else {
        return None;
    };
    let text = text.trim();
    let by_id = options.iter().find(|option| option.id == text);
    by_id.or_else(|| {
        let mut named = options
            .iter()
            .filter(|option| option.name.eq_ignore_ascii_case(text));
        named.next().filter(|_| named.next().is_none())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_question_is_shown_what_somebody_reads() {
        let long = "ü".repeat(10_000);
        let option = |id: &str| QuestionOption {
            id: id.to_owned(),
            name: long.clone(),
            kind: "allow_once".to_owned(),
        };
        let mut options = vec![option(&long)];
        options.extend((0..200).map(|n| option(&n.to_string())));
        let asked = Question {
            kind: QuestionKind::Elicitation,
            text: long.clone(),
            options,
        };
        let shown = asked.shown();
        assert!(shown.text.ends_with("ü… (cut off here)"), "{}", shown.text);
        assert!(shown.text.chars().count() < TEXT_CHARS + 20);
        assert_eq!(shown.options.len(), OPTIONS);
        assert_eq!(shown.options[0].id, "0", "an id is whole or not there");
        let names = shown
            .options
            .iter()
            .map(|option| option.name.chars().count());
        assert!(names.max() < Some(NAME_CHARS + 20));
    }
}
