//! The schema of `runtime.toml`, from the words and ranges it is read by.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

use crate::runtime_toml::words::{self, tables};
use crate::runtime_toml::{ATTEMPTS, CONCURRENT, PENDING, SECONDS};
use crate::toml_reader::Choice;

/// What a variable may be called.
const VARIABLE: &str = "^[A-Za-z_][A-Za-z0-9_]*$";

pub(super) fn schema() -> Value {
    let mut schema = table("");
    schema.insert(
        "$schema".to_owned(),
        json!("http://json-schema.org/draft-07/schema#"),
    );
    schema.insert("title".to_owned(), json!("runtime.toml of a mesh agent"));
    schema.insert("required".to_owned(), json!(["runtime"]));
    Value::Object(schema)
}

fn table(path: &str) -> Map<String, Value> {
    let mut properties = Map::new();
    for key in words::keys_of(path) {
        let full = match path {
            "" => (*key).to_owned(),
            path => format!("{path}.{key}"),
        };
        let is_table = tables().any(|table| table == full);
        let schema = if is_table { table(&full) } else { value(&full) };
        properties.insert((*key).to_owned(), Value::Object(schema));
    }
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), Value::Object(properties));
    schema.insert("additionalProperties".to_owned(), json!(false));
    match path {
        "runtime" => {
            schema.insert("required".to_owned(), json!(["type"]));
            schema.insert(
                "allOf".to_owned(),
                json!([when("type", &["acp", "command"], "command")]),
            );
        }
        "runtime.workspace" => {
            let rule = when("mode", &["path"], "path");
            schema.insert("allOf".to_owned(), json!([rule]));
        }
        _ => {}
    }
    schema
}

/// Where `key` has one of `values`, `needed` is there too.
fn when(key: &str, values: &[&str], needed: &str) -> Value {
    json!({
        "if": { "properties": { key: { "enum": values } }, "required": [key] },
        "then": { "required": [needed] }
    })
}

/// A key that is no table.
fn value(key: &str) -> Map<String, Value> {
    let text = || json!({ "type": "string", "pattern": "\\S" });
    let texts = || json!({ "type": "array", "items": { "type": "string" } });
    let names = || json!({ "type": "array", "items": { "type": "string", "pattern": VARIABLE } });
    let (schema, about) = match key {
        "enabled" => (flag(true), "Whether it takes work."),
        "visibility" => (
            one_of(words::VISIBILITY, "private"),
            "Whether a public mesh may know of it.",
        ),
        "runtime.type" => (one_of(words::KIND, ""), "What runs it."),
        "runtime.command" => (
            text(),
            "The program; required for acp and command, for the others when it is not on PATH. A template.",
        ),
        "runtime.args" => (texts(), "Its arguments, each a template."),
        "runtime.model" => (
            json!({ "type": "string", "pattern": "\\S", "not": { "pattern": "\\{\\{" }, "default": "auto" }),
            "auto, or the name of a model the mesh serves.",
        ),
        "runtime.config" => (
            one_of(words::CONFIG, "mesh"),
            "mesh: a model of the mesh and a home of its own; user: your own configuration and login.",
        ),
        "runtime.max_concurrent_tasks" => (number(&CONCURRENT, 1), "Tasks that run at once."),
        "runtime.inherit_env" => (
            names(),
            "Names of your variables that it gets when they are set.",
        ),
        "runtime.on_interrupt" => (
            one_of(words::ON_INTERRUPT, "fail"),
            "What becomes of a task that was cut off and cannot be taken up.",
        ),
        "runtime.max_attempts" => (
            number(&ATTEMPTS, 2),
            "How often a task is started at the most.",
        ),
        "runtime.session" => (
            one_of(words::SESSION, "per_task"),
            "Whether the tasks of one context are one conversation of the harness.",
        ),
        "runtime.env" => (
            json!({
                "type": "object",
                "patternProperties": { VARIABLE: { "type": "string" } },
                "additionalProperties": false
            }),
            "Variables it gets, each value a template.",
        ),
        "runtime.queue.mode" => (
            one_of(words::QUEUE, "queue"),
            "What happens to a task while enough run.",
        ),
        "runtime.queue.max_pending_tasks" => (number(&PENDING, 16), "How many wait at the most."),
        "runtime.workspace.mode" => (
            one_of(words::WORKSPACE, "temp_per_task"),
            "The directory a task works in.",
        ),
        "runtime.workspace.keep" => (
            one_of(words::KEEP, "on_failure"),
            "When a temporary one stays after the task.",
        ),
        "runtime.workspace.path" => (text(), "For mode = \"path\": an absolute path. A template."),
        "runtime.workspace.repo" | "runtime.workspace.base" => (
            text(),
            "For mode = \"git_worktree\", which is not built yet.",
        ),
        "instructions.file" => (text(), "The brief: a file in the agent's directory."),
        "instructions.delivery" => (
            one_of(words::DELIVERY, "first_prompt"),
            "When the harness is given the brief.",
        ),
        "tools.mesh.enabled" => (flag(true), "Whether it may find and ask other agents."),
        "result.require" => (
            json!({ "type": "array", "items": { "type": "string", "pattern": "^[^/]", "not": { "enum": ["response"] } } }),
            "Artifacts without which a task has failed.",
        ),
        "auth.bearer_env" => (
            json!({ "type": "string", "pattern": VARIABLE }),
            "For type = \"remote\": the variable that holds the token to show there.",
        ),
        key => return policy(key),
    };
    described(schema, about)
}

