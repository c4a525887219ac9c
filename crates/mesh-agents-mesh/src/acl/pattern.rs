//! Which calls a word of the list is about: `"agent"`, `"agent/skill"` or `"*"`.

use std::fmt;
use std::str::FromStr;

use mesh_agents_core::ids::AgentId;

/// Characters of a skill's id at the most; a card with a longer one is not advertised either.
const SKILL_CHARS: usize = 128;

/// One word of `allow` or `deny`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pattern {
    /// `"*"`: every agent.
    Every,
    /// `"agent"`: all of one agent.
    Agent(AgentId),
    /// `"agent/skill"`: one skill of one agent.
    Skill(AgentId, String),
}

/// A text that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} names no agent: write \"agent-id\", \"agent-id/skill-id\", or \"*\" for every agent that is advertised"
)]
pub struct PatternError(String);

impl Pattern {
    /// Whether, as an allow, it lets in a call of `agent` that names `skill`.
    #[must_use]
    pub fn allows(&self, agent: &AgentId, skill: Option<&str>) -> bool {
        match self {
            Self::Every => true,
            Self::Agent(of) => of == agent,
            Self::Skill(of, only) => of == agent && skill == Some(only),
        }
    }

    /// Whether, as a deny, it keeps out a call of `agent` that names `skill`. One that names none may be
    /// about any.
    #[must_use]
    pub fn denies(&self, agent: &AgentId, skill: Option<&str>) -> bool {
        match self {
            Self::Every => true,
            Self::Agent(of) => of == agent,
            Self::Skill(of, only) => of == agent && skill.is_none_or(|skill| skill == only),
        }
    }
}

impl FromStr for Pattern {
    type Err = PatternError;

    fn from_str(text: &str) -> Result<Self, PatternError> {
        let wrong = || PatternError(text.chars().take(SKILL_CHARS).collect());
        if text == "*" {
            return Ok(Self::Every);
        }
        match text.split_once('/') {
            None => text.parse().map(Self::Agent).map_err(|_id| wrong()),
            Some((agent, skill)) => {
                let agent = agent.parse().map_err(|_id| wrong())?;
                let plain = |c: char| !c.is_control() && !c.is_whitespace();
                let right = !skill.is_empty()
                    && skill.chars().count() <= SKILL_CHARS
                    && skill.chars().all(plain);
                if right {
                    Ok(Self::Skill(agent, skill.to_owned()))
                } else {
                    Err(wrong())
                }
            }
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Every => f.write_str("*"),
            Self::Agent(agent) => write!(f, "{agent}"),
            Self::Skill(agent, skill) => write!(f, "{agent}/{skill}"),
        }
    }
}
