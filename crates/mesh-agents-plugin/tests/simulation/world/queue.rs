//! Messages that wait: for a slot, and for a node that is away.

use mesh_agents_core::ids::AgentId;
use mesh_agents_core::limits::OFFLINE_PER_NODE;
use mesh_agents_mesh::NodeKey;
use mesh_agents_tasks::decide::{Admitted, Room, admit, look};

use super::super::caller::Sent;
use super::super::counts::Rare;
use super::World;

/// As definitions of other nodes' agents say.
const ROOM: Room = Room {
    limit: 64,
    one_per_context: true,
};

impl World {
    /// Sends a new message. Whether it was taken.
    pub(super) fn sends(&mut self, at: usize, agent: AgentId, owner: NodeKey, wait: bool) -> bool {
        let id = self.mint_id();
        let node = &mut self.nodes[at];
        let now = node.now(self.mono).wall;
        let away = node.away(&owner);
        let until = match admit(away.as_ref(), wait, node.waiting_for(&owner), now) {
            Admitted::Now => None,
            Admitted::Waits(until) => Some(until),
            Admitted::Away => return false,
            Admitted::Full => {
                self.counts.saw(Rare::Full);
                return false;
            }
        };
        if away.is_some() {
            self.counts.saw(Rare::Queued);
        }
        let slots = node.slots.clone();
        let sent = Sent::new(id, agent, owner, (until, now), slots);
        node.sent.push(sent);
        assert!(node.waiting_for(&owner) <= OFFLINE_PER_NODE, "too many");
        self.counts.tasks += 1;
        self.fill(at);
        true
    }

    /// Starts what may start.
    pub(super) fn fill(&mut self, at: usize) {
        for agent in self.nodes[at].slots.waited_for() {
            loop {
                let mono = self.mono;
                let node = &mut self.nodes[at];
                let now = node.now(mono);
                let of = node.sent.iter().find(|sent| sent.task.agent_id == agent);
                let owner = of.unwrap().owner;
                let away = node.away(&owner).is_some();
                let Some(id) = node.slots.take(&agent, ROOM, away) else {
                    break;
                };
                let sent = node.sent.iter().position(|sent| sent.task.id == id);
                let sent = sent.unwrap();
                let wants = node.sent[sent].starts(now, away);
                self.make(at, sent, wants);
            }
        }
    }

    /// Looks at what waits for other nodes.
    pub(super) fn looks(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if node.looks_at > self.mono {
            return;
        }
        let now = node.now(self.mono);
        let (due, wait) = look(node.sent.iter().filter_map(Sent::waits), now.wall);
        for id in due {
            let sent = node.sent.iter_mut().find(|sent| sent.task.id == id);
            sent.unwrap().gives_up(now);
        }
        node.looks_at = self.mono + u64::try_from(wait.as_millis()).unwrap();
    }

    /// One more message for a node that is away than may wait; then most are taken back.
    pub(super) fn floods(&mut self, at: usize) {
        let node = &self.nodes[at];
        let gone = |key: &NodeKey| node.away(key).is_some_and(|away| away.since.is_some());
        let owner = self.nodes.iter().find(|other| gone(&other.key));
        let Some(owner) = owner else { return };
        let (owner, agent) = (owner.key, super::super::node::agent_id(owner.n % 3));
        while self.sends(at, agent.clone(), owner, true) {}
        let kept = 1 + self.random.below(3);
        let waiting = self.nodes[at].waiting_for(&owner).saturating_sub(kept);
        let mut left = waiting;
        for sent in 0..self.nodes[at].sent.len() {
            let task = &mut self.nodes[at].sent[sent];
            if left > 0 && task.owner == owner && task.waits().is_some() && task.ended.is_none() {
                left -= 1;
                let wants = task.cancels(self.mono);
                self.make(at, sent, wants);
            }
        }
    }
}
