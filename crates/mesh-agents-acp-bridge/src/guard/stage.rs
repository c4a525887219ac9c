//! The stage: the process that becomes the harness. `agents harness exec`.

use std::io::{self, Write as _};
use std::net::SocketAddrV4;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::{Command, ExitCode};

use super::fds;
use super::wire::{self, Harness, Inbox, StageError, Step};
use crate::platform;

/// Becomes the harness its guard describes. Returns only when it cannot, after telling the guard.
///
/// Its stdin is a socket to the guard; the harness's own stdin arrives over it. The socket closes
/// by itself when the program is replaced, which is how the guard knows that it was.
#[must_use]
pub fn stage_main() -> ExitCode {
    let Ok(socket) = io::stdin().as_fd().try_clone_to_owned() else {
        return ExitCode::FAILURE;
    };
    let mut socket = UnixStream::from(socket);
    let error = become_harness(&mut socket);
    // Nobody left to tell means the guard is gone, and this process ends all the same.
    let told = wire::line(&error).and_then(|line| socket.write_all(&line));
    let _ = told;
    ExitCode::FAILURE
}

fn become_harness(socket: &mut UnixStream) -> StageError {
    match prepare(socket) {
        Ok((harness, guard)) => enter(&harness, guard, socket),
        Err(error) => failed(Step::Start, &error),
    }
}

/// Takes the orders and the harness's stdin from the guard.
fn prepare(socket: &mut UnixStream) -> io::Result<(Harness, u32)> {
    let [stdin] = fds::receive(socket)?;
    let mut inbox = Inbox::default();
    let (harness, guard): (Harness, u32) = inbox
        .next(socket)?
        .ok_or_else(|| io::Error::other("the guard ended before it said what to start"))?;
    rustix::stdio::dup2_stdin(&stdin)?;
    Ok((harness, guard))
}

fn enter(harness: &Harness, guard: u32, socket: &UnixStream) -> StageError {
    // Before the life is tied to the guard's: new credentials may untie it.
    if let Some(addresses) = harness.own_network()
        && let Err(error) = separate(addresses, socket)
    {
        return error;
    }
    if let Err(error) = platform::die_with_parent(guard) {
        return failed(Step::Start, &error);
    }
    // The mark is a second net besides descent and environment; without it a run is still guarded.
    let _ = platform::mark(&harness.run_id);
    if let Some(grants) = &harness.grants
        && let Err(cause) = platform::confine(grants)
    {
        return StageError {
            step: Step::Confine,
            cause,
        };
    }
    let error = Command::new(&harness.program)
        .args(&harness.args)
        .env_clear()
        .envs(harness.env.iter().map(|(name, value)| (name, value)))
        .exec();
    failed(Step::Exec, &error)
}

/// Leaves the machine's network for one of its own, and hands the guard the sockets that are
/// listened on in it.
fn separate(addresses: &[SocketAddrV4], socket: &UnixStream) -> Result<(), StageError> {
    let made = platform::own_network(addresses);
    let listening = made.as_deref().unwrap_or_default().iter();
    let listening: Vec<_> = listening.map(|fd| fd.as_fd()).collect();
    // Whatever came of it: the guard waits for them.
    let handed = fds::send(socket, &listening);
    handed.map_err(|error| failed(Step::Network, &error))?;
    made.map(drop).map_err(|cause| StageError {
        step: Step::Network,
        cause,
    })
}

fn failed(step: Step, error: &io::Error) -> StageError {
    StageError {
        step,
        cause: error.to_string(),
    }
}

/// Tries what `policy.network = "loopback"` needs, in a process of its own: `agents harness probe`.
/// Says on standard error why it cannot be.
#[must_use]
pub fn probe_main() -> ExitCode {
    match platform::own_network(&[]) {
        Ok(_) => ExitCode::SUCCESS,
        Err(cause) => {
            // Without a reader the exit code says enough.
            let _ = writeln!(io::stderr(), "{cause}");
            ExitCode::FAILURE
        }
    }
}
