//! Who runs and who waits, per agent. Pure bookkeeping under one lock; the engine acts on it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mesh_agents_core::agent::{AgentDefinition, QueueMode};
use mesh_agents_core::ids::{AgentId, ContextId, TaskId};
use mesh_agents_core::principal::Principal;
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_core::task::Task;

use crate::api::Load;
use crate::offline::rule::holds;

/// Slots and queues of all agents.
#[derive(Debug, Default)]
pub struct Slots {
    lanes: Mutex<HashMap<AgentId, Lane>>,
}

/// A conversation with one agent: contexts are scoped to the principal (DESIGN §2.2).
type Talk = (Principal, ContextId);

/// How many of an agent's tasks may run, and which.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// `max_concurrent_tasks`.
    pub limit: u32,
    /// Whether the tasks of one conversation run one after the other: they share a session, which
    /// takes one prompt at a time.
    pub one_per_context: bool,
}

#[derive(Debug, Default)]
struct Lane {
    running: HashMap<TaskId, Talk>,
    /// Task ids grow as they are minted, so their order is the order of arrival.
    queued: BTreeMap<TaskId, Talk>,
    /// Those among the queued whose message waits for the node it is for.
    undelivered: HashSet<TaskId>,
    /// Those among the running whose run is over and that queue again once they gave their slot back.
    again: HashSet<TaskId>,
    /// Tasks that wait for an answer, with no run and no slot.
    parked: BTreeMap<TaskId, Talk>,
    /// Places promised to tasks that are being stored.
    reserved: u32,
}

impl Lane {
    fn load(&self) -> Load {
        let count = |len: usize| u32::try_from(len).unwrap_or(u32::MAX);
        Load {
            running: count(self.running.len()),
            queued: count(self.queued.len()) + self.reserved,
        }
    }

    /// Notes whether a task about to be queued waits for its node.
    fn note(&mut self, task: &Task) {
        if holds(task.deliver_until, task.attempt) {
            self.undelivered.insert(task.id.clone());
        } else {
            self.undelivered.remove(&task.id);
        }
    }

    /// Whether a task of this conversation runs, or waits for an answer its session is to go on with.
    fn is_busy(&self, talk: &Talk) -> bool {
        let mut busy = self.running.values().chain(self.parked.values());
        busy.any(|other| other == talk)
    }
}

fn talk(task: &Task) -> Talk {
    (task.principal.clone(), task.context_id.clone())
}

impl Slots {
    fn lanes(&self) -> MutexGuard<'_, HashMap<AgentId, Lane>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Promises a place to a task about to be stored; [`Self::arrive`] or [`Self::release`] follows.
    pub fn reserve(&self, agent: &AgentDefinition) -> Result<(), Refusal> {
        let mut lanes = self.lanes();
        let lane = lanes.entry(agent.id.clone()).or_default();
        let load = lane.load();
        let limit = agent.runtime.max_concurrent_tasks.get();
        let room = match agent.runtime.queue {
            QueueMode::Queue => limit.saturating_add(agent.runtime.max_pending_tasks),
            QueueMode::Reject => limit,
        };
        if load.running.saturating_add(load.queued) >= room {
            let id = &agent.id;
            return Err(Refusal::new(
                Code::AgentFull,
                format!("agent \"{id}\" has {} running and {} waiting, and takes no more", load.running, load.queued),
            )
            .hint("Nothing was stored. Wait for one of its tasks to end (list_tasks, get_task with wait_seconds) and send again."));
        }
        lane.reserved += 1;
        Ok(())
    }

    /// Gives a promised place back.
    pub fn release(&self, agent: &AgentId) {
        if let Some(lane) = self.lanes().get_mut(agent) {
            lane.reserved = lane.reserved.saturating_sub(1);
        }
    }

    /// A stored task takes its promised place in the queue.
    pub fn arrive(&self, task: &Task) {
        let mut lanes = self.lanes();
        let lane = lanes.entry(task.agent_id.clone()).or_default();
        lane.reserved = lane.reserved.saturating_sub(1);
        lane.note(task);
        lane.queued.insert(task.id.clone(), talk(task));
    }

    /// A task from before a restart, or one whose run was cut off, takes its place, whatever the
    /// limits are now. One that still has its slot takes it when it gives that back: two runs of
    /// one task must never be.
    pub fn restore(&self, task: &Task) {
        let mut lanes = self.lanes();
        let lane = lanes.entry(task.agent_id.clone()).or_default();
        lane.parked.remove(&task.id);
        lane.note(task);
        if lane.running.contains_key(&task.id) {
            lane.again.insert(task.id.clone());
        } else {
            lane.queued.insert(task.id.clone(), talk(task));
        }
    }

