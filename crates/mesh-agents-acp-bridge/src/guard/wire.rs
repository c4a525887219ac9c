//! What engine, guard and stage say to each other: one JSON value per line.

use std::io::{self, Read};
use std::net::SocketAddrV4;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::confinement::Grants;
use crate::network::Reach;
use crate::platform::Swept;

/// Longest line anybody sends here: a launch with a large environment. `execve` takes less.
const LINE_BYTES: usize = 4 * 1024 * 1024;

/// Engine to guard, first: what to start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Launch {
    /// What the stage becomes.
    pub(crate) harness: Harness,
    /// How long each step of an end may take.
    pub(crate) grace: Grace,
}

/// Guard to stage: what to become.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Harness {
    /// The run; its mark is put on every process.
    pub(crate) run_id: String,
    /// Absolute path.
    pub(crate) program: PathBuf,
    /// Its arguments.
    pub(crate) args: Vec<String>,
    /// Its whole environment.
    pub(crate) env: Vec<(String, String)>,
    /// Its working directory.
    pub(crate) cwd: PathBuf,
    /// What it can reach; `None` for no confinement.
    pub(crate) grants: Option<Grants>,
}

impl Harness {
    /// The addresses outside that its own network leads to; `None` when it gets no network of its own.
    pub(super) fn own_network(&self) -> Option<&[SocketAddrV4]> {
        match &self.grants.as_ref()?.network {
            Reach::Only(addresses) => Some(addresses),
            Reach::All | Reach::Nothing => None,
        }
    }
}

/// How long each step of an end may take, in milliseconds (DESIGN §5, "End").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Grace {
    /// After stdin was closed at a normal end.
    pub(crate) finish_eof: u64,
    /// After TERM at a normal end.
    pub(crate) finish_term: u64,
    /// After TERM when the run is stopped.
    pub(crate) stop_term: u64,
    /// For the sweep.
    pub(crate) sweep: u64,
}

/// Engine to guard, later. A closed socket means [`Order::Stop`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Order {
    /// The work is done and stdin is closed: let the harness leave, then end what is left.
    Finish,
    /// End everything now.
    Stop,
}

/// Guard to engine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Report {
    /// The harness's program runs.
    Spawned {
        /// Its process id.
        pid: u32,
    },
    /// The harness's program could not be started.
    NotSpawned(StageError),
    /// The harness left.
    Exited(Exit),
    /// Nothing of the run is left, or `left` processes that would not die. The last report.
    Swept(Swept),
}

/// How a harness left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Exit {
    /// By itself, with this code.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

/// Why a harness could not be started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{cause}")]
pub(crate) struct StageError {
    /// At which step.
    pub(crate) step: Step,
    /// The cause, in words.
    pub(crate) cause: String,
}

/// A step on the way to a running harness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// Starting the processes themselves.
    Start,
    /// Giving it a network of its own.
    Network,
    /// Confining it.
    Confine,
    /// Executing its program.
    Exec,
}

/// One value as a line.
pub(crate) fn line<T: Serialize>(value: &T) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

/// Lines received so far.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
}

impl Inbox {
    /// Reads once. `false` at the end of the stream.
    pub(super) fn fill(&mut self, source: &mut impl Read) -> io::Result<bool> {
        let mut piece = [0_u8; 16 * 1024];
        let length = loop {
            match source.read(&mut piece) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                other => break other?,
            }
        };
        self.bytes
            .extend_from_slice(piece.get(..length).unwrap_or_default());
        if self.bytes.len() > LINE_BYTES {
            return Err(io::Error::other("a line is too long"));
        }
        Ok(length > 0)
    }

    /// The next whole line, if one is there.
    pub(super) fn take<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some(end) = self.bytes.iter().position(|byte| *byte == b'\n') else {
            return Ok(None);
        };
        let line: Vec<u8> = self.bytes.drain(..=end).collect();
        Ok(Some(serde_json::from_slice(&line)?))
    }

    /// Waits for the next line; `None` at the end of the stream.
    pub(super) fn next<T: DeserializeOwned>(
        &mut self,
        source: &mut impl Read,
    ) -> io::Result<Option<T>> {
        loop {
            if let Some(value) = self.take()? {
                return Ok(Some(value));
            }
            if !self.fill(source)? {
                return Ok(None);
            }
        }
    }
}
