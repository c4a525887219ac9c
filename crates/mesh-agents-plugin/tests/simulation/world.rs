//! All nodes, the net between them, and what goes wrong.

mod calls;
mod checks;
mod mesh;
mod queue;
mod weather;

use std::collections::{BTreeMap, BTreeSet};

use mesh_agents_a2a::remote::Fault;
use mesh_agents_a2a::remote::mirror::Request;
use mesh_agents_core::ids::AgentId;
use mesh_agents_mesh::{Known, MeshPeerId, NodeKey, Ticket};

use super::caller::Sent;
use super::counts::{Counts, Rare};
use super::node::{Node, peer};
use super::owner::Given;
use super::random::Random;
use super::truth::Truth;

/// How long things go wrong, sleep not counted.
const STORM: u64 = 150_000;
/// How long after that everybody must know everything, and every task be over.
pub(crate) const CALM: u64 = 300_000;
/// A pull, or a call, that got no answer is over after this time.
const TIMEOUT: u64 = 5_000;
/// A stream that says nothing is over after this time.
const SILENCE: u64 = 20_000;
/// Shortest step of time.
const STEP: u64 = 20;
/// Longest step of time, when nothing is on the wire and nobody is to be asked.
const LONGEST_STEP: u64 = 10_000;

/// What travels, and to whom.
#[derive(Clone)]
enum Message {
    Hint(String),
    Pull(Ticket, MeshPeerId, Known),
    Answer(Advert),
    Call(Call),
    Reply(u64, Result<Given, Fault>),
}

/// The answer to a pull; it ends with the process that opened its stream.
#[derive(Clone)]
struct Advert {
    ticket: Ticket,
    asker: MeshPeerId,
    asked: MeshPeerId,
    /// What the handshake on the stream proved, which nobody can forge.
    key: NodeKey,
    bytes: Vec<u8>,
}

/// A call of an agent; `from` is what the handshake proved.
#[derive(Clone)]
struct Call {
    id: u64,
    from: NodeKey,
    /// Whom the caller opened to, and which key it wanted there.
    meant: (MeshPeerId, NodeKey),
    agent: AgentId,
    request: Request,
}

/// A call under way: of which task of which node, in which life of it, since when.
struct Under {
    node: usize,
    life: u64,
    sent: usize,
    since: u64,
}

/// A stream of a task's events.
struct Stream {
    id: u64,
    /// Caller, its life, its task.
    to: (usize, u64, usize),
    /// Owner, its life, its task.
    of: (usize, u64, usize),
    /// The owner's list it was opened under.
    list: u64,
    /// The last event told; `None` before the task as a whole.
    told: Option<usize>,
    next_at: u64,
    heard_at: u64,
    /// Nothing comes through any more.
    broken: bool,
}

pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) mono: u64,
    pub(crate) nodes: Vec<Node>,
    /// Until when, to which node, from which peer id.
    wire: Vec<(u64, usize, MeshPeerId, Message)>,
    calls: BTreeMap<u64, Under>,
    streams: Vec<Stream>,
    next_id: u64,
    /// Pairs that cannot reach each other.
    cut: BTreeSet<(usize, usize)>,
    /// Everything any node ever published.
    published: BTreeMap<NodeKey, BTreeSet<String>>,
    next_peer: u32,
    stormy: bool,
    /// When it calms down.
    pub(crate) storm_ends: u64,
    /// Answers that were on the wire, for the liar to send again.
    recorded: Vec<Vec<u8>>,
    truth: Truth,
    pub(crate) counts: Counts,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut world = Self {
            random: Random::new(seed),
            mono: 0,
            nodes: Vec::new(),
            wire: Vec::new(),
            calls: BTreeMap::new(),
            streams: Vec::new(),
            next_id: 1,
            cut: BTreeSet::new(),
            published: BTreeMap::new(),
            next_peer: 1,
            stormy: true,
            storm_ends: STORM,
            recorded: Vec::new(),
            truth: Truth::default(),
            counts: Counts::default(),
        };
        let count = 2 + world.random.below(6);
        for n in 1..=u8::try_from(count).unwrap() {
            let (peer, seed) = (world.mint_peer(), world.random.next());
            world.nodes.push(Node::new(n, peer, seed));
        }
        for at in 0..world.nodes.len() {
            world.publish(at);
            world.appear(at);
            world.writes_list(at);
        }
        world
    }

    fn mint_peer(&mut self) -> MeshPeerId {
        self.next_peer += 1;
        peer(self.next_peer)
    }

    fn mint_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn at_peer(&self, peer: &MeshPeerId) -> Option<usize> {
        self.nodes.iter().position(|node| node.peer == *peer)
    }

    fn at_key(&self, key: &NodeKey) -> usize {
        self.nodes.iter().position(|node| node.key == *key).unwrap()
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cut.contains(&(a.min(b), a.max(b)))
    }

    /// Sends, as the net does: in any order, late, twice or not at all.
    fn send(&mut self, from: usize, to: usize, message: &Message) {
        let copies = match self.random.below(20) {
            0 | 1 if self.stormy => 0,
            2 if self.stormy => 2,
            _ => 1,
        };
        match copies {
            0 => self.counts.saw(Rare::Lost),
            2 => self.counts.saw(Rare::Doubled),
            _ => {}
        }
        for _ in 0..copies {
            let late = if self.stormy && self.random.one_in(10) {
                self.random.below(20_000)
            } else {
                self.random.below(200)
            };
            let sender = self.nodes[from].peer.clone();
            self.wire
                .push((self.mono + late, to, sender, message.clone()));
        }
    }

    /// Goes on to when the next thing happens, and lets it.
    pub(crate) fn step(&mut self, no_later_than: u64) {
        let next = self.next_event().unwrap_or(u64::MAX);
        let most = no_later_than.min(self.mono + LONGEST_STEP);
        self.mono = next.min(most).max(self.mono + STEP);
        self.deliver();
        for at in 0..self.nodes.len() {
            self.pulls(at);
            self.lists(at);
            self.work(at);
            self.looks(at);
            self.fill(at);
            self.wake(at);
        }
        self.time_out();
        self.pump();
    }

    fn next_event(&self) -> Option<u64> {
        let nodes = self.nodes.iter().flat_map(|node| {
            let pulls = node.pulls.iter().map(|(_, since)| since + TIMEOUT);
            let runs = node.tasks.tasks.iter().filter(|task| task.runs);
            let mirrors = node.sent.iter().filter_map(Sent::wake);
            pulls
                .chain(node.directory.next_wake())
                .chain(node.reads_at)
                .chain(runs.map(|task| task.works_at))
                .chain(mirrors)
        });
        let calls = self.calls.values().map(|call| call.since + TIMEOUT);
        let streams = self.streams.iter().filter_map(|stream| {
            let (owner, _, task) = stream.of;
            let more = stream
                .told
                .is_none_or(|told| told < self.nodes[owner].tasks.tasks[task].log.len());
            let silent = stream.heard_at + SILENCE;
            Some(if more && !stream.broken {
                stream.next_at
            } else if stream.broken {
                silent
            } else {
                return None;
            })
        });
        let arrivals = self.wire.iter().map(|(at, ..)| *at);
        nodes.chain(calls).chain(streams).chain(arrivals).min()
    }

    fn deliver(&mut self) {
        let mut arrived = Vec::new();
        let mono = self.mono;
        self.wire.retain(|item| {
            let here = item.0 <= mono;
            if here {
                arrived.push((item.1, item.2.clone(), item.3.clone()));
            }
            !here
        });
        for (to, sender, message) in arrived {
            let from = self.at_peer(&sender);
            if from.is_some_and(|from| self.is_cut(from, to)) {
                continue;
            }
            match message {
                Message::Hint(line) => self.hear_hint(to, sender, &line),
                Message::Pull(ticket, meant, known) => {
                    self.tell_advert(to, from, sender, ticket, meant, known);
                }
                Message::Answer(answer) => self.hear(to, &answer),
                Message::Call(call) => self.take_call(to, from, &call),
                Message::Reply(id, reply) => self.take_reply(to, id, reply),
            }
        }
    }
}
