//! The words `init` writes. Whatever stands here must load without a problem; `init` checks it.

use mesh_agents_core::agent::RuntimeKind;
use mesh_agents_core::ids::AgentId;
use serde_json::json;

use crate::schema::HEADER;

/// Stands for the owner's own harness.
pub(super) const ACP_COMMAND: &str = "my-harness";

/// Parts of ids that are abbreviations and stay in capitals.
const CAPITALS: &[&str] = &["ai", "api", "ci", "cli", "db", "pr", "qa", "sql", "ui"];

/// A readable name: `pr-review` is "PR Review".
pub(crate) fn title(agent: &AgentId) -> String {
    let words: Vec<String> = agent
        .as_str()
        .split(['-', '_'])
        .filter(|word| !word.is_empty())
        .map(|word| {
            if CAPITALS.contains(&word.to_ascii_lowercase().as_str()) {
                word.to_ascii_uppercase()
            } else {
                let (first, rest) = word.split_at(1);
                first.to_ascii_uppercase() + rest
            }
        })
        .collect();
    if words.is_empty() {
        agent.to_string()
    } else {
        words.join(" ")
    }
}

/// The Agent Card; its interface is at `url`, where one is given.
pub(super) fn card(agent: &AgentId, url: Option<&str>) -> String {
    let own = format!("http://127.0.0.1:3131/a2a/agents/{agent}");
    let name = title(agent);
    let skill = json!({
        "id": agent.as_str(),
        "name": name,
        "description": "Works on the task it is sent and answers with a summary.",
        "tags": tags(agent)
    });
    let card = json!({
        "name": name,
        "description": format!("{name}: works on the task it is sent and answers with a summary."),
        "version": "0.1.0",
        "supportedInterfaces": [{
            "url": url.unwrap_or(&own),
            "protocolBinding": "JSONRPC",
            "protocolVersion": "1.0"
        }],
        "capabilities": { "streaming": true },
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/markdown"],
        "skills": [skill]
    });
    format!("{card:#}\n")
}

fn tags(agent: &AgentId) -> Vec<String> {
    let mut tags: Vec<String> = agent
        .as_str()
        .split(['-', '_'])
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
        .collect();
    tags.dedup();
    if tags.is_empty() {
        tags.push("general".to_owned());
    }
    tags
}

/// The brief.
pub(super) fn instructions(agent: &AgentId) -> String {
    let name = title(agent);
    format!(
        "# {name}

Say here what this agent is for, what it must never do, and what a good result looks like.
Until then:

- Do what the message asks, and nothing else.
- Work in the current directory.
- Leave your result as `summary.md` in the artifacts directory the prompt names
  (`$TASK_ARTIFACTS_DIR`): what you did, what you found, what is left open.
- When something is missing that you cannot find out, say so in the summary instead of guessing.
"
    )
}

/// The execution policy: DESIGN's sample, for one type.
pub(super) fn runtime(kind: RuntimeKind) -> String {
    if kind == RuntimeKind::Remote {
        return format!("{HEADER}\n{REMOTE_RUNTIME}");
    }
    let program = match kind {
        RuntimeKind::Acp => format!(
            r#"command = "{ACP_COMMAND}"                # a program that speaks ACP on its standard input and output
args = ["--acp"]
"#
        ),
        RuntimeKind::Command => r#"command = "sh"                        # run in the workspace; the message is in the file $TASK_PROMPT_PATH
args = ["-c", "cat \"$$TASK_PROMPT_PATH\""]   # $$ is a dollar sign, here for the shell
"#
        .to_owned(),
        _ => r#"# command = "/path/to/the/program"    # when it is not on PATH
model = "auto"                        # auto: the model the mesh serves; or a model's name
config = "mesh"                       # mesh: a home of its own | user: your own configuration and login
"#
        .to_owned(),
    };
    let env = match kind {
        RuntimeKind::Command => "",
        RuntimeKind::Acp => {
            r#"
[runtime.env]
MESH_LLM_MCP_URL = "{{ mesh.mcp_url }}"
MESH_LLM_API_URL = "{{ mesh.api_url }}"
MESH_AGENT_WORKSPACE = "{{ task.workspace }}"
"#
        }
        _ => {
            r#"
[runtime.env]
MESH_LLM_MCP_URL = "{{ mesh.mcp_url }}"
"#
        }
    };
    // Commented out: written by the owner, it would refuse tasks wherever nothing can confine them.
    let filesystem = if kind.is_preset() {
        "# filesystem = \"workspace\"            # workspace | read_all | unconfined"
    } else {
        "# filesystem = \"read_all\"             # workspace | read_all | unconfined"
    };
    let approval = match kind {
        // They act without asking.
        RuntimeKind::Pi | RuntimeKind::Command => {
            "approval = \"deny\"                     # deny | auto"
        }
        RuntimeKind::Goose => "approval = \"deny\"                     # deny | ask | auto",
        _ => "approval = \"deny\"                     # deny | ask | auto_edit | auto",
    };
    format!(
        r#"{HEADER}
# How this node runs the agent. Callers never see this file. What is not written has its default.
enabled = true
visibility = "private"                # private | public

[runtime]
type = "{kind}"
{program}max_concurrent_tasks = 1
inherit_env = []                      # your variables it gets when they are set, such as "GH_TOKEN"
{env}
[runtime.queue]
mode = "queue"                        # queue | reject: what happens to more tasks than that
max_pending_tasks = 16

[runtime.workspace]
mode = "temp_per_task"                # temp_per_task | path | agent_dir | none
keep = "on_failure"                   # never | on_failure | always
# path = "$HOME/src/app"              # for mode = "path"

[instructions]
file = "instructions.md"
delivery = "first_prompt"             # first_prompt | every_prompt | none

[tools.mesh]
enabled = true                        # it may find and ask other agents

[result]
require = []                          # files without which a task has failed, such as "findings.json"

[policy]
advertise_on_mesh = false
public_mesh = false
{approval}: the answer when it asks for more than it was granted
{filesystem}; when written, a task is refused where it cannot be enforced
# network = "loopback"                # allow (default) | loopback | deny; for other nodes write one
max_task_seconds = 3600
idle_seconds = 600
ask_seconds = 900
"#
    )
}

/// What is decided here of an agent that runs elsewhere.
const REMOTE_RUNTIME: &str = r#"# What this agent is and where it runs is in agent-card.json: the first interface in
# supportedInterfaces with protocolBinding JSONRPC or HTTP+JSON is called.

enabled = true
visibility = "private"                # private | public

[runtime]
type = "remote"
max_concurrent_tasks = 4              # tasks under way there at once, as far as they come from here

[runtime.queue]
mode = "queue"                        # queue | reject: what happens to more tasks than that
max_pending_tasks = 16

[auth]
# bearer_env = "REMOTE_AGENT_TOKEN"   # the environment variable that holds the token to show there

[result]
require = []                          # artifacts without which a task has failed, such as "findings.json"

[policy]
advertise_on_mesh = false
public_mesh = false
max_task_seconds = 3600
idle_seconds = 600
ask_seconds = 900
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_made_from_ids() {
        for (id, name) in [
            ("pr-review", "PR Review"),
            ("test_runner", "Test Runner"),
            ("API-docs2", "API Docs2"),
            ("x", "X"),
            ("--", "--"),
        ] {
            assert_eq!(title(&id.parse().unwrap()), name);
        }
    }
}