    /// A task that could not start is to be tried again once it gave its slot back.
    pub fn retry(&self, agent: &AgentId, task: &TaskId) {
        if let Some(lane) = self.lanes().get_mut(agent) {
            lane.again.insert(task.clone());
        }
    }

    /// A task waits for an answer without a run.
    pub fn park(&self, task: &Task) {
        let mut lanes = self.lanes();
        let lane = lanes.entry(task.agent_id.clone()).or_default();
        lane.parked.insert(task.id.clone(), talk(task));
    }

    /// It does not any more.
    pub fn unpark(&self, agent: &AgentId, task: &TaskId) {
        if let Some(lane) = self.lanes().get_mut(agent) {
            lane.parked.remove(task);
        }
    }

    /// A task from before a restart keeps its slot while its run is brought to an end.
    pub fn hold(&self, task: &Task) {
        let mut lanes = self.lanes();
        let lane = lanes.entry(task.agent_id.clone()).or_default();
        lane.running.insert(task.id.clone(), talk(task));
    }

    /// Moves the task that came first, of those that may run, into a free slot. While the agent's node is
    /// `away`, those whose message waits for it may not.
    pub fn take(&self, agent: &AgentId, room: Room, away: bool) -> Option<TaskId> {
        let mut lanes = self.lanes();
        let lane = lanes.get_mut(agent)?;
        if lane.load().running >= room.limit {
            return None;
        }
        let free = |talk: &Talk| !room.one_per_context || !lane.is_busy(talk);
        let waits = |task: &TaskId| away && lane.undelivered.contains(task);
        let (task, _) = lane
            .queued
            .iter()
            .find(|(task, talk)| free(talk) && !waits(task))?;
        let task = task.clone();
        let talk = lane.queued.remove(&task)?;
        lane.undelivered.remove(&task);
        lane.running.insert(task.clone(), talk);
        Some(task)
    }

    /// Takes a task out of the queue or its slot.
    pub fn leave(&self, agent: &AgentId, task: &TaskId) {
        if let Some(lane) = self.lanes().get_mut(agent) {
            lane.queued.remove(task);
            lane.undelivered.remove(task);
            lane.again.remove(task);
            lane.running.remove(task);
        }
    }

    /// Gives back the slot of a run that is over.
    pub fn end(&self, agent: &AgentId, task: &TaskId) {
        if let Some(lane) = self.lanes().get_mut(agent) {
            let talk = lane.running.remove(task);
            if lane.again.remove(task) {
                lane.queued.extend(talk.map(|talk| (task.clone(), talk)));
            }
        }
    }

    /// What one agent has to do.
    pub fn load(&self, agent: &AgentId) -> Load {
        self.lanes().get(agent).map(Lane::load).unwrap_or_default()
    }

    /// What all agents have to do.
    pub fn total(&self) -> Load {
        self.lanes()
            .values()
            .map(Lane::load)
            .fold(Load::default(), |sum, load| Load {
                running: sum.running + load.running,
                queued: sum.queued + load.queued,
            })
    }

    /// Agents somebody waits for: for a slot, or with a question.
    pub fn waited_for(&self) -> Vec<AgentId> {
        let lanes = self.lanes();
        let waiting = |lane: &Lane| !lane.queued.is_empty() || !lane.parked.is_empty();
        let agents = lanes.iter().filter(|(_, lane)| waiting(lane));
        agents.map(|(agent, _)| agent.clone()).collect()
    }

