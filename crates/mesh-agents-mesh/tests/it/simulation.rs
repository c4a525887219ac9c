//! Nodes of a mesh in one thread: everybody publishes, hints, pulls; messages are lost, doubled, late and
//! out of order; the net falls apart, nodes start again under new peer ids, clocks jump. The last node
//! is a liar while the storm lasts: it hints in everybody's name and answers with what it recorded of others,
//! with what it said long ago, and with bytes that were changed.
//!
//! All of it follows from a seed. A failure prints the seed, and how to play it again.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::agent::testing::definition;
use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::confinement::PlatformConfinement;
use mesh_agents_mesh::{
    Bulletin, Directory, Expect, Happening, Known, MeshPeerId, MeshVisibility, Moment, NodeKey,
    Presence, Pull, PullFailure, Pulled, Remembered, Standing, Ticket, read_hint, write_hint,
};

use super::support::*;

/// Seeds of one run of the tests. `scripts/simulate-mesh.sh` plays others, named by [`SEEDS_VARIABLE`].
const SEEDS: Range<u64> = 0..60;
/// Names other seeds: `FROM..TO`, without `TO` itself.
const SEEDS_VARIABLE: &str = "MESH_SIMULATION_SEEDS";
/// How long things go wrong.
const STORM: u64 = 600_000;
/// How long after that everybody must know everything: the longest wait after failures.
const CALM: u64 = 400_000;
/// A pull that got no answer is over after this time.
const TIMEOUT: u64 = 5_000;
/// Shortest step of time.
const STEP: u64 = 20;
/// Longest step of time, when nothing is on the wire and nobody is to be asked.
const LONGEST_STEP: u64 = 10_000;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        // xorshift64*: small, and good enough to stir a test.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

/// What travels, and to whom.
#[derive(Clone)]
enum Message {
    Hint(String),
    Request(Ticket, MeshPeerId, Known),
    Answer(Answer),
}

/// The answer on a stream; it ends with the process that opened it.
#[derive(Clone)]
struct Answer {
    ticket: Ticket,
    asker: MeshPeerId,
    asked: MeshPeerId,
    /// What the handshake on the stream proved, which nobody can forge.
    key: NodeKey,
    bytes: Vec<u8>,
}

struct Node {
    n: u8,
    key: NodeKey,
    peer: MeshPeerId,
    directory: Directory,
    bulletin: Bulletin,
    /// Agent ids with a version that counts its changes.
    agents: BTreeMap<u8, u32>,
    private: u8,
    stored: BTreeMap<NodeKey, Remembered>,
    stored_sequence: u64,
    pulls: Vec<(Pull, u64)>,
    /// How far its wall clock is off.
    skew: i64,
    /// The highest sequence it ever saw of each node.
    seen: BTreeMap<NodeKey, u64>,
}

struct World {
    random: Random,
    mono: u64,
    nodes: Vec<Node>,
    /// Until when, to which node, from which peer id.
    wire: Vec<(u64, usize, MeshPeerId, Message)>,
    /// Pairs that cannot reach each other.
    cut: BTreeSet<(usize, usize)>,
    /// Everything any node ever published.
    published: BTreeMap<NodeKey, BTreeSet<String>>,
    next_peer: u32,
    stormy: bool,
    /// Answers that were on the wire, for the liar to send again.
    recorded: Vec<Vec<u8>>,
}

/// An agent with a small card: cards are most of what a run costs.
fn small(id: &str) -> AgentDefinition {
    let mut agent = definition(id);
    agent.policy.advertise_on_mesh = true;
    agent.policy.filesystem_explicit = true;
    agent.policy.network_explicit = true;
    agent
}

fn agent_id(n: u8) -> String {
    format!("agent-{n}")
}

impl Node {
    fn now(&self, mono: u64) -> Moment {
        let wall = START.wall.0 + i64::try_from(mono).unwrap() + self.skew;
        Moment {
            wall: UnixMillis(wall),
            mono,
        }
    }

    fn standing(&self) -> Standing {
        Standing {
            mesh_id: Some("m".to_owned()),
            mesh_peer_id: self.peer.clone(),
            name: format!("node {}", self.n),
            mesh: MeshVisibility::Private,
            machine: PlatformConfinement::default(),
        }
    }

