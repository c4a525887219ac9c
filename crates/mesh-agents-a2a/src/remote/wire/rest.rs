//! The HTTP+JSON binding (a2a.md §1.1): a path for each operation below the interface's URL, and
//! below the tenant where the interface declares one.

use std::sync::Arc;
use std::time::Duration;

use a2a::{
    CancelTaskRequest, GetTaskRequest, SendMessageRequest, SendMessageResponse,
    SubscribeToTaskRequest, Task, error_code,
};
use a2a_pb::protojson_conv::ProtoJsonPayload;
use async_trait::async_trait;
use bytes::Bytes;
use futures::StreamExt as _;
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderValue};
use reqwest::{Method, Url};
use serde::de::DeserializeOwned;

use super::{ANSWER_BYTES, Binding, Events, Patience, is_event_stream, read};
use crate::remote::fault::{Fault, Stage};
use crate::remote::pipe::{Pipe, Request, Response};
use crate::remote::sse;

/// A remote called by HTTP+JSON.
pub(super) struct Rest {
    pipe: Arc<dyn Pipe>,
    base: Url,
    patience: Patience,
}

impl Rest {
    pub(super) fn new(pipe: Arc<dyn Pipe>, base: Url, patience: Patience) -> Self {
        Self {
            pipe,
            base,
            patience,
        }
    }

    /// The URL of an operation. The pieces come from the remote too, so each is one path segment
    /// whatever it holds.
    fn url(&self, tenant: Option<&str>, segments: &[&str]) -> Result<Url, Fault> {
        let mut url = self.base.clone();
        let tenant = tenant.filter(|tenant| !tenant.is_empty());
        match url.path_segments_mut() {
            Ok(mut path) => {
                path.pop_if_empty().extend(tenant).extend(segments);
            }
            Err(()) => {
                return Err(Fault::Unconnected {
                    stage: Stage::Other,
                    cause: format!("{} takes no paths", self.base),
                });
            }
        }
        Ok(url)
    }

    async fn send(
        &self,
        method: Method,
        url: Url,
        mut headers: HeaderMap,
        body: Option<Bytes>,
        patience: Option<Duration>,
    ) -> Result<Response, Fault> {
        if body.is_some() {
            let json = HeaderValue::from_static("application/a2a+json");
            headers.insert(CONTENT_TYPE, json);
        }
        let request = Request {
            method,
            url,
            headers,
            body,
            patience,
        };
        self.pipe.send(request).await
    }
}

async fn whole<R: DeserializeOwned + ProtoJsonPayload>(answer: Response) -> Result<R, Fault> {
    let (status, location) = (answer.status, answer.location.clone());
    let body = answer.collect(ANSWER_BYTES).await?;
    if !(200..300).contains(&status) {
        return Err(read::refusal(status, location, &body));
    }
    let text = std::str::from_utf8(&body).map_err(|error| Fault::Unreadable {
        cause: error.to_string(),
    })?;
    read::value(text)
}

async fn events(answer: Response) -> Result<Events, Fault> {
    if !is_event_stream(&answer) {
        let only = whole(answer).await?;
        return Ok(futures::stream::iter([Ok(only)]).boxed());
    }
    let events = sse::events(answer.body, ANSWER_BYTES);
    Ok(events.map(|event| Ok(read::event(&event?)?)).boxed())
}

/// A plain 404 where a task was named means the task.
fn of_task(fault: Fault) -> Fault {
    match fault {
        Fault::Status {
            status: 404, words, ..
        } => Fault::Told {
            code: error_code::TASK_NOT_FOUND,
            words,
        },
        other => other,
    }
}

#[async_trait]
impl Binding for Rest {
    async fn send_message(
        &self,
        headers: HeaderMap,
        request: &SendMessageRequest,
    ) -> Result<SendMessageResponse, Fault> {
        let url = self.url(request.tenant.as_deref(), &["message:send"])?;
        let body = super::encode(request)?;
        let sent = self.send(Method::POST, url, headers, Some(body), None);
        whole(sent.await?).await
    }

    async fn stream_message(
        &self,
        mut headers: HeaderMap,
        request: &SendMessageRequest,
    ) -> Result<Events, Fault> {
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let url = self.url(request.tenant.as_deref(), &["message:stream"])?;
        let body = super::encode(request)?;
        let patience = Some(self.patience.first_byte);
        let sent = self.send(Method::POST, url, headers, Some(body), patience);
        events(sent.await?).await
    }

    async fn get_task(&self, headers: HeaderMap, request: &GetTaskRequest) -> Result<Task, Fault> {
        let mut url = self.url(request.tenant.as_deref(), &["tasks", &request.id])?;
        if let Some(length) = request.history_length {
            url.query_pairs_mut()
                .append_pair("historyLength", &length.to_string());
        }
        let patience = Some(self.patience.first_byte);
        let sent = self.send(Method::GET, url, headers, None, patience);
        whole(sent.await?).await.map_err(of_task)
    }

    async fn cancel_task(
        &self,
        headers: HeaderMap,
        request: &CancelTaskRequest,
    ) -> Result<Task, Fault> {
        let last = format!("{}:cancel", request.id);
        let url = self.url(request.tenant.as_deref(), &["tasks", &last])?;
        let body = super::encode(request)?;
        let patience = Some(self.patience.first_byte);
        let sent = self.send(Method::POST, url, headers, Some(body), patience);
        whole(sent.await?).await.map_err(of_task)
    }

    async fn subscribe(
        &self,
        mut headers: HeaderMap,
        request: &SubscribeToTaskRequest,
    ) -> Result<Events, Fault> {
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        let last = format!("{}:subscribe", request.id);
        let url = self.url(request.tenant.as_deref(), &["tasks", &last])?;
        let patience = Some(self.patience.first_byte);
        let got = self.send(Method::GET, url.clone(), headers.clone(), None, patience);
        match events(got.await?).await {
            // The specification does not settle the verb (a2a.md §1.1); some servers take POST alone.
            Err(Fault::Status {
                status: 404 | 405, ..
            }) => {
                let body = super::encode(request)?;
                let sent = self.send(Method::POST, url, headers, Some(body), patience);
                events(sent.await?).await.map_err(of_task)
            }
            other => other,
        }
    }
}
