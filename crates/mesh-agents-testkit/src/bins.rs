//! Where cargo put the testkit's programs.
//!
//! `CARGO_BIN_EXE_*` exists only for tests of the package that owns the binary, so the tests of every other crate find
//! them by place: test executables live in `target/<profile>/deps`, programs one level up.

use std::path::PathBuf;

/// Path of the testkit program `name` (`scripted-acp-agent`, `scripted-model`), built by the same cargo run as the caller.
///
/// `cargo test --workspace` builds the programs of every member; a narrow `cargo test -p other-crate` does not.
///
/// # Panics
/// When the program is not there; the message says which command builds it.
#[must_use]
pub fn bin(name: &str) -> PathBuf {
    let here = match std::env::current_exe() {
        Ok(here) => here,
        Err(error) => panic!("the test's own path is unknown, so {name} cannot be found: {error}"),
    };
    let found = here
        .ancestors()
        .skip(1)
        // `deps` for tests, `examples` for examples, the profile directory itself for programs.
        .take(2)
        .map(|dir| dir.join(format!("{name}{}", std::env::consts::EXE_SUFFIX)))
        .find(|path| path.is_file());
    match found {
        Some(path) => path,
        None => panic!(
            "{name} is not built beside {}: run `cargo build -p mesh-agents-testkit --bins`",
            here.display()
        ),
    }
}
