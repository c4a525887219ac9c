//! What the program asks of the operating system besides files and sockets.
//!
//! One module for each kind of system, with the same names; nothing else in the crate is conditional.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub(crate) use unix::*;

#[cfg(not(unix))]
mod other;
#[cfg(not(unix))]
pub(crate) use other::*;

use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_core::system::FILES_WORK;

/// Whether an engine can run here: all that needs one asks this first.
///
/// # Errors
/// `not_built`, with what is missing and what works.
pub(crate) fn can_run_engine() -> Result<(), Refusal> {
    refused(MISSING)
}

fn refused(missing: Option<&str>) -> Result<(), Refusal> {
    match missing {
        None => Ok(()),
        Some(why) => Err(Refusal::new(Code::NotBuilt, why).hint(FILES_WORK)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mesh_agents_core::system::NO_RUNS;

    #[test]
    fn a_system_without_an_engine_is_told_what_is_missing_and_what_works() {
        let refusal = refused(Some(NO_RUNS)).unwrap_err();
        assert_eq!(refusal.code, Code::NotBuilt);
        let text = refusal.to_string();
        assert!(
            text.contains("Windows") && text.contains("agents init, validate"),
            "{text}"
        );
        assert!(can_run_engine().is_ok(), "the tests run where engines do");
    }
}
