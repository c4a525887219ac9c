//! The tools, defined once (DESIGN §2.3): name, words, arguments, result, hints.
//!
//! Every surface shows this table and none adds to it. What a tool *does* is in
//! [`crate::engine_tools`].

pub mod args;
pub mod results;
mod schema;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Map, Value};

use mesh_agents_core::near::nearest;

/// A tool's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ToolName {
    /// Which agents there are.
    GetAgents,
    /// One agent's card.
    GetAgent,
    /// Gives work.
    SendMessage,
    /// How a task stands.
    GetTask,
    /// Which tasks there are.
    ListTasks,
    /// Ends a task.
    CancelTask,
    /// Reads text a task left.
    ViewTextArtifact,
    /// Reads data a task left.
    ViewDataArtifact,
}

impl ToolName {
    /// All tools, in the order they are listed.
    pub const ALL: [Self; 8] = [
        Self::GetAgents,
        Self::GetAgent,
        Self::SendMessage,
        Self::GetTask,
        Self::ListTasks,
        Self::CancelTask,
        Self::ViewTextArtifact,
        Self::ViewDataArtifact,
    ];

    /// The name callers use.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::GetAgents => "get_agents",
            Self::GetAgent => "get_agent",
            Self::SendMessage => "send_message",
            Self::GetTask => "get_task",
            Self::ListTasks => "list_tasks",
            Self::CancelTask => "cancel_task",
            Self::ViewTextArtifact => "view_text_artifact",
            Self::ViewDataArtifact => "view_data_artifact",
        }
    }
}

impl fmt::Display for ToolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A name no tool has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no tool {name:?}; {}", match near { Some(near) => format!("did you mean {near}?"), None => "tools/list names them".to_owned() })]
pub struct UnknownTool {
    /// What was asked for, cut to 80 characters.
    pub name: String,
    /// The tool with the nearest name.
    pub near: Option<&'static str>,
}

impl FromStr for ToolName {
    type Err = UnknownTool;
    fn from_str(text: &str) -> Result<Self, UnknownTool> {
        let found = Self::ALL.into_iter().find(|tool| tool.as_str() == text);
        found.ok_or_else(|| UnknownTool {
            name: text.chars().take(80).collect(),
            near: nearest(text, Self::ALL.map(Self::as_str)),
        })
    }
}

/// A tool as it is shown.
#[derive(Debug, Clone, PartialEq)]
pub struct Tool {
    /// Its name.
    pub name: ToolName,
    /// Its name for people.
    pub title: &'static str,
    /// What it is for.
    pub description: String,
    /// JSON Schema of its arguments; an object.
    pub input: Map<String, Value>,
    /// JSON Schema of its result; an object.
    pub output: Map<String, Value>,
    /// What it may change.
    pub effect: Effect,
}

/// What a tool may change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Reads,
    /// It adds; nothing is lost.
    Adds,
    /// It ends something that cannot be taken up again.
    Ends,
}

/// The table, for a surface where a call may be parked for at most `wait_cap`.
#[must_use]
pub fn table(wait_cap: Duration) -> Vec<Tool> {
    ToolName::ALL
        .into_iter()
        .map(|name| tool(name, wait_cap.as_secs()))
        .collect()
}

fn tool(name: ToolName, cap: u64) -> Tool {
    let (title, description, effect) = words(name, cap);
    let (input, output) = schemas(name);
    Tool {
        name,
        title,
        description,
        input,
        output,
        effect,
    }
}

fn words(name: ToolName, cap: u64) -> (&'static str, String, Effect) {
    match name {
        ToolName::GetAgents => (
            "List agents",
            "Lists the agents you can give work, on this node and others: what each can do (skills) and \
             whether it can start now (state: ready, busy, full, unavailable, offline). problems tells of \
             agents that could not be loaded, and the fix."
                .to_owned(),
            Effect::Reads,
        ),
        ToolName::GetAgent => (
            "Show an agent",
            "Shows one agent in full: its A2A Agent Card (what to send it, with examples) and how it runs."
                .to_owned(),
            Effect::Reads,
        ),
        ToolName::SendMessage => (
            "Give work to an agent",
            format!(
                "Gives an agent work. Returns a task_id at once, or with wait_seconds (at most \
                 {cap}) as soon as the task has ended or needs input. To answer a task's question, \
                 pass its task_id; to go on after it has ended, its context_id. Sent again with the \
                 same message_id, it is the same task."
            ),
            Effect::Adds,
        ),
        ToolName::GetTask => (
            "Show a task",
            format!(
                "Shows a task: state, answer, artifacts. With wait_seconds (at most {cap}) it waits \
                 until the task has ended or needs input; call it again while the task is working. \
                 left_out says what did not fit and how to read it."
            ),
            Effect::Reads,
        ),
        ToolName::ListTasks => (
            "List tasks",
            "Lists tasks, newest change first; finds one whose task_id you no longer have.".to_owned(),
            Effect::Reads,
        ),
        ToolName::CancelTask => (
            "Cancel a task",
            "Ends a task and every process it started. What it left so far can still be read."
                .to_owned(),
            Effect::Ends,
        ),
        ToolName::ViewTextArtifact => (
            "Read a text artifact",
            "Reads a text file that a task left, in pages. artifact_id is from get_task; response is \
             the agent's streamed answer."
                .to_owned(),
            Effect::Reads,
        ),
        ToolName::ViewDataArtifact => (
            "Read a JSON artifact",
            "Reads a JSON file that a task left, whole or the part at a JSON Pointer; arrays in pages. \
             A part that is too large is shown as {truncated, type, length, keys}: point below it."
                .to_owned(),
            Effect::Reads,
        ),
    }
}

fn schemas(name: ToolName) -> (Map<String, Value>, Map<String, Value>) {
    match name {
        ToolName::GetAgents => (
            schema::input::<args::GetAgents>(),
            schema::output::<results::Agents>(),
        ),
        ToolName::GetAgent => (
            schema::input::<args::GetAgent>(),
            schema::output::<results::Agent>(),
        ),
        ToolName::SendMessage => (
            schema::input::<args::SendMessage>(),
            schema::output::<results::Sent>(),
        ),
        ToolName::GetTask => (
            schema::input::<args::GetTask>(),
            schema::output::<results::Shown>(),
        ),
        ToolName::ListTasks => (
            schema::input::<args::ListTasks>(),
            schema::output::<results::Tasks>(),
        ),
        ToolName::CancelTask => (
            schema::input::<args::CancelTask>(),
            schema::output::<results::Canceled>(),
        ),
        ToolName::ViewTextArtifact => (
            schema::input::<args::ViewTextArtifact>(),
            schema::output::<results::TextPage>(),
        ),
        ToolName::ViewDataArtifact => (
            schema::input::<args::ViewDataArtifact>(),
            schema::output::<results::DataPage>(),
        ),
    }
}

#[cfg(test)]
mod tests;
