//! The scripted ACP agent; its language is described in `mesh_agents_testkit::acp_agent`.

use std::process::ExitCode;

use mesh_agents_testkit::acp_agent::{self, Environment};

#[expect(
    clippy::disallowed_methods,
    reason = "a program's main is where the environment is read, once"
)]
fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    acp_agent::main(&arguments, Environment::new(std::env::vars_os()))
}
