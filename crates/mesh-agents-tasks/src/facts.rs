//! What a node keeps of its mesh over a restart: opaque JSON by kind and id, beside the tasks that
//! depend on it, so that a copy of the database has both.

use mesh_agents_core::refusal::Refusal;

use crate::engine::{TaskEngine, storage};
use crate::store;

/// What a fact is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum FactKind {
    /// Another node; by its key.
    Node,
    /// The signed card of an agent of another node; by the agent's id.
    Card,
    /// Which node a plain agent id means; by that id.
    Owner,
    /// The sequence of this node's advert; one, by the empty id.
    Sequence,
    /// The ids this node's host had on the mesh, the newest first; one, by the empty id.
    OwnIds,
}

impl FactKind {
    fn as_str(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Card => "card",
            Self::Owner => "owner",
            Self::Sequence => "sequence",
            Self::OwnIds => "own_ids",
        }
    }
}

/// One thing to keep, or to forget.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fact {
    /// What it is about.
    pub kind: FactKind,
    /// Its name among those of its kind.
    pub id: String,
    /// The JSON to keep; `None` forgets it.
    pub body: Option<String>,
}

impl TaskEngine {
    /// All facts of a kind: id and JSON, by id.
    ///
    /// # Errors
    /// `storage`.
    pub async fn facts(&self, kind: FactKind) -> Result<Vec<(String, String)>, Refusal> {
        let read = self
            .inner
            .store
            .read(move |db| store::facts(db, kind.as_str()));
        read.await.map_err(|error| storage(&error))
    }

    /// Keeps and forgets, all of it or nothing; on disk when this returns.
    ///
    /// # Errors
    /// `storage`.
    pub async fn keep_facts(&self, facts: Vec<Fact>) -> Result<(), Refusal> {
        let written = self.inner.store.write(move |db| {
            for fact in &facts {
                store::keep_fact(db, fact.kind.as_str(), &fact.id, fact.body.as_deref())?;
            }
            Ok(())
        });
        written.await.map_err(|error| storage(&error))
    }
}
