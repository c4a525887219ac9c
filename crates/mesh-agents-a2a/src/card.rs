//! The card an agent is served with: the card on disk, its draft interfaces replaced by real ones, signed.

mod seal;

use std::borrow::Cow;

use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::ids::AgentId;
use mesh_agents_core::json::JsonText;
use mesh_agents_core::policy::QUEUE_EXTENSION;
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use serde_json::value::RawValue;

use crate::json::{Entries, compact};

pub use seal::{CardSignature, KEYS_PATH, Seal, SignCard, keys_url};

const INTERFACES: &str = "supportedInterfaces";
const CAPABILITIES: &str = "capabilities";
const SCHEMES: &str = "securitySchemes";
const REQUIREMENTS: &str = "securityRequirements";
/// A signature on disk covers the draft, not what is served.
const SIGNATURES: &str = "signatures";
/// What the extended card says of how the agent runs, as an extension a client may ignore.
const RUNTIME_EXTENSION: &str = "urn:mesh-agents:runtime:1";

/// Whether tasks can be pushed to a caller's address.
const PUSH: bool = true;

/// Where the agents of a node are served, and what their cards promise besides.
#[derive(Debug, Clone)]
pub struct Place {
    /// The public address of the node, without a slash at its end.
    pub base: String,
    /// Whether callers can show who they are.
    pub tokens: AccessTokens,
    /// What the node signs its cards with; without it they are served unsigned.
    pub seal: Option<Seal>,
}

/// Access tokens of a node, as its cards tell of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessTokens {
    /// There are none: who reaches the node is its owner.
    None,
    /// Some callers have one. There is an extended card for them.
    Some,
    /// Every caller needs one.
    Required,
}

/// A card on disk that cannot be served.
#[derive(Debug, thiserror::Error)]
#[error(
    "the card of agent {agent} cannot be served: {source}. Its owner can run `agents validate {agent}`."
)]
pub struct CardError {
    /// Whose card.
    pub agent: AgentId,
    /// What is wrong with it.
    pub source: serde_json::Error,
}

/// Where one agent is served: `<base>/a2a/agents/<id>`, one of another node at
/// `<base>/a2a/peers/<did>/agents/<id>`. `base` has no slash at its end.
#[must_use]
pub fn agent_url(base: &str, agent: &AgentId) -> String {
    match agent.node() {
        None => format!("{base}/a2a/agents/{agent}"),
        Some(node) => format!("{base}/a2a/peers/{node}/agents/{}", agent.name()),
    }
}

/// Where the card of one agent is read.
#[must_use]
pub fn card_url(base: &str, agent: &AgentId) -> String {
    format!("{}/.well-known/agent-card.json", agent_url(base, agent))
}

/// The extensions this server adds to what the author declares.
pub(crate) fn extensions(agent: &AgentId) -> &'static [&'static str] {
    match agent.is_local() {
        true => &[],
        // An agent of this node is never away.
        false => &[QUEUE_EXTENSION],
    }
}

/// The card as served: compact, members in the author's order, every digit kept. What depends on the
/// server (addresses, capabilities, how to authenticate) is ours, the rest the author's. Signed by the
/// node, byte for byte the same whenever it is asked for.
///
/// # Errors
/// When the card on disk is no JSON object.
pub fn served(agent: &AgentDefinition, place: &Place) -> Result<JsonText, CardError> {
    encode(agent, place, None)
}

/// The card for callers who showed who they are: it says besides how the agent runs.
///
/// # Errors
/// As [`served`].
pub fn extended(agent: &AgentDefinition, place: &Place) -> Result<JsonText, CardError> {
    let runtime = &agent.runtime;
    let told = RuntimeExtension {
        uri: RUNTIME_EXTENSION,
        description: "How this agent runs. Nothing to implement: it is here to be read.",
        params: RuntimeParams {
            runtime: runtime.kind.as_str(),
            // Text: numbers in extension parameters do not survive every reader (card signing).
            max_concurrent_tasks: runtime.max_concurrent_tasks.to_string(),
            max_pending_tasks: runtime.max_pending_tasks.to_string(),
            max_task_seconds: agent.policy.max_task_seconds.to_string(),
        },
    };
    encode(agent, place, Some(&told))
}

