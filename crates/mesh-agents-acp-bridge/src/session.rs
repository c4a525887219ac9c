//! One ACP session: initialize, open, prompt, and the answers to what the harness asks meanwhile.
//!
//! Requests and their answers go through the SDK's connection. Notifications never reach it: they
//! are taken from the line stream before ([`transport`]), so that updates are handled in wire order
//! and no faster than the engine takes them, and so that kinds nobody knows yet do no harm.

mod feed;
mod grant;
mod permission;
mod prompt;
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
use mesh_agents_core::run::{RunEvent, RunSpec};
use mesh_agents_core::task::Failure;
use serde_json::{Value, json};
use tokio::net::unix::pipe;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::config::Timeouts;
use crate::plan::{LaunchPlan, McpSupport};
use crate::verdict::SessionEnd;

use grant::Grant;

pub(crate) use feed::Feed;
pub(crate) use transport::{Incoming, read_lines};

/// The one protocol version spoken. Agents that offer 2 to a client that sends 2 would answer a
/// draft (acp.md §0.9).
const PROTOCOL_VERSION: u64 = 1;
/// How long the SDK may take to wind up once the session has ended; its sink may be blocked by a
/// harness that no longer reads.
const WIND_UP: Duration = Duration::from_millis(100);

/// What a session needs to know.
#[derive(Debug)]
pub(crate) struct Session<'a> {
    pub(crate) spec: &'a RunSpec,
    pub(crate) plan: &'a LaunchPlan,
    pub(crate) workspace: &'a Path,
    pub(crate) timeouts: &'a Timeouts,
    pub(crate) cancel: &'a CancellationToken,
    pub(crate) feed: &'a Arc<Feed>,
}

/// Why a talk ended early.
enum Broken {
    /// The harness closed the line.
    Gone,
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
        let policy = permission::Policy {
            approval: self.spec.agent.policy.approval,
            grant: self.grant(),
            cancel: self.cancel.clone(),
            feed: Arc::clone(self.feed),
        };
        let end = OnceLock::new();
        let connection = Client
            .v1()
            .name("mesh-agents")
            .on_receive_request(
                async move |request: UntypedMessage,
                            responder: Responder<Value>,
                            _cx: ConnectionTo<Agent>| {
                    policy.answer(request, responder).await
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
        let session = self.open(cx, &agent).await?;
        let text = prompt::first(self.spec);
        let prompt = json!({
            "sessionId": session,
            "prompt": [{ "type": "text", "text": text }],
        });
        self.feed.collect(true);
        let answer = request(cx, "session/prompt", prompt).await;
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

    async fn initialize(&self, cx: &ConnectionTo<Agent>) -> Result<Value, Broken> {
        let limit = self.timeouts.initialize;
        let params = json!({
            "protocolVersion": PROTOCOL_VERSION,
            "clientCapabilities": {
                "fs": { "readTextFile": false, "writeTextFile": false },
                "terminal": false,
            },
            "clientInfo": { "name": "mesh-agents", "version": env!("CARGO_PKG_VERSION") },
        });
        let answer = timeout(limit, request(cx, "initialize", params)).await;
        let answer = answer.map_err(|_| self.silent("initialize", "initialize_timeout", limit))?;
        // The SDK checks the version of the answer; only its words tell that from other errors.
        answer.map_err(|broken| match broken {
            Broken::Failed(failure) if failure.message.contains("protocol version") => {
                let cause = failure.message;
                let next =
                    format!("install a version of the harness that speaks ACP {PROTOCOL_VERSION}");
                Failure::new("acp_version", format!("{cause}; {next}")).into()
            }
            other => other,
        })
    }

    async fn open(&self, cx: &ConnectionTo<Agent>, agent: &Value) -> Result<String, Broken> {
        let limit = self.timeouts.new_session;
        let servers = self.servers(agent).await;
        let params = json!({ "cwd": self.workspace, "mcpServers": servers });
        let answer = timeout(limit, request(cx, "session/new", params)).await;
        let answer = answer.map_err(|_| self.silent("session/new", "session_timeout", limit))??;
        let Some(session) = answer.get("sessionId").and_then(Value::as_str) else {
            return Err(Failure::new(
                "acp_error",
                "session/new was answered without a sessionId; the harness does not speak ACP v1: check runtime.command",
            )
            .into());
        };
        self.feed.opened(session, (self.plan.ignore_text)(&answer));
        let capable = |path| {
            agent
                .pointer(path)
                .is_some_and(|value| !value.is_null() && value != false)
        };
        let resumable = capable("/agentCapabilities/loadSession")
            || capable("/agentCapabilities/sessionCapabilities/resume");
        self.feed
            .emit(RunEvent::Started {
                session_id: session.to_owned(),
                resumable,
            })
            .await;
        Ok(session.to_owned())
    }

    /// Our tools as an MCP server of the session, where they are granted and can be reached.
    async fn servers(&self, agent: &Value) -> Value {
        let Some(tools) = &self.spec.tools else {
            return json!([]);
        };
        let offered =
            agent.pointer("/agentCapabilities/mcpCapabilities/http") == Some(&Value::Bool(true));
        if self.plan.mcp == McpSupport::None || !offered {
            let text = "this harness takes no MCP server over HTTP, so it works without the mesh tools (tools.mesh)";
            self.feed.note("tools_unavailable", text.to_owned()).await;
            return json!([]);
        }
        json!([{
            "type": "http",
            "name": "mesh",
            "url": tools.url,
            "headers": [{ "name": "Authorization", "value": format!("Bearer {}", tools.token) }],
        }])
    }

    fn silent(&self, method: &str, code: &str, limit: Duration) -> Broken {
        Broken::Failed(Failure::new(
            code,
            format!(
                "{} did not answer {method} within {} s; run it by hand to see what it waits for (a login, a network, an MCP server), or check runtime.command and runtime.args",
                self.plan.program.display(),
                limit.as_secs_f32()
            ),
        ))
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
            "auth_required",
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
