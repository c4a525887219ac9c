//! What goes wrong, and what people do meanwhile.

use std::fmt::Write as _;

use mesh_agents_a2a::remote::mirror::Request;
use mesh_agents_mesh::{Happening, Place, Wanted, resolve};

use super::super::counts::Rare;
use super::super::node::{agent_id, private_id};
use super::super::truth::RELOAD;
use super::World;

/// Longer than a message or a wish waits.
const SLEEP: u64 = 73 * 60 * 60 * 1_000;

impl World {
    /// A while passes, then something happens.
    pub(crate) fn weather(&mut self) {
        let until = self.mono + self.random.below(3_000);
        while self.mono < until {
            self.step(until);
        }
        match self.random.below(12) {
            0 => self.mislead(),
            1..=4 => self.stir(),
            5 => self.steals(),
            _ => self.uses(),
        }
    }

    fn any(&mut self) -> usize {
        self.random.place(self.nodes.len())
    }

    /// Somebody sends, answers, cancels.
    fn uses(&mut self) {
        let at = self.any();
        let count = self.nodes[at].sent.len();
        match self.random.below(5) {
            0 if count > 0 => {
                let sent = self.random.place(count);
                if self.random.one_in(3) && self.nodes[at].sent[sent].ended.is_none() {
                    let wants = self.nodes[at].sent[sent].cancels(self.mono);
                    self.make(at, sent, wants);
                    self.counts.canceled += 1;
                }
            }
            1 => self.answer_all(at),
            _ if count < 6 => self.asks_for(at),
            _ => {}
        }
    }

    /// A message to an agent by its plain id, or by its node's key.
    fn asks_for(&mut self, at: usize) {
        let agent = agent_id(u8::try_from(self.random.below(4)).unwrap());
        let other = self.any();
        let named = self.random.one_in(2).then(|| self.nodes[other].key);
        let queue = self.random.one_in(2);
        let node = &self.nodes[at];
        let wanted = Wanted {
            agent: &agent,
            node: named.as_ref().filter(|key| **key != node.key),
            own: &node.key,
            is_local: false,
            stored: node.owners.get(&agent),
        };
        let now = node.now(self.mono);
        let Ok(resolved) = resolve(&wanted, &node.directory, now) else {
            return;
        };
        let Place::Node(owner) = resolved.place else {
            return;
        };
        let line = format!("{agent}@");
        let published = &self.published[&owner];
        let ever = published.iter().any(|known| known.starts_with(&line));
        assert!(ever, "{agent} was never there");
        if named.is_none() {
            let first = node.owners.get(&agent).map(|stored| stored.node);
            assert!(first.is_none_or(|first| first == owner), "another owner");
        }
        if resolved.store {
            let stored = mesh_agents_mesh::Stored {
                node: owner,
                is_chosen: false,
            };
            self.nodes[at].owners.insert(agent.clone(), stored);
        }
        self.sends(at, agent, owner, queue);
    }

    pub(super) fn answer_all(&mut self, at: usize) {
        for sent in 0..self.nodes[at].sent.len() {
            if self.nodes[at].sent[sent].open.is_some() {
                let wants = self.nodes[at].sent[sent].answers(self.mono);
                self.make(at, sent, wants);
            }
        }
    }

    /// Somebody asks for what is another's: a task of theirs, or an agent that is not offered.
    fn steals(&mut self) {
        let (thief, owner) = (self.any(), self.any());
        if thief == owner {
            return;
        }
        self.counts.thefts += 1;
        let key = self.nodes[thief].key;
        let count = self.nodes[owner].tasks.tasks.len();
        let (agent, task) = if count == 0 || self.random.one_in(4) {
            let n = self.nodes[owner].n;
            (private_id(n), "there-0".to_owned())
        } else {
            let task = self.random.place(count);
            let task = &self.nodes[owner].tasks.tasks[task];
            if task.principal == self.nodes[thief].principal {
                return;
            }
            (task.agent.clone(), task.id.clone())
        };
        let request = match self.random.below(3) {
            0 => Request::Get { task },
            1 => Request::Cancel { task },
            _ => Request::Subscribe {
                task,
                after: 0,
                rest: std::time::Duration::ZERO,
            },
        };
        // Whether it is let in is checked there.
        let _answer = self.answers(owner, &key, &agent, &request);
    }

