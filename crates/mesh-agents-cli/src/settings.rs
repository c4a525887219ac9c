//! What the program is told: flag, then environment, then `a2a/agents.toml` (DESIGN §2.1).
//!
//! The environment is read here and nowhere else; everything below gets values.

mod shown;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroU64};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use mesh_agents_core::layout::Layout;
use mesh_agents_core::near::nearest;
use mesh_agents_core::push::PushTargets;
use mesh_agents_tasks::Retention;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use crate::args::Common;
use crate::system::HOME;
pub(crate) use shown::{Shown, Source, shown};

/// The environment of this process, read once.
#[derive(Debug, Clone, Default)]
pub(crate) struct Environment(pub(crate) BTreeMap<String, String>);

impl Environment {
    /// Reads it. Variables that are not UTF-8 are left out: no template could name them.
    #[expect(
        clippy::disallowed_methods,
        reason = "the one place that reads the environment"
    )]
    pub(crate) fn read() -> Self {
        let text = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        };
        Self(std::env::vars_os().filter_map(text).collect())
    }

    /// A variable that is set and not empty.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0
            .get(name)
            .map(String::as_str)
            .filter(|value| !value.is_empty())
    }
}

/// The settings in force.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Where agent directories lie.
    pub(crate) agents_dir: PathBuf,
    /// Where our data lies.
    pub(crate) data_dir: PathBuf,
    /// The files below it.
    pub(crate) layout: Layout,
    /// Where the engine or `serve` listens.
    pub(crate) listen: Option<SocketAddr>,
    /// How clients reach this node.
    pub(crate) public_url: Option<String>,
    /// The mesh-llm host's management API.
    pub(crate) api_url: Option<String>,
    /// The mesh's OpenAI-compatible API.
    pub(crate) openai_url: Option<String>,
    /// File with the owner's access token.
    pub(crate) access_token_file: Option<PathBuf>,
    /// Files with the access tokens of others, by the name each is known under.
    pub(crate) access_tokens: BTreeMap<String, PathBuf>,
    /// Those of them that may call agents of other nodes.
    pub(crate) mesh_tokens: BTreeSet<String>,
    /// How long an engine stays without work and front-ends.
    pub(crate) linger: Duration,
    /// How long a harness may take to answer `initialize`; the bridge's own patience when unset.
    pub(crate) harness_start: Option<Duration>,
    /// Where push notifications may go besides public addresses.
    pub(crate) push_allow: PushTargets,
    /// How much of what has ended is kept.
    pub(crate) retention: Retention,
}

/// The keys of `agents.toml`.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    agents_dir: Option<PathBuf>,
    #[serde(default, deserialize_with = "address")]
    listen: Option<SocketAddr>,
    public_url: Option<String>,
    api_url: Option<String>,
    openai_url: Option<String>,
    access_token_file: Option<PathBuf>,
    #[serde(default)]
    access_tokens: BTreeMap<String, PathBuf>,
    #[serde(default)]
    mesh_tokens: BTreeSet<String>,
    linger_seconds: Option<u32>,
    harness_start_seconds: Option<NonZeroU32>,
    #[serde(default, deserialize_with = "targets")]
    push_allow: PushTargets,
    retention_days: Option<NonZeroU32>,
    retention_tasks: Option<NonZeroU64>,
    retention_bytes: Option<NonZeroU64>,
}

/// An engine without work and front-ends leaves after this long: a person who types one verb after
/// the other keeps it warm, and nothing stays in memory for the night.
const LINGER: u32 = 60;

/// The keys, for the nearest to a typo.
const KEYS: &[&str] = &[
    "agents_dir",
    "listen",
    "public_url",
    "api_url",
    "openai_url",
    "access_token_file",
    "access_tokens",
    "mesh_tokens",
    "linger_seconds",
    "harness_start_seconds",
    "push_allow",
    "retention_days",
    "retention_tasks",
    "retention_bytes",
];

impl Settings {
    /// Gathers the settings.
    pub(crate) fn load(common: &Common, environment: &Environment) -> Result<Self> {
        let home = environment.get(HOME).map(PathBuf::from);
        let default = |what: &str| {
            home.clone()
                .map(|home| home.join(".mesh-llm"))
                .with_context(|| {
                    format!("{HOME} is not set, so there is no default for {what}; pass it")
                })
        };
        let data_dir = match (&common.data_dir, environment.get("MESH_AGENTS_DATA_DIR")) {
            (Some(flag), _) => flag.clone(),
            (None, Some(variable)) => PathBuf::from(variable),
            (None, None) => default("--data-dir")?,
        };
        let data_dir =
            std::path::absolute(&data_dir).context("the data directory has no absolute path")?;
        let layout = Layout::new(&data_dir);
        let file = read_file(&layout.settings())?;
        let agents_dir = match (&common.agents_dir, environment.get("MESH_AGENTS_DIR")) {
            (Some(flag), _) => flag.clone(),
            (None, Some(variable)) => PathBuf::from(variable),
            (None, None) => match &file.agents_dir {
                Some(path) => path.clone(),
                None => default("--agents-dir")?.join("agents"),
            },
        };
        let retention = retention(&file);
        Ok(Self {
            agents_dir: std::path::absolute(&agents_dir)
                .context("the agents directory has no absolute path")?,
            listen: file.listen,
            public_url: file.public_url,
            api_url: own(environment.get("MESH_LLM_API_URL")).or(file.api_url),
            openai_url: own(environment.get("MESH_LLM_OPENAI_URL")).or(file.openai_url),
            access_token_file: file.access_token_file,
            access_tokens: file.access_tokens,
            mesh_tokens: file.mesh_tokens,
            linger: Duration::from_secs(file.linger_seconds.unwrap_or(LINGER).into()),
            harness_start: file
                .harness_start_seconds
                .map(|seconds| Duration::from_secs(seconds.get().into())),
            push_allow: file.push_allow,
            retention,
            data_dir,
            layout,
        })
    }
}

