//! The verbs that only touch agent directories: list, show, enable, disable.

use std::io::Write;

use anyhow::{Result, bail};
use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::ids::AgentId;
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_registry::edit::{self, Edited};
use mesh_agents_registry::{Problem, Snapshot, load};
use serde::Serialize;

use crate::client::Client;
use crate::context::Context;
use crate::output::{Exit, Output, first_line, table};

/// Characters of a description in the list; `agents show` has the whole.
const ABOUT: usize = 60;

/// A problem as JSON documents show it.
#[derive(Debug, Serialize)]
pub(super) struct ProblemLine<'a> {
    agent: Option<&'a str>,
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    severity: &'static str,
    code: &'static str,
    reason: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<&'a str>,
}

impl<'a> From<&'a Problem> for ProblemLine<'a> {
    fn from(problem: &'a Problem) -> Self {
        Self {
            agent: problem.agent.as_deref(),
            file: problem.file.display().to_string(),
            line: problem.line,
            column: problem.column,
            key: problem.key.as_deref(),
            severity: if problem.is_error() {
                "error"
            } else {
                "warning"
            },
            code: problem.code,
            reason: &problem.reason,
            fix: problem.fix.as_deref(),
        }
    }
}

#[derive(Debug, Serialize)]
struct AgentLine<'a> {
    agent_id: &'a AgentId,
    name: &'a str,
    description: &'a str,
    version: &'a str,
    runtime: &'static str,
    enabled: bool,
    dir: String,
}

impl<'a> From<&'a AgentDefinition> for AgentLine<'a> {
    fn from(agent: &'a AgentDefinition) -> Self {
        Self {
            agent_id: &agent.id,
            name: &agent.card.name,
            description: &agent.card.description,
            version: &agent.card.version,
            runtime: agent.runtime.kind.as_str(),
            enabled: agent.enabled,
            dir: agent.dir.display().to_string(),
        }
    }
}

/// `agents list`.
pub(crate) fn list(context: &Context, output: &mut Output) -> Result<Exit> {
    #[derive(Serialize)]
    struct List<'a> {
        agents: Vec<AgentLine<'a>>,
        problems: Vec<ProblemLine<'a>>,
    }
    let snapshot = snapshot(context);
    let document = List {
        agents: snapshot
            .agents
            .values()
            .map(|agent| AgentLine::from(&**agent))
            .collect(),
        problems: snapshot.problems.iter().map(ProblemLine::from).collect(),
    };
    output.answer("list", &document, |out| {
        let row = |agent: &AgentLine<'_>| {
            let off = if agent.enabled { "" } else { "(disabled) " };
            [
                agent.agent_id.to_string(),
                agent.runtime.to_owned(),
                format!("{off}{}", first_line(agent.description, ABOUT)),
            ]
        };
        table(out, document.agents.iter().map(row))
    })?;
    if !output.is_json() {
        say_problems(&snapshot.problems, output);
    }
    Ok(Exit::Done)
}

/// `agents show`.
pub(crate) fn show(context: &Context, output: &mut Output, agent: &str) -> Result<Exit> {
    #[derive(Serialize)]
    struct Show<'a> {
        #[serde(flatten)]
        agent: AgentLine<'a>,
        max_concurrent_tasks: u32,
        filesystem: &'static str,
        network: &'static str,
        agent_card: &'a mesh_agents_core::json::JsonText,
        problems: Vec<ProblemLine<'a>>,
    }
    let snapshot = snapshot(context);
    let id = agent_id(agent)?;
    let Some(definition) = snapshot.agent(&id) else {
        let problems: Vec<&Problem> = snapshot.problems_of(agent).collect();
        if problems.is_empty() {
            return Err(not_found(&snapshot, agent).into());
        }
        let text: Vec<String> = problems.iter().map(ToString::to_string).collect();
        bail!("agent {agent:?} cannot be loaded:\n{}", text.join("\n"));
    };
    let document = Show {
        agent: AgentLine::from(&**definition),
        max_concurrent_tasks: definition.runtime.max_concurrent_tasks.get(),
        filesystem: definition.policy.filesystem.as_str(),
        network: definition.policy.network.as_str(),
        agent_card: &definition.card.json,
        problems: snapshot.problems_of(agent).map(ProblemLine::from).collect(),
    };
    output.answer("show", &document, |out| show_text(out, definition))?;
    if !output.is_json() {
        for problem in snapshot.problems_of(agent) {
            output.hint(&problem.to_string());
        }
    }
    Ok(Exit::Done)
}

