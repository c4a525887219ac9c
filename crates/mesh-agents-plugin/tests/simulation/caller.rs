//! The caller's side of a task: what its engine has stored, and the real mirror while one is at work.
//!
//! Real are: what becomes of a message for a node that is away, and of a run that is gone (`decide` of the task
//! engine), its queue (`Slots`), the transition, the mirror. Models are: the store, all of it durable at once,
//! and who calls these in which order.

mod run;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use mesh_agents_a2a::remote::mirror::{Input, Mirror, Place, Request};
use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::ids::{AgentId, ContextId, QuestionId, TaskId};
use mesh_agents_core::limits::OFFLINE_WAIT;
use mesh_agents_core::principal::Principal;
use mesh_agents_core::question::Question;
use mesh_agents_core::run::{Answer, Outcome};
use mesh_agents_core::task::{Failure, Task, TaskState};
use mesh_agents_core::transition::{Effect, Happening, Standing, StopCause, next};
use mesh_agents_mesh::{MeshPeerId, Moment, NodeKey};
use mesh_agents_tasks::decide::{AtStart, CutBy, Slots, Undelivered, at_start, has_waited, still};
use ulid::Ulid;

use super::counts::Rare;

/// One attempt of a task, as it is stored.
struct Attempt {
    session: Option<String>,
    resumed: bool,
}

/// One task sent to another node.
pub(crate) struct Sent {
    pub(crate) agent: AgentId,
    pub(crate) owner: NodeKey,
    // What is stored.
    pub(crate) task: Task,
    pub(crate) standing: Standing,
    attempts: Vec<Attempt>,
    pub(crate) text: String,
    pub(crate) open: Option<Question>,
    answered: Option<(QuestionId, Answer)>,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    /// How far it was followed.
    place: Option<Place>,
    pub(crate) ended: Option<Outcome>,
    // What ends with the engine.
    slots: Rc<Slots>,
    mirror: Option<Mirror>,
    /// Whether the run has its session.
    opened: bool,
    now: u64,
    /// The request that waits for its answer.
    pub(crate) request: Option<u64>,
    /// The stream that is read.
    pub(crate) stream: Option<u64>,
    /// How long its run may send its message again.
    limit: u64,
    /// The way to its node, when it was last asked for.
    pub(crate) way: Option<MeshPeerId>,
    // For whoever checks.
    pub(crate) wish: Option<u64>,
    pub(crate) ended_at: u64,
    remote: Option<String>,
    pub(crate) denied: bool,
    pub(crate) notes: BTreeSet<String>,
    pub(crate) seen: BTreeSet<Rare>,
}

impl Sent {
    /// A task just stored and queued; its message waits for its node until then.
    pub(crate) fn new(
        n: u64,
        agent: AgentId,
        owner: NodeKey,
        (until, at): (Option<UnixMillis>, UnixMillis),
        slots: Rc<Slots>,
    ) -> Self {
        let id = Ulid::from_parts(n, u128::from(n));
        let there = owner.to_string().replace("did:key:", "");
        let task = Task {
            id: TaskId::from_ulid(id),
            context_id: ContextId::from_ulid(id),
            agent_id: format!("{agent}@{there}").parse().unwrap(),
            principal: Principal::Local,
            state: TaskState::Submitted,
            status_message: None,
            failure: None,
            cancel_requested: false,
            unreachable_since: None,
            deliver_until: until,
            parent: None,
            depth: 0,
            attempt: 0,
            summary: String::new(),
            metadata: None,
            created_at: at,
            updated_at: at,
            version: 1,
            last_seq: 1,
        };
        slots.arrive(&task);
        Self {
            agent,
            owner,
            standing: Standing {
                elsewhere: !task.agent_id.is_local(),
                ..Standing::NEW
            },
            task,
            attempts: Vec::new(),
            text: String::new(),
            open: None,
            answered: None,
            files: BTreeMap::new(),
            place: None,
            ended: None,
            slots,
            mirror: None,
            opened: false,
            now: 0,
            request: None,
            stream: None,
            limit: 0,
            way: None,
            wish: None,
            ended_at: 0,
            remote: None,
            denied: false,
            notes: BTreeSet::new(),
            seen: BTreeSet::new(),
        }
    }

    /// The id of the message that makes the task, at its owner.
    pub(crate) fn message(&self) -> String {
        format!("{}:1", self.task.id)
    }

