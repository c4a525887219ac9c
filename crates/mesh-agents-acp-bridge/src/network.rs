//! What a run's processes can reach of the network (`policy.network`): decided here from values,
//! enforced by [`crate::platform`], led outside by [`crate::guard`].
//!
//! | Value | What holds it | What a run can do |
//! |---|---|---|
//! | `allow` | nothing | whatever the machine can |
//! | `loopback` | a network namespace of its own, and a filter of system calls | connect to the granted addresses, and whatever it likes within itself |
//! | `deny` | the filter alone | open no socket; pairs of connected ones within the run remain |
//!
//! A filter of system calls sees the numbers it is given and nothing behind a pointer, so it cannot
//! read an address: a port would be the best it could grant, and that port of any machine. In a
//! namespace that has loopback and nothing else there is no other machine, and its loopback is not
//! the owner's. What is granted is listened on in there, and the guard, which is outside, connects.
//!
//! Both values refuse named Unix sockets too: the file system rules do not cover connecting to one,
//! and behind some of them sits a program that does as it is told outside (Docker, D-Bus, tmux).

use std::net::{Ipv4Addr, SocketAddrV4};

use hyper::Uri;
use mesh_agents_core::agent::{AgentDefinition, Filesystem, Network};
use mesh_agents_core::run::RunSpec;
use mesh_agents_core::task::Failure;
use serde::{Deserialize, Serialize};

use crate::plan::{LaunchPlan, McpSupport};

/// Most addresses one run is granted: each is a socket held by its guard, and all travel in one
/// message. A model, our tools and a dozen services of the owner's fit.
pub(crate) const MOST: usize = 16;

/// What a run can reach of the network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Reach {
    /// Whatever the machine can.
    All,
    /// These addresses of the machine's loopback, and a loopback of its own.
    Only(Vec<SocketAddrV4>),
    /// Nothing.
    Nothing,
}

/// What a run is granted, and what of that its owner may miss.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Granted {
    /// What it can reach.
    pub(crate) reach: Reach,
    /// One sentence for each address that was named and is withheld.
    pub(crate) withheld: Vec<String>,
}

/// What the run may reach. `uses_model` says whether it speaks to `mesh.openai_url` by itself.
///
/// # Errors
/// `network_unreachable` when something the run cannot work without would be out of reach;
/// `network_conflict` when it could only be granted with something that must not be.
pub(crate) fn granted(
    spec: &RunSpec,
    plan: &LaunchPlan,
    uses_model: bool,
) -> Result<Granted, Failure> {
    let policy = &spec.agent.policy;
    if policy.network != Network::Allow && policy.filesystem == Filesystem::Unconfined {
        return Err(Failure::new(
            "network_conflict",
            format!(
                "policy.network = \"{}\" holds nothing while policy.filesystem = \"unconfined\"; write \"workspace\" or \"read_all\"",
                policy.network.as_str()
            ),
        ));
    }
    let reach = match policy.network {
        Network::Allow => Reach::All,
        Network::Deny => Reach::Nothing,
        Network::Loopback => return loopback(spec, plan, uses_model),
    };
    Ok(Granted {
        reach,
        withheld: Vec::new(),
    })
}

fn loopback(spec: &RunSpec, plan: &LaunchPlan, uses_model: bool) -> Result<Granted, Failure> {
    let tools = spec.tools.as_ref().filter(|_| plan.mcp == McpSupport::Http);
    let tools = match tools {
        Some(tools) => Some(needed("our tools (tools.mesh)", &tools.url)?),
        None => None,
    };
    // There the run would be the owner: nothing tells its connection from one of the owner's. Our
    // own node is told, so it may be granted.
    let owners: Vec<SocketAddrV4> = [&spec.mesh.mcp_url, &spec.mesh.api_url]
        .into_iter()
        .filter_map(|url| address(url.as_deref()?))
        .filter(|address| Some(*address) != tools)
        .collect();
    let mut only: Vec<SocketAddrV4> = tools.into_iter().collect();
    if let Some(url) = spec.mesh.openai_url.as_deref().filter(|_| uses_model) {
        let model = needed("the models (mesh.openai_url)", url)?;
        if owners.contains(&model) {
            return Err(Failure::new(
                "network_conflict",
                format!(
                    "the models (mesh.openai_url) are at {model}, where a run would also act as you; set openai_url in agents.toml to an address that has only models, or policy.network = \"allow\""
                ),
            ));
        }
        only.push(model);
    }
    let mut withheld = Vec::new();
    for (key, text) in named(&spec.agent, plan) {
        let Some(address) = address(text) else {
            continue;
        };
        if owners.contains(&address) {
            withheld.push(format!(
                "{key} names {address}, where the run would act as you"
            ));
        } else {
            only.push(address);
        }
    }
    only.sort();
    only.dedup();
    if only.len() > MOST {
        return Err(Failure::new(
            "network_conflict",
            format!(
                "runtime.args and [runtime.env] name {} addresses on loopback; at most {MOST} are granted under policy.network = \"loopback\"",
                only.len()
            ),
        ));
    }
    Ok(Granted {
        reach: Reach::Only(only),
        withheld,
    })
}

/// The texts in which naming an address is the owner's word that it may be reached: the command
/// line, a value behind `=` in it too, and `[runtime.env]`, all expanded.
fn named<'a>(
    agent: &'a AgentDefinition,
    plan: &'a LaunchPlan,
) -> impl Iterator<Item = (String, &'a str)> {
    let args = plan.args.iter().map(|arg| {
        let value = arg.split_once('=').filter(|_| arg.starts_with('-'));
        let text = value.map_or(arg.as_str(), |(_, value)| value);
        ("runtime.args".to_owned(), text)
    });
    let names = agent.runtime.env.iter().map(|(name, _)| name.as_str());
    let env = names.filter_map(|name| {
        let (_, value) = plan.env.iter().find(|(known, _)| known == name)?;
        Some((format!("runtime.env.{name}"), value.as_str()))
    });
    args.chain(env)
}

fn needed(what: &str, url: &str) -> Result<SocketAddrV4, Failure> {
    address(url).ok_or_else(|| {
        Failure::new(
            "network_unreachable",
            format!(
                "policy.network = \"loopback\" cannot reach {what} at {url}: only 127.0.0.1 and its neighbours, or localhost, are loopback here; serve it there, or write \"allow\""
            ),
        )
    })
}

/// The address on IPv4 loopback that a URL, or a host with a port, names.
fn address(text: &str) -> Option<SocketAddrV4> {
    let uri: Uri = text.trim().parse().ok()?;
    let host = uri.host()?;
    let host = if host.eq_ignore_ascii_case("localhost") {
        Ipv4Addr::LOCALHOST
    } else {
        host.parse().ok().filter(Ipv4Addr::is_loopback)?
    };
    let usual = match uri.scheme_str() {
        Some("http" | "ws") => Some(80),
        Some("https" | "wss") => Some(443),
        _ => None,
    };
    let port = uri.port_u16().or(usual).filter(|port| *port != 0)?;
    Some(SocketAddrV4::new(host, port))
}

#[cfg(test)]
mod tests;
