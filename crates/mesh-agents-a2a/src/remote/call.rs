//! Calls to one remote agent, through the official client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use a2a::jsonrpc::methods;
use a2a::{
    CancelTaskRequest, GetTaskRequest, SendMessageConfiguration, SendMessageRequest,
    SendMessageResponse, StreamResponse, SubscribeToTaskRequest, Task,
};
use a2a_client::auth::AuthInterceptor;
use a2a_client::middleware::CallInterceptor;
use a2a_client::{A2AClient, A2AClientFactory, ServiceParams, Transport};
use async_trait::async_trait;
use futures::StreamExt as _;
use futures::stream::BoxStream;

use super::fault::Fault;
use super::mirror::Answered;
use super::pipe::Pipe;
use super::target::{BINDINGS, Target, misconfigured};
use super::wire::{Factory, Patience};
use crate::peer::{AFTER_HEADER, ARTIFACTS_HEADER, BY_REFERENCE};
use mesh_agents_core::policy::SKILL_HEADER;
use mesh_agents_core::task::Failure;

/// Messages of the history asked for: the agent's last word is among the newest few.
const HISTORY: i32 = 4;

/// Events of one stream.
pub(crate) type Stream = BoxStream<'static, Result<StreamResponse, Fault>>;

/// One remote agent, ready to be called. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Caller {
    client: Arc<A2AClient<Box<dyn Transport>>>,
    behind: Arc<Behind>,
}

/// Names the event a stream is to go on behind; 0 names none. A header belongs to one call, and the client
/// takes headers for all of them only: the calls of one remote agent are made one at a time.
#[derive(Debug, Default)]
struct Behind(AtomicU64);

#[async_trait]
impl CallInterceptor for Behind {
    async fn before(&self, method: &str, params: &mut ServiceParams) -> Result<(), a2a::A2AError> {
        let after = self.0.load(Ordering::Relaxed);
        let streams = [methods::SUBSCRIBE_TO_TASK, methods::SEND_STREAMING_MESSAGE];
        if streams.contains(&method) && after > 0 {
            params.insert(AFTER_HEADER.to_owned(), vec![after.to_string()]);
        }
        Ok(())
    }
}

impl Caller {
    /// Sets up the calls to `target` over `pipe`, all of them for `skill`, if one is named. `by_reference`:
    /// a node is told that large artifacts are fetched later.
    pub(crate) async fn new(
        target: &Target,
        skill: Option<&str>,
        by_reference: bool,
        pipe: Arc<dyn Pipe>,
        patience: Patience,
    ) -> Result<Self, Failure> {
        let mut factory = A2AClientFactory::builder()
            .no_defaults()
            .preferred_bindings(BINDINGS.map(str::to_owned).to_vec());
        for transport in Factory::all(&pipe, patience) {
            factory = factory.register(transport);
        }
        if by_reference && target.node.is_some() {
            let header = AuthInterceptor::custom(ARTIFACTS_HEADER, BY_REFERENCE);
            factory = factory.with_interceptor(Arc::new(header));
        }
        if let Some(token) = &target.token {
            factory = factory.with_interceptor(Arc::new(AuthInterceptor::bearer(token)));
        }
        // Elsewhere nobody knows the header.
        if let Some(skill) = skill.filter(|_| target.node.is_some()) {
            let names = AuthInterceptor::custom(SKILL_HEADER, skill);
            factory = factory.with_interceptor(Arc::new(names));
        }
        let behind = Arc::<Behind>::default();
        let names = Arc::clone(&behind);
        let client = factory
            .with_interceptor(names)
            .build()
            .create_from_card(&target.card)
            .await
            .map_err(|error| misconfigured(error.to_string()))?;
        Ok(Self {
            client: Arc::new(client),
            behind,
        })
    }

    /// Sends a message and follows what comes of it: with a node, behind the event `after` of the log of the task it
    /// is for, unless that is 0.
    pub(crate) async fn stream(&self, message: a2a::Message, after: u64) -> Result<Stream, Fault> {
        self.behind.0.store(after, Ordering::Relaxed);
        let request = request(message, None);
        Ok(faults(self.client.send_streaming_message(&request).await?))
    }

    /// Sends a message and takes what there is at once.
    pub(crate) async fn send(&self, message: a2a::Message) -> Result<Answered, Fault> {
        let configuration = SendMessageConfiguration {
            accepted_output_modes: None,
            task_push_notification_config: None,
            history_length: Some(HISTORY),
            return_immediately: Some(true),
        };
        let request = request(message, Some(configuration));
        Ok(match self.client.send_message(&request).await? {
            SendMessageResponse::Task(task) => Answered::Task(Box::new(task)),
            SendMessageResponse::Message(message) => Answered::Message(Box::new(message)),
        })
    }

    /// The task as it stands.
    pub(crate) async fn get(&self, task: &str) -> Result<Task, Fault> {
        let request = GetTaskRequest {
            id: task.to_owned(),
            history_length: Some(HISTORY),
            tenant: None,
        };
        Ok(self.client.get_task(&request).await?)
    }

    /// Asks for the end of a task.
    pub(crate) async fn cancel(&self, task: &str) -> Result<Task, Fault> {
        let request = CancelTaskRequest {
            id: task.to_owned(),
            metadata: None,
            tenant: None,
        };
        Ok(self.client.cancel_task(&request).await?)
    }

    /// Follows a task that is under way: with a node, behind the event `after` of its log, unless that is 0.
    pub(crate) async fn subscribe(&self, task: &str, after: u64) -> Result<Stream, Fault> {
        self.behind.0.store(after, Ordering::Relaxed);
        let request = SubscribeToTaskRequest {
            id: task.to_owned(),
            tenant: None,
        };
        Ok(faults(self.client.subscribe_to_task(&request).await?))
    }
}

fn request(
    message: a2a::Message,
    configuration: Option<SendMessageConfiguration>,
) -> SendMessageRequest {
    SendMessageRequest {
        message,
        configuration,
        metadata: None,
        tenant: None,
    }
}

fn faults(stream: BoxStream<'static, Result<StreamResponse, a2a::A2AError>>) -> Stream {
    stream.map(|item| item.map_err(Fault::from)).boxed()
}
