//! What this machine lacks for an agent whose files are right. None of it is a fault of the files, so
//! all of it are warnings.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::sync::Arc;

use mesh_agents_acp_bridge::{
    AcpBridge, BridgeConfig, ConfinementSupport, confinement_support, lacks_model,
};
use mesh_agents_core::agent::{AgentDefinition, ConfigSource, Filesystem, Network};
use mesh_agents_core::position::line_column;
use mesh_agents_core::run::Runner;
use mesh_agents_mesh::acl::{Acl, Pattern};
use mesh_agents_registry::{Place, Problem, RUNTIME_FILE, Severity, code};
use toml::de::DeTable;

use crate::context::Context;
use crate::engine::node::mesh::Mesh;
use crate::engine::node::runners::Runners;

/// Adds what is lacking for `agents` to `problems`.
pub(super) async fn check<'a>(
    context: &Context,
    agents: impl Iterator<Item = &'a Arc<AgentDefinition>>,
    problems: &mut Vec<Problem>,
) {
    let bridge = AcpBridge::new(BridgeConfig::new(
        context.environment.0.clone(),
        context.program.clone(),
        context.temp.clone(),
        context.settings.layout.root().to_owned(),
    ));
    let runners = Runners::new(bridge, Arc::clone(&context.environment), None);
    let openai_url = Mesh::new(&context.settings, None).as_set().openai_url;
    let acl = acl(context);
    // Asked once for each name: the list is the same for all agents.
    let mut models: BTreeMap<&str, Option<String>> = BTreeMap::new();
    for agent in agents {
        // What is wrong with the command itself says more than that it cannot be found.
        let command_told = problems.iter().any(|one| {
            one.agent.as_deref() == Some(agent.id.as_str())
                && one.key.as_deref() == Some("runtime.command")
        });
        if let Some(why) = runners.unavailable(agent).filter(|_| !command_told) {
            let key = match agent.policy.network {
                Network::Allow => ["runtime.command", "runtime.type"],
                _ if why.contains("policy.network") => ["policy.network", "policy.network"],
                _ => ["runtime.command", "runtime.type"],
            };
            problems.push(lacking(agent, &key, &why));
        }
        if agent.policy.filesystem_explicit
            && agent.policy.filesystem != Filesystem::Unconfined
            && let ConfinementSupport::Missing(why) = confinement_support()
        {
            let why = format!("{why}; its tasks are refused here");
            problems.push(lacking(agent, &["policy.filesystem"], &why));
        }
        if uses_the_mesh(agent) {
            let wanted = agent.runtime.model.as_str();
            if !models.contains_key(wanted) {
                models.insert(wanted, lacks_model(openai_url.as_deref(), wanted).await);
            }
            if let Some(Some(why)) = models.get(wanted) {
                problems.push(lacking(agent, &["runtime.model", "runtime.type"], why));
            }
        }
        if agent.policy.advertise_on_mesh && acl.as_ref().is_some_and(|acl| !lets_in(acl, agent)) {
            let why = format!(
                "no node may call it; run `mesh-llm agents peers allow <key> {}` with the key that `mesh-llm agents identity show` prints there",
                agent.id
            );
            let mut problem = lacking(agent, &["policy.advertise_on_mesh"], &why);
            problem.code = code::NOBODY_CALLS;
            problems.push(problem);
        }
    }
}

fn uses_the_mesh(agent: &AgentDefinition) -> bool {
    agent.runtime.kind.is_preset() && agent.runtime.config == ConfigSource::Mesh
}

/// The list of callers; `None` when it has mistakes, which `agents peers` tells of.
fn acl(context: &Context) -> Option<Acl> {
    let path = context.settings.layout.acl();
    match fs::read_to_string(&path) {
        Ok(text) => Acl::parse(&text, &path).ok(),
        Err(_) => Some(Acl::default()),
    }
}

/// Whether anybody is let in who is not kept out again.
fn lets_in(acl: &Acl, agent: &AgentDefinition) -> bool {
    let skill = |pattern: &Pattern| match pattern {
        Pattern::Skill(_, skill) => Some(skill.clone()),
        _ => None,
    };
    let own = acl.peers().any(|(key, peer)| {
        let everyone = acl.everyone().allow.iter();
        everyone.chain(&peer.rules.allow).any(|pattern| {
            let skill = skill(pattern);
            let standing = acl.standing(key, &agent.id, skill.as_deref());
            standing == mesh_agents_core::policy::Standing::Allowed
        })
    });
    let all = acl.everyone();
    let allows = |pattern: &Pattern| pattern.allows(&agent.id, skill(pattern).as_deref());
    let denies = |pattern: &Pattern| pattern.denies(&agent.id, None);
    own || (all.allow.iter().any(allows) && !all.deny.iter().any(denies))
}

/// A problem at the first of `keys` that is written.
fn lacking(agent: &AgentDefinition, keys: &[&str], why: &str) -> Problem {
    let (reason, fix) = why.split_once("; ").unwrap_or((why, ""));
    let file = agent.dir.join(RUNTIME_FILE);
    let text = fs::read_to_string(&file).unwrap_or_default();
    let mut problem = Problem::new(
        Severity::Warning,
        code::MACHINE,
        Some(agent.id.as_str()),
        file,
        reason,
        fix,
    );
    let found = keys.iter().find_map(|key| Some((key, place(&text, key)?)));
    if let Some((key, span)) = found {
        let at = |offset| {
            let (line, column) = line_column(&text, offset);
            Place { line, column }
        };
        let start = at(span.start);
        problem.line = Some(start.line);
        problem.column = Some(start.column);
        problem.end = Some(at(span.end));
        problem.key = Some((*key).to_owned());
    }
    problem
}

/// Where the value of a key stands.
fn place(text: &str, key: &str) -> Option<Range<usize>> {
    let (table, _) = DeTable::parse_recoverable(text);
    let mut parts = key.split('.');
    let mut value = table.get_ref().get(parts.next()?)?;
    for part in parts {
        value = value.get_ref().as_table()?.get(part)?;
    }
    Some(value.span())
}
