//! JSON Schemas of the two files, for editors: what can be completed, what it is for, and what is
//! wrong while it is typed. Made from the tables that files are checked by, so that both judge alike.
//!
//! A schema sees one file at a time and no disk; `agents validate` has the last word. They are draft 7
//! without references to elsewhere, which is what editors' TOML support reads.

mod card;
mod runtime;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// The directory below the agents directory that editors find the schemas in; its dot keeps it from
/// being an agent.
const DIR: &str = ".schemas";
/// The schema of `runtime.toml` in [`DIR`].
const RUNTIME: &str = "runtime.json";
/// The schema of `agent-card.json` in [`DIR`].
const CARD: &str = "agent-card.json";
/// What the first line of a `runtime.toml` says to editors (taplo, Even Better TOML): a path from
/// the file, so that it holds wherever the agents directory is, without a network.
pub(crate) const HEADER: &str = "#:schema ../.schemas/runtime.json";

/// The schema of `runtime.toml`.
#[must_use]
pub fn runtime_schema() -> Value {
    runtime::schema()
}

/// The schema of `agent-card.json`: an A2A 1.0 Agent Card as agents here take it.
#[must_use]
pub fn card_schema() -> Value {
    card::schema()
}

/// A schema as it is printed and written.
#[must_use]
pub fn text(schema: &Value) -> String {
    format!("{schema:#}\n")
}

/// Writes both schemas where editors find them, unless they are there. Their directory.
///
/// # Errors
/// When a file cannot be written, with its path.
pub fn write(agents_dir: &Path) -> Result<PathBuf, (PathBuf, io::Error)> {
    let dir = agents_dir.join(DIR);
    fs::create_dir_all(&dir).map_err(|error| (dir.clone(), error))?;
    for (name, schema) in [(RUNTIME, runtime_schema()), (CARD, card_schema())] {
        let path = dir.join(name);
        let text = text(&schema);
        if fs::read_to_string(&path).is_ok_and(|there| there == text) {
            continue;
        }
        fs::write(&path, text).map_err(|error| (path.clone(), error))?;
    }
    Ok(dir)
}
