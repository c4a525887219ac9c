//! What the registry finds, as the task engine and the tools see it.

use std::collections::BTreeSet;
use std::sync::Arc;

use mesh_agents_plugin::engine_tools::Problems;
use mesh_agents_plugin::mesh_node::MeshNode;
use mesh_agents_plugin::tool::results::ProblemLine;
use mesh_agents_registry::Snapshot;
use mesh_agents_tasks::Agents;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

/// The agents of a snapshot. One whose files are broken and that never loaded is known by its
/// directory: its tasks wait for the owner to mend it.
pub(super) fn agents_of(snapshot: &Snapshot) -> Agents {
    let broken: BTreeSet<_> = snapshot
        .problems
        .iter()
        .filter_map(|problem| problem.agent.as_deref()?.parse().ok())
        .filter(|id| !snapshot.agents.contains_key(id))
        .collect();
    Agents {
        ready: Arc::new(snapshot.agents.clone()),
        broken: Arc::new(broken),
    }
}

/// The problems as tools show them.
pub(super) fn problems_of(snapshots: watch::Receiver<Arc<Snapshot>>) -> Problems {
    Arc::new(move || {
        let snapshot = snapshots.borrow();
        let line = |problem: &mesh_agents_registry::Problem| ProblemLine {
            file: problem.file.display().to_string(),
            line: problem.line,
            key: problem.key.clone(),
            reason: problem.reason.clone(),
            fix: problem.fix.clone(),
        };
        snapshot.problems.iter().map(line).collect()
    })
}

/// Hands every new snapshot on, to be joined by the agents of other nodes.
pub(super) async fn follow(
    peers: MeshNode,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    end: CancellationToken,
) {
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            changed = snapshots.changed() => if changed.is_err() { return },
        }
        let agents = agents_of(&snapshots.borrow_and_update());
        peers.set_local(agents);
    }
}
