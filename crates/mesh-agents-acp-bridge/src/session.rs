//! One ACP session: initialize, open, prompt, and the answers to what the harness asks meanwhile.
//!
//! Requests and their answers go through the SDK's connection. Notifications never reach it: they
//! are taken from the line stream before ([`transport`]), so that updates are handled in wire order
//! and no faster than the engine takes them, and so that kinds nobody knows yet do no harm.

mod elicitation;
mod feed;
mod grant;
mod login;
mod opening;
mod permission;
mod prompt;
mod questions;
mod requests;
mod transport;
mod updates;

use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use agent_client_protocol::v1::{ConnectionTo, Responder};
use agent_client_protocol::{
    Agent, Client, Error, ErrorCode, Lines, UntypedMessage, is_connection_terminated,
    is_incoming_transport_closed, on_receive_request,
};
use mesh_agents_core::run::RunSpec;
use mesh_agents_core::task::Failure;
use serde_json::{Value, json};
use tokio::net::unix::pipe;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::Timeouts;
use crate::plan::LaunchPlan;
use crate::verdict::SessionEnd;

use grant::Grant;
use opening::Opened;

pub(crate) use feed::Feed;
pub(crate) use questions::Questions;
pub(crate) use transport::{Incoming, read_lines};

/// How long the SDK may take to wind up once the session has ended; its sink may be blocked by a
/// harness that no longer reads.
const WIND_UP: Duration = Duration::from_millis(100);

/// What a session needs to know.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    pub(crate) spec: &'a RunSpec,
    pub(crate) plan: &'a LaunchPlan,
    pub(crate) workspace: &'a Path,
    /// Whether the session to go on in works elsewhere, where nobody knows.
    pub(crate) lost: bool,
    pub(crate) timeouts: &'a Timeouts,
    pub(crate) cancel: &'a CancellationToken,
    pub(crate) feed: &'a Arc<Feed>,
    pub(crate) questions: &'a Arc<Questions>,
}

/// Why a talk ended early.
enum Broken {
    /// The harness closed the line.
    Gone,
    /// The earlier session could not be taken up again, for this reason.
    Lost(String),
    /// Anything else.
    Failed(Failure),
}

impl From<Failure> for Broken {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl Session<'_> {
    /// Holds the session to its end. Stdin is closed when this returns.
    pub(crate) async fn hold(&self, stdin: pipe::Sender, incoming: Incoming) -> SessionEnd {
        let sink = transport::sink(stdin, Arc::clone(self.feed));
        let lines = Lines::new(sink, incoming.into_stream());
        let requests = Arc::new(requests::Requests {
            approval: self.spec.agent.policy.approval,
            grant: self.grant(),
            cancel: self.cancel.clone(),
            feed: Arc::clone(self.feed),
            questions: Arc::clone(self.questions),
            places: Arc::new(Semaphore::new(requests::WAITING)),
        });
        let end = OnceLock::new();
        let connection = Client
            .v1()
            .name("mesh-agents")
            .on_receive_request(
                async move |request: UntypedMessage,
                            responder: Responder<Value>,
                            cx: ConnectionTo<Agent>| {
                    requests.take(request, responder, &cx).await
                },
                on_receive_request!(),
            )
            .connect_with(lines, async |cx: ConnectionTo<Agent>| {
                let reached = self.talk_or_cancel(&cx).await;
                let _ = end.set(reached);
                Ok(())
            });
        let closed = tokio::select! {
            result = connection => result,
            () = self.overdue(&end) => Ok(()),
        };
        let end = end.into_inner().unwrap_or_else(|| match closed {
            _ if self.cancel.is_cancelled() => SessionEnd::Cancelled,
            Err(error) if !is_closed(&error) => {
                SessionEnd::Failed(acp_failure("the connection", &error))
            }
            _ => SessionEnd::Gone,
        });
        match self.feed.fatal() {
            Some(failure) if end == SessionEnd::Gone => SessionEnd::Failed(failure.clone()),
            _ => end,
        }
    }

