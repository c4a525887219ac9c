//! A task under way at the remote: its stream, looks at it, contact lost and found, questions.

use futures::StreamExt as _;
use mesh_agents_core::run::{Answer, Outcome, QuestionKind, RunEvent};
use mesh_agents_core::task::Failure;
use tokio::time::{MissedTickBehavior, interval_at, sleep};

use a2a::TaskStatus;

use super::{End, Step, Talk};
use crate::remote::call::Stream;
use crate::remote::fault::Fault;
use crate::remote::question::{self, Asked};

impl Talk {
    /// Reads a stream until it says something to act on, or ends.
    pub(super) async fn read(&mut self, mut stream: Stream) -> Step {
        let named = self.remote.is_some();
        let period = self.timeouts.activity;
        let mut alive = interval_at(tokio::time::Instant::now() + period, period);
        alive.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut events = 0_u32;
        loop {
            tokio::select! {
                item = stream.next() => match item {
                    Some(Ok(event)) => {
                        self.heard().await;
                        events = events.saturating_add(1);
                        // The first event is only how the task stands; a second one is progress.
                        if events == 2 {
                            self.retry.reset();
                        }
                        if let Some(step) = self.take(event).await {
                            return step;
                        }
                        if !named && self.remote.is_some() {
                            // From here on a cancel need not wait for the name of the task.
                            self.retry.reset();
                            return Step::Read(stream);
                        }
                    }
                    Some(Err(fault)) => return self.cut(fault).await,
                    None => return self.closed(),
                },
                // Bytes still come, or the stream would have been cut for its silence.
                _ = alive.tick() => self.emit(RunEvent::Activity).await,
            }
        }
    }

    /// The stream ended with a fault.
    async fn cut(&mut self, fault: Fault) -> Step {
        if self.remote.is_none() {
            let outcome = if fault.may_have_arrived() {
                Outcome::Interrupted(format!(
                    "the connection to {} was lost before it named the task ({}), and it may have taken the message; look there before you send it again",
                    self.url,
                    fault.cause()
                ))
            } else {
                Outcome::Failed(fault.failure(&self.url, self.bearer_env.as_deref()))
            };
            return Step::Over(End::Other(outcome));
        }
        if matches!(fault, Fault::TooLarge { .. }) {
            return self.give_up(&fault).await;
        }
        tracing::debug!(task = %self.spec.task_id, cause = %fault.cause(), "a stream was cut");
        Step::Attach
    }

    /// The stream ended without a word: the task has ended, waits, or the server let go.
    fn closed(&self) -> Step {
        if self.remote.is_some() {
            return Step::Attach;
        }
        let fault = Fault::Unreadable {
            cause: "a stream without an event".to_owned(),
        };
        Step::Over(End::Other(Outcome::Failed(
            fault.failure(&self.url, self.bearer_env.as_deref()),
        )))
    }

    /// Finds out how the task stands and follows it again; tries until contact counts as lost.
    pub(super) async fn attach(&mut self) -> Step {
        let Some(id) = self.remote.clone() else {
            return self.closed();
        };
        loop {
            match self.caller.get(&id).await {
                Ok(task) => {
                    self.heard().await;
                    self.emit(RunEvent::Activity).await;
                    if let Some(step) = self.take_task(task).await {
                        return step;
                    }
                    let pause = self.retry.next();
                    if !self.streaming {
                        return Step::Poll;
                    }
                    match self.caller.subscribe(&id).await {
                        Ok(stream) => {
                            // A server that takes subscribers and drops them must not be flooded.
                            if pause > self.timeouts.retry_first {
                                sleep(pause).await;
                            }
                            return Step::Read(stream);
                        }
                        // It ended just now, or cannot be subscribed to.
                        Err(Fault::Told { .. }) => return Step::Poll,
                        Err(fault) => {
                            if let Some(step) = self.out_of_reach(fault).await {
                                return step;
                            }
                        }
                    }
                }
                Err(fault) => {
                    if let Some(step) = self.out_of_reach(fault).await {
                        return step;
                    }
                }
            }
        }
    }

