//! How a run begins: with a message, or with a remote task that is there already.

use std::collections::HashMap;

use a2a::{Message, Part, Role};
use mesh_agents_core::limits::OFFLINE_WAIT;
use mesh_agents_core::run::{Outcome, ResumeReason};
use mesh_agents_core::task::Failure;
use serde_json::Value;

use super::{Answered, End, Look, Mirror, Phase, Request};
use crate::remote::fault::{Fault, Stage};

/// Whether the remote may have the message that makes the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Said {
    /// It has heard nothing.
    No,
    /// The message is under way, or was when contact broke.
    Perhaps,
}

impl Mirror {
    /// The first step.
    pub(super) fn first(&mut self) {
        let Some(resume) = self.terms.resume.clone() else {
            return self.open_with(self.opening());
        };
        match resume.why {
            ResumeReason::Interrupted => {
                if self.terms.on_mesh {
                    // A node names its questions, so it shows whether the last one was told its answer.
                    self.late = self.terms.before.answer.take();
                }
                self.remote = Some(resume.session_id);
                self.attach();
            }
            ResumeReason::Answered => {
                // Whether the answer is still wanted is for the remote to say: it went on waiting by
                // itself.
                self.late = self.terms.before.answer.take();
                self.remote = Some(resume.session_id);
                self.look(Look::Attach);
            }
            ResumeReason::NextTask => self.ask_context(resume.session_id),
        }
    }

    /// A new task in the context the earlier one had.
    pub(super) fn context(&mut self, answered: Answered) {
        let mut message = self.opening();
        if let Answered::Task(task) = answered
            && !task.context_id.is_empty()
        {
            message.context_id = Some(task.context_id);
            message.reference_task_ids = Some(vec![task.id]);
        }
        self.open_with(message);
    }

    /// The earlier task cannot be read.
    pub(super) fn no_context(&mut self, earlier: String, fault: &Fault) {
        if self.terms.on_mesh && fault.is_lost_contact() {
            if self.is_overdue() {
                return self.undelivered(fault);
            }
            // A message with the context and one without would be two under one id.
            self.miss(fault);
            let pause = self.retry.next();
            return self.after(pause, Phase::Context { earlier });
        }
        let text = format!(
            "the remote agent could not tell the context of the earlier task {earlier} ({}); it starts without what was said before",
            fault.cause()
        );
        self.note("remote_context_lost", text);
        self.open_with(self.opening());
    }

    /// Asks for the earlier task of the context.
    pub(super) fn ask_context(&mut self, earlier: String) {
        let task = earlier.clone();
        self.request(Request::Get { task }, Phase::Context { earlier });
    }

    fn open_with(&mut self, message: Message) {
        let message = Box::new(message);
        self.first = Some(message.clone());
        self.send(message);
    }

    /// The message that makes the task. Its id is the same whenever this task is sent, so that an
    /// owner that keeps message ids knows a repeat.
    fn opening(&self) -> Message {
        let id = format!("{}:1", self.terms.task);
        message(id, self.terms.prompt.clone())
    }

    /// A further message to the task.
    pub(super) fn follow_up(&self, text: String, metadata: Value) -> Message {
        let (task, attempt) = (&self.terms.task, self.terms.attempt);
        let id = format!("{task}:{attempt}.{}", self.sent + 1);
        let metadata = match metadata {
            Value::Object(map) if !map.is_empty() => Some(HashMap::from_iter(map)),
            _ => None,
        };
        Message {
            task_id: self.remote.clone(),
            metadata,
            ..message(id, text)
        }
    }

    /// Sends a message.
    pub(super) fn send(&mut self, message: Box<Message>) {
        self.sent += 1;
        self.dispatch(message, self.terms.streaming);
    }

    fn dispatch(&mut self, message: Box<Message>, stream: bool) {
        self.sent_at = self.now;
        let phase = Phase::Sending {
            message: message.clone(),
            stream,
        };
        let after = self.seq;
        let request = Request::Send {
            message,
            stream,
            after,
        };
        self.request(request, phase);
    }

    /// The remote took the message.
    pub(super) fn taken(&mut self, answered: Answered) {
        match answered {
            // An answer: a node goes on behind what was applied.
            Answered::Stream if self.remote.is_some() => self.joined(),
            Answered::Stream => self.read(),
            Answered::Task(task) => {
                self.heard();
                let then = self.take_task(*task);
                self.go_on(then, Look::Poll);
            }
            Answered::Message(answer) => self.end(End::Message(*answer)),
        }
    }

