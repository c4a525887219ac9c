//! The engine's side of a guard: starting it, hearing it, ordering it.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use mesh_agents_core::run::ProcessRef;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::pipe;
use tokio::process::{Child, Command};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use super::fds;
use super::wire::{self, Exit, Launch, Order, Report, StageError, Step};
use crate::platform::{self, Swept};

/// Orders a guard can have waiting: `finish`, then `stop`. More are never given.
const ORDERS: usize = 2;
/// How much longer than its own steps a guard may take to stop, before it counts as stuck (stopped
/// by a signal, say) and is replaced by ourselves.
const PATIENCE: Duration = Duration::from_millis(300);

/// The harness's stdin, stdout and stderr, our ends.
#[derive(Debug)]
pub(crate) struct HarnessStdio {
    /// What we write.
    pub(crate) stdin: pipe::Sender,
    /// What it answers.
    pub(crate) stdout: pipe::Receiver,
    /// What it complains.
    pub(crate) stderr: pipe::Receiver,
}

/// What is known of a run's processes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    /// The harness's process id, or why there is none.
    pub(crate) spawned: Option<Result<u32, StageError>>,
    /// How the harness left.
    pub(crate) exit: Option<Exit>,
    /// The end of the guard; after it nothing more becomes known.
    pub(crate) over: Option<Over>,
}

/// How a guard ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Over {
    /// What the last sweep found.
    pub(crate) swept: Swept,
    /// Whether the guard died before its work was done, and the sweep was ours.
    pub(crate) lost: bool,
    /// Whether a signal ended it, and not a fault of its own.
    pub(crate) killed: bool,
}

/// A guard at work. When this is dropped the guard ends its run.
#[derive(Debug)]
pub(crate) struct Guard {
    /// Its process.
    pub(crate) process: ProcessRef,
    known: watch::Receiver<Known>,
    orders: mpsc::Sender<Order>,
}

impl Guard {
    /// Starts a guard and, under it, what `launch` says. `tracker` owns the task that listens.
    pub(crate) async fn start(
        agents_exe: &Path,
        launch: &Launch,
        tracker: &TaskTracker,
    ) -> io::Result<(Self, HarnessStdio)> {
        let (socket, child, stdio) = spawn(agents_exe)?;
        let process = process_ref(&child)?;
        let mut socket = UnixStream::from_std(socket)?;
        // A guard that is dead already is noticed by the listener, like one that dies later.
        let _ = socket.write_all(&wire::line(launch)?).await;
        let (tell, known) = watch::channel(Known::default());
        let (orders, ordered) = mpsc::channel(ORDERS);
        let listener = Listener {
            socket,
            child,
            tell,
            run_id: launch.harness.run_id.clone(),
            sweep: Duration::from_millis(launch.grace.sweep),
            patience: Duration::from_millis(launch.grace.stop_term + launch.grace.sweep) + PATIENCE,
        };
        tracker.spawn(listener.run(ordered));
        let guard = Self {
            process,
            known,
            orders,
        };
        Ok((guard, stdio))
    }

    /// Gives an order. Repeating one changes nothing.
    pub(crate) fn order(&self, order: Order) {
        // Full means the same was ordered already; closed means that the guard is over.
        let _ = self.orders.try_send(order);
    }

    /// How the harness left, if it has.
    pub(crate) fn exit(&self) -> Option<Exit> {
        self.known.borrow().exit
    }

    /// Waits until the harness's program runs, or is known not to.
    pub(crate) async fn spawned(&self) -> Result<u32, StageError> {
        let known = self.until(|known| known.spawned.is_some() || known.over.is_some());
        known.await.spawned.unwrap_or_else(|| {
            Err(StageError {
                step: Step::Start,
                cause: "its guard ended before the program ran".to_owned(),
            })
        })
    }

    /// Whether the guard is over because somebody killed it.
    pub(crate) fn was_killed(&self) -> bool {
        let over = self.known.borrow().over;
        over.is_some_and(|over| over.lost && over.killed)
    }

    /// Waits until the harness has left or the guard is over.
    pub(crate) async fn left(&self) -> Option<Exit> {
        self.until(|known| known.exit.is_some() || known.over.is_some())
            .await
            .exit
    }

    /// Waits until nothing of the run is left.
    pub(crate) async fn over(&self) -> Over {
        let known = self.until(|known| known.over.is_some()).await;
        known.over.unwrap_or(Over {
            swept: Swept::default(),
            lost: true,
            killed: false,
        })
    }

    async fn until(&self, condition: impl Fn(&Known) -> bool) -> Known {
        let mut known = self.known.clone();
        let reached = known.wait_for(|known| condition(known)).await;
        match reached {
            Ok(known) => known.clone(),
            // The listener is gone; what it knew last is all there is.
            Err(_) => self.known.borrow().clone(),
        }
    }
}