    /// A look at a task failed: a step when there is no use in another one, else after a pause.
    async fn out_of_reach(&mut self, fault: Fault) -> Option<Step> {
        if fault.no_such_task() {
            return Some(self.forgotten());
        }
        if matches!(fault, Fault::TooLarge { .. }) {
            return Some(self.give_up(&fault).await);
        }
        if self.on_mesh && fault.is_denial() {
            // Its owner has taken this node off its list. A proxy's 403 may pass, an owner's word stands.
            let failure = fault.failure(&self.url, self.bearer_env.as_deref());
            return Some(Step::Over(End::Other(Outcome::Failed(failure))));
        }
        if self.contact.elapsed() >= self.timeouts.contact {
            let limit = self.timeouts.contact.as_secs();
            let message = format!(
                "{} has been out of reach for {limit} s ({}); it may still run there, so look before you send the message again",
                self.remote_name(),
                fault.cause()
            );
            let failure = Failure::new("remote_unreachable", message);
            return Some(Step::Over(End::Other(Outcome::Failed(failure))));
        }
        if !std::mem::replace(&mut self.lost, true) {
            let until = match self.on_mesh {
                true => "its node is there again".to_owned(),
                false => format!("{} s have passed", self.timeouts.contact.as_secs()),
            };
            let text = format!(
                "contact with {} is lost ({}); the task may go on there, and is looked for until {until}",
                self.url,
                fault.cause(),
            );
            self.note("remote_unreachable", text).await;
        }
        let pause = self.retry.next();
        sleep(pause).await;
        None
    }

    /// The remote does not know the task.
    fn forgotten(&self) -> Step {
        let what = format!("{} is no longer known there", self.remote_name());
        let outcome = if self.spec.resume.is_some() && !self.announced {
            Outcome::Interrupted(what)
        } else {
            Outcome::Failed(Failure::new(
                "remote_task_lost",
                format!(
                    "{what}: the remote agent lost or deleted it while it ran; send the message again"
                ),
            ))
        };
        Step::Over(End::Other(outcome))
    }

    /// What the remote sends cannot be read on: the task is ended there too.
    async fn give_up(&mut self, fault: &Fault) -> Step {
        self.tell_remote().await;
        let failure = fault.failure(&self.url, self.bearer_env.as_deref());
        Step::Over(End::Other(Outcome::Failed(failure)))
    }

    /// Looks at the task after a pause.
    pub(super) async fn look(&mut self) -> Step {
        let Some(id) = self.remote.clone() else {
            return self.closed();
        };
        let pause = self.poll.next();
        sleep(pause).await;
        match self.caller.get(&id).await {
            Ok(task) => {
                self.heard().await;
                self.retry.reset();
                self.emit(RunEvent::Activity).await;
                let before = (self.results.said().len(), self.told.clone());
                if let Some(step) = self.take_task(task).await {
                    return step;
                }
                if before != (self.results.said().len(), self.told.clone()) {
                    self.poll.reset();
                }
                Step::Poll
            }
            Err(fault) => self.out_of_reach(fault).await.unwrap_or(Step::Poll),
        }
    }

    /// Asks what the remote asks and waits for the answer, or for the remote to need none any more.
    pub(super) async fn ask(&mut self, status: TaskStatus) -> Step {
        self.asked += 1;
        let asked = question::of(&status, &self.spec.run_id, self.asked);
        self.emit(RunEvent::Question {
            id: asked.id.clone(),
            kind: asked.kind,
            text: asked.text.clone(),
            options: asked.options.clone(),
        })
        .await;
        self.poll.reset();
        loop {
            let pause = self.poll.next() * 2;
            tokio::select! {
                answer = self.answers.recv() => match answer {
                    Some((id, _)) if id != asked.id => {}
                    Some((_, answer)) => return self.reply(&asked, &answer).await,
                    // Nobody can answer any more; the engine is ending the run.
                    None => std::future::pending().await,
                },
                () = sleep(pause) => {
                    if let Some(step) = self.still_asked(&status).await {
                        self.emit(RunEvent::QuestionGone(asked.id)).await;
                        return step;
                    }
                }
            }
        }
    }

    /// What follows from an answer.
    pub(super) async fn reply(&mut self, asked: &Asked, answer: &Answer) -> Step {
        self.poll.reset();
        self.retry.reset();
        if asked.kind == QuestionKind::Auth && *answer == Answer::Declined {
            return self.no_login(&asked.text).await;
        }
        let (text, data) = asked.reply(answer);
        Step::Send(self.follow_up(text, data))
    }

    /// Whether the remote still waits: a step when it does not.
    async fn still_asked(&mut self, status: &TaskStatus) -> Option<Step> {
        let id = self.remote.clone()?;
        match self.caller.get(&id).await {
            Ok(task) => {
                self.heard().await;
                let now = task.status.clone();
                let step = self.take_task(task).await;
                let same = now.state == status.state && now.message == status.message;
                (!same).then(|| step.unwrap_or(Step::Attach))
            }
            Err(fault) if fault.no_such_task() => Some(self.forgotten()),
            // The question stays open as long as questions do; nothing is lost by waiting.
            Err(_) => None,
        }
    }

    async fn no_login(&mut self, text: &str) -> Step {
        self.tell_remote().await;
        let message = format!(
            "the remote agent needs a login and nobody gave it: {text}; log in as it says, then send the message again"
        );
        let failure = Failure::new("remote_auth_required", message);
        Step::Over(End::Other(Outcome::Failed(failure)))
    }
}
