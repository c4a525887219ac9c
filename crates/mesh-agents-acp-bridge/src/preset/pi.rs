//! Pi through pi-acp (acp.md §4, verified with pi-acp 0.0.34 and pi 0.87.1): configured by two
//! files in its HOME. It has no permissions and drops the MCP servers of a session.

use mesh_agents_core::agent::ConfigSource;
use mesh_agents_core::task::Failure;
use serde_json::{Value, json};

use super::{CONTEXT_TOKENS, Configured, Harness, OUTPUT_TOKENS, Setup, pairs, values};
use crate::plan::{McpSupport, PlanFile};

pub(super) const HARNESS: Harness = Harness {
    command: "pi-acp",
    args: &[],
    install: "install both with `npm install -g pi-acp @earendil-works/pi-coding-agent` (Node 22.19 or later), or set runtime.command to the path of pi-acp and PI_ACP_PI_COMMAND in [runtime.env] to that of pi",
    uses_model: true,
    helpers: &[("pi", "PI_ACP_PI_COMMAND")],
    mcp: McpSupport::None,
    ignore_text: startup_notice,
    configure,
};

fn configure(setup: &Setup<'_>) -> Result<Configured, Failure> {
    match setup.config() {
        ConfigSource::Mesh => mesh(setup),
        ConfigSource::User => user(setup),
    }
}

/// pi-acp sends a version notice as if it were an answer, and says in `session/new` what it is.
fn startup_notice(session: &Value) -> Option<String> {
    let notice = session.pointer("/_meta/piAcp/startupInfo")?.as_str()?;
    Some(notice.to_owned())
}

fn mesh(setup: &Setup<'_>) -> Result<Configured, Failure> {
    let (url, model) = setup.mesh_model()?;
    let models = json!({"providers": {"mesh": {
        "baseUrl": url,
        "api": "openai-completions",
        "apiKey": "none",
        "models": [{"id": model, "contextWindow": CONTEXT_TOKENS, "maxTokens": OUTPUT_TOKENS}],
    }}});
    let settings = json!({
        "defaultProvider": "mesh",
        "defaultModel": model,
        "quietStartup": true,
    });
    let dir = setup.ctx.spec.home.join(".pi/agent");
    let file = |name: &str, content: &Value| PlanFile {
        path: dir.join(name),
        text: format!("{content:#}\n"),
    };
    Ok(Configured {
        env: pairs(&[("PI_OFFLINE", "1"), ("PI_TELEMETRY", "0")]),
        files: vec![
            file("models.json", &models),
            file("settings.json", &settings),
        ],
        ..Configured::default()
    })
}

fn user(setup: &Setup<'_>) -> Result<Configured, Failure> {
    if let Some(model) = setup.named_model() {
        let cause = format!(
            "{model:?} cannot be given to pi with config = \"user\": pi takes its model from ~/.pi/agent/settings.json; set defaultModel there and leave runtime.model out"
        );
        return Err(values::configuration("runtime.model", &cause));
    }
    Ok(Configured {
        write: vec![setup.owner_home()?.join(".pi")],
        owner_home: true,
        ..Configured::default()
    })
}
