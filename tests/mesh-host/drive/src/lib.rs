//! Drives a real mesh-llm host with our plugin, as a user's machine would run the two.
//!
//! [`run`] gives a test a [`Home`]: a temporary home directory that nothing outside of it knows. The test
//! writes agents into it, starts a [`Host`] there, talks to it as an MCP client ([`Client`]) and through
//! `mesh-llm agents …`, kills parts of it, and leaves. `run` then stops the engine, which outlives the host
//! by design, and fails the test if any process of that home is still there.
//!
//! Nothing here links the host or our own crates: both are programs, named by [`HOST_ENV`] and
//! [`AGENTS_ENV`], so what is tested is what a user would start.

mod agent;
mod home;
mod host;
mod mcp;
mod model;
mod nodes;
mod process;
pub mod review;
pub mod scripts;
mod wait;

pub use agent::{AgentFiles, Queue};
pub use home::{Home, run, run_in, within};
pub use host::{Host, HostSpec};
pub use mcp::{CallError, Client};
pub use model::Model;
pub use nodes::{PARK_SECONDS, Pair, SEEN_LIMIT, Victim};
pub use process::Process;
pub use wait::eventually;

use std::path::PathBuf;

/// Names the environment variable with the path of the host program, `meshhost` or a released `mesh-llm`.
pub const HOST_ENV: &str = "MESHHOST_BIN";

/// Names the environment variable with the path of our plugin's binary.
pub const AGENTS_ENV: &str = "AGENTS_BIN";

/// Names the environment variable with the path of the testkit's scripted model server.
pub const MODEL_ENV: &str = "MODEL_BIN";

/// Names the environment variable with the path of the testkit's scripted ACP agent.
pub const ACP_ENV: &str = "ACP_BIN";

/// Names the environment variable with the path of a real OpenCode.
pub const OPENCODE_ENV: &str = "OPENCODE_BIN";

/// The plugin's name on the mesh: the `[[plugin]]` stanza, the tools' prefix, the command line word.
pub const PLUGIN: &str = "agents";

/// The host program to test with.
///
/// # Panics
/// When [`HOST_ENV`] is unset or names no file; the message says which script prints the path.
#[must_use]
pub fn host_bin() -> PathBuf {
    program(HOST_ENV, "export MESHHOST_BIN=\"$(scripts/mesh-host.sh)\"")
}

/// Our plugin's binary.
///
/// # Panics
/// When [`AGENTS_ENV`] is unset or names no file; the message says how to build it.
#[must_use]
pub fn agents_bin() -> PathBuf {
    program(
        AGENTS_ENV,
        "cargo build --locked -p mesh-agents && export AGENTS_BIN=\"$PWD/target/debug/agents\"",
    )
}

/// The scripted model server.
///
/// # Panics
/// When [`MODEL_ENV`] is unset or names no file; the message says how to build it.
#[must_use]
pub fn model_bin() -> PathBuf {
    program(
        MODEL_ENV,
        "cargo build --locked -p mesh-agents-testkit --bins && export MODEL_BIN=\"$PWD/target/debug/scripted-model\"",
    )
}

/// The scripted ACP agent.
///
/// # Panics
/// When [`ACP_ENV`] is unset or names no file; the message says how to build it.
#[must_use]
pub fn acp_bin() -> PathBuf {
    program(
        ACP_ENV,
        "cargo build --locked -p mesh-agents-testkit --bins && export ACP_BIN=\"$PWD/target/debug/scripted-acp-agent\"",
    )
}

/// A real OpenCode, under the name it is started by: what it is a link to need not have that name.
///
/// # Panics
/// When [`OPENCODE_ENV`] is unset or names no file; the message says which script prints the path.
#[must_use]
pub fn opencode_bin() -> PathBuf {
    let recipe = "export OPENCODE_BIN=\"$(scripts/opencode.sh)\"";
    program(OPENCODE_ENV, recipe);
    std::env::var_os(OPENCODE_ENV).unwrap_or_default().into()
}

fn program(variable: &str, recipe: &str) -> PathBuf {
    let value = std::env::var_os(variable).unwrap_or_else(|| {
        panic!("{variable} is not set. From the repository's root: {recipe}");
    });
    std::fs::canonicalize(&value).unwrap_or_else(|error| {
        panic!(
            "{variable}={}: {error}. From the repository's root: {recipe}",
            value.display()
        );
    })
}
