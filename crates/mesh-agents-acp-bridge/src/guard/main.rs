//! The guard's own process. `agents harness guard`.

use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{self, Pid, Signal, WaitOptions, WaitStatus};

use super::wire::{self, Exit, Harness, Inbox, Launch, Order, Report, StageError, Step};
use super::{fds, forward};
use crate::platform;

/// Guards one harness, as told over the socket that is its stdin, until nothing of it is left.
#[must_use]
pub fn guard_main() -> ExitCode {
    match guard() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Usually nobody reads this: the engine sees the closed socket. It is for a person who
            // tried the verb by hand.
            let told = writeln!(io::stderr(), "agents harness guard: {error}");
            let _ = told;
            ExitCode::FAILURE
        }
    }
}

fn guard() -> io::Result<()> {
    // In a session of its own, no signal meant for the engine's terminal reaches it. It fails only
    // for the leader of a group, which is then on its own already.
    let _ = process::setsid();
    platform::adopt_orphans()?;
    let mut control = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let stdio = fds::receive::<3>(&control)?;
    let mut inbox = Inbox::default();
    let Some(launch) = inbox.next::<Launch>(&mut control)? else {
        return Ok(());
    };
    match start(&launch.harness, stdio) {
        Ok(harness) => {
            let pid = id(harness);
            let mut watch = Watch {
                exit_fd: platform::exit_watch(harness)?,
                control: Some(control),
                inbox,
                launch,
                harness,
                exit: None,
                hurry: false,
            };
            watch.report(&Report::Spawned { pid });
            watch.run()
        }
        Err(error) => {
            let line = wire::line(&Report::NotSpawned(error))?;
            control.write_all(&line)
        }
    }
}

/// Starts the stage and waits until it has become the harness.
fn start(harness: &Harness, stdio: [OwnedFd; 3]) -> Result<Pid, StageError> {
    spawn(harness, stdio).map_err(|error| StageError {
        step: Step::Start,
        cause: error.to_string(),
    })?
}

fn spawn(harness: &Harness, stdio: [OwnedFd; 3]) -> io::Result<Result<Pid, StageError>> {
    let [stdin, stdout, stderr] = stdio;
    let (mut ours, theirs) = UnixStream::pair()?;
    fds::send(&ours, &[stdin.as_fd()])?;
    let child = Command::new(platform::own_program()?)
        .args(["harness", "exec"])
        .env_clear()
        .current_dir(&harness.cwd)
        .process_group(0)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::from(stdout))
        .stderr(Stdio::from(stderr))
        .spawn()?;
    // From here on only the harness holds its stdin, stdout and stderr, so their ends are seen.
    drop(stdin);
    let pid = Pid::from_child(&child);
    let mut told = ours.write_all(&wire::line(&(harness, std::process::id()))?);
    if told.is_ok() && harness.own_network().is_some() {
        told = fds::receive_all(&ours).and_then(forward::start);
    }
    match told.and_then(|()| Inbox::default().next::<StageError>(&mut ours)) {
        Ok(Some(error)) => Ok(Err(error)),
        Ok(None) => Ok(Ok(pid)),
        Err(error) => match error.kind() {
            // It was killed before it had become the harness, which its exit tells.
            io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset => Ok(Ok(pid)),
            _ => Err(error),
        },
    }
}

/// A harness at work, seen from its guard.
struct Watch {
    /// Readable once the harness has exited; `None` where the system has no such thing, and after.
    exit_fd: Option<OwnedFd>,
    /// The engine; `None` once it is gone.
    control: Option<UnixStream>,
    inbox: Inbox,
    launch: Launch,
    harness: Pid,
    /// How the harness left, once it did.
    exit: Option<Exit>,
    /// Whether a stop was ordered.
    hurry: bool,
}

