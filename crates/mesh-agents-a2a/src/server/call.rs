//! The eleven operations of A2A, for one caller and one agent, whatever the binding.

use std::sync::Arc;
use std::time::Duration;

use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::ids::{ContextId, TaskId};
use mesh_agents_core::json::JsonText;
use mesh_agents_core::policy::{Caller, may_answer};
use mesh_agents_core::principal::Principal;
use mesh_agents_core::refusal::Code;
use mesh_agents_core::run::QuestionKind;
use mesh_agents_core::task::{Message, Task};
use mesh_agents_tasks::Submit;
use serde::Deserialize;

use super::A2aServer;
use super::document::{self, Room};
use super::error::{Fault, Kind};
use super::request::{self, OneTask, PathIds, SendMessage};
use super::stream::{TaskStream, closes};
use super::{list, push};
use crate::card;
use crate::peer::ToNode;
use crate::updates::{Updates, of_task};

/// A blocking call waits for the task, however long it works; past this it is answered with the task
/// as it stands, so that a connection nobody closed does not wait for ever.
const PATIENCE: Duration = Duration::from_secs(24 * 60 * 60);

/// What can be asked of an agent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    SendMessage,
    SendStreamingMessage,
    GetTask,
    ListTasks,
    CancelTask,
    SubscribeToTask,
    CreatePushConfig,
    GetPushConfig,
    ListPushConfigs,
    DeletePushConfig,
    GetExtendedCard,
}

/// What an operation answers.
#[derive(Debug)]
pub(super) enum Reply {
    One(JsonText),
    Stream(Box<TaskStream>),
}

/// One call.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) server: A2aServer,
    pub(super) agent: Arc<AgentDefinition>,
    pub(super) caller: Caller,
    /// Whether the caller showed who it is; a caller on this machine need not.
    pub(super) authenticated: bool,
    /// Extensions both sides know.
    pub(super) extensions: Vec<String>,
    /// Whether the caller fetches large artifacts by itself; heeded for other nodes.
    pub(super) fetches: bool,
    /// The event of a task's log that its stream goes on behind, where the caller is a node that says so.
    pub(super) after: Option<u64>,
}

impl Call {
    /// Does it. `params` is the text of the parameters; `path` what a REST path says of them.
    pub(super) async fn run(
        &self,
        operation: Operation,
        params: &str,
        path: &PathIds,
    ) -> Result<Reply, Fault> {
        match operation {
            Operation::SendMessage => self.send(params).await.map(Reply::One),
            Operation::SendStreamingMessage => self.send_streaming(params).await,
            Operation::GetTask => {
                let OneTask { id, history } = request::one_task(params, path)?;
                self.shown(&id, history).await.map(Reply::One)
            }
            Operation::ListTasks => {
                let asked = request::list(params)?;
                list::page(self, &asked).await.map(Reply::One)
            }
            Operation::CancelTask => {
                let OneTask { id, .. } = request::one_task(params, path)?;
                self.cancel(&id).await.map(Reply::One)
            }
            Operation::SubscribeToTask => {
                let OneTask { id, .. } = request::one_task(params, path)?;
                self.subscribe(&id).await
            }
            Operation::CreatePushConfig => {
                let (task, config) = request::new_config(params, path)?;
                push::create(self, &task, config).await.map(Reply::One)
            }
            Operation::GetPushConfig => {
                let (task, config) = request::config(params, path)?;
                push::get(self, &task, &config).await.map(Reply::One)
            }
            Operation::ListPushConfigs => {
                let asked = request::configs(params, path)?;
                push::list(self, &asked).await.map(Reply::One)
            }
            Operation::DeletePushConfig => {
                let (task, config) = request::config(params, path)?;
                push::delete(self, &task, &config).await.map(Reply::One)
            }
            Operation::GetExtendedCard => {
                request::nothing(params)?;
                self.extended_card().map(Reply::One)
            }
        }
    }

    /// A task of this agent that the caller may see.
    pub(super) async fn own_task(&self, id: &TaskId) -> Result<Task, Fault> {
        let task = self.server.engine.task(&self.caller, id).await;
        let task = task.map_err(|refusal| of_task_or(id, refusal))?;
        self.own(&task)?;
        Ok(task)
    }