/// A key of `[policy]`.
fn policy(key: &str) -> Map<String, Value> {
    let paths = || json!({ "type": "array", "items": { "type": "string", "pattern": "^(/|~|\\$HOME|\\$\\{HOME\\})" } });
    let (schema, about) = match key {
        "policy.advertise_on_mesh" => (flag(false), "Whether other nodes are told of it."),
        "policy.public_mesh" => (flag(false), "Whether they are on a public mesh too."),
        "policy.approval" => (
            one_of(words::APPROVAL, "deny"),
            "The answer when it asks for more than it was granted.",
        ),
        "policy.filesystem" => (
            one_of(words::FILESYSTEM, ""),
            "What it reads and writes. Written out, a task is refused where it cannot be kept.",
        ),
        "policy.read" => (paths(), "More paths it may read."),
        "policy.write" => (paths(), "More paths it may write."),
        "policy.network" => (
            one_of(words::NETWORK, "allow"),
            "What it reaches. Written out, a task is refused where it cannot be kept.",
        ),
        "policy.max_task_seconds" => (
            number(&SECONDS, 3600),
            "The longest a task may take, in seconds.",
        ),
        "policy.idle_seconds" => (
            number(&SECONDS, 600),
            "The longest it may be silent, in seconds.",
        ),
        "policy.ask_seconds" => (
            number(&SECONDS, 900),
            "How long a question waits for its answer, in seconds.",
        ),
        _ => (Value::Bool(true), ""),
    };
    described(schema, about)
}

fn described(schema: Value, about: &str) -> Map<String, Value> {
    let Value::Object(mut schema) = schema else {
        return Map::new();
    };
    schema.insert("description".to_owned(), json!(about));
    schema
}

fn flag(default: bool) -> Value {
    json!({ "type": "boolean", "default": default })
}

fn number(range: &RangeInclusive<u32>, default: u32) -> Value {
    json!({ "type": "integer", "minimum": range.start(), "maximum": range.end(), "default": default })
}

/// The choices that work; empty where there is no default.
fn one_of<T>(choices: &[(&'static str, Choice<T>)], default: &str) -> Value {
    let built = choices
        .iter()
        .filter(|(_, choice)| matches!(choice, Choice::Built(_)));
    let names: Vec<&str> = built.map(|(name, _)| *name).collect();
    match default {
        "" => json!({ "enum": names }),
        default => json!({ "enum": names, "default": default }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_there_is_is_described() {
        for path in tables() {
            for key in words::keys_of(path) {
                let full = format!("{path}.{key}");
                let full = full.trim_start_matches('.');
                if !tables().any(|table| table == full) {
                    assert!(value(full).contains_key("description"), "{full}");
                }
            }
        }
    }
}
