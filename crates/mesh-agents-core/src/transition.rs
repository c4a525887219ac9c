//! Which changes of a task are legal, as a pure function (DESIGN §4).
//!
//! [`next`] takes where a task stands and what happened, and returns the new standing plus the
//! effects to perform. The engine commits the new standing first and performs the effects after;
//! nothing here touches a process, a clock or a store. The whole table is one reviewed snapshot
//! (`snapshots/…the_whole_table.snap`).
//!
//! A running task is never moved to its end by the wish to end it: [`Happening::Stop`] only marks
//! the cause and asks for the run to be stopped, and the run's own [`Happening::Ended`], which
//! comes after its process tree is gone, decides the state. So CANCELED means: nothing runs.

use crate::run::{Outcome, QuestionKind};
use crate::task::{Failure, TaskState};

/// Why a run is being stopped. The first cause stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StopCause {
    /// A caller asked.
    Canceled,
    /// `policy.max_task_seconds` is over.
    Deadline,
    /// `policy.idle_seconds` passed without a sign of life.
    Idle,
    /// The log of the task is full (`limits::EVENTS_PER_TASK`, `limits::EVENT_BYTES_PER_TASK`).
    TooMuchOutput,
    /// The engine stops now.
    Shutdown,
}

impl StopCause {
    /// All causes.
    pub const ALL: [Self; 5] = [
        Self::Canceled,
        Self::Deadline,
        Self::Idle,
        Self::TooMuchOutput,
        Self::Shutdown,
    ];

    /// What a task that was stopped for this cause failed with; `None` for a caller's wish.
    #[must_use]
    pub fn failure(self) -> Option<Failure> {
        let (code, message) = match self {
            Self::Canceled => return None,
            Self::Deadline => (
                "deadline_exceeded",
                "the run took longer than policy.max_task_seconds and was stopped; raise the key or give the agent less to do",
            ),
            Self::Idle => (
                "idle_timeout",
                "the harness gave no sign of life for policy.idle_seconds and was stopped; its log may say why, or raise the key",
            ),
            Self::TooMuchOutput => (
                "too_much_output",
                "the run produced more events than one task may keep and was stopped; have the agent write long results into artifacts",
            ),
            Self::Shutdown => (
                "interrupted",
                "the engine was stopped while the task ran (agents stop --now, or the machine is going down); send the message again",
            ),
        };
        Some(Failure::new(code, message))
    }
}

/// Where a task stands, as far as transitions care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its state.
    pub state: TaskState,
    /// Why its run is being stopped, if it is.
    pub stopping: Option<StopCause>,
}

impl Standing {
    /// A task just stored.
    pub const NEW: Self = Self {
        state: TaskState::Submitted,
        stopping: None,
    };
}

/// What can happen to a task after it was stored. A closed list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// It got a slot and its attempt is about to be stored.
    Start,
    /// Its run asks something.
    Asked(QuestionKind),
    /// The last open question is answered or void.
    Settled,
    /// Its end is wanted.
    Stop(StopCause),
    /// Its run is over and nothing of it is left.
    Ended(Outcome),
    /// Its run is gone without a word; the text says what is known.
    Lost(String),
    /// Its agent's directory is gone.
    AgentRemoved,
}

/// What the engine does after it committed the new standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Start the run.
    StartRun,
    /// Ask the run to end.
    StopRun,
    /// Take the task out of its agent's queue.
    LeaveQueue,
    /// Give the agent's slot back, so that the next queued task starts.
    FreeSlot,
    /// Stop counting `idle_seconds`.
    PauseIdle,
    /// Count `idle_seconds` again.
    ResumeIdle,
    /// Void all open questions.
    VoidQuestions,
}

/// The outcome of a legal change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Next {
    /// The new standing.
    pub standing: Standing,
    /// Why the task failed or was rejected, when it did now.
    pub failure: Option<Failure>,
    /// What to do after the commit, in order.
    pub effects: Vec<Effect>,
}

/// A change that is not legal from here; the task stays as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a task that is {state} cannot take this change")]
pub struct Illegal {
    /// Where the task stands.
    pub state: TaskState,
}

