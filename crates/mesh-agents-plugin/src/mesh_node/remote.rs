//! An agent of another node as a definition of this one: what its mesh card says, run by calling it there.

use mesh_agents_core::agent::{AgentCard, AgentDefinition, Skill, elsewhere};
use mesh_agents_core::ids::AgentId;
use mesh_agents_mesh::MeshCard;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Card {
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    version: String,
    #[serde(default)]
    skills: Vec<CardSkill>,
    #[serde(default)]
    default_input_modes: Vec<String>,
    #[serde(default)]
    default_output_modes: Vec<String>,
}

#[derive(Deserialize)]
struct CardSkill {
    id: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
    #[serde(default)]
    tags: Vec<String>,
}

/// The definition of the agent `id`, whose verified card this is.
pub(super) fn definition(id: AgentId, card: &MeshCard) -> Result<AgentDefinition, String> {
    let read: Card = card.json().read().map_err(|error| error.to_string())?;
    let skills = read.skills.into_iter().map(|skill| Skill {
        id: skill.id,
        name: skill.name,
        description: skill.description,
        tags: skill.tags,
    });
    let shown = AgentCard {
        name: read.name,
        description: read.description,
        version: read.version,
        skills: skills.collect(),
        input_modes: read.default_input_modes,
        output_modes: read.default_output_modes,
        json: card.json().clone(),
    };
    Ok(elsewhere::definition(id, card.digest().to_string(), shown))
}
