//! Taking up what an earlier engine left: decided purely from rows and live guards, done once at start.
//!
//! Queued tasks stay queued. A task whose run is gone fails with its cause; one whose guard still
//! lives is waited for first, so that nothing is called failed while it runs. (Resume and retry
//! come with the durability issue; the registry refuses `on_interrupt = "retry"` until then.)

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use mesh_agents_core::ids::{AgentId, RunId, TaskId};
use mesh_agents_core::run::ProcessRef;
use mesh_agents_core::task::TaskState;
use mesh_agents_core::transition::Happening;

use crate::drive::Slot;
use crate::engine::Inner;
use crate::store::{self, Open, StoreError};

/// A guard ends its run within two seconds of its engine's death; this is more than that. One that
/// takes longer is stuck, and is killed with its run.
const GUARD_PATIENCE: Duration = Duration::from_secs(5);
/// How often a guard that still lives is looked at.
const GUARD_POLL: Duration = Duration::from_millis(50);

/// What is to become of one open task.
#[derive(Debug, PartialEq, Eq)]
enum Plan {
    /// Back into the queue.
    Queue { agent: AgentId, task: TaskId },
    /// Its run is gone, or will be when this process is and nothing bears its mark any more.
    Fail {
        agent: AgentId,
        task: TaskId,
        run: Option<RunId>,
        guard: Option<ProcessRef>,
    },
}

/// Reads what is open, queues what waits, and sees to it that what ran is brought to its end.
pub(crate) async fn take_up(inner: &Arc<Inner>) -> Result<(), StoreError> {
    let open = inner.store.read(store::open_tasks).await?;
    for plan in open.into_iter().map(plan) {
        match plan {
            Plan::Queue { agent, task } => inner.slots.restore(&agent, task),
            Plan::Fail {
                agent,
                task,
                run,
                guard,
            } => {
                // Until its last process is gone the run has its slot: a workspace that two tasks
                // share must not see both at once.
                inner.slots.hold(&agent, task.clone());
                let slot = Slot::of(inner, agent, task);
                inner.spawn(fail_when_gone(slot, run, guard));
            }
        }
    }
    Ok(())
}

fn plan(open: Open) -> Plan {
    let (agent, task) = (open.agent, open.task);
    if open.state == TaskState::Submitted {
        Plan::Queue { agent, task }
    } else {
        Plan::Fail {
            agent,
            task,
            run: open.run,
            guard: open.guard,
        }
    }
}

async fn fail_when_gone(slot: Slot, run: Option<RunId>, guard: Option<ProcessRef>) {
    let (inner, task) = (slot.inner(), slot.task());
    let gone = async {
        while guard.is_some_and(|guard| inner.runner.alive(&guard)) {
            tokio::time::sleep(GUARD_POLL).await;
        }
    };
    // A guard that outlives its time is killed below with the rest.
    let _in_time = tokio::time::timeout(GUARD_PATIENCE, gone).await;
    let mut cause = String::from(
        "the engine that ran this task ended without stopping it (it was killed, or the machine went down), \
         and its run ended with it; send the message again, or read the artifacts it left",
    );
    let left = reap(inner, run, guard).await;
    if left > 0 {
        // A String takes every write.
        let _infallible = write!(
            cause,
            ". {left} of its processes would not die and may still do something"
        );
    }
    if let Err(error) = inner.happen(task, None, Happening::Lost(cause)).await {
        tracing::error!(task = %task, %error, "an interrupted task could not be failed");
    }
}

/// Kills what the run left, which is mostly nothing. Says how much is still there.
async fn reap(inner: &Arc<Inner>, run: Option<RunId>, guard: Option<ProcessRef>) -> u32 {
    let Some(run) = run else { return 0 };
    let runner = Arc::clone(&inner.runner);
    let reaped = tokio::task::spawn_blocking(move || runner.reap(&run, guard.as_ref()));
    reaped.await.unwrap_or_else(|error| {
        // Only when the runtime stops, or the runner has a bug; the task is failed either way.
        tracing::error!(%error, "what an interrupted run left was not looked for");
        0
    })
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
        let run = RunId::from_ulid(Ulid(2));
        let plan = |state| {
            plan(Open {
                task: task.clone(),
                agent: agent.clone(),
                state,
                run: Some(run.clone()),
                guard,
            })
        };
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
                    agent: agent.clone(),
                    task: task.clone(),
                    run: Some(run.clone()),
                    guard
                }
            );
        }
    }
}
