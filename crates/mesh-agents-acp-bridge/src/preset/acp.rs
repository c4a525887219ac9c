//! Any ACP command of the owner's: it gets what `runtime.toml` says and nothing else.

use super::{Configured, Harness};
use crate::plan::{McpSupport, no_text};

pub(super) const HARNESS: Harness = Harness {
    command: "",
    args: &[],
    install: "install it, or set runtime.command to its full path",
    uses_model: false,
    helpers: &[],
    mcp: McpSupport::Http,
    ignore_text: no_text,
    configure: |_| {
        Ok(Configured {
            owner_home: true,
            ..Configured::default()
        })
    },
};
