//! The owner's side of tasks: who is let in, one task for each message, its log, its runs.
//!
//! Who may is the real list's and the real policy's word; what a task may become is the real transition's.
//! A model stands for the store (all of it durable at once), for the run of an agent, and for the SQL
//! that finds a repeated message by (agent, principal, message id).

mod wire;

use std::collections::{BTreeMap, HashMap};

use a2a::{
    Message, Part, Role, StreamResponse, Task, TaskArtifactUpdateEvent, TaskState as Wire,
    TaskStatus, TaskStatusUpdateEvent, error_code,
};
use mesh_agents_a2a::remote::Fault;
use mesh_agents_a2a::remote::mirror::Request;
use mesh_agents_core::ids::AgentId;
use mesh_agents_core::policy::{AgentState, Caller, Operation, may};
use mesh_agents_core::principal::Principal;
use mesh_agents_core::refusal::Code;
use mesh_agents_core::run::{Outcome, QuestionKind};
use mesh_agents_core::task::{Failure, TaskState};
use mesh_agents_core::transition::{Again, Effect, Happening, Standing, StopCause, next};
use mesh_agents_mesh::NodeKey;
use serde_json::{Value, json};

use super::random::Random;
use wire::{file, in_words, numbered, response, told, turned_away, wire};

/// Tasks of one agent that run at once.
const AT_ONCE: usize = 2;
/// How long a question waits for its answer, in milliseconds (`policy.ask_seconds`).
const ASK: u64 = 60_000;

/// One event of a task's log.
#[derive(Debug, Clone)]
pub(crate) enum Said {
    Text(String),
    File(String, Vec<u8>),
    State(Wire, Option<Box<Message>>),
}

/// One task.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) id: String,
    pub(crate) agent: AgentId,
    pub(crate) principal: Principal,
    pub(crate) message: String,
    pub(crate) log: Vec<Said>,
    pub(crate) standing: Standing,
    /// Runs started in each attempt, and times the engine died under a run.
    pub(crate) starts: Vec<u32>,
    pub(crate) kills: u32,
    /// The run is there. It ends with the engine.
    pub(crate) runs: bool,
    /// When the run does something next.
    pub(crate) works_at: u64,
    answers: Vec<String>,
    questions: u32,
    asked_at: u64,
}

/// All tasks of a node.
#[derive(Debug, Default)]
pub(crate) struct Tasks {
    pub(crate) tasks: Vec<Owned>,
    /// What SQL's unique key says: (agent, principal, message id).
    keys: BTreeMap<(String, String, String), usize>,
}

/// An answer, and whether a stream of the task follows, behind which event.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    Task(Box<Task>),
    /// Of this task; begins with the whole of it, or behind this event.
    Stream(usize, Option<usize>),
}

/// An answer, with the engine and the list of its owner that it was given under: a stream ends with either.
#[derive(Debug, Clone)]
pub(crate) struct Given {
    pub(crate) reply: Reply,
    pub(crate) life: u64,
    pub(crate) lists: u64,
}

/// What was let in, for whoever checks it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Let {
    In(usize),
    Out,
}

impl Tasks {
    /// One request of `caller`, who has passed the gate's first question.
    pub(crate) fn take(
        &mut self,
        caller: &Caller,
        agent: &AgentId,
        state: AgentState,
        request: &Request,
        random: &mut Random,
    ) -> (Let, Result<Reply, Fault>) {
        let mut entered = may(caller, agent, state, Operation::Enter);
        let own = |task: &Owned| task.agent == *agent && task.principal == caller.principal;
        if matches!(&entered, Err(refusal) if refusal.code == Code::AgentNotFound)
            && self.tasks.iter().any(own)
        {
            // As the A2A router asks, for an agent that is not offered any more.
            entered = may(caller, agent, state, Operation::Return);
        }
        if let Err(refusal) = entered {
            return (Let::Out, Err(turned_away(&refusal)));
        }
        let found = |id: &str| {
            let task = self.tasks.iter().position(|task| task.id == id);
            task.filter(|at| self.tasks[*at].agent == *agent)
        };
        let (at, operation) = match request {
            Request::Send { message, .. } => match &message.task_id {
                None => return self.submit(caller, agent, state, message),
                Some(id) => (found(id), "answer"),
            },
            Request::Get { task } => (found(task), "read"),
            Request::Subscribe { task, .. } => (found(task), "follow"),
            Request::Cancel { task } => (found(task), "cancel"),
        };
        let owner = at.map(|at| self.tasks[at].principal.clone());
        let allowed = match operation {
            "answer" => Operation::Answer(owner.as_ref(), QuestionKind::Elicitation),
            "cancel" => Operation::Cancel(owner.as_ref()),
            _ => Operation::Read(owner.as_ref()),
        };
        if let Err(refusal) = may(caller, agent, state, allowed) {
            return (Let::Out, Err(in_words(&refusal)));
        }
        let Some(at) = at else {
            return (Let::Out, Err(told(error_code::TASK_NOT_FOUND)));
        };
        (Let::In(at), self.done(at, request, random))
    }

