//! The JSON-RPC binding (§9): one address, one method name for each operation.

use a2a::methods;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use mesh_agents_core::json::JsonText;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::call::{Operation, Reply};
use super::error::{Fault, Kind};
use super::request::PathIds;
use super::stream::Envelope;
use super::{Incoming, answer};

const MEDIA_TYPE: &str = "application/json";

/// A request as it comes in; its parts are looked at one by one, so that the id is known even when
/// something else is wrong.
#[derive(Deserialize)]
struct WireRequest<'a> {
    #[serde(borrow, default)]
    jsonrpc: Option<&'a RawValue>,
    #[serde(borrow, default, deserialize_with = "present")]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

/// A value that is there even when it is `null`.
fn present<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The id of a request, as the text it came in: it goes back digit by digit.
#[derive(Debug, Clone)]
struct CallId(String);

impl CallId {
    /// The id of the answer to a request whose own is not known.
    fn unknown() -> Self {
        Self("null".to_owned())
    }
}

/// Takes a request.
pub(super) async fn serve(incoming: Incoming) -> Response {
    let end = incoming.server.end.clone();
    let (call, body) = incoming.accept().await;
    let read = read(&body);
    let call = match (call, &read) {
        (Ok(call), _) => call,
        (Err(fault), Ok((id, ..)) | Err((id, _))) => return failed(id, &fault),
    };
    let (id, operation, params) = match read {
        Ok(read) => read,
        Err((id, fault)) => return failed(&id, &fault),
    };
    let mut response = match call.run(operation, params, &PathIds::default()).await {
        Ok(Reply::One(result)) => {
            let body = Enveloped(id).value(&result);
            answer(StatusCode::OK, MEDIA_TYPE, body)
        }
        Ok(Reply::Stream(stream)) => stream.respond(Enveloped(id), end),
        Err(fault) => failed(&id, &fault),
    };
    super::rest::name_extensions(&mut response, &call.extensions);
    response
}

/// Finds id, operation and parameters of a request.
fn read(body: &[u8]) -> Result<(CallId, Operation, &str), (CallId, Fault)> {
    let nobody = |kind, message: String| (CallId::unknown(), Fault::new(kind, message));
    let text = std::str::from_utf8(body)
        .map_err(|error| nobody(Kind::Parse, format!("the body is not UTF-8: {error}")))?;
    let whole: &RawValue = serde_json::from_str(text)
        .map_err(|error| nobody(Kind::Parse, format!("the body is not JSON: {error}")))?;
    if !whole.get().starts_with('{') {
        let what = match whole.get().starts_with('[') {
            true => "A2A has no batches; send each request by itself",
            false => "a request is an object",
        };
        return Err(nobody(Kind::InvalidRequest, what.to_owned()));
    }
    let request: WireRequest<'_> = serde_json::from_str(whole.get())
        .map_err(|error| nobody(Kind::InvalidRequest, error.to_string()))?;
    let id = match request.id.map(RawValue::get) {
        Some(id) if id == "null" || id.starts_with(['"', '-']) || is_number(id) => {
            CallId(id.to_owned())
        }
        Some(_) => {
            let what = "id must be a string, a number or null";
            return Err(nobody(Kind::InvalidRequest, what.to_owned()));
        }
        None => {
            let what = "id is missing; A2A has no notifications, every request is answered";
            return Err(nobody(Kind::InvalidRequest, what.to_owned()));
        }
    };
    let refused = |kind, message: String| (id.clone(), Fault::new(kind, message));
    if request.jsonrpc.map(RawValue::get) != Some("\"2.0\"") {
        let what = "jsonrpc must be \"2.0\"";
        return Err(refused(Kind::InvalidRequest, what.to_owned()));
    }
    let method = request
        .method
        .and_then(|method| serde_json::from_str::<String>(method.get()).ok())
        .ok_or_else(|| refused(Kind::InvalidRequest, "method must be a string".to_owned()))?;
    let operation = operation(&method).ok_or_else(|| {
        let method: String = method.chars().take(80).collect();
        refused(Kind::MethodNotFound, format!("no method \"{method}\"; A2A 1.0 has SendMessage, SendStreamingMessage, GetTask, ListTasks, CancelTask, SubscribeToTask, the four of TaskPushNotificationConfig, and GetExtendedAgentCard"))
    })?;
    let params = request.params.map_or("{}", RawValue::get);
    Ok((id, operation, params))
}

fn is_number(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit())
}

fn operation(method: &str) -> Option<Operation> {
    Some(match method {
        methods::SEND_MESSAGE => Operation::SendMessage,
        methods::SEND_STREAMING_MESSAGE => Operation::SendStreamingMessage,
        methods::GET_TASK => Operation::GetTask,
        methods::LIST_TASKS => Operation::ListTasks,
        methods::CANCEL_TASK => Operation::CancelTask,
        methods::SUBSCRIBE_TO_TASK => Operation::SubscribeToTask,
        methods::CREATE_PUSH_CONFIG => Operation::CreatePushConfig,
        methods::GET_PUSH_CONFIG => Operation::GetPushConfig,
        methods::LIST_PUSH_CONFIGS => Operation::ListPushConfigs,
        methods::DELETE_PUSH_CONFIG => Operation::DeletePushConfig,
        methods::GET_EXTENDED_AGENT_CARD => Operation::GetExtendedCard,
        _ => return None,
    })
}

#[derive(Serialize)]
struct WireError<'a> {
    code: i32,
    message: &'a str,
    data: Vec<a2a::errordetails::TypedDetail>,
}

/// The envelope of every answer to the request with this id.
struct Enveloped(CallId);

impl Envelope for Enveloped {
    fn value(&self, value: &JsonText) -> String {
        let id = &self.0.0;
        format!(
            r#"{{"jsonrpc":"2.0","id":{id},"result":{}}}"#,
            value.as_str()
        )
    }

    fn fault(&self, fault: &Fault) -> String {
        let id = &self.0.0;
        let error = WireError {
            code: fault.kind.line().code,
            message: &fault.message,
            data: fault.details(),
        };
        // Text, numbers and maps with text keys always have a JSON form.
        let error = serde_json::to_string(&error).unwrap_or_default();
        format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{error}}}"#)
    }
}

/// An error answer. HTTP says only what HTTP itself is about: who may call, and how much.
fn failed(id: &CallId, fault: &Fault) -> Response {
    let status = match fault.kind {
        Kind::Unauthenticated | Kind::Denied | Kind::TooLarge => fault.kind.line().http,
        _ => 200,
    };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = Enveloped(id.clone()).fault(fault);
    let mut response = answer(status, MEDIA_TYPE, body);
    if fault.kind == Kind::Unauthenticated {
        let scheme = HeaderValue::from_static("Bearer");
        let headers = response.headers_mut();
        headers.insert(axum::http::header::WWW_AUTHENTICATE, scheme);
    }
    response
}
