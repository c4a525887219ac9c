//! Permission requests: what they ask, and which of their options is an answer.

use mesh_agents_core::run::QuestionOption;
use serde_json::{Value, json};

/// Longest text of a question. A title can be a whole shell script, and the owner should see what is
/// asked; what is longer than this nobody reads.
const TEXT_CHARS: usize = 4000;
/// Longest text of a note about it.
const NOTE_CHARS: usize = 200;

/// The option a request is answered with; none is `cancelled`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Choice {
    option: String,
    kind: String,
}

impl Choice {
    /// This option.
    pub(super) fn of(option: &QuestionOption) -> Self {
        Self {
            option: option.id.clone(),
            kind: option.kind.clone(),
        }
    }
}

/// Chooses by the *kind* of an option: ids, names and order differ between harnesses (acp.md §1).
/// A kind that would hold for later requests too is never chosen.
pub(super) fn choose(params: &Value, allow: bool, cancelled: bool) -> Option<Choice> {
    let kind = if allow { "allow_once" } else { "reject_once" };
    let options = options(params);
    let option = options.iter().find(|option| option.kind == kind);
    option.filter(|_| !cancelled).map(Choice::of)
}

/// The harness's own options.
pub(super) fn options(params: &Value) -> Vec<QuestionOption> {
    let options = params.get("options").and_then(Value::as_array);
    let options = options.into_iter().flatten();
    options
        .filter_map(|option| {
            let word = |key| option.get(key).and_then(Value::as_str);
            let id = word("optionId")?;
            Some(QuestionOption {
                id: id.to_owned(),
                name: word("name").unwrap_or(id).to_owned(),
                kind: word("kind").unwrap_or_default().to_owned(),
            })
        })
        .collect()
}

/// The answer as it goes out.
pub(super) fn outcome(choice: Option<&Choice>) -> Value {
    match choice {
        Some(Choice { option, .. }) => {
            json!({ "outcome": { "outcome": "selected", "optionId": option } })
        }
        None => json!({ "outcome": { "outcome": "cancelled" } }),
    }
}

/// The request as a question to a person: what kind of thing it is, its title, its arguments.
pub(super) fn describe(params: &Value) -> String {
    let call = params.get("toolCall").unwrap_or(&Value::Null);
    let kind = call.get("kind").and_then(Value::as_str).unwrap_or("other");
    let mut text = format!("The harness asks for permission ({kind}): {}", title(call));
    match call.get("rawInput") {
        None | Some(Value::Null) => {}
        Some(input) => text.push_str(&format!("\n{input}")),
    }
    if text.chars().count() > TEXT_CHARS {
        text = text.chars().take(TEXT_CHARS).collect();
        text.push_str("… (cut off here; the whole request is in the task's acp.jsonl)");
    }
    text
}

/// The answer, for the task's log.
pub(super) fn told(params: &Value, choice: Option<&Choice>, because: &str) -> String {
    let call = params.get("toolCall").unwrap_or(&Value::Null);
    let what: String = title(call).chars().take(NOTE_CHARS).collect();
    let answer = choice.map_or("cancelled", |choice| choice.kind.as_str());
    format!("the harness asked for {what}; answered {answer} ({because})")
}

/// What a harness calls the thing it wants to do; codex leaves the title out (acp.md §1).
fn title(call: &Value) -> &str {
    let word = |key| call.get(key).and_then(Value::as_str);
    let what = word("title").or(word("kind")).or(word("toolCallId"));
    what.unwrap_or("something")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(kinds: &[&str]) -> Value {
        let options: Vec<_> = kinds
            .iter()
            .map(|kind| json!({ "optionId": format!("id-{kind}"), "kind": kind, "name": kind }))
            .collect();
        json!({ "toolCall": { "toolCallId": "t", "title": null }, "options": options })
    }

    fn chosen(kinds: &[&str], allow: bool, cancelled: bool) -> Option<String> {
        choose(&request(kinds), allow, cancelled).map(|choice| choice.option)
    }

    #[test]
    fn an_option_is_chosen_by_kind_and_never_for_later() {
        let all = ["allow_always", "reject_always", "reject_once", "allow_once"];
        assert_eq!(
            chosen(&all, false, false).as_deref(),
            Some("id-reject_once")
        );
        assert_eq!(chosen(&all, true, false).as_deref(), Some("id-allow_once"));
        assert_eq!(chosen(&all[..2], false, false), None);
        assert_eq!(chosen(&all[..2], true, false), None);
        assert_eq!(chosen(&["bless"], true, false), None);
    }

    #[test]
    fn after_a_cancel_nothing_is_granted() {
        assert_eq!(chosen(&["allow_once"], true, true), None);
    }

    #[test]
    fn a_request_without_anything_is_answered_too() {
        assert_eq!(choose(&Value::Null, true, false), None);
        assert!(told(&Value::Null, None, "").contains("something"));
        assert!(describe(&Value::Null).contains("something"));
    }

    #[test]
    fn a_question_shows_the_arguments_and_stays_readable() {
        let params = json!({ "toolCall": {
            "title": "external_directory", "kind": "other", "rawInput": { "parentDir": "/home/me" },
        }});
        assert_eq!(
            describe(&params),
            "The harness asks for permission (other): external_directory\n{\"parentDir\":\"/home/me\"}"
        );
        let params = json!({ "toolCall": { "title": "ü".repeat(100_000) } });
        assert!(describe(&params).chars().count() < 4100);
    }
}
