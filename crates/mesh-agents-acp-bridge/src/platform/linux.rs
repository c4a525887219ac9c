//! Linux: child subreaper, parent-death signal, pidfds, `/proc`, Landlock, namespaces, seccomp.

mod confine;
mod filter;
mod network;
mod proc;
mod sweep;

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::{self, Pid, PidfdFlags, Resource, Rlimit, Signal};

pub(crate) use confine::{confine, confinement_support};
pub(crate) use filter::missing as filter_missing;
pub(crate) use network::own_network;
pub(crate) use sweep::{kill_one, sweep};

/// How often a guard looks for orphans to reap while nothing else happens. The exit of the harness
/// itself is signalled at once; this only bounds how long a dead stranger stays in the table.
pub(crate) const TICK: Duration = Duration::from_secs(5);

/// Whether [`sweep`] finds what left the process group.
pub(crate) const SWEEPS: bool = true;

/// Makes every orphan below this process its child, so that none leaves its sight.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    Ok(process::set_child_subreaper(Some(process::getpid()))?)
}

/// Makes this process die when `parent` does, whatever kills it.
pub(crate) fn die_with_parent(parent: u32) -> io::Result<()> {
    process::set_parent_process_death_signal(Some(Signal::KILL))?;
    // The parent may have died before the line above; then nobody would send the signal.
    let now = process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if now == Some(parent) {
        Ok(())
    } else {
        Err(io::Error::other("the guard ended before the harness began"))
    }
}

/// Puts the run's mark on this process and all that come from it (see [`proc::mark_of`]).
pub(crate) fn mark(run_id: &str) -> io::Result<()> {
    let mark = proc::mark_of(run_id);
    let limit = Rlimit {
        current: Some(mark),
        maximum: Some(mark),
    };
    Ok(process::setrlimit(Resource::Rttime, limit)?)
}

/// Whether process `pid` may be part of a run that this process, an engine, has started.
///
/// A run's limit is below its engine's ([`proc::mark_of`]). Whoever is in it can lower the limit
/// further and so hide which run it is, but can never raise it to what the engine and everybody
/// outside has (unless it runs as the superuser). One that cannot be looked at any more counts as
/// part of a run.
pub fn may_be_in_a_run(pid: u32) -> bool {
    match (
        proc::realtime_limit(pid),
        proc::realtime_limit(std::process::id()),
    ) {
        (Some(theirs), Some(ours)) => theirs < ours,
        _ => true,
    }
}

/// When process `pid` began, in clock ticks since boot; `None` when it is gone or only a zombie.
pub(crate) fn birth(pid: u32) -> Option<u64> {
    let process = proc::stat(pid)?;
    process.is_alive().then_some(process.birth)
}

/// Becomes readable when the child `pid` has exited.
pub(crate) fn exit_watch(pid: Pid) -> io::Result<Option<OwnedFd>> {
    Ok(Some(process::pidfd_open(pid, PidfdFlags::empty())?))
}

/// Whether the owner is the superuser, whom the permissions of files do not hold.
pub(crate) fn is_superuser() -> bool {
    process::geteuid().is_root()
}

/// This very program, even when its file was replaced meanwhile.
pub(crate) fn own_program() -> io::Result<PathBuf> {
    Ok(PathBuf::from("/proc/self/exe"))
}
