//! The example `pr-review` on a real OpenCode, through a real host: what stands in a file of the workspace
//! reaches `findings.json` by the harness's own tools, and `result.require` decides what counts as done.
//!
//! In the model's place is a script (`MODEL_BIN`), everything else is what a user would have: the agent's
//! directory as it is in the repository, OpenCode from npm (`OPENCODE_BIN`), a git repository to review.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use mesh_host_drive::{Client, Home, Host, HostSpec, Model, opencode_bin, run};
use serde_json::{Value, json};

/// In the message of the task that delivers all it must.
const WHOLE: &str = "Review the last commit.";

/// In the message of the task that forgets its findings.
const HALF: &str = "Summarise the last commit.";

/// Where the prompt tells the harness to write, as the script of the model reads it.
const ARTIFACTS: &str = r"${prompt:written to the directory (\S+) \(also}";

/// Parks before a task is given up. OpenCode takes seconds to start, more beside other work.
const PARKS: usize = 8;

/// The longest a call may be parked through the host.
const PARK: u64 = 25;

#[tokio::test(flavor = "multi_thread")]
async fn pr_review_with_opencode() {
    run(async |home| {
        let nonces = Nonces::new();
        let repository = repository(home, &nonces)?;
        let model = Model::start(home, &script())?;
        home.set("openai_url", model.openai_url())?;
        agent(
            home,
            "pr-review",
            &format!("mode = \"path\"\npath = {}", json!(repository)),
            "",
        )?;
        agent(
            home,
            "elsewhere",
            "mode = \"temp_per_task\"",
            &format!("read = [{}]", json!(repository)),
        )?;
        let host = Host::start(home, HostSpec::new("review")).await?;
        let mcp = host.mcp().await?;

        let whole = ended(&mcp, "pr-review", WHOLE, &repository).await?;
        assert_eq!(whole["state"], "completed", "{whole}");
        the_review_carries_the_nonces(&mcp, &whole, &nonces).await?;

        let half = ended(&mcp, "elsewhere", HALF, &repository).await?;
        assert_eq!(half["state"], "failed", "{half}");
        assert!(
            half.to_string().contains("required_artifact_missing"),
            "{half}"
        );
        assert!(half.to_string().contains("findings.json"), "{half}");
        // What there is of a failed task can be read, and it came from a directory granted by policy.read.
        let summary = view(&mcp, "view_text_artifact", &half, "summary.md").await?;
        assert!(
            summary["text"]
                .as_str()
                .is_some_and(|text| text.contains(&nonces.committed)),
            "{summary}"
        );

        assert_eq!(host.lost_plugins()?, 0);
        mcp.close().await?;
        host.stop().await?;
        model.stop().await
    })
    .await;
}

/// Words nobody can know who has not looked.
struct Nonces {
    /// In the working copy of a file, and nowhere in its history.
    written: String,
    /// In the last commit.
    committed: String,
}

impl Nonces {
    fn new() -> Self {
        // The keys of a map are random: the standard library's own source of random numbers.
        let random = || {
            use std::hash::BuildHasher as _;
            std::hash::RandomState::new().hash_one(std::process::id())
        };
        Self {
            written: format!("w{:016x}", random()),
            committed: format!("c{:016x}", random()),
        }
    }
}

/// A repository with two commits, and a change to the working copy.
fn repository(home: &Home, nonces: &Nonces) -> Result<PathBuf> {
    let repository = home.shared("shop")?;
    let price = repository.join("price.sh");
    let git = |args: &[&str]| git(home, &repository, args);
    git(&["init", "--quiet"])?;
    fs::write(&price, "price=1\n")?;
    git(&["add", "."])?;
    git(&["commit", "--quiet", "--message", "Add the price"])?;
    fs::write(&price, format!("price=2 # token={}\n", nonces.committed))?;
    git(&["commit", "--quiet", "--all", "--message", "Raise the price"])?;
    fs::write(&price, format!("price=3 # token={}\n", nonces.written))?;
    Ok(repository)
}

fn git(home: &Home, repository: &Path, args: &[&str]) -> Result<()> {
    let person = [
        "-c",
        "user.name=Tester",
        "-c",
        "user.email=tester@localhost",
    ];
    let output = Command::new("git")
        .args(person)
        .args(args)
        .env_clear()
        .envs(home.environment())
        .current_dir(repository)
        .output()
        .context("run git")?;
    ensure!(output.status.success(), "git {args:?}: {output:?}");
    Ok(())
}

