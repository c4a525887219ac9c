//! How a run begins: with a message, or with a remote task that is there already.

use std::collections::HashMap;

use a2a::{Message, Part, Role, SendMessageResponse};
use mesh_agents_core::run::{Outcome, ResumeReason};
use serde_json::Value;
use tokio::time::sleep;

use super::{End, Step, Talk};
use crate::remote::fault::{Fault, Stage};
use crate::remote::question;

impl Talk {
    /// The first step.
    pub(super) async fn first(&mut self) -> Step {
        let Some(resume) = self.spec.resume.clone() else {
            return Step::Send(self.opening());
        };
        match resume.why {
            ResumeReason::Interrupted => {
                self.remote = Some(resume.session_id);
                Step::Attach
            }
            ResumeReason::Answered => {
                self.remote = Some(resume.session_id);
                self.late_answer().await
            }
            ResumeReason::NextTask => self.next_task(&resume.session_id).await,
        }
    }

    /// The answer that came while no run was there to pass it on. Whether it is still wanted is for
    /// the remote to say: it went on waiting by itself.
    async fn late_answer(&mut self) -> Step {
        let step = self.attach().await;
        match (step, self.spec.before.answer.take()) {
            (Step::Ask(status), Some(answer)) => {
                let asked = question::of(&status, &self.spec.run_id, 0);
                self.reply(&asked, &answer).await
            }
            (step, _) => step,
        }
    }

    /// A new task in the context the earlier one had.
    async fn next_task(&mut self, earlier: &str) -> Step {
        let mut message = self.opening();
        match self.caller.get(earlier).await {
            Ok(task) if !task.context_id.is_empty() => {
                message.context_id = Some(task.context_id);
                message.reference_task_ids = Some(vec![task.id]);
            }
            Ok(_) => {}
            Err(fault) => {
                let text = format!(
                    "the remote agent could not tell the context of the earlier task {earlier} ({}); it starts without what was said before",
                    fault.cause()
                );
                self.note("remote_context_lost", text).await;
            }
        }
        Step::Send(message)
    }

    /// The message that makes the task. Its id is the same whenever this task is sent, so that an
    /// owner that keeps message ids knows a repeat.
    fn opening(&self) -> Message {
        let id = format!("{}:1", self.spec.task_id);
        message(id, self.spec.prompt.clone())
    }

    /// A further message to the task.
    pub(super) fn follow_up(&self, text: String, metadata: Value) -> Message {
        let (task, attempt) = (&self.spec.task_id, self.spec.attempt);
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
    pub(super) async fn send(&mut self, message: Message) -> Step {
        self.sent += 1;
        if self.streaming {
            match self.caller.stream(message.clone()).await {
                Ok(stream) => return Step::Read(stream),
                // What is not offered was not taken: there is another way.
                Err(fault) if fault.not_offered() && self.remote.is_none() => {
                    self.streaming = false;
                    let text = format!(
                        "agent-card.json says that the remote agent streams, and it does not ({}); it is asked for news instead",
                        fault.cause()
                    );
                    self.note("remote_not_streaming", text).await;
                }
                Err(fault) => return self.not_sent(fault, message).await,
            }
        }
        match self.caller.send(message.clone()).await {
            Ok(SendMessageResponse::Task(task)) => {
                self.heard().await;
                self.take_task(task).await.unwrap_or(Step::Poll)
            }
            Ok(SendMessageResponse::Message(answer)) => Step::Over(End::Message(answer)),
            Err(fault) => self.not_sent(fault, message).await,
        }
    }

    async fn not_sent(&mut self, fault: Fault, message: Message) -> Step {
        if self.remote.is_some() {
            // How the task stands tells whether the message arrived; an open question is asked again.
            if !fault.is_lost_contact() {
                let text = format!(
                    "the remote agent did not take the answer: {}",
                    fault.cause()
                );
                self.note("remote_refused_answer", text).await;
            }
            return Step::Attach;
        }
        let unheard = matches!(
            fault,
            Fault::Unconnected {
                stage: Stage::Refused | Stage::Other,
                ..
            }
        );
        if unheard && self.contact.elapsed() < self.timeouts.opening {
            let pause = self.retry.next();
            sleep(pause).await;
            return Step::Send(message);
        }
        let outcome = if fault.may_have_arrived() {
            Outcome::Interrupted(format!(
                "the connection to {} was lost before it answered ({}), and it may have taken the message; look there before you send it again",
                self.url,
                fault.cause()
            ))
        } else {
            Outcome::Failed(fault.failure(&self.url, self.bearer_env.as_deref()))
        };
        Step::Over(End::Other(outcome))
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
