//! `mesh-llm <plugin> <args…>`: how the host turns a command line into the plugin's `cli.run`.
//!
//! The released program keeps this in its binary crate, which is not published, so it is written here
//! against the same public parts: the plugin is resolved from the configuration or else from the
//! installed ones, started as a second copy with no mesh behind it, asked once, and stopped.

use std::collections::BTreeMap;
use std::io::Write as _;

use anyhow::{Context, Result, bail};
use mesh_llm_host_runtime::RuntimeOptions;
use mesh_llm_host_runtime::command_support::plugin::{
    ExternalPluginSpec, PluginHostMode, PluginManager, ResolvedPlugins, ToolCallResult,
    load_config, load_resolved_plugins,
};
use mesh_llm_plugin::MeshVisibility;
use mesh_llm_plugin_manager::{PluginStore, default_store_root};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// The operation a plugin answers its command line with.
const CLI_OPERATION: &str = "cli.run";

/// Room for messages to the mesh. There is no mesh and nobody reads; the released program has 1 as well.
const MESH_QUEUE: usize = 1;

/// What a plugin answers `cli.run` with.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CliAnswer {
    exit_code: Option<i32>,
    stdout: Option<String>,
    stderr: Option<String>,
}

/// Runs `words[0]`'s command line with the words after it, and prints what it answered.
///
/// # Errors
/// No such plugin, a plugin that does not start or fails the call, and an exit code other than 0.
pub(crate) async fn run(words: &[String]) -> Result<()> {
    let (name, args) = words.split_first().context("no plugin named")?;
    let plugins = ResolvedPlugins {
        externals: vec![resolve(name)?],
        inactive: Vec::new(),
    };
    let cwd = std::env::current_dir()
        .ok()
        .map(|dir| dir.display().to_string());
    let request = json!({ "command": name, "args": args, "argv": words, "cwd": cwd }).to_string();

    // The receiving end stays alive and unread for as long as the plugin runs.
    let (mesh, _unread) = mpsc::channel(MESH_QUEUE);
    let mode = PluginHostMode {
        mesh_visibility: MeshVisibility::Private,
    };
    let manager = PluginManager::start(&plugins, mode, mesh).await?;
    let answer = manager
        .invoke_operation_without_timeout(name, CLI_OPERATION, &request)
        .await;
    manager.shutdown().await;
    print(name, &answer?)
}

/// The configured plugin of that name, else the installed one.
fn resolve(name: &str) -> Result<ExternalPluginSpec> {
    let configured = load_config(None)?
        .plugins
        .into_iter()
        .find(|entry| entry.name == name);
    match configured {
        Some(entry) if entry.enabled.unwrap_or(true) => {
            load_resolved_plugins(&RuntimeOptions::default())?
                .externals
                .into_iter()
                .find(|spec| spec.name == name)
                .with_context(|| format!("Plugin command '{name}' is configured but not runnable"))
        }
        Some(_) => bail!("Plugin '{name}' is disabled in config.toml"),
        None => installed(name),
    }
}

fn installed(name: &str) -> Result<ExternalPluginSpec> {
    let metadata = PluginStore::new(default_store_root()?)
        .load_optional(name)?
        .filter(|metadata| metadata.enabled)
        .with_context(|| {
            format!("Unknown command '{name}': no plugin of that name is configured or installed")
        })?;
    let executable = metadata.executable_path();
    if !executable.exists() {
        bail!(
            "Plugin '{name}' is installed without its executable {}",
            executable.display()
        );
    }
    Ok(ExternalPluginSpec {
        name: metadata.name.clone(),
        command: executable.display().to_string(),
        args: Vec::new(),
        url: None,
        env: BTreeMap::default(),
        startup: Default::default(),
        web_ui_enabled: None,
        web_ui_primary_tab: None,
        installed_metadata: Some(metadata),
    })
}

/// Prints an answer: an object's own streams, a string as it is, anything else as JSON.
fn print(name: &str, result: &ToolCallResult) -> Result<()> {
    if result.is_error {
        bail!("Plugin command '{name}' failed: {}", result.content_json);
    }
    let text = &result.content_json;
    let value = if text.trim().is_empty() {
        Value::Null
    } else {
        serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.clone()))
    };
    match value {
        Value::Null => Ok(()),
        Value::String(text) => Ok(std::io::stdout().write_all(text.as_bytes())?),
        object @ Value::Object(_) => {
            let answer: CliAnswer =
                serde_json::from_value(object).context("decode the plugin's cli.run answer")?;
            std::io::stderr().write_all(answer.stderr.unwrap_or_default().as_bytes())?;
            std::io::stdout().write_all(answer.stdout.unwrap_or_default().as_bytes())?;
            match answer.exit_code {
                None | Some(0) => Ok(()),
                Some(code) => bail!("Plugin command '{name}' exited with status {code}"),
            }
        }
        other => Ok(writeln!(std::io::stdout(), "{other:#}")?),
    }
}
