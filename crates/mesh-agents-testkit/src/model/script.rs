//! The script of the model server, as it comes in JSON, and which step answers a conversation. Pure.

use std::collections::BTreeMap;

use regex::Regex;
use serde::Deserialize;
use serde_json::{Map, Value};

use super::conversation::Conversation;

/// Name of the one model a script without `models` offers.
const DEFAULT_MODEL: &str = "scripted-model";

/// The whole script; the table in [`crate::model`] is the reference.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Script {
    pub(super) vars: BTreeMap<String, String>,
    models: Vec<String>,
    rules: Vec<Rule>,
    steps: Vec<Step>,
    aux: Option<Step>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    when: String,
    steps: Vec<Step>,
}

/// One answer of the model.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Step {
    pub(super) text: Option<String>,
    pub(super) thought: Option<String>,
    pub(super) tools: Vec<ToolUse>,
    pub(super) latency_ms: u64,
    pub(super) chunk_delay_ms: u64,
    pub(super) hang: bool,
    pub(super) error: Option<ErrorAnswer>,
    pub(super) finish_reason: Option<String>,
}

/// A tool to call: the first of `names` that the request offers.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ToolUse {
    names: Vec<String>,
    #[serde(default)]
    arguments: Map<String, Value>,
    #[serde(default)]
    arguments_by_name: BTreeMap<String, Map<String, Value>>,
}

/// An HTTP error instead of an answer.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ErrorAnswer {
    pub(super) status: u16,
    #[serde(default)]
    pub(super) body: Value,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
}

/// The step for a conversation and how it was found, for the log.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    pub(super) step: Step,
    /// The matching rule's `when`.
    pub(super) rule: Option<String>,
    /// Index into the steps; none for `aux` and past the end.
    pub(super) index: Option<usize>,
}

impl Script {
    pub(super) fn models(&self) -> Vec<String> {
        if self.models.is_empty() {
            vec![DEFAULT_MODEL.to_owned()]
        } else {
            self.models.clone()
        }
    }

    /// The step that answers: `aux` where no tools are offered, else the one for the number of tool rounds so far.
    pub(super) fn choose(&self, conversation: &Conversation) -> Chosen {
        if let Some(aux) = self.aux.as_ref().filter(|_| conversation.tools.is_empty()) {
            return Chosen {
                step: aux.clone(),
                rule: None,
                index: None,
            };
        }
        let rule = self
            .rules
            .iter()
            .find(|rule| rule.matches(conversation.last_user()));
        let steps = rule.map_or(&self.steps, |rule| &rule.steps);
        let step = steps.get(conversation.rounds);
        // Past its end a script has nothing more to do, and a harness needs an answer without tools to finish.
        let over = || Step {
            text: Some("done".to_owned()),
            ..Step::default()
        };
        Chosen {
            step: step.cloned().unwrap_or_else(over),
            rule: rule.map(|rule| rule.when.clone()),
            index: step.map(|_| conversation.rounds),
        }
    }
}

impl Rule {
    fn matches(&self, text: &str) -> bool {
        text.contains(&self.when) || Regex::new(&self.when).is_ok_and(|when| when.is_match(text))
    }
}

impl ToolUse {
    /// The offered tool to call and its arguments, or why none can be called.
    pub(super) fn resolve(
        &self,
        offered: &[String],
    ) -> Result<(String, Map<String, Value>), String> {
        for wanted in &self.names {
            if let Some(name) = offered.iter().find(|name| is_named(name, wanted)) {
                let arguments = self
                    .arguments_by_name
                    .get(wanted)
                    .unwrap_or(&self.arguments);
                return Ok((name.clone(), arguments.clone()));
            }
        }
        Err(format!(
            "the step calls one of {:?}, but the request offers {offered:?}",
            self.names
        ))
    }
}

/// `*suffix` stands for the prefixes that harnesses put before an MCP tool's name.
fn is_named(name: &str, wanted: &str) -> bool {
    match wanted.strip_prefix('*') {
        Some(suffix) => name.ends_with(suffix),
        None => name == wanted,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn script(value: Value) -> Script {
        serde_json::from_value(value).unwrap()
    }

    fn conversation(user: &str, rounds: usize, tools: &[&str]) -> Conversation {
        Conversation {
            users: vec![user.to_owned()],
            rounds,
            tools: tools.iter().map(|&tool| tool.to_owned()).collect(),
            ..Conversation::default()
        }
    }

    #[test]
    fn rules_come_before_steps_and_rounds_pick_the_step() {
        let script = script(json!({
            "rules": [{ "when": "bug [0-9]+", "steps": [{ "text": "r0" }, { "text": "r1" }] },
                      { "when": "(literal", "steps": [{ "text": "l0" }] }],
            "steps": [{ "text": "s0" }],
        }));
        let text = |user, rounds| {
            script
                .choose(&conversation(user, rounds, &["read"]))
                .step
                .text
                .unwrap()
        };
        assert_eq!(text("bug 12", 0), "r0");
        assert_eq!(text("bug 12", 1), "r1");
        assert_eq!(text("bug 12", 2), "done");
        assert_eq!(text("a (literal one", 0), "l0");
        assert_eq!(text("else", 0), "s0");
    }

    #[test]
    fn aux_answers_only_requests_without_tools() {
        let script = script(json!({ "aux": { "text": "title" }, "steps": [{ "text": "s0" }] }));
        assert_eq!(
            script.choose(&conversation("x", 0, &[])).step.text.unwrap(),
            "title"
        );
        assert_eq!(
            script
                .choose(&conversation("x", 0, &["read"]))
                .step
                .text
                .unwrap(),
            "s0"
        );
    }

    #[test]
    fn the_first_offered_name_is_called_with_its_own_arguments() {
        let tool: ToolUse = serde_json::from_value(json!({
            "names": ["write_file", "write", "*_get_agents"],
            "arguments": { "path": "a" },
            "arguments_by_name": { "write": { "filePath": "a" } },
        }))
        .unwrap();
        let offered = |names: &[&str]| {
            names
                .iter()
                .map(|&name| name.to_owned())
                .collect::<Vec<_>>()
        };
        let (name, arguments) = tool.resolve(&offered(&["read", "write"])).unwrap();
        assert_eq!(
            (name.as_str(), &arguments["filePath"]),
            ("write", &json!("a"))
        );
        assert_eq!(
            tool.resolve(&offered(&["mesh_get_agents"])).unwrap().0,
            "mesh_get_agents"
        );
        assert!(
            tool.resolve(&offered(&["read"]))
                .unwrap_err()
                .contains("offers [\"read\"]")
        );
    }
}
