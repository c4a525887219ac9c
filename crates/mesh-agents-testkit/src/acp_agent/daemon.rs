//! Children that get away, and the agent's own sudden death.
//!
//! A daemon is this program again with [`LINGER`]: it ignores the signals that ask politely, writes its pid and stays.
//! The stages exist because leaving a session or a parent must be done by the process that leaves.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Signal, getpid, kill_process, setsid};
use tokio::process::Command;
use tokio::signal::unix::{SignalKind, signal};

use super::files::append_line;
use super::script::DaemonKind;
use super::turn::{POLL, Turn};

/// Hidden first argument: what follows is a stage and a pid file.
pub(super) const LINGER: &str = "--linger";

/// Polls before a daemon that has not written its pid is given up: 30 s, for a machine that does much else.
const PID_POLLS: u32 = 6000;

impl Turn {
    /// Starts a daemon, waits until its pid is in `pidfile` and streams it.
    pub(super) async fn daemon(&self, kind: DaemonKind, pidfile: &str) -> Result<(), String> {
        let pidfile = self.path(pidfile)?;
        let before = pids(&pidfile).len();
        let mut command = command(kind, &self.state.exe, &pidfile);
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        // Not waited for, as a tool would not; tokio reaps it whenever it ends.
        drop(
            command
                .spawn()
                .map_err(|error| format!("cannot start it: {error}"))?,
        );
        for _ in 0..PID_POLLS {
            if let Some(pid) = pids(&pidfile).get(before) {
                return self.say(&format!("daemon {pid}\n")).await;
            }
            tokio::time::sleep(POLL).await;
        }
        Err(format!("no pid came into {}", pidfile.display()))
    }

    /// SIGKILL to itself: the end that no handler sees.
    pub(super) fn die(&self) -> Result<(), String> {
        kill_process(getpid(), Signal::KILL).map_err(|error| format!("kill: {error}"))
    }
}

fn command(kind: DaemonKind, exe: &Path, pidfile: &Path) -> Command {
    let stage = |stage: &str| {
        let mut command = Command::new(exe);
        command.arg(LINGER).arg(stage).arg(pidfile);
        command
    };
    match kind {
        DaemonKind::Plain => {
            let mut command = stage("stay");
            command.process_group(0);
            command
        }
        DaemonKind::Nohup => {
            let mut command = Command::new("sh");
            let script = format!("nohup \"$0\" {LINGER} stay \"$1\" >/dev/null 2>&1 &");
            command.arg("-c").arg(script).arg(exe).arg(pidfile);
            command
        }
        DaemonKind::Setsid => stage("setsid"),
        DaemonKind::Double => stage("leave"),
        DaemonKind::ClearEnv => {
            let mut command = stage("stay");
            command.env_clear().process_group(0);
            command
        }
        DaemonKind::Hidden => {
            let mut command = stage("leave");
            command.env_clear();
            command
        }
    }
}

/// A daemon whose test failed to kill it ends by itself: long after any test, well before it is a nuisance.
const LIFETIME: Duration = Duration::from_secs(3600);

/// What the re-executed program does. `leave` starts another one in a new session and ends, so that it is an orphan.
pub(super) async fn linger(stage: &str, exe: &Path, pidfile: &Path) -> std::io::Result<()> {
    match stage {
        "stay" => stay(pidfile).await,
        "setsid" => {
            setsid()?;
            stay(pidfile).await
        }
        "leave" => {
            setsid()?;
            let mut child = Command::new(exe);
            child.arg(LINGER).arg("stay").arg(pidfile).spawn().map(drop)
        }
        other => Err(std::io::Error::other(format!("no such stage: {other}"))),
    }
}

async fn stay(pidfile: &Path) -> std::io::Result<()> {
    let ignored = [
        SignalKind::terminate(),
        SignalKind::hangup(),
        SignalKind::interrupt(),
    ];
    // A handler that nobody listens to is the way to ignore a signal without unsafe code.
    let _handlers = ignored
        .into_iter()
        .map(signal)
        .collect::<std::io::Result<Vec<_>>>()?;
    append_line(pidfile, &std::process::id().to_string())?;
    tokio::time::sleep(LIFETIME).await;
    Ok(())
}

/// The complete lines of a pid file; none while it does not exist.
fn pids(pidfile: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(pidfile).unwrap_or_default();
    text.split_inclusive('\n')
        .filter_map(|line| line.strip_suffix('\n'))
        .map(str::to_owned)
        .collect()
}