    /// The liar hints in somebody's name.
    fn mislead(&mut self) {
        let (to, named) = (self.any(), self.any());
        if to != named {
            let sequence = 1_790_000_000_000 + self.random.below(1 << 40);
            let named = self.nodes[named].peer.clone();
            self.apply(to, Happening::Hint(named, sequence));
        }
    }

    /// One thing goes wrong, or an owner does something.
    fn stir(&mut self) {
        let (at, other) = (self.any(), self.any());
        match self.random.below(14) {
            0 => {
                let id = u8::try_from(self.random.below(4)).unwrap();
                *self.nodes[at].agents.entry(id).or_default() += 1;
                self.publish(at);
            }
            1 => {
                let id = u8::try_from(self.random.below(4)).unwrap();
                self.nodes[at].agents.remove(&id);
                self.publish(at);
            }
            2 | 3 if at != other => {
                self.cut.insert((at.min(other), at.max(other)));
                self.counts.saw(Rare::Parted);
                if self.random.one_in(2) {
                    self.part(at, other);
                }
            }
            4 | 5 => self.heal_one(),
            6 => self.restart(at),
            7 => {
                // Within what is allowed, an hour off, days off.
                let hour = 3_600_000;
                let skew = match self.random.below(10) {
                    0 | 1 => hour,
                    2 | 3 => -hour,
                    4 | 5 => 0,
                    6 if self.random.one_in(2) => 73 * hour,
                    6 => -73 * hour,
                    _ => i64::try_from(self.random.below(200_000)).unwrap() - 100_000,
                };
                if skew.abs() > 72 * hour {
                    self.counts.saw(Rare::Days);
                }
                self.nodes[at].skew = skew;
            }
            10 if self.random.one_in(20) => self.sleeps(),
            11 if self.random.one_in(6) => self.floods(at),
            8 => self.apply(at, Happening::LinkDown),
            9 => self.apply(at, Happening::LinkUp),
            _ => self.writes_list(at),
        }
    }

    /// A message leaves; before a word comes back its engine is killed, and its node is out of reach.
    fn stays_unsure(&mut self) {
        let (at, other) = (self.any(), self.any());
        let (owner, agent) = (self.nodes[other].key, agent_id(self.nodes[other].n % 3));
        if at != other && self.sends(at, agent, owner, true) {
            self.cut.insert((at.min(other), at.max(other)));
            self.part(at, other);
            self.restart(at);
        }
    }

    /// All machines sleep for 73 hours, some just after their users took back what waits for a way, or with a
    /// message on its way of which nobody knows whether it arrived.
    fn sleeps(&mut self) {
        if self.random.one_in(2) {
            self.stays_unsure();
        }
        for at in 0..self.nodes.len() {
            let takes_back = self.random.one_in(2);
            for sent in 0..self.nodes[at].sent.len() {
                if takes_back && self.nodes[at].sent[sent].tries_again() {
                    let wants = self.nodes[at].sent[sent].cancels(self.mono);
                    self.make(at, sent, wants);
                    self.counts.canceled += 1;
                }
            }
            if self.nodes[at].reads_at.is_some() {
                self.nodes[at].reads_at = Some(self.mono);
                self.lists(at);
            }
        }
        self.mono += SLEEP;
        self.storm_ends += SLEEP;
        self.counts.saw(Rare::Slept);
    }

