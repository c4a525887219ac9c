//! From an agent's `runtime.toml` to a program that can be started: one path for every kind.
//!
//! A preset only states what is special about its harness: the default command, how it is
//! installed, and the configuration it needs. Expanding templates, finding the program, merging
//! environments and granting paths is done here, the same way for all. Nothing is started or
//! written; a [`LaunchPlan`] is a value.

mod acp;
mod command;
mod goose;
mod opencode;
mod pi;
mod program;
mod values;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mesh_agents_core::agent::{AgentDefinition, ConfigSource, RuntimeKind};
use mesh_agents_core::run::RunSpec;
use mesh_agents_core::task::Failure;
use serde_json::Value;

use crate::plan::{HomeKind, LaunchPlan, McpSupport, PlanContext, PlanFile};
use program::Search;
use values::Values;

/// The context assumed of a model of the mesh, which does not say: what small local models have. A
/// harness that assumed more would fill it before it shortens the conversation.
const CONTEXT_TOKENS: u32 = 32_000;
/// The longest single answer asked of such a model.
const OUTPUT_TOKENS: u32 = 4096;

/// What never changes about a harness.
struct Harness {
    /// The program started when `runtime.command` is not written; empty where it must be.
    command: &'static str,
    /// The arguments when `runtime.args` is not written.
    args: &'static [&'static str],
    /// How a person gets the program; ends the message that it is missing.
    install: &'static str,
    /// Whether it speaks to the model of `mesh.openai_url` when `config = "mesh"`.
    uses_model: bool,
    /// Programs it starts itself and cannot work without, each with the environment variable that
    /// names another one.
    helpers: &'static [(&'static str, &'static str)],
    /// Whether it takes MCP servers with its session.
    mcp: McpSupport,
    /// A text of its own making that is no answer, found in its `session/new` result.
    ignore_text: fn(&Value) -> Option<String>,
    /// The configuration it needs.
    configure: fn(&Setup<'_>) -> Result<Configured, Failure>,
}

/// What a preset configures its harness from.
struct Setup<'a> {
    ctx: &'a PlanContext<'a>,
}

/// What a preset adds to the plan.
#[derive(Debug, Default)]
struct Configured {
    env: Vec<(String, String)>,
    files: Vec<PlanFile>,
    read: Vec<PathBuf>,
    write: Vec<PathBuf>,
    /// The owner's HOME instead of the private one.
    owner_home: bool,
}

fn harness(kind: RuntimeKind) -> Result<&'static Harness, Failure> {
    match kind {
        RuntimeKind::Opencode => Ok(&opencode::HARNESS),
        RuntimeKind::Goose => Ok(&goose::HARNESS),
        RuntimeKind::Pi => Ok(&pi::HARNESS),
        RuntimeKind::Acp => Ok(&acp::HARNESS),
        RuntimeKind::Command => Ok(&command::HARNESS),
        RuntimeKind::Claude | RuntimeKind::Codex | RuntimeKind::Gemini => Err(Failure::new(
            "not_built",
            format!(
                "runtime.type = \"{kind}\" is not built yet; name the harness's own ACP command with type = \"acp\" and runtime.command"
            ),
        )),
        RuntimeKind::Remote => Err(Failure::new(
            "internal",
            "a remote agent has no harness to start on this machine",
        )),
    }
}

/// What to start for a run, with its environment, files and grants.
///
/// # Errors
/// `configuration` for a text that cannot be expanded, naming the key; `harness_not_found` for a
/// program that is not there, naming it, where it was looked for and how to install it; `no_model`
/// when the preset needs a model and there is none; `not_built` for a kind without a preset.
pub(crate) fn plan(ctx: &PlanContext<'_>) -> Result<LaunchPlan, Failure> {
    let agent = &*ctx.spec.agent;
    let harness = harness(agent.runtime.kind)?;
    let values = Values::of_run(ctx);
    let CommandLine { command, args } = command_line(harness, agent, &values)?;
    let search = Search {
        environment: ctx.environment,
        base: Some(ctx.workspace),
    };
    let program = search.require(&command, harness.install)?;

    let configured = (harness.configure)(&Setup { ctx })?;
    let own_env = own_env(agent, &values)?;
    let mut read = configured.read;
    read.extend(search.own_files(&program));
    for helper in helpers(harness, &own_env) {
        let helper = search.require(&helper, harness.install)?;
        read.extend(search.own_files(&helper));
    }
    read.extend(program::absolute_paths(&args));

    let (program, args) = match agent.runtime.kind {
        RuntimeKind::Command => {
            read.push(ctx.agents_exe.to_owned());
            command::under_our_harness(ctx.agents_exe, &program, args)?
        }
        _ => (program, args),
    };
    let home = match configured.owner_home {
        true => HomeKind::Owner,
        false => HomeKind::Private,
    };
    Ok(LaunchPlan {
        program,
        args,
        env: merged(configured.env, own_env),
        files: configured.files,
        read: sorted(read),
        write: sorted(configured.write),
        home,
        mcp: harness.mcp,
        ignore_text: harness.ignore_text,
    })
}