    /// Another agent's task is at another address.
    fn own(&self, task: &Task) -> Result<(), Fault> {
        if task.agent_id == self.agent.id {
            Ok(())
        } else {
            Err(Fault::no_task(task.id.as_str()))
        }
    }

    /// A task of this agent that the caller may see as it stands now, whole.
    async fn shown(&self, id: &TaskId, history: Option<u32>) -> Result<JsonText, Fault> {
        let engine = &self.server.engine;
        let view = engine.view(&self.caller, id).await;
        let view = view.map_err(|refusal| of_task_or(id, refusal))?;
        self.own(&view.task)?;
        let mut view = view;
        self.add(&mut view.task);
        let mut room = Room::of_one_answer().to(self.to_node(&view.task));
        document::whole(&self.server, &view, history, &mut room).await
    }

    /// The caller as a reader, when it is another node.
    fn to_node(&self, task: &Task) -> Option<ToNode> {
        let node = matches!(self.caller.principal, Principal::Key(_));
        node.then(|| ToNode {
            approves: may_answer(
                &self.caller,
                &task.agent_id,
                &task.principal,
                QuestionKind::Permission,
            )
            .is_ok(),
            fetches: self.fetches,
        })
    }

    /// Adds to a task what its caller is told besides.
    fn add(&self, task: &mut Task) {
        if let Some(to_node) = self.to_node(task) {
            to_node.add(task);
        }
    }

    /// Reads a message and stores it; returns the task and what the caller wants to see of it.
    async fn submit(&self, params: &str) -> Result<(Task, SendMessage), Fault> {
        let asked = request::send(params, &input_modes(&self.agent))?;
        let context = match &asked.task {
            None => asked.context.clone(),
            Some(id) => Some(self.context_of(id, asked.context.as_ref()).await?),
        };
        let submit = Submit {
            agent_id: self.agent.id.clone(),
            message: asked.message.clone(),
            metadata: asked.metadata.clone(),
            context_id: context,
            task_id: asked.task.clone(),
            push: asked.push.clone(),
            queue_if_offline: asked.queue_if_offline,
            minted: None,
        };
        let task = self.server.engine.submit(&self.caller, submit).await?;
        Ok((task, asked))
    }

    /// The context of the task a message is for; one the caller names must be the same (§3.4.3).
    async fn context_of(&self, id: &TaskId, named: Option<&ContextId>) -> Result<ContextId, Fault> {
        let task = self.own_task(id).await?;
        match named {
            Some(named) if *named != task.context_id => Err(Fault::field(
                "message.contextId",
                format!(
                    "task {id} belongs to another context; leave contextId out, it follows from taskId"
                ),
            )),
            _ => Ok(task.context_id),
        }
    }

    async fn send(&self, params: &str) -> Result<JsonText, Fault> {
        let (task, asked) = self.submit(params).await?;
        if !asked.return_immediately {
            let engine = &self.server.engine;
            engine.wait(&self.caller, &task.id, PATIENCE).await?;
        }
        let shown = self.shown(&task.id, asked.history).await?;
        Ok(of_task(&task, &shown)?)
    }

    async fn send_streaming(&self, params: &str) -> Result<Reply, Fault> {
        let (task, asked) = self.submit(params).await?;
        if task.last_seq > 1 {
            // A repeat, or an answer to a question: the task has a past.
            let stream = match self.behind(&task.id).await? {
                Some(stream) => stream,
                None => self.stream(&task.id, asked.history, Begin::Message).await?,
            };
            return Ok(Reply::Stream(Box::new(stream)));
        }
        // A new task: the stream tells its whole life.
        let engine = &self.server.engine;
        let follow = engine.follow_from(&self.caller, &task.id, task.last_seq);
        let follow = follow.await?;
        let history: [Message; 1] = [asked.message];
        let mut told = task.clone();
        self.add(&mut told);
        let shown = document::bare(&told, document::newest(&history, asked.history))?;
        let to_node = self.to_node(&task);
        Ok(Reply::Stream(Box::new(TaskStream {
            first: Some(of_task(&task, &shown)?),
            rest: Some((follow, Updates::after(task, None).to(to_node))),
            base: self.server.place.base.clone(),
        })))
    }

