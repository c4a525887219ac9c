//! Systems without `/proc`, subreaper and Landlock: the process group is all there is. A harness is
//! not confined there, and a child that left its group outlives it; the bridge says so.

use std::io;
use std::net::SocketAddrV4;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{self, Pid};

use super::Swept;
use crate::confinement::{ConfinementSupport, Grants};

/// How often a guard looks whether the harness has exited: nothing signals it here.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// Whether [`sweep`] finds what left the process group.
pub(crate) const SWEEPS: bool = false;

/// Orphans cannot be adopted here.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(())
}

/// A process cannot be tied to its parent here; it notices when its stdin closes.
pub(crate) fn die_with_parent(_parent: u32) -> io::Result<()> {
    Ok(())
}

/// Processes carry no mark but their environment here.
pub(crate) fn mark(_run_id: &str) -> io::Result<()> {
    Ok(())
}

/// Runs carry no mark that can be seen from outside here, so nobody is taken for one.
pub fn may_be_in_a_run(_pid: u32) -> bool {
    false
}

/// 0 when the process exists: its birth is not known here.
pub(crate) fn birth(pid: u32) -> Option<u64> {
    let pid = Pid::from_raw(i32::try_from(pid).ok()?)?;
    process::test_kill_process(pid).ok().map(|()| 0)
}

/// There is nothing to wait on here; the guard looks every [`TICK`].
pub(crate) fn exit_watch(_pid: Pid) -> io::Result<Option<OwnedFd>> {
    Ok(None)
}

/// The file this program was started from.
pub(crate) fn own_program() -> io::Result<PathBuf> {
    std::env::current_exe()
}

/// Kills nobody: whether the process is still the one that was meant is not known here, and a guard
/// ends by itself once its engine is gone.
pub(crate) fn kill_one(_pid: u32, _birth: u64) {}

/// Finds nothing: only the process group is known, and the guard kills that itself.
pub(crate) fn sweep(_root: Option<u32>, _run_id: &str, _budget: Duration) -> Swept {
    Swept::default()
}

/// There is no confinement here.
pub(crate) fn confinement_support() -> ConfinementSupport {
    ConfinementSupport::Missing("confinement needs Linux with Landlock".to_owned())
}

/// There is no confinement here.
pub(crate) fn filter_missing() -> Option<String> {
    Some("it needs Linux with seccomp".to_owned())
}

/// There is no confinement here.
pub(crate) fn own_network(_addresses: &[SocketAddrV4]) -> Result<Vec<OwnedFd>, String> {
    Err("it needs Linux with user namespaces".to_owned())
}

/// Nobody is confined here, so it does not matter.
pub(crate) fn is_superuser() -> bool {
    false
}

/// There is no confinement here.
pub(crate) fn confine(_grants: &Grants) -> Result<(), String> {
    Err("confinement needs Linux with Landlock".to_owned())
}