    fn submit(
        &mut self,
        caller: &Caller,
        agent: &AgentId,
        state: AgentState,
        message: &Message,
    ) -> (Let, Result<Reply, Fault>) {
        let key = (
            agent.to_string(),
            caller.principal.to_string(),
            message.message_id.clone(),
        );
        if let Some(at) = self.keys.get(&key) {
            return (Let::In(*at), Ok(Reply::Stream(*at, None)));
        }
        if let Err(refusal) = may(caller, agent, state, Operation::Send) {
            return (Let::Out, Err(in_words(&refusal)));
        }
        let at = self.tasks.len();
        self.tasks.push(Owned {
            id: format!("there-{at}"),
            agent: agent.clone(),
            principal: caller.principal.clone(),
            message: message.message_id.clone(),
            log: vec![Said::State(Wire::Submitted, None)],
            standing: Standing::NEW,
            starts: Vec::new(),
            kills: 0,
            runs: false,
            works_at: 0,
            answers: Vec::new(),
            questions: 0,
            asked_at: 0,
        });
        self.keys.insert(key, at);
        (Let::In(at), Ok(Reply::Stream(at, None)))
    }

    fn done(&mut self, at: usize, request: &Request, random: &mut Random) -> Result<Reply, Fault> {
        let task = &mut self.tasks[at];
        let over = task.standing.state.is_terminal();
        match request {
            Request::Get { .. } => {}
            Request::Cancel { .. } if over => return Err(told(error_code::TASK_NOT_CANCELABLE)),
            Request::Cancel { .. } => task.happens(&Happening::Stop(StopCause::Canceled)),
            Request::Subscribe { .. } if over => {
                return Err(told(error_code::UNSUPPORTED_OPERATION));
            }
            Request::Subscribe { after, .. } => {
                return Ok(Reply::Stream(at, behind(*after, random)));
            }
            Request::Send { message, after, .. } => {
                if !task.answered(message) {
                    return Err(told(error_code::UNSUPPORTED_OPERATION));
                }
                return Ok(Reply::Stream(at, behind(*after, random)));
            }
        }
        Ok(Reply::Task(Box::new(task.whole())))
    }

    /// Starts what waits, where an agent has a slot.
    pub(crate) fn fill(&mut self, now: u64) {
        for at in 0..self.tasks.len() {
            if self.tasks[at].standing.state != TaskState::Submitted {
                continue;
            }
            let agent = &self.tasks[at].agent;
            let busy = |task: &&Owned| task.agent == *agent && task.standing.runs();
            if self.tasks.iter().filter(busy).count() < AT_ONCE {
                let task = &mut self.tasks[at];
                task.works_at = now;
                task.happens(&Happening::Start);
            }
        }
    }

    /// The engine was killed: what ran is gone, and each is resumed, or failed with its cause.
    pub(crate) fn taken_up(&mut self, random: &mut Random) {
        for task in &mut self.tasks {
            if !task.standing.runs() {
                continue;
            }
            task.kills += 1;
            task.runs = false;
            let asks = task.standing.state.is_interrupted();
            let happening = match (random.one_in(2), asks) {
                (true, false) => Happening::Again(Again::Resume),
                (true, true) => Happening::Lost(Failure::new("question_lost", "killed")),
                (false, _) => Happening::Lost(Failure::new("interrupted", "killed")),
            };
            task.happens(&happening);
        }
    }
}

impl Owned {
    /// A change, with what follows from it. None is made of a task that has ended.
    pub(crate) fn happens(&mut self, happening: &Happening) {
        let before = self.standing;
        let Ok(next) = next(before, happening) else {
            return;
        };
        assert!(!before.state.is_terminal(), "an end was changed");
        self.standing = next.standing;
        for effect in &next.effects {
            match effect {
                Effect::StartRun => {
                    assert!(!self.runs, "two runs of one task");
                    self.starts.push(1);
                    self.runs = true;
                }
                Effect::FreeSlot => self.runs = false,
                _ => {}
            }
        }
        if next.standing.state != before.state {
            let words = next.failure.map(|failure| self.words(&failure));
            let asked = next.standing.state.is_interrupted().then(|| self.asks());
            let message = words.or(asked).map(Box::new);
            self.log
                .push(Said::State(wire(next.standing.state), message));
        }
    }

    /// The run does something.
    pub(crate) fn works(&mut self, now: u64, calm: bool, random: &mut Random) {
        if !self.runs || now < self.works_at {
            return;
        }
        self.works_at = now + 200 + random.below(4_000);
        if self.standing.stopping.is_some() {
            return self.happens(&Happening::Ended(Outcome::Canceled));
        }
        if self.standing.state.is_interrupted() {
            if self.asked_at + ASK <= now {
                self.happens(&Happening::Settled);
            }
            return;
        }
        let most = if calm { 4 } else { 14 };
        match random.below(most) {
            0 => self.completes(random),
            1 if random.one_in(4) => {
                let failure = Failure::new("harness_exited", "it left");
                self.happens(&Happening::Ended(Outcome::Failed(failure)));
            }
            2 if !calm => {
                self.questions += 1;
                self.asked_at = now;
                self.happens(&Happening::Asked(QuestionKind::Elicitation));
            }
            _ => {
                let n = self.log.len();
                self.log.push(Said::Text(format!("{n} ")));
            }
        }
    }

