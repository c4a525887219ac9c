//! The results of the tools. Fields that have no value are left out.

use mesh_agents_core::ids::{AgentId, ArtifactId, ContextId, TaskId};
use mesh_agents_core::json::JsonText;
use mesh_agents_core::task::TaskState;
use schemars::JsonSchema;
use serde::Serialize;

use super::args::Location;

/// Result of `get_agents`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Agents {
    /// The page.
    pub agents: Vec<AgentLine>,
    /// Agent directories that could not be loaded; on the first page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problems: Option<Vec<ProblemLine>>,
    /// Where the next page starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// One agent of a list.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct AgentLine {
    /// Its id.
    #[schemars(with = "String")]
    pub agent_id: AgentId,
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
    /// Its own version.
    pub version: String,
    /// Where it runs.
    #[schemars(with = "String")]
    pub location: Location,
    /// The node it is on, when that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_id: Option<String>,
    /// That node's label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_name: Option<String>,
    /// How old what is said of it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_seconds_ago: Option<u64>,
    /// Since when its node is away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offline_since: Option<String>,
    /// What it can do.
    pub skills: Vec<SkillLine>,
    /// What runs it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// Whether it takes work now.
    #[schemars(with = "String")]
    pub state: AgentState,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Tasks at work.
    pub running: u32,
    /// Tasks that wait.
    pub queued: u32,
    /// Tasks it works on at once.
    pub max_concurrent_tasks: u32,
    /// Where its card is served.
    pub card_url: String,
}

/// Whether an agent takes work now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentState {
    /// It would start at once.
    Ready,
    /// It would wait its turn.
    Busy,
    /// It would be refused.
    Full,
    /// It cannot run here and now.
    Unavailable,
    /// Its node is away.
    Offline,
}

/// One skill of a list.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct SkillLine {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Words to find it by.
    pub tags: Vec<String>,
}

/// What is wrong with an agent's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct ProblemLine {
    /// The file.
    pub file: String,
    /// The line.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<u32>,
    /// The key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// Result of `get_agent`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Agent {
    /// Its id.
    #[schemars(with = "String")]
    pub agent_id: AgentId,
    /// Where it runs.
    #[schemars(with = "String")]
    pub location: Location,
    /// The node it is on, when that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_id: Option<String>,
    /// That node's label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_name: Option<String>,
    /// How old what is said of it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seen_seconds_ago: Option<u64>,
    /// Since when its node is away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offline_since: Option<String>,
    /// Whether it takes work now.
    #[schemars(with = "String")]
    pub state: AgentState,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where its card is served.
    pub card_url: String,
    /// The card it is served with.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub agent_card: JsonText,
    /// How it runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub runtime: Option<Runtime>,
}

/// How an agent runs, as far as callers are concerned.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Runtime {
    /// What runs it.
    pub r#type: String,
    /// Tasks it works on at once.
    pub max_concurrent_tasks: u32,
    /// Where it works.
    pub workspace: Workspace,
}

/// Where an agent works.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Workspace {
    /// `temp_per_task`, `path`, `agent_dir` or `none`.
    pub mode: &'static str,
    /// `never`, `on_failure` or `always`.
    pub keep: &'static str,
}

/// Result of `send_message`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Sent {
    /// The agent.
    #[schemars(with = "String")]
    pub agent_id: AgentId,
    /// Where it runs.
    #[schemars(with = "String")]
    pub location: Location,
    /// The node it is on, when that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_id: Option<String>,
    /// Which node was taken, and why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub route: Option<String>,
    /// The task.
    #[schemars(with = "String")]
    pub task_id: TaskId,
    /// Its conversation.
    #[schemars(with = "String")]
    pub context_id: ContextId,
    /// How it stands.
    #[schemars(with = "String")]
    pub state: TaskState,
    /// The A2A Task.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub task: JsonText,
    /// What did not fit, and how to read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
}

