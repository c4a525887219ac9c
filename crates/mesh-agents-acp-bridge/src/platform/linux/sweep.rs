//! Killing what is left of a run: descendants of its guard and whatever carries its mark.

use std::collections::{HashMap, HashSet};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use super::proc::{self, Process};
use crate::platform::Swept;

/// Longest wait for one pass's victims to die before looking again.
const PASS: Duration = Duration::from_millis(100);

/// Kills every process below `root` (not itself) and every process marked with `run_id`, again and
/// again until a look finds none or `budget` is over. A process can be born between a look and a
/// kill; it is found by the next look, since it inherits parentage and mark.
pub(crate) fn sweep(root: Option<u32>, run_id: &str, budget: Duration) -> Swept {
    let end = Instant::now() + budget;
    let mut killed = HashSet::new();
    loop {
        let found = victims(root, run_id);
        let over = Instant::now() >= end;
        if found.is_empty() || over {
            return Swept {
                killed: u32::try_from(killed.len()).unwrap_or(u32::MAX),
                left: u32::try_from(found.len()).unwrap_or(u32::MAX),
            };
        }
        let mut dying = Vec::with_capacity(found.len());
        for process in &found {
            if let Some(pidfd) = kill(process.pid, process.birth) {
                killed.insert((process.pid, process.birth));
                dying.push(pidfd);
            }
        }
        await_all(
            dying,
            PASS.min(end.saturating_duration_since(Instant::now())),
        );
    }
}

fn victims(root: Option<u32>, run_id: &str) -> Vec<Process> {
    let me = std::process::id();
    let all = proc::all();
    let below = root.map_or_else(HashSet::new, |root| descendants(root, &all));
    all.into_iter()
        .filter(|process| process.is_alive() && process.pid != me && Some(process.pid) != root)
        .filter(|process| below.contains(&process.pid) || proc::is_marked(process.pid, run_id))
        .collect()
}

fn descendants(root: u32, all: &[Process]) -> HashSet<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for process in all {
        children
            .entry(process.parent)
            .or_default()
            .push(process.pid);
    }
    let mut found = HashSet::new();
    let mut open = vec![root];
    while let Some(pid) = open.pop() {
        for child in children.get(&pid).into_iter().flatten() {
            if found.insert(*child) {
                open.push(*child);
            }
        }
    }
    found
}

/// Kills process `pid` if it is the one that began at `birth`, and waits a moment for its end.
pub(crate) fn kill_one(pid: u32, birth: u64) {
    await_all(kill(pid, birth).into_iter().collect(), PASS);
}

/// Kills exactly this process: the pidfd holds on to whoever has the pid now, and the birth tells
/// whether that is still the one we saw.
fn kill(pid: u32, birth: u64) -> Option<OwnedFd> {
    let raw = Pid::from_raw(i32::try_from(pid).ok()?)?;
    let pidfd = pidfd_open(raw, PidfdFlags::empty()).ok()?;
    if proc::stat(pid)?.birth != birth {
        return None;
    }
    pidfd_send_signal(&pidfd, Signal::KILL).ok()?;
    Some(pidfd)
}

/// Waits until every one of these processes has exited, at most `limit`.
fn await_all(mut dying: Vec<OwnedFd>, limit: Duration) {
    let end = Instant::now() + limit;
    while !dying.is_empty() {
        let left = end.saturating_duration_since(Instant::now());
        let Ok(timeout) = Timespec::try_from(left) else {
            return;
        };
        let mut polled: Vec<_> = dying
            .iter()
            .map(|fd| PollFd::new(fd, PollFlags::IN))
            .collect();
        let ready = poll(&mut polled, Some(&timeout)).unwrap_or(0);
        let done: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
        if ready == 0 {
            return;
        }
        let mut done = done.into_iter();
        dying.retain(|_| !done.next().unwrap_or(false));
    }
}
