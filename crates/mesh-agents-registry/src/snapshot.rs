//! All agents of one directory at one moment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::ids::AgentId;
use mesh_agents_core::near::nearest;

use crate::Environment;
use crate::loader::{Broken, Loader};
use crate::problem::Problem;

/// All agents of one directory at one moment. Never changes; a change is another snapshot.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Absolute path of the agents directory.
    pub dir: PathBuf,
    /// Counts the snapshots of one [`crate::Watcher`], from 1.
    pub generation: u64,
    /// The agents that can be run, disabled ones included.
    pub agents: BTreeMap<AgentId, Arc<AgentDefinition>>,
    /// Everything found wrong, by directory.
    pub problems: Vec<Problem>,
}

impl Snapshot {
    /// The agent with this id, if it is loaded.
    #[must_use]
    pub fn agent(&self, id: &AgentId) -> Option<&Arc<AgentDefinition>> {
        self.agents.get(id)
    }

    /// The problems of one agent's directory.
    pub fn problems_of<'a>(&'a self, agent: &'a str) -> impl Iterator<Item = &'a Problem> {
        self.problems
            .iter()
            .filter(move |problem| problem.agent.as_deref() == Some(agent))
    }

    /// The id that `unknown` was probably meant to be.
    #[must_use]
    pub fn nearest(&self, unknown: &str) -> Option<&AgentId> {
        let near = nearest(unknown, self.agents.keys().map(AgentId::as_str))?;
        self.agents.keys().find(|id| id.as_str() == near)
    }
}

/// Reads all agents below `agents_dir` once. Blocks on the disk.
#[must_use]
pub fn load(agents_dir: &Path, environment: &Environment) -> Snapshot {
    let mut loader = Loader::new(agents_dir, environment.clone());
    loader.refresh(&BTreeSet::new(), Broken::Keep);
    loader.snapshot()
}
