//! `agent-card.json`: an A2A v1 Agent Card in its native JSON (a2a.md §1.2).
//!
//! The walk along the card's shape is ours, so that every mistake is told at once and with its
//! place; the types of the A2A crate, which stop at the first mistake, have the last word.

mod object;
pub(crate) mod shape;
mod target;
mod walk;

use mesh_agents_core::agent::{AgentCard, Skill};
use mesh_agents_core::json::JsonText;
use mesh_agents_core::near::nearest;
use serde_json::value::RawValue;

use self::object::{Node, Object, items};
use self::walk::Walk;
use crate::code;
use crate::patched::Patched;
use crate::position::offset_of;
use crate::report::Report;

pub(crate) use self::target::check_target;

/// The bindings A2A has names for; others are URIs.
const BINDINGS: [&str; 3] = ["JSONRPC", "HTTP+JSON", "GRPC"];

/// Reads a card. `None` when it is none; the report says why.
pub(crate) fn read(source: &Patched<'_>, report: &mut Report<'_>) -> Option<AgentCard> {
    let text = source.text();
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    let root = Node {
        raw,
        path: String::new(),
    };
    let card = Walk { text, report }.object(&root, &shape::CARD)?;
    check_interfaces(&card, text, report);
    check_skills(&card, text, report);
    if report.failed() {
        return None;
    }
    let typed = whole_card(text, report)?;
    let skill = |skill: a2a::AgentSkill| Skill {
        id: skill.id,
        name: skill.name,
        description: skill.description,
        tags: skill.tags,
    };
    Some(AgentCard {
        name: typed.name,
        description: typed.description,
        version: typed.version,
        skills: typed.skills.into_iter().map(skill).collect(),
        input_modes: typed.default_input_modes,
        output_modes: typed.default_output_modes,
        json: JsonText::parse(text).ok()?,
    })
}

/// The objects of a list that was walked before.
fn objects<'t>(card: &Object<'t>, field: &str, text: &'t str) -> Vec<Object<'t>> {
    let nodes = card.get(field).and_then(|node| items(&node));
    let nodes = nodes.unwrap_or_default();
    nodes
        .iter()
        .filter_map(|node| Object::read(node, text))
        .collect()
}

/// Lets the A2A crate read the card; what it refuses now is something optional.
fn whole_card(text: &str, report: &mut Report<'_>) -> Option<a2a::AgentCard> {
    let mut json = serde_json::Deserializer::from_str(text);
    let error = match serde_path_to_error::deserialize(&mut json) {
        Ok(card) => return Some(card),
        Err(error) => error,
    };
    let path = error.path().to_string();
    let inner = error.into_inner();
    let place = (inner.line() > 0).then(|| offset_of(text, inner.line(), inner.column()));
    report.error(
        code::NOT_A_CARD,
        place.map(|at| at..at),
        if path == "." { "" } else { &path },
        reason_of(&inner),
        "see the Agent Card of the A2A 1.0 specification for what belongs here",
    );
    None
}

fn check_interfaces(card: &Object<'_>, text: &str, report: &mut Report<'_>) {
    for interface in objects(card, "supportedInterfaces", text) {
        let version = interface.string("protocolVersion").unwrap_or_default();
        let place = interface.place("protocolVersion");
        if let Some(place) = place.filter(|_| !version.trim().is_empty())
            && version.split('.').next() != Some("1")
        {
            report
                .error(
                    code::OLD_A2A,
                    Some(place.clone()),
                    &interface.path_of("protocolVersion"),
                    format!("{version:?} is A2A {version}; agents here speak A2A 1.0"),
                    "write \"1.0\", and bring the card to A2A 1.0",
                )
                .replace(place, "\"1.0\"");
        }
        let binding = interface.string("protocolBinding").unwrap_or_default();
        let place = interface.place("protocolBinding");
        let known = BINDINGS.contains(&binding.as_str()) || binding.contains(':');
        if let Some(place) = place.filter(|_| report.is_thorough() && !known)
            && !binding.trim().is_empty()
        {
            let near = nearest(&binding, BINDINGS).unwrap_or("JSONRPC");
            report
                .warning(
                    code::UNKNOWN_VALUE,
                    Some(place.clone()),
                    &interface.path_of("protocolBinding"),
                    format!(
                        "{binding:?} is neither a binding of A2A 1.0 nor the URI of another one"
                    ),
                    format!("write {near:?}"),
                )
                .replace(place, format!("{near:?}"));
        }
    }
}

/// Every skill has an id of its own.
fn check_skills(card: &Object<'_>, text: &str, report: &mut Report<'_>) {
    let mut ids: Vec<String> = Vec::new();
    for skill in objects(card, "skills", text) {
        let Some(id) = skill.string("id") else {
            continue;
        };
        if let Some(place) = skill.place("id").filter(|_| ids.contains(&id)) {
            let other = (2..)
                .map(|n| format!("{id}-{n}"))
                .find(|id| !ids.contains(id));
            report
                .error(
                    code::DUPLICATE,
                    Some(place.clone()),
                    &skill.path_of("id"),
                    format!("{id:?} is the id of a skill before it"),
                    "give every skill an id of its own",
                )
                .replace(place, format!("{:?}", other.unwrap_or_default()));
        }
        ids.push(id);
    }
}

/// Every interface's address: its path in the card, what it is, and where it stands.
pub(crate) fn addresses(text: &str) -> Vec<(String, String, std::ops::Range<usize>)> {
    let Ok(raw) = serde_json::from_str::<&RawValue>(text) else {
        return Vec::new();
    };
    let root = Node {
        raw,
        path: String::new(),
    };
    let Some(card) = Object::read(&root, text) else {
        return Vec::new();
    };
    objects(&card, "supportedInterfaces", text)
        .iter()
        .filter_map(|one| {
            let url = one.string("url")?;
            Some((one.path_of("url"), url, one.place("url")?))
        })
        .collect()
}

/// The parser's words without the place it adds to them, which a problem carries itself.
pub(crate) fn reason_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ")
        .map_or(text.clone(), |(reason, _)| reason.to_owned())
}
