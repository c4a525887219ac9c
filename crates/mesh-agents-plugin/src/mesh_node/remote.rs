//! An agent of another node as a definition of this one: what its mesh card says, run by calling it there.

use std::num::NonZeroU32;
use std::path::PathBuf;

use mesh_agents_core::agent::{
    AgentCard, AgentDefinition, AgentPolicy, Approval, ConfigSource, Delivery, Filesystem,
    Instructions, Keep, Network, OnInterrupt, QueueMode, RuntimeConfig, RuntimeKind, SessionScope,
    Skill, Visibility, WorkspaceConfig, WorkspaceMode,
};
use mesh_agents_core::ids::AgentId;
use mesh_agents_mesh::MeshCard;
use serde::Deserialize;

/// Tasks with one agent of another node that this one follows at once. How many it works on is its
/// owner's to say; here each costs a stream.
const AT_ONCE: NonZeroU32 = NonZeroU32::new(64).unwrap();
/// How often a task is taken up again: engines that die so often have another problem.
const ATTEMPTS: NonZeroU32 = NonZeroU32::new(100).unwrap();
/// Tasks that wait for one of those.
const WAITING: u32 = 1000;
/// The owner's limits count, which are not known here; these only end what would never end.
const LONGEST_SECONDS: u64 = 30 * 24 * 60 * 60;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Card {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    skills: Vec<CardSkill>,
    #[serde(default)]
    default_input_modes: Vec<String>,
    #[serde(default)]
    default_output_modes: Vec<String>,
}

#[derive(Deserialize)]
struct CardSkill {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    tags: Vec<String>,
}

/// The definition of the agent `id`, whose verified card this is.
pub(super) fn definition(id: AgentId, card: &MeshCard) -> Result<AgentDefinition, String> {
    let read: Card = card.json().read().map_err(|error| error.to_string())?;
    let skills = read.skills.into_iter().map(|skill| Skill {
        id: skill.id,
        name: skill.name,
        description: skill.description,
        tags: skill.tags,
    });
    Ok(AgentDefinition {
        dir: PathBuf::new(),
        digest: card.digest().to_string(),
        enabled: true,
        visibility: Visibility::Private,
        card: AgentCard {
            name: read.name,
            description: read.description,
            version: read.version,
            skills: skills.collect(),
            input_modes: read.default_input_modes,
            output_modes: read.default_output_modes,
            json: card.json().clone(),
        },
        runtime: RuntimeConfig {
            kind: RuntimeKind::Remote,
            command: None,
            args: None,
            model: String::new(),
            config: ConfigSource::Mesh,
            max_concurrent_tasks: AT_ONCE,
            inherit_env: Vec::new(),
            env: Vec::new(),
            // The task goes on over there; it is followed again. One whose id was not heard yet is sent
            // again under its key, which its owner knows if it had arrived.
            on_interrupt: OnInterrupt::Retry,
            max_attempts: ATTEMPTS,
            session: SessionScope::PerContext,
            queue: QueueMode::Queue,
            max_pending_tasks: WAITING,
        },
        workspace: WorkspaceConfig {
            mode: WorkspaceMode::None,
            keep: Keep::Never,
        },
        instructions: Instructions {
            file: PathBuf::new(),
            text: String::new(),
            delivery: Delivery::None,
        },
        tools_mesh: false,
        require: Vec::new(),
        bearer_env: None,
        policy: AgentPolicy {
            advertise_on_mesh: false,
            public_mesh: false,
            approval: Approval::Deny,
            filesystem: Filesystem::Workspace,
            filesystem_explicit: false,
            network: Network::Allow,
            network_explicit: false,
            read: Vec::new(),
            write: Vec::new(),
            max_task_seconds: LONGEST_SECONDS,
            idle_seconds: LONGEST_SECONDS,
            ask_seconds: LONGEST_SECONDS,
        },
        id,
    })
}
