//! What a machine can confine, and which agents it may therefore offer to others: pure decisions.
//! `acp-bridge` finds out what the machine can, and enforces it.

use std::fmt;
use std::net::Ipv4Addr;
use std::path::Path;

use crate::agent::{AgentDefinition, Filesystem, Network, RuntimeKind, WorkspaceMode};

/// The loopback address from which connections come that are led out of a run whose network is
/// confined. Nobody at this address is the person at this machine: an engine asks it for a token.
///
/// A run cannot choose the address, since its guard connects for it. Whatever else on the machine
/// takes it only gives something up.
pub const RUN_ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 90, 0, 1);

/// What a machine can keep a run from; `None` means that it can, else the reason, for a person.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PlatformConfinement {
    /// Why `policy.filesystem` cannot be enforced.
    pub filesystem: Option<String>,
    /// Why `policy.network = "loopback"` cannot be enforced.
    pub loopback: Option<String>,
    /// Why `policy.network = "deny"` cannot be enforced.
    pub deny: Option<String>,
}

impl PlatformConfinement {
    /// Why this value of `policy.network` cannot be enforced; `None` when it can.
    #[must_use]
    pub fn lacks(&self, network: Network) -> Option<&str> {
        match network {
            Network::Allow => None,
            Network::Loopback => self.loopback.as_deref(),
            Network::Deny => self.deny.as_deref(),
        }
    }
}

/// Why an agent is not offered to other nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WhyNot {
    /// Its runs would reach more than their workspace, and its owner never said so.
    NotChosen {
        /// What its runs reach by default.
        default: Filesystem,
    },
    /// Its runs would reach this node as its owner does, and the owner never said so.
    NetworkNotChosen,
    /// Its runs could write its own files, and so the policy of the next one.
    WritesItself,
    /// This machine cannot confine it as its `runtime.toml` says.
    CannotConfine {
        /// The key.
        key: &'static str,
        /// Its value, written or by default.
        value: &'static str,
        /// What the machine lacks.
        cause: String,
    },
}

impl fmt::Display for WhyNot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotChosen { default } => write!(
                f,
                "policy.filesystem is not written, and its default here, \"{}\", is more than an agent for other nodes gets by itself; write filesystem = \"workspace\" under [policy], or name another value",
                default.as_str()
            ),
            Self::NetworkNotChosen => f.write_str(
                "policy.network is not written, and its default, \"allow\", lets what another node sends reach this one over loopback as you; write network = \"loopback\" under [policy], or \"allow\" if that is meant",
            ),
            Self::WritesItself => f.write_str(
                "its runs can write its own directory (runtime.workspace, or policy.write), so what another node sends could change the policy in runtime.toml; give it a workspace of its own, or write filesystem = \"unconfined\" under [policy] if all that is meant",
            ),
            Self::CannotConfine { key, value, cause } => write!(
                f,
                "policy.{key} = \"{value}\" cannot be enforced on this machine: {cause}; run it where it can, or write another value of {key} under [policy]"
            ),
        }
    }
}

impl std::error::Error for WhyNot {}

/// Whether an agent that its owner wants to advertise may be: it runs in its workspace and with a confined
/// network, or its `runtime.toml` names another value, and this machine can confine it as asked. Says nothing of
/// whether the agent is enabled, or whether its owner wants it advertised.
///
/// A remote agent runs elsewhere, so there is nothing to confine.
///
/// # Errors
/// What stands in the way, with the key to change.
pub fn advertisable(agent: &AgentDefinition, machine: &PlatformConfinement) -> Result<(), WhyNot> {
    if agent.runtime.kind == RuntimeKind::Remote {
        return Ok(());
    }
    let policy = &agent.policy;
    if policy.filesystem != Filesystem::Workspace && !policy.filesystem_explicit {
        return Err(WhyNot::NotChosen {
            default: policy.filesystem,
        });
    }
    if policy.network == Network::Allow && !policy.network_explicit {
        return Err(WhyNot::NetworkNotChosen);
    }
    if policy.filesystem != Filesystem::Unconfined && writes_itself(agent) {
        return Err(WhyNot::WritesItself);
    }
    let cannot = |key, value, cause: &str| {
        Err(WhyNot::CannotConfine {
            key,
            value,
            cause: cause.to_owned(),
        })
    };
    match (&machine.filesystem, policy.filesystem) {
        (Some(cause), Filesystem::Workspace | Filesystem::ReadAll) => {
            return cannot("filesystem", policy.filesystem.as_str(), cause);
        }
        (None, _) | (_, Filesystem::Unconfined) => {}
    }
    match machine.lacks(policy.network) {
        Some(cause) => cannot("network", policy.network.as_str(), cause),
        None => Ok(()),
    }
}

/// Whether a run of the agent can write the directory its definition is in, as far as its files say.
fn writes_itself(agent: &AgentDefinition) -> bool {
    let within = |path: &Path| agent.dir.starts_with(path);
    let works_there = match &agent.workspace.mode {
        WorkspaceMode::AgentDir => true,
        WorkspaceMode::Path(path) => within(Path::new(path)),
        WorkspaceMode::TempPerTask | WorkspaceMode::None => false,
    };
    works_there || agent.policy.write.iter().any(|path| within(path))
}

