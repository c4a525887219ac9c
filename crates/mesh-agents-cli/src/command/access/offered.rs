//! What still keeps other nodes from an agent they were let in to.

use std::collections::BTreeSet;

use mesh_agents_acp_bridge::{AcpBridge, BridgeConfig};
use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::ids::AgentId;
use mesh_agents_mesh::acl::Pattern;
use mesh_agents_mesh::{MeshVisibility, Withheld, may_leave};
use mesh_agents_registry::{RUNTIME_FILE, Snapshot, load};

use crate::context::Context;

/// A line for each agent of `patterns` that no node is offered, with the reason. It is no mistake to let nodes in
/// before there is something to call.
pub(super) fn notes(context: &Context, patterns: &[Pattern]) -> Vec<String> {
    let agents_dir = &context.settings.agents_dir;
    let snapshot = load(agents_dir, &context.registry_environment());
    let bridge = AcpBridge::new(BridgeConfig::new(
        context.environment.0.clone(),
        context.program.clone(),
        context.temp.clone(),
        context.settings.layout.root().to_owned(),
    ));
    // On a public mesh the owner is asked for more; `peers list` says so there.
    let kept = |agent: &AgentDefinition| {
        may_leave(agent, MeshVisibility::Private, bridge.confinement()).err()
    };
    let named: BTreeSet<&AgentId> = patterns.iter().filter_map(agent_of).collect();
    let mut notes: Vec<String> = named
        .into_iter()
        .filter_map(|id| why_not(&snapshot, id, kept))
        .collect();
    let mut agents = snapshot.agents.values();
    if patterns.contains(&Pattern::Every) && !agents.any(|agent| kept(agent).is_none()) {
        notes.push(format!(
            "no agent is advertised yet: set advertise_on_mesh = true under [policy] in its {RUNTIME_FILE}"
        ));
    }
    notes
}

fn agent_of(pattern: &Pattern) -> Option<&AgentId> {
    match pattern {
        Pattern::Agent(agent) | Pattern::Skill(agent, _) => Some(agent),
        Pattern::Every => None,
    }
}

fn why_not(
    snapshot: &Snapshot,
    id: &AgentId,
    kept: impl Fn(&AgentDefinition) -> Option<Withheld>,
) -> Option<String> {
    let Some(agent) = snapshot.agent(id) else {
        let there_is = match snapshot.problems_of(id.as_str()).next() {
            Some(_) => format!("{id} has mistakes; `agents validate {id}` names them"),
            None => format!(
                "there is no agent {id} in {}; `agents list` shows those there are",
                snapshot.dir.display()
            ),
        };
        return Some(there_is);
    };
    let file = agent.dir.join(RUNTIME_FILE);
    Some(match kept(agent)? {
        Withheld::NotAdvertised => format!(
            "{id} is not offered to other nodes yet: set advertise_on_mesh = true under [policy] in {}",
            file.display()
        ),
        Withheld::Disabled => format!("{id} is disabled; `agents enable {id}` enables it"),
        why => format!(
            "{id} is not offered to other nodes: {why} ({})",
            file.display()
        ),
    })
}
