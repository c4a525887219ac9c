//! Making the directory of a first agent: the three files, right as they stand, nothing asked.

mod templates;
mod text;

pub use self::templates::{TEMPLATES, Template};
pub(crate) use self::text::title;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use mesh_agents_core::agent::RuntimeKind;
use mesh_agents_core::endpoint::{self, EndpointError};
use mesh_agents_core::ids::AgentId;

use crate::Environment;
use crate::agent_dir;
use crate::files::{CARD_FILE, DEFAULT_INSTRUCTIONS_FILE, RUNTIME_FILE};
use crate::problem::Problem;
use crate::runtime_toml::is_built;
use crate::schema;

/// What was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Created {
    /// The agent's directory.
    pub dir: PathBuf,
    /// The files in it.
    pub files: Vec<PathBuf>,
    /// The directory of the schemas that editors use.
    pub schemas: PathBuf,
    /// What its owner has to do before it can run; empty when nothing.
    pub to_do: Vec<String>,
}

/// Why no agent was made. Nothing was left behind.
#[derive(Debug, thiserror::Error)]
pub enum InitError {
    /// The directory is there already.
    #[error(
        "{} exists already; edit its files, or choose another id (`mesh-llm agents validate {agent}` tells whether it is right)",
        dir.display()
    )]
    Exists {
        /// The directory.
        dir: PathBuf,
        /// The agent.
        agent: AgentId,
    },
    /// Agents of this type cannot be run yet.
    #[error(
        "runtime type {kind} is not built yet; what works now: {}",
        built_kinds()
    )]
    NotBuilt {
        /// The type.
        kind: RuntimeKind,
    },
    /// There is no such template.
    #[error("there is no template {name:?}; there are {}", template_names())]
    NoTemplate {
        /// The name.
        name: String,
    },
    /// The template needs what this type has not.
    #[error(
        "template {template} cannot be run by {kind}: {}",
        if *template == "test-runner" { "it is a command without a model; leave --runtime out" }
        else { "it needs a harness with a model: opencode, goose or pi" }
    )]
    TemplateKind {
        /// The template.
        template: &'static str,
        /// The type.
        kind: RuntimeKind,
    },
    /// The URL of a remote agent is none it can be called at.
    #[error("--url {url:?} is not the address of a remote agent: {source}")]
    Url {
        /// The URL.
        url: String,
        /// The rule it breaks.
        source: EndpointError,
    },
    /// A file or directory could not be written.
    #[error("cannot write {}: {source}; check the owner and permissions of its directory", path.display())]
    Io {
        /// What could not be written.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What was written is not right: a fault of ours.
    #[error(
        "the files made for {agent} are not right, which is a fault of mesh-agents; please report it: {}",
        problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
    )]
    Invalid {
        /// The agent.
        agent: AgentId,
        /// What is wrong with them.
        problems: Vec<Problem>,
    },
}

/// A card for the agent, right as it stands.
pub(crate) fn card(agent: &AgentId) -> String {
    text::card(agent, None)
}

/// A policy, right as it stands.
pub(crate) fn runtime() -> String {
    text::runtime(RuntimeKind::Opencode)
}

/// A brief, right as it stands.
pub(crate) fn instructions(agent: &AgentId) -> String {
    text::instructions(agent)
}

fn template_names() -> String {
    let names: Vec<&str> = TEMPLATES.iter().map(|one| one.name).collect();
    names.join(", ")
}

fn built_kinds() -> String {
    let names: Vec<_> = RuntimeKind::ALL
        .into_iter()
        .filter(|kind| is_built(*kind))
        .map(RuntimeKind::as_str)
        .collect();
    names.join(", ")
}

/// Makes the directory of the agent `agent` below `agents_dir` with files that validate. The
/// directory appears whole or not at all.
///
/// # Errors
/// When the directory exists, the type is not built yet, or writing fails.
pub fn init(agents_dir: &Path, agent: &AgentId, kind: RuntimeKind) -> Result<Created, InitError> {
    make(agents_dir, agent, kind, None, &made_up(agent, kind, None))
}

