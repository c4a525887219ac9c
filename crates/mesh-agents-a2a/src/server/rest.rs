//! The HTTP+JSON binding (§11): a path and a method for each operation.

use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use mesh_agents_core::json::JsonText;
use serde::Serialize;

use super::call::{Operation, Reply};
use super::error::{Fault, Kind};
use super::request::{PathIds, query};
use super::stream::Envelope;
use super::{Incoming, answer, content};

/// What A2A calls JSON over HTTP, errors too (§11.6).
const MEDIA_TYPE: &str = "application/a2a+json";

/// Takes a request. `path` is what follows the address of the agent, without a slash before it.
pub(super) async fn serve(incoming: Incoming, path: &str) -> Response {
    if let Some((task, artifact)) = content::named(path) {
        return content::serve(incoming, task, artifact).await;
    }
    let end = incoming.server.end.clone();
    let method = incoming.parts.method.clone();
    let (operation, ids) = match route(&method, path) {
        Ok(found) => found,
        Err(missing) => return missing.respond(&method, path),
    };
    let query = query::object(incoming.parts.uri.query().unwrap_or_default());
    let (call, body) = incoming.accept().await;
    let call = match call {
        Ok(call) => call,
        Err(fault) => return self::fault(fault, None),
    };
    // GET and DELETE say all in path and query; what a POST says stands in its body.
    let params = if method == Method::POST {
        params(&body)
    } else {
        Ok(query.as_str())
    };
    let reply = match params {
        Ok(params) => call.run(operation, params, &ids).await,
        Err(fault) => Err(fault),
    };
    let mut response = match reply {
        Ok(Reply::One(result)) => answer(StatusCode::OK, MEDIA_TYPE, result.as_str().to_owned()),
        Ok(Reply::Stream(stream)) => stream.respond(Bare, end),
        Err(fault) => self::fault(fault, None),
    };
    name_extensions(&mut response, &call.extensions);
    response
}

/// The body of a POST; one without a body says nothing.
fn params(body: &[u8]) -> Result<&str, Fault> {
    let text = std::str::from_utf8(body)
        .map_err(|error| Fault::new(Kind::Parse, format!("the body is not UTF-8: {error}")))?;
    if text.trim().is_empty() {
        return Ok("{}");
    }
    let json = serde_json::from_str::<&serde_json::value::RawValue>(text);
    json.map_err(|error| Fault::new(Kind::Parse, format!("the body is not JSON: {error}")))?;
    Ok(text)
}

/// Why a path and a method lead nowhere.
#[derive(Debug, PartialEq, Eq)]
enum Missing {
    Path,
    /// The path takes these methods.
    Method(&'static str),
}

impl Missing {
    fn respond(&self, method: &Method, path: &str) -> Response {
        let path: String = path.chars().take(120).collect();
        match self {
            Self::Path => fault(
                Fault::new(
                    Kind::NoSuchPath,
                    format!("no path \"/{path}\" below this agent"),
                ),
                None,
            ),
            Self::Method(allowed) => fault(
                Fault::new(
                    Kind::MethodNotAllowed,
                    format!("\"/{path}\" takes {allowed}, not {method}"),
                ),
                Some(allowed),
            ),
        }
    }
}

/// Finds the operation. Verbs follow a colon at the end of the path.
fn route(method: &Method, path: &str) -> Result<(Operation, PathIds), Missing> {
    const GET_OR_POST: &str = "GET, POST";
    let segments: Vec<&str> = path.split('/').collect();
    let task = |id: &str| PathIds {
        task: Some(id.to_owned()),
        config: None,
    };
    let only = |allowed: &'static str, operation, ids| match method.as_str() == allowed {
        true => Ok((operation, ids)),
        false => Err(Missing::Method(allowed)),
    };
    match segments.as_slice() {
        ["message:send"] => only("POST", Operation::SendMessage, PathIds::default()),
        ["message:stream"] => only("POST", Operation::SendStreamingMessage, PathIds::default()),
        ["extendedAgentCard"] => only("GET", Operation::GetExtendedCard, PathIds::default()),
        ["tasks"] => only("GET", Operation::ListTasks, PathIds::default()),
        ["tasks", id] if !id.is_empty() => match id.rsplit_once(':') {
            Some((id, "cancel")) => only("POST", Operation::CancelTask, task(id)),
            Some((id, "subscribe")) if *method == Method::GET || *method == Method::POST => {
                Ok((Operation::SubscribeToTask, task(id)))
            }
            Some((_, "subscribe")) => Err(Missing::Method(GET_OR_POST)),
            Some(_) => Err(Missing::Path),
            None => only("GET", Operation::GetTask, task(id)),
        },
        ["tasks", id, "pushNotificationConfigs"] if !id.is_empty() => match method.as_str() {
            "GET" => Ok((Operation::ListPushConfigs, task(id))),
            "POST" => Ok((Operation::CreatePushConfig, task(id))),
            _ => Err(Missing::Method(GET_OR_POST)),
        },
        ["tasks", id, "pushNotificationConfigs", config]
            if !id.is_empty() && !config.is_empty() =>
        {
            let ids = PathIds {
                config: Some((*config).to_owned()),
                ..task(id)
            };
            match method.as_str() {
                "GET" => Ok((Operation::GetPushConfig, ids)),
                "DELETE" => Ok((Operation::DeletePushConfig, ids)),
                _ => Err(Missing::Method("GET, DELETE")),
            }
        }
        _ => Err(Missing::Path),
    }
}

/// `google.rpc.Status` as JSON, in the object HTTP errors carry.
#[derive(Serialize)]
struct WireFault<'a> {
    error: WireStatus<'a>,
}

#[derive(Serialize)]
struct WireStatus<'a> {
    code: u16,
    status: &'static str,
    message: &'a str,
    details: Vec<a2a::errordetails::TypedDetail>,
}

fn encoded(fault: &Fault) -> String {
    let line = fault.kind.line();
    let wire = WireFault {
        error: WireStatus {
            code: line.http,
            status: line.status,
            message: &fault.message,
            details: fault.details(),
        },
    };
    // Text, numbers and maps with text keys always have a JSON form.
    serde_json::to_string(&wire).unwrap_or_default()
}

/// An error answer; `allow` names the methods a path takes.
#[expect(clippy::needless_pass_by_value, reason = "a fault is answered once")]
pub(super) fn fault(fault: Fault, allow: Option<&'static str>) -> Response {
    let status = StatusCode::from_u16(fault.kind.line().http);
    let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = answer(status, MEDIA_TYPE, encoded(&fault));
    let headers = response.headers_mut();
    if let Some(allow) = allow {
        headers.insert(header::ALLOW, HeaderValue::from_static(allow));
    }
    if fault.kind == Kind::Unauthenticated {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    response
}

/// Names the extensions that were active (§4.6).
pub(super) fn name_extensions(response: &mut Response, active: &[String]) {
    if let Ok(value) = HeaderValue::from_str(&active.join(", "))
        && !active.is_empty()
    {
        response
            .headers_mut()
            .insert(a2a::SVC_PARAM_EXTENSIONS, value);
    }
}

/// Values of a stream stand by themselves.
struct Bare;

impl Envelope for Bare {
    fn value(&self, value: &JsonText) -> String {
        value.as_str().to_owned()
    }

    fn fault(&self, fault: &Fault) -> String {
        encoded(fault)
    }
}
