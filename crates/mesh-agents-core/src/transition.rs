//! Which changes of a task are legal, as a pure function (DESIGN §4).
//!
//! [`next`] takes where a task stands and what happened, and returns the new standing plus the
//! effects to perform. The engine commits the new standing first and performs the effects after;
//! nothing here touches a process, a clock or a store. The whole table is one reviewed snapshot
//! (`transition/snapshots/…the_whole_table.snap`).
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

/// What the next attempt of a task is to be whose run is gone before its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Again {
    /// It goes on in its session, which was cut off at work.
    Resume,
    /// It goes on in its session, which was cut off while it asked, with the answer.
    Answer,
    /// It starts over in a session of its own.
    Retry,
}

impl Again {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Resume, Self::Answer, Self::Retry];
}

/// Where a task stands, as far as transitions care.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Its state.
    pub state: TaskState,
    /// Why its run is being stopped, if it is.
    pub stopping: Option<StopCause>,
    /// What its next attempt is to be, when it had one and no run of it is there. An interrupted
    /// task with this is *parked*: it waits for an answer without a run and without a slot. One whose work
    /// is done elsewhere has its place in the queue meanwhile: what is asked there may be answered there.
    pub again: Option<Again>,
    /// Whether the work is done elsewhere: its agent is on another node of the mesh, and a run here
    /// follows it. What is over here may go on there, so a wish to end it is kept until it was told.
    pub elsewhere: bool,
}

impl Standing {
    /// A task just stored.
    pub const NEW: Self = Self {
        state: TaskState::Submitted,
        stopping: None,
        again: None,
        elsewhere: false,
    };

    /// Whether it waits for an answer, and its run is gone.
    #[must_use]
    pub fn parked(self) -> bool {
        self.state.is_interrupted() && self.again.is_some()
    }

    /// Whether a caller asked for its end, and its run has not ended yet.
    #[must_use]
    pub fn cancel_requested(self) -> bool {
        self.stopping == Some(StopCause::Canceled)
    }

    /// Whether a run of it is there, or is thought to be: then it has a slot.
    #[must_use]
    pub fn runs(self) -> bool {
        self.state == TaskState::Working || (self.state.is_interrupted() && !self.parked())
    }
}

/// What can happen to a task after it was stored. A closed list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Happening {
    /// It got a slot and its attempt is about to be stored.
    Start,
    /// The oldest question it asks is of this kind.
    Asked(QuestionKind),
    /// The last open question is answered or void.
    Settled,
    /// Its end is wanted. (A parked task ends at once: nothing of it runs.)
    Stop(StopCause),
    /// Its run is over and nothing of it is left.
    Ended(Outcome),
    /// Its run is gone before its end, or never came about, and no other follows.
    Lost(Failure),
    /// Its run is gone before its end, and another attempt follows when it has a slot.
    Again(Again),
    /// Its run is gone while it asks; the answer brings the next attempt, or a slot where the work is done
    /// elsewhere.
    Parked,
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
    /// Put the task into its agent's queue.
    Enqueue,
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
    let next = match standing.state {
        TaskState::Submitted => next_of_queued(standing, happening),
        TaskState::Working | TaskState::InputRequired | TaskState::AuthRequired => {
            if standing.parked() {
                next_of_parked(standing, happening)
            } else {
                next_of_running(standing, happening)
            }
        }
        TaskState::Completed | TaskState::Failed | TaskState::Canceled | TaskState::Rejected => {
            None
        }
    };
    next.ok_or(Illegal {
        state: standing.state,
    })
}

/// A task that waits for a slot, for the first time or again.
fn next_of_queued(standing: Standing, happening: &Happening) -> Option<Next> {
    match happening {
        Happening::Start => Some(Next {
            standing: Standing {
                state: TaskState::Working,
                again: None,
                ..standing
            },
            failure: None,
            effects: vec![Effect::StartRun],
        }),
        // The run that comes tells it.
        Happening::Stop(StopCause::Canceled) if standing.elsewhere && standing.again.is_some() => {
            Some(Next {
                standing: Standing {
                    stopping: Some(StopCause::Canceled),
                    ..standing
                },
                failure: None,
                effects: Vec::new(),
            })
        }
        Happening::Stop(cause) => Some(stop_idle(*cause, standing, &[Effect::LeaveQueue])),
        Happening::AgentRemoved => Some(removed(&[Effect::LeaveQueue])),
        Happening::Ended(Outcome::Refused(why)) => Some(end(
            TaskState::Rejected,
            Some(Failure::new("refused", why.clone())),
            &[Effect::LeaveQueue],
        )),
        // Its end was wanted, and this is one.
        Happening::Lost(_) if standing.cancel_requested() => {
            Some(end(TaskState::Canceled, None, &[Effect::LeaveQueue]))
        }
        Happening::Lost(failure) => Some(end(
            TaskState::Failed,
            Some(failure.clone()),
            &[Effect::LeaveQueue],
        )),
        _ => None,
    }
}

