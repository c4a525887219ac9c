//! A question a run asks, and what counts as its answer (DESIGN §4, "Questions").

use serde::Serialize;

use crate::ids::{MessageId, QuestionId};
use crate::json::JsonText;
use crate::refusal::{Code, Refusal};
use crate::run::{Answer, QuestionKind, QuestionOption};
use crate::task::{Message, Part, Role};

/// Options shown in a refusal; a question with more is still answered by any of them.
const OPTIONS_SHOWN: usize = 12;

/// A question that waits for its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// Its id.
    pub id: QuestionId,
    /// What kind.
    pub kind: QuestionKind,
    /// What is asked.
    pub text: String,
    /// What may be answered.
    pub options: Vec<QuestionOption>,
}

/// The data part of the status message of a task that waits for an answer.
#[derive(Serialize)]
struct Asked<'a> {
    question_id: &'a QuestionId,
    kind: QuestionKind,
    options: &'a [QuestionOption],
    #[serde(skip_serializing_if = "Option::is_none")]
    answered_by: Option<&'static str>,
}

impl Question {
    /// The status message of a task that waits for the answer: what is asked, and data to answer by.
    ///
    /// # Errors
    /// Never in practice: when the question has no JSON form.
    pub fn message(&self, message_id: MessageId) -> Result<Message, serde_json::Error> {
        let data = JsonText::of(&Asked {
            question_id: &self.id,
            kind: match self.kind {
                QuestionKind::OwnerPermission => QuestionKind::Permission,
                kind => kind,
            },
            options: &self.options,
            answered_by: (self.kind == QuestionKind::OwnerPermission).then_some("owner"),
        })?;
        let mut message = Message::text(message_id, Role::Agent, self.text.clone());
        message.parts.push(Part::data(data));
        Ok(message)
    }

    /// What a caller's words mean as an answer: an option by its id, or a text that is an option's
    /// id, name (in any case) or number from 1. Without options any text is the answer; a login is
    /// confirmed by any text.
    ///
    /// # Errors
    /// `invalid_argument` with the options there are.
    pub fn read_answer(&self, option_id: Option<&str>, text: &str) -> Result<Answer, Refusal> {
        let text = text.trim();
        let chosen = match option_id {
            Some(id) => self.options.iter().find(|option| option.id == id),
            None => self.meant(text),
        };
        if let Some(option) = chosen {
            return Ok(Answer::Option(option.id.clone()));
        }
        let free = self.options.is_empty() && !self.is_permission();
        if option_id.is_none() && (free || self.kind == QuestionKind::Auth) {
            return Ok(Answer::Text(text.to_owned()));
        }
        Err(self.no_option(option_id.unwrap_or(text)))
    }

    /// What is answered when nobody answers: no.
    #[must_use]
    pub fn declined(&self) -> Answer {
        let once = self.options.iter().find(|one| one.kind == "reject_once");
        match once.filter(|_| self.is_permission()) {
            Some(option) => Answer::Option(option.id.clone()),
            None => Answer::Declined,
        }
    }

    fn is_permission(&self) -> bool {
        matches!(
            self.kind,
            QuestionKind::Permission | QuestionKind::OwnerPermission
        )
    }

    fn meant(&self, text: &str) -> Option<&QuestionOption> {
        let by_id = self.options.iter().find(|option| option.id == text);
        let by_name = || {
            let lower = text.to_lowercase();
            let mut same = self
                .options
                .iter()
                .filter(|option| option.name.trim().to_lowercase() == lower);
            // Two options of one name: neither is meant for sure.
            same.next().filter(|_| same.next().is_none())
        };
        let by_number = || {
            let number: usize = text.parse().ok()?;
            self.options.get(number.checked_sub(1)?)
        };
        by_id.or_else(by_name).or_else(by_number)
    }

