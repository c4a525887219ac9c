//! Which node an agent id means (DESIGN §6): the local agent, else the owner it was first resolved to, else
//! the only owner, else an error that lists them. A `peer_id` means exactly that node.
//!
//! Work and its secrets go to whom this names, so it never changes its mind by itself: an owner that is
//! away, or took the agent back, is not replaced by another that has one of the same id.

use std::fmt::Write as _;

use mesh_agents_core::ids::AgentId;
use mesh_agents_core::refusal::{Code, Refusal};

use crate::directory::{AgentView, Directory, Presence};
use crate::identity::NodeKey;
use crate::moment::Moment;

/// Owners an error lists; the others are counted.
const LISTED: usize = 10;

/// What is asked for.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// The agent id as the caller wrote it.
    pub agent: &'a AgentId,
    /// The node the caller named (`peer_id`).
    pub node: Option<&'a NodeKey>,
    /// This node.
    pub own: &'a NodeKey,
    /// Whether this node has an agent of that id.
    pub is_local: bool,
    /// The owner stored for that id.
    pub stored: Option<&'a Stored>,
}

/// The owner an agent id was resolved to, as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stored {
    /// The owner.
    pub node: NodeKey,
    /// Whether the user chose it (`agents peers prefer`); else it was the only one when first asked for.
    pub is_chosen: bool,
}

/// Where an agent id leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The node.
    pub place: Place,
    /// Why this one.
    pub why: Why,
    /// Whether to store the owner now, so that the id keeps meaning it.
    pub store: bool,
}

/// A node, seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// This one.
    Local,
    /// Another one.
    Node(NodeKey),
}

/// Why an agent id means what it means; shown to the caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Why {
    /// This node has an agent of that id.
    Local,
    /// The caller named the node.
    Asked,
    /// The user chose it.
    Preferred,
    /// It is the one this id was first resolved to.
    First,
    /// It is the only one.
    Only,
}

impl Why {
    /// The reason in words, after "because".
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Local => "this node has an agent of that id",
            Self::Asked => "peer_id names it",
            Self::Preferred => "you prefer it (`agents peers prefer`)",
            Self::First => "this id was first resolved to it",
            Self::Only => "it is the only node that has an agent of that id",
        }
    }
}

/// Where `wanted` leads.
///
/// # Errors
/// `agent_not_found`, or `invalid_argument` where several nodes could be meant; with the owners and how to
/// address each.
pub fn resolve(
    wanted: &Wanted<'_>,
    directory: &Directory,
    now: Moment,
) -> Result<Resolved, Refusal> {
    if let Some(node) = wanted.node {
        return asked(wanted, node, directory, now);
    }
    if wanted.is_local {
        return Ok(resolved(Place::Local, Why::Local));
    }
    let owners = directory.owners(wanted.agent, now);
    if let Some(stored) = wanted.stored {
        return follow(wanted.agent, stored, &owners, directory);
    }
    match owners.as_slice() {
        [] => Err(Refusal::new(
            Code::AgentNotFound,
            format!(
                "no agent {:?} here or on a node of this mesh",
                wanted.agent.as_str()
            ),
        )
        .hint("get_agents lists those there are.")),
        [only] => Ok(Resolved {
            store: true,
            ..resolved(Place::Node(*only.node), Why::Only)
        }),
        several => Err(Refusal::new(
            Code::InvalidArgument,
            format!(
                "{} nodes have an agent {:?}:{}",
                several.len(),
                wanted.agent.as_str(),
                list(several)
            ),
        )
        .hint(format!(
            "Name one as peer_id, or choose one for good: `agents peers prefer {} <peer_id>`.",
            wanted.agent
        ))),
    }
}

fn resolved(place: Place, why: Why) -> Resolved {
    Resolved {
        place,
        why,
        store: false,
    }
}

fn asked(
    wanted: &Wanted<'_>,
    node: &NodeKey,
    directory: &Directory,
    now: Moment,
) -> Result<Resolved, Refusal> {
    let agent = wanted.agent;
    if node == wanted.own {
        if wanted.is_local {
            return Ok(resolved(Place::Local, Why::Asked));
        }
    } else if directory.agent(node, agent, now).is_some() {
        return Ok(resolved(Place::Node(*node), Why::Asked));
    }
    let known = node == wanted.own || directory.remembered(node).is_some();
    let message = if known {
        format!("the node {node} has no agent {:?}", agent.as_str())
    } else {
        format!("no node of this mesh is known by the peer_id {node}")
    };
    let owners = directory.owners(agent, now);
    let hint = if owners.is_empty() {
        "get_agents lists the agents there are, each with its peer_id.".to_owned()
    } else {
        format!("These have an agent {:?}:{}", agent.as_str(), list(&owners))
    };
    Err(Refusal::new(Code::AgentNotFound, message).hint(hint))
}

/// The stored owner, whether it is there or away; but only while the agent is its.
fn follow(
    agent: &AgentId,
    stored: &Stored,
    owners: &[AgentView<'_>],
    directory: &Directory,
) -> Result<Resolved, Refusal> {
    if owners.iter().any(|owner| *owner.node == stored.node) {
        let why = if stored.is_chosen {
            Why::Preferred
        } else {
            Why::First
        };
        return Ok(resolved(Place::Node(stored.node), why));
    }
    let (named, then) = match directory.remembered(&stored.node) {
        Some(told) => (
            format!("{} ({:?})", stored.node, told.name),
            "has it no more",
        ),
        None => (stored.node.to_string(), "is not known any more"),
    };
    let refusal = Refusal::new(
        Code::AgentNotFound,
        format!(
            "agent {:?} means the one of {named}, which {then}",
            agent.as_str()
        ),
    );
    Err(if owners.is_empty() {
        refusal.hint("get_agents lists the agents there are.")
    } else {
        refusal.hint(format!(
            "Others have one of that id:{}\nChoose one for good: `agents peers prefer {agent} <peer_id>`.",
            list(owners)
        ))
    })
}

fn list(owners: &[AgentView<'_>]) -> String {
    let mut text = String::new();
    for owner in owners.iter().take(LISTED) {
        let presence = match owner.presence {
            Presence::Live => "",
            Presence::Stale => ", not answering",
            Presence::Away { .. } => ", away",
        };
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            "\n- peer_id {} ({:?}{presence})",
            owner.node, owner.node_name
        );
    }
    if owners.len() > LISTED {
        let _ = write!(text, "\nand {} more", owners.len() - LISTED);
    }
    text
}
