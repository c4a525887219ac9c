//! What the tools do: the one implementation, in the engine, over the task engine.
//!
//! Every result is measured in its encoded form and kept below
//! [`RESULT_BYTES`](mesh_agents_core::limits::RESULT_BYTES) on every surface; what had to be left
//! out is said, with the way to read it.

mod agents;
mod artifacts;
mod data_page;
mod fit;
mod tasks;
mod text_page;

use std::fmt;
use std::sync::Arc;

use futures::future::BoxFuture;
use mesh_agents_a2a::card::Place;
use mesh_agents_core::clock::Clock;
use mesh_agents_core::ids::{AgentId, TaskId};
use mesh_agents_core::json::JsonText;
use mesh_agents_core::policy::Caller;
use mesh_agents_core::principal::Principal;
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_core::task::Task;
use mesh_agents_tasks::TaskEngine;
use serde::Serialize;

use crate::backend::{CallMeta, ToolBackend};
use crate::mesh_node::{Meant, MeshNode};
use crate::tool::args::Location;
use crate::tool::results::ProblemLine;
use crate::tool::{ToolName, UnknownTool};
use mesh_agents_core::near::nearest;

/// What is wrong with agent directories at the moment.
pub type Problems = Arc<dyn Fn() -> Vec<ProblemLine> + Send + Sync>;

/// The tools over a task engine.
#[derive(Clone)]
pub struct EngineTools {
    /// Where tasks live.
    pub engine: TaskEngine,
    /// What is wrong with agent directories at the moment.
    pub problems: Problems,
    /// Where agents are served, and what their cards promise.
    pub place: Place,
    /// Wall time, for the keys of messages that came without one.
    pub clock: Arc<dyn Clock>,
    /// This node among others; `None` where there is no mesh.
    pub mesh: Option<MeshNode>,
}

impl fmt::Debug for EngineTools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EngineTools")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl ToolBackend for EngineTools {
    fn call<'a>(
        &'a self,
        meta: CallMeta,
        tool: &'a str,
        args: JsonText,
    ) -> BoxFuture<'a, Result<JsonText, Refusal>> {
        Box::pin(async move {
            let tool: ToolName = tool.parse().map_err(|error: UnknownTool| {
                Refusal::new(Code::InvalidArgument, error.to_string())
            })?;
            let answer = match tool {
                ToolName::GetAgents => self.get_agents(&meta.caller, &args),
                ToolName::GetAgent => self.get_agent(&meta.caller, &args),
                ToolName::SendMessage => self.send_message(&meta, &args).await,
                ToolName::GetTask => self.get_task(&meta, &args).await,
                ToolName::ListTasks => self.list_tasks(&meta, &args).await,
                ToolName::CancelTask => self.cancel_task(&meta, &args).await,
                ToolName::ViewTextArtifact => self.view_text_artifact(&meta, &args).await,
                ToolName::ViewDataArtifact => self.view_data_artifact(&meta, &args).await,
            };
            match &answer {
                Ok(result) => {
                    tracing::debug!(%tool, surface = %meta.surface, caller = %meta.caller.principal, bytes = result.as_str().len(), "answered");
                }
                Err(refusal) => {
                    tracing::debug!(%tool, surface = %meta.surface, caller = %meta.caller.principal, code = %refusal.code, "refused");
                }
            }
            answer
        })
    }
}

impl EngineTools {
    /// The task, if it is one of `agent` where that is given.
    async fn task_of(
        &self,
        caller: &Caller,
        id: &TaskId,
        agent: Option<&AgentId>,
    ) -> Result<Task, Refusal> {
        let task = self.engine.task(caller, id).await?;
        match agent {
            // Answers name the agent as its node does.
            Some(agent) if *agent != task.agent_id && agent.as_str() != task.agent_id.name() => {
                Err(Refusal::new(
                    Code::TaskNotFound,
                    format!(
                        "agent {:?} has no task {id}; it is a task of agent {:?}",
                        agent.as_str(),
                        task.agent_id.as_str()
                    ),
                )
                .hint("Leave agent_id out, or name that agent."))
            }
            _ => Ok(task),
        }
    }

    /// The id the engine knows the agent by that a caller means, on the node it names or any.
    fn meant(
        &self,
        caller: &Caller,
        agent: &AgentId,
        peer: Option<&str>,
    ) -> Result<Meant, Refusal> {
        match &self.mesh {
            // What a peer sends work to is here, and what else is on the mesh is not its to know.
            _ if for_peer(caller) && peer.is_some() => Err(self.no_agent(caller, agent)),
            Some(mesh) if !for_peer(caller) => mesh.meant(agent, peer),
            _ if peer.is_none() => Ok(Meant {
                id: agent.clone(),
                why: None,
                route: None,
            }),
            _ => Err(Refusal::new(
                Code::AgentNotFound,
                "argument peer_id: this node is not on a mesh",
            )
            .hint("Leave it out to use the agents of this node.")),
        }
    }

    fn no_agent(&self, caller: &Caller, id: &AgentId) -> Refusal {
        let refusal = Refusal::new(
            Code::AgentNotFound,
            format!("no agent {:?} on this node", id.as_str()),
        );
        self.offer_near(caller, refusal, id)
    }

    /// Adds the nearest id there is to the refusal of an unknown one.
    fn offer_near(&self, caller: &Caller, refusal: Refusal, id: &AgentId) -> Refusal {
        let agents = self.engine.agents();
        let enabled = agents
            .values()
            .filter(|agent| self.engine.shows(caller, agent));
        match nearest(id.as_str(), enabled.map(|agent| agent.id.as_str())) {
            Some(near) => {
                refusal.hint(format!("Did you mean {near:?}? get_agents lists them all."))
            }
            None if agents.is_empty() && !for_peer(caller) => refusal.hint(format!(
                "This node has no agent that works: `mesh-llm agents init {id}` makes one, and get_agents shows what is wrong with the others."
            )),
            None => refusal.hint("get_agents lists the agents there are."),
        }
    }
}

/// Whether somebody on another node began this, who is not to see what the owner of this one sees.
fn for_peer(caller: &Caller) -> bool {
    matches!(caller.root, Principal::Key(_))
}

fn encode<T: Serialize>(result: &T) -> Result<JsonText, Refusal> {
    JsonText::of(result).map_err(|error| internal(&error))
}

fn internal(error: &dyn fmt::Display) -> Refusal {
    Refusal::new(
        Code::Internal,
        format!("the result could not be written: {error}"),
    )
}

#[cfg(test)]
mod tests;

/// Where an agent runs.
fn location(agent: &AgentId) -> Location {
    if agent.is_local() {
        Location::Local
    } else {
        Location::Remote
    }
}
