//! A request to the model, whatever API it came by: what was said, what tools gave, what tools there are.

use regex::Regex;
use serde_json::{Map, Value};

use std::collections::BTreeMap;

/// The view on a request that choosing and filling a step needs.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Conversation {
    pub(super) system: Vec<String>,
    pub(super) users: Vec<String>,
    pub(super) tool_results: Vec<String>,
    /// Rounds of tool results since the last user text.
    pub(super) rounds: usize,
    /// Names of the tools on offer.
    pub(super) tools: Vec<String>,
}

impl Conversation {
    /// The last user text; empty when there is none.
    pub(super) fn last_user(&self) -> &str {
        self.users.last().map_or("", String::as_str)
    }

    /// Replaces placeholders in every string of `arguments`.
    pub(super) fn fill_arguments(
        &self,
        arguments: Map<String, Value>,
        vars: &BTreeMap<String, String>,
    ) -> Result<Map<String, Value>, String> {
        let filled = arguments
            .into_iter()
            .map(|(key, value)| Ok((key, self.fill_value(value, vars)?)));
        filled.collect()
    }

    fn fill_value(&self, value: Value, vars: &BTreeMap<String, String>) -> Result<Value, String> {
        Ok(match value {
            Value::String(text) => Value::String(self.fill(&text, vars)?),
            Value::Array(items) => Value::Array(
                items
                    .into_iter()
                    .map(|item| self.fill_value(item, vars))
                    .collect::<Result<_, _>>()?,
            ),
            Value::Object(object) => Value::Object(self.fill_arguments(object, vars)?),
            other => other,
        })
    }

    /// Replaces `${NAME}`, `${tool_result:REGEX}` and `${prompt:REGEX}` in `text`; an unknown name stays as it is.
    pub(super) fn fill(
        &self,
        text: &str,
        vars: &BTreeMap<String, String>,
    ) -> Result<String, String> {
        let mut out = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            out.push_str(&rest[..at]);
            let inner = &rest[at + 2..];
            let Some(length) = closing_brace(inner) else {
                rest = &rest[at..];
                break;
            };
            let name = &inner[..length];
            match self.value_of(name, vars)? {
                Some(value) => out.push_str(&value),
                None => out.push_str(&rest[at..at + 2 + length + 1]),
            }
            rest = &inner[length + 1..];
        }
        out.push_str(rest);
        Ok(out)
    }

    fn value_of(
        &self,
        name: &str,
        vars: &BTreeMap<String, String>,
    ) -> Result<Option<String>, String> {
        if let Some(pattern) = name.strip_prefix("tool_result:") {
            return captured(pattern, self.tool_results.iter().rev()).map(Some);
        }
        if let Some(pattern) = name.strip_prefix("prompt:") {
            return captured(pattern, self.users.iter().rev().chain(&self.system)).map(Some);
        }
        Ok(vars.get(name).cloned())
    }
}

/// The first capture group, or else the whole match, in the first text that matches.
fn captured<'a>(
    pattern: &str,
    mut texts: impl Iterator<Item = &'a String>,
) -> Result<String, String> {
    let regex = Regex::new(pattern).map_err(|error| format!("placeholder /{pattern}/: {error}"))?;
    let found = texts.find_map(|text| regex.captures(text));
    let found = found.ok_or_else(|| format!("placeholder /{pattern}/ matches nothing so far"))?;
    let group = found.get(1).or_else(|| found.get(0));
    Ok(group.map_or("", |group| group.as_str()).to_owned())
}

/// Where the placeholder ends: its regex may have balanced braces, and escaped ones.
fn closing_brace(text: &str) -> Option<usize> {
    let mut depth = 0;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => depth += 1,
            '}' if depth == 0 => return Some(at),
            '}' => depth -= 1,
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn placeholders_take_from_results_prompt_and_vars() {
        let conversation = Conversation {
            system: vec!["home is /sys".to_owned()],
            users: vec!["home is /old".to_owned(), "artifacts: /a/b now".to_owned()],
            tool_results: vec![
                "nonce=0123abcd".to_owned(),
                "nonce=ffff0000 end".to_owned(),
                "no".to_owned(),
            ],
            ..Conversation::default()
        };
        let vars = BTreeMap::from([("WHO".to_owned(), "me".to_owned())]);
        let arguments = json!({
            "content": ["${WHO}: ${tool_result:nonce=([0-9a-f]{8})}", { "x": "${prompt:artifacts: (\\S+)}/f" }],
            "command": "echo ${HOME} ${prompt:home is \\S+} $${",
            "n": 3,
        });
        let filled = conversation
            .fill_arguments(arguments.as_object().unwrap().clone(), &vars)
            .unwrap();
        assert_eq!(
            Value::Object(filled),
            json!({
                "content": ["me: ffff0000", { "x": "/a/b/f" }],
                "command": "echo ${HOME} home is /old $${",
                "n": 3,
            })
        );
    }

    #[test]
    fn a_placeholder_that_matches_nothing_is_an_error_that_names_it() {
        let error = Conversation::default()
            .fill("${tool_result:x=(.)}", &BTreeMap::new())
            .unwrap_err();
        assert_eq!(error, "placeholder /x=(.)/ matches nothing so far");
    }
}
