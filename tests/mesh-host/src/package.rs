//! The package side of a host: the real plugin manager and the real skills installer.

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand, ValueEnum};
use mesh_llm_plugin_manager::install::install_plugin_archive;
use mesh_llm_plugin_manager::{
    PluginInstallOptions, PluginProgressEvent, PluginSkillInstallOptions, SkillAgent,
    install_available_skills,
};
use serde::Serialize;

/// `install`: which archive, under which name.
#[derive(Debug, Args)]
pub(crate) struct InstallArgs {
    /// A release archive, `.tar.gz` or `.zip`.
    #[arg(long)]
    archive: PathBuf,
    /// The plugin's name, which is also its executable's.
    #[arg(long)]
    name: String,
    /// The version to record.
    #[arg(long, default_value = "dev")]
    version: String,
}

/// `plugins …`, the released spelling.
#[derive(Debug, Subcommand)]
pub(crate) enum PluginsCommand {
    /// Install a plugin from a local release archive.
    Install(InstallArgs),
}

/// `skills`: for which coding agents.
#[derive(Debug, Args)]
pub(crate) struct SkillsArgs {
    /// Accepted because the released program wants the word.
    #[arg(value_parser = ["install"])]
    _action: Option<String>,
    /// Install for this coding agent; may be repeated. Without it: for those that are found.
    #[arg(long, value_enum, conflicts_with = "all")]
    agent: Vec<Agent>,
    /// Install for every coding agent known, found or not.
    #[arg(long)]
    all: bool,
    /// Say what would be done and write nothing.
    #[arg(long)]
    dry_run: bool,
    /// Replace a skill of the same name that somebody else put there.
    #[arg(long)]
    force: bool,
}

/// The coding agents the installer knows.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum Agent {
    Global,
    Goose,
    Pi,
    Codex,
    Opencode,
    Claude,
}

impl From<Agent> for SkillAgent {
    fn from(agent: Agent) -> Self {
        match agent {
            Agent::Global => Self::Global,
            Agent::Goose => Self::Goose,
            Agent::Pi => Self::Pi,
            Agent::Codex => Self::Codex,
            Agent::Opencode => Self::Opencode,
            Agent::Claude => Self::Claude,
        }
    }
}

/// Installs a plugin from an archive and prints its metadata as JSON.
///
/// # Errors
/// What the plugin manager finds wrong with the archive, its manifest or the name.
pub(crate) fn install(args: &InstallArgs) -> Result<()> {
    let options = PluginInstallOptions::from_env()?;
    let mut quiet = |_: PluginProgressEvent| {};
    let outcome = install_plugin_archive(
        &args.name,
        &args.version,
        &args.archive,
        &options,
        &mut quiet,
    )?;
    print_json(&outcome.metadata)
}

/// Installs the skills of all installed plugins and prints the installer's report as JSON.
///
/// # Errors
/// What the installer meets; one badly named skill directory stops all of them.
pub(crate) fn install_skills(args: SkillsArgs) -> Result<()> {
    let mut options = PluginSkillInstallOptions::from_env()?;
    options.skill_options.agents = args.agent.into_iter().map(SkillAgent::from).collect();
    options.skill_options.detected_only = !args.all && options.skill_options.agents.is_empty();
    options.skill_options.dry_run = args.dry_run;
    options.skill_options.force = args.force;
    print_json(&install_available_skills(&options)?)
}

#[expect(clippy::print_stdout, reason = "the answer of a command line program")]
fn print_json(value: &impl Serialize) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(value)?);
    Ok(())
}
