//! What all clones of an engine share, and the few moves every part of it makes: store what
//! happened, do what follows from it, start what can start.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use mesh_agents_core::agent::{AgentDefinition, SessionScope};
use mesh_agents_core::clock::{Clock, UnixMillis};
use mesh_agents_core::ids::{AgentId, MessageId, QuestionId, TaskId};
use mesh_agents_core::layout::Layout;
use mesh_agents_core::principal::Principal;
use mesh_agents_core::run::{Answer, MeshEndpoints, Runner};
use mesh_agents_core::task::Task;
use mesh_agents_core::transition::{Effect, Happening};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::api::{Agents, Grants, Load};
use crate::blobs::Blobs;
use crate::drive;
use crate::mint::Mint;
use crate::push::Desk;
use crate::retention::Care;
use crate::schedule::{Room, Slots};
use crate::store::{self, Change, Store, StoreError};
use crate::wake::Wakes;

/// What all clones share.
#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) blobs: Blobs,
    pub(crate) layout: Layout,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) runner: Arc<dyn Runner>,
    pub(crate) mint: Mint,
    pub(crate) slots: Slots,
    pub(crate) wakes: Wakes,
    pub(crate) push: Arc<Desk>,
    pub(super) agents: Mutex<Agents>,
    pub(super) mesh: Mutex<MeshEndpoints>,
    /// What the owner's list says.
    pub(crate) grants: OnceLock<Arc<dyn Grants>>,
    /// Names of access tokens that may call agents of other nodes.
    pub(crate) mesh_tokens: OnceLock<BTreeSet<String>>,
    pub(crate) tools_url: Option<String>,
    pub(super) live: Mutex<HashMap<TaskId, Arc<Live>>>,
    pub(super) stop: watch::Sender<bool>,
    pub(super) load: watch::Sender<Load>,
    pub(super) tracker: TaskTracker,
    /// A message waits for a node, or what is known of nodes has changed.
    pub(crate) waits: Notify,
    pub(crate) care: Care,
    /// Writes of runs that came too late.
    pub(crate) late: AtomicU64,
}

/// A run under way, as seen from outside its driver.
#[derive(Debug)]
pub(crate) struct Live {
    /// Cancelled when the run is to end.
    pub(crate) end: CancellationToken,
    /// Cancelled when it is no longer followed here; only for work that is done elsewhere.
    pub(crate) let_go: Option<CancellationToken>,
    /// Answers that are stored, on their way to the run.
    pub(crate) answers: mpsc::Sender<(QuestionId, Answer)>,
    /// Bearer token of its harness on our own MCP endpoint.
    pub(crate) token: String,
    /// How deep its task is.
    pub(crate) depth: u8,
    /// Who sent the first task of its chain.
    pub(crate) root: Principal,
}