    /// Who waits for this agent: for a slot, or with a question.
    pub fn waiting_for(&self, agent: &AgentId) -> Vec<TaskId> {
        let lanes = self.lanes();
        let lane = lanes.get(agent);
        lane.map_or_else(Vec::new, |lane| {
            lane.queued
                .keys()
                .chain(lane.parked.keys())
                .cloned()
                .collect()
        })
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use mesh_agents_core::agent::testing::definition;
    use mesh_agents_core::clock::UnixMillis;
    use mesh_agents_core::task::TaskState;
    use ulid::Ulid;

    use super::*;

    fn task(n: u128) -> TaskId {
        TaskId::from_ulid(Ulid(n))
    }

    /// Task `n` of agent `a` in this context.
    fn of(n: u128, context: &str) -> Task {
        Task {
            id: task(n),
            context_id: context.parse().unwrap(),
            agent_id: "a".parse().unwrap(),
            principal: Principal::Local,
            state: TaskState::Submitted,
            status_message: None,
            failure: None,
            cancel_requested: false,
            unreachable_since: None,
            deliver_until: None,
            parent: None,
            depth: 0,
            attempt: 0,
            summary: String::new(),
            metadata: None,
            created_at: UnixMillis(0),
            updated_at: UnixMillis(0),
            version: 1,
            last_seq: 0,
        }
    }

    fn room(limit: u32) -> Room {
        Room {
            limit,
            one_per_context: false,
        }
    }

    #[test]
    fn limits_hold_while_tasks_are_being_stored_and_first_come_is_first_served() {
        let slots = Slots::default();
        let mut agent = definition("a");
        agent.runtime.max_concurrent_tasks = NonZeroU32::new(2).unwrap();
        agent.runtime.max_pending_tasks = 1;
        for _ in 0..3 {
            slots.reserve(&agent).unwrap();
        }
        assert_eq!(slots.reserve(&agent).unwrap_err().code, Code::AgentFull);
        for n in [3, 1, 2] {
            slots.arrive(&of(n, "c"));
        }
        assert_eq!(slots.take(&agent.id, room(2), false), Some(task(1)));
        assert_eq!(slots.take(&agent.id, room(2), false), Some(task(2)));
        assert_eq!(slots.take(&agent.id, room(2), false), None);
        slots.leave(&agent.id, &task(1));
        slots.reserve(&agent).unwrap();
        assert_eq!(slots.take(&agent.id, room(2), false), Some(task(3)));
    }

    #[test]
    fn a_lowered_limit_stops_starts_and_kills_nothing() {
        let slots = Slots::default();
        let agent = definition("a");
        for n in 0..3 {
            slots.restore(&of(n, "c"));
        }
        assert!(slots.take(&agent.id, room(3), false).is_some());
        assert!(slots.take(&agent.id, room(3), false).is_some());
        assert_eq!(slots.take(&agent.id, room(1), false), None);
        assert_eq!(
            slots.load(&agent.id),
            Load {
                running: 2,
                queued: 1
            }
        );
    }

    #[test]
    fn a_task_never_has_two_slots_and_a_parked_one_has_none() {
        let slots = Slots::default();
        let agent = definition("a");
        slots.restore(&of(1, "c"));
        assert_eq!(slots.take(&agent.id, room(2), false), Some(task(1)));
        // Cut off, it is to go on; but its slot is still being cleared.
        slots.restore(&of(1, "c"));
        assert_eq!(slots.take(&agent.id, room(2), false), None);
        slots.end(&agent.id, &task(1));
        assert_eq!(slots.take(&agent.id, room(2), false), Some(task(1)));
        slots.end(&agent.id, &task(1));
        assert_eq!(slots.take(&agent.id, room(2), false), None);
        slots.park(&of(1, "c"));
        assert_eq!(slots.load(&agent.id), Load::default());
        assert_eq!(slots.waited_for(), std::slice::from_ref(&agent.id));
        assert_eq!(slots.waiting_for(&agent.id), [task(1)]);
        slots.unpark(&agent.id, &task(1));
        assert_eq!(slots.waited_for(), []);
    }

    #[test]
    fn tasks_of_one_conversation_run_one_after_the_other_where_they_share_a_session() {
        let slots = Slots::default();
        let agent = definition("a");
        let room = Room {
            limit: 3,
            one_per_context: true,
        };
        let theirs = Task {
            principal: Principal::Token("ci".into()),
            ..of(4, "c")
        };
        for task in [of(1, "c"), of(2, "c"), of(3, "d"), theirs, of(5, "e")] {
            slots.restore(&task);
        }
        let next = || slots.take(&agent.id, room, false);
        // Another's context of the same name is another context.
        assert_eq!(
            [next(), next(), next(), next()],
            [Some(task(1)), Some(task(3)), Some(task(4)), None]
        );
        slots.end(&agent.id, &task(3));
        assert_eq!(next(), Some(task(5)), "the second of c waits for the first");
        slots.park(&of(1, "c"));
        slots.end(&agent.id, &task(1));
        assert_eq!(next(), None, "its session waits for an answer");
        slots.restore(&of(1, "c"));
        assert_eq!(next(), Some(task(1)), "it came first");
        slots.end(&agent.id, &task(1));
        assert_eq!(next(), Some(task(2)));
    }

    #[test]
    fn a_message_for_a_node_that_is_away_waits_and_lets_others_pass() {
        let slots = Slots::default();
        let agent = definition("a");
        let waits = Task {
            deliver_until: Some(UnixMillis(9)),
            ..of(1, "c")
        };
        slots.restore(&waits);
        slots.restore(&of(2, "d"));
        assert_eq!(slots.take(&agent.id, room(3), true), Some(task(2)));
        assert_eq!(slots.take(&agent.id, room(3), true), None);
        assert_eq!(slots.take(&agent.id, room(3), false), Some(task(1)));
    }

    #[test]
    fn reject_mode_has_no_queue() {
        let slots = Slots::default();
        let mut agent = definition("a");
        agent.runtime.queue = QueueMode::Reject;
        slots.reserve(&agent).unwrap();
        assert_eq!(slots.reserve(&agent).unwrap_err().code, Code::AgentFull);
        slots.release(&agent.id);
        slots.reserve(&agent).unwrap();
    }
}