/// The model's part in both reviews: look with the harness's tools, write what was seen.
fn script() -> Value {
    let shell = |command: &str| json!({ "tools": [{ "names": ["bash"], "arguments": { "command": command, "description": "look" } }] });
    let write = |name: &str, content: &str| json!({ "tools": [{ "names": ["write"], "arguments": { "filePath": format!("{ARTIFACTS}/{name}"), "content": content } }] });
    let repository = r"${prompt:repository (\S+)}";
    let look = shell(&format!("git -C {repository} show HEAD"));
    let read = json!({ "tools": [{ "names": ["read"], "arguments": { "filePath": format!("{repository}/price.sh") } }] });
    let committed = r"${tool_result:\+price=2 # token=(\w+)}";
    let written = r"${tool_result:price=3 # token=(\w+)}";
    // Written as text: in a JSON string the placeholders' own backslashes would be doubled.
    let findings = format!(
        r#"{{"findings":[{{"severity":"high","file":"price.sh","line":1,"issue":"committed {committed}"}},{{"severity":"low","file":"price.sh","line":1,"issue":"written {written}"}}]}}"#
    );
    let summary = write(
        "summary.md",
        &format!("# Review\n\nThe commit has {committed}.\n"),
    );
    let done = json!({ "text": "The review is written." });
    json!({
        "rules": [
            { "when": WHOLE, "steps": [look.clone(), read, write("findings.json", &findings), summary.clone(), done.clone()] },
            { "when": HALF, "steps": [look, summary, done] },
        ],
        "aux": { "text": "A title" },
    })
}

/// The example with the OpenCode of this test, and with these lines in its tables.
fn agent(home: &Home, id: &str, workspace: &str, policy: &str) -> Result<()> {
    let path = home.example("pr-review", id)?.join("runtime.toml");
    let runtime = fs::read_to_string(&path)?;
    let command = format!("type = \"opencode\"\ncommand = {}\n", json!(opencode_bin()));
    let runtime = replaced(&runtime, "type = \"opencode\"\n", &command)?;
    let runtime = replaced(&runtime, "mode = \"temp_per_task\"", workspace)?;
    let runtime = replaced(&runtime, "[policy]\n", &format!("[policy]\n{policy}\n"))?;
    fs::write(&path, runtime).context("write runtime.toml")
}

fn replaced(text: &str, from: &str, to: &str) -> Result<String> {
    ensure!(text.contains(from), "the example has no {from:?} any more");
    Ok(text.replacen(from, to, 1))
}

/// Sends a message and waits for the end of its task.
async fn ended(mcp: &Client, agent_id: &str, what: &str, repository: &Path) -> Result<Value> {
    let message = format!("{what} It is in the repository {} .", repository.display());
    let message = json!({ "agent_id": agent_id, "message": message });
    let sent = mcp.call("send_message", message).await?;
    let wait = json!({ "task_id": sent["task_id"], "wait_seconds": PARK });
    let mut task = Value::Null;
    for _ in 0..PARKS {
        task = mcp.call("get_task", wait.clone()).await?;
        if task["state"] != "submitted" && task["state"] != "working" {
            break;
        }
    }
    Ok(task)
}

async fn the_review_carries_the_nonces(mcp: &Client, task: &Value, nonces: &Nonces) -> Result<()> {
    let data = view(mcp, "view_data_artifact", task, "findings.json").await?;
    let issues = data["data"]["findings"].as_array().context("findings")?;
    let issues: Vec<_> = issues.iter().map(|finding| &finding["issue"]).collect();
    let expected = [
        format!("committed {}", nonces.committed),
        format!("written {}", nonces.written),
    ];
    assert_eq!(issues, expected.each_ref().map(String::as_str), "{data}");
    let summary = view(mcp, "view_text_artifact", task, "summary.md").await?;
    let expected = format!("# Review\n\nThe commit has {}.\n", nonces.committed);
    assert_eq!(summary["text"], expected, "{summary}");
    Ok(())
}

async fn view(mcp: &Client, tool: &str, task: &Value, artifact_id: &str) -> Result<Value> {
    let request = json!({ "task_id": task["task_id"], "artifact_id": artifact_id });
    Ok(mcp.call(tool, request).await?)
}
