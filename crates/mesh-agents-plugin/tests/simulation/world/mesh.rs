//! Adverts, hints and pulls.

use std::collections::BTreeSet;

use mesh_agents_mesh::{
    Expect, Happening, Known, MeshPeerId, Presence, Pull, PullFailure, Pulled, Remembered, Ticket,
    read_hint, write_hint,
};

use super::super::counts::Rare;
use super::{Advert, Message, TIMEOUT, World};

impl World {
    pub(super) fn apply(&mut self, at: usize, happening: Happening) {
        let node = &mut self.nodes[at];
        let now = node.now(self.mono);
        if node.directory.apply(happening, now).is_empty() {
            return;
        }
        let told: Vec<Remembered> = node
            .directory
            .nodes(now)
            .map(|view| view.told.clone())
            .collect();
        for told in told {
            let seen = node.seen.entry(told.key).or_default();
            assert!(told.sequence >= *seen, "a sequence went back");
            *seen = told.sequence;
            let published = &self.published[&told.key];
            for agent in &told.agents {
                let line = format!("{}@{}", agent.id, agent.version);
                assert!(published.contains(&line), "{line} was never published");
            }
            node.stored.insert(told.key, told);
        }
    }

    /// The hosts of all that can be reached say that `at` is there, and the other way round.
    pub(super) fn appear(&mut self, at: usize) {
        for other in 0..self.nodes.len() {
            if other != at && !self.is_cut(at, other) {
                let (ours, theirs) = (self.nodes[at].peer.clone(), self.nodes[other].peer.clone());
                self.apply(other, Happening::PeerUp(ours));
                self.apply(at, Happening::PeerUp(theirs));
            }
        }
    }

    pub(super) fn publish(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        let hint = node.publish(self.mono);
        let lines = node.lines();
        self.published.entry(node.key).or_default().extend(lines);
        if let Some(sequence) = hint {
            for other in 0..self.nodes.len() {
                if other != at {
                    self.send(at, other, &Message::Hint(write_hint(sequence)));
                }
            }
        }
    }

    pub(super) fn hear_hint(&mut self, to: usize, sender: MeshPeerId, line: &str) {
        let sequence = read_hint(line.as_bytes()).unwrap();
        self.apply(to, Happening::Hint(sender, sequence));
    }

    pub(super) fn tell_advert(
        &mut self,
        to: usize,
        from: Option<usize>,
        asker: MeshPeerId,
        ticket: Ticket,
        asked: MeshPeerId,
        known: Known,
    ) {
        let node = &self.nodes[to];
        // A stream to a peer id that is no more reaches nobody.
        let (true, Some(from)) = (node.peer == asked, from) else {
            return;
        };
        let key = node.key;
        let now = node.now(self.mono).wall;
        let bytes = node.bulletin.answer(known, &node.secret, now);
        let bytes = self.bent(to, bytes.unwrap().unwrap());
        let answer = Advert {
            ticket,
            asker,
            asked,
            key,
            bytes,
        };
        self.send(to, from, &Message::Answer(answer));
    }

    /// What the last node sends in place of the truth, while the storm lasts.
    fn bent(&mut self, at: usize, mut truth: Vec<u8>) -> Vec<u8> {
        if self.recorded.len() < 100 {
            self.recorded.push(truth.clone());
        }
        if !self.stormy || at + 1 < self.nodes.len() {
            return truth;
        }
        match self.random.below(3) {
            0 => {
                self.counts.saw(Rare::Replayed);
                let old = self.random.place(self.recorded.len());
                self.recorded[old].clone()
            }
            1 => {
                self.counts.saw(Rare::Bent);
                let byte = self.random.place(truth.len());
                truth[byte] ^= 1 << self.random.below(8);
                truth
            }
            _ => truth,
        }
    }

    pub(super) fn hear(&mut self, at: usize, answer: &Advert) {
        let Advert { ticket, key, .. } = *answer;
        let node = &mut self.nodes[at];
        if node.peer != answer.asker {
            return;
        }
        node.pulls.retain(|(pull, _)| pull.ticket != ticket);
        let expect = Expect {
            key: &key,
            mesh_id: Some("m"),
            mesh_peer_id: &answer.asked,
        };
        let happening = match Pulled::read(&answer.bytes, expect, node.now(self.mono).wall) {
            Ok(answer) => Happening::Answered {
                ticket,
                key,
                answer,
            },
            Err(error) => Happening::Failed {
                ticket,
                failure: PullFailure::Refused(error.to_string()),
            },
        };
        // "Not modified" is about the advert that was asked with.
        let other = match &happening {
            Happening::Answered {
                answer: Pulled::NotModified(sequence),
                ..
            } => {
                let told = self.nodes[at].directory.remembered(&key);
                let other = told.filter(|told| told.sequence != *sequence);
                other.map(|told| told.heard_at)
            }
            _ => None,
        };
        self.apply(at, happening);
        if let Some(heard_at) = other {
            self.counts.saw(Rare::Unasked);
            let told = self.nodes[at].directory.remembered(&key);
            assert_eq!(told.unwrap().heard_at, heard_at, "an unasked answer counts");
        }
    }

    /// Pulls that are over, and those that are due.
    pub(super) fn pulls(&mut self, at: usize) {
        let mono = self.mono;
        let over = |(_, since): &mut (Pull, u64)| *since + TIMEOUT <= mono;
        let lost: Vec<_> = self.nodes[at].pulls.extract_if(.., over).collect();
        for (pull, _) in lost {
            let failure = PullFailure::NoAnswer;
            let ticket = pull.ticket;
            self.apply(at, Happening::Failed { ticket, failure });
        }
        let wake = self.nodes[at].directory.next_wake();
        if wake.is_none_or(|wake| wake > mono) {
            return;
        }
        self.apply(at, Happening::Tick);
        let now = self.nodes[at].now(mono);
        for pull in self.nodes[at].directory.due(8, now) {
            let request = Message::Pull(pull.ticket, pull.peer.clone(), pull.known);
            let to = self.at_peer(&pull.peer);
            self.nodes[at].pulls.push((pull, mono));
            if let Some(to) = to {
                self.send(at, to, &request);
            }
        }
    }

    /// Everybody knows of everybody what it publishes, all of it live, and can call it.
    pub(super) fn check_mesh(&self) {
        for node in &self.nodes {
            let now = node.now(self.mono);
            for other in self.nodes.iter().filter(|other| other.n != node.n) {
                let mut seen = BTreeSet::new();
                let agents = node.directory.agents(now);
                for agent in agents.filter(|agent| *agent.node == other.key) {
                    assert_eq!(agent.presence, Presence::Live, "{} of {}", node.n, other.n);
                    seen.insert(format!("{}@{}", agent.agent.id, agent.agent.version));
                }
                assert_eq!(seen, other.lines(), "{} of {}", node.n, other.n);
                assert_eq!(node.directory.route(&other.key), Ok(&other.peer));
            }
            assert_eq!(node.directory.nodes(now).count(), self.nodes.len() - 1);
        }
    }
}
