//! The arguments of the tools, and how refusals name what is wrong with them.

use mesh_agents_core::ids::{AgentId, ArtifactId, ContextId, MessageId, TaskId};
use mesh_agents_core::json::JsonText;
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_core::task::TaskState;
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{ToolName, schema};
use mesh_agents_core::near::nearest;

/// Entries of a page when the caller does not say.
pub const PAGE: u32 = 20;
/// Most entries of a page.
pub const PAGE_MAX: u32 = 100;
/// Characters of a text page when the caller does not say.
pub const TEXT_CHARS: u64 = 16_000;

/// Rust's unsigned integers in words.
const WHOLE: &str = "expected a whole number, 0 or more";

/// The arguments of one tool.
pub trait Arguments: DeserializeOwned + JsonSchema {
    /// The tool.
    const TOOL: ToolName;

    /// What types alone cannot say.
    ///
    /// # Errors
    /// The refusal, naming the argument.
    fn check(&self) -> Result<(), Refusal> {
        Ok(())
    }
}

/// Reads a tool's arguments.
///
/// # Errors
/// `invalid_argument`, naming the argument, what is wrong with it, and the nearest valid one.
pub fn parse<T: Arguments>(args: &JsonText) -> Result<T, Refusal> {
    let text = if args.as_str().trim() == "null" {
        "{}"
    } else {
        args.as_str()
    };
    // A derived struct would also be read from an array, member by member.
    if !text.trim_start().starts_with('{') {
        return Err(no_object(T::TOOL));
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let parsed: T = serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| explain::<T>(text, &error))?;
    parsed.check()?;
    Ok(parsed)
}

fn explain<T: Arguments>(
    text: &str,
    error: &serde_path_to_error::Error<serde_json::Error>,
) -> Refusal {
    let tool = T::TOOL;
    let Ok(given) = serde_json::from_str::<std::collections::BTreeMap<String, &RawValue>>(text)
    else {
        return no_object(tool);
    };
    let schema = schema::input::<T>();
    let known: Vec<&str> = schema
        .get("properties")
        .and_then(serde_json::Value::as_object)
        .map(|properties| properties.keys().map(String::as_str).collect())
        .unwrap_or_default();
    let said = error.inner().to_string();
    if let Some(unknown) = quoted(&said, "unknown field `")
        && given.contains_key(unknown)
    {
        let unknown: String = unknown.chars().take(80).collect();
        let refusal = invalid(format!("{tool} has no argument {unknown:?}"));
        return match nearest(&unknown, known.iter().copied()) {
            Some(near) => refusal.hint(format!("Did you mean {near}?")),
            None => refusal.hint(format!("Its arguments are {}.", known.join(", "))),
        };
    }
    if let Some(missing) = quoted(&said, "missing field `") {
        return invalid(format!("{tool} needs the argument {missing}"));
    }
    // serde_json's place in the text says nothing to somebody who wrote an object.
    let cause = said.split(" at line ").next().unwrap_or(&said);
    let cause = cause
        .replace("expected u64", WHOLE)
        .replace("expected u32", WHOLE)
        .replace("unknown variant", "unknown value");
    invalid(format!("argument {} of {tool}: {cause}", error.path()))
}

fn no_object(tool: ToolName) -> Refusal {
    invalid(format!("the arguments of {tool} must be a JSON object"))
}

fn quoted<'a>(said: &'a str, start: &str) -> Option<&'a str> {
    said.strip_prefix(start)?.split('`').next()
}

fn invalid(message: String) -> Refusal {
    Refusal::new(Code::InvalidArgument, message)
}

fn within(argument: &str, value: Option<u32>) -> Result<(), Refusal> {
    match value {
        Some(value) if !(1..=PAGE_MAX).contains(&value) => Err(invalid(format!(
            "argument {argument} is {value} and must be 1 to {PAGE_MAX}"
        ))),
        _ => Ok(()),
    }
}

/// Where an agent runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Location {
    /// On this node.
    Local,
    /// On another node.
    Remote,
}

/// Arguments of `get_agents`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct GetAgents {
    /// Words to find in id, name, description, skills and tags
    pub query: Option<String>,
    /// Only agents with all of these skill tags
    pub tags: Option<Vec<String>>,
    /// Only agents of this node (local) or of others (remote)
    #[schemars(with = "Option<String>", extend("enum" = ["local", "remote"]))]
    pub location: Option<Location>,
    /// Default 20
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u32>,
    /// next_cursor of the page before
    pub cursor: Option<String>,
}

impl Arguments for GetAgents {
    const TOOL: ToolName = ToolName::GetAgents;
    fn check(&self) -> Result<(), Refusal> {
        within("limit", self.limit)
    }
}

/// Arguments of `get_agent`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetAgent {
    /// From get_agents
    #[schemars(with = "String")]
    pub agent_id: AgentId,
    /// Its node, from get_agents, when it is not on this one
    #[serde(default)]
    pub peer_id: Option<String>,
}

impl Arguments for GetAgent {
    const TOOL: ToolName = ToolName::GetAgent;
}

