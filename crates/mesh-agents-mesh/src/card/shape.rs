//! What a mesh card is made of: the fields of A2A 1.0 a node passes on, none of them empty.

use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::text::clean_lines;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::jws::Detached;

/// The member a signature does not cover, since it holds it.
pub(super) const SIGNATURES: &str = "signatures";
const BINDING: &str = "JSONRPC";
const VERSION: &str = "1.0";
/// Largest whole number JSON readers everywhere keep exactly.
const SAFE: u64 = (1 << 53) - 1;
/// Signatures looked at; a card here has one.
const SIGNATURES_READ: usize = 4;

/// Why a card cannot be made.
pub(super) enum Fault {
    Json(serde_json::Error),
    Number,
}

/// The mesh card of `agent`, unsigned, reached at `url`.
pub(super) fn card(agent: &AgentDefinition, url: String) -> Result<Card, Fault> {
    let drafted: Drafted = agent.card.json.read().map_err(Fault::Json)?;
    let mut extensions = drafted.capabilities.unwrap_or_default().extensions;
    extensions.0.retain(|extension| !extension.is_empty());
    for extension in &mut extensions.0 {
        if let Some(params) = extension.params.take() {
            extension.params = tidy(params)?;
        }
    }
    let checked = &agent.card;
    let modes =
        |modes: &[String]| List(modes.iter().map(|mode| Words(clean_lines(mode))).collect());
    Ok(Card {
        name: Words(clean_lines(&checked.name)),
        description: Words(clean_lines(&checked.description)),
        version: Words(clean_lines(&checked.version)),
        supported_interfaces: [Interface {
            url,
            protocol_binding: BINDING,
            protocol_version: VERSION,
        }],
        provider: drafted.provider.filter(Provider::is_complete),
        documentation_url: drafted.documentation_url,
        icon_url: drafted.icon_url,
        capabilities: Capabilities {
            streaming: true,
            extensions,
        },
        default_input_modes: modes(&checked.input_modes),
        default_output_modes: modes(&checked.output_modes),
        skills: drafted.skills,
        signatures: Vec::new(),
    })
}

/// The mesh card. Not told: security schemes, which are for HTTP, and what the author added of his own,
/// which foreign verifiers drop before they check.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Card {
    #[serde(skip_serializing_if = "Words::is_empty")]
    name: Words,
    #[serde(skip_serializing_if = "Words::is_empty")]
    description: Words,
    #[serde(skip_serializing_if = "Words::is_empty")]
    version: Words,
    supported_interfaces: [Interface; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    provider: Option<Provider>,
    #[serde(skip_serializing_if = "Words::is_empty")]
    documentation_url: Words,
    #[serde(skip_serializing_if = "Words::is_empty")]
    icon_url: Words,
    capabilities: Capabilities,
    #[serde(skip_serializing_if = "List::is_empty")]
    default_input_modes: List<Words>,
    #[serde(skip_serializing_if = "List::is_empty")]
    default_output_modes: List<Words>,
    #[serde(skip_serializing_if = "List::is_empty")]
    skills: List<Skill>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    signatures: Vec<Detached>,
}

impl Card {
    pub(super) fn sign(&mut self, signature: Detached) {
        self.signatures.push(signature);
    }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Interface {
    url: String,
    protocol_binding: &'static str,
    protocol_version: &'static str,
}

/// No push to addresses of a peer's choice and no extended card: both are for callers over HTTP.
#[derive(Serialize)]
struct Capabilities {
    streaming: bool,
    #[serde(skip_serializing_if = "List::is_empty")]
    extensions: List<Extension>,
}

/// What is taken from the card on disk besides its checked fields.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Drafted {
    provider: Option<Provider>,
    #[serde(default)]
    documentation_url: Words,
    #[serde(default)]
    icon_url: Words,
    capabilities: Option<DraftedCapabilities>,
    #[serde(default)]
    skills: List<Skill>,
}

#[derive(Default, Deserialize)]
struct DraftedCapabilities {
    #[serde(default)]
    extensions: List<Extension>,
}