/// A task that waits for an answer while nothing of it runs.
fn next_of_parked(standing: Standing, happening: &Happening) -> Option<Next> {
    match happening {
        Happening::Asked(kind) => Some(Next {
            standing: asking(standing, *kind),
            failure: None,
            effects: Vec::new(),
        }),
        // What it asks stays open while it is followed again.
        Happening::Start if standing.elsewhere => Some(Next {
            standing: Standing {
                again: None,
                ..standing
            },
            failure: None,
            effects: vec![Effect::StartRun],
        }),
        Happening::Settled => Some(Next {
            standing: Standing {
                state: TaskState::Submitted,
                ..standing
            },
            failure: None,
            effects: match standing.elsewhere {
                true => Vec::new(),
                false => vec![Effect::Enqueue],
            },
        }),
        // A run is needed to tell it.
        Happening::Stop(StopCause::Canceled) if standing.elsewhere => Some(Next {
            standing: Standing {
                state: TaskState::Submitted,
                stopping: Some(StopCause::Canceled),
                again: Some(Again::Resume),
                ..standing
            },
            failure: None,
            effects: vec![Effect::VoidQuestions],
        }),
        Happening::Stop(cause) => Some(stop_idle(*cause, standing, leaves(standing))),
        Happening::AgentRemoved => Some(removed(leaves(standing))),
        Happening::Lost(failure) => Some(end(
            TaskState::Failed,
            Some(failure.clone()),
            leaves(standing),
        )),
        _ => None,
    }
}

/// What the end of a parked task takes with it.
fn leaves(standing: Standing) -> &'static [Effect] {
    match standing.elsewhere {
        true => &[Effect::VoidQuestions, Effect::LeaveQueue],
        false => &[Effect::VoidQuestions],
    }
}

/// A task with a run, or with one that is thought to be there.
fn next_of_running(standing: Standing, happening: &Happening) -> Option<Next> {
    let asks = standing.state.is_interrupted();
    let to = |standing: Standing, effects: &[Effect]| Next {
        standing,
        failure: None,
        effects: effects.to_vec(),
    };
    // Whatever was planned for a run that is gone: one that was being stopped has its end.
    let stopped = || ended(standing, &Outcome::Canceled);
    match happening {
        Happening::Stop(_) if standing.stopping.is_some() => Some(to(standing, &[])),
        Happening::Stop(cause) => {
            let stopping = Some(*cause);
            Some(to(
                Standing {
                    stopping,
                    ..standing
                },
                &[Effect::StopRun],
            ))
        }
        // Nobody answers a run that is being stopped; it ends with its questions open.
        Happening::Asked(_) if standing.stopping.is_some() => Some(to(standing, &[])),
        Happening::Asked(kind) => Some(to(asking(standing, *kind), &[Effect::PauseIdle])),
        Happening::Settled if asks => {
            let state = TaskState::Working;
            Some(to(Standing { state, ..standing }, &[Effect::ResumeIdle]))
        }
        Happening::Ended(outcome) => Some(ended(standing, outcome)),
        // Nobody has told it yet, or nobody knows.
        Happening::Again(_) | Happening::Parked
            if standing.elsewhere && standing.stopping == Some(StopCause::Canceled) =>
        {
            let again = match happening {
                Happening::Again(again) => *again,
                _ => Again::Resume,
            };
            Some(to(
                Standing {
                    state: TaskState::Submitted,
                    again: Some(again),
                    ..standing
                },
                &[Effect::VoidQuestions, Effect::FreeSlot, Effect::Enqueue],
            ))
        }
        Happening::Again(_) | Happening::Parked | Happening::Lost(_)
            if standing.stopping.is_some() =>
        {
            Some(stopped())
        }
        Happening::Lost(failure) => Some(ended(standing, &Outcome::Failed(failure.clone()))),
        Happening::Again(again) if !asks => Some(to(
            Standing {
                state: TaskState::Submitted,
                stopping: None,
                again: Some(*again),
                ..standing
            },
            &[Effect::FreeSlot, Effect::Enqueue],
        )),
        // It goes on elsewhere, and so does what is heard of it.
        Happening::Parked if asks && standing.elsewhere => {
            let again = Some(Again::Resume);
            let effects = &[Effect::FreeSlot, Effect::Enqueue];
            Some(to(Standing { again, ..standing }, effects))
        }
        Happening::Parked if asks => {
            let again = Some(Again::Answer);
            Some(to(Standing { again, ..standing }, &[Effect::FreeSlot]))
        }
        // A run ends normally under the definition it was started with, whatever became of the directory.
        Happening::AgentRemoved => Some(to(standing, &[])),
        Happening::Start | Happening::Settled | Happening::Again(_) | Happening::Parked => None,
    }
}

fn asking(standing: Standing, kind: QuestionKind) -> Standing {
    let state = match kind {
        QuestionKind::Auth => TaskState::AuthRequired,
        QuestionKind::Permission | QuestionKind::OwnerPermission | QuestionKind::Elicitation => {
            TaskState::InputRequired
        }
    };
    Standing { state, ..standing }
}

fn removed(effects: &[Effect]) -> Next {
    let failure = Failure::new(
        "agent_removed",
        "the agent's directory was removed while the task waited; put it back and send the message again",
    );
    end(TaskState::Failed, Some(failure), effects)
}

/// Nothing of the task runs: a caller's wish ends it at once, the engine's own stop leaves it waiting.
fn stop_idle(cause: StopCause, standing: Standing, effects: &[Effect]) -> Next {
    match cause {
        StopCause::Shutdown => Next {
            standing,
            failure: None,
            effects: Vec::new(),
        },
        StopCause::Canceled => end(TaskState::Canceled, None, effects),
        StopCause::Deadline | StopCause::Idle | StopCause::TooMuchOutput => {
            end(TaskState::Failed, cause.failure(), effects)
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
            again: None,
            elsewhere: false,
        },
        failure,
        effects: effects.to_vec(),
    }
}

#[cfg(test)]
mod tests;
