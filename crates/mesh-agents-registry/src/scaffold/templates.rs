//! Agents to begin with: those of the repository's `examples/`, file for file.

use mesh_agents_core::agent::RuntimeKind;
use mesh_agents_core::ids::AgentId;

use super::text::title;
use crate::files::{CARD_FILE, DEFAULT_INSTRUCTIONS_FILE, RUNTIME_FILE};

/// An agent to begin with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Template {
    /// Its name, and its id in `examples/`.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// The files in its directory, by name.
    pub files: &'static [(&'static str, &'static str)],
}

macro_rules! example {
    ($name:literal, $file:literal) => {
        include_str!(concat!("../../../../examples/", $name, "/", $file))
    };
}

macro_rules! three_files {
    ($name:literal) => {
        &[
            (CARD_FILE, example!($name, "agent-card.json")),
            (RUNTIME_FILE, example!($name, "runtime.toml")),
            (
                DEFAULT_INSTRUCTIONS_FILE,
                example!($name, "instructions.md"),
            ),
        ]
    };
}

/// All of them.
pub const TEMPLATES: &[Template] = &[
    Template {
        name: "pr-review",
        about: "reviews a pull request or a local change: summary.md and findings.json",
        files: three_files!("pr-review"),
    },
    Template {
        name: "docs-maintainer",
        about: "corrects documentation that the code has left behind: docs.patch and summary.md",
        files: three_files!("docs-maintainer"),
    },
    Template {
        name: "release-notes",
        about: "writes the notes of a release from its commits: release-notes.md and changes.json",
        files: three_files!("release-notes"),
    },
    Template {
        name: "test-runner",
        about: "runs a project's tests, without a model: summary.md and findings.json",
        files: &[
            (CARD_FILE, example!("test-runner", "agent-card.json")),
            (RUNTIME_FILE, example!("test-runner", "runtime.toml")),
            (
                DEFAULT_INSTRUCTIONS_FILE,
                example!("test-runner", "instructions.md"),
            ),
            ("run.sh", example!("test-runner", "run.sh")),
        ],
    },
];

impl Template {
    /// The template of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        TEMPLATES.iter().find(|template| template.name == name)
    }

    /// What runs it, as it is.
    #[must_use]
    pub fn kind(&self) -> RuntimeKind {
        match self.name {
            "test-runner" => RuntimeKind::Command,
            _ => RuntimeKind::Opencode,
        }
    }

    /// Its files for the agent `agent`, run by `kind`. Under its own name and kind they are those of
    /// `examples/`, byte for byte.
    pub(super) fn files_for(
        &self,
        agent: &AgentId,
        kind: RuntimeKind,
    ) -> Vec<(&'static str, String)> {
        let own_name = self
            .name
            .parse()
            .map(|id: AgentId| title(&id))
            .unwrap_or_default();
        let adapt = |(name, text): &(&'static str, &'static str)| {
            let text = match *name {
                CARD_FILE => text
                    .replace(
                        &format!("/a2a/agents/{}\"", self.name),
                        &format!("/a2a/agents/{agent}\""),
                    )
                    .replacen(
                        &format!("\"name\": \"{own_name}\""),
                        &format!("\"name\": \"{}\"", title(agent)),
                        1,
                    ),
                RUNTIME_FILE => text.replacen(
                    &format!("type = \"{}\"", self.kind()),
                    &format!("type = \"{kind}\""),
                    1,
                ),
                _ => (*text).to_owned(),
            };
            (*name, text)
        };
        self.files.iter().map(adapt).collect()
    }
}
