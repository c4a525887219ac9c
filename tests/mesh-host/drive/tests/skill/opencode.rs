//! A real OpenCode as a person has it: the host's `/mcp` registered as README says, our skills where the host's installer
//! puts them, `opencode run "…"` in a project. Only the model is a script, made from the steps it is to follow.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use mesh_host_drive::{Home, Host, Model, opencode_bin};
use serde_json::{Value, json};

use crate::steps::{Call, Step};

/// The fence of the block by which README registers the mesh in OpenCode.
const FENCE: &str = "```json opencode";

/// The address in that block: a host's default.
const DEFAULT_MCP: &str = "http://127.0.0.1:3131/mcp";

/// What a model puts in the place of a step's `<word>`: the server's patterns over what it was told and shown.
pub(crate) type Fillings = BTreeMap<&'static str, String>;

/// Writes OpenCode's configuration into the home.
pub(crate) fn configure(home: &Home, host: &Host<'_>, model: &Model) -> Result<()> {
    let readme = fs::read_to_string(crate::repository().join("README.md"))?;
    let block = readme
        .split_once(&format!("{FENCE}\n"))
        .and_then(|(_, rest)| rest.split_once("```"))
        .with_context(|| format!("README.md has no {FENCE:?} block"))?
        .0;
    ensure!(block.contains(DEFAULT_MCP), "{block}");
    let block = block.replace(DEFAULT_MCP, &host.url("/mcp"));
    let mut config: Value = serde_json::from_str(&block).context("README's block is JSON")?;
    let own = json!({
        "autoupdate": false, "share": "disabled", "snapshot": false,
        "model": "mesh/scripted-model", "small_model": "mesh/scripted-model",
        "enabled_providers": ["mesh"],
        "provider": { "mesh": {
            "npm": "@ai-sdk/openai-compatible", "name": "Mesh",
            "options": { "baseURL": model.openai_url(), "apiKey": "none" },
            "models": { "scripted-model": { "name": "scripted-model", "tool_call": true,
                        "limit": { "context": 200_000, "output": 32_000 } } },
        } },
        "agent": { "title": { "disable": true } },
    });
    for (key, value) in own.as_object().into_iter().flatten() {
        config[key] = value.clone();
    }
    // OpenCode lists what lies beside a skill by ripgrep, which it would fetch from the internet; and it fails the skill
    // where it has none. Nothing lies beside ours.
    let rg = home.shared("bin")?.join("rg");
    fs::write(&rg, "#!/bin/sh\nexit 1\n")?;
    fs::set_permissions(&rg, fs::Permissions::from_mode(0o755))?;
    let directory = home.shared(".config/opencode")?;
    fs::write(directory.join("opencode.json"), config.to_string())?;
    for skill in fs::read_dir(crate::repository().join("skills"))? {
        let skill = skill?;
        let to = home.shared(&format!(
            ".config/opencode/skills/{}",
            skill.file_name().display()
        ))?;
        fs::copy(skill.path().join("SKILL.md"), to.join("SKILL.md"))?;
    }
    Ok(())
}

/// Says one thing to OpenCode in a project and returns what it prints.
pub(crate) fn run(home: &Home, project: &Path, prompt: &str) -> Result<String> {
    let mut path = home.path().join("bin").into_os_string();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let output = Command::new(opencode_bin())
        .args(["run", prompt])
        .env_clear()
        .envs(home.environment())
        .env("PATH", path)
        .envs(
            [
                "AUTOUPDATE",
                "MODELS_FETCH",
                "LSP_DOWNLOAD",
                "DEFAULT_PLUGINS",
                "SHARE",
            ]
            .map(|what| (format!("OPENCODE_DISABLE_{what}"), "1")),
        )
        .current_dir(project)
        .output()
        .context("run opencode")?;
    ensure!(output.status.success(), "opencode run: {output:?}");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A model's answers that follow the steps: one for each call, each as often as `times` says of its tool, and `last`.
pub(crate) fn answers(
    steps: &[Step],
    fillings: &Fillings,
    times: &dyn Fn(&Step) -> usize,
    last: &str,
) -> Result<Vec<Value>> {
    let mut answers = Vec::new();
    for step in steps {
        for call in &step.calls {
            let answer = match call {
                Call::Shell(command) => json!({ "tools": [{ "names": ["bash"],
                    "arguments": { "command": command, "description": "step" } }] }),
                Call::Tool { name, arguments } => {
                    let filled = arguments.iter().map(|(name, value)| {
                        let value = match value.as_str() {
                            Some(text) => json!(fill(text, fillings)?),
                            None => value.clone(),
                        };
                        Ok((name.clone(), value))
                    });
                    let filled: serde_json::Map<_, _> = filled.collect::<Result<_>>()?;
                    json!({ "tools": [{ "names": [format!("*_{name}")], "arguments": filled }] })
                }
            };
            answers.extend(std::iter::repeat_n(answer, times(step)));
        }
    }
    answers.push(json!({ "text": last }));
    Ok(answers)
}

fn fill(text: &str, fillings: &Fillings) -> Result<String> {
    let mut text = text.to_owned();
    for (word, pattern) in fillings {
        text = text.replace(&format!("<{word}>"), pattern);
    }
    ensure!(!text.contains('<'), "nothing fills {text:?}");
    Ok(text)
}
