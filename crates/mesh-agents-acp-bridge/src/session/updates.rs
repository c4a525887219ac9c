//! `session/update`, decoded at the edge. Every field is optional: harnesses leave out what the
//! schema requires, and send kinds it does not have (acp.md §1).

use mesh_agents_core::run::{PlanEntry, ToolCall};
use serde_json::Value;

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
    match text(update, "sessionUpdate").as_deref() {
        Some("agent_message_chunk") => match update.pointer("/content/text") {
            Some(Value::String(text)) => Update::Text(text.clone()),
            _ => Update::Activity,
        },
        Some("tool_call" | "tool_call_update") => match text(update, "toolCallId") {
            Some(id) => Update::ToolCall(ToolCall {
                id,
                title: text(update, "title"),
                tool: text(update, "kind"),
                status: text(update, "status"),
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
    entries
        .filter_map(|entry| {
            Some(PlanEntry {
                content: text(entry, "content")?,
                status: text(entry, "status").unwrap_or_default(),
            })
        })
        .collect()
}

fn usage(update: &Value) -> Option<Update> {
    Some(Update::Usage {
        used: update.get("used")?.as_u64()?,
        size: update.get("size")?.as_u64()?,
    })
}

fn text(value: &Value, key: &str) -> Option<String> {
    value.get(key)?.as_str().map(str::to_owned)
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