fn spawn(agents_exe: &Path) -> io::Result<(std::os::unix::net::UnixStream, Child, HarnessStdio)> {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
    let (stdin, our_stdin) = io::pipe()?;
    let (our_stdout, stdout) = io::pipe()?;
    let (our_stderr, stderr) = io::pipe()?;
    fds::send(&ours, &[stdin.as_fd(), stdout.as_fd(), stderr.as_fd()])?;
    let child = Command::new(agents_exe)
        .args(["harness", "guard"])
        // It needs nothing, and the mark of a run of ours, were it in our environment, is not its.
        .env_clear()
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    ours.set_nonblocking(true)?;
    let stdio = HarnessStdio {
        stdin: pipe::Sender::from_owned_fd(our_stdin.into())?,
        stdout: pipe::Receiver::from_owned_fd(our_stdout.into())?,
        stderr: pipe::Receiver::from_owned_fd(our_stderr.into())?,
    };
    Ok((ours, child, stdio))
}

fn process_ref(child: &Child) -> io::Result<ProcessRef> {
    let pid = child
        .id()
        .ok_or_else(|| io::Error::other("the guard ended at once"))?;
    let birth = platform::birth(pid).unwrap_or(0);
    Ok(ProcessRef { pid, birth })
}

/// Reads what a guard reports, passes orders on, and sweeps in its place if it dies.
struct Listener {
    socket: UnixStream,
    child: Child,
    tell: watch::Sender<Known>,
    run_id: String,
    sweep: Duration,
    /// How long the guard may take to end everything once it was told to stop.
    patience: Duration,
}

impl Listener {
    async fn run(self, mut ordered: mpsc::Receiver<Order>) {
        let Self {
            socket,
            mut child,
            tell,
            run_id,
            sweep,
            patience,
        } = self;
        let (reading, mut writing) = socket.into_split();
        let mut lines = BufReader::new(reading).lines();
        let mut swept = None;
        let mut overdue = None;
        // Until nobody holds the run: also one that was let go before this task first ran hears of it.
        let mut held = true;
        loop {
            tokio::select! {
                line = lines.next_line() => match line {
                    Ok(Some(line)) => swept = hear(&line, &tell).or(swept),
                    Ok(None) | Err(_) => break,
                },
                order = ordered.recv(), if held => {
                    if order != Some(Order::Finish) {
                        overdue = overdue.or(Some(Instant::now() + patience));
                    }
                    let told = match order {
                        Some(order) => match wire::line(&order) {
                            Ok(line) => writing.write_all(&line).await,
                            Err(error) => Err(error),
                        },
                        // Nobody holds the run any more: a closed socket means stop.
                        None => {
                            held = false;
                            writing.shutdown().await
                        }
                    };
                    // A guard that cannot hear is dead or dying, which the reading side sees.
                    let _ = told;
                }
                () = reached(overdue), if overdue.is_some() => {
                    // Its death ends the harness, and closes the socket, which is seen above.
                    let _ = child.start_kill();
                    overdue = None;
                }
            }
        }
        let (swept, lost) = match swept {
            Some(swept) => (swept, false),
            None => (sweep_in_its_place(run_id, sweep).await, true),
        };
        // It has closed its socket, so it is about to leave; this takes it off the table.
        let left = child.wait().await;
        let over = Over {
            swept,
            lost,
            killed: left.is_ok_and(|status| status.signal().is_some()),
        };
        tell.send_modify(|known| known.over = Some(over));
    }
}

async fn reached(moment: Option<Instant>) {
    if let Some(moment) = moment {
        tokio::time::sleep_until(moment).await;
    }
}

fn hear(line: &str, tell: &watch::Sender<Known>) -> Option<Swept> {
    let report = serde_json::from_str(line).ok()?;
    match report {
        Report::Spawned { pid } => tell.send_modify(|known| known.spawned = Some(Ok(pid))),
        Report::NotSpawned(error) => {
            tell.send_modify(|known| known.spawned = Some(Err(error)));
            return Some(Swept::default());
        }
        Report::Exited(exit) => tell.send_modify(|known| known.exit = Some(exit)),
        Report::Swept(swept) => return Some(swept),
    }
    None
}

/// The harness itself died with its guard; its children are found by the run's mark.
async fn sweep_in_its_place(run_id: String, budget: Duration) -> Swept {
    tokio::task::spawn_blocking(move || platform::sweep(None, &run_id, budget))
        .await
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_guard_hears_of_a_run_that_was_let_go_before_anybody_listened() {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        ours.set_nonblocking(true).unwrap();
        // As a guard does, it leaves when its socket closes.
        let child = Command::new("cat")
            .stdin(Stdio::from(OwnedFd::from(theirs)))
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (orders, ordered) = mpsc::channel(ORDERS);
        let (tell, known) = watch::channel(Known::default());
        let patience = Duration::from_secs(600);
        let listener = Listener {
            socket: UnixStream::from_std(ours).unwrap(),
            child,
            tell,
            run_id: "run-of-nobody".to_owned(),
            sweep: Duration::from_millis(100),
            patience,
        };
        drop(orders);
        let over = tokio::time::timeout(Duration::from_secs(30), listener.run(ordered)).await;
        over.expect("nobody told the guard");
        assert!(known.borrow().over.is_some_and(|over| !over.killed));
    }
}
