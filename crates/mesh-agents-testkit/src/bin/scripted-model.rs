//! The scripted model server; its script is described in `mesh_agents_testkit::model`.

use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<_> = std::env::args_os().skip(1).collect();
    mesh_agents_testkit::model::main(&arguments)
}