    /// Whether it was given up because its owner never said what it made of its message; not before its time.
    pub(crate) fn was_never_named(&self) -> bool {
        let given_up = matches!(&self.ended, Some(Outcome::Failed(failure)) if failure.code == "owner_offline");
        let never = given_up && self.task.attempt > 0;
        assert!(
            !never || self.remote.is_none(),
            "{} was named",
            self.task.id
        );
        assert!(
            !never || self.ended_at >= self.limit,
            "{} was given up early",
            self.task.id
        );
        never
    }

    /// Whether its owner could not be told of the wish to end it.
    pub(crate) fn is_untold(&self) -> bool {
        self.notes.contains("remote_not_told")
    }

    /// A change, with what follows from it.
    fn happens(&mut self, happening: &Happening) {
        let next = next(self.standing, happening);
        assert!(
            next.is_ok() || !self.standing.state.is_terminal(),
            "{happening:?} after the end of {}",
            self.task.id
        );
        let Ok(next) = next else { return };
        self.standing = next.standing;
        self.task.state = next.standing.state;
        self.task.cancel_requested = next.standing.cancel_requested();
        self.task.deliver_until = still(self.task.deliver_until, self.task.state, false);
        for effect in &next.effects {
            match effect {
                Effect::Enqueue => self.slots.restore(&self.task),
                Effect::LeaveQueue => self.slots.leave(&self.task.agent_id, &self.task.id),
                Effect::VoidQuestions => self.open = None,
                _ => {}
            }
        }
    }

    fn ends(&mut self, outcome: Outcome) {
        assert!(self.ended.is_none(), "it ended twice: {outcome:?}");
        self.ended = Some(outcome);
        self.ended_at = self.now;
        self.open = None;
    }

    /// Its user answers.
    pub(crate) fn answers(&mut self, now: u64) -> Vec<Request> {
        if self.standing.stopping.is_some() {
            return Vec::new();
        }
        let Some(Question { id, .. }) = self.open.take() else {
            return Vec::new();
        };
        let parked = self.standing.parked();
        if parked {
            self.seen.insert(Rare::AnsweredLate);
        }
        let answer = Answer::Option("a".to_owned());
        self.answered = Some((id.clone(), answer.clone()));
        self.happens(&Happening::Settled);
        match parked {
            true => Vec::new(),
            false => self.tell(Input::Answer(id, answer), now),
        }
    }

    /// Its user wants the end.
    pub(crate) fn cancels(&mut self, now: u64) -> Vec<Request> {
        self.now = now;
        self.wish.get_or_insert(now);
        self.happens(&Happening::Stop(StopCause::Canceled));
        if self.standing.state.is_terminal() {
            // Nothing of it left this node.
            self.seen.insert(Rare::Unsent);
            self.ends(Outcome::Canceled);
        }
        match self.standing.runs() {
            true => self.tell(Input::Cancel, now),
            false => Vec::new(),
        }
    }

    /// The engine was killed, and another takes up what is stored.
    pub(crate) fn taken_up(&mut self, slots: Rc<Slots>, now: u64) {
        (self.mirror, self.request, self.stream) = (None, None, None);
        (self.slots, self.now) = (slots, now);
        if self.standing.cancel_requested() {
            self.seen.insert(Rare::WishKept);
        }
        match at_start(self.standing) {
            AtStart::Queue => {
                if self.waits().is_some() && self.task.attempt == 0 {
                    self.seen.insert(Rare::WaitedOver);
                }
                self.slots.restore(&self.task);
            }
            AtStart::Park => self.slots.park(&self.task),
            AtStart::Clear => {
                self.slots.hold(&self.task);
                self.run_gone(CutBy::Kill, "killed", false);
            }
            AtStart::Leave => {}
        }
    }

    /// What waits for its node, if this does.
    pub(crate) fn waits(&self) -> Option<Undelivered> {
        Some(Undelivered {
            task: self.task.id.clone(),
            until: self.task.deliver_until?,
            state: self.task.state,
            attempt: self.task.attempt,
        })
    }

    /// It has waited long enough.
    pub(crate) fn gives_up(&mut self, now: Moment) {
        self.now = now.mono;
        if !self
            .waits()
            .is_some_and(|waits| has_waited(&waits, now.wall))
        {
            return;
        }
        let waited = u128::from(now.wall.since(self.task.created_at));
        assert!(waited >= OFFLINE_WAIT.as_millis(), "after {waited} ms");
        let failure = Failure::new("owner_offline", "it waited");
        self.happens(&Happening::Lost(failure.clone()));
        self.seen.insert(Rare::GivenUp);
        self.ends(Outcome::Failed(failure));
    }
}
