//! What stands behind the tools: one call, one answer, the same for every surface.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use futures::future::BoxFuture;
use mesh_agents_core::json::JsonText;
use mesh_agents_core::limits::{WAIT_SECONDS, WAIT_SECONDS_HOST};
use mesh_agents_core::policy::Caller;
use mesh_agents_core::refusal::Refusal;

/// Executes tools. The engine does it itself; a front-end asks the engine.
pub trait ToolBackend: Send + Sync {
    /// Calls the tool `tool` with the object `args`. The answer is a JSON object of at most
    /// [`mesh_agents_core::limits::RESULT_BYTES`]. Dropping the future stops the waiting, not the work.
    fn call<'a>(
        &'a self,
        meta: CallMeta,
        tool: &'a str,
        args: JsonText,
    ) -> BoxFuture<'a, Result<JsonText, Refusal>>;
}

/// What is known of a call besides its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallMeta {
    /// Where it came in. Audit data, never scope.
    pub surface: Surface,
    /// The front-end process it came through: a ULID as text.
    pub instance: Option<String>,
    /// On whose behalf.
    pub caller: Caller,
    /// The longest it may be parked.
    pub wait_cap: Duration,
    /// Whether the `message_id` in the arguments is the front-end's and not the caller's.
    pub minted: bool,
}

impl CallMeta {
    /// A call by the person at this machine.
    #[must_use]
    pub fn local(surface: Surface) -> Self {
        Self {
            surface,
            instance: None,
            caller: Caller::local(),
            wait_cap: surface.wait_cap(),
            minted: false,
        }
    }
}

/// Where a call came in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Surface {
    /// The mesh-llm host.
    Host,
    /// Our own MCP over HTTP.
    Http,
    /// Our own MCP over stdio.
    Stdio,
    /// A command.
    Cli,
    /// A harness of ours, by its token.
    Task,
}

impl Surface {
    const ALL: [Self; 5] = [Self::Host, Self::Http, Self::Stdio, Self::Cli, Self::Task];

    /// The name used between processes and in logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Http => "http",
            Self::Stdio => "stdio",
            Self::Cli => "cli",
            Self::Task => "task",
        }
    }

    /// The longest a call may be parked here (DESIGN §2.3, parking).
    #[must_use]
    pub fn wait_cap(self) -> Duration {
        Duration::from_secs(match self {
            Self::Host => WAIT_SECONDS_HOST,
            Self::Http | Self::Stdio | Self::Cli | Self::Task => WAIT_SECONDS,
        })
    }
}

impl fmt::Display for Surface {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A text that names no surface.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("surface {0:?} is not one of host, http, stdio, cli, task")]
pub struct UnknownSurface(pub String);

impl FromStr for Surface {
    type Err = UnknownSurface;
    fn from_str(text: &str) -> Result<Self, UnknownSurface> {
        let found = Self::ALL.into_iter().find(|one| one.as_str() == text);
        found.ok_or_else(|| UnknownSurface(text.chars().take(40).collect()))
    }
}
