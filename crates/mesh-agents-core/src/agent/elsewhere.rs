//! An agent of another node as a definition of this one: what its card says, run by calling it there.

use std::num::NonZeroU32;
use std::path::PathBuf;

use serde_json::json;

use super::{
    AgentCard, AgentDefinition, AgentPolicy, Approval, ConfigSource, Delivery, Filesystem,
    Instructions, Keep, Network, OnInterrupt, QueueMode, RuntimeConfig, RuntimeKind, SessionScope,
    Visibility, WorkspaceConfig, WorkspaceMode,
};
use crate::ids::AgentId;
use crate::json::JsonText;

/// Tasks with one agent of another node that this one follows at once. How many it works on is its
/// owner's to say; here each costs a stream.
const AT_ONCE: NonZeroU32 = NonZeroU32::new(64).unwrap();
/// How often a task is taken up again: engines that die so often have another problem.
const ATTEMPTS: NonZeroU32 = NonZeroU32::new(100).unwrap();
/// Tasks that wait for one of those.
const WAITING: u32 = 1000;
/// The owner's limits count, which are not known here; these only end what would never end.
const LONGEST_SECONDS: u64 = 30 * 24 * 60 * 60;

/// The definition of the agent `id` of another node, whose card this is. `digest`: of the card.
#[must_use]
pub fn definition(id: AgentId, digest: String, card: AgentCard) -> AgentDefinition {
    AgentDefinition {
        id,
        dir: PathBuf::new(),
        digest,
        enabled: true,
        visibility: Visibility::Private,
        card,
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
    }
}

/// What stands in for an agent of another node whose card is not known any more: enough to call it at the
/// address its id says. `None` for an agent of this node.
///
/// Nobody may send it anything new by this; it is for tasks it has, or may have.
#[must_use]
pub fn stand_in(id: &AgentId) -> Option<AgentDefinition> {
    let url = format!("mesh://{}/a2a/agents/{}", id.node()?, id.name());
    let json = json!({
        "name": id.name(),
        "description": "",
        "version": "",
        "defaultInputModes": [],
        "defaultOutputModes": [],
        "skills": [],
        "capabilities": { "streaming": true },
        "supportedInterfaces": [
            { "url": url, "protocolBinding": "JSONRPC", "protocolVersion": "1.0" }
        ],
    });
    let card = AgentCard {
        name: id.name().to_owned(),
        description: String::new(),
        version: String::new(),
        skills: Vec::new(),
        input_modes: Vec::new(),
        output_modes: Vec::new(),
        json: JsonText::of(&json).ok()?,
    };
    Some(definition(id.clone(), String::new(), card))
}
