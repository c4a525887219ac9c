//! Stands in for `agents harness guard` and `agents harness exec` in this crate's own tests, which
//! cannot start the binary `agents`: it is built from this crate. Nothing ships it.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args().skip(1);
    match (args.next().as_deref(), args.next().as_deref()) {
        (Some("harness"), Some("guard")) => mesh_agents_acp_bridge::guard_main(),
        (Some("harness"), Some("exec")) => mesh_agents_acp_bridge::stage_main(),
        _ => ExitCode::from(2),
    }
}