    /// What the harness may touch without a question: the files of its run.
    fn grant(&self) -> Grant {
        let (dirs, policy) = (&self.spec.dirs, &self.spec.agent.policy);
        let mut write = vec![self.workspace.to_path_buf(), dirs.artifacts()];
        write.extend(policy.write.iter().cloned());
        let mut read = vec![dirs.root.clone(), self.spec.agent.dir.clone()];
        read.extend(policy.read.iter().cloned());
        Grant { write, read }
    }

    /// Over when the session has ended, or was cancelled, and the SDK has still not wound up.
    async fn overdue(&self, end: &OnceLock<SessionEnd>) {
        tokio::select! {
            () = async {
                self.cancel.cancelled().await;
                tokio::time::sleep(self.timeouts.cancel_answer).await;
            } => {}
            () = self.feed.ended() => {}
        }
        if end.get().is_none() {
            // The line is closed; give what was read before the chance to be heard.
            tokio::time::sleep(WIND_UP).await;
        }
        tokio::time::sleep(WIND_UP).await;
    }

    async fn talk_or_cancel(&self, cx: &ConnectionTo<Agent>) -> SessionEnd {
        let mut talk = pin!(self.talk(cx));
        tokio::select! {
            biased;
            end = &mut talk => {
                self.feed.end();
                return match end {
                    Ok(reason) => SessionEnd::Answered(reason),
                    Err(Broken::Gone) => SessionEnd::Gone,
                    Err(Broken::Lost(why)) => SessionEnd::Lost(why),
                    Err(Broken::Failed(failure)) => SessionEnd::Failed(failure),
                };
            }
            () = self.cancel.cancelled() => {}
        }
        if let Some(session) = self.feed.session() {
            let cancel = UntypedMessage::new("session/cancel", json!({ "sessionId": session }));
            // A harness that cannot be told is ended by the guard all the same.
            let _ = cancel.and_then(|cancel| cx.send_notification(cancel));
            let _ = timeout(self.timeouts.cancel_answer, talk).await;
        }
        SessionEnd::Cancelled
    }

    /// Initialize, open, prompt. Returns the stop reason.
    async fn talk(&self, cx: &ConnectionTo<Agent>) -> Result<String, Broken> {
        let agent = self.initialize(cx).await?;
        let Opened { session, resumed } = self.open(cx, &agent).await?;
        let text = prompt::text(self.spec, resumed);
        let prompt = json!({
            "sessionId": session,
            "prompt": [{ "type": "text", "text": text }],
        });
        self.feed.collect(true);
        let answer = self.call(cx, &agent, "session/prompt", &prompt, None).await;
        self.feed.collect(false);
        let answer = answer?;
        let reason = answer.get("stopReason").and_then(Value::as_str);
        reason.map(str::to_owned).ok_or_else(|| {
            Broken::Failed(Failure::new(
                "acp_error",
                "session/prompt was answered without a stopReason; the harness does not speak ACP v1: check runtime.command",
            ))
        })
    }
}

async fn request(cx: &ConnectionTo<Agent>, method: &str, params: Value) -> Result<Value, Broken> {
    let answer = match UntypedMessage::new(method, params) {
        Ok(request) => cx.send_request(request).block_task().await,
        Err(error) => Err(error),
    };
    answer.map_err(|error| {
        if is_closed(&error) {
            Broken::Gone
        } else {
            Broken::Failed(acp_failure(method, &error))
        }
    })
}

fn is_closed(error: &Error) -> bool {
    is_incoming_transport_closed(error) || is_connection_terminated(error)
}

fn acp_failure(method: &str, error: &Error) -> Failure {
    let mut cause = error.message.clone();
    if let Some(data) = &error.data {
        let data = data
            .as_str()
            .map_or_else(|| data.to_string(), str::to_owned);
        // Some harnesses put a whole stack there.
        cause.push_str(": ");
        cause.extend(data.chars().take(2_000));
    }
    if error.code == ErrorCode::AUTH_REQUIRED {
        return Failure::new(
            login::AUTH_REQUIRED,
            format!(
                "the harness wants a login ({method}: {cause}); log in with the harness itself and set runtime.config = \"user\", or pass its key by runtime.inherit_env"
            ),
        );
    }
    Failure::new(
        "acp_error",
        format!(
            "{method} failed: {cause} (code {}); see `agents logs`",
            i32::from(error.code)
        ),
    )
}