/// Whether a run of this agent needs a model of `mesh.openai_url`: for its preset's configuration,
/// or because one of its texts says `{{ mesh.model }}`.
pub(crate) fn needs_model(agent: &AgentDefinition) -> bool {
    let preset = harness(agent.runtime.kind).is_ok_and(|harness| harness.uses_model);
    (preset && agent.runtime.config == ConfigSource::Mesh)
        || values::texts(agent).any(|text| values::mentions(text, "mesh.model"))
}

/// Whether a run of this agent speaks to `mesh.openai_url`: as its preset is configured, or because
/// one of its texts names it.
pub(crate) fn speaks_to_models(agent: &AgentDefinition) -> bool {
    needs_model(agent) || values::texts(agent).any(|text| values::mentions(text, "mesh.openai_url"))
}

/// The directory named by `runtime.workspace.path`.
///
/// # Errors
/// `configuration`, naming the key, when the text cannot be expanded or is no existing directory.
pub(crate) fn expand_workspace_path(
    spec: &RunSpec,
    environment: &BTreeMap<String, String>,
    text: &str,
) -> Result<PathBuf, Failure> {
    const KEY: &str = "runtime.workspace.path";
    let path = PathBuf::from(Values::before_workspace(spec, environment).expand(KEY, text)?);
    let wrong = if !path.is_absolute() {
        "is not an absolute path; write it in full, $HOME/… is fine"
    } else if !path.exists() {
        "does not exist; create it, or set another directory"
    } else if !path.is_dir() {
        "is not a directory; name the directory the agent works in"
    } else {
        return Ok(path);
    };
    Err(values::configuration(
        KEY,
        &format!("{} {wrong}", path.display()),
    ))
}

/// What stands in the way of running this agent on this machine, as far as can be told before a
/// task is there: a program that is not installed, a variable that is not set.
pub(crate) fn unavailable(
    agent: &AgentDefinition,
    environment: &BTreeMap<String, String>,
) -> Option<String> {
    if agent.runtime.kind == RuntimeKind::Remote {
        return None;
    }
    let harness = match harness(agent.runtime.kind) {
        Ok(harness) => harness,
        Err(failure) => return Some(failure.message),
    };
    let search = Search {
        environment,
        base: None,
    };
    let values = Values::of_agent(agent, environment);
    let text = command_text(harness, agent).ok()?;
    if values::needs_a_task(text) {
        return None;
    }
    let command = match values.expand("runtime.command", text) {
        Ok(command) => command,
        Err(failure) => return Some(failure.message),
    };
    let missing = |program: &str| search.require(program, harness.install).err();
    let helpers = helpers(harness, &agent.runtime.env);
    std::iter::once(command)
        // A path relative to the workspace can only be looked up when there is one.
        .filter(|command| !program::is_relative_path(command))
        .chain(helpers)
        .find_map(|program| missing(&program))
        .map(|failure| failure.message)
}

/// Command and arguments, expanded.
struct CommandLine {
    command: String,
    args: Vec<String>,
}

fn command_text<'a>(harness: &'a Harness, agent: &'a AgentDefinition) -> Result<&'a str, Failure> {
    match agent.runtime.command.as_deref() {
        Some(command) => Ok(command),
        None if harness.command.is_empty() => Err(values::configuration(
            "runtime.command",
            &format!("required when runtime.type is {}", agent.runtime.kind),
        )),
        None => Ok(harness.command),
    }
}

fn command_line(
    harness: &Harness,
    agent: &AgentDefinition,
    values: &Values<'_>,
) -> Result<CommandLine, Failure> {
    let command = values.expand("runtime.command", command_text(harness, agent)?)?;
    let args = match &agent.runtime.args {
        Some(args) => args.clone(),
        None => harness.args.iter().map(|&arg| arg.to_owned()).collect(),
    };
    let args = args
        .iter()
        .enumerate()
        .map(|(index, arg)| values.expand(&format!("runtime.args[{index}]"), arg))
        .collect::<Result<_, _>>()?;
    Ok(CommandLine { command, args })
}

