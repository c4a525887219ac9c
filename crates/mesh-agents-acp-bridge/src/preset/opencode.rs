//! OpenCode (acp.md §3, verified with 1.18.33). It has no flags for MCP or instructions: MCP comes
//! with the session, instructions with the prompt, everything else in `OPENCODE_CONFIG_CONTENT`,
//! which wins over every file.

use mesh_agents_core::agent::{Approval, ConfigSource, Filesystem};
use mesh_agents_core::task::Failure;
use serde_json::{Map, Value, json};
use ulid::Ulid;

use super::{
    CONTEXT_TOKENS, Configured, Harness, OUTPUT_TOKENS, Setup, XDG_CACHE, XDG_CONFIG, XDG_DATA,
    XDG_STATE, pairs, path_text,
};
use crate::plan::{McpSupport, no_text};

pub(super) const HARNESS: Harness = Harness {
    command: "opencode",
    args: &["acp"],
    install: "install it with `npm install -g opencode-ai`, or set runtime.command to its path",
    uses_model: true,
    helpers: &[],
    mcp: McpSupport::Http,
    ignore_text: no_text,
    configure,
};

fn configure(setup: &Setup<'_>) -> Result<Configured, Failure> {
    let (mut configured, mut config) = match setup.config() {
        ConfigSource::Mesh => (Configured::default(), mesh_config(setup)?),
        ConfigSource::User => {
            let dirs = [XDG_CONFIG, XDG_DATA, XDG_CACHE, XDG_STATE];
            (setup.owner_xdg("opencode", &dirs)?, user_config(setup))
        }
    };
    config.insert("permission".to_owned(), permission(setup)?);
    configured.env.extend(pairs(&[
        ("OPENCODE_DISABLE_AUTOUPDATE", "1"),
        ("OPENCODE_DISABLE_SHARE", "1"),
        // A workspace's own opencode.json may start programs before any prompt (acp.md §0.5).
        ("OPENCODE_DISABLE_PROJECT_CONFIG", "1"),
    ]));
    if setup.config() == ConfigSource::Mesh {
        configured.env.extend(pairs(&[
            ("OPENCODE_DISABLE_MODELS_FETCH", "1"),
            ("OPENCODE_DISABLE_LSP_DOWNLOAD", "1"),
            ("OPENCODE_DISABLE_DEFAULT_PLUGINS", "1"),
        ]));
    }
    // It serves its configuration over loopback HTTP to whoever knows this.
    let password = Ulid::new().to_string();
    let config = Value::Object(config).to_string();
    configured.env.extend(pairs(&[
        ("OPENCODE_SERVER_PASSWORD", &password),
        ("OPENCODE_CONFIG_CONTENT", &config),
    ]));
    Ok(configured)
}

/// A provider with the one model, and nothing that reaches beyond it.
fn mesh_config(setup: &Setup<'_>) -> Result<Map<String, Value>, Failure> {
    let (url, model) = setup.mesh_model()?;
    let mut models = Map::new();
    models.insert(
        model.to_owned(),
        json!({
            "name": model,
            "tool_call": true,
            "limit": {"context": CONTEXT_TOKENS, "output": OUTPUT_TOKENS},
        }),
    );
    let provider = json!({
        "npm": "@ai-sdk/openai-compatible",
        "name": "Mesh",
        "options": {"baseURL": url, "apiKey": "none"},
        "models": models,
    });
    let qualified = format!("mesh/{model}");
    let config = [
        ("autoupdate", json!(false)),
        ("share", json!("disabled")),
        ("snapshot", json!(false)),
        ("model", json!(qualified)),
        ("small_model", json!(qualified)),
        // Without this it offers its hosted models and would pick one.
        ("enabled_providers", json!(["mesh"])),
        ("provider", json!({"mesh": provider})),
        // Else every session asks the model once more, for a title.
        ("agent", json!({"title": {"disable": true}})),
    ];
    Ok(config
        .map(|(key, value)| (key.to_owned(), value))
        .into_iter()
        .collect())
}

/// The owner's configuration stands; only a model named in `runtime.toml` goes before it.
fn user_config(setup: &Setup<'_>) -> Map<String, Value> {
    let model = setup.named_model();
    let entry = model.map(|model| ("model".to_owned(), json!(model)));
    entry.into_iter().collect()
}

/// What it does without asking, and what it asks. A question asked inside a subagent is never sent
/// and never ends (acp.md §0.4), so where there are questions there are no subagents, and where
/// nobody is to be asked there is only allow and deny.
fn permission(setup: &Setup<'_>) -> Result<Value, Failure> {
    let spec = setup.ctx.spec;
    let policy = &spec.agent.policy;
    let asks = policy.approval == Approval::Ask;
    let beyond = if asks { "ask" } else { "deny" };
    let mut external = Map::new();
    let elsewhere = match policy.filesystem {
        // Whatever was answered, confinement would refuse it.
        Filesystem::Workspace => "deny",
        Filesystem::ReadAll => "allow",
        // Nothing else stands between it and the owner's files.
        Filesystem::Unconfined if asks => "ask",
        Filesystem::Unconfined => "allow",
    };
    // The last pattern that matches decides.
    external.insert("*".to_owned(), json!(elsewhere));
    let artifacts = spec.dirs.artifacts();
    let granted = policy.read.iter().chain(&policy.write);
    for dir in std::iter::once(&artifacts).chain(granted) {
        let dir = path_text(dir)?.trim_end_matches('/');
        external.insert(dir.to_owned(), json!("allow"));
        external.insert(format!("{dir}/**"), json!("allow"));
    }
    // OpenCode asks before it reads such files unless it is told.
    let secrets = match policy.approval {
        Approval::Deny | Approval::AutoEdit => "deny",
        Approval::Ask => "ask",
        Approval::Auto => "allow",
    };
    let mut permission = json!({
        "read": {"*": "allow", "*.env": secrets, "*.env.*": secrets, "*.env.example": "allow"},
        "edit": "allow",
        "bash": "allow",
        "external_directory": external,
        "doom_loop": beyond,
        "webfetch": beyond,
        "websearch": beyond,
        "question": "deny",
    });
    if asks {
        permission["task"] = json!("deny");
    }
    Ok(permission)
}
