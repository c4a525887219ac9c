//! From a line to an open session: what is said first, and a session that is new or taken up again.

use std::time::Duration;

use agent_client_protocol::Agent;
use agent_client_protocol::v1::ConnectionTo;
use mesh_agents_core::agent::Network;
use mesh_agents_core::run::{Resume, ResumeReason, RunEvent};
use mesh_agents_core::task::Failure;
use serde_json::{Value, json};
use tokio::time::timeout;

use super::login::AUTH_REQUIRED;
use super::{Broken, Session, request};
use crate::plan::McpSupport;
use crate::whereabouts::Whereabouts;

/// The one protocol version spoken. Agents that offer 2 to a client that sends 2 would answer a
/// draft (acp.md §0.9).
const PROTOCOL_VERSION: u64 = 1;

/// An open session.
pub(super) struct Opened {
    /// The harness's id for it.
    pub(super) session: String,
    /// Whether it knows what was said before.
    pub(super) resumed: bool,
}

impl Session<'_> {
    /// Says who we are and what we can do; the answer says the same of the harness.
    pub(super) async fn initialize(&self, cx: &ConnectionTo<Agent>) -> Result<Value, Broken> {
        let limit = self.timeouts.initialize;
        let params = json!({
            "protocolVersion": PROTOCOL_VERSION,
            "clientCapabilities": {
                "fs": { "readTextFile": false, "writeTextFile": false },
                "terminal": false,
                "elicitation": { "form": {} },
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

    /// Opens the session of this run.
    pub(super) async fn open(
        &self,
        cx: &ConnectionTo<Agent>,
        agent: &Value,
    ) -> Result<Opened, Broken> {
        let servers = self.servers(agent).await;
        let place = json!({ "cwd": self.workspace, "mcpServers": servers });
        let (session, resumed) = match &self.spec.resume {
            None => (self.new_session(cx, agent, &place).await?, false),
            Some(earlier) => match self.take_up(cx, agent, &place, earlier).await {
                Ok(()) => (earlier.session_id.clone(), true),
                Err(Broken::Lost(why)) if earlier.why == ResumeReason::NextTask => {
                    let text = format!(
                        "the conversation goes on in a new session, which knows nothing of the tasks before: {why}"
                    );
                    self.feed.note("session_lost", text).await;
                    (self.new_session(cx, agent, &place).await?, false)
                }
                Err(broken) => return Err(broken),
            },
        };
        self.feed
            .emit(RunEvent::Started {
                session_id: session.clone(),
                resumable: method_to_take_up(agent).is_some(),
            })
            .await;
        Ok(Opened { session, resumed })
    }

    async fn new_session(
        &self,
        cx: &ConnectionTo<Agent>,
        agent: &Value,
        place: &Value,
    ) -> Result<String, Broken> {
        let limit = Some(self.timeouts.new_session);
        let answer = self.call(cx, agent, "session/new", place, limit).await?;
        let Some(session) = answer.get("sessionId").and_then(Value::as_str) else {
            return Err(Failure::new(
                "acp_error",
                "session/new was answered without a sessionId; the harness does not speak ACP v1: check runtime.command",
            )
            .into());
        };
        self.feed.opened(session, (self.plan.ignore_text)(&answer));
        let known = Whereabouts::of(self.spec);
        // A file of a hundred bytes, written before anything is said in the session.
        let kept = known.map_or(Ok(()), |known| known.keep(session, self.workspace));
        if let Err(error) = kept {
            let text = format!(
                "the next task of this context will begin anew: where the session works could not be written down: {error}"
            );
            self.feed.note("session_not_kept", text).await;
        }
        Ok(session.to_owned())
    }

    /// Takes up an earlier session. What `session/load` replays comes before its answer, and so
    /// before anything counts as this run's.
    async fn take_up(
        &self,
        cx: &ConnectionTo<Agent>,
        agent: &Value,
        place: &Value,
        earlier: &Resume,
    ) -> Result<(), Broken> {
        let Some(method) = method_to_take_up(agent) else {
            let why = "the harness offers neither session/resume nor session/load";
            return Err(Broken::Lost(why.to_owned()));
        };
        if self.lost {
            let why = "the directory it works in is not known any more";
            return Err(Broken::Lost(why.to_owned()));
        }
        let mut params = place.clone();
        params["sessionId"] = json!(earlier.session_id);
        let limit = Some(self.timeouts.new_session);
        self.feed.replay(true);
        let answer = self.call(cx, agent, method, &params, limit).await;
        self.feed.replay(false);
        let answer = answer.map_err(|broken| match broken {
            // A login nobody gave is asked for again at whatever comes next, and fails there too.
            Broken::Failed(failure) if failure.code != AUTH_REQUIRED => {
                Broken::Lost(failure.message)
            }
            other => other,
        })?;
        let ignored = (self.plan.ignore_text)(&answer);
        self.feed.opened(&earlier.session_id, ignored);
        Ok(())
    }

    /// Our tools as an MCP server of the session, where they are granted and can be reached.
    async fn servers(&self, agent: &Value) -> Value {
        let Some(tools) = &self.spec.tools else {
            return json!([]);
        };
        let offered =
            agent.pointer("/agentCapabilities/mcpCapabilities/http") == Some(&Value::Bool(true));
        let without = if self.spec.agent.policy.network == Network::Deny {
            Some("the run has no network (policy.network = \"deny\")")
        } else if self.plan.mcp == McpSupport::None || !offered {
            Some("this harness takes no MCP server over HTTP")
        } else {
            None
        };
        if let Some(why) = without {
            let text = format!("{why}, so it works without the mesh tools (tools.mesh)");
            self.feed.note("tools_unavailable", text).await;
            return json!([]);
        }
        json!([{
            "type": "http",
            "name": "mesh",
            "url": tools.url,
            "headers": [{ "name": "Authorization", "value": format!("Bearer {}", tools.token) }],
        }])
    }

    /// The failure of a harness that did not answer in time.
    pub(super) fn silent(&self, method: &str, code: &str, limit: Duration) -> Broken {
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

/// How this harness takes up an earlier session: the way without a replay first.
fn method_to_take_up(agent: &Value) -> Option<&'static str> {
    let capable = |path| {
        agent
            .pointer(path)
            .is_some_and(|value| !value.is_null() && value != false)
    };
    if capable("/agentCapabilities/sessionCapabilities/resume") {
        Some("session/resume")
    } else {
        capable("/agentCapabilities/loadSession").then_some("session/load")
    }
}
