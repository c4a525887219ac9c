//! Checking agents for their owner: everything `load` checks, and what is legal and probably not
//! meant. Slower than loading, and done only when somebody asks.

use std::collections::BTreeSet;
use std::path::Path;

use mesh_agents_core::ids::AgentId;

use crate::Environment;
use crate::agent_dir;
use crate::snapshot::{Snapshot, load};

/// Reads all agents below `agents_dir`, and those whose directory is named in `only` thoroughly (all
/// when it is empty). Blocks on the disk.
#[must_use]
pub fn check(agents_dir: &Path, environment: &Environment, only: &BTreeSet<String>) -> Snapshot {
    let mut snapshot = load(agents_dir, environment);
    let wanted = |name: &str| only.is_empty() || only.contains(name);
    let mut ids: BTreeSet<AgentId> = snapshot.agents.keys().cloned().collect();
    let named = snapshot.problems.iter().filter_map(|p| p.agent.as_deref());
    ids.extend(named.filter_map(|name| name.parse().ok()));
    for id in ids.iter().filter(|id| id.is_local() && wanted(id.as_str())) {
        let dir = snapshot.dir.join(id.as_str());
        let reading = agent_dir::read_thoroughly(id, &dir, environment);
        snapshot
            .problems
            .retain(|problem| problem.agent.as_deref() != Some(id.as_str()));
        snapshot.problems.extend(reading.problems);
    }
    snapshot
}
