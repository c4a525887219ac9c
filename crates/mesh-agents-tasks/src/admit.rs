//! A message comes in: checked, matched against earlier ones, stored, queued (DESIGN §4, "Submit").

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;

use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::ids::{AgentId, ContextId, TaskId};
use mesh_agents_core::json::JsonText;
use mesh_agents_core::limits::MESSAGE_BYTES;
use mesh_agents_core::policy::{AgentState, Caller, Operation, may, no_agent};
use mesh_agents_core::principal::Principal;
use mesh_agents_core::push::PushConfig;
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_core::task::{Content, Message, Part, Task, TaskState};
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::api::{Grants, Submit};
use crate::engine::{Inner, TaskEngine, storage};
use crate::offline::Offline;
use crate::push::checked;
use crate::store::push::NewPush;
use crate::store::{self, Found, Key, StoreError};

/// Characters of a message shown in lists.
const SUMMARY_CHARS: usize = 200;

impl TaskEngine {
    /// Takes a message for an agent and returns its task; durable when this returns. A repeat of an
    /// earlier submit returns the task of that one and starts nothing. With `task_id` it answers the
    /// question that task asks.
    ///
    /// # Errors
    /// `message_too_large`, `agent_not_found`, `agent_disabled`, `agent_unavailable` (its node is away, and
    /// the message may not wait), `agent_full`, `not_allowed`,
    /// `message_conflict` (the key was used for another body), `storage`; for an answer `task_not_found`,
    /// `task_busy`, `task_terminal`, `question_gone`, `invalid_argument` (with the options there are).
    /// Nothing is stored then.
    pub async fn submit(&self, caller: &Caller, submit: Submit) -> Result<Task, Refusal> {
        let inner = &self.inner;
        check_message(&submit.message)?;
        if let Some(task) = submit.task_id.clone() {
            // An engine that lets its runs end needs the answers they wait for.
            return self.answer(caller, submit, &task).await;
        }
        if inner.stopping() {
            return Err(storage(&StoreError::Closed));
        }
        let admitted = inner.admit(caller, &submit.agent_id);
        let may_wait = submit.queue_if_offline;
        let offline = admitted.as_ref().ok();
        let offline = offline.and_then(|agent| Offline::of(inner, agent, may_wait));
        let key = key_of(caller, &submit)?;
        let (shared, now) = (Arc::clone(inner), inner.now());
        let push = submit.push.clone();
        let push = push.map(|push| checked(inner, push)).transpose()?;
        let new = new_task(inner, caller, &submit);
        let told = push.is_some();
        let stored = inner.to_the_end(async move {
            let outcome = shared
                .store_new(now, (admitted, offline), key, new, push)
                .await?;
            if let Outcome::New(task, place) = &outcome {
                if told {
                    shared.wakes.bell.watch(&task.id);
                }
                place.take(task);
                shared.pump(&task.agent_id);
                shared.signal_load();
            }
            Ok(outcome)
        });
        match stored.await {
            Ok(Outcome::New(task, _)) => Ok(*task),
            Ok(Outcome::Repeat(task)) => self.repeated(caller, &submit, &task).await,
            Ok(Outcome::Conflict(task)) => Err(conflict(&submit, &task)),
            Ok(Outcome::Refused(refusal)) => Err(refusal),
            Err(error) => Err(storage(&error)),
        }
    }

    /// The task that a repeat of an earlier submit is answered with.
    pub(crate) async fn repeated(
        &self,
        caller: &Caller,
        submit: &Submit,
        id: &TaskId,
    ) -> Result<Task, Refusal> {
        let task = self.task(caller, id).await;
        task.map_err(|refusal| match refusal.code {
            // Its key outlives it.
            Code::TaskNotFound => Refusal::new(
                Code::TaskNotFound,
                format!(
                    "message_id \"{}\" was sent before, as task {id}, which is no longer kept",
                    submit.message.message_id
                ),
            )
            .hint("Nothing was started. To have it done again, send it under a new message_id."),
            _ => refusal,
        })
    }

    /// Notes that the front-end which minted this submit's key has been answered.
    pub async fn answered(&self, caller: &Caller, submit: &Submit) {
        let Ok(key) = key_of(caller, submit) else {
            return;
        };
        let now = self.inner.now();
        if let Err(error) = self
            .inner
            .store
            .write(move |db| store::answered(db, now, &key))
            .await
        {
            tracing::debug!(%error, "the time of an answer was not kept");
        }
    }
}

/// What the writer found and did.
enum Outcome {
    New(Box<Task>, Place),
    Repeat(TaskId),
    Conflict(TaskId),
    Refused(Refusal),
}

/// A place in an agent's queue, promised to a task that is being stored. Given back when dropped
/// without having been taken: when storing fails, or the commit it is part of.
struct Place {
    inner: Arc<Inner>,
    agent: AgentId,
    taken: Cell<bool>,
}

