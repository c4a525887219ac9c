//! Taking up what an earlier engine left: decided purely from rows and live guards, done once at start.
//!
//! Queued tasks stay queued. A task whose run is gone fails with its cause; one whose guard still
//! lives is waited for first, so that nothing is called failed while it runs. (Resume and retry
//! come with the durability issue; the registry refuses `on_interrupt = "retry"` until then.)

use std::sync::Arc;
use std::time::Duration;

use mesh_agents_core::ids::{AgentId, TaskId};
use mesh_agents_core::run::ProcessRef;
use mesh_agents_core::task::TaskState;
use mesh_agents_core::transition::Happening;

use crate::engine::Inner;
use crate::store::{self, StoreError};

/// A guard ends its run within two seconds of its engine's death; this is more than that.
const GUARD_PATIENCE: Duration = Duration::from_secs(10);
/// How often a guard that still lives is looked at.
const GUARD_POLL: Duration = Duration::from_millis(50);

/// What is to become of one open task.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// Back into the queue.
    Queue { agent: AgentId, task: TaskId },
    /// Its run is gone, or will be when this process is.
    Fail {
        task: TaskId,
        guard: Option<ProcessRef>,
    },
}

/// Reads what is open, queues what waits, and sees to it that what ran is brought to its end.
pub(crate) async fn take_up(inner: &Arc<Inner>) -> Result<(), StoreError> {
    let open = inner.store.read(store::open_tasks).await?;
    let plans = open
        .into_iter()
        .map(|(row, guard)| plan(row.task.state, row.task.agent_id, row.task.id, guard));
    for plan in plans {
        match plan {
            Plan::Queue { agent, task } => inner.slots.restore(&agent, task),
            Plan::Fail { task, guard } => {
                inner.spawn(fail_when_gone(Arc::clone(inner), task, guard));
            }
        }
    }
    Ok(())
}

fn plan(state: TaskState, agent: AgentId, task: TaskId, guard: Option<ProcessRef>) -> Plan {
    if state == TaskState::Submitted {
        Plan::Queue { agent, task }
    } else {
        Plan::Fail { task, guard }
    }
}

async fn fail_when_gone(inner: Arc<Inner>, task: TaskId, guard: Option<ProcessRef>) {
    let gone = async {
        while guard.is_some_and(|guard| inner.runner.alive(&guard)) {
            tokio::time::sleep(GUARD_POLL).await;
        }
    };
    let in_time = tokio::time::timeout(GUARD_PATIENCE, gone).await.is_ok();
    let mut cause = String::from(
        "the engine that ran this task ended without stopping it (it was killed, or the machine went down), \
         and its run ended with it; send the message again, or read the artifacts it left",
    );
    if !in_time && let Some(guard) = guard {
        use std::fmt::Write as _;
        // A String takes every write.
        let _infallible = write!(
            cause,
            ". Its guard (pid {}) did not end by itself and may still run something",
            guard.pid
        );
    }
    if let Err(error) = inner.happen(&task, None, Happening::Lost(cause)).await {
        tracing::error!(task = %task, %error, "an interrupted task could not be failed");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ulid::Ulid;

    #[test]
    fn only_what_never_started_goes_back_into_the_queue() {
        let agent: AgentId = "a".parse().unwrap();
        let task = TaskId::from_ulid(Ulid(1));
        let guard = Some(ProcessRef { pid: 7, birth: 9 });
        let plan = |state| plan(state, agent.clone(), task.clone(), guard);
        assert_eq!(
            plan(TaskState::Submitted),
            Plan::Queue {
                agent: agent.clone(),
                task: task.clone()
            }
        );
        for state in [
            TaskState::Working,
            TaskState::InputRequired,
            TaskState::AuthRequired,
        ] {
            assert_eq!(
                plan(state),
                Plan::Fail {
                    task: task.clone(),
                    guard
                }
            );
        }
    }
}
