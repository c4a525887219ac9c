//! `agents demo`: an agent does real work on this machine, in a temporary directory, in one screen.

mod mcp;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use crate::args::Common;
use crate::context::Context;
use crate::engine::node::{Listen, Node, NodeConfig};
use crate::output::{Exit, Output};
use crate::settings::{Environment, Settings};
use crate::tokens::Tokens;
use mcp::McpClient;

/// The agent that works, as it is in `examples/`.
const AGENT: [(&str, &str); 4] = [
    (
        "agent-card.json",
        include_str!("../../../../examples/test-runner/agent-card.json"),
    ),
    (
        "runtime.toml",
        include_str!("../../../../examples/test-runner/runtime.toml"),
    ),
    (
        "instructions.md",
        include_str!("../../../../examples/test-runner/instructions.md"),
    ),
    (
        "run.sh",
        include_str!("../../../../examples/test-runner/run.sh"),
    ),
];

/// The project it works on: a small shop whose tests really fail.
const PROJECT: [(&str, &str); 2] = [
    ("total.sh", include_str!("../../demo/shop/total.sh")),
    ("run-tests.sh", include_str!("../../demo/shop/run-tests.sh")),
];

/// Shows the main job: find an agent, give it work, wait, read what it found.
pub(crate) async fn demo(context: &Context, output: &mut Output) -> Result<Exit> {
    let stage = tempfile::Builder::new()
        .prefix("agents-demo-")
        .tempdir()
        .context("cannot create a temporary directory")?;
    let project = stage.path().join("shop");
    write(&stage.path().join("agents/test-runner"), &AGENT)?;
    write(&project, &PROJECT)?;
    make_repository(&project).await;

    let node = Node::start(&staged(context, stage.path())?, node_config()).await?;
    let shown = show(&node, &project, output).await;
    node.stop_now().await;
    stage
        .close()
        .context("cannot remove the temporary directory")?;
    shown?;
    output.say("");
    output.say("Nothing was left behind. Next, an agent with a model, in OpenCode:");
    output.say("  npm install -g opencode-ai  # the harness");
    output.say("  agents init pr-review       # the agent");
    output.say("  agents validate             # says what is missing here, such as a model");
    output.say("  agents send pr-review \"Review the last commit of $PWD\"");
    output.say("  agents serve                # or: add http://127.0.0.1:3131/mcp to your client");
    Ok(Exit::Done)
}

async fn show(node: &Node, project: &Path, output: &mut Output) -> Result<()> {
    let mut client = McpClient::connect(&format!("{}/mcp", node.base_url())).await?;
    output.say(&format!(
        "A node serves MCP at {}/mcp. What a client calls:",
        node.base_url()
    ));
    output.say("");

    output.say("get_agents {}");
    let agents = client.call("get_agents", &json!({})).await?;
    for agent in agents["agents"].as_array().into_iter().flatten() {
        output.say(&format!(
            "  -> {} ({}), {}",
            text(&agent["agent_id"]),
            text(&agent["runtime"]),
            text(&agent["state"])
        ));
    }
    let message = project.display().to_string();
    output.say(&format!(
        "send_message {{agent_id: test-runner, message: {message}}}"
    ));
    let sent = client
        .call(
            "send_message",
            &json!({ "agent_id": "test-runner", "message": message }),
        )
        .await?;
    let task = text(&sent["task_id"]).to_owned();
    output.say(&format!("  -> {task} {}", text(&sent["state"])));

    output.say(&format!("get_task {{task_id: {task}, wait_seconds: 60}}"));
    let done = client
        .call("get_task", &json!({ "task_id": task, "wait_seconds": 60 }))
        .await?;
    output.say(&format!("  -> {}", text(&done["state"])));
    anyhow::ensure!(
        text(&done["state"]) == "completed",
        "the demo's task did not complete: {done}"
    );

    output.say(&format!(
        "view_data_artifact {{task_id: {task}, artifact_id: findings.json}}"
    ));
    let request = json!({ "task_id": task, "artifact_id": "findings.json" });
    let found = client.call("view_data_artifact", &request).await?;
    let findings = found["data"]["findings"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    anyhow::ensure!(!findings.is_empty(), "the demo's tests found nothing");
    output.answer(
        "demo",
        &json!({ "task_id": task, "findings": findings }),
        |out| {
            for finding in &findings {
                let line = finding["line"]
                    .as_u64()
                    .map_or_else(String::new, |line| format!(":{line}"));
                writeln!(
                    out,
                    "  {:<6} {}{line}  {}",
                    text(&finding["severity"]),
                    text(&finding["file"]),
                    text(&finding["issue"])
                )?;
            }
            Ok(())
        },
    )
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn write(dir: &Path, files: &[(&str, &str)]) -> Result<()> {
    fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    for (name, text) in files {
        let path: PathBuf = dir.join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

/// Makes the project a git repository, as real ones are. The work does not depend on it.
async fn make_repository(project: &Path) {
    let who = ["-c", "user.name=demo", "-c", "user.email=demo@localhost"];
    for words in [
        &["init", "--quiet"][..],
        &["add", "."],
        &["commit", "--quiet", "--message", "A shop"],
    ] {
        let mut git = tokio::process::Command::new("git");
        git.args(who)
            .args(words)
            .current_dir(project)
            .kill_on_drop(true);
        if !git
            .output()
            .await
            .is_ok_and(|output| output.status.success())
        {
            tracing::debug!("no git, so the project stays a directory");
            return;
        }
    }
}

fn node_config() -> NodeConfig {
    let free = std::net::SocketAddr::from((std::net::Ipv4Addr::LOCALHOST, 0));
    NodeConfig {
        listen: Listen {
            address: free,
            or_next: false,
        },
        public_url: None,
        tokens: Tokens::default(),
        linger: None,
        own_mesh: true,
    }
}

/// The same program in a world of its own.
fn staged(context: &Context, stage: &Path) -> Result<Context> {
    let common = Common {
        agents_dir: Some(stage.join("agents")),
        data_dir: Some(stage.join("data")),
        json: false,
    };
    let environment: &Environment = &context.environment;
    Ok(Context {
        settings: Settings::load(&common, environment)?,
        temp: stage.to_owned(),
        ..context.clone()
    })
}