impl Place {
    fn reserve(inner: &Arc<Inner>, agent: &AgentDefinition) -> Result<Self, Refusal> {
        inner.slots.reserve(agent)?;
        Ok(Self {
            inner: Arc::clone(inner),
            agent: agent.id.clone(),
            taken: Cell::new(false),
        })
    }

    fn take(&self, task: &Task) {
        self.taken.set(true);
        self.inner.slots.arrive(task);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.taken.get() {
            self.inner.slots.release(&self.agent);
        }
    }
}

impl Inner {
    /// Stores a new task, unless it repeats an earlier one or its agent does not take it.
    async fn store_new(
        self: &Arc<Self>,
        now: UnixMillis,
        (admitted, offline): (Result<Arc<AgentDefinition>, Refusal>, Option<Offline>),
        key: Key,
        (mut task, message): (Task, Message),
        push: Option<NewPush>,
    ) -> Result<Outcome, StoreError> {
        let (shared, minted) = (Arc::clone(self), self.mint_message());
        let stored = self.store.write(move |db| {
            match store::find(db, now, &key)? {
                Found::Repeat(task) => return Ok(Outcome::Repeat(task)),
                Found::Conflict(task) => return Ok(Outcome::Conflict(task)),
                Found::Nothing => {}
            }
            // Only now: a repeat is answered even when its agent is full, disabled or gone.
            let place = match admitted.and_then(|agent| Place::reserve(&shared, &agent)) {
                Ok(place) => place,
                Err(refusal) => return Ok(Outcome::Refused(refusal)),
            };
            if let Some(offline) = &offline
                && let Err(refusal) = offline.admit(db, now, &mut task, &minted)?
            {
                return Ok(Outcome::Refused(refusal));
            }
            let task = store::insert_task(db, now, task, message, push.as_ref(), &key)?;
            Ok(Outcome::New(Box::new(task), place))
        });
        stored.await
    }

    fn admit(&self, caller: &Caller, agent: &AgentId) -> Result<Arc<AgentDefinition>, Refusal> {
        self.agent(caller, agent, Operation::Send)
    }

    /// The agent, if the caller may do this with it.
    fn agent(
        &self,
        caller: &Caller,
        id: &AgentId,
        operation: Operation<'_>,
    ) -> Result<Arc<AgentDefinition>, Refusal> {
        let (definition, state) = {
            let agents = self.agents();
            (agents.ready.get(id).cloned(), agents.state(id))
        };
        may(&self.vouched(caller, id), id, state, operation)?;
        definition.ok_or_else(|| no_agent(id))
    }

    /// The caller with what its owner wrote of it and this agent. A mesh peer's request brings what the list
    /// says; what a harness may that works for one is looked up, and so is what access tokens may.
    fn vouched<'a>(&self, caller: &'a Caller, agent: &AgentId) -> Cow<'a, Caller> {
        match (&caller.principal, &caller.root, self.grants.get()) {
            (_, Principal::Token(name), _) => {
                let named = self.mesh_tokens.get();
                let abroad = named.is_some_and(|named| named.contains(name));
                Cow::Owned(caller.clone().with_abroad(abroad))
            }
            (Principal::Task(_), Principal::Key(did), Some(grants)) => {
                Cow::Owned(caller.clone().with_grant(grants.grant(did, agent)))
            }
            _ => Cow::Borrowed(caller),
        }
    }
}

impl TaskEngine {
    /// The agent of this id, if the caller may do this with it now: what every surface asks.
    ///
    /// # Errors
    /// As [`may`].
    pub fn agent(
        &self,
        caller: &Caller,
        id: &AgentId,
        operation: Operation<'_>,
    ) -> Result<Arc<AgentDefinition>, Refusal> {
        self.inner.agent(caller, id, operation)
    }

    /// Whether the caller has ever given this agent work that is still kept.
    ///
    /// # Errors
    /// `storage`, `engine_unavailable`.
    pub async fn has_tasks(&self, caller: &Caller, agent: &AgentId) -> Result<bool, Refusal> {
        let (principal, agent) = (caller.principal.to_string(), agent.clone());
        let read = self
            .inner
            .store
            .read(move |db| store::has_tasks(db, &principal, &agent));
        read.await.map_err(|error| storage(&error))
    }

    /// Whether the caller may know of an agent that is defined so.
    #[must_use]
    pub fn shows(&self, caller: &Caller, agent: &AgentDefinition) -> bool {
        let state = AgentState::of(Some(agent), false);
        let caller = self.inner.vouched(caller, &agent.id);
        may(&caller, &agent.id, state, Operation::Discover).is_ok()
    }

    /// The access tokens whose holders may call agents of other nodes, by their names; once, before the first
    /// call. Without it none may.
    pub fn set_mesh_tokens(&self, names: BTreeSet<String>) {
        let _first = self.inner.mesh_tokens.set(names);
    }

