//! What a harness asks, answered at once: nothing may wait in the SDK's dispatch loop.

use std::sync::Arc;

use agent_client_protocol::v1::Responder;
use agent_client_protocol::{Error, UntypedMessage};
use mesh_agents_core::agent::Approval;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::feed::Feed;
use super::grant::Grant;

/// How a harness's requests are answered.
#[derive(Debug)]
pub(super) struct Policy {
    /// What is said to permissions beyond the grant.
    pub(super) approval: Approval,
    /// What the run may touch anyway.
    pub(super) grant: Grant,
    /// Once cancelled, every permission is.
    pub(super) cancel: CancellationToken,
    /// Where decisions are noted.
    pub(super) feed: Arc<Feed>,
}

impl Policy {
    /// Answers one request.
    pub(super) async fn answer(
        &self,
        request: UntypedMessage,
        responder: Responder<Value>,
    ) -> Result<(), Error> {
        match request.method() {
            "session/request_permission" => {
                let params = request.params();
                let call = params.get("toolCall");
                let granted = call.is_some_and(|call| self.grant.covers(call));
                let allow = granted || self.approval == Approval::Auto;
                let choice = choose(params, allow, self.cancel.is_cancelled());
                let because = match (granted, self.approval) {
                    (true, _) => "within its grant",
                    (false, Approval::Deny) => "policy.approval = \"deny\"",
                    (false, Approval::Auto) => "policy.approval = \"auto\"",
                };
                let text = choice.told(params, because);
                responder.respond(choice.outcome())?;
                self.feed.note("permission", text).await;
                Ok(())
            }
            "elicitation/create" => responder.respond(json!({ "action": "decline" })),
            _ => responder.respond_with_result(Err(Error::method_not_found())),
        }
    }
}

/// The answer to a permission request.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Choice {
    Selected { option: String, kind: &'static str },
    Cancelled,
}

/// Chooses by the *kind* of an option: ids, names and order differ between harnesses (acp.md §1).
/// A kind that would hold for later requests too is never chosen.
fn choose(params: &Value, allow: bool, cancelled: bool) -> Choice {
    let kind = if allow { "allow_once" } else { "reject_once" };
    let options = params.get("options").and_then(Value::as_array);
    let option = options
        .into_iter()
        .flatten()
        .find(|option| option.get("kind").and_then(Value::as_str) == Some(kind))
        .and_then(|option| option.get("optionId")?.as_str());
    match option {
        Some(option) if !cancelled => Choice::Selected {
            option: option.to_owned(),
            kind,
        },
        _ => Choice::Cancelled,
    }
}

impl Choice {
    fn outcome(&self) -> Value {
        match self {
            Self::Selected { option, .. } => {
                json!({ "outcome": { "outcome": "selected", "optionId": option } })
            }
            Self::Cancelled => json!({ "outcome": { "outcome": "cancelled" } }),
        }
    }

    fn told(&self, params: &Value, because: &str) -> String {
        let call = params.get("toolCall");
        let word = |key| call?.get(key)?.as_str();
        let what = word("title").or(word("kind")).or(word("toolCallId"));
        // A title can be a whole shell script.
        let what: String = what.unwrap_or("something").chars().take(200).collect();
        let answer = match self {
            Self::Selected { kind, .. } => kind,
            Self::Cancelled => "cancelled",
        };
        format!("the harness asked for {what}; answered {answer} ({because})")
    }
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
        match choose(&request(kinds), allow, cancelled) {
            Choice::Selected { option, .. } => Some(option),
            Choice::Cancelled => None,
        }
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
        assert_eq!(choose(&Value::Null, true, false), Choice::Cancelled);
        assert!(
            Choice::Cancelled
                .told(&Value::Null, "")
                .contains("something")
        );
    }
}