    fn completes(&mut self, random: &mut Random) {
        for name in ["findings.json", "b/c.bin"] {
            let length = 1 + random.place(40);
            let content = match name {
                "findings.json" => format!("{{\"n\":{length}}}").into_bytes(),
                _ => (0..length).map(|n| u8::try_from(n * 6).unwrap()).collect(),
            };
            self.log.push(Said::File(name.to_owned(), content));
        }
        let answer = String::new();
        self.happens(&Happening::Ended(Outcome::Completed { answer }));
    }

    /// An answer, if it is to the question that is open, or was taken before.
    fn answered(&mut self, message: &Message) -> bool {
        if self.answers.contains(&message.message_id) {
            return true;
        }
        let named = message
            .metadata
            .as_ref()
            .and_then(|map| map.get("question_id"));
        let open = json!(format!("q-{}", self.questions));
        if !self.standing.state.is_interrupted() || named != Some(&open) {
            return false;
        }
        self.answers.push(message.message_id.clone());
        self.happens(&Happening::Settled);
        true
    }

    fn asks(&self) -> Message {
        let id = format!("q-{}", self.questions);
        let parts = json!([{"text": "Which?"}, {"data": {"question_id": id, "kind": "elicitation",
            "options": [{"id": "a", "name": "A", "kind": "choice"}]}}]);
        self.message(serde_json::from_value(parts).unwrap(), None)
    }

    fn words(&self, failure: &Failure) -> Message {
        let code = HashMap::from([("failure_code".to_owned(), json!(failure.code))]);
        self.message(vec![Part::text(failure.for_peers().message)], Some(code))
    }

    fn message(&self, parts: Vec<Part>, metadata: Option<HashMap<String, Value>>) -> Message {
        Message {
            message_id: format!("{}-{}", self.id, self.log.len()),
            context_id: None,
            task_id: Some(self.id.clone()),
            role: Role::Agent,
            parts,
            metadata,
            extensions: None,
            reference_task_ids: None,
        }
    }

    /// The text it streamed.
    pub(crate) fn text(&self) -> String {
        let texts = self.log.iter().filter_map(|said| match said {
            Said::Text(text) => Some(text.as_str()),
            _ => None,
        });
        texts.collect()
    }

    /// Its files by name.
    pub(crate) fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let files = self.log.iter().filter_map(|said| match said {
            Said::File(name, content) => Some((name.clone(), content.clone())),
            _ => None,
        });
        files.collect()
    }

    fn status(&self) -> TaskStatus {
        let last = self.log.iter().rev().find_map(|said| match said {
            Said::State(state, message) => Some((state.clone(), message.as_deref().cloned())),
            _ => None,
        });
        let (state, message) = last.unwrap();
        TaskStatus {
            state,
            message,
            timestamp: None,
        }
    }

    /// The task as it stands.
    pub(crate) fn whole(&self) -> Task {
        let text = self.text();
        let mut artifacts: Vec<_> = self.files().iter().map(|(n, c)| file(n, c)).collect();
        if !text.is_empty() {
            artifacts.push(response(text));
        }
        Task {
            id: self.id.clone(),
            context_id: "there".to_owned(),
            status: self.status(),
            artifacts: Some(artifacts),
            history: None,
            metadata: numbered(self.log.len()),
        }
    }

    /// The event of that number, from 1, as a stream tells it.
    pub(crate) fn event(&self, seq: usize) -> StreamResponse {
        let update = |artifact, append| {
            StreamResponse::ArtifactUpdate(TaskArtifactUpdateEvent {
                task_id: self.id.clone(),
                context_id: "there".to_owned(),
                artifact,
                append: Some(append),
                last_chunk: None,
                metadata: numbered(seq),
            })
        };
        match &self.log[seq - 1] {
            Said::Text(text) => update(response(text.clone()), true),
            Said::File(name, content) => update(file(name, content), false),
            Said::State(state, message) => StreamResponse::StatusUpdate(TaskStatusUpdateEvent {
                task_id: self.id.clone(),
                context_id: "there".to_owned(),
                status: TaskStatus {
                    state: state.clone(),
                    message: message.as_deref().cloned(),
                    timestamp: None,
                },
                metadata: numbered(seq),
            }),
        }
    }
}

/// The event a stream goes on behind, where its reader names one and the owner can.
fn behind(after: u64, random: &mut Random) -> Option<usize> {
    let behind = usize::try_from(after).unwrap();
    (behind > 0 && random.one_in(2)).then_some(behind)
}

/// What `caller` is to a node whose list says this.
pub(crate) fn caller_of(
    key: &NodeKey,
    acl: &mesh_agents_mesh::acl::Acl,
    agent: &AgentId,
    advertised: bool,
) -> Caller {
    Caller::key(key.to_string(), acl.grant(key, agent, None, advertised))
}