    /// The owner writes its list anew: for each other node, all agents, some, all but one, or none. Now
    /// and then it makes a mistake, and the last good list stays.
    pub(super) fn writes_list(&mut self, at: usize) {
        let now = self.mono;
        // A list nobody read before the mistake was made in it never was the last good one.
        let was_read = self.nodes[at].reads_at.is_none();
        if self.stormy && self.random.one_in(6) && now > 0 && was_read {
            self.counts.saw(Rare::BrokenList);
            self.nodes[at].list.push_str("\n[everyone\n");
            self.nodes[at].reads_at.get_or_insert(now + 400);
            return;
        }
        let mut list = String::new();
        let owner = self.nodes[at].key;
        for other in 0..self.nodes.len() {
            if other == at {
                continue;
            }
            let key = self.nodes[other].key;
            let one = u8::try_from(self.random.below(4)).unwrap();
            // Mostly they may, so that there is something to go wrong.
            let (rules, may): (String, fn(u8, u8) -> bool) = match self.random.below(8) {
                0 => (String::new(), |_, _| false),
                1 => (format!("allow = [\"agent-{one}\"]"), |n, one| n == one),
                2 => (
                    format!("allow = [\"*\"]\ndeny = [\"agent-{one}\"]"),
                    |n, one| n != one,
                ),
                _ => ("allow = [\"*\"]".to_owned(), |_, _| true),
            };
            writeln!(list, "[peers.\"{key}\"]\n{rules}").unwrap();
            for n in 0..4 {
                self.truth.says((owner, key, agent_id(n)), may(n, one), now);
            }
        }
        let reads_at = now + self.random.below(400);
        let node = &mut self.nodes[at];
        node.list = list;
        node.reads_at.get_or_insert(reads_at);
    }

    /// Reads a list that changed.
    pub(super) fn lists(&mut self, at: usize) {
        let due = self.nodes[at].reads_at.is_some_and(|due| due <= self.mono);
        if !due {
            return;
        }
        assert!(self.mono <= self.nodes[at].reads_at.unwrap() + RELOAD);
        self.nodes[at].reads_at = None;
        if self.nodes[at].read_list() {
            self.cut_callers(at);
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

    /// The engine is killed and starts again with what was stored; now and then its host too, and gets a
    /// new peer id. Some hosts see the old one go, others only later.
    fn restart(&mut self, at: usize) {
        let old = self.nodes[at].peer.clone();
        let peer = match self.random.one_in(2) {
            true => self.mint_peer(),
            false => old.clone(),
        };
        let seed = self.random.next();
        if self.nodes[at].list.contains("[everyone\n") {
            // A list that is broken from the start lets nobody in. What was wrong with an earlier one is over.
            let owner = self.nodes[at].key;
            for other in 0..self.nodes.len() {
                for n in 0..4 {
                    let right = (owner, self.nodes[other].key, agent_id(n));
                    self.truth.says(right, false, self.mono);
                }
            }
        }
        self.nodes[at].starts_again(peer.clone(), seed, self.mono);
        self.nodes[at].tasks.taken_up(&mut self.random);
        if peer != old {
            self.counts.saw(Rare::NewPeer);
            for other in 0..self.nodes.len() {
                if other != at && self.random.one_in(2) {
                    self.apply(other, Happening::PeerDown(old.clone()));
                }
            }
        }
        self.publish(at);
        self.appear(at);
        for sent in 0..self.nodes[at].sent.len() {
            let slots = self.nodes[at].slots.clone();
            self.nodes[at].sent[sent].taken_up(slots, self.mono);
        }
        if self.random.one_in(2) {
            self.answer_all(at);
        }
        self.fill(at);
    }

    pub(crate) fn calm(&mut self) {
        self.stormy = false;
        self.cut.clear();
        for at in 0..self.nodes.len() {
            self.nodes[at].skew = 0;
            // Every agent is there again, so that what was begun can be followed to its end.
            for n in 0..4 {
                self.nodes[at].agents.entry(n).or_default();
            }
            self.publish(at);
            self.writes_list(at);
            self.apply(at, Happening::LinkUp);
            let live: Vec<_> = self.nodes.iter().map(|node| node.peer.clone()).collect();
            for n in 0..=self.next_peer {
                let peer = super::peer(n);
                if !live.contains(&peer) {
                    self.apply(at, Happening::PeerDown(peer));
                }
            }
        }
        for at in 0..self.nodes.len() {
            self.appear(at);
        }
    }

    /// Nothing goes wrong any more, and questions are answered.
    pub(crate) fn still(&mut self) {
        self.step(u64::MAX);
        for at in 0..self.nodes.len() {
            self.answer_all(at);
        }
    }
}
