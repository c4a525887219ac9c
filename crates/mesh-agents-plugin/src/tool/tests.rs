//! The table as callers see it, and the refusals their mistakes meet.

use mesh_agents_core::json::JsonText;
use mesh_agents_core::limits::{WAIT_SECONDS, WAIT_SECONDS_HOST};

use super::args::{self, Arguments, parse};
use super::*;

/// Compact JSON of all schemas and words, as `tools/list` carries them (DESIGN §2.3). Two of the
/// ten tools are still to come.
const LIST_BYTES: usize = 12_000 * 9 / 10;

fn shown(tools: &[Tool]) -> Vec<Value> {
    tools
        .iter()
        .map(|tool| {
            serde_json::json!({
                "name": tool.name.as_str(),
                "title": tool.title,
                "description": tool.description,
                "inputSchema": tool.input,
                "outputSchema": tool.output,
            })
        })
        .collect()
}

#[test]
fn the_table_reads_as_reviewed() {
    let tools = table(std::time::Duration::from_secs(WAIT_SECONDS));
    insta::assert_json_snapshot!(shown(&tools));
}

#[test]
fn the_table_is_small_enough_for_a_models_context() {
    let tools = table(std::time::Duration::from_secs(WAIT_SECONDS));
    let bytes = serde_json::to_string(&shown(&tools)).unwrap().len();
    assert!(bytes <= LIST_BYTES, "{bytes} bytes");
}

#[test]
fn every_schema_is_an_object_without_rusts_own_words() {
    for tool in table(std::time::Duration::from_secs(1)) {
        for schema in [&tool.input, &tool.output] {
            assert_eq!(schema["type"], "object", "{}", tool.name);
            let text = serde_json::to_string(schema).unwrap();
            for word in ["$schema", "$ref", "$defs", "\"format\"", "null"] {
                assert!(!text.contains(word), "{word} in {}: {text}", tool.name);
            }
        }
    }
}

#[test]
fn the_wait_cap_of_the_surface_is_named() {
    for cap in [WAIT_SECONDS, WAIT_SECONDS_HOST] {
        let tools = table(std::time::Duration::from_secs(cap));
        let named = tools
            .iter()
            .filter(|tool| tool.description.contains(&format!("at most {cap})")));
        assert_eq!(named.count(), 2, "send_message and get_task");
    }
}

fn refused<T: Arguments + std::fmt::Debug>(json: &str) -> String {
    parse::<T>(&JsonText::parse(json).unwrap())
        .unwrap_err()
        .to_string()
}

#[test]
fn mistakes_in_arguments_are_named() {
    let task = "\"task_id\":\"task-01ARZ3NDEKTSV4RRFFQ69G5FAV\"";
    let all = [
        refused::<args::SendMessage>(r#"{"agentId":"a","message":"m"}"#),
        refused::<args::SendMessage>(r#"{"agent_id":"a","message":"m","colour":1}"#),
        refused::<args::SendMessage>(r#"{"agent_id":"a"}"#),
        refused::<args::SendMessage>(r#"{"agent_id":"../a","message":"m"}"#),
        refused::<args::SendMessage>(r#"{"agent_id":"a","message":7}"#),
        refused::<args::SendMessage>(r#"{"agent_id":"a","message":"m","wait_seconds":"soon"}"#),
        refused::<args::SendMessage>(r#"{"agent_id":"a","message":"m","wait_seconds":-1}"#),
        refused::<args::SendMessage>(r#"{"agent_id":"a","message":"m","metadata":[1]}"#),
        refused::<args::SendMessage>(r#"["a","m"]"#),
        refused::<args::GetAgents>(r#"{"limit":0}"#),
        refused::<args::GetAgents>(r#"{"location":"here"}"#),
        refused::<args::GetAgents>(r#"{"tags":["a",2]}"#),
        refused::<args::ListTasks>(r#"{"limit":101}"#),
        refused::<args::ListTasks>(r#"{"state":"running"}"#),
        refused::<args::GetTask>(r#"{"task_id":"01ARZ3NDEKTSV4RRFFQ69G5FAV"}"#),
        refused::<args::ViewTextArtifact>(&format!(
            r#"{{{task},"artifact_id":"../../etc/passwd"}}"#
        )),
        refused::<args::ViewTextArtifact>(&format!(
            r#"{{{task},"artifact_id":"a","max_chars":0}}"#
        )),
        refused::<args::ViewDataArtifact>(&format!(
            r#"{{{task},"artifact_id":"a","pointer":"x"}}"#
        )),
        "get_taks".parse::<ToolName>().unwrap_err().to_string(),
    ];
    insta::assert_snapshot!(all.join("\n---\n"));
}

#[test]
fn metadata_keeps_every_digit_and_null_means_absent() {
    let text =
        r#"{"agent_id":"a","message":"m","context_id":null,"metadata":{"n":9007199254740993}}"#;
    let parsed: args::SendMessage = parse(&JsonText::parse(text).unwrap()).unwrap();
    assert_eq!(
        parsed.metadata.unwrap().as_str(),
        r#"{"n":9007199254740993}"#
    );
    assert!(parsed.context_id.is_none());
    assert!(parse::<args::GetAgents>(&JsonText::parse("null").unwrap()).is_ok());
}