    pub(super) fn not_sent(&mut self, fault: &Fault, message: Box<Message>, stream: bool) {
        // What is not offered was not taken: there is another way.
        if stream && fault.not_offered() && self.remote.is_none() {
            self.terms.streaming = false;
            let text = format!(
                "agent-card.json says that the remote agent streams, and it does not ({}); it is asked for news instead",
                fault.cause()
            );
            self.note("remote_not_streaming", text);
            return self.dispatch(message, false);
        }
        if self.remote.is_some() {
            // How the task stands tells whether the message arrived. What a node still asks is answered again, for
            // the answer was taken from the user already; another server's question is asked again.
            if self.terms.on_mesh && fault.is_lost_contact() {
                (self.terms.before.question, self.late) = self.answered.take().unzip();
                self.miss(fault);
                let pause = self.retry.next();
                return self.after(pause, Phase::Pausing(Look::Attach));
            }
            if !fault.is_lost_contact() {
                let text = format!(
                    "the remote agent did not take the answer: {}",
                    fault.cause()
                );
                self.note("remote_refused_answer", text);
                self.refused = Some(fault.cause());
            }
            return self.look(Look::Attach);
        }
        self.unanswered(fault, "answered");
    }

    /// The message that makes the task got no answer that names one.
    pub(super) fn unanswered(&mut self, fault: &Fault, before: &str) {
        let unheard = matches!(
            fault,
            Fault::Unconnected {
                stage: Stage::Refused | Stage::Other,
                ..
            }
        );
        if fault.may_have_arrived() {
            self.said = Said::Perhaps;
        }
        // A node knows the message again, so it is asked until it says what it made of it, as long as a message waits.
        let of_node = self.terms.on_mesh && fault.is_lost_contact();
        if of_node && self.is_overdue() {
            return self.undelivered(fault);
        }
        let known_again = of_node && (self.said == Said::Perhaps || !unheard);
        let early = self.now.saturating_sub(self.contact) < self.terms.timeouts.opening;
        if let Some(message) = self.first.clone()
            && (known_again || (unheard && early))
        {
            if self.terms.on_mesh {
                self.miss(fault);
            }
            let pause = self.retry.next();
            return self.after(pause, Phase::Resending { message });
        }
        let outcome = if unheard && self.terms.on_mesh {
            Outcome::Failed(Failure::new(
                "remote_unreachable",
                format!(
                    "{} cannot be reached ({}), and nothing was started there; send the message again, with queue_if_offline = true to have it wait for that node",
                    self.terms.url,
                    fault.cause()
                ),
            ))
        } else if fault.may_have_arrived() {
            Outcome::Interrupted(format!(
                "the connection to {} was lost before it {before} ({}), and it may have taken the message; look there before you send it again",
                self.terms.url,
                fault.cause()
            ))
        } else {
            self.failure_of(fault)
        };
        self.end(End::Other(outcome));
    }

    /// Whether the message that makes the task was sent again for as long as messages wait. A wish to end it has
    /// a limit of its own.
    fn is_overdue(&self) -> bool {
        let times = &self.terms.timeouts;
        let tried = self.now.saturating_sub(self.begun);
        self.cancel.is_none() && tried >= times.delivery.max(times.opening)
    }

    /// Ends because its node has not said what it made of the message, which was sent again all that time.
    fn undelivered(&mut self, fault: &Fault) {
        let (url, cause, hours) = (
            &self.terms.url,
            fault.cause(),
            OFFLINE_WAIT.as_secs() / 3600,
        );
        let message = match self.said {
            Said::Perhaps => format!(
                "{url} has not said within {hours} hours what it made of the message ({cause}), and is asked no more. The message may have arrived, and its task may run there, or have ended: ask that agent's owner before you send it again"
            ),
            Said::No => format!(
                "{url} has not taken the message within {hours} hours ({cause}), and it was given up; nothing was started there. Send it again when get_agents shows the node"
            ),
        };
        let failure = Failure::new("owner_offline", message);
        self.end(End::Other(Outcome::Failed(failure)));
    }
}

fn message(id: String, text: String) -> Message {
    Message {
        message_id: id,
        context_id: None,
        task_id: None,
        role: Role::User,
        parts: vec![Part::text(text)],
        metadata: None,
        extensions: None,
        reference_task_ids: None,
    }
}