fn encode(
    agent: &AgentDefinition,
    place: &Place,
    told: Option<&RuntimeExtension<'_>>,
) -> Result<JsonText, CardError> {
    let failed = |source| CardError {
        agent: agent.id.clone(),
        source,
    };
    let text = compact(agent.card.json.as_str());
    let Entries(members) = serde_json::from_str(&text).map_err(failed)?;
    let url = agent_url(&place.base, &agent.id);
    let interface = |protocol_binding| Interface {
        url: &url,
        protocol_binding,
        protocol_version: a2a::VERSION,
    };
    let interfaces = [
        interface(a2a::TRANSPORT_PROTOCOL_JSONRPC),
        interface(a2a::TRANSPORT_PROTOCOL_HTTP_JSON),
    ];
    let drafted = members.iter().find(|(key, _)| key == CAPABILITIES);
    let queue = (!agent.id.is_local()).then_some(QueueExtension {
        uri: QUEUE_EXTENSION,
        description: "The agent is on another node. A message whose metadata has this URI with the value true waits while that node is away, for 72 hours at most.",
    });
    let drafted = drafted.map(|(_, value)| *value);
    let capabilities = capabilities(drafted, place, told, queue.as_ref());
    let mut ours = vec![
        (INTERFACES, raw(&interfaces)),
        (CAPABILITIES, raw(&capabilities.map_err(failed)?)),
    ];
    if place.tokens != AccessTokens::None && !members.iter().any(|(key, _)| key == SCHEMES) {
        // An author who names schemes knows of something before us, such as a proxy.
        ours.push((SCHEMES, RawValue::from_string(BEARER_SCHEME.to_owned())));
        if place.tokens == AccessTokens::Required {
            let required = RawValue::from_string(BEARER_REQUIRED.to_owned());
            ours.push((REQUIREMENTS, required));
        }
    }
    let ours: Result<Vec<_>, _> = ours
        .into_iter()
        .map(|(key, value)| value.map(|value| (key, value)))
        .collect();
    let card = Served {
        members,
        ours: ours.map_err(failed)?,
    };
    let card = JsonText::of(&card).map_err(failed)?;
    Ok(match &place.seal {
        Some(seal) => seal.signed(card, &place.base),
        None => card,
    })
}

const BEARER_SCHEME: &str = r#"{"bearer":{"httpAuthSecurityScheme":{"scheme":"Bearer"}}}"#;
const BEARER_REQUIRED: &str = r#"[{"schemes":{"bearer":{}}}]"#;

fn raw<T: Serialize + ?Sized>(value: &T) -> Result<Box<RawValue>, serde_json::Error> {
    serde_json::value::to_raw_value(value)
}

/// What this server can do, and the extensions the author declares.
fn capabilities<'a>(
    drafted: Option<&'a RawValue>,
    place: &Place,
    told: Option<&RuntimeExtension<'_>>,
    queue: Option<&QueueExtension>,
) -> Result<Capabilities<'a>, serde_json::Error> {
    let drafted: Entries<'a> = match drafted {
        Some(drafted) => serde_json::from_str(drafted.get())?,
        None => Entries::default(),
    };
    let extensions = drafted.0.into_iter().find(|(key, _)| key == "extensions");
    let mut extensions: Vec<Cow<'a, RawValue>> = match extensions {
        Some((_, list)) => {
            let list: Vec<&'a RawValue> = serde_json::from_str(list.get())?;
            list.into_iter().map(Cow::Borrowed).collect()
        }
        None => Vec::new(),
    };
    if let Some(queue) = queue {
        extensions.push(Cow::Owned(raw(queue)?));
    }
    if let Some(told) = told {
        extensions.push(Cow::Owned(raw(told)?));
    }
    Ok(Capabilities {
        streaming: true,
        push_notifications: PUSH,
        extended_agent_card: place.tokens != AccessTokens::None,
        extensions,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Interface<'a> {
    url: &'a str,
    protocol_binding: &'static str,
    protocol_version: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Capabilities<'a> {
    streaming: bool,
    push_notifications: bool,
    extended_agent_card: bool,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    extensions: Vec<Cow<'a, RawValue>>,
}

#[derive(Serialize)]
struct QueueExtension {
    uri: &'static str,
    description: &'static str,
}

#[derive(Serialize)]
struct RuntimeExtension<'a> {
    uri: &'a str,
    description: &'a str,
    params: RuntimeParams<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RuntimeParams<'a> {
    runtime: &'a str,
    max_concurrent_tasks: String,
    max_pending_tasks: String,
    max_task_seconds: String,
}

