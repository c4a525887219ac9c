//! Messages for agents of nodes that are away: whether one may wait, and when it has waited long enough
//! (store-and-forward). What is decided is in [`rule`]; here it is done.

pub(crate) mod rule;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::ids::{AgentId, MessageId, TaskId};
use mesh_agents_core::limits::{OFFLINE_PER_NODE, OFFLINE_WAIT};
use mesh_agents_core::policy::QUEUE_EXTENSION;
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_core::run::Away;
use mesh_agents_core::task::{Failure, Message, Role, Task};
use rusqlite::Connection;

use crate::drive::RETRY;
use crate::engine::{Inner, stopped};
use crate::store::{self, StoreError};
use rule::Admitted;

/// What is known of the node an agent is on, when a message for it comes in.
#[derive(Debug, Clone)]
pub(crate) struct Offline {
    /// Why the node cannot be called now; `None` when it can.
    pub(crate) away: Option<Away>,
    /// Whether the message may wait.
    pub(crate) may_wait: bool,
}

impl Offline {
    /// Of this agent. `None` for one of this node, whose messages wait for nobody.
    pub(crate) fn of(inner: &Inner, agent: &AgentDefinition, may_wait: bool) -> Option<Self> {
        let elsewhere = !agent.id.is_local();
        elsewhere.then(|| Self {
            away: inner.runner.away(agent),
            may_wait,
        })
    }

    /// Has a new task wait, if it must and may.
    ///
    /// The refusal, when its node is away and it may not, or when too many wait for that node.
    pub(crate) fn admit(
        &self,
        db: &Connection,
        now: UnixMillis,
        task: &mut Task,
        minted: &MessageId,
    ) -> Result<Result<(), Refusal>, StoreError> {
        let waiting = match self.may_wait {
            true => {
                let node = task.agent_id.as_str().split_once('@');
                store::waiting_for_node(db, node.map_or("", |(_, node)| node))?
            }
            false => 0,
        };
        let away = self.away.as_ref();
        let until = match (rule::admit(away, self.may_wait, waiting, now), away) {
            (Admitted::Waits(until), _) => until,
            (Admitted::Full, _) => return Ok(Err(full(&task.agent_id))),
            (Admitted::Away, Some(away)) => return Ok(Err(refused(&task.agent_id, away))),
            (Admitted::Now | Admitted::Away, _) => return Ok(Ok(())),
        };
        task.deliver_until = Some(until);
        if let Some(away) = &self.away {
            let text = format!(
                "queued, owner {} offline since {}: it is delivered when that node is back, and given up at {}",
                away.name,
                told(away.since.unwrap_or(now)),
                told(until)
            );
            task.status_message = Some(Message::text(minted.clone(), Role::Agent, text));
        }
        Ok(Ok(()))
    }
}

fn refused(agent: &AgentId, away: &Away) -> Refusal {
    let (name, id) = (&away.name, agent.name());
    match away.since {
        Some(since) => Refusal::new(
            Code::AgentUnavailable,
            format!(
                "agent \"{id}\" is on the node {name}, which is offline since {}",
                told(since)
            ),
        )
        .hint(format!(
            "Nothing was stored. Send again with queue_if_offline = true (over A2A: {QUEUE_EXTENSION:?}: true in the metadata) to have it wait for that node, for 72 hours at most; get_agents shows when it is back."
        )),
        None => Refusal::new(
            Code::AgentUnavailable,
            format!("agent \"{id}\" on the node {name} cannot be called: {}", away.why),
        )
        .hint("Nothing was stored. `agents peers list` shows the nodes there are."),
    }
}

fn full(agent: &AgentId) -> Refusal {
    Refusal::new(
        Code::AgentFull,
        format!(
            "{OFFLINE_PER_NODE} messages wait for the node of agent \"{}\" already, and no more are kept for one node",
            agent.name()
        ),
    )
    .hint("Nothing was stored. Cancel some of them (list_tasks with state submitted, cancel_task), or send again when the node is back.")
}

/// A moment for a person.
fn told(at: UnixMillis) -> String {
    let edge = Timestamp::MAX;
    let at = Timestamp::from_millisecond(at.0).unwrap_or(edge);
    at.strftime("%Y-%m-%d %H:%M UTC").to_string()
}

/// Gives up what has waited long enough, for as long as the engine runs.
pub(crate) fn watch(inner: &Arc<Inner>) {
    let inner_ = Arc::clone(inner);
    inner.spawn(async move {
        let inner = inner_;
        let mut stop = inner.stop_signal();
        loop {
            let wait = match expire(&inner).await {
                Ok(wait) => wait,
                Err(StoreError::Closed) => return,
                Err(error) => {
                    tracing::warn!(%error, "what waits for other nodes cannot be read; trying again");
                    RETRY
                }
            };
            tokio::select! {
                () = inner.waits.notified() => {}
                () = tokio::time::sleep(wait) => {}
                () = stopped(&mut stop) => return,
            }
        }
    });
}

/// Fails what has waited long enough. In how long to look again.
async fn expire(inner: &Arc<Inner>) -> Result<Duration, StoreError> {
    let waiting = inner.store.read(store::undelivered).await?;
    let (due, wait) = rule::look(waiting, inner.now());
    for task in due {
        give_up(inner, &task).await?;
    }
    Ok(wait)
}

async fn give_up(inner: &Arc<Inner>, task: &TaskId) -> Result<(), StoreError> {
    let failure = Failure::new(
        "owner_offline",
        format!(
            "the message waited {} hours for the node of its agent, which did not come back, and was given up; nothing was started. Send it again when get_agents shows the node",
            OFFLINE_WAIT.as_secs() / 3600
        ),
    );
    let (now, minted, id) = (inner.now(), inner.mint_message(), task.clone());
    let given_up = inner
        .store
        .write(move |db| store::give_up(db, now, &id, failure.clone(), &minted));
    match given_up.await {
        Ok(Some(change)) => {
            inner.follow(change);
            Ok(())
        }
        // It was delivered or ended in the same moment.
        Ok(None) | Err(StoreError::Illegal(_) | StoreError::NoTask) => Ok(()),
        Err(error) => Err(error),
    }
}
