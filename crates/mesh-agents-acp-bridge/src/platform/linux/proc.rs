//! Reading `/proc`: which processes there are, whose children they are, which run they belong to.

use std::fs;

/// The environment variable that says which run a process belongs to.
pub(crate) const RUN_VARIABLE: &str = "MESH_AGENT_RUN";

/// One process as `/proc/<pid>/stat` shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Process {
    /// Process id.
    pub(super) pid: u32,
    /// Its parent's.
    pub(super) parent: u32,
    /// State letter.
    pub(super) state: u8,
    /// Start in clock ticks since boot; with the pid it names a process for good.
    pub(super) birth: u64,
}

impl Process {
    /// Whether it can still do anything.
    pub(super) fn is_alive(&self) -> bool {
        !matches!(self.state, b'Z' | b'X' | b'x')
    }
}

/// Process `pid`, if there is one.
pub(super) fn stat(pid: u32) -> Option<Process> {
    parse_stat(pid, &fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

fn parse_stat(pid: u32, text: &str) -> Option<Process> {
    // The second field is the program's name in parentheses and may hold anything, ')' included.
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = *fields.next()?.as_bytes().first()?;
    let parent = fields.next()?.parse().ok()?;
    // Field 22; two of the fields after the name are gone already.
    let birth = fields.nth(17)?.parse().ok()?;
    Some(Process {
        pid,
        parent,
        state,
        birth,
    })
}

/// All processes of the machine that we can see.
pub(super) fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(stat).collect()
}

/// The number that marks the processes of a run where they cannot take it off.
///
/// An environment can be cleared and a parent can die; a resource limit is inherited by every
/// child, survives `exec`, and its hard value can never be raised again without privilege. The
/// limit on CPU time of *real-time* threads means nothing to a harness as long as it is huge, so a
/// number above 2^61 microseconds (70,000 years), made from the run id, is the mark.
pub(super) fn mark_of(run_id: &str) -> u64 {
    // FNV-1a. Not a secret: it only has to differ between runs.
    let hash = run_id
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
    (hash & ((1 << 61) - 1)) | (1 << 61)
}

/// Whether process `pid` carries the mark of run `run_id`, in its environment or its limits.
pub(super) fn is_marked(pid: u32, run_id: &str) -> bool {
    let wanted = format!("{RUN_VARIABLE}={run_id}");
    let environment = fs::read(format!("/proc/{pid}/environ")).unwrap_or_default();
    if environment
        .split(|byte| *byte == 0)
        .any(|variable| variable == wanted.as_bytes())
    {
        return true;
    }
    realtime_limit(pid) == Some(mark_of(run_id))
}

/// The hard limit on CPU time of real-time threads of process `pid`, in microseconds; the largest
/// number stands for none. `None` when there is no such process, or it may not be looked at.
pub(super) fn realtime_limit(pid: u32) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{pid}/limits")).ok()?;
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max realtime timeout"))?;
    match line.split_ascii_whitespace().nth(1)? {
        "unlimited" => Some(u64::MAX),
        number => number.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_may_be_called_anything() {
        let text = "7 (a) R 1 (b) S 3 7 7 0 -1 4 0 0 0 0 0 0 0 0 20 0 1 0 4711 9 9";
        let process = parse_stat(7, text).unwrap();
        assert_eq!((process.parent, process.birth), (3, 4711));
        assert_eq!(process.state, b'S');
    }

    #[test]
    fn marks_of_different_runs_differ_and_never_limit_anything() {
        let a = mark_of("run-01ARZ3NDEKTSV4RRFFQ69G5FAV");
        let b = mark_of("run-01ARZ3NDEKTSV4RRFFQ69G5FAW");
        assert_ne!(a, b);
        assert!((1 << 61..u64::MAX / 2).contains(&a));
    }

    #[test]
    fn this_process_is_alive_and_its_birth_is_known() {
        let me = stat(std::process::id()).unwrap();
        assert!(me.is_alive() && me.birth > 0);
        assert!(all().iter().any(|process| process.pid == me.pid));
    }
}