/// What the owner of an advertised agent should know about it: a sentence for `agents list`, the
/// doctor or a log. It stands in no advert's way, since it is what the owner wrote or left as it is.
#[must_use]
pub fn caution(agent: &AgentDefinition) -> Option<&'static str> {
    let here = agent.runtime.kind != RuntimeKind::Remote;
    (here && agent.policy.network == Network::Allow).then_some(
        "policy.network is \"allow\": on behalf of other nodes its runs reach whatever this machine does, and this node over loopback as you; write network = \"loopback\" under [policy] unless that is meant",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agent::testing::definition;

    const FILESYSTEMS: [Filesystem; 3] = [
        Filesystem::Workspace,
        Filesystem::ReadAll,
        Filesystem::Unconfined,
    ];
    const NETWORKS: [Network; 3] = [Network::Allow, Network::Loopback, Network::Deny];

    fn agent(filesystem: Filesystem, explicit: bool, network: Network) -> AgentDefinition {
        let mut agent = definition("a");
        agent.policy.filesystem = filesystem;
        agent.policy.filesystem_explicit = explicit;
        agent.policy.network = network;
        agent.policy.network_explicit = true;
        agent
    }

    #[test]
    fn what_others_send_does_not_reach_this_node_as_its_owner_unless_he_wrote_so() {
        let machine = PlatformConfinement::default();
        for network in NETWORKS {
            let mut agent = agent(Filesystem::Workspace, true, network);
            agent.policy.network_explicit = false;
            let said = advertisable(&agent, &machine);
            assert_eq!(said.is_ok(), network != Network::Allow, "{network:?}");
        }
    }

    #[test]
    fn an_advertised_agent_is_in_its_workspace_or_its_owner_said_otherwise() {
        let machine = PlatformConfinement::default();
        for filesystem in FILESYSTEMS {
            for explicit in [false, true] {
                for network in NETWORKS {
                    let may = explicit || filesystem == Filesystem::Workspace;
                    let said = advertisable(&agent(filesystem, explicit, network), &machine);
                    assert_eq!(said.is_ok(), may, "{filesystem:?} {explicit} {network:?}");
                }
            }
        }
        let why = advertisable(&agent(Filesystem::ReadAll, false, Network::Allow), &machine);
        let why = why.unwrap_err().to_string();
        assert!(
            why.contains("\"read_all\"") && why.contains("filesystem = \"workspace\""),
            "{why}"
        );
    }

    #[test]
    fn what_cannot_be_confined_as_asked_is_not_advertised_and_says_why() {
        let no_files = PlatformConfinement {
            filesystem: Some("no Landlock".into()),
            ..PlatformConfinement::default()
        };
        for filesystem in FILESYSTEMS {
            for explicit in [false, true] {
                // A run may skip a default that cannot be kept; an advert may not.
                let may = filesystem == Filesystem::Unconfined && explicit;
                let said = advertisable(&agent(filesystem, explicit, Network::Allow), &no_files);
                assert_eq!(said.is_ok(), may, "{filesystem:?} {explicit}");
            }
        }
        let no_network = PlatformConfinement {
            loopback: Some("no user namespaces".into()),
            deny: Some("no seccomp".into()),
            ..PlatformConfinement::default()
        };
        for network in NETWORKS {
            let said = advertisable(&agent(Filesystem::Workspace, false, network), &no_network);
            let Some(cause) = no_network.lacks(network) else {
                assert_eq!(said, Ok(()));
                continue;
            };
            let why = said.unwrap_err().to_string();
            let named = format!("policy.network = \"{}\"", network.as_str());
            assert!(why.contains(&named) && why.contains(cause), "{why}");
        }
    }

    #[test]
    fn an_agent_that_could_change_its_own_policy_is_not_offered_as_confined() {
        let machine = PlatformConfinement::default();
        for filesystem in FILESYSTEMS {
            let mut agent = agent(filesystem, true, Network::Loopback);
            agent.dir = "/home/me/agents/a".into();
            let said = |agent: &AgentDefinition| advertisable(agent, &machine);
            let no = match filesystem {
                Filesystem::Unconfined => Ok(()),
                _ => Err(WhyNot::WritesItself),
            };
            let mut there = agent.clone();
            there.workspace.mode = WorkspaceMode::AgentDir;
            assert_eq!(said(&there), no, "{filesystem:?}");
            for (path, above) in [
                ("/home/me/agents/a", true),
                ("/home/me", true),
                ("/home/me/agents/a/notes", false),
                ("/home/me/agents/ab", false),
            ] {
                let expected = if above { no.clone() } else { Ok(()) };
                let mut by_path = agent.clone();
                by_path.workspace.mode = WorkspaceMode::Path(path.into());
                assert_eq!(said(&by_path), expected, "{filesystem:?} {path}");
                let mut by_grant = agent.clone();
                by_grant.policy.write = vec![path.into()];
                assert_eq!(said(&by_grant), expected, "{filesystem:?} {path}");
            }
        }
    }

    #[test]
    fn an_open_network_is_pointed_out() {
        for network in NETWORKS {
            let open = network == Network::Allow;
            let said = caution(&agent(Filesystem::Workspace, true, network));
            assert_eq!(said.is_some(), open, "{network:?}");
        }
    }

    #[test]
    fn a_remote_agent_has_nothing_to_confine_here() {
        let machine = PlatformConfinement {
            filesystem: Some("no Landlock".into()),
            ..PlatformConfinement::default()
        };
        let mut remote = agent(Filesystem::ReadAll, false, Network::Allow);
        remote.runtime.kind = RuntimeKind::Remote;
        assert_eq!(advertisable(&remote, &machine), Ok(()));
        assert_eq!(caution(&remote), None);
    }
}