impl Inner {
    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    pub(crate) fn agents(&self) -> MutexGuard<'_, Agents> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn mesh(&self) -> MeshEndpoints {
        self.mesh
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(crate) fn live(&self) -> MutexGuard<'_, HashMap<TaskId, Arc<Live>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stopping(&self) -> bool {
        *self.stop.borrow()
    }

    pub(crate) fn stop_signal(&self) -> watch::Receiver<bool> {
        self.stop.subscribe()
    }

    pub(crate) fn mint_message(&self) -> MessageId {
        MessageId::from_ulid(self.mint.next(self.now()))
    }

    /// Stores what happened to a task, then does what follows from it.
    pub(crate) async fn happen(
        &self,
        id: &TaskId,
        attempt: Option<u32>,
        happening: Happening,
    ) -> Result<Task, StoreError> {
        let (now, minted, task_id) = (self.now(), self.mint_message(), id.clone());
        let change = self
            .store
            .write(move |db| store::apply(db, now, &task_id, attempt, &happening, &minted))
            .await?;
        Ok(self.follow(change))
    }

    /// Performs the effects of a stored change.
    pub(crate) fn follow(&self, change: Change) -> Task {
        let task = change.task;
        for effect in change.effects {
            match effect {
                Effect::StopRun => {
                    if let Some(run) = self.live().get(&task.id) {
                        run.end.cancel();
                    }
                }
                Effect::LeaveQueue => self.slots.leave(&task.agent_id, &task.id),
                // It starts when the slot its run had is given back, or when the caller pumps.
                Effect::Enqueue => self.slots.restore(&task),
                // The driver does these itself: it starts the run, owns the idle clock, and frees
                // the slot when it is done with the run's directory. Questions are voided with the
                // change itself.
                Effect::StartRun
                | Effect::FreeSlot
                | Effect::PauseIdle
                | Effect::ResumeIdle
                | Effect::VoidQuestions => {}
            }
        }
        self.wakes.tell(&task);
        self.signal_load();
        task
    }

    /// Does what must not stop half way, such as storing something and acting on it, when the caller
    /// stops waiting: a front-end that dies takes its open calls with it.
    pub(crate) async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, StoreError>> + Send + 'static,
    ) -> Result<T, StoreError> {
        match self.tracker.spawn(work).await {
            Ok(done) => done,
            Err(lost) if lost.is_panic() => std::panic::resume_unwind(lost.into_panic()),
            Err(_runtime_ends) => Err(StoreError::Closed),
        }
    }

    /// Starts a piece of background work the engine waits for before it ends.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        self.tracker.spawn(work);
    }

    /// Tells those who watch how much there is to do.
    pub(crate) fn signal_load(&self) {
        let total = self.slots.total();
        self.load
            .send_if_modified(|load| std::mem::replace(load, total) != total);
    }

    /// Starts what can start, for every agent somebody waits for.
    pub(crate) fn pump_all(self: &Arc<Self>) {
        for agent in self.slots.waited_for() {
            self.pump(&agent);
        }
        self.signal_load();
    }

    /// Starts what can start for one agent; what waits for one whose directory is gone is ended.
    pub(crate) fn pump(self: &Arc<Self>, agent: &AgentId) {
        if self.stopping() {
            return;
        }
        if !self.agents().knows(agent) && !self.slots.waiting_for(agent).is_empty() {
            let (inner, agent) = (Arc::clone(self), agent.clone());
            self.tracker
                .spawn(async move { inner.end_waiting(&agent).await });
            return;
        }
        while !self.stopping() {
            let Some(definition) = self.definition(agent) else {
                return;
            };
            let room = Room {
                limit: definition.runtime.max_concurrent_tasks.get(),
                one_per_context: definition.runtime.session == SessionScope::PerContext,
            };
            // What its node has not heard of waits for it; what is under way there is followed.
            let away = !agent.is_local() && self.runner.away(&definition).is_some();
            let Some(task) = self.slots.take(agent, room, away) else {
                return;
            };
            self.tracker
                .spawn(drive::run_task(Arc::clone(self), task, definition));
        }
    }

    /// By what the tasks of this agent are run now.
    fn definition(&self, agent: &AgentId) -> Option<Arc<AgentDefinition>> {
        let offered = self.agents().ready.get(agent).cloned();
        match offered {
            Some(definition) => definition.enabled.then_some(definition),
            // Its owner says what becomes of what it has, and refuses what it has not.
            None => self.runner.stand_in(agent).map(Arc::new),
        }
    }

    /// Ends what waits for an agent whose directory is gone.
    pub(crate) async fn end_waiting(&self, agent: &AgentId) {
        for task in self.slots.waiting_for(agent) {
            match self.happen(&task, None, Happening::AgentRemoved).await {
                // One that was just answered or ended is no longer waiting.
                Ok(_) | Err(StoreError::Illegal(_)) => {}
                Err(error) => {
                    tracing::warn!(task = %task, %error, "a task of a removed agent could not be ended");
                }
            }
        }
    }
}