fn show_text(out: &mut dyn Write, agent: &AgentDefinition) -> std::io::Result<()> {
    let card = &agent.card;
    writeln!(out, "{} {} ({})", card.name, card.version, agent.id)?;
    writeln!(out, "{}", card.description)?;
    writeln!(out, "\ndirectory   {}", agent.dir.display())?;
    writeln!(
        out,
        "enabled     {}",
        if agent.enabled { "yes" } else { "no" }
    )?;
    writeln!(out, "runtime     {}", agent.runtime.kind)?;
    writeln!(out, "at once     {}", agent.runtime.max_concurrent_tasks)?;
    writeln!(out, "filesystem  {}", agent.policy.filesystem.as_str())?;
    writeln!(out, "network     {}", agent.policy.network.as_str())?;
    let seen_by = if agent.policy.advertise_on_mesh {
        "nodes of your mesh (advertise_on_mesh)"
    } else {
        "this node only"
    };
    writeln!(out, "seen by     {seen_by}")?;
    for skill in &card.skills {
        writeln!(out, "skill       {}: {}", skill.name, skill.description)?;
    }
    Ok(())
}

/// `agents enable` and `agents disable`. When it returns, an engine that runs knows of it.
pub(crate) async fn set_enabled(
    context: &Context,
    output: &mut Output,
    agent: &str,
    enabled: bool,
) -> Result<Exit> {
    #[derive(Serialize)]
    struct Toggle<'a> {
        agent_id: &'a AgentId,
        enabled: bool,
        changed: bool,
    }
    let id = agent_id(agent)?;
    let agents_dir = &context.settings.agents_dir;
    if !agents_dir.join(id.as_str()).is_dir() {
        return Err(not_found(&snapshot(context), agent).into());
    }
    let edited = edit::set_enabled(agents_dir, &id, enabled)?;
    let document = Toggle {
        agent_id: &id,
        enabled,
        changed: edited == Edited::Changed,
    };
    // One that is broken is not loaded, whatever it says.
    let noticed = (enabled && snapshot(context).agent(&id).is_none())
        || Client::until_seen(context, &id, enabled).await?;
    let (verb, word) = if enabled {
        ("enable", "enabled")
    } else {
        ("disable", "disabled")
    };
    output.answer(verb, &document, |out| {
        let already = if document.changed { "" } else { " already" };
        writeln!(out, "{id} is{already} {word}")
    })?;
    if !noticed {
        output.hint("the engine that runs has not noticed yet; it looks again every few seconds");
    }
    Ok(Exit::Done)
}

fn snapshot(context: &Context) -> Snapshot {
    load(
        &context.settings.agents_dir,
        &context.registry_environment(),
    )
}

fn say_problems(problems: &[Problem], output: &mut Output) {
    for problem in problems {
        output.hint(&problem.to_string());
    }
}

pub(super) fn agent_id(text: &str) -> Result<AgentId> {
    let refused = |why: String| {
        Refusal::new(Code::InvalidArgument, why)
            .hint("The id of an agent is the name of its directory; `agents list` shows them.")
    };
    let id: AgentId = text.parse().map_err(|error| refused(format!("{error}")))?;
    if !id.is_local() {
        let node = id.node().unwrap_or_default();
        return Err(refused(format!(
            "{} is an agent of the node {node}; its files are there",
            id.name()
        ))
        .into());
    }
    Ok(id)
}

pub(super) fn not_found(snapshot: &Snapshot, agent: &str) -> Refusal {
    let refusal = Refusal::new(
        Code::AgentNotFound,
        format!("no agent {agent:?} in {}", snapshot.dir.display()),
    );
    match snapshot.nearest(agent) {
        Some(near) => refusal.hint(format!("Did you mean {near}?")),
        None => refusal.hint(format!(
            "`agents list` shows the agents there are; `agents init {agent}` makes it."
        )),
    }
}
