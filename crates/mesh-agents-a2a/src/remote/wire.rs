//! Transports for the official client: JSON-RPC and HTTP+JSON over a [`Pipe`].
//!
//! The client crate's own transports read answers without a limit, lose the HTTP status that tells
//! a wrong token from a broken server, and pass every number through a float. So these are ours;
//! headers, tenant and the choice of the interface stay with the client crate.

mod jsonrpc;
mod read;
mod rest;

pub(super) use read::refusal;

use std::sync::Arc;
use std::time::Duration;

use a2a::{
    A2AError, AgentCard, AgentInterface, CancelTaskRequest,
    DeleteTaskPushNotificationConfigRequest, GetExtendedAgentCardRequest,
    GetTaskPushNotificationConfigRequest, GetTaskRequest, ListTaskPushNotificationConfigsRequest,
    ListTaskPushNotificationConfigsResponse, ListTasksRequest, ListTasksResponse,
    SendMessageRequest, SendMessageResponse, StreamResponse, SubscribeToTaskRequest, Task,
    TaskPushNotificationConfig,
};
use a2a_client::{ServiceParams, Transport, TransportFactory};
use async_trait::async_trait;
use bytes::Bytes;
use futures::stream::BoxStream;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde::Serialize;

use super::fault::{Fault, Stage};
use super::pipe::{Pipe, Response};

/// Largest answer read, and largest event of a stream: a task with some artifacts of the largest
/// kept size (16 MiB, a third more in base64), and little enough to hold in memory.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// A stream of events as the official client hands it out.
type Events = BoxStream<'static, Result<StreamResponse, A2AError>>;

/// How long answers may take to begin.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Of a stream, and of calls that only look something up.
    pub(crate) first_byte: Duration,
}

/// How an operation is called over one binding.
#[async_trait]
trait Binding: Send + Sync {
    async fn send_message(
        &self,
        headers: HeaderMap,
        request: &SendMessageRequest,
    ) -> Result<SendMessageResponse, Fault>;
    async fn stream_message(
        &self,
        headers: HeaderMap,
        request: &SendMessageRequest,
    ) -> Result<Events, Fault>;
    async fn get_task(&self, headers: HeaderMap, request: &GetTaskRequest) -> Result<Task, Fault>;
    async fn cancel_task(
        &self,
        headers: HeaderMap,
        request: &CancelTaskRequest,
    ) -> Result<Task, Fault>;
    async fn subscribe(
        &self,
        headers: HeaderMap,
        request: &SubscribeToTaskRequest,
    ) -> Result<Events, Fault>;
}

/// The bindings a remote agent may be called over, as the official client's factories.
pub(crate) struct Factory {
    binding: &'static str,
    pipe: Arc<dyn Pipe>,
    patience: Patience,
}

impl Factory {
    /// One factory for each binding there is.
    pub(crate) fn all(pipe: &Arc<dyn Pipe>, patience: Patience) -> [Arc<dyn TransportFactory>; 2] {
        super::target::BINDINGS.map(|binding| {
            let pipe = Arc::clone(pipe);
            Arc::new(Self {
                binding,
                pipe,
                patience,
            }) as Arc<dyn TransportFactory>
        })
    }
}

#[async_trait]
impl TransportFactory for Factory {
    fn protocol(&self) -> &str {
        self.binding
    }

    async fn create(
        &self,
        _card: &AgentCard,
        interface: &AgentInterface,
    ) -> Result<Box<dyn Transport>, A2AError> {
        let url = Url::parse(&interface.url)
            .map_err(|error| A2AError::invalid_params(format!("{}: {error}", interface.url)))?;
        let (pipe, patience) = (Arc::clone(&self.pipe), self.patience);
        let binding: Box<dyn Binding> = if self.binding == a2a::TRANSPORT_PROTOCOL_JSONRPC {
            Box::new(jsonrpc::JsonRpc::new(pipe, url, patience))
        } else {
            Box::new(rest::Rest::new(pipe, url, patience))
        };
        Ok(Box::new(Wire { binding }))
    }
}

/// One binding as the official client's transport.
struct Wire {
    binding: Box<dyn Binding>,
}

