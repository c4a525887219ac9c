//! The JSON-RPC binding (a2a.md §1.1): one URL, the operation in the body.

use std::sync::Arc;
use std::time::Duration;

use a2a::jsonrpc::methods;
use a2a::{
    CancelTaskRequest, GetTaskRequest, SendMessageRequest, SendMessageResponse,
    SubscribeToTaskRequest, Task,
};
use a2a_pb::protojson_conv::ProtoJsonPayload;
use async_trait::async_trait;
use futures::StreamExt as _;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{ANSWER_BYTES, Binding, Events, Patience, is_event_stream, read};
use crate::remote::fault::Fault;
use crate::remote::pipe::{Pipe, Request, Response};
use crate::remote::sse;

/// A remote called by JSON-RPC.
pub(super) struct JsonRpc {
    pipe: Arc<dyn Pipe>,
    url: Url,
    patience: Patience,
}

#[derive(Serialize)]
struct Call<'a, T> {
    jsonrpc: &'static str,
    /// A connection carries one call at a time, so all may have the same.
    id: u8,
    method: &'a str,
    params: &'a T,
}

impl JsonRpc {
    pub(super) fn new(pipe: Arc<dyn Pipe>, url: Url, patience: Patience) -> Self {
        Self {
            pipe,
            url,
            patience,
        }
    }

    async fn post<T: Serialize + Sync>(
        &self,
        mut headers: HeaderMap,
        method: &str,
        params: &T,
        patience: Option<Duration>,
    ) -> Result<Response, Fault> {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let body = super::encode(&Call {
            jsonrpc: "2.0",
            id: 1,
            method,
            params,
        })?;
        let request = Request {
            method: Method::POST,
            url: self.url.clone(),
            headers,
            body: Some(body),
            patience,
        };
        self.pipe.send(request).await
    }

    async fn call<T, R>(
        &self,
        headers: HeaderMap,
        method: &str,
        params: &T,
        patience: Option<Duration>,
    ) -> Result<R, Fault>
    where
        T: Serialize + Sync,
        R: DeserializeOwned + ProtoJsonPayload,
    {
        let answer = self.post(headers, method, params, patience).await?;
        let (status, location) = (answer.status, answer.location.clone());
        let body = answer.collect(ANSWER_BYTES).await?;
        if (200..300).contains(&status) {
            read::result(&body)
        } else {
            Err(read::refusal(status, location, &body))
        }
    }

    async fn stream<T: Serialize + Sync>(
        &self,
        mut headers: HeaderMap,
        method: &str,
        params: &T,
    ) -> Result<Events, Fault> {
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let patience = Some(self.patience.first_byte);
        let answer = self.post(headers, method, params, patience).await?;
        if is_event_stream(&answer) {
            let events = sse::events(answer.body, ANSWER_BYTES);
            let read = events.map(|event| Ok(read::result(&event?)?));
            return Ok(read.boxed());
        }
        let (status, location) = (answer.status, answer.location.clone());
        let body = answer.collect(ANSWER_BYTES).await?;
        if !(200..300).contains(&status) {
            return Err(read::refusal(status, location, &body));
        }
        // An error before the first event comes as plain JSON, and so does a lone answer of a
        // server that has nothing to stream.
        let only = read::result(&body)?;
        Ok(futures::stream::iter([Ok(only)]).boxed())
    }
}

#[async_trait]
impl Binding for JsonRpc {
    async fn send_message(
        &self,
        headers: HeaderMap,
        request: &SendMessageRequest,
    ) -> Result<SendMessageResponse, Fault> {
        self.call(headers, methods::SEND_MESSAGE, request, None)
            .await
    }

    async fn stream_message(
        &self,
        headers: HeaderMap,
        request: &SendMessageRequest,
    ) -> Result<Events, Fault> {
        self.stream(headers, methods::SEND_STREAMING_MESSAGE, request)
            .await
    }

    async fn get_task(&self, headers: HeaderMap, request: &GetTaskRequest) -> Result<Task, Fault> {
        let patience = Some(self.patience.first_byte);
        self.call(headers, methods::GET_TASK, request, patience)
            .await
    }

    async fn cancel_task(
        &self,
        headers: HeaderMap,
        request: &CancelTaskRequest,
    ) -> Result<Task, Fault> {
        let patience = Some(self.patience.first_byte);
        self.call(headers, methods::CANCEL_TASK, request, patience)
            .await
    }

    async fn subscribe(
        &self,
        headers: HeaderMap,
        request: &SubscribeToTaskRequest,
    ) -> Result<Events, Fault> {
        self.stream(headers, methods::SUBSCRIBE_TO_TASK, request)
            .await
    }
}
