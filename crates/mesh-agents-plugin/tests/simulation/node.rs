//! One node: its key, its place in the mesh, its list, its tasks and those it sent.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::rc::Rc;

use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::agent::testing::definition;
use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::confinement::PlatformConfinement;
use mesh_agents_core::ids::AgentId;
use mesh_agents_core::policy::AgentState;
use mesh_agents_core::principal::Principal;
use mesh_agents_core::run::Away;
use mesh_agents_mesh::acl::{LastGood, Read, Reading};
use mesh_agents_mesh::{
    Bulletin, Directory, MeshPeerId, MeshVisibility, Moment, NodeKey, NodeSecret, Pull, Remembered,
    Standing, Stored,
};
use mesh_agents_tasks::decide::Slots;

use super::caller::Sent;
use super::owner::Tasks;

/// When every run begins, on the wall clock.
pub(crate) const START: i64 = 1_790_000_000_000;

pub(crate) fn secret(n: u8) -> NodeSecret {
    NodeSecret::from_seed(&[n; 32])
}

pub(crate) fn peer(n: u32) -> MeshPeerId {
    format!("{n:064x}").parse().unwrap()
}

pub(crate) fn agent_id(n: u8) -> AgentId {
    format!("agent-{n}").parse().unwrap()
}

/// The agent of node `n` that nobody else is to know of.
pub(crate) fn private_id(n: u8) -> AgentId {
    format!("private-{n}").parse().unwrap()
}

pub(crate) struct Node {
    pub(crate) n: u8,
    pub(crate) secret: NodeSecret,
    pub(crate) key: NodeKey,
    /// Whose tasks its own are at other nodes.
    pub(crate) principal: Principal,
    pub(crate) peer: MeshPeerId,
    pub(crate) directory: Directory,
    pub(crate) bulletin: Bulletin,
    /// Agent ids with a version that counts its changes.
    pub(crate) agents: BTreeMap<u8, u32>,
    pub(crate) stored: BTreeMap<NodeKey, Remembered>,
    pub(crate) stored_sequence: u64,
    pub(crate) pulls: Vec<(Pull, u64)>,
    /// How far its wall clock is off.
    pub(crate) skew: i64,
    /// The highest sequence it ever saw of each node.
    pub(crate) seen: BTreeMap<NodeKey, u64>,
    pub(crate) acl: LastGood,
    /// The text of its list, and when a change of it is read.
    pub(crate) list: String,
    pub(crate) reads_at: Option<u64>,
    pub(crate) tasks: Tasks,
    pub(crate) sent: Vec<Sent>,
    /// Its engine's queues of what it sends.
    pub(crate) slots: Rc<Slots>,
    /// When it looks next at what waits for other nodes.
    pub(crate) looks_at: u64,
    /// Which owner a plain id was resolved to; durable.
    pub(crate) owners: BTreeMap<AgentId, Stored>,
    /// Counts its engines, and the lists that were in force.
    pub(crate) life: u64,
    pub(crate) lists: u64,
}

/// An agent with a small card: cards are most of what a run costs.
fn small(id: &AgentId) -> AgentDefinition {
    let mut agent = definition(id.as_str());
    agent.policy.advertise_on_mesh = true;
    agent.policy.filesystem_explicit = true;
    agent.policy.network_explicit = true;
    agent
}

impl Node {
    pub(crate) fn new(n: u8, peer: MeshPeerId, seed: u64) -> Self {
        let secret = secret(n);
        let key = secret.key();
        let now = Moment {
            wall: UnixMillis(START),
            mono: 0,
        };
        let mut acl = LastGood::new(PathBuf::from("acl.toml"));
        acl.read(Reading::Absent);
        Self {
            n,
            secret,
            key,
            principal: Principal::Key(key.to_string()),
            peer,
            directory: Directory::new(key, [], seed, now),
            bulletin: Bulletin::new(0),
            agents: BTreeMap::from([(n % 3, 0)]),
            stored: BTreeMap::new(),
            stored_sequence: 0,
            pulls: Vec::new(),
            skew: 0,
            seen: BTreeMap::new(),
            acl,
            list: String::new(),
            reads_at: None,
            tasks: Tasks::default(),
            sent: Vec::new(),
            slots: Rc::default(),
            looks_at: 0,
            owners: BTreeMap::new(),
            life: 0,
            lists: 0,
        }
    }

