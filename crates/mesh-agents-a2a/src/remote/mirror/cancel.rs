//! The end of a run at our wish: the remote is told. An HTTP server within the time a cancel may take;
//! a node as soon as it is there, since what runs must not be called canceled; one that does not come
//! back for as long as a message would wait for it, or says nothing at all, is not waited for.

use std::time::Duration;

use a2a::{Task, TaskState, error_code};
use mesh_agents_core::limits::OFFLINE_WAIT;
use mesh_agents_core::run::Outcome;

use super::open::Said;
use super::{End, Mirror, NAMING, Now, Phase, Request};
use crate::remote::fault::{Fault, words};

/// Between looks at a task whose end was asked for.
const LOOK: Duration = Duration::from_millis(50);

/// How far a cancel has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Way {
    /// When it is given up.
    deadline: Now,
    step: Step,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    /// The remote is being told.
    Tell,
    /// It was told, and its end is looked for.
    Look,
    /// It says that it cannot, in these words; mostly it has just ended.
    Refused(String),
    /// It could not be told.
    Again,
    /// It has not ended yet.
    Wait,
}

impl Way {
    /// Whether the remote could not be told, and will be tried again.
    pub(super) fn tries_again(&self) -> bool {
        self.step == Step::Again
    }
}

impl Mirror {
    /// When a cancel gives up waiting for the name of a task.
    pub(super) fn naming(&self) -> Option<Now> {
        let at = self.cancel?;
        if self.remote.is_some() || self.is_over() {
            return None;
        }
        if !self.terms.on_mesh {
            return Some(at.saturating_add(NAMING));
        }
        // A node that is away is waited for as a message would wait for it, and one that says nothing is not.
        let limit = at.saturating_add(OFFLINE_WAIT);
        let silent = self.terms.timeouts.silent;
        let due = match &self.phase {
            Phase::Sending { .. } => at.max(self.sent_at).saturating_add(silent),
            _ => limit,
        };
        Some(due.min(limit))
    }

    /// Begins a cancel that was asked for, as soon as it can.
    pub(super) fn heed_cancel(&mut self) {
        let Some(at) = self.cancel else { return };
        match &self.phase {
            Phase::Canceling(_) | Phase::LastLook { .. } | Phase::Leaving(_) | Phase::Over => {}
            // It has heard nothing of it yet, and will not.
            Phase::Context { .. } if self.said == Said::No || !self.terms.on_mesh => {
                self.over(Outcome::Canceled);
            }
            Phase::Resending { .. } if self.terms.on_mesh && self.said == Said::No => {
                self.over(Outcome::Canceled);
            }
            _ if self.remote.is_some() => {
                let limit = match self.terms.on_mesh {
                    true => OFFLINE_WAIT,
                    false => self.terms.timeouts.cancel,
                };
                self.poll.reset();
                self.tell(at.saturating_add(limit));
            }
            // A node is asked until it names the task; then it is told.
            _ if self.naming().is_some_and(|due| due <= self.now) => {
                let text = format!(
                    "{} had not yet said which task it made of the message, so it could not be told; it may go on there",
                    self.terms.url
                );
                self.not_told(text);
                self.over(Outcome::Canceled);
            }
            _ => {}
        }
    }

    fn tell(&mut self, deadline: Now) {
        let Some(task) = self.remote.clone() else {
            return;
        };
        let step = Step::Tell;
        let way = Way { deadline, step };
        self.request(Request::Cancel { task }, Phase::Canceling(way));
        self.timer = Some(deadline);
    }

    fn look_for_end(&mut self, deadline: Now, step: Step) {
        let Some(task) = self.remote.clone() else {
            return;
        };
        let way = Way { deadline, step };
        self.request(Request::Get { task }, Phase::Canceling(way));
        self.timer = Some(deadline);
    }

    fn pause(&mut self, pause: Duration, deadline: Now, step: Step) {
        let way = Way { deadline, step };
        self.after(pause, Phase::Canceling(way));
        self.timer = self.timer.map(|at| at.min(deadline));
    }

    /// The remote answered.
    pub(super) fn canceling(&mut self, way: Way, task: Task) {
        self.heard();
        let deadline = way.deadline;
        if task.status.state.is_terminal() {
            return self.ended_as(task);
        }
        match way.step {
            Step::Refused(why) => {
                let text = format!(
                    "{} goes on: the remote agent does not cancel it ({why})",
                    self.remote_name()
                );
                self.not_told(text);
                self.end_other(Outcome::Canceled);
            }
            // Whose answer to the wish is a task that goes on ends it a little later.
            Step::Tell | Step::Look | Step::Again | Step::Wait => {
                let pause = match self.terms.on_mesh {
                    true => LOOK.max(self.poll.next()),
                    false => LOOK,
                };
                self.pause(pause, deadline, Step::Wait);
            }
        }
    }

    /// It could not be told, or looked at.
    pub(super) fn not_canceled(&mut self, way: &Way, fault: &Fault) {
        let deadline = way.deadline;
        if let (
            Step::Tell,
            Fault::Told {
                code: error_code::TASK_NOT_CANCELABLE | error_code::UNSUPPORTED_OPERATION,
                words: why,
            },
        ) = (&way.step, fault)
        {
            // Usually it has just ended; what it ended as is the truth.
            return self.look_for_end(deadline, Step::Refused(words(why)));
        }
        if self.terms.on_mesh && fault.is_lost_contact() {
            self.miss(fault);
            let pause = self.retry.next();
            return self.pause(pause, deadline, Step::Again);
        }
        self.not_told(self.untold(fault));
        self.end_other(Outcome::Canceled);
    }

    /// The time of a step is over.
    pub(super) fn cancel_due(&mut self, way: Way) {
        if way.deadline <= self.now {
            let text = format!(
                "{} was asked to end and has not confirmed it; it may go on there",
                self.remote_name()
            );
            self.not_told(text);
            return self.end_other(Outcome::Canceled);
        }
        match way.step {
            Step::Again => self.tell(way.deadline),
            step => self.look_for_end(way.deadline, step_after(step)),
        }
    }

    fn ended_as(&mut self, task: Task) {
        let canceled = task.status.state == TaskState::Canceled;
        let status = self.news(task);
        match status {
            _ if self.is_over() => {}
            Some(status) if !canceled => self.end(End::Task {
                status,
                whole: true,
            }),
            _ => self.end_other(Outcome::Canceled),
        }
    }

    /// What is told of a remote that could not be told.
    pub(super) fn untold(&self, fault: &Fault) -> String {
        format!(
            "{} could not be told to end ({}); it may go on there",
            self.remote_name(),
            fault.cause()
        )
    }

    pub(super) fn not_told(&mut self, text: String) {
        self.note("remote_not_told", text);
    }
}

fn step_after(step: Step) -> Step {
    match step {
        Step::Refused(why) => Step::Refused(why),
        Step::Tell | Step::Look | Step::Again | Step::Wait => Step::Look,
    }
}
