//! Which agents leave the node: decided from the definition and the kind of mesh alone.

use mesh_agents_core::agent::{AgentDefinition, Visibility};
use mesh_agents_core::confinement::{PlatformConfinement, WhyNot, advertisable};

use super::{ADVERT_AGENTS, ADVERT_BYTES, NODE_CARDS_BYTES};
use crate::card::CardError;

/// What kind of mesh the node is in; the host says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MeshVisibility {
    /// Peers were invited.
    Private,
    /// Anybody can join.
    Public,
}

/// Why an agent stays on its node.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Withheld {
    /// `enabled = false`.
    #[error("it is disabled")]
    Disabled,
    /// `policy.advertise_on_mesh = false`.
    #[error("policy.advertise_on_mesh is not true")]
    NotAdvertised,
    /// On a public mesh, `policy.public_mesh = false`.
    #[error("this is a public mesh and policy.public_mesh is not true")]
    NotForPublicMesh,
    /// On a public mesh, `visibility = "private"`.
    #[error("this is a public mesh and visibility is not \"public\"")]
    NotPublic,
    /// What other nodes send would not be confined, and the owner has not said so, or cannot be here.
    #[error(transparent)]
    Confinement(#[from] WhyNot),
    /// Its card cannot travel.
    #[error(transparent)]
    Card(#[from] CardError),
    /// Agents before it, by id, fill the advert.
    #[error(
        "a node advertises {ADVERT_AGENTS} agents in {ADVERT_BYTES} bytes at the most, with cards of \
         {NODE_CARDS_BYTES} bytes together"
    )]
    NoRoom,
}

/// Whether `agent` may be told of on a mesh of this kind by a node on this machine.
///
/// # Errors
/// The first rule that keeps it here, to be shown to its owner.
pub fn may_leave(
    agent: &AgentDefinition,
    mesh: MeshVisibility,
    machine: &PlatformConfinement,
) -> Result<(), Withheld> {
    let policy = &agent.policy;
    if !agent.enabled {
        return Err(Withheld::Disabled);
    }
    if !policy.advertise_on_mesh {
        return Err(Withheld::NotAdvertised);
    }
    if mesh == MeshVisibility::Public {
        if !policy.public_mesh {
            return Err(Withheld::NotForPublicMesh);
        }
        if agent.visibility != Visibility::Public {
            return Err(Withheld::NotPublic);
        }
    }
    Ok(advertisable(agent, machine)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_agents_core::agent::testing::definition;
    use mesh_agents_core::agent::{Filesystem, Network};

    #[test]
    fn an_agent_leaves_only_when_every_switch_says_so() {
        // Every combination of the six things it depends on, and the one rule in words.
        for bits in 0..64_u32 {
            let on = |bit: u32| bits & (1 << bit) != 0;
            let mut agent = definition("a");
            agent.enabled = on(0);
            agent.policy.advertise_on_mesh = on(1);
            agent.policy.public_mesh = on(2);
            agent.visibility = if on(3) {
                Visibility::Public
            } else {
                Visibility::Private
            };
            agent.policy.filesystem_explicit = on(4);
            agent.policy.network_explicit = true;
            let public = on(5);
            let mesh = if public {
                MeshVisibility::Public
            } else {
                MeshVisibility::Private
            };
            let leaves = on(0) && on(1) && on(4) && (!public || (on(2) && on(3)));
            assert_eq!(
                may_leave(&agent, mesh, &PlatformConfinement::default()).is_ok(),
                leaves,
                "{bits:06b}"
            );
        }
    }

    #[test]
    fn a_confined_agent_needs_no_word_about_it_and_an_unconfined_one_says_which() {
        let mut agent = definition("a");
        agent.policy.advertise_on_mesh = true;
        agent.policy.network = Network::Loopback;
        let machine = PlatformConfinement::default();
        let error = may_leave(&agent, MeshVisibility::Private, &machine).unwrap_err();
        assert!(error.to_string().contains("\"read_all\""), "{error}");
        agent.policy.filesystem = Filesystem::Workspace;
        assert!(may_leave(&agent, MeshVisibility::Private, &machine).is_ok());
    }
}
