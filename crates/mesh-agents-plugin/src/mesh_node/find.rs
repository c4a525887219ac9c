//! The node a person means: by its key, the start of it, or a label.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_mesh::{Moment, NodeKey, Presence};

use super::State;

/// What every key begins with.
const DID_KEY: &str = "did:key:";
/// Fewest characters of a key that name it: all begin with `z6Mk`, and four more tell thousands apart.
const PREFIX: usize = 8;
/// Candidates an error lists; the others are counted.
const LISTED: usize = 10;

impl State {
    /// The node that `text` means. `argument` is where it was given.
    ///
    /// A label of the owner's goes before what nodes call themselves: anybody may take any name.
    pub(super) fn find(
        &self,
        argument: &str,
        text: &str,
        own: &NodeKey,
        now: Moment,
    ) -> Result<NodeKey, Refusal> {
        let invalid = match text.parse::<NodeKey>() {
            Ok(key) => return Ok(key),
            // Only of what was meant as a key.
            Err(error) if text.starts_with(DID_KEY) => format!(": {error}"),
            Err(_) => String::new(),
        };
        let acl = self.acl.acl();
        if let Some(key) = acl.labelled(text) {
            return Ok(*key);
        }
        let known: BTreeSet<NodeKey> = (self.directory.nodes(now).map(|node| node.told.key))
            .chain(acl.peers().map(|(key, _)| *key))
            .chain(self.knocks.list().into_iter().map(|knock| knock.key))
            .chain([*own])
            .collect();
        let start = text.strip_prefix(DID_KEY).unwrap_or(text);
        let begins = |key: &&NodeKey| {
            let key = key.to_string();
            let key = key.strip_prefix(DID_KEY).unwrap_or_default();
            start.len() >= PREFIX && key.starts_with(start)
        };
        let named = |key: &&NodeKey| {
            let told = self.directory.remembered(key);
            told.is_some_and(|told| told.name == text)
        };
        let mut found: Vec<NodeKey> = known.iter().filter(begins).copied().collect();
        if found.is_empty() {
            found = known.iter().filter(named).copied().collect();
        }
        match found.as_slice() {
            [only] => Ok(*only),
            [] => Err(Refusal::new(
                Code::InvalidArgument,
                format!(
                    "argument {argument}: no node is known by {:?}{invalid}",
                    short(text)
                ),
            )
            .hint(format!(
                "Name a node by its key, at least {PREFIX} characters of it from z6Mk on, or its label; `agents peers list` shows them."
            ))),
            several => Err(Refusal::new(
                Code::InvalidArgument,
                format!(
                    "argument {argument}: {:?} means {} nodes:{}",
                    short(text),
                    several.len(),
                    self.candidates(several, now)
                ),
            )
            .hint("Name one by more of its key, or give it a label: agents peers allow <key> <agent> --label <name>.")),
        }
    }

    fn candidates(&self, several: &[NodeKey], now: Moment) -> String {
        let mut text = String::new();
        for key in several.iter().take(LISTED) {
            let label = self.label(key).unwrap_or_default();
            let there = self.directory.nodes(now).find(|node| node.told.key == *key);
            let there = match there.map(|node| node.presence) {
                Some(Presence::Live) => "",
                Some(Presence::Stale) => ", not answering",
                Some(Presence::Away { .. }) => ", away",
                None => ", never heard",
            };
            // Writing to a string cannot fail.
            let _ = write!(text, "\n- {key} ({label:?}{there})");
        }
        if several.len() > LISTED {
            let _ = write!(text, "\nand {} more", several.len() - LISTED);
        }
        text
    }
}

fn short(text: &str) -> String {
    text.chars().take(80).collect()
}