/// The new standing of a task and the effects, or why the change is not legal.
///
/// # Errors
/// [`Illegal`] for every change of a terminal task, and for changes that do not fit the state.
pub fn next(standing: Standing, happening: &Happening) -> Result<Next, Illegal> {
    use TaskState::{AuthRequired, Failed, InputRequired, Rejected, Submitted, Working};

    let state = standing.state;
    let keep = |effects: &[Effect]| Next {
        standing,
        failure: None,
        effects: effects.to_vec(),
    };
    match (state, happening) {
        (Submitted, Happening::Start) => Ok(Next {
            standing: Standing {
                state: Working,
                stopping: None,
            },
            failure: None,
            effects: vec![Effect::StartRun],
        }),
        (Submitted, Happening::Stop(cause)) => Ok(stop_queued(*cause, standing)),
        (Submitted, Happening::AgentRemoved) => Ok(end(
            Failed,
            Some(Failure::new(
                "agent_removed",
                "the agent's directory was removed before the task started; put it back and send the message again",
            )),
            &[Effect::LeaveQueue],
        )),

        (Working | InputRequired | AuthRequired, Happening::Stop(cause)) => {
            Ok(match standing.stopping {
                Some(_) => keep(&[]),
                None => Next {
                    standing: Standing {
                        state,
                        stopping: Some(*cause),
                    },
                    failure: None,
                    effects: vec![Effect::StopRun],
                },
            })
        }
        // Nobody answers a run that is being stopped; it ends with its questions open.
        (Working | InputRequired | AuthRequired, Happening::Asked(_))
            if standing.stopping.is_some() =>
        {
            Ok(keep(&[]))
        }
        (Working | InputRequired | AuthRequired, Happening::Asked(kind)) => Ok(Next {
            standing: Standing {
                state: if *kind == QuestionKind::Auth {
                    AuthRequired
                } else {
                    InputRequired
                },
                ..standing
            },
            failure: None,
            effects: vec![Effect::PauseIdle],
        }),
        (InputRequired | AuthRequired, Happening::Settled) => Ok(Next {
            standing: Standing {
                state: Working,
                ..standing
            },
            failure: None,
            effects: vec![Effect::ResumeIdle],
        }),
        (Working | InputRequired | AuthRequired, Happening::Ended(outcome)) => {
            Ok(ended(standing, outcome))
        }
        (Working | InputRequired | AuthRequired, Happening::Lost(what)) => {
            Ok(ended(standing, &Outcome::Interrupted(what.clone())))
        }
        // A run ends normally under the definition it was started with, whatever became of the directory.
        (Working | InputRequired | AuthRequired, Happening::AgentRemoved) => Ok(keep(&[])),

        (Submitted, Happening::Ended(Outcome::Refused(why))) => Ok(end(
            Rejected,
            Some(Failure::new("refused", why.clone())),
            &[Effect::LeaveQueue],
        )),
        _ => Err(Illegal { state }),
    }
}

/// A queued task runs nothing: a caller's wish ends it at once, the engine's own stop leaves it queued.
fn stop_queued(cause: StopCause, standing: Standing) -> Next {
    match cause {
        StopCause::Shutdown => Next {
            standing,
            failure: None,
            effects: Vec::new(),
        },
        StopCause::Canceled => end(TaskState::Canceled, None, &[Effect::LeaveQueue]),
        StopCause::Deadline | StopCause::Idle | StopCause::TooMuchOutput => {
            end(TaskState::Failed, cause.failure(), &[Effect::LeaveQueue])
        }
    }
}

fn ended(standing: Standing, outcome: &Outcome) -> Next {
    const OVER: &[Effect] = &[Effect::VoidQuestions, Effect::FreeSlot];
    let stopped = |or: Failure| match standing.stopping {
        Some(StopCause::Canceled) => end(TaskState::Canceled, None, OVER),
        Some(cause) => end(TaskState::Failed, cause.failure(), OVER),
        None => end(TaskState::Failed, Some(or), OVER),
    };
    match outcome {
        // It had finished before the stop reached it: the result is real, so the state says so.
        Outcome::Completed { .. } => end(TaskState::Completed, None, OVER),
        Outcome::Failed(failure) => stopped(failure.clone()),
        Outcome::Refused(why) => stopped(Failure::new("refused", why.clone())),
        Outcome::Interrupted(why) => stopped(Failure::new("interrupted", why.clone())),
        Outcome::Canceled => match standing.stopping {
            Some(_) => stopped(Failure::new("canceled", "the run was canceled")),
            None => stopped(Failure::new(
                "canceled_by_harness",
                "the harness says the turn was canceled, and nobody here asked for that",
            )),
        },
    }
}

