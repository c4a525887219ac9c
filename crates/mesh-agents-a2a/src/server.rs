//! The A2A 1.0 server: eleven operations on the task engine, over JSON-RPC and over HTTP+JSON.
//!
//! Both bindings are thin: [`jsonrpc`] and [`rest`] find the operation and its parameters, [`call`]
//! does it, and they print what comes back. `request` decodes and checks parameters in one place,
//! `error` holds the one table of errors, `stream` is what a streaming call answers with.
//!
//! Decided here where the specification leaves it open: a message to a task that is at work, or that
//! waits for its turn, is refused with UnsupportedOperation; a second CancelTask is refused with
//! TaskNotCancelable; `SubscribeToTask` is taken by GET and by POST; a page size out of range is an
//! error; agents have no tenants, so a request that names one is refused.

mod call;
mod document;
mod error;
mod jsonrpc;
mod list;
mod push;
mod request;
mod rest;
mod stream;
mod version;

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::limits::MESSAGE_BYTES;
use mesh_agents_core::policy::Caller;
use mesh_agents_core::principal::Principal;
use mesh_agents_core::refusal::Refusal;
use mesh_agents_tasks::TaskEngine;
use tokio_util::sync::CancellationToken;

use crate::peer::AFTER_HEADER;
use call::Call;
use error::{Fault, Kind};

/// Longest request body: a message of [`MESSAGE_BYTES`] whose text is written with escapes takes up
/// to six times its size, and metadata and the envelope come on top.
pub const REQUEST_BYTES: usize = 8 * MESSAGE_BYTES;

const TOO_LARGE: &str = "the request body is longer than 8 MiB, or broke off; put long input into a file the agent can read and name it in the message";

const NOBODY: &str = "nothing vouches for the caller of this request";

/// What the server needs of its node.
#[derive(Debug, Clone)]
pub struct A2aServer {
    /// The engine behind it.
    pub engine: TaskEngine,
    /// Where its agents are served and what their cards promise.
    pub place: crate::card::Place,
    /// Ends streams when the node stops.
    pub end: CancellationToken,
}

/// A request for one agent, its body not read yet.
struct Incoming {
    server: A2aServer,
    agent: Arc<AgentDefinition>,
    parts: axum::http::request::Parts,
    body: Body,
}

impl A2aServer {
    /// Takes a request to an agent's own address: JSON-RPC.
    pub(crate) async fn jsonrpc(self, agent: Arc<AgentDefinition>, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        let incoming = Incoming {
            server: self,
            agent,
            parts,
            body,
        };
        jsonrpc::serve(incoming).await
    }

    /// Takes a request below an agent's address: HTTP+JSON. `path` is what follows the address.
    pub(crate) async fn rest(
        self,
        agent: Arc<AgentDefinition>,
        path: &str,
        request: Request,
    ) -> Response {
        let (parts, body) = request.into_parts();
        let incoming = Incoming {
            server: self,
            agent,
            parts,
            body,
        };
        rest::serve(incoming, path).await
    }
}

/// The answer for an agent that is not here: the address is no A2A endpoint.
pub(crate) fn no_agent(id: &str) -> Response {
    let id: String = id.chars().take(80).collect();
    rest::fault(
        Fault::new(
            Kind::NoSuchPath,
            format!("no agent \"{id}\" is served here; its owner can run `mesh-llm agents list`"),
        ),
        None,
    )
}

/// The answer to a request that nobody vouched for.
pub(crate) fn unknown_caller() -> Response {
    rest::fault(Fault::new(Kind::Unauthenticated, NOBODY), None)
}

/// The answer to a caller that is turned away before its call is read.
pub(crate) fn refused(refusal: &Refusal) -> Response {
    rest::fault(Fault::refused(refusal), None)
}

impl Incoming {
    /// Reads the body and checks what goes for every call: who calls, the media type, the protocol
    /// version, the extensions.
    /// The body comes back whatever is wrong: it holds the id of a call.
    async fn accept(self) -> (Result<Call, Fault>, Bytes) {
        let Self {
            server,
            agent,
            parts,
            body,
        } = self;
        match to_bytes(body, REQUEST_BYTES).await {
            Ok(body) => (checked(server, agent, &parts), body),
            Err(_over) => {
                let fault = Fault::new(Kind::TooLarge, TOO_LARGE);
                (Err(fault), Bytes::new())
            }
        }
    }
}

/// What goes for every call, whatever it asks.
fn checked(
    server: A2aServer,
    agent: Arc<AgentDefinition>,
    parts: &axum::http::request::Parts,
) -> Result<Call, Fault> {
    if parts.method == Method::POST {
        check_content_type(&parts.headers)?;
    }
    let ours = crate::card::extensions(&agent.id);
    let query = parts.uri.query();
    let extensions = version::accepted(&parts.headers, query, &agent.card.json, ours)?;
    let caller = parts.extensions.get::<Caller>().cloned();
    let caller = caller.ok_or_else(|| Fault::new(Kind::Unauthenticated, NOBODY))?;
    Ok(Call {
        after: after(&caller, &parts.headers),
        authenticated: parts.headers.contains_key(header::AUTHORIZATION)
            || caller != Caller::local(),
        server,
        agent,
        caller,
        extensions,
    })
}

/// The event a node wants a stream to go on behind. Anybody else's streams begin with the task (§3.1.6), and
/// what is no number is as good as none.
fn after(caller: &Caller, headers: &HeaderMap) -> Option<u64> {
    let value = headers.get(AFTER_HEADER)?.to_str().ok()?;
    let node = matches!(caller.principal, Principal::Key(_));
    value.parse().ok().filter(|_| node)
}

/// JSON of any kind, or nothing said. Form data is what `curl -d` sends when it is not told better.
fn check_content_type(headers: &HeaderMap) -> Result<(), Fault> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let named = String::from_utf8_lossy(value.as_bytes());
    if crate::convert::is_json(&named) {
        return Ok(());
    }
    Err(Fault::new(
        Kind::ContentTypeNotSupported,
        format!("the Content-Type is {named:?}; send application/json"),
    ))
}

/// An answer of this status and media type.
fn answer(status: StatusCode, media_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let value = axum::http::HeaderValue::from_static(media_type);
    response.headers_mut().insert(header::CONTENT_TYPE, value);
    response
}
