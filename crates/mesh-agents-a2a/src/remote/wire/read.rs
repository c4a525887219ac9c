//! Reading what a remote sends: exactly where it is written as the specification says, leniently
//! where another implementation left something out.

use a2a::{JsonRpcError, StreamResponse, errordetails, reason_to_error_code};
use a2a_pb::protojson_conv::{self, ProtoJsonPayload};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::remote::fault::{Fault, words};

/// A JSON-RPC answer. What identifies it is not checked: one request has one answer.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    result: Option<&'a RawValue>,
    #[serde(default)]
    error: Option<JsonRpcError>,
}

/// An error of the HTTP+JSON binding (`google.rpc.Status`).
#[derive(Deserialize)]
struct StatusEnvelope {
    error: RpcStatus,
}

#[derive(Deserialize)]
struct RpcStatus {
    #[serde(default)]
    message: String,
    #[serde(default)]
    details: Vec<Value>,
}

/// The value of an A2A type. The exact reading keeps numbers as they are; the lenient one of
/// ProtoJSON knows every spelling other implementations use (a2a.md §1.2).
pub(super) fn value<T: DeserializeOwned + ProtoJsonPayload>(text: &str) -> Result<T, Fault> {
    let exact = match serde_json::from_str::<T>(text) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    protojson_conv::from_str::<T>(text).map_err(|_| Fault::Unreadable {
        cause: words(&exact.to_string()),
    })
}

/// The result in a JSON-RPC answer.
pub(super) fn result<T: DeserializeOwned + ProtoJsonPayload>(body: &[u8]) -> Result<T, Fault> {
    let envelope: Envelope<'_> =
        serde_json::from_slice(body).map_err(|error| Fault::Unreadable {
            cause: format!("{}: {}", words(&error.to_string()), start(body)),
        })?;
    if let Some(error) = envelope.error {
        let details = details_of(error.data);
        let later = later(&error.message, &details);
        return Err(later.unwrap_or_else(|| told(error.code, &error.message, &details)));
    }
    let result = envelope.result.ok_or_else(|| Fault::Unreadable {
        cause: format!("neither result nor error: {}", start(body)),
    })?;
    value(result.get())
}

/// One event of an HTTP+JSON stream: bare, or an error that ends the stream.
pub(super) fn event(data: &[u8]) -> Result<StreamResponse, Fault> {
    if let Some(fault) = told_in(data) {
        return Err(fault);
    }
    let text = std::str::from_utf8(data).map_err(|error| Fault::Unreadable {
        cause: error.to_string(),
    })?;
    value(text)
}

/// What an HTTP status other than success means.
pub(super) fn refusal(status: u16, location: Option<String>, body: &[u8]) -> Fault {
    // Who is refused for the token must hear of the token, whatever the body says.
    let plain = matches!(status, 401 | 403) || location.is_some();
    if !plain && let Some(fault) = told_in(body) {
        return fault;
    }
    Fault::Status {
        status,
        location,
        words: message(body).unwrap_or_else(|| start(body)),
    }
}

/// The message in the body of a refusal, of either binding.
fn message(body: &[u8]) -> Option<String> {
    let StatusEnvelope { error } = serde_json::from_slice(body).ok()?;
    Some(words(&error.message)).filter(|words| !words.is_empty())
}

/// The A2A error in the body of a refusal, of either binding.
fn told_in(body: &[u8]) -> Option<Fault> {
    if let Ok(StatusEnvelope { error }) = serde_json::from_slice(body) {
        if let Some(later) = later(&error.message, &error.details) {
            return Some(later);
        }
        if let Some(code) = code_of(&error.details) {
            return Some(told(code, &error.message, &error.details));
        }
    }
    // The codes of JSON-RPC are negative; a positive one is an HTTP status.
    let envelope: Envelope<'_> = serde_json::from_slice(body).ok()?;
    let error = envelope.error.filter(|error| error.code < 0)?;
    let details = details_of(error.data);
    let later = later(&error.message, &details);
    Some(later.unwrap_or_else(|| told(error.code, &error.message, &details)))
}

fn details_of(data: Option<Value>) -> Vec<Value> {
    match data {
        Some(Value::Array(details)) => details,
        _ => Vec::new(),
    }
}

/// The code an ErrorInfo detail of A2A stands for.
fn code_of(details: &[Value]) -> Option<i32> {
    details.iter().find_map(|detail| {
        let named = |name: &str| detail.get(name).and_then(Value::as_str);
        let a2a = named("domain") == Some(errordetails::PROTOCOL_DOMAIN);
        a2a.then(|| reason_to_error_code(named("reason")?))?
    })
}

/// A refusal of a node like ours that says nothing about the request: the same over both bindings, whose codes and
/// statuses for it differ.
fn later(message: &str, details: &[Value]) -> Option<Fault> {
    let is_later = details.iter().any(|detail| {
        let named = |name: &str| detail.get(name).and_then(Value::as_str);
        let engine_s = |detail: &Value| {
            let code = detail.get("metadata")?.get("code")?.as_str()?;
            Some(matches!(code, "engine_unavailable" | "storage"))
        };
        named("domain") == Some(errordetails::PROTOCOL_DOMAIN)
            && match named("reason") {
                Some("AGENT_FULL" | "RATE_LIMITED") => true,
                // An agent that cannot work is no matter of time.
                Some("UNAVAILABLE") => engine_s(detail) == Some(true),
                _ => false,
            }
    });
    is_later.then(|| Fault::Later {
        words: words(message),
    })
}

fn told(code: i32, message: &str, details: &[Value]) -> Fault {
    let violations: Vec<String> = details
        .iter()
        .filter_map(|detail| detail.get("fieldViolations")?.as_array())
        .flatten()
        .filter_map(|one| {
            let text = |name: &str| one.get(name).and_then(Value::as_str);
            Some(format!(
                "{}: {}",
                text("field").unwrap_or_default(),
                text("description")?
            ))
        })
        .collect();
    let message = if violations.is_empty() {
        message.to_owned()
    } else {
        format!("{message} ({})", violations.join("; "))
    };
    Fault::Told {
        code: code_of(details).unwrap_or(code),
        words: words(&message),
    }
}

/// The start of a body that was not understood, for a person.
fn start(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body.get(..300.min(body.len())).unwrap_or_default());
    words(&text)
}