/// Seconds of a day.
const DAY: u64 = 86_400;

fn retention(file: &File) -> Retention {
    let default = Retention::default();
    let days = |days: NonZeroU32| Duration::from_secs(u64::from(days.get()) * DAY);
    Retention {
        age: file.retention_days.map_or(default.age, days),
        tasks: file.retention_tasks.map_or(default.tasks, NonZeroU64::get),
        bytes: file.retention_bytes.map_or(default.bytes, NonZeroU64::get),
    }
}

fn own(text: Option<&str>) -> Option<String> {
    text.map(str::to_owned)
}

/// An address with a port; names are not looked up.
fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SocketAddr>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let address = text.parse().map_err(|_| {
        D::Error::custom(format!(
            "listen: {text:?} is not an address\nWrite an IP address and a port, such as \"127.0.0.1:3131\"."
        ))
    });
    address.map(Some)
}

/// Exceptions from "notifications go to public addresses only".
fn targets<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PushTargets, D::Error> {
    let entries = Vec::<String>::deserialize(deserializer)?;
    PushTargets::read(entries.iter().map(String::as_str))
        .map_err(|bad| D::Error::custom(format!("push_allow: {bad}")))
}

fn read_file(path: &Path) -> Result<File> {
    let text = match std::fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(File::default()),
        Err(error) => {
            return Err(error).with_context(|| {
                format!(
                    "cannot read {}; check the data directory, or choose another with --data-dir",
                    path.display()
                )
            });
        }
    };
    toml::from_str(&text).or_else(|error| bail!("{}", explain(path, &text, &error)))
}

/// `file:line:column: reason`, and the nearest key where one is unknown.
fn explain(path: &Path, text: &str, error: &toml::de::Error) -> String {
    let at = error.span().map_or(0, |span| span.start).min(text.len());
    let before = &text[..text.floor_char_boundary(at)];
    let line = before.matches('\n').count() + 1;
    let column = before
        .rsplit('\n')
        .next()
        .map_or(0, |last| last.chars().count())
        + 1;
    let mut message = format!("{}:{line}:{column}: {}", path.display(), error.message());
    let unknown = error
        .message()
        .strip_prefix("unknown field `")
        .and_then(|rest| rest.split('`').next());
    if let Some(near) = unknown.and_then(|unknown| nearest(unknown, KEYS.iter().copied())) {
        // A String takes every write.
        let _infallible = write!(message, "\nDid you mean {near}?");
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Settings> {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("a2a")).unwrap();
        std::fs::write(dir.path().join("a2a/agents.toml"), text).unwrap();
        let common = Common {
            agents_dir: None,
            data_dir: Some(dir.path().to_owned()),
            json: false,
        };
        let home = ("HOME".to_owned(), "/home/u".to_owned());
        Settings::load(&common, &Environment(BTreeMap::from([home]))).map_err(|error| {
            let root = dir.path().display().to_string();
            anyhow::anyhow!(format!("{error:#}").replace(&root, "<data>"))
        })
    }

    #[test]
    fn mistakes_in_the_file_are_named_with_their_place() {
        let messages: Vec<String> = [
            "\nlisen = \"127.0.0.1:1\"",
            "listen = \"localhost\"",
            "listen = 3131",
            "push_allow = [\"127.0.0.1\", \"0.0.0.0/0\"]",
            "push_alow = []",
            "= x",
        ]
        .into_iter()
        .map(|text| format!("{:#}", load(text).unwrap_err()))
        .collect();
        insta::assert_snapshot!(messages.join("\n---\n"));
    }

    #[test]
    fn a_flag_wins_over_the_environment_and_that_over_the_file() {
        let settings = load("agents_dir = \"/from/file\"").unwrap();
        assert_eq!(settings.agents_dir, Path::new("/from/file"));
        let dir = tempfile::tempdir().unwrap();
        let variable = ("MESH_AGENTS_DIR".to_owned(), "/from/env".to_owned());
        let environment = Environment(BTreeMap::from([variable]));
        let mut common = Common {
            agents_dir: None,
            data_dir: Some(dir.path().to_owned()),
            json: false,
        };
        let settings = Settings::load(&common, &environment).unwrap();
        assert_eq!(settings.agents_dir, Path::new("/from/env"));
        common.agents_dir = Some("/from/flag".into());
        let settings = Settings::load(&common, &environment).unwrap();
        assert_eq!(settings.agents_dir, Path::new("/from/flag"));
    }
}
