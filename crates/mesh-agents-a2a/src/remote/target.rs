//! Which endpoint an agent of type `remote` stands for: what its card on disk and `[auth]` say.

use std::sync::Arc;

use a2a::{AgentCard, AgentInterface, TRANSPORT_PROTOCOL_HTTP_JSON, TRANSPORT_PROTOCOL_JSONRPC};
use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::endpoint::{self, Endpoint};
use mesh_agents_core::task::Failure;

/// The bindings that are called, as cards name them.
pub(crate) const BINDINGS: [&str; 2] = [TRANSPORT_PROTOCOL_JSONRPC, TRANSPORT_PROTOCOL_HTTP_JSON];

/// How the environment is asked: names of variables in, their values out.
pub type Lookup = Arc<dyn Fn(&str) -> Option<String> + Send + Sync>;

/// One remote agent as it is to be called.
pub(crate) struct Target {
    /// The card, its interfaces cut down to the one that is called.
    pub(crate) card: AgentCard,
    /// The URL in the card.
    pub(crate) url: String,
    /// Whether it is reached through TLS.
    pub(crate) secure: bool,
    /// The node of the mesh it is on; `None` for an HTTP server.
    pub(crate) node: Option<String>,
    /// Whether the card says that it streams.
    pub(crate) streaming: bool,
    /// The token to show.
    pub(crate) token: Option<String>,
    /// The variable the token came from.
    pub(crate) bearer_env: Option<String>,
}

impl Target {
    /// The target of an agent.
    ///
    /// # Errors
    /// A failure that names what to set right: the card, the URL or the variable of the token.
    pub(crate) fn of(agent: &AgentDefinition, lookup: &Lookup) -> Result<Self, Failure> {
        let mut card: AgentCard = agent.card.json.read().map_err(|error| {
            misconfigured(format!("agent-card.json is not an A2A 1.0 card: {error}"))
        })?;
        if let Some(node) = agent.id.node() {
            return of_node(agent, card, node);
        }
        let (interface, endpoint) = choose(&card)?;
        card.supported_interfaces = vec![interface.clone()];
        let token = match &agent.bearer_env {
            None => None,
            Some(name) => Some(token(name, lookup)?),
        };
        if token.is_some() && !endpoint.is_private() {
            return Err(misconfigured(format!(
                "{} would carry the token of auth.bearer_env in the clear; use https:// in supportedInterfaces of agent-card.json",
                interface.url
            )));
        }
        Ok(Self {
            url: interface.url.clone(),
            secure: endpoint.tls,
            node: None,
            streaming: card.capabilities.streaming == Some(true),
            card,
            token,
            bearer_env: agent.bearer_env.clone(),
        })
    }
}

/// An agent of another node: the address in its card is `mesh://<did>/a2a/agents/<id>`, which is no
/// URL an HTTP client reads, so the calls are given its path on that node.
fn of_node(agent: &AgentDefinition, mut card: AgentCard, node: String) -> Result<Target, Failure> {
    let path = format!("/a2a/agents/{}", agent.id.name());
    let url = format!("mesh://{node}{path}");
    let interface = card
        .supported_interfaces
        .iter()
        .find(|one| one.url == url && BINDINGS.contains(&one.protocol_binding.as_str()));
    let Some(interface) = interface.cloned() else {
        return Err(misconfigured(format!(
            "the card of {} names no interface at {url}",
            agent.id
        )));
    };
    card.supported_interfaces = vec![AgentInterface {
        url: format!("http://mesh{path}"),
        ..interface
    }];
    Ok(Target {
        url,
        secure: true,
        node: Some(node),
        streaming: card.capabilities.streaming == Some(true),
        card,
        token: None,
        bearer_env: None,
    })
}

/// The first interface that can be called: the order of a card is its author's preference.
fn choose(card: &AgentCard) -> Result<(AgentInterface, Endpoint), Failure> {
    let mut why = Vec::new();
    for interface in &card.supported_interfaces {
        if !BINDINGS.contains(&interface.protocol_binding.as_str()) {
            why.push(format!(
                "{} is not a binding that is called",
                interface.protocol_binding
            ));
        } else if interface.protocol_version.split('.').next() != Some("1") {
            why.push(format!(
                "{} is A2A {}",
                interface.url, interface.protocol_version
            ));
        } else {
            match endpoint::parse(&interface.url) {
                Ok(endpoint) => return Ok((interface.clone(), endpoint)),
                Err(error) => why.push(format!("{}: {error}", interface.url)),
            }
        }
    }
    Err(misconfigured(format!(
        "supportedInterfaces of agent-card.json names no endpoint that can be called ({}); give it one with an http or https url, protocolBinding JSONRPC or HTTP+JSON and protocolVersion 1.0",
        why.join("; ")
    )))
}

fn token(name: &str, lookup: &Lookup) -> Result<String, Failure> {
    match lookup(name).map(|value| value.trim().to_owned()) {
        Some(value) if !value.is_empty() => Ok(value),
        _ => Err(Failure::new(
            "remote_token_missing",
            format!(
                "the environment variable {name}, which auth.bearer_env of runtime.toml names, is not set where the engine runs; set it and restart the engine (`agents stop`)"
            ),
        )),
    }
}

pub(crate) fn misconfigured(message: String) -> Failure {
    Failure::new("remote_misconfigured", message)
}

#[cfg(test)]
mod tests {
    use mesh_agents_core::agent::elsewhere;

    use super::*;

    #[test]
    fn an_agent_without_its_card_is_called_where_its_id_says() {
        let id = "pr-review@z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";
        let agent = elsewhere::stand_in(&id.parse().unwrap()).unwrap();
        let lookup: Lookup = Arc::new(|_| None);
        let target = Target::of(&agent, &lookup).unwrap_or_else(|e| panic!("{}", e.message));
        let node = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";
        assert_eq!(target.node.as_deref(), Some(node));
        assert!(target.streaming);
        assert_eq!(
            target.card.supported_interfaces[0].url,
            "http://mesh/a2a/agents/pr-review"
        );
        assert_eq!(elsewhere::stand_in(&"here".parse().unwrap()), None);
    }
}
