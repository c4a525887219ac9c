//! What a mirror waits for, and what an answer, a fault and the time mean to that.

use a2a::{Message, TaskState, TaskStatus};
use mesh_agents_core::run::{Outcome, RunEvent};

use super::{Answered, Mirror, cancel};
use crate::remote::fault::Fault;
use crate::remote::question::Asked;

/// What it waits for.
#[derive(Debug)]
pub(super) enum Phase {
    /// The earlier task of the context.
    Context { earlier: String },
    /// The answer to a message.
    Sending { message: Box<Message>, stream: bool },
    /// The time to send it again.
    Resending { message: Box<Message> },
    /// News on a stream; so many came, and whether the task had a name when it began.
    Reading { events: u32, named: bool },
    /// How the task stands.
    Looking(Look),
    /// A stream of the task.
    Joining,
    /// The time to look or join again.
    Pausing(Look),
    /// An answer to what the remote asks.
    Asking(Box<Asking>),
    /// The end that was asked for.
    Canceling(cancel::Way),
    /// One look at a task that has ended without a final word in its stream.
    LastLook {
        state: TaskState,
        said: String,
        code: Option<String>,
    },
    /// That the remote was told to end; then this is the outcome.
    Leaving(Outcome),
    /// Nothing: it is over, or about to say what it waits for.
    Over,
}

/// What the remote asks, and the status that said so.
#[derive(Debug)]
pub(super) struct Asking {
    pub(super) asked: Asked,
    pub(super) status: TaskStatus,
}

/// Why the task is looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// To follow it again.
    Attach,
    /// Because it is not streamed.
    Poll,
}

impl Mirror {
    pub(super) fn answered(&mut self, answered: Answered) {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Context { .. } => self.context(answered),
            Phase::Sending { .. } => self.taken(answered),
            Phase::Looking(look) => match answered {
                Answered::Task(task) => self.looked(look, *task),
                _ => self.phase = Phase::Looking(look),
            },
            Phase::Joining => match answered {
                Answered::Stream => self.joined(),
                _ => self.phase = Phase::Joining,
            },
            Phase::Asking(asking) => match answered {
                Answered::Task(task) => self.still_asked(asking, *task),
                _ => self.wait_for_answer(asking),
            },
            Phase::Canceling(way) => match answered {
                Answered::Task(task) => self.canceling(way, *task),
                _ => self.phase = Phase::Canceling(way),
            },
            Phase::LastLook { state, said, code } => {
                if let Answered::Task(task) = answered {
                    self.take_last(*task);
                }
                // It may have answered with another task, which ends it otherwise.
                if !self.ended {
                    self.last_look_over(&state, &said, code.as_deref());
                }
            }
            Phase::Leaving(outcome) => self.end_other(outcome),
            other @ (Phase::Resending { .. }
            | Phase::Reading { .. }
            | Phase::Pausing(_)
            | Phase::Over) => self.phase = other,
        }
    }

    pub(super) fn failed(&mut self, fault: &Fault) {
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Context { earlier } => self.no_context(earlier, fault),
            Phase::Sending { message, stream } => self.not_sent(fault, message, stream),
            Phase::Looking(look) => self.out_of_reach(fault, look),
            Phase::Joining => self.not_joined(fault),
            Phase::Asking(asking) => {
                if fault.no_such_task() {
                    self.log(RunEvent::QuestionGone(asking.asked.id));
                    return self.forgotten();
                }
                if self.terms.on_mesh && fault.is_denial() {
                    self.log(RunEvent::QuestionGone(asking.asked.id));
                    return self.out_of_reach(fault, Look::Attach);
                }
                if self.terms.on_mesh && fault.is_lost_contact() {
                    self.miss(fault);
                }
                // The question stays open as long as questions do; nothing is lost by waiting.
                self.wait_for_answer(asking);
            }
            Phase::Canceling(way) => self.not_canceled(&way, fault),
            Phase::LastLook { state, said, code } => {
                self.last_look_over(&state, &said, code.as_deref());
            }
            Phase::Leaving(outcome) => {
                self.not_told(self.untold(fault));
                self.end_other(outcome);
            }
            other @ (Phase::Resending { .. }
            | Phase::Reading { .. }
            | Phase::Pausing(_)
            | Phase::Over) => self.phase = other,
        }
    }

    /// Whether it waits for nothing but the time of the next try.
    #[must_use]
    pub fn waits(&self) -> bool {
        let tries_again = match &self.phase {
            Phase::Context { .. } | Phase::Resending { .. } | Phase::Pausing(Look::Attach) => true,
            Phase::Canceling(way) => way.tries_again(),
            // What it asks may have been settled while it was out of reach.
            Phase::Asking(_) => self.lost,
            _ => false,
        };
        tries_again && self.timer.is_some()
    }

    /// The remote can be reached again: the next try is now.
    pub(super) fn back(&mut self) {
        if self.waits() {
            self.retry.reset();
            self.timer = Some(self.now);
            self.tick();
        }
    }

    pub(super) fn tick(&mut self) {
        if matches!(self.phase, Phase::Reading { .. }) && self.now >= self.alive {
            // Bytes still come, or the stream would have been cut for its silence.
            self.alive = self.now + self.terms.timeouts.activity;
            self.retry.reset();
            self.log(RunEvent::Activity);
        }
        if self.timer.is_none_or(|due| due > self.now) {
            return;
        }
        self.timer = None;
        match std::mem::replace(&mut self.phase, Phase::Over) {
            Phase::Context { earlier } => self.ask_context(earlier),
            Phase::Resending { message } => self.send(message),
            Phase::Pausing(Look::Attach) => self.attach(),
            Phase::Pausing(Look::Poll) => self.look(Look::Poll),
            Phase::Asking(asking) => self.look_at_question(asking),
            Phase::Canceling(way) => self.cancel_due(way),
            Phase::LastLook { state, said, code } => {
                self.last_look_over(&state, &said, code.as_deref());
            }
            Phase::Leaving(outcome) => self.end_other(outcome),
            other => self.phase = other,
        }
    }
}
