//! Processes seen from outside, through `/proc`: who belongs to a home, who is whose child, who is alive.
//!
//! A process is a pid *and* a start time, so that "the same process" means it, and nothing that merely
//! inherited a pid is ever taken for it or killed.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::process::{Pid, Signal, kill_process};

/// One process, identified for good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    pid: i32,
    /// Clock ticks after boot at which it started: with the pid, unique until the machine restarts.
    started: u64,
}

impl Process {
    /// The process with that pid now, if there is one and it is no zombie.
    #[must_use]
    pub fn of(pid: i32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name, in parentheses, may hold spaces and parentheses: the fields start after the last one.
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        // Fields are counted from the state, the third of the line; the start time is the 22nd.
        let started = fields.nth(18)?.parse().ok()?;
        (state != "Z" && state != "X").then_some(Self { pid, started })
    }

    /// The pid, as programs write it into files.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid
    }

    /// Clock ticks after boot at which it started.
    #[must_use]
    pub fn started(&self) -> u64 {
        self.started
    }

    /// Whether this very process still runs.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        Self::of(self.pid) == Some(*self)
    }

    /// Kills it with SIGKILL, if it still is what it was.
    pub fn kill9(&self) {
        self.signal(Signal::KILL);
    }

    /// Asks it to leave, with SIGTERM.
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Holds it where it is, with SIGSTOP: it is there, and says nothing, as behind a cut link.
    pub fn hold(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on, with SIGCONT.
    pub fn let_go(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        if let (true, Some(pid)) = (self.is_alive(), Pid::from_raw(self.pid)) {
            // A process that ended since the look is the wanted outcome.
            let _ = kill_process(pid, signal);
        }
    }

    /// The file it executes, if it may be known.
    #[must_use]
    pub fn executable(&self) -> Option<PathBuf> {
        fs::read_link(format!("/proc/{}/exe", self.pid)).ok()
    }

    /// Its command line, program first.
    #[must_use]
    pub fn arguments(&self) -> Vec<String> {
        let line = fs::read(format!("/proc/{}/cmdline", self.pid)).unwrap_or_default();
        line.split(|byte| *byte == 0)
            .filter(|argument| !argument.is_empty())
            .map(|argument| String::from_utf8_lossy(argument).into_owned())
            .collect()
    }

    /// Its session, which tells what a terminal's Ctrl-C and its end reach.
    #[must_use]
    pub fn session(&self) -> Option<i32> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid)).ok()?;
        // The fourth field after the name's: state, parent, group, session.
        stat.rsplit_once(')')?
            .1
            .split_whitespace()
            .nth(3)?
            .parse()
            .ok()
    }

    /// Memory it holds at the moment, in KiB: `VmRSS` of its status, pages shared with others included.
    #[must_use]
    pub fn resident_kib(&self) -> Option<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.trim().trim_end_matches("kB").trim().parse().ok()
    }

    /// The pid of its parent, if it is there.
    #[must_use]
    pub fn parent(&self) -> Option<i32> {
        parent(self.pid)
    }

    /// Its direct children that are alive.
    #[must_use]
    pub fn children(&self) -> Vec<Self> {
        all()
            .into_iter()
            .filter(|process| parent(process.pid) == Some(self.pid))
            .collect()
    }

    /// Whether the directory shows in its environment, its command line or its working directory: how a
    /// process started below a temporary home is told, wherever it went to live.
    #[must_use]
    pub fn belongs_to(&self, directory: &Path) -> bool {
        let needle = directory.as_os_str().as_bytes();
        let shows = |file: &str| {
            fs::read(format!("/proc/{}/{file}", self.pid))
                .is_ok_and(|bytes| bytes.windows(needle.len()).any(|window| window == needle))
        };
        let cwd = fs::read_link(format!("/proc/{}/cwd", self.pid));
        shows("environ") || shows("cmdline") || cwd.is_ok_and(|cwd| cwd.starts_with(directory))
    }
}

/// The other live processes that belong to a directory, see [`Process::belongs_to`].
#[must_use]
pub(crate) fn of_directory(directory: &Path) -> Vec<Process> {
    let own = i32::try_from(std::process::id()).unwrap_or_default();
    all()
        .into_iter()
        .filter(|process| process.pid != own && process.belongs_to(directory))
        .collect()
}

fn all() -> Vec<Process> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .filter_map(|entry| number(&entry.ok()?.file_name()))
        .filter_map(Process::of)
        .collect()
}

fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit_once(')')?
        .1
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

fn number(name: &OsStr) -> Option<i32> {
    name.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_no_longer_itself_when_it_ended() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pid = i32::try_from(child.id()).unwrap();
        let process = Process::of(pid).unwrap();
        assert!(process.is_alive());
        assert_eq!(Process::of(pid), Some(process));

        process.kill9();
        child.wait().unwrap();
        assert!(!process.is_alive());
        // Once more: nobody is hit.
        process.kill9();
    }

    #[test]
    fn a_process_belongs_to_the_directory_it_was_given() {
        let home = tempfile::tempdir().unwrap();
        let mut child = std::process::Command::new("cat")
            .env_clear()
            .env("SOMETHING", home.path().join("below"))
            .env("PATH", "/usr/bin:/bin")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let found = of_directory(home.path());
        let others = of_directory(Path::new("/nowhere/at/all"));
        child.kill().unwrap();
        child.wait().unwrap();
        assert_eq!(
            found.iter().map(Process::pid).collect::<Vec<_>>(),
            [child.id() as i32]
        );
        assert!(others.is_empty());
    }
}