/// `[runtime.env]`, expanded. It comes last: the owner's word wins over a preset's.
fn own_env(agent: &AgentDefinition, values: &Values<'_>) -> Result<Vec<(String, String)>, Failure> {
    let entries = agent.runtime.env.iter();
    entries
        .map(|(name, text)| {
            let value = values.expand(&format!("runtime.env.{name}"), text)?;
            Ok((name.clone(), value))
        })
        .collect()
}

/// `first` with `second` over it: a repeated name keeps its place and takes the later value.
fn merged(first: Vec<(String, String)>, second: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut env = first;
    for (name, value) in second {
        match env.iter_mut().find(|(known, _)| *known == name) {
            Some(entry) => entry.1 = value,
            None => env.push((name, value)),
        }
    }
    env
}

/// The helper programs to look for: those the owner's environment does not replace.
fn helpers(harness: &Harness, own_env: &[(String, String)]) -> Vec<String> {
    let replaced = |variable: &str| own_env.iter().any(|(name, _)| name == variable);
    let wanted = harness.helpers.iter();
    wanted
        .filter(|(_, variable)| !replaced(variable))
        .map(|(program, _)| (*program).to_owned())
        .collect()
}

impl Setup<'_> {
    /// `runtime.config`.
    fn config(&self) -> ConfigSource {
        self.ctx.spec.agent.runtime.config
    }

    /// The API with the models of the mesh, without a slash at its end, and the model to use.
    fn mesh_model(&self) -> Result<(&str, &str), Failure> {
        let url = self.ctx.spec.mesh.openai_url.as_deref();
        match (url, self.ctx.model) {
            (Some(url), Some(model)) => Ok((url.trim_end_matches('/'), model)),
            _ => Err(crate::model::no_model("no model was resolved for this run")),
        }
    }

    /// `runtime.model` when the owner named one instead of `auto`.
    fn named_model(&self) -> Option<&str> {
        let model = self.ctx.spec.agent.runtime.model.as_str();
        (model != "auto").then_some(model)
    }

    /// The owner's HOME.
    fn owner_home(&self) -> Result<&Path, Failure> {
        let home = self.ctx.environment.get("HOME").map(Path::new);
        home.filter(|home| home.is_absolute()).ok_or_else(|| {
            values::configuration(
                "runtime.config",
                "\"user\" needs HOME, which is not set; set it where mesh-llm (or `agents serve`) is started",
            )
        })
    }

    /// The owner's XDG directories named `name`, and the variables that move them: a harness with
    /// the owner's configuration has to look where the owner's shell makes it look.
    fn owner_xdg(&self, name: &str, bases: &[(&str, &str)]) -> Result<Configured, Failure> {
        let home = self.owner_home()?;
        let mut configured = Configured {
            owner_home: true,
            ..Configured::default()
        };
        for (variable, default) in bases {
            let set = self.ctx.environment.get(*variable);
            let base = match set.filter(|path| Path::new(path).is_absolute()) {
                Some(path) => {
                    configured.env.push(((*variable).to_owned(), path.clone()));
                    PathBuf::from(path)
                }
                None => home.join(default),
            };
            configured.write.push(base.join(name));
        }
        Ok(configured)
    }
}

const XDG_CONFIG: (&str, &str) = ("XDG_CONFIG_HOME", ".config");
const XDG_DATA: (&str, &str) = ("XDG_DATA_HOME", ".local/share");
const XDG_CACHE: (&str, &str) = ("XDG_CACHE_HOME", ".cache");
const XDG_STATE: (&str, &str) = ("XDG_STATE_HOME", ".local/state");

/// The paths in order, each once.
fn sorted(mut paths: Vec<PathBuf>) -> Vec<PathBuf> {
    paths.sort();
    paths.dedup();
    paths
}

/// A list of name and value pairs as owned texts.
fn pairs(entries: &[(&str, &str)]) -> Vec<(String, String)> {
    let own = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    entries.iter().map(own).collect()
}

/// A path that has to stand in a text.
fn path_text(path: &Path) -> Result<&str, Failure> {
    path.to_str().ok_or_else(|| {
        let shown = path.display();
        Failure::new(
            "configuration",
            format!("{shown} is not UTF-8 and cannot stand in a harness's configuration; move it to a path that is"),
        )
    })
}