/// Result of `get_task`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Shown {
    /// The agent.
    #[schemars(with = "String")]
    pub agent_id: AgentId,
    /// Where it runs.
    #[schemars(with = "String")]
    pub location: Location,
    /// The node it is on, when that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_id: Option<String>,
    /// The task.
    #[schemars(with = "String")]
    pub task_id: TaskId,
    /// How it stands.
    #[schemars(with = "String")]
    pub state: TaskState,
    /// Since when its node cannot be reached; it may go on there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreachable_since: Option<String>,
    /// Whether its end is wanted and has not come yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cancel_requested: bool,
    /// The A2A Task.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub task: JsonText,
    /// When something last happened in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_activity: Option<String>,
    /// What did not fit, and how to read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
}

/// Result of `list_tasks`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Tasks {
    /// The page.
    pub tasks: Vec<TaskLine>,
    /// Where the next page starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// One task of a list.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TaskLine {
    /// Its id.
    #[schemars(with = "String")]
    pub task_id: TaskId,
    /// Its conversation.
    #[schemars(with = "String")]
    pub context_id: ContextId,
    /// The agent.
    #[schemars(with = "String")]
    pub agent_id: AgentId,
    /// Where the agent runs.
    #[schemars(with = "String")]
    pub location: Location,
    /// The node it is on, when that is another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer_id: Option<String>,
    /// How it stands.
    #[schemars(with = "String")]
    pub state: TaskState,
    /// Since when its node cannot be reached; it may go on there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreachable_since: Option<String>,
    /// Whether its end is wanted and has not come yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cancel_requested: bool,
    /// When it was stored.
    pub created_at: String,
    /// When its state last changed.
    pub updated_at: String,
    /// The start of the message, at most 200 characters.
    pub summary: String,
    /// What it left.
    pub artifacts: Vec<ArtifactLine>,
    /// Artifacts that are not listed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub more_artifacts: Option<usize>,
}

/// One artifact of a list.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct ArtifactLine {
    /// Its id.
    #[schemars(with = "String")]
    pub artifact_id: ArtifactId,
    /// What it is.
    pub media_type: String,
    /// How long it is.
    pub bytes: u64,
    /// Still with its node; reading it fetches it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub elsewhere: bool,
}

/// Result of `cancel_task`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Canceled {
    /// The agent.
    #[schemars(with = "String")]
    pub agent_id: AgentId,
    /// The task.
    #[schemars(with = "String")]
    pub task_id: TaskId,
    /// How it stands.
    #[schemars(with = "String")]
    pub state: TaskState,
    /// Since when its node cannot be reached; it may go on there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreachable_since: Option<String>,
    /// Whether its end is wanted and has not come yet.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cancel_requested: bool,
    /// What that means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// The A2A Task.
    #[schemars(with = "serde_json::Map<String, serde_json::Value>")]
    pub task: JsonText,
    /// What did not fit, and how to read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left_out: Option<String>,
}

/// Result of `view_text_artifact`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct TextPage {
    /// The agent.
    #[schemars(with = "String")]
    pub agent_id: AgentId,
    /// The task.
    #[schemars(with = "String")]
    pub task_id: TaskId,
    /// The artifact.
    #[schemars(with = "String")]
    pub artifact_id: ArtifactId,
    /// The page.
    pub text: String,
    /// Characters in all.
    pub total_chars: u64,
    /// Where the next page starts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_offset: Option<u64>,
}

/// Result of `view_data_artifact`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct DataPage {
    /// The agent.
    #[schemars(with = "String")]
    pub agent_id: AgentId,
    /// The task.
    #[schemars(with = "String")]
    pub task_id: TaskId,
    /// The artifact.
    #[schemars(with = "String")]
    pub artifact_id: ArtifactId,
    /// What is at the pointer.
    #[schemars(with = "serde_json::Value")]
    pub data: JsonText,
    /// Elements of the array in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// The element the next page starts with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_offset: Option<u64>,
    /// Whether `data` holds a stand-in for something too large.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncated: Option<bool>,
}
