//! Calls of agents, their answers, and the streams of tasks' events.

use a2a::StreamResponse;
use mesh_agents_a2a::remote::mirror::{Answered, Input, Request};
use mesh_agents_a2a::remote::{Fault, Stage};
use mesh_agents_core::ids::AgentId;

use super::super::counts::Rare;
use super::super::owner::{Given, Let, Reply, caller_of};
use super::{Call, Message, SILENCE, Stream, TIMEOUT, Under, World};

fn lost() -> Fault {
    Fault::Broken {
        cause: "the line".to_owned(),
    }
}

fn nobody() -> Fault {
    Fault::Unconnected {
        stage: Stage::Refused,
        cause: "nobody there".to_owned(),
    }
}

impl World {
    /// Makes the requests that the mirror of a task wants.
    pub(super) fn make(&mut self, node: usize, sent: usize, wants: Vec<Request>) {
        for request in wants {
            self.call(node, sent, request);
        }
    }

    fn tell(&mut self, node: usize, sent: usize, input: Input) {
        let wants = self.nodes[node].sent[sent].tell(input, self.mono);
        self.make(node, sent, wants);
    }

    fn call(&mut self, node: usize, sent: usize, request: Request) {
        let id = self.mint_id();
        let caller = &mut self.nodes[node];
        let task = &mut caller.sent[sent];
        task.request = Some(id);
        task.way = caller.directory.route(&task.owner).ok().cloned();
        let Ok(peer) = caller.directory.route(&task.owner) else {
            // As soon as it is asked for; not from within the mirror's own word.
            let under = Under {
                node,
                life: caller.life,
                sent,
                since: self.mono,
            };
            self.calls.insert(id, under);
            let message = Message::Reply(id, Err(nobody()));
            let own = caller.peer.clone();
            self.wire.push((self.mono + 1, node, own, message));
            return;
        };
        let call = Call {
            id,
            from: caller.key,
            meant: (peer.clone(), task.owner),
            agent: task.agent.clone(),
            request,
        };
        let under = Under {
            node,
            life: caller.life,
            sent,
            since: self.mono,
        };
        self.calls.insert(id, under);
        if let Some(to) = self.at_peer(&call.meant.0) {
            self.send(node, to, &Message::Call(call));
        }
    }

    /// A call arrives.
    pub(super) fn take_call(&mut self, to: usize, from: Option<usize>, call: &Call) {
        let (peer, key) = &call.meant;
        let owner = &self.nodes[to];
        let Some(from) = from else { return };
        if owner.peer != *peer || owner.key != *key {
            return self.send(to, from, &Message::Reply(call.id, Err(nobody())));
        }
        let reply = self.answers(to, &call.from, &call.agent, &call.request);
        self.send(to, from, &Message::Reply(call.id, reply));
    }

    /// What an owner answers, checked against the truth.
    pub(super) fn answers(
        &mut self,
        to: usize,
        from: &mesh_agents_mesh::NodeKey,
        agent: &AgentId,
        request: &Request,
    ) -> Result<Given, Fault> {
        let now = self.mono;
        let owner = &mut self.nodes[to];
        let advertised = owner.advertises(agent);
        let caller = caller_of(from, owner.acl.acl(), agent, advertised);
        let state = owner.state_of(agent);
        let before = owner.tasks.tasks.len();
        let (let_in, reply) = owner
            .tasks
            .take(&caller, agent, state, request, &mut self.random);
        owner.tasks.fill(now);
        if let Let::In(task) = let_in {
            let right = (owner.key, *from, agent.clone());
            assert!(
                self.truth.could(&right, now),
                "{from} was let in by {} for {agent}",
                owner.n
            );
            let is_new = owner.tasks.tasks.len() > before;
            assert!(
                advertised || !is_new,
                "{agent} of {} is not offered",
                owner.n
            );
            let task = &owner.tasks.tasks[task];
            assert_eq!(task.agent, *agent, "of another agent");
            let own = caller.principal == task.principal;
            assert!(own, "{} is the task of another", task.id);
        } else {
            self.counts.refused += 1;
        }
        let owner = &self.nodes[to];
        let (life, lists) = (owner.life, owner.lists);
        reply.map(|reply| Given { reply, life, lists })
    }

    /// An answer arrives.
    pub(super) fn take_reply(&mut self, to: usize, id: u64, reply: Result<Given, Fault>) {
        let Some(under) = self.calls.remove(&id) else {
            return;
        };
        let Under {
            node, life, sent, ..
        } = under;
        if node != to || self.nodes[node].life != life {
            return;
        }
        if self.nodes[node].sent[sent].request != Some(id) {
            // Another request took its place.
            return;
        }
        self.nodes[node].sent[sent].request = None;
        let input = match reply {
            Ok(Given {
                reply: Reply::Task(task),
                ..
            }) => Input::Answered(Answered::Task(task)),
            Ok(given) => {
                self.open(id, (node, life, sent), &given);
                Input::Answered(Answered::Stream)
            }
            Err(fault) => {
                if matches!(
                    fault,
                    Fault::Status {
                        status: 403 | 404,
                        ..
                    }
                ) {
                    self.nodes[node].sent[sent].denied = true;
                }
                Input::Failed(fault)
            }
        };
        self.tell(node, sent, input);
    }

