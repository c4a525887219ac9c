//! What the checks stand on: one binding of one node, reached by the client of the A2A project.

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use a2a::{
    A2AError, AgentCard, Artifact, ListTasksResponse, Message, Part, PartContent,
    SendMessageRequest, SendMessageResponse, Task, TaskState,
};
use a2a_client::agent_card::AgentCardResolver;
use a2a_client::auth::AuthInterceptor;
use a2a_client::jsonrpc::JsonRpcTransportFactory;
use a2a_client::rest::RestTransportFactory;
use a2a_client::{A2AClient, A2AClientFactory, Transport};
use mesh_agents_a2a::http::plain_client;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use ulid::Ulid;

use crate::events::Events;
use crate::node::Node;
use crate::receiver::Receiver;
use crate::report::PATIENCE;

/// As long as a node waits for the end of what it cancels.
const CANCEL_WAITS: Duration = Duration::from_secs(5);

/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(20);

/// An id no task has.
pub(crate) const UNKNOWN: &str = "task-01ARZ3NDEKTSV4RRFFQ69G5FAV";

/// The client of one agent.
pub(crate) type Client = A2AClient<Box<dyn Transport>>;

/// One binding of one node.
#[derive(Clone)]
pub(crate) struct World {
    stage: PathBuf,
    base: String,
    binding: &'static str,
    pub(crate) receiver: Receiver,
}

/// A message to be sent: parts, further fields of the message, and the configuration.
#[derive(Clone)]
pub(crate) struct Sending {
    pub(crate) parts: Vec<Part>,
    pub(crate) message: Value,
    pub(crate) configuration: Value,
}

impl Sending {
    pub(crate) fn text(text: &str) -> Self {
        Self {
            parts: vec![Part::text(text)],
            message: json!({}),
            configuration: json!({}),
        }
    }

    /// Adds fields to the message.
    pub(crate) fn with(mut self, fields: Value) -> Self {
        self.message = fields;
        self
    }

    /// Adds fields to the configuration.
    pub(crate) fn configured(mut self, fields: Value) -> Self {
        self.configuration = fields;
        self
    }

    /// Does not wait for the end.
    pub(crate) fn at_once(mut self) -> Self {
        self.configuration["returnImmediately"] = json!(true);
        self
    }

    pub(crate) fn request(&self) -> SendMessageRequest {
        let mut message = json!({
            "messageId": format!("m-{}", Ulid::new()),
            "role": "ROLE_USER",
            "parts": self.parts,
        });
        for (key, value) in self.message.as_object().unwrap() {
            message[key] = value.clone();
        }
        of(json!({ "message": message, "configuration": self.configuration }))
    }
}

/// A value of the protocol from its JSON.
pub(crate) fn of<T: DeserializeOwned>(document: Value) -> T {
    serde_json::from_value(document).unwrap()
}

/// A name nothing else has.
pub(crate) fn fresh(kind: &str) -> String {
    format!("{kind}-{}", Ulid::new())
}

impl World {
    pub(crate) fn new(node: &Node, binding: &'static str, receiver: &Receiver) -> Self {
        Self {
            stage: node.stage(),
            base: node.base.clone(),
            binding,
            receiver: receiver.clone(),
        }
    }

