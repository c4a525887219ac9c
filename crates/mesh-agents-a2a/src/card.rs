//! The card an agent is served with: the card on disk, its draft interfaces replaced by real ones.

use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::ids::AgentId;
use mesh_agents_core::json::JsonText;
use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};
use serde_json::value::RawValue;

use crate::json::{Entries, compact};

const INTERFACES: &str = "supportedInterfaces";
/// A signature on disk covers the draft, not what is served.
const SIGNATURES: &str = "signatures";

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

/// Where one agent is served: `<base>/a2a/agents/<id>`. `base` has no slash at its end.
#[must_use]
pub fn agent_url(base: &str, agent: &AgentId) -> String {
    format!("{base}/a2a/agents/{agent}")
}

/// Where the card of one agent is read.
#[must_use]
pub fn card_url(base: &str, agent: &AgentId) -> String {
    format!("{}/.well-known/agent-card.json", agent_url(base, agent))
}

/// The card as served below `base`: compact, members in the author's order, every digit kept.
///
/// # Errors
/// When the card on disk is no JSON object.
pub fn served(agent: &AgentDefinition, base: &str) -> Result<JsonText, CardError> {
    let failed = |source| CardError {
        agent: agent.id.clone(),
        source,
    };
    let text = compact(agent.card.json.as_str());
    let Entries(members) = serde_json::from_str(&text).map_err(failed)?;
    let interfaces = [Interface {
        url: agent_url(base, &agent.id),
        protocol_binding: "JSONRPC",
        protocol_version: a2a::VERSION,
    }];
    let card = Served {
        members,
        interfaces: &interfaces,
    };
    JsonText::of(&card).map_err(failed)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Interface {
    url: String,
    protocol_binding: &'static str,
    protocol_version: &'static str,
}

struct Served<'a> {
    members: Vec<(String, &'a RawValue)>,
    interfaces: &'a [Interface],
}

impl Serialize for Served<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        let mut placed = false;
        for (key, value) in &self.members {
            match key.as_str() {
                SIGNATURES => {}
                INTERFACES => {
                    placed = true;
                    map.serialize_entry(INTERFACES, self.interfaces)?;
                }
                key => map.serialize_entry(key, value)?,
            }
        }
        if !placed {
            map.serialize_entry(INTERFACES, self.interfaces)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_agents_core::agent::testing::definition;

    #[test]
    fn the_draft_interfaces_give_way_to_the_real_one_and_the_rest_stays() {
        let mut agent = definition("pr-review");
        agent.card.json = JsonText::parse(
            r#"{ "name": "PR", "supportedInterfaces": [{"url":"http://example.invalid"}],
                 "x-big": 9007199254740993, "signatures": [{}], "version": "0.1.0" }"#,
        )
        .unwrap();
        let card = served(&agent, "http://127.0.0.1:3131").unwrap();
        assert_eq!(
            card.as_str(),
            concat!(
                r#"{"name":"PR","supportedInterfaces":[{"url":"http://127.0.0.1:3131/a2a/agents/pr-review","#,
                r#""protocolBinding":"JSONRPC","protocolVersion":"1.0"}],"x-big":9007199254740993,"version":"0.1.0"}"#
            )
        );
    }

    #[test]
    fn a_card_without_interfaces_gets_them_and_one_that_is_no_object_is_refused_by_name() {
        let mut agent = definition("a");
        assert!(
            served(&agent, "http://h")
                .unwrap()
                .as_str()
                .contains("/a2a/agents/a")
        );
        agent.card.json = JsonText::parse("[]").unwrap();
        assert!(
            served(&agent, "http://h")
                .unwrap_err()
                .to_string()
                .contains("agent a ")
        );
    }
}