struct Served<'a> {
    members: Vec<(String, &'a RawValue)>,
    /// Members that take the place of the author's, or are added.
    ours: Vec<(&'static str, Box<RawValue>)>,
}

impl Serialize for Served<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let drafted = |key: &str| self.members.iter().any(|(known, _)| known == key);
        for (key, value) in &self.members {
            if key == SIGNATURES {
                continue;
            }
            match self.ours.iter().find(|(own, _)| own == key) {
                Some((key, own)) => map.serialize_entry(key, own)?,
                None => map.serialize_entry(key, value)?,
            }
        }
        for (key, own) in self.ours.iter().filter(|(key, _)| !drafted(key)) {
            map.serialize_entry(key, own)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_agents_core::agent::testing::definition;

    fn place(tokens: AccessTokens) -> Place {
        Place {
            base: "http://127.0.0.1:3131".to_owned(),
            tokens,
            seal: None,
        }
    }

    #[test]
    fn addresses_and_capabilities_are_the_server_s_and_the_rest_stays() {
        let mut agent = definition("pr-review");
        agent.card.json = JsonText::parse(
            r#"{ "name": "PR", "supportedInterfaces": [{"url":"http://example.invalid"}],
                 "capabilities": {"streaming": false, "extensions": [{"uri": "urn:x"}], "odd": 1},
                 "x-big": 9007199254740993, "signatures": [{}], "version": "0.1.0" }"#,
        )
        .unwrap();
        let card = served(&agent, &place(AccessTokens::None)).unwrap();
        insta::assert_snapshot!(card.as_str());
        let card = extended(&agent, &place(AccessTokens::Required)).unwrap();
        insta::assert_snapshot!(card.as_str());
    }

    #[test]
    fn a_card_without_interfaces_gets_them_and_one_that_is_no_object_is_refused_by_name() {
        let mut agent = definition("a");
        assert!(
            served(&agent, &place(AccessTokens::None))
                .unwrap()
                .as_str()
                .contains("/a2a/agents/a")
        );
        agent.card.json = JsonText::parse("[]").unwrap();
        assert!(
            served(&agent, &place(AccessTokens::None))
                .unwrap_err()
                .to_string()
                .contains("agent a ")
        );
    }

    #[test]
    fn an_agent_of_another_node_is_served_below_that_node_s_key() {
        let did = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
        let id = AgentId::on_node(&"a".parse().unwrap(), did).unwrap();
        assert_eq!(
            card_url("http://x", &id),
            format!("http://x/a2a/peers/{did}/agents/a/.well-known/agent-card.json")
        );
    }

    #[test]
    fn an_author_s_security_schemes_stay_alone() {
        let mut agent = definition("a");
        agent.card.json = JsonText::parse(r#"{"securitySchemes":{"mine":{}}}"#).unwrap();
        let card = served(&agent, &place(AccessTokens::Some)).unwrap();
        assert!(card.as_str().contains(r#"{"mine":{}}"#), "{card:?}");
        assert!(!card.as_str().contains("bearer"), "{card:?}");
    }
}