    async fn subscribe(&self, id: &TaskId) -> Result<Reply, Fault> {
        let task = self.own_task(id).await?;
        if task.state.is_terminal() {
            return Err(Fault::new(
                Kind::UnsupportedOperation,
                format!("task {id} has ended and nothing more happens to it; read it with GetTask"),
            ));
        }
        let stream = match self.behind(id).await? {
            Some(stream) => stream,
            None => self.stream(id, None, Begin::Subscription).await?,
        };
        Ok(Reply::Stream(Box::new(stream)))
    }

    /// What happened to the task since the event its caller names; `None` when none is named, or it is
    /// none of this log.
    async fn behind(&self, id: &TaskId) -> Result<Option<TaskStream>, Fault> {
        let Some(after) = self.after else {
            return Ok(None);
        };
        let engine = &self.server.engine;
        let behind = engine.follow_behind(&self.caller, id, after).await?;
        Ok(behind.map(|(task, said, follow)| {
            let to_node = self.to_node(&task);
            let updates = Updates::behind(task, &said, after).to(to_node);
            TaskStream {
                first: None,
                rest: Some((follow, updates)),
                base: self.server.place.base.clone(),
            }
        }))
    }

    /// The task as it stands, and what happens to it from there on.
    async fn stream(
        &self,
        id: &TaskId,
        history: Option<u32>,
        begin: Begin,
    ) -> Result<TaskStream, Fault> {
        let (engine, caller) = (&self.server.engine, &self.caller);
        let (mut view, follow) = engine.follow(caller, id).await?;
        let to_node = self.to_node(&view.task);
        self.add(&mut view.task);
        let mut room = Room::of_one_answer().to(to_node);
        let shown = document::whole(&self.server, &view, history, &mut room).await?;
        let over = match begin {
            // Who subscribes to a task that waits for an answer wants to see what the answer does.
            Begin::Subscription => view.task.state.is_terminal(),
            Begin::Message => closes(view.task.state),
        };
        Ok(TaskStream {
            first: Some(of_task(&view.task, &shown)?),
            rest: (!over).then(|| {
                let updates = Updates::after(view.task, view.response.as_deref()).to(to_node);
                (follow, updates)
            }),
            base: self.server.place.base.clone(),
        })
    }

    async fn cancel(&self, id: &TaskId) -> Result<JsonText, Fault> {
        let not_cancelable = |state: &dyn std::fmt::Display| {
            Fault::new(
                Kind::TaskNotCancelable,
                format!("task {id} has already ended: {state}"),
            )
        };
        let task = self.own_task(id).await?;
        if task.state.is_terminal() {
            return Err(not_cancelable(&task.state));
        }
        match self.server.engine.cancel(&self.caller, id).await {
            Ok(_) => self.shown(id, None).await,
            Err(refusal) if refusal.code == Code::TaskTerminal => {
                let task = self.own_task(id).await?;
                Err(not_cancelable(&task.state))
            }
            Err(refusal) => Err(refusal.into()),
        }
    }

    fn extended_card(&self) -> Result<JsonText, Fault> {
        let place = &self.server.place;
        if place.tokens == card::AccessTokens::None {
            return Err(Fault::new(
                Kind::UnsupportedOperation,
                "this node has no access token, so nobody can show who they are and there is no extended card; its owner can make one with --access-token-file",
            ));
        }
        if !self.authenticated {
            return Err(Fault::new(
                Kind::Unauthenticated,
                "the extended card needs authentication: send \"Authorization: Bearer <access token>\"",
            ));
        }
        card::extended(&self.agent, place)
            .map_err(|error| Fault::new(Kind::Internal, error.to_string()))
    }
}

/// What a stream begins with, besides the task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Begin {
    Message,
    Subscription,
}

fn of_task_or(id: &TaskId, refusal: mesh_agents_core::refusal::Refusal) -> Fault {
    match refusal.code {
        Code::TaskNotFound => Fault::no_task(id.as_str()),
        _ => refusal.into(),
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct InputModes {
    default_input_modes: Vec<String>,
    skills: Vec<SkillModes>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct SkillModes {
    input_modes: Vec<String>,
}

/// The media types an agent's card says it takes, for all it does or for some skill.
fn input_modes(agent: &AgentDefinition) -> Vec<String> {
    let card: InputModes = agent.card.json.read().unwrap_or_default();
    let skills = card.skills.into_iter().flat_map(|skill| skill.input_modes);
    card.default_input_modes.into_iter().chain(skills).collect()
}
