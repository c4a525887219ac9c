//! The end of a run at our wish: the remote is told, within the time a cancel may take.

use std::time::Duration;

use a2a::{Task, error_code};
use mesh_agents_core::run::Outcome;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::{End, Step, Talk};
use crate::remote::fault::Fault;

/// Between looks at a task whose end was asked for.
const LOOK: Duration = Duration::from_millis(50);

impl Talk {
    /// Ends the remote task. `since` is when the end was asked for.
    pub(super) async fn cancel_remote(mut self, since: Instant) -> Outcome {
        let Some(id) = self.remote.clone() else {
            if self.sent > 0 {
                let text = format!(
                    "{} had not yet said which task it made of the message, so it could not be told; it may go on there",
                    self.url
                );
                self.note("remote_not_told", text).await;
            }
            return Outcome::Canceled;
        };
        let deadline = since + self.timeouts.cancel;
        match timeout_at(deadline, self.ended(&id)).await {
            Ok(Ok(task)) => self.ended_as(task).await,
            Ok(Err(why)) => {
                self.note("remote_not_told", why).await;
                self.partial().await;
                Outcome::Canceled
            }
            Err(_) => {
                let text = format!(
                    "{} was asked to end and has not confirmed it; it may go on there",
                    self.remote_name()
                );
                self.note("remote_not_told", text).await;
                self.partial().await;
                Outcome::Canceled
            }
        }
    }

    /// Asks for the end and waits for it. The task at its end, or why it cannot be had.
    async fn ended(&self, id: &str) -> Result<Task, String> {
        let mut task = match self.caller.cancel(id).await {
            Ok(task) => task,
            Err(Fault::Told {
                code: error_code::TASK_NOT_CANCELABLE | error_code::UNSUPPORTED_OPERATION,
                words,
            }) => {
                // Usually it has just ended; what it ended as is the truth.
                let task = self
                    .caller
                    .get(id)
                    .await
                    .map_err(|fault| self.untold(&fault))?;
                if !task.status.state.is_terminal() {
                    return Err(format!(
                        "{} goes on: the remote agent does not cancel it ({words})",
                        self.remote_name()
                    ));
                }
                task
            }
            Err(fault) => return Err(self.untold(&fault)),
        };
        while !task.status.state.is_terminal() {
            sleep(LOOK).await;
            task = self
                .caller
                .get(id)
                .await
                .map_err(|fault| self.untold(&fault))?;
        }
        Ok(task)
    }

    fn untold(&self, fault: &Fault) -> String {
        format!(
            "{} could not be told to end ({}); it may go on there",
            self.remote_name(),
            fault.cause()
        )
    }

    async fn ended_as(mut self, task: Task) -> Outcome {
        let canceled = task.status.state == a2a::TaskState::Canceled;
        match self.take_task(task).await {
            Some(Step::Over(end @ End::Task { .. })) if !canceled => self.end(end).await,
            Some(Step::Over(End::Other(outcome))) => outcome,
            _ => {
                self.partial().await;
                Outcome::Canceled
            }
        }
    }

    /// Asks the remote to end the task without waiting for more than its answer.
    pub(super) async fn tell_remote(&self) {
        let Some(id) = &self.remote else { return };
        if let Ok(Err(fault)) = timeout(self.timeouts.cancel, self.caller.cancel(id)).await {
            self.note("remote_not_told", self.untold(&fault)).await;
        }
    }
}
