//! `session/update`, decoded at the edge. Every field is optional: harnesses leave out what the
//! schema requires, and send kinds it does not have (acp.md §1).

use mesh_agents_core::run::{PlanEntry, ToolCall};
use serde_json::Value;

/// Longest text of a tool call or a plan, in characters. A title can be a whole script, and each is an event of its
/// own that every reader of the task gets; all of it is in the run's log.
const TEXT_CHARS: usize = 1000;
/// Most entries of a plan; nobody reads more.
const PLAN_ENTRIES: usize = 100;

/// What an update says, as far as it concerns us.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Update {
    /// A piece of what the agent says.
    Text(String),
    /// A tool call began or changed.
    ToolCall(ToolCall),
    /// The whole plan.
    Plan(Vec<PlanEntry>),
    /// Tokens.
    Usage {
        /// In the context.
        used: u64,
        /// Size of the context.
        size: u64,
    },
    /// Anything else.
    Activity,
}

/// Decodes the parameters of one `session/update`.
pub(super) fn decode(params: &Value) -> Update {
    let Some(update) = params.get("update") else {
        return Update::Activity;
    };
    match text(update, "sessionUpdate") {
        Some("agent_message_chunk") => match update.pointer("/content/text") {
            Some(Value::String(text)) => Update::Text(text.clone()),
            _ => Update::Activity,
        },
        Some("tool_call" | "tool_call_update") => match short(update, "toolCallId") {
            Some(id) => Update::ToolCall(ToolCall {
                id,
                title: short(update, "title"),
                tool: short(update, "kind"),
                status: short(update, "status"),
            }),
            None => Update::Activity,
        },
        Some("plan") => Update::Plan(plan(update)),
        Some("usage_update") => usage(update).unwrap_or(Update::Activity),
        _ => Update::Activity,
    }
}

fn plan(update: &Value) -> Vec<PlanEntry> {
    let entries = update.get("entries").and_then(Value::as_array);
    let entries = entries.into_iter().flatten();
    let mut entries = entries.filter_map(|entry| {
        Some(PlanEntry {
            content: short(entry, "content")?,
            status: short(entry, "status").unwrap_or_default(),
        })
    });
    let mut shown: Vec<_> = entries.by_ref().take(PLAN_ENTRIES).collect();
    let more = entries.count();
    if more > 0 {
        shown.push(PlanEntry {
            content: format!("… and {more} more"),
            status: String::new(),
        });
    }
    shown
}

fn usage(update: &Value) -> Option<Update> {
    Some(Update::Usage {
        used: update.get("used")?.as_u64()?,
        size: update.get("size")?.as_u64()?,
    })
}

fn text<'a>(value: &'a Value, key: &str) -> Option<&'a str> {
    value.get(key)?.as_str()
}

/// A text as it is shown: one that is too long says so.
fn short(value: &Value, key: &str) -> Option<String> {
    let text = text(value, key)?;
    Some(match text.char_indices().nth(TEXT_CHARS) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn update(update: &Value) -> Update {
        decode(&json!({ "sessionId": "s", "update": update }))
    }

    #[test]
    fn what_nobody_knows_yet_is_a_sign_of_life() {
        for odd in [
            json!({ "sessionUpdate": "from_the_future", "x": 1 }),
            json!({ "sessionUpdate": 7 }),
            json!("text"),
            json!({ "sessionUpdate": "agent_message_chunk", "content": { "type": "image" } }),
            json!({ "sessionUpdate": "tool_call", "title": "no id" }),
            json!({ "sessionUpdate": "usage_update", "used": -1 }),
        ] {
            assert_eq!(update(&odd), Update::Activity, "{odd}");
        }
        assert_eq!(decode(&json!(null)), Update::Activity);
    }

    #[test]
    fn a_tool_call_may_lack_everything_but_its_id() {
        let call = update(&json!({ "sessionUpdate": "tool_call_update", "toolCallId": "t" }));
        let Update::ToolCall(call) = call else {
            panic!("{call:?}")
        };
        assert_eq!((call.id.as_str(), call.title), ("t", None));
    }

    #[test]
    fn what_is_too_long_to_read_is_cut_and_says_so() {
        let long = "ü".repeat(10_000);
        let call =
            update(&json!({ "sessionUpdate": "tool_call", "toolCallId": "t", "title": long }));
        let Update::ToolCall(call) = call else {
            panic!("no tool call")
        };
        let title = call.title.unwrap();
        assert_eq!(title.chars().count(), TEXT_CHARS + 1);
        assert!(title.ends_with("ü…"), "{title}");
        let entries = vec![json!({ "content": long }); 1_000];
        let Update::Plan(plan) = update(&json!({ "sessionUpdate": "plan", "entries": entries }))
        else {
            panic!("no plan")
        };
        assert_eq!(plan.len(), PLAN_ENTRIES + 1);
        assert!(
            plan.iter()
                .all(|entry| entry.content.chars().count() <= TEXT_CHARS + 1)
        );
        assert_eq!(plan[PLAN_ENTRIES].content, "… and 900 more");
    }

    #[test]
    fn a_plan_keeps_its_order() {
        let plan = update(&json!({ "sessionUpdate": "plan", "entries": [
            { "content": "a", "status": "completed", "priority": "high" }, { "content": "b" }, 3,
        ] }));
        let Update::Plan(plan) = plan else {
            panic!("{plan:?}")
        };
        let plan: Vec<_> = plan
            .iter()
            .map(|e| (e.content.as_str(), e.status.as_str()))
            .collect();
        assert_eq!(plan, [("a", "completed"), ("b", "")]);
    }
}
