//! The agent's side of the connection: which request starts which lines, and what is answered.
//!
//! Messages are taken untyped and the connection has no version guard, because the point is to be able to answer what a
//! correct agent never would.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use agent_client_protocol::{
    Agent, Builder, Client, ConnectionTo, Error, Lines, Responder, UntypedMessage,
};
use serde_json::{Value, json};

use super::script::{self, Line};
use super::state::{Session, State};
use super::turn::{Halt, Turn};
use super::wire;

/// The version answered unless `protocol N` says otherwise.
const PROTOCOL_VERSION: u16 = 1;

/// Serves ACP on stdio until the client closes stdin.
pub(super) async fn serve(state: Arc<State>) -> Result<(), Error> {
    let transport = Lines::new(state.wire.sink(), wire::incoming(state.clone()));
    let notified = state.clone();
    Builder::new(Agent)
        .name("scripted-acp-agent")
        .on_receive_request(
            async move |request: UntypedMessage,
                        responder: Responder<Value>,
                        cx: ConnectionTo<Client>| {
                // State changes here, in the order of the wire; work is spawned, because nothing is dispatched meanwhile.
                match begin(&state, &cx, &request) {
                    Ok(work) => cx.spawn(async move {
                        let result = work.finish().await;
                        // An answer nobody can read any more is no reason to end the connection from this side.
                        let _ = responder.respond_with_result(result);
                        Ok(())
                    }),
                    Err(error) => responder.respond_with_error(error),
                }
            },
            agent_client_protocol::on_receive_request!(),
        )
        .on_receive_notification(
            async move |notification: UntypedMessage, _cx: ConnectionTo<Client>| {
                if notification.method == "session/cancel" {
                    let id = notification.params["sessionId"]
                        .as_str()
                        .unwrap_or_default();
                    if let Some(session) = notified.session(id) {
                        session.cancel.send_replace(true);
                    }
                }
                Ok(())
            },
            agent_client_protocol::on_receive_notification!(),
        )
        .connect_to(transport)
        .await
}

/// A request that has been accepted: lines to run, then an answer.
struct Work {
    turn: Turn,
    lines: Vec<Line>,
    reply: Reply,
}

/// What follows when the lines have run to their end.
enum Reply {
    Value(Value),
    StopReason,
}

fn begin(
    state: &Arc<State>,
    cx: &ConnectionTo<Client>,
    request: &UntypedMessage,
) -> Result<Work, Error> {
    let startup = state
        .startup
        .as_ref()
        .map_err(|bad| invalid(bad.to_string()))?;
    let params = &request.params;
    let (session, lines, reply) = match request.method.as_str() {
        "initialize" => {
            state.set_client_capabilities(params["clientCapabilities"].clone());
            let version = startup.protocol.unwrap_or(PROTOCOL_VERSION);
            let answer = Reply::Value(initialize_answer(state, version));
            (None, startup.initialize.clone(), answer)
        }
        "authenticate" => {
            state.authenticated.store(true, Ordering::Release);
            (None, Vec::new(), Reply::Value(json!({})))
        }
        "session/new" => {
            let session = state.new_session(params).map_err(internal)?;
            let answer = Reply::Value(json!({ "sessionId": session.id }));
            (Some(session), startup.new_session.clone(), answer)
        }
        "session/load" if state.has_cap("load") => {
            let session = reopen(state, params)?;
            let mut lines = script::replay(&session.history.all());
            lines.extend(startup.load_session.iter().cloned());
            (Some(session), lines, Reply::Value(json!({})))
        }
        "session/resume" if state.has_cap("resume") => {
            let lines = startup.load_session.clone();
            (Some(reopen(state, params)?), lines, Reply::Value(json!({})))
        }
        "session/prompt" => {
            let session = state
                .session(session_id(params))
                .ok_or_else(|| unknown_session(params))?;
            session.cancel.send_replace(false);
            let blocks = blocks(params);
            session.history.add(&blocks.join("\n")).map_err(internal)?;
            let lines = prompt_lines(&startup.prompt, &blocks)?;
            (Some(session), lines, Reply::StopReason)
        }
        _ => return Err(Error::method_not_found()),
    };
    let turn = Turn {
        state: state.clone(),
        cx: Some(cx.clone()),
        session,
    };
    Ok(Work { turn, lines, reply })
}

impl Work {
    async fn finish(self) -> Result<Value, Error> {
        let stop_reason = match self.turn.run(&self.lines).await {
            Ok(()) => "end_turn".to_owned(),
            Err(Halt::Stop(reason)) => reason,
            Err(Halt::Error(error)) => return Err(error),
            Err(Halt::Bad(bad)) => return Err(invalid(bad.to_string())),
        };
        Ok(match self.reply {
            Reply::Value(value) => value,
            Reply::StopReason => json!({ "stopReason": stop_reason }),
        })
    }
}

fn initialize_answer(state: &State, version: u16) -> Value {
    let mut capabilities = json!({
        "loadSession": state.has_cap("load"),
        "promptCapabilities": { "embeddedContext": true },
        "mcpCapabilities": { "http": !state.has_cap("nomcp"), "sse": false },
    });
    if state.has_cap("resume") {
        capabilities["sessionCapabilities"] = json!({ "resume": {} });
    }
    let mut auth_methods = Vec::new();
    if state.has_cap("terminal") {
        auth_methods.push(
            json!({ "id": "scripted-terminal", "name": "Terminal login", "type": "terminal" }),
        );
    }
    if !state.has_cap("nologin") {
        auth_methods.push(json!({ "id": "scripted-login", "name": "Scripted login" }));
    }
    json!({
        "protocolVersion": version,
        "agentCapabilities": capabilities,
        "authMethods": auth_methods,
        "agentInfo": { "name": "scripted-acp-agent", "version": env!("CARGO_PKG_VERSION") },
    })
}

/// The lines of a prompt: the standing ones, then its own; without either, the echo.
fn prompt_lines(standing: &[Line], blocks: &[String]) -> Result<Vec<Line>, Error> {
    let mut lines = standing.to_vec();
    lines.extend(script::parse_prompt(blocks).map_err(|bad| invalid(bad.to_string()))?);
    if lines.is_empty() {
        lines = script::echo(blocks.last().map_or("", String::as_str));
    }
    Ok(lines)
}

/// The text blocks of a prompt.
fn blocks(params: &Value) -> Vec<String> {
    let blocks = params["prompt"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|block| {
            block["text"]
                .as_str()
                .or(block["resource"]["text"].as_str())
        })
        .map(str::to_owned);
    blocks.collect()
}

fn reopen(state: &State, params: &Value) -> Result<Session, Error> {
    let session = state.old_session(session_id(params), params);
    session.ok_or_else(|| unknown_session(params))
}

fn session_id(params: &Value) -> &str {
    params["sessionId"].as_str().unwrap_or_default()
}

fn unknown_session(params: &Value) -> Error {
    Error::new(-32002, format!("no session {:?} here", session_id(params)))
}

fn internal(message: String) -> Error {
    Error::new(-32603, message)
}

fn invalid(message: String) -> Error {
    Error::new(-32602, message)
}