/// Makes the directory of the agent `agent` as the template `name` has it, as [`init`] does. It is
/// run by `kind`, or by what the template itself says.
///
/// # Errors
/// As [`init`], and when there is no such template or it cannot be run by `kind`.
pub fn init_template(
    agents_dir: &Path,
    agent: &AgentId,
    name: &str,
    kind: Option<RuntimeKind>,
) -> Result<Created, InitError> {
    let template = Template::named(name).ok_or_else(|| InitError::NoTemplate {
        name: name.to_owned(),
    })?;
    let kind = kind.unwrap_or(template.kind());
    if kind != template.kind() && !(kind.is_preset() && template.kind().is_preset()) {
        return Err(InitError::TemplateKind {
            template: template.name,
            kind,
        });
    }
    let files = template.files_for(agent, kind);
    let mut created = make(agents_dir, agent, kind, None, &files)?;
    created.to_do.clear();
    Ok(created)
}

/// Makes the directory of the agent `agent` that stands for the remote agent at `url`, as [`init`]
/// does.
///
/// # Errors
/// As [`init`], and when no agent can be called at `url`.
pub fn init_remote(agents_dir: &Path, agent: &AgentId, url: &str) -> Result<Created, InitError> {
    endpoint::parse(url).map_err(|source| InitError::Url {
        url: url.to_owned(),
        source,
    })?;
    let files = made_up(agent, RuntimeKind::Remote, Some(url));
    make(agents_dir, agent, RuntimeKind::Remote, Some(url), &files)
}

/// The files of an agent of which nothing is known but its id.
fn made_up(agent: &AgentId, kind: RuntimeKind, url: Option<&str>) -> Vec<(&'static str, String)> {
    let mut files = vec![
        (CARD_FILE, text::card(agent, url)),
        (RUNTIME_FILE, text::runtime(kind)),
    ];
    // What a remote agent is told, its owner tells it.
    if kind != RuntimeKind::Remote {
        files.push((DEFAULT_INSTRUCTIONS_FILE, text::instructions(agent)));
    }
    files
}

fn make(
    agents_dir: &Path,
    agent: &AgentId,
    kind: RuntimeKind,
    url: Option<&str>,
    files: &[(&'static str, String)],
) -> Result<Created, InitError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| InitError::Io { path, source }
    };
    if !is_built(kind) {
        return Err(InitError::NotBuilt { kind });
    }
    let dir = agents_dir.join(agent.as_str());
    if fs::symlink_metadata(&dir).is_ok() {
        return Err(InitError::Exists {
            dir,
            agent: agent.clone(),
        });
    }
    fs::create_dir_all(agents_dir).map_err(failed(agents_dir))?;
    // With a dot in front: nobody reads it while it is being written.
    let made = tempfile::Builder::new()
        .prefix(".init-")
        .tempdir_in(agents_dir)
        .map_err(failed(agents_dir))?;
    for (name, text) in files {
        let path = made.path().join(name);
        fs::write(&path, text).map_err(failed(&path))?;
    }
    let reading = agent_dir::read(agent, made.path(), &Environment::default());
    // The caller's own URL may deserve a warning.
    if reading
        .problems
        .iter()
        .any(|one| url.is_none() || one.is_error())
    {
        return Err(InitError::Invalid {
            agent: agent.clone(),
            problems: reading.problems,
        });
    }
    let schemas =
        schema::write(agents_dir).map_err(|(path, source)| InitError::Io { path, source })?;
    fs::rename(made.path(), &dir).map_err(failed(&dir))?;
    Ok(Created {
        schemas,
        files: files.iter().map(|(name, _)| dir.join(name)).collect(),
        to_do: to_do(kind, url, &dir),
        dir,
    })
}

fn to_do(kind: RuntimeKind, url: Option<&str>, dir: &Path) -> Vec<String> {
    let file = dir.join(RUNTIME_FILE);
    match kind {
        RuntimeKind::Acp => vec![format!(
            "`command = {:?}` in {} is a placeholder: name the program of your harness; tasks fail until it is on PATH",
            text::ACP_COMMAND,
            file.display()
        )],
        RuntimeKind::Command => vec![format!(
            "`command` and `args` in {} only print the message back: write the command this agent is to run",
            file.display()
        )],
        RuntimeKind::Remote => {
            let card = dir.join(CARD_FILE);
            let card = card.display();
            let url = url.is_none().then(|| {
                format!("`url` in {card} is a placeholder: write the address of the remote agent")
            });
            let rest = format!(
                "what {card} says of name, skills and `streaming` is made up: copy it from the remote agent's own card (its address with /.well-known/agent-card.json)"
            );
            url.into_iter().chain([rest]).collect()
        }
        _ => Vec::new(),
    }
}
