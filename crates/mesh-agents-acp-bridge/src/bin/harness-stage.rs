//! Stands in for `agents harness guard`, `exec`, `probe` and `command` in this crate's own tests, which cannot
//! start the binary `agents`: it is built from this crate. Nothing ships it.

use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    let mut word = || args.next().and_then(|word| word.into_string().ok());
    match (word().as_deref(), word().as_deref()) {
        (Some("harness"), Some("guard")) => mesh_agents_acp_bridge::guard_main(),
        (Some("harness"), Some("exec")) => mesh_agents_acp_bridge::stage_main(),
        (Some("harness"), Some("probe")) => mesh_agents_acp_bridge::probe_main(),
        (Some("harness"), Some("command")) => mesh_agents_acp_bridge::command_main(args),
        _ => ExitCode::from(2),
    }
}
