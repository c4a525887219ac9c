//! The one way to the disk for what is known of the mesh: noted with the change itself, under its lock, and
//! written in the order it happened. What the disk did not take is kept until it does.

use std::collections::BTreeMap;
use std::fmt;

use async_trait::async_trait;
use mesh_agents_core::refusal::Refusal;
use mesh_agents_tasks::{Fact, FactKind, TaskEngine};

use super::MeshNode;

/// Where facts are kept: the database of the engine.
#[async_trait]
pub(super) trait Disk: fmt::Debug + Send + Sync {
    /// Keeps and forgets, all of it or nothing; on disk when this returns.
    ///
    /// # Errors
    /// `storage`.
    async fn keep(&self, facts: Vec<Fact>) -> Result<(), Refusal>;
}

#[async_trait]
impl Disk for TaskEngine {
    async fn keep(&self, facts: Vec<Fact>) -> Result<(), Refusal> {
        self.keep_facts(facts).await
    }
}

/// What is not on disk yet: of each thing what was said of it last, so that it stays as small as what is known
/// however long the disk takes nothing.
#[derive(Debug, Default)]
pub(super) struct Unsaved(BTreeMap<(FactKind, String), Option<String>>);

impl Unsaved {
    /// To be kept, or forgotten.
    pub(super) fn push(&mut self, fact: Fact) {
        self.0.insert((fact.kind, fact.id), fact.body);
    }

    /// All of it, to be written.
    fn take(&mut self) -> Vec<Fact> {
        let all = std::mem::take(&mut self.0).into_iter();
        all.map(|((kind, id), body)| Fact { kind, id, body })
            .collect()
    }

    /// What was not written after all; what was said of a thing since counts.
    fn put_back(&mut self, facts: Vec<Fact>) {
        for fact in facts {
            // A card nobody tells of is left out by the next start. Others can make ever new ones.
            if fact.kind != FactKind::Card || fact.body.is_some() {
                self.0.entry((fact.kind, fact.id)).or_insert(fact.body);
            }
        }
    }

    /// Whether all is on disk, or on its way there.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Facts on their way to the disk. Dropped on the way, by an error or by who waited for it, they are put back.
struct Batch<'a> {
    node: &'a MeshNode,
    facts: Vec<Fact>,
}

impl Drop for Batch<'_> {
    fn drop(&mut self) {
        let facts = std::mem::take(&mut self.facts);
        if !facts.is_empty() {
            self.node.state().unsaved.put_back(facts);
        }
    }
}

impl MeshNode {
    /// Puts on disk what was noted before. On disk when this returns; what was not taken stays noted.
    ///
    /// # Errors
    /// `storage`, `engine_unavailable`.
    pub(super) async fn save(&self) -> Result<(), Refusal> {
        // One batch after the other: else an older word could be written over a newer one.
        let _turn = self.0.saving.lock().await;
        let Some(disk) = self.0.disk.get() else {
            return Ok(());
        };
        let mut batch = Batch {
            node: self,
            facts: self.state().unsaved.take(),
        };
        if !batch.facts.is_empty() {
            disk.keep(batch.facts.clone()).await?;
            batch.facts.clear();
        }
        Ok(())
    }
}