    /// What the others should see, as `id@version`.
    fn lines(&self) -> BTreeSet<String> {
        let line = |(id, version): (&u8, &u32)| format!("{}@{version}", agent_id(*id));
        self.agents.iter().map(line).collect()
    }

    /// Publishes; the sequence to hint at when something changed.
    fn publish(&mut self, mono: u64) -> Option<u64> {
        let mut agents: Vec<_> = self
            .agents
            .iter()
            .map(|(id, version)| {
                let mut agent = small(&agent_id(*id));
                agent.card.version = version.to_string();
                agent
            })
            .collect();
        let mut private = small(&format!("private-{}", self.private));
        private.policy.advertise_on_mesh = false;
        agents.push(private);
        let now = self.now(mono).wall;
        let published = self
            .bulletin
            .publish(&self.standing(), &agents, &secret(self.n), now);
        assert!(published.sequence >= self.stored_sequence, "it went back");
        self.stored_sequence = published.sequence;
        published.changed.then_some(published.sequence)
    }
}

impl World {
    fn new(seed: u64) -> Self {
        let mut world = Self {
            random: Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1),
            mono: 0,
            nodes: Vec::new(),
            wire: Vec::new(),
            cut: BTreeSet::new(),
            published: BTreeMap::new(),
            next_peer: 1,
            stormy: true,
            recorded: Vec::new(),
        };
        let count = 2 + world.random.below(6);
        for n in 0..u8::try_from(count).unwrap() {
            let node = Node {
                n: n + 1,
                key: key(n + 1),
                peer: world.mint_peer(),
                directory: Directory::new(
                    key(n + 1),
                    [],
                    world.random.next(),
                    Moment { mono: 0, ..START },
                ),
                bulletin: Bulletin::new(0),
                agents: BTreeMap::from([(0, 0)]),
                private: n,
                stored: BTreeMap::new(),
                stored_sequence: 0,
                pulls: Vec::new(),
                skew: 0,
                seen: BTreeMap::new(),
            };
            world.nodes.push(node);
        }
        for at in 0..world.nodes.len() {
            world.publish(at);
            world.appear(at);
        }
        world
    }

    fn mint_peer(&mut self) -> MeshPeerId {
        self.next_peer += 1;
        peer(self.next_peer)
    }

    fn apply(&mut self, at: usize, happening: Happening) {
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
            let published = self.published.get(&told.key).unwrap();
            for agent in &told.agents {
                let line = format!("{}@{}", agent.id, agent.version);
                assert!(published.contains(&line), "{line} was never published");
            }
            node.stored.insert(told.key, told);
        }
    }

    /// The hosts of all that can be reached say that `at` is there, and the other way round.
    fn appear(&mut self, at: usize) {
        for other in 0..self.nodes.len() {
            if other != at && !self.is_cut(at, other) {
                let (ours, theirs) = (self.nodes[at].peer.clone(), self.nodes[other].peer.clone());
                self.apply(other, Happening::PeerUp(ours));
                self.apply(at, Happening::PeerUp(theirs));
            }
        }
    }

    fn is_cut(&self, a: usize, b: usize) -> bool {
        self.cut.contains(&(a.min(b), a.max(b)))
    }

    fn send(&mut self, from: usize, to: usize, message: &Message) {
        let copies = match self.random.below(20) {
            0 | 1 if self.stormy => 0,
            2 if self.stormy => 2,
            _ => 1,
        };
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

    fn publish(&mut self, at: usize) {
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

    fn at_peer(&self, peer: &MeshPeerId) -> Option<usize> {
        self.nodes.iter().position(|node| node.peer == *peer)
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
                Message::Hint(line) => {
                    let sequence = read_hint(line.as_bytes()).unwrap();
                    self.apply(to, Happening::Hint(sender, sequence));
                }
                Message::Request(ticket, meant, known) => {
                    let node = &self.nodes[to];
                    // A stream to a peer id that is no more reaches nobody.
                    if node.peer == meant
                        && let Some(from) = from
                    {
                        let now = node.now(self.mono).wall;
                        let bytes = node.bulletin.answer(known, &secret(node.n), now);
                        let bytes = self.bent(to, bytes.unwrap().unwrap());
                        let node = &self.nodes[to];
                        let answer = Answer {
                            ticket,
                            asker: sender,
                            asked: meant,
                            key: node.key,
                            bytes,
                        };
                        self.send(to, from, &Message::Answer(answer));
                    }
                }
                Message::Answer(answer) => self.hear(to, &answer),
            }
        }
    }

    /// What `at` sends in place of the truth, when it lies.
    fn bent(&mut self, at: usize, mut truth: Vec<u8>) -> Vec<u8> {
        if self.recorded.len() < 1_000 {
            self.recorded.push(truth.clone());
        }
        if !self.stormy || at + 1 < self.nodes.len() {
            return truth;
        }
        let pick = |random: &mut Random, count: usize| {
            usize::try_from(random.below(u64::try_from(count).unwrap())).unwrap()
        };
        match self.random.below(3) {
            0 => {
                let old = pick(&mut self.random, self.recorded.len());
                self.recorded[old].clone()
            }
            1 => {
                let byte = pick(&mut self.random, truth.len());
                truth[byte] ^= 1 << self.random.below(8);
                truth
            }
            _ => truth,
        }
    }

    /// The liar hints in somebody's name.
    fn mislead(&mut self) {
        let count = u64::try_from(self.nodes.len()).unwrap();
        let to = usize::try_from(self.random.below(count)).unwrap();
        let named = usize::try_from(self.random.below(count)).unwrap();
        if to != named {
            let sequence = 1_790_000_000_000 + self.random.below(1 << 40);
            let named = self.nodes[named].peer.clone();
            self.apply(to, Happening::Hint(named, sequence));
        }
    }

    fn hear(&mut self, at: usize, answer: &Answer) {
        let Answer { ticket, key, .. } = *answer;
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
        self.apply(at, happening);
    }

    /// Goes on to when the next thing happens, and lets it.
    fn step(&mut self, no_later_than: u64) {
        let wakes = self.nodes.iter().filter_map(|node| {
            let pulls = node.pulls.iter().map(|(_, since)| since + TIMEOUT);
            pulls.chain(node.directory.next_wake()).min()
        });
        let arrivals = self.wire.iter().map(|(at, ..)| *at);
        let next = wakes.chain(arrivals).min().unwrap_or(u64::MAX);
        let most = no_later_than.min(self.mono + LONGEST_STEP);
        self.mono = next.min(most).max(self.mono + STEP);
        self.deliver();
        for at in 0..self.nodes.len() {
            let over = |(_, since): &(Pull, u64)| since + TIMEOUT <= self.mono;
            let lost: Vec<_> = self.nodes[at]
                .pulls
                .extract_if(.., |pull| over(pull))
                .collect();
            for (pull, _) in lost {
                let failure = PullFailure::NoAnswer;
                let ticket = pull.ticket;
                self.apply(at, Happening::Failed { ticket, failure });
            }
            let now = self.nodes[at].now(self.mono);
            if self.nodes[at]
                .directory
                .next_wake()
                .is_none_or(|wake| wake > self.mono)
            {
                continue;
            }
            self.apply(at, Happening::Tick);
            for pull in self.nodes[at].directory.due(8, now) {
                let request = Message::Request(pull.ticket, pull.peer.clone(), pull.known);
                let to = self.at_peer(&pull.peer);
                self.nodes[at].pulls.push((pull, self.mono));
                if let Some(to) = to {
                    self.send(at, to, &request);
                }
            }
        }
    }

    /// A while passes, then something goes wrong.
    fn weather(&mut self) {
        let until = self.mono + self.random.below(6_000);
        while self.mono < until {
            self.step(until);
        }
        if self.random.one_in(3) {
            self.mislead();
        } else {
            self.stir();
        }
    }

    /// One thing goes wrong, or somebody does something.
    fn stir(&mut self) {
        let count = u64::try_from(self.nodes.len()).unwrap();
        let at = usize::try_from(self.random.below(count)).unwrap();
        let other = usize::try_from(self.random.below(count)).unwrap();
        match self.random.below(9) {
            0 | 1 => {
                let id = u8::try_from(self.random.below(4)).unwrap();
                *self.nodes[at].agents.entry(id).or_default() += 1;
                self.publish(at);
            }
            2 => {
                let id = u8::try_from(self.random.below(4)).unwrap();
                self.nodes[at].agents.remove(&id);
                self.publish(at);
            }
            3 if at != other => {
                self.cut.insert((at.min(other), at.max(other)));
                if self.random.one_in(2) {
                    self.part(at, other);
                }
            }
            4 => self.heal_one(),
            5 => self.restart(at),
            6 => {
                // Within what is allowed, and an hour off.
                let hour = 3_600_000;
                self.nodes[at].skew = match self.random.below(4) {
                    0 => hour,
                    1 => -hour,
                    2 => 0,
                    _ => i64::try_from(self.random.below(200_000)).unwrap() - 100_000,
                };
            }
            7 => self.apply(at, Happening::LinkDown),
            _ => self.apply(at, Happening::LinkUp),
        }
    }

    /// Both hosts see that the other is gone.
    fn part(&mut self, a: usize, b: usize) {
        let (pa, pb) = (self.nodes[a].peer.clone(), self.nodes[b].peer.clone());
        self.apply(a, Happening::PeerDown(pb));
        self.apply(b, Happening::PeerDown(pa));
    }

    fn heal_one(&mut self) {
        if let Some((a, b)) = self.cut.pop_first() {
            let (pa, pb) = (self.nodes[a].peer.clone(), self.nodes[b].peer.clone());
            self.apply(a, Happening::PeerUp(pb));
            self.apply(b, Happening::PeerUp(pa));
        }
    }

    /// The node is killed and starts again: a new peer id, and only what was stored. Some hosts see the
    /// old one go, others only later.
    fn restart(&mut self, at: usize) {
        let old = self.nodes[at].peer.clone();
        let new = self.mint_peer();
        let seed = self.random.next();
        let node = &mut self.nodes[at];
        node.peer = new;
        node.pulls.clear();
        let now = node.now(self.mono);
        node.directory = Directory::new(node.key, node.stored.values().cloned(), seed, now);
        node.bulletin = Bulletin::new(node.stored_sequence);
        for other in 0..self.nodes.len() {
            if other != at && self.random.one_in(2) {
                self.apply(other, Happening::PeerDown(old.clone()));
            }
        }
        self.publish(at);
        self.appear(at);
    }

    fn calm(&mut self) {
        self.stormy = false;
        self.cut.clear();
        for at in 0..self.nodes.len() {
            self.nodes[at].skew = 0;
            self.apply(at, Happening::LinkUp);
            let live: BTreeSet<_> = self.nodes.iter().map(|node| node.peer.clone()).collect();
            for n in 0..=self.next_peer {
                if !live.contains(&peer(n)) {
                    self.apply(at, Happening::PeerDown(peer(n)));
                }
            }
        }
        for at in 0..self.nodes.len() {
            self.appear(at);
        }
    }

    /// Everybody knows of everybody what it publishes, all of it live, and can call it.
    fn check(&self) {
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

fn run(seed: u64) {
    let mut world = World::new(seed);
    while world.mono < STORM {
        world.weather();
    }
    world.calm();
    while world.mono < STORM + CALM {
        world.step(u64::MAX);
    }
    world.check();
}

/// Says which seed it was, when a run fails.
struct Seed(u64);

impl Drop for Seed {
    #[expect(
        clippy::print_stderr,
        reason = "the seed is what a failed run is played again with"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (seed, next) = (self.0, self.0 + 1);
            eprintln!("seed {seed} failed; again: scripts/simulate-mesh.sh {seed}..{next}");
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the script hands the seeds to a test, which has no arguments"
)]
fn seeds() -> Range<u64> {
    let Ok(named) = std::env::var(SEEDS_VARIABLE) else {
        return SEEDS;
    };
    let (from, to) = named.split_once("..").unwrap();
    from.parse().unwrap()..to.parse().unwrap()
}

#[test]
fn whatever_happens_everybody_knows_the_truth_in_the_end_and_never_anything_else() {
    for seed in seeds() {
        let _named = Seed(seed);
        run(seed);
    }
}

#[test]
fn one_seed_is_one_story() {
    let story = |seed| {
        let mut world = World::new(seed);
        let mut story = Vec::new();
        for _ in 0..100 {
            world.weather();
            let known: Vec<_> = world.nodes.iter().map(|node| node.seen.clone()).collect();
            story.push((world.wire.len(), known));
        }
        story
    };
    assert_eq!(story(1), story(1));
    assert_ne!(story(1), story(2));
}