    fn no_option(&self, said: &str) -> Refusal {
        let said: String = said.chars().take(80).collect();
        let refusal = Refusal::new(
            Code::InvalidArgument,
            format!("{said:?} is not an answer to question {}", self.id),
        );
        if self.options.is_empty() {
            return refusal
                .hint("It offers no options; cancel the task, or let the question pass.");
        }
        let shown = (1_usize..).zip(&self.options).take(OPTIONS_SHOWN);
        let list: Vec<String> = shown
            .map(|(n, option)| format!("{n}. {} (option_id {:?})", option.name, option.id))
            .collect();
        refusal.hint(format!(
            "Answer with metadata.option_id, or with an option's id, name or number: {}.",
            list.join(", ")
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ulid::Ulid;

    fn question(kind: QuestionKind, options: &[(&str, &str, &str)]) -> Question {
        let option = |(id, name, kind): &(&str, &str, &str)| QuestionOption {
            id: (*id).into(),
            name: (*name).into(),
            kind: (*kind).into(),
        };
        Question {
            id: QuestionId::from_ulid(Ulid(7)),
            kind,
            text: "May I?".into(),
            options: options.iter().map(option).collect(),
        }
    }

    fn permission() -> Question {
        let options = [
            ("yes", "Allow once", "allow_once"),
            ("always", "Allow always", "allow_always"),
            ("cancel", "No", "reject_once"),
            ("9", "Nine", "other"),
        ];
        question(QuestionKind::Permission, &options)
    }

    #[test]
    fn an_option_is_meant_by_id_name_or_number() {
        let permission = permission();
        let option = |id: &str| Ok(Answer::Option(id.into()));
        for (text, id) in [
            ("yes", "yes"),
            (" allow ONCE\n", "yes"),
            ("2", "always"),
            ("No", "cancel"),
            ("9", "9"),
        ] {
            assert_eq!(permission.read_answer(None, text), option(id), "{text}");
        }
        // An option id decides, whatever the text says.
        assert_eq!(permission.read_answer(Some("yes"), "No"), option("yes"));
    }

    #[test]
    fn words_that_are_no_option_are_refused_with_the_options() {
        let permission = permission();
        let wrong = [
            (None, "perhaps"),
            (None, "0"),
            (None, "5"),
            (Some("2"), "yes"),
        ];
        for (option_id, text) in wrong {
            let refusal = permission.read_answer(option_id, text).unwrap_err();
            assert_eq!(refusal.code, Code::InvalidArgument);
            let hint = refusal.hint.unwrap();
            assert!(hint.contains("1. Allow once (option_id \"yes\")"), "{hint}");
        }
        let twice = [("a", "Same", ""), ("b", "same", "")];
        let twice = question(QuestionKind::Elicitation, &twice);
        assert!(twice.read_answer(None, "same").is_err());
        // Nothing but an option grants a permission.
        let bare = question(QuestionKind::Permission, &[]);
        assert!(bare.read_answer(None, "yes").is_err());
    }

    #[test]
    fn what_is_asked_freely_is_answered_freely() {
        let text = |text: &str| Ok(Answer::Text(text.into()));
        let free = question(QuestionKind::Elicitation, &[]);
        assert_eq!(free.read_answer(None, " main \n"), text("main"));
        assert!(free.read_answer(Some("x"), "main").is_err());
        let login = question(QuestionKind::Auth, &[("device", "Device login", "")]);
        assert_eq!(
            login.read_answer(None, "I have logged in"),
            text("I have logged in")
        );
        assert_eq!(
            login.read_answer(None, "1"),
            Ok(Answer::Option("device".into()))
        );
    }

    #[test]
    fn nobody_s_answer_is_no_and_only_this_once() {
        assert_eq!(permission().declined(), Answer::Option("cancel".into()));
        let harsh = question(
            QuestionKind::Permission,
            &[("n", "Never", "reject_always"), ("y", "Yes", "allow_once")],
        );
        assert_eq!(harsh.declined(), Answer::Declined);
        let form = question(QuestionKind::Elicitation, &[("r", "R", "reject_once")]);
        assert_eq!(form.declined(), Answer::Declined);
    }

    #[test]
    fn the_status_message_tells_people_and_programs() {
        let id: MessageId = "m".parse().unwrap();
        let message = permission().message(id).unwrap();
        assert_eq!(message.joined_text(), "May I?");
        let crate::task::Content::Data(data) = &message.parts[1].content else {
            panic!("no data");
        };
        let data: serde_json::Value = data.read().unwrap();
        assert_eq!(data["kind"], "permission");
        assert_eq!(data["question_id"], permission().id.as_str());
        assert_eq!(
            data["options"][2],
            serde_json::json!({"id": "cancel", "name": "No", "kind": "reject_once"})
        );
    }
}
