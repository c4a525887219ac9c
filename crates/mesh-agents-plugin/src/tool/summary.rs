//! A result in one line, for people who watch the calls go by.

use mesh_agents_core::json::JsonText;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::ToolName;

/// The fields of any result that one line has room for.
#[derive(Deserialize, Default)]
#[serde(default)]
struct Glance {
    agents: Vec<IgnoredAny>,
    problems: Vec<IgnoredAny>,
    tasks: Vec<IgnoredAny>,
    agent_id: String,
    task_id: String,
    artifact_id: String,
    state: String,
    total_chars: u64,
    next_offset: Option<u64>,
    next_cursor: Option<String>,
}

/// What a tool answered, in one line.
#[must_use]
pub fn one_line(tool: ToolName, result: &JsonText) -> String {
    let glance: Glance = result.read().unwrap_or_default();
    let more = if glance.next_cursor.is_some() || glance.next_offset.is_some() {
        ", and more"
    } else {
        ""
    };
    let Glance {
        agent_id,
        task_id,
        artifact_id,
        state,
        ..
    } = &glance;
    match tool {
        ToolName::GetAgents => {
            let broken = match glance.problems.len() {
                0 => String::new(),
                n => format!(", {}", count(n, "problem")),
            };
            format!("{}{more}{broken}", count(glance.agents.len(), "agent"))
        }
        ToolName::GetAgent => format!("The card of {agent_id}"),
        ToolName::SendMessage => format!("{task_id} of {agent_id}: {state}"),
        ToolName::GetTask | ToolName::CancelTask => format!("{task_id}: {state}"),
        ToolName::ListTasks => format!("{}{more}", count(glance.tasks.len(), "task")),
        ToolName::ViewTextArtifact => format!(
            "{artifact_id} of {task_id}: {} in all{more}",
            count(
                usize::try_from(glance.total_chars).unwrap_or(usize::MAX),
                "character"
            )
        ),
        ToolName::ViewDataArtifact => format!("{artifact_id} of {task_id}{more}"),
    }
}

fn count(n: usize, noun: &str) -> String {
    match n {
        1 => format!("1 {noun}"),
        n => format!("{n} {noun}s"),
    }
}
