//! Every setting as it is in force: its value, where that comes from, and what it is for. `agents settings` prints them,
//! and the table of README has the same keys (a test says so).

use std::net::SocketAddr;

use anyhow::Result;
use mesh_agents_tasks::Retention;
use serde::Serialize;
use serde_json::{Value, json};

use super::{Environment, LINGER, Settings};
use crate::args::Common;
use crate::engine::node::Listen;

/// One setting.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(crate) struct Shown {
    /// Its name: the key of the file, and the flag in snake case.
    pub(crate) key: &'static str,
    /// Its value; null where none is set and the meaning says what happens then. Never a token.
    pub(crate) value: Value,
    /// Where the value comes from.
    pub(crate) source: Source,
    /// What it is for, in a line or two.
    pub(crate) meaning: &'static str,
    /// Whether `agents.toml` has this key; where the data directory lies is not said inside of it.
    pub(crate) in_file: bool,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Source {
    /// A flag of this command.
    Flag(&'static str),
    /// An environment variable.
    Environment(&'static str),
    /// `agents.toml`.
    File,
    /// Nobody said anything.
    Default,
}

/// What is known of one setting before anything is read.
struct Known {
    key: &'static str,
    flag: Option<&'static str>,
    variable: Option<&'static str>,
    meaning: &'static str,
}

const fn known(
    key: &'static str,
    flag: Option<&'static str>,
    variable: Option<&'static str>,
    meaning: &'static str,
) -> Known {
    Known {
        key,
        flag,
        variable,
        meaning,
    }
}

/// Holds the token itself, so that its value is never shown.
const TOKEN: &str = "MESH_AGENTS_ACCESS_TOKEN";

/// The only setting that is no key of the file.
const DATA_DIR: &str = "data_dir";

/// All settings, in the order they are shown.
const SETTINGS: [Known; 15] = [
    known(
        DATA_DIR,
        Some("--data-dir"),
        Some("MESH_AGENTS_DATA_DIR"),
        "Where tasks, artifacts and this file's directory a2a/ lie.",
    ),
    known(
        "agents_dir",
        Some("--agents-dir"),
        Some("MESH_AGENTS_DIR"),
        "Where agent directories lie.",
    ),
    known(
        "listen",
        None,
        None,
        "Where the engine listens; the next free port when this one is taken. `agents serve` takes 127.0.0.1:3131 without it.",
    ),
    known(
        "public_url",
        None,
        None,
        "The address by which clients reach this node; without it, the one it listens on.",
    ),
    known(
        "api_url",
        None,
        Some("MESH_LLM_API_URL"),
        "The mesh-llm host's management API, for {{ mesh.api_url }} and {{ mesh.mcp_url }}; without it, the host that runs the plugin, else http://127.0.0.1:3131.",
    ),
    known(
        "openai_url",
        None,
        Some("MESH_LLM_OPENAI_URL"),
        "The mesh's models, for {{ mesh.openai_url }}; without it, that host's, else http://127.0.0.1:9337/v1.",
    ),
    known(
        "access_token_file",
        None,
        Some(TOKEN),
        "File with the token every caller must show; needed to listen beyond this machine. Without it whoever reaches loopback is you. The variable holds the token itself.",
    ),
    known(
        "access_tokens",
        None,
        None,
        "NAME = \"FILE\": each token in such a file is a caller that sees only its own tasks.",
    ),
    known(
        "mesh_tokens",
        None,
        None,
        "Names of [access_tokens] whose holders may see and call agents of other nodes, in this node's name.",
    ),
    known(
        "linger_seconds",
        None,
        None,
        "How long an engine stays without work and front-ends.",
    ),
    known(
        "harness_start_seconds",
        None,
        None,
        "How long a harness may take to answer `initialize`.",
    ),
    known(
        "push_allow",
        None,
        None,
        "Addresses, ranges and host names that may have push notifications besides public addresses.",
    ),
    known(
        "retention_days",
        None,
        None,
        "How long ended tasks are kept.",
    ),
    known(
        "retention_tasks",
        None,
        None,
        "How many ended tasks are kept.",
    ),
    known(
        "retention_bytes",
        None,
        None,
        "How large the artifacts of all tasks may be together; the oldest ended ones go first.",
    ),
];

/// Every setting in force.
///
/// # Errors
/// As [`Settings::load`].
pub(crate) fn shown(common: &Common, environment: &Environment) -> Result<Vec<Shown>> {
    let settings = Settings::load(common, environment)?;
    // It could be read a moment ago, and where it is not there it sets nothing.
    let text = std::fs::read_to_string(settings.layout.settings()).unwrap_or_default();
    let file: toml::Table = toml::from_str(&text)?;
    let given = |flag: Option<&str>| match flag {
        Some("--data-dir") => common.data_dir.is_some(),
        Some("--agents-dir") => common.agents_dir.is_some(),
        _ => false,
    };
    SETTINGS
        .iter()
        .map(|known| {
            let source = match (known.flag, known.variable) {
                (Some(flag), _) if given(Some(flag)) => Source::Flag(flag),
                (_, Some(variable)) if environment.get(variable).is_some() => {
                    Source::Environment(variable)
                }
                _ if file.contains_key(known.key) => Source::File,
                _ => Source::Default,
            };
            Ok(Shown {
                key: known.key,
                value: value(known.key, &source, &settings, &file)?,
                source,
                meaning: known.meaning,
                in_file: known.key != DATA_DIR,
            })
        })
        .collect()
}

fn value(key: &str, source: &Source, settings: &Settings, file: &toml::Table) -> Result<Value> {
    if let (Source::File, Some(value)) = (source, file.get(key)) {
        return Ok(serde_json::to_value(value)?);
    }
    let retention = Retention::default();
    let engine: SocketAddr = Listen::ENGINE;
    Ok(match key {
        DATA_DIR => json!(settings.data_dir),
        "agents_dir" => json!(settings.agents_dir),
        "listen" => json!(engine),
        "api_url" => json!(settings.api_url),
        "openai_url" => json!(settings.openai_url),
        "harness_start_seconds" => {
            json!(
                mesh_agents_acp_bridge::Timeouts::default()
                    .initialize
                    .as_secs()
            )
        }
        "linger_seconds" => json!(LINGER),
        "push_allow" | "mesh_tokens" => json!([]),
        "access_tokens" => json!({}),
        "retention_days" => json!(retention.age.as_secs() / super::DAY),
        "retention_tasks" => json!(retention.tasks),
        "retention_bytes" => json!(retention.bytes),
        _ => Value::Null,
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::path::Path;

    use super::*;
    use crate::settings::KEYS;

    fn shown_with(text: &str, variables: &[(&str, &str)]) -> Vec<Shown> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a2a")).unwrap();
        std::fs::write(dir.path().join("a2a/agents.toml"), text).unwrap();
        let common = Common {
            agents_dir: None,
            data_dir: Some(dir.path().to_owned()),
            json: false,
        };
        let variables = variables.iter().chain(&[("HOME", "/home/u")]);
        let variables: BTreeMap<_, _> = variables
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        shown(&common, &Environment(variables)).unwrap()
    }

    fn row(rows: &[Shown], key: &str) -> (Value, Source) {
        let row = rows.iter().find(|row| row.key == key).unwrap();
        (row.value.clone(), row.source.clone())
    }

    #[test]
    fn every_key_of_the_file_is_shown_and_stands_in_readme() {
        let rows = shown_with("", &[]);
        let keys: Vec<_> = rows.iter().filter(|r| r.in_file).map(|r| r.key).collect();
        assert_eq!(keys, KEYS);
        let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
        let readme = std::fs::read_to_string(readme).unwrap();
        let (_, settings) = readme.split_once("\n## Settings\n").unwrap();
        let section = settings.split("\n## ").next().unwrap();
        for known in &SETTINGS {
            let name = known.flag.unwrap_or(known.key);
            for word in [Some(name), known.variable].into_iter().flatten() {
                assert!(section.contains(word), "README's settings lack {word}");
            }
        }
    }

    #[test]
    fn a_value_is_shown_with_where_it_comes_from() {
        let file = "listen = \"127.0.0.1:7\"\nretention_days = 3\napi_url = \"http://file\"\n";
        let rows = shown_with(file, &[("MESH_LLM_API_URL", "http://env")]);
        assert_eq!(row(&rows, "listen"), (json!("127.0.0.1:7"), Source::File));
        assert_eq!(row(&rows, "retention_days"), (json!(3), Source::File));
        assert_eq!(
            row(&rows, "api_url"),
            (json!("http://env"), Source::Environment("MESH_LLM_API_URL"))
        );
        assert_eq!(row(&rows, "linger_seconds"), (json!(60), Source::Default));
        assert_eq!(row(&rows, "public_url"), (Value::Null, Source::Default));
        assert_eq!(row(&rows, "data_dir").1, Source::Flag("--data-dir"));
    }

    #[test]
    fn a_token_in_the_environment_is_never_shown() {
        let rows = shown_with("", &[(TOKEN, "a-very-secret-token")]);
        assert_eq!(
            row(&rows, "access_token_file"),
            (Value::Null, Source::Environment(TOKEN))
        );
        assert!(!serde_json::to_string(&rows).unwrap().contains("secret"));
    }
}