/// The headers the client and its interceptors ask for.
fn headers(params: &ServiceParams) -> Result<HeaderMap, Fault> {
    let mut headers = HeaderMap::new();
    for (name, values) in params {
        for value in values {
            let pair = HeaderName::try_from(name).ok().zip(secret(value));
            // The value may be the token, so it is not shown.
            let (name, value) = pair.ok_or_else(|| Fault::Unconnected {
                stage: Stage::Other,
                cause: format!("the value for the header {name} holds characters no header may"),
            })?;
            headers.append(name, value);
        }
    }
    Ok(headers)
}

/// The body of a request.
fn encode<T: Serialize>(value: &T) -> Result<Bytes, Fault> {
    let bytes = serde_json::to_vec(value).map_err(|error| Fault::Unconnected {
        stage: Stage::Other,
        cause: format!("the request has no JSON form: {error}"),
    })?;
    Ok(bytes.into())
}

fn is_event_stream(answer: &Response) -> bool {
    (200..300).contains(&answer.status)
        && answer
            .content_type
            .to_ascii_lowercase()
            .starts_with("text/event-stream")
}

fn secret(value: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(value).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn not_called<T>(what: &str) -> Result<T, A2AError> {
    Err(A2AError::unsupported_operation(format!(
        "the remote runner never calls {what}"
    )))
}

#[async_trait]
impl Transport for Wire {
    async fn send_message(
        &self,
        params: &ServiceParams,
        request: &SendMessageRequest,
    ) -> Result<SendMessageResponse, A2AError> {
        Ok(self.binding.send_message(headers(params)?, request).await?)
    }

    async fn send_streaming_message(
        &self,
        params: &ServiceParams,
        request: &SendMessageRequest,
    ) -> Result<Events, A2AError> {
        let headers = headers(params)?;
        Ok(self.binding.stream_message(headers, request).await?)
    }

    async fn get_task(
        &self,
        params: &ServiceParams,
        request: &GetTaskRequest,
    ) -> Result<Task, A2AError> {
        Ok(self.binding.get_task(headers(params)?, request).await?)
    }

    async fn cancel_task(
        &self,
        params: &ServiceParams,
        request: &CancelTaskRequest,
    ) -> Result<Task, A2AError> {
        Ok(self.binding.cancel_task(headers(params)?, request).await?)
    }

    async fn subscribe_to_task(
        &self,
        params: &ServiceParams,
        request: &SubscribeToTaskRequest,
    ) -> Result<Events, A2AError> {
        Ok(self.binding.subscribe(headers(params)?, request).await?)
    }

    async fn list_tasks(
        &self,
        _params: &ServiceParams,
        _request: &ListTasksRequest,
    ) -> Result<ListTasksResponse, A2AError> {
        not_called("ListTasks")
    }

    async fn create_push_config(
        &self,
        _params: &ServiceParams,
        _request: &TaskPushNotificationConfig,
    ) -> Result<TaskPushNotificationConfig, A2AError> {
        not_called("CreateTaskPushNotificationConfig")
    }

    async fn get_push_config(
        &self,
        _params: &ServiceParams,
        _request: &GetTaskPushNotificationConfigRequest,
    ) -> Result<TaskPushNotificationConfig, A2AError> {
        not_called("GetTaskPushNotificationConfig")
    }

    async fn list_push_configs(
        &self,
        _params: &ServiceParams,
        _request: &ListTaskPushNotificationConfigsRequest,
    ) -> Result<ListTaskPushNotificationConfigsResponse, A2AError> {
        not_called("ListTaskPushNotificationConfigs")
    }

    async fn delete_push_config(
        &self,
        _params: &ServiceParams,
        _request: &DeleteTaskPushNotificationConfigRequest,
    ) -> Result<(), A2AError> {
        not_called("DeleteTaskPushNotificationConfig")
    }

    async fn get_extended_agent_card(
        &self,
        _params: &ServiceParams,
        _request: &GetExtendedAgentCardRequest,
    ) -> Result<AgentCard, A2AError> {
        not_called("GetExtendedAgentCard")
    }

    async fn destroy(&self) -> Result<(), A2AError> {
        Ok(())
    }
}