    fn open(&mut self, id: u64, to: (usize, u64, usize), given: &Given) {
        let Reply::Stream(task, behind) = given.reply else {
            return;
        };
        let sent = &mut self.nodes[to.0].sent[to.2];
        sent.stream = Some(id);
        let owner = self.at_key(&self.nodes[to.0].sent[to.2].owner);
        let of = (owner, given.life, task);
        let stream = Stream {
            id,
            to,
            of,
            list: given.lists,
            told: behind,
            next_at: self.mono,
            heard_at: self.mono,
            broken: false,
        };
        self.streams.push(stream);
    }

    /// Calls nobody answered.
    pub(super) fn time_out(&mut self) {
        let mono = self.mono;
        let over = self
            .calls
            .iter()
            .filter(|(_, call)| call.since + TIMEOUT <= mono);
        let over: Vec<u64> = over.map(|(id, _)| *id).collect();
        for id in over {
            let Some(call) = self.calls.get(&id) else {
                continue;
            };
            let node = call.node;
            self.take_reply(node, id, Err(lost()));
        }
    }

    /// Streams say what is next, break, say something twice, or end.
    pub(super) fn pump(&mut self) {
        let mut streams = std::mem::take(&mut self.streams);
        streams.retain_mut(|stream| self.flows(stream));
        // Those that were opened meanwhile.
        streams.append(&mut self.streams);
        self.streams = streams;
    }

    /// Whether a stream goes on after this.
    fn flows(&mut self, stream: &mut Stream) -> bool {
        let (node, life, sent) = stream.to;
        let (owner, owner_life, task) = stream.of;
        let reader = &self.nodes[node];
        if reader.life != life || reader.sent[sent].stream != Some(stream.id) {
            return false;
        }
        if self.is_cut(node, owner) || (self.stormy && self.random.one_in(60)) {
            stream.broken = true;
        }
        if self.nodes[owner].life != owner_life || self.nodes[owner].lists != stream.list {
            // Its host tells at once, or nobody does.
            if self.random.one_in(3) {
                self.end(stream, Some(lost()));
                return false;
            }
            stream.broken = true;
        }
        if stream.broken {
            let over = stream.heard_at + SILENCE <= self.mono;
            if over {
                self.end(stream, Some(lost()));
            }
            return !over;
        }
        if stream.next_at > self.mono {
            return true;
        }
        let told = &self.nodes[owner].tasks.tasks[task];
        let right = (
            self.nodes[owner].key,
            self.nodes[node].key,
            told.agent.clone(),
        );
        assert!(
            self.truth.could(&right, self.mono),
            "a stream to one that is not allowed any more"
        );
        let event = match stream.told {
            None => {
                stream.told = Some(told.log.len());
                StreamResponse::Task(told.whole())
            }
            Some(seq) if seq < told.log.len() => {
                stream.told = Some(seq + 1);
                told.event(seq + 1)
            }
            Some(seq) => {
                stream.heard_at = self.mono;
                if told.standing.state.is_terminal() {
                    self.end(stream, None);
                    return false;
                }
                if seq > 0 && self.stormy && self.random.one_in(50) {
                    let again = told.event(1 + self.random.place(seq));
                    self.counts.saw(Rare::Twice);
                    self.tell(node, sent, Input::Event(Box::new(again)));
                }
                return true;
            }
        };
        stream.heard_at = self.mono;
        stream.next_at = self.mono + self.random.below(150);
        self.tell(node, sent, Input::Event(Box::new(event)));
        true
    }

    fn end(&mut self, stream: &Stream, fault: Option<Fault>) {
        let (node, _, sent) = stream.to;
        self.nodes[node].sent[sent].stream = None;
        self.tell(node, sent, Input::Closed(fault));
    }

    /// An owner's new list ends the streams of its callers.
    pub(super) fn cut_callers(&mut self, owner: usize) {
        let mut streams = std::mem::take(&mut self.streams);
        let ended: Vec<Stream> = streams
            .extract_if(.., |stream| stream.of.0 == owner)
            .collect();
        self.streams = streams;
        for stream in ended {
            let (node, life, sent) = stream.to;
            let reader = &self.nodes[node];
            if reader.life == life && reader.sent[sent].stream == Some(stream.id) {
                self.counts.saw(Rare::Cut);
                self.end(&stream, Some(lost()));
            }
        }
    }

    /// The owner's runs.
    pub(super) fn work(&mut self, at: usize) {
        let (now, calm) = (self.mono, !self.stormy);
        let node = &mut self.nodes[at];
        for task in &mut node.tasks.tasks {
            task.works(now, calm, &mut self.random);
        }
        node.tasks.fill(now);
    }

    /// Mirrors whose time has come, or that wait for a way there is again.
    pub(super) fn wake(&mut self, at: usize) {
        for sent in 0..self.nodes[at].sent.len() {
            let node = &mut self.nodes[at];
            let way = node.directory.route(&node.sent[sent].owner).ok().cloned();
            let task = &mut node.sent[sent];
            if task.tries_again() {
                let before = std::mem::replace(&mut task.way, way);
                if task.way.is_some() && task.way != before {
                    task.seen.insert(Rare::Back);
                    self.tell(at, sent, Input::Back);
                    continue;
                }
            }
            if task.wake().is_some_and(|wake| wake <= self.mono) {
                self.tell(at, sent, Input::Tick);
            }
        }
    }
}