/// Arguments of `send_message`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SendMessage {
    /// From get_agents
    #[schemars(with = "String")]
    pub agent_id: AgentId,
    /// What to do, with all the agent needs to know
    pub message: String,
    /// Go on in this conversation, from an earlier task
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub context_id: Option<ContextId>,
    /// Answer this task's question; message is an option's id, name or number, or free text
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub task_id: Option<TaskId>,
    /// Your own key for this message: sent again with it, it is the same task
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub message_id: Option<MessageId>,
    /// Default 0
    #[serde(default)]
    pub wait_seconds: Option<u64>,
    /// Your own data, kept with the task; skill_id names the skill it is for
    #[serde(default)]
    #[schemars(with = "Option<serde_json::Map<String, serde_json::Value>>")]
    pub metadata: Option<JsonText>,
    /// Its node, from get_agents, when it is not on this one
    #[serde(default)]
    pub peer_id: Option<String>,
    /// If the node is away, keep the message for it, up to 72 h
    #[serde(default)]
    pub queue_if_offline: Option<bool>,
}

impl Arguments for SendMessage {
    const TOOL: ToolName = ToolName::SendMessage;
    fn check(&self) -> Result<(), Refusal> {
        match &self.metadata {
            Some(data) if !data.as_str().trim_start().starts_with('{') => {
                Err(invalid("argument metadata must be an object".to_owned()))
            }
            _ => Ok(()),
        }
    }
}

/// Arguments of `get_task`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetTask {
    /// From send_message
    #[schemars(with = "String")]
    pub task_id: TaskId,
    /// Optional: refused if the task is another agent's
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub agent_id: Option<AgentId>,
    /// Default 0
    #[serde(default)]
    pub wait_seconds: Option<u64>,
    /// Newest messages to show; default as many as fit
    #[serde(default)]
    pub history_length: Option<u32>,
}

impl Arguments for GetTask {
    const TOOL: ToolName = ToolName::GetTask;
}

/// Arguments of `list_tasks`.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ListTasks {
    /// Only tasks of this agent
    #[schemars(with = "Option<String>")]
    pub agent_id: Option<AgentId>,
    /// Only tasks of this conversation
    #[schemars(with = "Option<String>")]
    pub context_id: Option<ContextId>,
    /// Only tasks in this state
    #[schemars(with = "Option<String>", extend("enum" = ["submitted", "working", "input_required", "auth_required", "completed", "failed", "canceled", "rejected"]))]
    pub state: Option<TaskState>,
    /// Default 20
    #[schemars(range(min = 1, max = 100))]
    pub limit: Option<u32>,
    /// next_cursor of the page before
    pub cursor: Option<String>,
}

impl Arguments for ListTasks {
    const TOOL: ToolName = ToolName::ListTasks;
    fn check(&self) -> Result<(), Refusal> {
        within("limit", self.limit)
    }
}

/// Arguments of `cancel_task`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CancelTask {
    /// From send_message
    #[schemars(with = "String")]
    pub task_id: TaskId,
    /// Optional: refused if the task is another agent's
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub agent_id: Option<AgentId>,
}

impl Arguments for CancelTask {
    const TOOL: ToolName = ToolName::CancelTask;
}

/// Arguments of `view_text_artifact`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ViewTextArtifact {
    /// From send_message
    #[schemars(with = "String")]
    pub task_id: TaskId,
    /// From get_task, such as summary.md
    #[schemars(with = "String")]
    pub artifact_id: ArtifactId,
    /// Optional: refused if the task is another agent's
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub agent_id: Option<AgentId>,
    /// Characters to skip: next_offset of the page before
    #[serde(default)]
    pub offset: Option<u64>,
    /// Default 16000; fewer if they do not fit
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub max_chars: Option<u64>,
}

impl Arguments for ViewTextArtifact {
    const TOOL: ToolName = ToolName::ViewTextArtifact;
    fn check(&self) -> Result<(), Refusal> {
        if self.max_chars == Some(0) {
            return Err(invalid("argument max_chars must be 1 or more".to_owned()));
        }
        Ok(())
    }
}

/// Arguments of `view_data_artifact`.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ViewDataArtifact {
    /// From send_message
    #[schemars(with = "String")]
    pub task_id: TaskId,
    /// From get_task, such as findings.json
    #[schemars(with = "String")]
    pub artifact_id: ArtifactId,
    /// Optional: refused if the task is another agent's
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub agent_id: Option<AgentId>,
    /// JSON Pointer, such as /findings/0
    #[serde(default)]
    pub pointer: Option<String>,
    /// Array elements to skip
    #[serde(default)]
    pub offset: Option<u64>,
    /// Most array elements to show
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub limit: Option<u64>,
}

impl Arguments for ViewDataArtifact {
    const TOOL: ToolName = ToolName::ViewDataArtifact;
    fn check(&self) -> Result<(), Refusal> {
        if self.limit == Some(0) {
            return Err(invalid("argument limit must be 1 or more".to_owned()));
        }
        match self.pointer.as_deref() {
            Some(pointer) if !pointer.is_empty() && !pointer.starts_with('/') => {
                Err(invalid(format!(
                    "argument pointer is {:?} and must be empty or start with /",
                    pointer.chars().take(80).collect::<String>()
                )))
            }
            _ => Ok(()),
        }
    }
}