#[derive(Serialize, Deserialize)]
struct Provider {
    #[serde(default, skip_serializing_if = "Words::is_empty")]
    url: Words,
    #[serde(default, skip_serializing_if = "Words::is_empty")]
    organization: Words,
}

impl Provider {
    /// A2A requires both of its fields.
    fn is_complete(&self) -> bool {
        !self.url.is_empty() && !self.organization.is_empty()
    }
}

#[derive(Serialize, Deserialize)]
struct Extension {
    #[serde(default, skip_serializing_if = "Words::is_empty")]
    uri: Words,
    #[serde(default, skip_serializing_if = "Words::is_empty")]
    description: Words,
    /// `false` is what its absence means, and what signers leave out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    required: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    params: Option<Value>,
}

impl Extension {
    fn is_empty(&self) -> bool {
        self.uri.is_empty()
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Skill {
    #[serde(default, skip_serializing_if = "Words::is_empty")]
    id: Words,
    #[serde(default, skip_serializing_if = "Words::is_empty")]
    name: Words,
    #[serde(default, skip_serializing_if = "Words::is_empty")]
    description: Words,
    #[serde(default, skip_serializing_if = "List::is_empty")]
    tags: List<Words>,
    #[serde(default, skip_serializing_if = "List::is_empty")]
    examples: List<Words>,
    #[serde(default, skip_serializing_if = "List::is_empty")]
    input_modes: List<Words>,
    #[serde(default, skip_serializing_if = "List::is_empty")]
    output_modes: List<Words>,
}

/// A text, fit to be shown; `null` is an empty one.
#[derive(Default, Serialize)]
struct Words(String);

impl Words {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'de> Deserialize<'de> for Words {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        Ok(Self(
            text.map(|text| clean_lines(&text)).unwrap_or_default(),
        ))
    }
}

/// A list; `null` is an empty one.
#[derive(Serialize)]
struct List<T>(Vec<T>);

impl<T> List<T> {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de> Deserialize<'de> for List<Words> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let items = Option::<Vec<Words>>::deserialize(deserializer)?;
        let mut items = items.unwrap_or_default();
        items.retain(|words| !words.is_empty());
        Ok(Self(items))
    }
}

impl<'de> Deserialize<'de> for List<Skill> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Option::deserialize(deserializer)?.unwrap_or_default()))
    }
}

impl<'de> Deserialize<'de> for List<Extension> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Option::deserialize(deserializer)?.unwrap_or_default()))
    }
}

/// Parameters of an extension without what signers do not agree on: nothing empty, no `null`, no number
/// that other readers change. `None` when nothing is left.
fn tidy(value: Value) -> Result<Option<Value>, Fault> {
    let tidied = match value {
        Value::Null => return Ok(None),
        Value::Bool(_) => value,
        Value::Number(ref number) => {
            let exact = match (number.as_u64(), number.as_i64()) {
                (Some(number), _) => number <= SAFE,
                (None, Some(number)) => number.unsigned_abs() <= SAFE,
                (None, None) => true,
            };
            if !exact {
                return Err(Fault::Number);
            }
            value
        }
        Value::String(text) => Value::String(clean_lines(&text)),
        Value::Array(items) => {
            let items = items.into_iter().filter_map(|item| tidy(item).transpose());
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Value::Object(members) => {
            let mut kept = Map::new();
            for (key, value) in members {
                if let Some(value) = tidy(value)? {
                    kept.insert(clean_lines(&key), value);
                }
            }
            Value::Object(kept)
        }
    };
    let empty = match &tidied {
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    };
    Ok((!empty).then_some(tidied))
}

/// What is read of a card that came, before it is believed.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Received {
    #[serde(default)]
    supported_interfaces: Vec<Address>,
    #[serde(default)]
    signatures: Vec<Detached>,
}

#[derive(Deserialize)]
struct Address {
    url: String,
}

impl Received {
    /// The address, where there is exactly one.
    pub(super) fn only_address(&self) -> Option<&str> {
        match self.supported_interfaces.as_slice() {
            [only] => Some(&only.url),
            _ => None,
        }
    }

    pub(super) fn signatures(&self) -> impl Iterator<Item = &Detached> {
        self.signatures.iter().take(SIGNATURES_READ)
    }
}