    /// Who is asked what the owner's list says; once, before the first call. Without it a harness that works
    /// for a mesh peer reaches no agent.
    pub fn set_grants(&self, grants: Arc<dyn Grants>) {
        let _first = self.inner.grants.set(grants);
    }
}

fn check_message(message: &Message) -> Result<(), Refusal> {
    let bytes: usize = message.parts.iter().map(|part| part.content.bytes()).sum();
    let said = message.parts.iter().any(|part| match &part.content {
        Content::Text(text) => !text.trim().is_empty(),
        Content::Data(_) | Content::Url(_) | Content::Raw(_) => true,
    });
    if !said {
        return Err(Refusal::new(Code::InvalidArgument, "message is empty")
            .hint("Say what the agent should do."));
    }
    if bytes > MESSAGE_BYTES {
        return Err(Refusal::new(
            Code::MessageTooLarge,
            format!("message is {bytes} bytes and may be {MESSAGE_BYTES}"),
        )
        .hint("Put long input into a file the agent can read and name it in the message."));
    }
    Ok(())
}

/// All that makes two submits the same wish.
#[derive(Serialize)]
struct Body<'a> {
    parts: Vec<serde_json::Value>,
    message_metadata: Option<serde_json::Value>,
    metadata: Option<serde_json::Value>,
    context_id: Option<&'a ContextId>,
    task_id: Option<&'a TaskId>,
    /// Absent when there is none: a repeat of a submit of an older version is still a repeat.
    #[serde(skip_serializing_if = "Option::is_none")]
    push: Option<&'a PushConfig>,
}

/// A caller's own JSON, to be compared. What no value tree can hold (a number out of range, a nesting
/// too deep) is compared as its text.
fn value(json: Option<&JsonText>) -> Option<serde_json::Value> {
    json.map(|json| {
        json.read()
            .unwrap_or_else(|_| serde_json::Value::String(json.as_str().to_owned()))
    })
}

/// A part, its JSON spelled out: the canonical form has no raw values.
fn part_value(part: &Part) -> serde_json::Value {
    serde_json::to_value(part).unwrap_or_else(|_| {
        serde_json::Value::String(serde_json::to_string(part).unwrap_or_default())
    })
}

pub(crate) fn key_of(caller: &Caller, submit: &Submit) -> Result<Key, Refusal> {
    let body = Body {
        parts: submit.message.parts.iter().map(part_value).collect(),
        message_metadata: value(submit.message.metadata.as_ref()),
        metadata: value(submit.metadata.as_ref()),
        context_id: submit.context_id.as_ref(),
        task_id: submit.task_id.as_ref(),
        push: submit.push.as_ref(),
    };
    let canonical = serde_json_canonicalizer::to_vec(&body).map_err(|error| {
        Refusal::new(
            Code::InvalidArgument,
            format!("metadata has no canonical form: {error}"),
        )
    })?;
    let digest = Sha256::digest(&canonical);
    Ok(Key {
        agent: submit.agent_id.clone(),
        principal: caller.principal.clone(),
        message_id: submit.message.message_id.clone(),
        body_hash: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
        instance: submit.minted.as_ref().map(|minted| minted.instance.clone()),
        answered_at_once: submit
            .minted
            .as_ref()
            .is_some_and(|minted| minted.answered_at_once),
    })
}

pub(crate) fn conflict(submit: &Submit, task: &TaskId) -> Refusal {
    Refusal::new(
        Code::MessageConflict,
        format!("message_id \"{}\" was used before, for another message (task {task})", submit.message.message_id),
    )
    .hint("Nothing was stored. Use a new message_id for a new message; repeat one only with the same arguments.")
}

fn new_task(inner: &Inner, caller: &Caller, submit: &Submit) -> (Task, Message) {
    let now = inner.now();
    let context = submit.context_id.clone();
    let parent = match &caller.principal {
        Principal::Task(id) => Some(id.clone()),
        Principal::Local | Principal::Token(_) | Principal::Key(_) => None,
    };
    let task = Task {
        id: TaskId::from_ulid(inner.mint.next(now)),
        context_id: context.unwrap_or_else(|| ContextId::from_ulid(inner.mint.next(now))),
        agent_id: submit.agent_id.clone(),
        principal: caller.principal.clone(),
        state: TaskState::Submitted,
        status_message: None,
        failure: None,
        cancel_requested: false,
        unreachable_since: None,
        deliver_until: None,
        parent,
        depth: caller.depth.map_or(0, |depth| depth.saturating_add(1)),
        attempt: 0,
        summary: summary(&submit.message.joined_text()),
        metadata: submit.metadata.clone(),
        created_at: now,
        updated_at: now,
        version: 1,
        last_seq: 0,
    };
    (task, submit.message.clone())
}

/// The first line with words in it, control characters as spaces.
fn summary(text: &str) -> String {
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or_default();
    line.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(SUMMARY_CHARS)
        .collect()
}
