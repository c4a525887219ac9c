//! Agent directories on disk, turned into a validated, immutable, hot-reloaded snapshot.
//!
//! One agent is one directory `<agents-dir>/<agent-id>/` with [`CARD_FILE`], [`RUNTIME_FILE`] and
//! a brief (DESIGN §2.2, §2.5). [`load`] reads them once; a [`Watcher`] keeps reading and
//! publishes a new [`Snapshot`] when something changed. A directory that is not right never hides
//! another one: it becomes [`Problem`]s that say where and what to do, and what was right before
//! keeps serving.
//!
//! This crate alone knows the keys of `runtime.toml` and the shape of a card on disk. It starts
//! nothing, stores nothing and does not read the environment: what it may check against comes in
//! as an [`Environment`].
//!
//! Reading order: [`load`], `agent_dir`, `runtime_toml`, `validate`, `card`, [`Watcher`]; then the
//! two writers [`edit`] and [`scaffold`].

mod agent_dir;
mod card;
mod check;
pub mod code;
pub mod edit;
mod files;
mod json_text;
mod lint;
mod loader;
mod patched;
mod problem;
mod report;
mod runtime_toml;
pub mod scaffold;
pub mod schema;
mod slips;
mod snapshot;
mod toml_text;
mod validate;
mod watch;

use std::collections::BTreeMap;

pub use mesh_agents_core::near::nearest;
use mesh_agents_core::{position, toml_reader};

pub use crate::check::check;
pub use crate::files::{CARD_FILE, INSTRUCTIONS_BYTES, RUNTIME_BYTES, RUNTIME_FILE};
pub use crate::problem::{Action, Place, Problem, Severity};
pub use crate::snapshot::{Snapshot, load};
pub use crate::watch::{WatchError, Watcher};

/// What of the outside world definitions are checked against; read by the program, handed in here.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Environment {
    /// The environment variables that `$NAME` and `{{ env.NAME }}` will expand to.
    pub variables: BTreeMap<String, String>,
}

impl Environment {
    /// An environment of these variables.
    pub fn new(variables: impl IntoIterator<Item = (String, String)>) -> Self {
        Self {
            variables: variables.into_iter().collect(),
        }
    }

    /// The owner's home directory, as `$HOME` says.
    pub(crate) fn home(&self) -> Option<&str> {
        self.variables
            .get("HOME")
            .map(String::as_str)
            .filter(|home| home.starts_with('/'))
    }
}
