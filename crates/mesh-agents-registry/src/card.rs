//! `agent-card.json`: an A2A v1 Agent Card in its native JSON (a2a.md §1.2).
//!
//! The walk over the required fields is ours, so that every mistake is told at once and with its
//! place; what is optional is left to the types of the A2A crate, which stop at the first mistake.

mod object;
mod target;

use mesh_agents_core::agent::{AgentCard, Skill};
use mesh_agents_core::json::JsonText;
use serde_json::value::RawValue;

use self::object::{Node, Object};
use crate::position::offset_of;
use crate::problem::Report;

pub(crate) use self::target::check_target;

/// Fields A2A 0.3 had and 1.0 has not, with what to do about each.
const OLD_CARD: &[(&str, &str)] = &[
    ("url", "move it to supportedInterfaces[0].url"),
    (
        "preferredTransport",
        "write it as supportedInterfaces[0].protocolBinding, such as \"JSONRPC\"",
    ),
    (
        "additionalInterfaces",
        "list them in supportedInterfaces, each with url, protocolBinding and protocolVersion",
    ),
    (
        "protocolVersion",
        "write supportedInterfaces[0].protocolVersion = \"1.0\" instead",
    ),
    (
        "supportsAuthenticatedExtendedCard",
        "write capabilities.extendedAgentCard instead",
    ),
    ("security", "write securityRequirements instead"),
    ("kind", "remove it"),
];
const OLD_CAPABILITIES: &[(&str, &str)] = &[("stateTransitionHistory", "remove it")];
const OLD_INTERFACE: &[(&str, &str)] = &[("transport", "write protocolBinding instead")];
const OLD_SKILL: &[(&str, &str)] = &[("security", "write securityRequirements instead")];

/// Reads a card. `None` when it is none; the report says why.
pub(crate) fn read(text: &str, report: &mut Report<'_>) -> Option<AgentCard> {
    let raw: &RawValue = match serde_json::from_str(text) {
        Ok(raw) => raw,
        Err(error) => {
            syntax_error(text, &error, report);
            return None;
        }
    };
    let root = Node {
        raw,
        path: String::new(),
    };
    let card = Object::read(&root, text, report)?;
    card.refuse_old(OLD_CARD, report);
    let name = card.line("name", report);
    let description = card.prose("description", report);
    let version = card.line("version", report);
    check_interfaces(&card, report);
    if let Some(node) = card.required("capabilities", report)
        && let Some(capabilities) = Object::read(&node, text, report)
    {
        capabilities.refuse_old(OLD_CAPABILITIES, report);
    }
    let input_modes = card.lines("defaultInputModes", report);
    let output_modes = card.lines("defaultOutputModes", report);
    let skills = skills(&card, report);
    if report.failed() || !whole_card_reads(text, report) {
        return None;
    }
    Some(AgentCard {
        name: name?,
        description: description?,
        version: version?,
        skills: skills?,
        input_modes: input_modes?,
        output_modes: output_modes?,
        json: JsonText::parse(text).ok()?,
    })
}

/// Lets the A2A crate read the card; what it refuses now is something optional.
fn whole_card_reads(text: &str, report: &mut Report<'_>) -> bool {
    let mut json = serde_json::Deserializer::from_str(text);
    let Err(error) = serde_path_to_error::deserialize::<_, a2a::AgentCard>(&mut json) else {
        return true;
    };
    let path = error.path().to_string();
    let inner = error.into_inner();
    let place = (inner.line() > 0).then(|| offset_of(text, inner.line(), inner.column()));
    report.error(
        place.map(|at| at..at),
        if path == "." { "" } else { &path },
        reason_of(&inner),
        "see the Agent Card of the A2A 1.0 specification for what belongs here",
    );
    false
}

fn check_interfaces(card: &Object<'_>, report: &mut Report<'_>) {
    for interface in card
        .objects("supportedInterfaces", report)
        .unwrap_or_default()
    {
        interface.refuse_old(OLD_INTERFACE, report);
        interface.line("url", report);
        interface.line("protocolBinding", report);
        let Some(version) = interface.line("protocolVersion", report) else {
            continue;
        };
        if version.split('.').next() != Some("1") {
            report.error(
                interface.place("protocolVersion"),
                &interface.path_of("protocolVersion"),
                format!("{version:?} is A2A {version}; agents here speak A2A 1.0"),
                "write \"1.0\", and bring the card to A2A 1.0",
            );
        }
    }
}

fn skills(card: &Object<'_>, report: &mut Report<'_>) -> Option<Vec<Skill>> {
    let mut skills: Vec<Skill> = Vec::new();
    for skill in card.objects("skills", report)? {
        skill.refuse_old(OLD_SKILL, report);
        let id = skill.line("id", report);
        let name = skill.line("name", report);
        let description = skill.prose("description", report);
        let tags = skill.lines("tags", report);
        let (Some(id), Some(name), Some(description), Some(tags)) = (id, name, description, tags)
        else {
            continue;
        };
        if skills.iter().any(|other| other.id == id) {
            report.error(
                skill.place("id"),
                &skill.path_of("id"),
                format!("{id:?} is the id of a skill before it"),
                "give every skill an id of its own",
            );
        }
        skills.push(Skill {
            id,
            name,
            description,
            tags,
        });
    }
    Some(skills)
}

fn syntax_error(text: &str, error: &serde_json::Error, report: &mut Report<'_>) {
    let at = offset_of(text, error.line(), error.column());
    report.error(
        Some(at..at),
        "",
        format!("is not JSON: {}", reason_of(error)),
        "an editor with JSON support shows the place",
    );
}

/// The parser's words without the place it adds to them, which a problem carries itself.
fn reason_of(error: &serde_json::Error) -> String {
    let text = error.to_string();
    text.rsplit_once(" at line ")
        .map_or(text.clone(), |(reason, _)| reason.to_owned())
}