fn end(state: TaskState, failure: Option<Failure>, effects: &[Effect]) -> Next {
    Next {
        standing: Standing {
            state,
            stopping: None,
        },
        failure,
        effects: effects.to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use proptest::prelude::*;

    use super::*;

    fn happenings() -> Vec<(String, Happening)> {
        let outcomes = [
            (
                "completed",
                Outcome::Completed {
                    answer: "done".into(),
                },
            ),
            (
                "failed",
                Outcome::Failed(Failure::new("harness_exited", "it left")),
            ),
            ("refused", Outcome::Refused("no".into())),
            ("canceled", Outcome::Canceled),
            ("interrupted", Outcome::Interrupted("power".into())),
        ];
        let mut all = vec![("start".to_owned(), Happening::Start)];
        for kind in [
            QuestionKind::Permission,
            QuestionKind::Elicitation,
            QuestionKind::Auth,
        ] {
            all.push((format!("asked {kind:?}"), Happening::Asked(kind)));
        }
        all.push(("settled".to_owned(), Happening::Settled));
        for cause in StopCause::ALL {
            all.push((format!("stop {cause:?}"), Happening::Stop(cause)));
        }
        for (name, outcome) in outcomes {
            all.push((format!("ended {name}"), Happening::Ended(outcome)));
        }
        all.push((
            "lost".to_owned(),
            Happening::Lost("the engine was killed".into()),
        ));
        all.push(("agent removed".to_owned(), Happening::AgentRemoved));
        all
    }

    fn standings() -> Vec<Standing> {
        let mut all = Vec::new();
        for state in TaskState::ALL {
            all.push(Standing {
                state,
                stopping: None,
            });
            if state == TaskState::Working || state.is_interrupted() {
                all.extend(StopCause::ALL.map(|cause| Standing {
                    state,
                    stopping: Some(cause),
                }));
            }
        }
        all
    }

    #[test]
    fn the_whole_table() {
        let mut table = String::new();
        for standing in standings() {
            let stopping = standing
                .stopping
                .map(|c| format!(" (stopping: {c:?})"))
                .unwrap_or_default();
            writeln!(table, "{}{stopping}", standing.state).unwrap();
            for (name, happening) in happenings() {
                match next(standing, &happening) {
                    Err(_) => writeln!(table, "  {name:<20} illegal").unwrap(),
                    Ok(to) => {
                        let stop = to
                            .standing
                            .stopping
                            .map(|c| format!(" (stopping: {c:?})"))
                            .unwrap_or_default();
                        let failure = to
                            .failure
                            .map(|f| format!(" [{}]", f.code))
                            .unwrap_or_default();
                        writeln!(
                            table,
                            "  {name:<20} -> {}{stop}{failure} {:?}",
                            to.standing.state, to.effects
                        )
                        .unwrap();
                    }
                }
            }
        }
        insta::assert_snapshot!(table);
    }

    proptest! {
        /// Whatever happens in whatever order: a terminal state is never left, a slot is freed
        /// exactly once after each start, and nothing is freed that was not started.
        #[test]
        fn slots_balance_and_ends_are_final(picks in prop::collection::vec(0_usize..17, 0..40)) {
            let all = happenings();
            prop_assert_eq!(all.len(), 17);
            let (mut standing, mut started, mut freed) = (Standing::NEW, 0, 0);
            for pick in picks {
                let before = standing;
                match next(standing, &all[pick].1) {
                    Ok(to) => {
                        prop_assert!(!before.state.is_terminal());
                        started += to.effects.iter().filter(|e| **e == Effect::StartRun).count();
                        freed += to.effects.iter().filter(|e| **e == Effect::FreeSlot).count();
                        standing = to.standing;
                    }
                    Err(illegal) => prop_assert_eq!(illegal.state, before.state),
                }
                prop_assert_eq!(started - freed, usize::from(started == 1 && !standing.state.is_terminal()));
                prop_assert!(started <= 1);
            }
        }
    }
}
