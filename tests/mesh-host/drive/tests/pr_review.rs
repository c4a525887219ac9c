//! The example `pr-review` on a real OpenCode, through a real host: what stands in a file of the workspace
//! reaches `findings.json` by the harness's own tools, and `result.require` decides what counts as done.
//!
//! In the model's place is a script (`MODEL_BIN`), everything else is what a user would have: the agent's
//! directory as it is in the repository, OpenCode from npm (`OPENCODE_BIN`), a git repository to review.

use anyhow::Result;
use mesh_host_drive::review::{self, HALF, Repository, WHOLE};
use mesh_host_drive::{Client, Host, HostSpec, Model, run};
use serde_json::{Value, json};

/// Parks before a task is given up. OpenCode takes seconds to start, more beside other work.
const PARKS: usize = 8;

/// The longest a call may be parked through the host.
const PARK: u64 = 25;

#[tokio::test(flavor = "multi_thread")]
async fn pr_review_with_opencode() {
    run(async |home| {
        let repository = Repository::new(home)?;
        let model = Model::start(home, &repository.script(false))?;
        home.set("openai_url", model.openai_url())?;
        let path = json!(repository.path());
        let fixed = format!("mode = \"path\"\npath = {path}");
        review::agent(home, "pr-review", &fixed, "")?;
        let granted = format!("read = [{path}]");
        review::agent(home, "elsewhere", "mode = \"temp_per_task\"", &granted)?;
        let host = Host::start(home, HostSpec::new("review")).await?;
        let mcp = host.mcp().await?;

        let whole = ended(&mcp, "pr-review", WHOLE).await?;
        assert_eq!(whole["state"], "completed", "{whole}");
        repository.check(&mcp, &whole).await?;

        let half = ended(&mcp, "elsewhere", HALF).await?;
        assert_eq!(half["state"], "failed", "{half}");
        assert!(
            half.to_string().contains("required_artifact_missing"),
            "{half}"
        );
        assert!(half.to_string().contains("findings.json"), "{half}");
        // What there is of a failed task can be read, and it came from a directory granted by policy.read.
        let summary = review::view(&mcp, "view_text_artifact", &half, "summary.md").await?;
        assert!(
            summary["text"]
                .as_str()
                .is_some_and(|text| repository.is_told_by(text)),
            "{summary}"
        );

        assert_eq!(host.lost_plugins()?, 0);
        mcp.close().await?;
        host.stop().await?;
        model.stop().await
    })
    .await;
}

/// Sends a message and waits for the end of its task.
async fn ended(mcp: &Client, agent_id: &str, message: &str) -> Result<Value> {
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
