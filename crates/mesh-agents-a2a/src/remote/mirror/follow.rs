//! A task under way at the remote: its stream, looks at it, contact lost and found.

use std::time::Duration;

use a2a::{StreamResponse, Task};
use mesh_agents_core::limits::OFFLINE_WAIT;
use mesh_agents_core::run::{Outcome, RunEvent};
use mesh_agents_core::task::Failure;

use super::hear::Then;
use super::{Do, End, Look, Mirror, Phase, Request};
use crate::remote::fault::Fault;

impl Mirror {
    /// A stream is there.
    pub(super) fn read(&mut self) {
        self.timer = None;
        self.alive = self.now + self.terms.timeouts.activity;
        self.phase = Phase::Reading {
            events: 0,
            named: self.remote.is_some(),
        };
    }

    /// A stream of the task is there.
    pub(super) fn joined(&mut self) {
        // One that goes on behind what was applied says nothing until something happens.
        self.heard();
        if let Some(id) = self.remote.clone() {
            self.learn(&id);
        }
        self.read();
    }

    /// The stream said something.
    pub(super) fn event(&mut self, event: StreamResponse) {
        let Phase::Reading { events, named } = self.phase else {
            return;
        };
        self.heard();
        let events = events.saturating_add(1);
        // A first event that is only how the task stands is no progress.
        if events == 2 || !matches!(event, StreamResponse::Task(_)) {
            self.retry.reset();
        }
        let before = self.results.said().len();
        if let Then::Done = self.hear(event) {
            return;
        }
        self.mark(before);
        if !named && self.remote.is_some() {
            self.retry.reset();
        }
        let named = self.remote.is_some();
        self.phase = Phase::Reading { events, named };
    }

    /// The stream ended: with a fault, or without a word, which means that the task has ended, waits,
    /// or the server let go.
    pub(super) fn closed(&mut self, fault: Option<Fault>) {
        if !matches!(self.phase, Phase::Reading { .. }) {
            return;
        }
        let fault = match (fault, &self.remote) {
            (Some(fault @ Fault::TooLarge { .. }), Some(_)) => return self.give_up(&fault),
            (_, Some(_)) => return self.attach(),
            (Some(fault), None) => fault,
            // An engine that stops lets go of its streams.
            (None, None) if self.terms.on_mesh => Fault::Broken {
                cause: "the stream ended without a word".to_owned(),
            },
            (None, None) => Fault::Unreadable {
                cause: "a stream without an event".to_owned(),
            },
        };
        self.unanswered(&fault, "named the task");
    }

    /// Finds out how the task stands and follows it again.
    pub(super) fn attach(&mut self) {
        // A node's stream goes on behind what was applied, and begins with all that was missed.
        if self.terms.on_mesh && self.terms.streaming {
            self.join();
        } else {
            self.look(Look::Attach);
        }
    }

    /// Asks how the task stands.
    pub(super) fn look(&mut self, look: Look) {
        if let Some(task) = self.remote.clone() {
            self.request(Request::Get { task }, Phase::Looking(look));
        }
    }

    /// So it stands.
    pub(super) fn looked(&mut self, look: Look, task: Task) {
        self.heard();
        self.log(RunEvent::Activity);
        match look {
            Look::Attach => {
                if let Then::Done = self.take_task(task) {
                    return;
                }
                if self.terms.streaming {
                    self.join();
                } else {
                    self.retry.next();
                    self.go_on(Then::On, Look::Poll);
                }
            }
            Look::Poll => {
                self.retry.reset();
                let before = (self.results.said().len(), self.told.clone());
                let then = self.take_task(task);
                if before != (self.results.said().len(), self.told.clone()) {
                    self.poll.reset();
                }
                self.go_on(then, Look::Poll);
            }
        }
    }

    /// Asks for a stream of the task.
    fn join(&mut self) {
        let Some(task) = self.remote.clone() else {
            return;
        };
        let first = self.terms.timeouts.retry_first;
        // Who was waited for is heard at once.
        let pause = match self.lost && self.terms.on_mesh {
            true => Duration::ZERO,
            false => self.retry.next(),
        };
        let request = Request::Subscribe {
            task,
            after: self.seq,
            rest: if pause > first { pause } else { Duration::ZERO },
        };
        self.request(request, Phase::Joining);
    }

