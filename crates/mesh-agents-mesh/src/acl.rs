#![doc = include_str!("../ACL.md")]
//! # For readers of the code
//!
//! The list is asked at every request, and what it says goes into the one policy function as a
//! [`Grant`].

pub mod edit;
mod error;
mod knocks;
mod last_good;
mod pattern;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::Path;

use mesh_agents_core::ids::AgentId;
use mesh_agents_core::policy::{Grant, Standing};

use crate::identity::NodeKey;
use crate::rate::Rate;

pub use self::error::{AclError, Mistake};
pub use self::knocks::{Knock, Knocks};
pub use self::last_good::{LastGood, Read, Reading};
pub use self::pattern::{Pattern, PatternError};

/// The list, checked. The default one has nobody on it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Acl {
    everyone: Rules,
    rate: Rate,
    peers: BTreeMap<NodeKey, Peer>,
    /// There was never a list without a mistake.
    closed: bool,
}

/// Allows and denies of one table.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Rules {
    /// `allow`, in the order written.
    pub allow: Vec<Pattern>,
    /// `deny`, in the order written.
    pub deny: Vec<Pattern>,
}

/// One `[peers."did:key:…"]`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Peer {
    /// `label`.
    pub label: Option<String>,
    /// `allow` and `deny`.
    pub rules: Rules,
    /// `approve`.
    pub approve: bool,
    /// `requests_per_minute` and `burst`, with the values of `[everyone]` where it has none.
    pub rate: Rate,
}

impl Acl {
    /// Reads the text of the file at `path` (for messages only).
    ///
    /// # Errors
    /// Every mistake in it, with its place.
    pub fn parse(text: &str, path: &Path) -> Result<Self, AclError> {
        read::acl(text, path)
    }

    /// The list in force while there was never one without a mistake: nobody may, and is told so.
    #[must_use]
    pub fn closed() -> Self {
        Self {
            closed: true,
            ..Self::default()
        }
    }

    /// What it says of a call of `agent` by `key`, which names `skill` if it names one.
    #[must_use]
    pub fn standing(&self, key: &NodeKey, agent: &AgentId, skill: Option<&str>) -> Standing {
        if self.closed {
            return Standing::Closed;
        }
        let own = self.peers.get(key).map(|peer| &peer.rules);
        let rules = || [Some(&self.everyone), own].into_iter().flatten();
        let denies = |pattern: &Pattern| pattern.denies(agent, skill);
        let allows = |pattern: &Pattern| pattern.allows(agent, skill);
        if rules().any(|rules| rules.deny.iter().any(denies)) {
            Standing::Denied
        } else if rules().any(|rules| rules.allow.iter().any(allows)) {
            Standing::Allowed
        } else {
            Standing::Unlisted
        }
    }

    /// The same as the policy function takes it. `advertised`: whether this node offers the agent on this mesh.
    #[must_use]
    pub fn grant(
        &self,
        key: &NodeKey,
        agent: &AgentId,
        skill: Option<&str>,
        advertised: bool,
    ) -> Grant {
        Grant {
            agent: agent.clone(),
            skill: skill.map(str::to_owned),
            advertised,
            standing: self.standing(key, agent, skill),
            approve: self.peers.get(key).is_some_and(|peer| peer.approve),
        }
    }

    /// How often this key may ask anything.
    #[must_use]
    pub fn rate(&self, key: &NodeKey) -> Rate {
        self.peers.get(key).map_or(self.rate, |peer| peer.rate)
    }

    /// What is written of this key itself.
    #[must_use]
    pub fn peer(&self, key: &NodeKey) -> Option<&Peer> {
        self.peers.get(key)
    }

    /// All keys with a table of their own, by key.
    pub fn peers(&self) -> impl Iterator<Item = (&NodeKey, &Peer)> {
        self.peers.iter()
    }

    /// `[everyone]`.
    #[must_use]
    pub fn everyone(&self) -> &Rules {
        &self.everyone
    }

    /// The key with this label.
    #[must_use]
    pub fn labelled(&self, label: &str) -> Option<&NodeKey> {
        let named = |peer: &Peer| peer.label.as_deref() == Some(label);
        self.peers
            .iter()
            .find(|(_, peer)| named(peer))
            .map(|(key, _)| key)
    }
}