    pub(crate) fn now(&self, mono: u64) -> Moment {
        let wall = START + i64::try_from(mono).unwrap() + self.skew;
        Moment {
            wall: UnixMillis(wall),
            mono,
        }
    }

    /// What the others should see, as `id@version`.
    pub(crate) fn lines(&self) -> BTreeSet<String> {
        let line = |(id, version): (&u8, &u32)| format!("{}@{version}", agent_id(*id));
        self.agents.iter().map(line).collect()
    }

    /// Publishes; the sequence to hint at when something changed.
    pub(crate) fn publish(&mut self, mono: u64) -> Option<u64> {
        let mut agents: Vec<_> = self
            .agents
            .iter()
            .map(|(id, version)| {
                let mut agent = small(&agent_id(*id));
                agent.card.version = version.to_string();
                agent
            })
            .collect();
        let mut private = small(&private_id(self.n));
        private.policy.advertise_on_mesh = false;
        agents.push(private);
        let standing = Standing {
            mesh_id: Some("m".to_owned()),
            mesh_peer_id: self.peer.clone(),
            name: format!("node {}", self.n),
            mesh: MeshVisibility::Private,
            machine: PlatformConfinement::default(),
        };
        let now = self.now(mono).wall;
        let published = self.bulletin.publish(&standing, &agents, &self.secret, now);
        assert!(published.sequence >= self.stored_sequence, "it went back");
        self.stored_sequence = published.sequence;
        published.changed.then_some(published.sequence)
    }

    /// What an agent is here.
    pub(crate) fn state_of(&self, agent: &AgentId) -> AgentState {
        let here = self.agents.keys().any(|n| agent_id(*n) == *agent);
        if here || *agent == private_id(self.n) {
            AgentState::Ready
        } else {
            AgentState::Absent
        }
    }

    pub(crate) fn advertises(&self, agent: &AgentId) -> bool {
        self.bulletin.agents().iter().any(|told| told.id == *agent)
    }

    /// Why a node cannot be called now, as its engine asks.
    pub(crate) fn away(&self, key: &NodeKey) -> Option<Away> {
        let error = self.directory.route(key).err()?;
        Some(Away {
            name: key.to_string(),
            since: error.away_since(),
            why: error.to_string(),
        })
    }

    /// How many messages wait for a node.
    pub(crate) fn waiting_for(&self, key: &NodeKey) -> u64 {
        let waiting = self.sent.iter().filter(|sent| sent.owner == *key);
        waiting.filter(|sent| sent.waits().is_some()).count() as u64
    }

    /// Its engine is killed and another starts, at `peer`, with what is stored.
    pub(crate) fn starts_again(&mut self, peer: MeshPeerId, seed: u64, mono: u64) {
        self.peer = peer;
        self.pulls.clear();
        self.life += 1;
        (self.slots, self.looks_at) = (Rc::default(), mono);
        let now = self.now(mono);
        self.directory = Directory::new(self.key, self.stored.values().cloned(), seed, now);
        self.bulletin = Bulletin::new(self.stored_sequence);
        self.acl = LastGood::new(PathBuf::from("acl.toml"));
        self.reads_at = None;
        self.read_list();
    }

    /// Whether another list is in force now.
    pub(crate) fn read_list(&mut self) -> bool {
        let list = self.list.clone();
        let changed = self.acl.read(Reading::Text(&list)) == Read::Changed;
        self.lists += u64::from(changed);
        changed
    }
}
