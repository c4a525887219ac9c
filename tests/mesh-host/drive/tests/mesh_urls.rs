//! A host tells its plugins no address; an agent is told it all the same: `{{ mesh.… }}` names the very host.

use std::fs;
use std::time::Duration;

use anyhow::Context as _;
use mesh_host_drive::{AgentFiles, Host, HostSpec, eventually, run};
use serde_json::{Value, json};

/// Writes what the agent was told.
const TOLD: &str = "#!/bin/sh\nset -eu\nprintf '{\"mcp\":\"%s\",\"api\":\"%s\",\"openai\":\"%s\"}' \
    \"$MCP\" \"$API\" \"$OPENAI\" > \"$TASK_ARTIFACTS_DIR/told.json\"\n";

/// Where it is told.
const ENVIRONMENT: &str = "\n[runtime.env]\nMCP = \"{{ mesh.mcp_url }}\"\nAPI = \"{{ mesh.api_url }}\"\n\
    OPENAI = \"{{ mesh.openai_url }}\"\n";

/// Limit for the host to be found. It opens its console some time after it starts its plugins.
const FOUND_LIMIT: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_is_told_the_addresses_of_its_host() {
    run(async |home| {
        let runtime = home
            .agent(&AgentFiles::new("told", TOLD))?
            .join("runtime.toml");
        let text = fs::read_to_string(&runtime)? + ENVIRONMENT;
        fs::write(&runtime, text)?;
        let host = Host::start(home, HostSpec::new("urls")).await?;
        let status = host.get("/api/status").await?;
        let expected = json!({
            "mcp": host.url("/mcp"),
            "api": host.url(""),
            "openai": format!("http://127.0.0.1:{}/v1", status["api_port"]),
        });
        let mcp = host.mcp().await?;
        let mut told = Value::Null;
        eventually(
            "the agent to be told of this host",
            FOUND_LIMIT,
            async || {
                let message = json!({ "agent_id": "told", "message": "Say.", "wait_seconds": 25 });
                let task = mcp.call("send_message", message).await?;
                let artifact = json!({ "task_id": task["task_id"], "artifact_id": "told.json" });
                told = mcp.call("view_data_artifact", artifact).await?["data"].take();
                Ok((told == expected).then_some(()))
            },
        )
        .await
        .with_context(|| format!("it is told {told}, and there is {expected}"))?;
        mcp.close().await?;
        host.stop().await
    })
    .await;
}