    /// The binding as reports name it.
    pub(crate) fn label(&self) -> &'static str {
        if self.binding == "JSONRPC" {
            "jsonrpc"
        } else {
            "http-json"
        }
    }

    pub(crate) fn binding(&self) -> &'static str {
        self.binding
    }

    /// The card of an agent, by the client's own resolver.
    pub(crate) async fn card(&self, agent: &str) -> AgentCard {
        let url = format!("{}/a2a/agents/{agent}", self.base);
        let http = plain_client().unwrap();
        let resolver = AgentCardResolver::new(Some(http));
        resolver.resolve(&url).await.unwrap()
    }

    /// The client of an agent, made from its card.
    pub(crate) async fn client(&self, agent: &str) -> Client {
        self.client_with(agent, None).await
    }

    /// The client of an agent that sends the token of this caller.
    pub(crate) async fn client_as(&self, agent: &str, caller: &str) -> Client {
        let token = std::fs::read_to_string(self.stage.join(format!("{caller}.token"))).unwrap();
        self.client_with(agent, Some(AuthInterceptor::bearer(token.trim())))
            .await
    }

    pub(crate) async fn client_with(&self, agent: &str, header: Option<AuthInterceptor>) -> Client {
        let card = self.card(agent).await;
        let http = Some(plain_client().unwrap());
        let factory = A2AClientFactory::builder().no_defaults();
        let mut factory = if self.binding == "JSONRPC" {
            factory.register(Arc::new(JsonRpcTransportFactory::new(http)))
        } else {
            factory.register(Arc::new(RestTransportFactory::new(http)))
        };
        if let Some(header) = header {
            factory = factory.with_interceptor(Arc::new(header));
        }
        factory.build().create_from_card(&card).await.unwrap()
    }

    pub(crate) fn gate(&self) -> Gate {
        Gate(self.stage.join("gates").join(Ulid::new().to_string()))
    }

    /// Sends to an agent without a stream.
    pub(crate) async fn send(&self, agent: &str, sending: Sending) -> Task {
        let client = self.client(agent).await;
        task(client.send_message(&sending.request()).await.unwrap())
    }

    /// As [`Self::send`], for a message that has to be refused.
    pub(crate) async fn refused(&self, agent: &str, sending: Sending) -> i32 {
        let client = self.client(agent).await;
        code(client.send_message(&sending.request()).await)
    }

    pub(crate) async fn stream(&self, agent: &str, sending: Sending) -> Events {
        let client = self.client(agent).await;
        let request = sending.request();
        client.send_streaming_message(&request).await.unwrap()
    }

    pub(crate) async fn subscribe(&self, agent: &str, id: &str) -> Events {
        let client = self.client(agent).await;
        let request = of(json!({ "id": id }));
        client.subscribe_to_task(&request).await.unwrap()
    }

    pub(crate) async fn get(&self, agent: &str, id: &str) -> Task {
        let client = self.client(agent).await;
        client.get_task(&of(json!({ "id": id }))).await.unwrap()
    }

    pub(crate) async fn list(&self, agent: &str, query: Value) -> ListTasksResponse {
        let client = self.client(agent).await;
        client.list_tasks(&of(query)).await.unwrap()
    }

    /// Cancels a task. Only an answer that waited for as long as a node does may tell less than that it is canceled;
    /// then its end is waited for, as on a machine that does much else it has to be.
    pub(crate) async fn cancel(&self, agent: &str, id: &str) -> Result<Task, A2AError> {
        let client = self.client(agent).await;
        let began = Instant::now();
        let told = client.cancel_task(&of(json!({ "id": id }))).await?;
        if told.status.state.is_terminal() || began.elapsed() < CANCEL_WAITS {
            return Ok(told);
        }
        Ok(self.until_state(agent, id, &[TaskState::Canceled]).await)
    }

    /// The task, once it is in one of these states.
    pub(crate) async fn until_state(&self, agent: &str, id: &str, states: &[TaskState]) -> Task {
        let client = self.client(agent).await;
        let request = of(json!({ "id": id }));
        until(&format!("{id} is {states:?}"), || async {
            let seen = client.get_task(&request).await.unwrap();
            let there = states.contains(&seen.status.state);
            assert!(
                there || !seen.status.state.is_terminal(),
                "the task is to become {states:?}; saw {seen:?}"
            );
            there.then_some(seen)
        })
        .await
    }
}

/// The task that an answer has to be.
pub(crate) fn task(answer: SendMessageResponse) -> Task {
    match answer {
        SendMessageResponse::Task(task) => task,
        other => panic!("the answer is a task; saw {other:?}"),
    }
}

/// The code of a call that has to be refused, with a reason in words.
pub(crate) fn code<T: std::fmt::Debug>(answer: Result<T, A2AError>) -> i32 {
    let error = answer.expect_err("the call is refused");
    assert!(!error.message.is_empty(), "the refusal says why: {error:?}");
    error.code
}

/// The text of parts.
pub(crate) fn text_of(parts: &[Part]) -> String {
    parts.iter().filter_map(Part::as_text).collect()
}

/// The text of a status message.
pub(crate) fn said(message: Option<&Message>) -> String {
    message.map(|one| text_of(&one.parts)).unwrap_or_default()
}

/// One artifact of a task.
pub(crate) fn artifact<'a>(task: &'a Task, id: &str) -> &'a Artifact {
    let artifacts = task.artifacts.as_deref().unwrap_or_default();
    let found: Vec<_> = artifacts
        .iter()
        .filter(|one| one.artifact_id == id)
        .collect();
    assert_eq!(found.len(), 1, "the task has one artifact {id}: {task:?}");
    found[0]
}

/// The text of the answer.
pub(crate) fn answer(task: &Task) -> String {
    text_of(&artifact(task, "response").parts)
}

/// The data of a part.
pub(crate) fn data(part: &Part) -> &Value {
    match &part.content {
        PartContent::Data(data) => data,
        other => panic!("the part is data; saw {other:?}"),
    }
}

/// Waits until `look` finds something.
pub(crate) async fn until<T, F>(what: &str, mut look: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let looking = async {
        loop {
            if let Some(found) = look().await {
                return found;
            }
            tokio::time::sleep(POLL).await;
        }
    };
    match tokio::time::timeout(PATIENCE / 2, looking).await {
        Ok(found) => found,
        Err(_) => panic!("in vain: {what}"),
    }
}

/// A file an agent waits for.
pub(crate) struct Gate(PathBuf);

impl Gate {
    /// The line with which an agent waits for it.
    pub(crate) fn wait(&self) -> String {
        format!("script: wait_file {}", self.0.display())
    }

    pub(crate) fn open(&self) {
        std::fs::write(&self.0, "").unwrap();
    }
}
