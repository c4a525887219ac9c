//! What is true whatever the nodes believe: who was allowed when, by what the owners meant and not by what
//! their lists were read as.

use std::collections::BTreeMap;

use mesh_agents_core::ids::AgentId;
use mesh_agents_mesh::NodeKey;

/// A change of a list counts within this time (issue 4: hot reload within 1 s).
pub(crate) const RELOAD: u64 = 1_000;

/// An owner, a caller, an agent of the owner.
type Right = (NodeKey, NodeKey, AgentId);

#[derive(Default)]
pub(crate) struct Truth {
    /// From when on it holds, and whether the caller may.
    allowed: BTreeMap<Right, Vec<(u64, bool)>>,
}

impl Truth {
    pub(crate) fn says(&mut self, right: Right, may: bool, now: u64) {
        let history = self.allowed.entry(right).or_default();
        if history.last().is_none_or(|(_, last)| *last != may) {
            history.push((now, may));
        }
    }

    /// Whether the caller may at the moment, or could within the time a change has to be heeded.
    pub(crate) fn could(&self, right: &Right, now: u64) -> bool {
        let Some(history) = self.allowed.get(right) else {
            return false;
        };
        let since = now.saturating_sub(RELOAD);
        let at_the_time = history.iter().rev().find(|(from, _)| *from <= since);
        let later = history.iter().filter(|(from, _)| *from > since);
        at_the_time.into_iter().chain(later).any(|(_, may)| *may)
    }
}