impl Watch {
    fn run(&mut self) -> io::Result<()> {
        let order = self.until_ordered()?;
        let grace = self.launch.grace;
        if order == Order::Finish {
            self.until_exit(Duration::from_millis(grace.finish_eof))?;
        }
        if self.exit.is_none() {
            let term = if self.hurry {
                grace.stop_term
            } else {
                grace.finish_term
            };
            self.signal_group(Signal::TERM);
            self.until_exit(Duration::from_millis(term))?;
        }
        self.signal_group(Signal::KILL);
        let run_id = &self.launch.harness.run_id;
        let budget = Duration::from_millis(grace.sweep);
        let swept = platform::sweep(Some(std::process::id()), run_id, budget);
        self.until_exit(Duration::ZERO)?;
        self.report(&Report::Swept(swept));
        Ok(())
    }

    /// Waits for the first order. The harness may come to its end meanwhile; its children do not
    /// concern anybody until the run is over.
    fn until_ordered(&mut self) -> io::Result<Order> {
        loop {
            if let Some(order) = self.wait(None)? {
                return Ok(order);
            }
        }
    }

    /// Waits until the harness has left, `limit` is over, or a stop is ordered.
    fn until_exit(&mut self, limit: Duration) -> io::Result<()> {
        let end = Instant::now() + limit;
        loop {
            self.reap();
            let now = Instant::now();
            if self.exit.is_some() || now >= end {
                return Ok(());
            }
            if self.wait(Some(end - now))? == Some(Order::Stop) {
                return Ok(());
            }
        }
    }

    /// Waits for an order, the harness's exit, or `limit`, whichever comes first.
    fn wait(&mut self, limit: Option<Duration>) -> io::Result<Option<Order>> {
        if let Some(order) = self.inbox.take()? {
            return Ok(Some(self.note(order)));
        }
        let limit = limit.map_or(platform::TICK, |limit| limit.min(platform::TICK));
        let timeout = Timespec::try_from(limit).map_err(io::Error::other)?;
        let watched = [
            self.control.as_ref().map(|socket| socket.as_fd()),
            self.exit_fd.as_ref().map(|fd| fd.as_fd()),
        ];
        let mut polled: Vec<_> = watched
            .iter()
            .flatten()
            .map(|fd| PollFd::from_borrowed_fd(*fd, PollFlags::IN))
            .collect();
        match poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let spoken =
            self.control.is_some() && polled.first().is_some_and(|fd| !fd.revents().is_empty());
        self.reap();
        if !spoken {
            return Ok(None);
        }
        self.hear()
    }

    fn hear(&mut self) -> io::Result<Option<Order>> {
        let Some(control) = &mut self.control else {
            return Ok(None);
        };
        match self.inbox.fill(control) {
            Ok(true) => {
                let order = self.inbox.take()?;
                Ok(order.map(|order| self.note(order)))
            }
            // An engine that is gone, however it went, means stop.
            Ok(false) | Err(_) => {
                self.control = None;
                Ok(Some(self.note(Order::Stop)))
            }
        }
    }

    fn note(&mut self, order: Order) -> Order {
        self.hurry |= order == Order::Stop;
        order
    }

    /// Takes dead children off the process table; one of them may be the harness.
    fn reap(&mut self) {
        while let Ok(Some((pid, status))) = process::wait(WaitOptions::NOHANG) {
            if pid == self.harness && self.exit.is_none() {
                let exit = exit_of(status);
                self.exit = Some(exit);
                self.exit_fd = None;
                self.report(&Report::Exited(exit));
            }
        }
    }

    /// Signals the harness's process group. Once the harness was reaped its group's number may be
    /// another's, so then the sweep alone ends what is left; without a sweep the risk is taken.
    fn signal_group(&self, signal: Signal) {
        if self.exit.is_none() || !platform::SWEEPS {
            let _ = process::kill_process_group(self.harness, signal);
        }
    }

    /// Tells the engine, if it is still there to hear.
    fn report(&mut self, report: &Report) {
        let told = wire::line(report).and_then(|line| match &mut self.control {
            Some(control) => control.write_all(&line),
            None => Ok(()),
        });
        let _ = told;
    }
}

fn exit_of(status: WaitStatus) -> Exit {
    match status.terminating_signal() {
        Some(signal) => Exit::Signal(signal),
        None => Exit::Code(status.exit_status().unwrap_or(-1)),
    }
}

fn id(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}