    /// There is no stream.
    pub(super) fn not_joined(&mut self, fault: &Fault) {
        match fault {
            // It ended just now, or cannot be subscribed to.
            Fault::Told { .. } if self.terms.on_mesh && !fault.no_such_task() => {
                self.look(Look::Poll);
            }
            Fault::Told { .. } => self.go_on(Then::On, Look::Poll),
            fault => self.out_of_reach(fault, Look::Attach),
        }
    }

    /// A look at a task failed: it is over where there is no use in another one, else after a pause.
    pub(super) fn out_of_reach(&mut self, fault: &Fault, look: Look) {
        if fault.no_such_task() {
            return self.forgotten();
        }
        if matches!(fault, Fault::TooLarge { .. }) {
            return self.give_up(fault);
        }
        if self.terms.on_mesh && fault.is_denial() {
            // Its owner has taken this node off its list. A proxy's 403 may pass, an owner's word stands.
            let outcome = self.failure_of(fault);
            return self.end(End::Other(outcome));
        }
        let limit = self.terms.timeouts.contact;
        if !self.terms.on_mesh && self.now.saturating_sub(self.contact) >= limit {
            let message = format!(
                "{} has been out of reach for {} s ({}); it may still run there, so look before you send the message again",
                self.remote_name(),
                limit.as_secs(),
                fault.cause()
            );
            let failure = Failure::new("remote_unreachable", message);
            return self.end(End::Other(Outcome::Failed(failure)));
        }
        self.miss(fault);
        let pause = self.retry.next();
        self.after(pause, Phase::Pausing(look));
    }

    /// Contact is lost, or the remote takes nothing now; that is told once.
    pub(super) fn miss(&mut self, fault: &Fault) {
        if let Fault::Later { words } = fault {
            self.heard();
            if !std::mem::replace(&mut self.busy, true) {
                let text = format!(
                    "{} takes nothing now ({words}); it is asked again until it does",
                    self.terms.url
                );
                self.note("remote_busy", text);
            }
            return;
        }
        if std::mem::replace(&mut self.lost, true) {
            return;
        }
        self.log(RunEvent::Reach {
            away: Some(fault.cause()),
        });
        let then = match (self.terms.on_mesh, &self.remote) {
            (true, Some(_)) => {
                "the task may go on there, and is looked for until its node is there again"
                    .to_owned()
            }
            (true, None) => format!(
                "the node has not said what it made of the message, which is sent again under its id until it does, or {} hours have passed since it was first sent",
                OFFLINE_WAIT.as_secs() / 3600
            ),
            (false, _) => format!(
                "the task may go on there, and is looked for until {} s have passed",
                self.terms.timeouts.contact.as_secs()
            ),
        };
        let text = format!(
            "contact with {} is lost ({}); {then}",
            self.terms.url,
            fault.cause()
        );
        self.note("remote_unreachable", text);
    }

    /// The remote does not know the task.
    pub(super) fn forgotten(&mut self) {
        let what = format!("{} is no longer known there", self.remote_name());
        let outcome = if self.terms.resume.is_some() && !self.announced {
            Outcome::Interrupted(what)
        } else {
            Outcome::Failed(Failure::new(
                "remote_task_lost",
                format!(
                    "{what}: the remote agent lost or deleted it while it ran; send the message again"
                ),
            ))
        };
        self.end(End::Other(outcome));
    }

    /// What the remote sends cannot be read on: the task is ended there too.
    fn give_up(&mut self, fault: &Fault) {
        let outcome = self.failure_of(fault);
        self.leave(outcome);
    }

    /// Ends with this once the remote was told to end.
    pub(super) fn leave(&mut self, outcome: Outcome) {
        let Some(task) = self.remote.clone() else {
            return self.end_other(outcome);
        };
        self.out.push_back(Do::Request(Request::Cancel { task }));
        self.after(self.terms.timeouts.cancel, Phase::Leaving(outcome));
    }
}
