//! What a harness said, kept for its owner: `logs/acp.jsonl` and `logs/harness.stderr`.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::fs::{Mode, OFlags};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;

use crate::remove;

/// Most bytes of one log file; as much as a task's events may hold (DESIGN §4). What comes later is
/// dropped, and the file says so.
const LOG_BYTES: u64 = 64 * 1024 * 1024;
/// How much of the end of stderr is kept for the failure reason.
const TAIL_BYTES: usize = 64 * 1024;
/// How much of that a failure carries: what a person reads.
const REASON_BYTES: usize = 4 * 1024;

/// A file that stops growing at [`LOG_BYTES`].
#[derive(Debug)]
struct BoundedFile {
    file: File,
    room: u64,
}

impl BoundedFile {
    /// Opens the file as an earlier attempt left it, or a new one. The harness of that attempt could write
    /// in the directory, and nothing confines us: a link, a pipe or a directory it put there goes.
    fn create(path: &Path) -> io::Result<Self> {
        let file = match open(path, OFlags::empty()) {
            Ok(file) if file.metadata()?.is_file() => file,
            opened => {
                match fs::symlink_metadata(path) {
                    Ok(there) if there.is_dir() => remove::tree(path)?,
                    Ok(there) if !there.is_file() => fs::remove_file(path)?,
                    _ => {
                        return Err(opened
                            .err()
                            .unwrap_or_else(|| io::Error::other("it is no file")));
                    }
                }
                open(path, OFlags::EXCL)?
            }
        };
        let room = LOG_BYTES.saturating_sub(file.metadata()?.len());
        Ok(Self { file, room })
    }

    /// Appends, best effort: a full disk must not end a run.
    fn append(&mut self, bytes: &[u8]) {
        if self.room == 0 {
            return;
        }
        let length = bytes.len() as u64;
        let written = if length > self.room {
            self.room = 0;
            self.file.write_all(b"\n{\"log\":\"full\"}\n")
        } else {
            self.room -= length;
            self.file.write_all(bytes)
        };
        let _ = written;
    }
}

/// Opens a file to append to it. Follows no link, and waits for nobody: a pipe has no reader.
fn open(path: &Path, how: OFlags) -> io::Result<File> {
    let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
    let flags = flags | OFlags::NOFOLLOW | OFlags::NONBLOCK | how;
    Ok(rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?.into())
}

/// The log of ACP lines in both directions.
#[derive(Debug)]
pub(crate) struct WireLog {
    file: Mutex<BoundedFile>,
    secret: Option<String>,
}

/// Who wrote a line.
#[derive(Debug, Clone, Copy)]
pub(crate) enum From {
    /// The bridge.
    Us,
    /// The harness.
    Harness,
}

impl WireLog {
    /// Opens the log. `secret` never appears in it: a harness can read its own logs, and so can
    /// whoever is shown them.
    pub(crate) fn create(path: &Path, secret: Option<String>) -> io::Result<Self> {
        let file = Mutex::new(BoundedFile::create(path)?);
        Ok(Self { file, secret })
    }

    /// Writes one line as `{"from":"us"|"harness","line":…}`; a line that is no JSON as text.
    pub(crate) fn write(&self, from: From, line: &str, is_json: bool) {
        let from = match from {
            From::Us => "us",
            From::Harness => "harness",
        };
        let hidden = self
            .secret
            .as_ref()
            .filter(|secret| line.contains(secret.as_str()))
            .map(|secret| line.replace(secret, "…"));
        let line = hidden.as_deref().unwrap_or(line);
        let entry = if is_json {
            format!("{{\"from\":\"{from}\",\"line\":{line}}}\n")
        } else {
            format!("{}\n", serde_json::json!({ "from": from, "line": line }))
        };
        lock(&self.file).append(entry.as_bytes());
    }
}

/// A harness's standard error: a file, and its end in memory.
#[derive(Debug)]
pub(crate) struct Stderr {
    file: Mutex<BoundedFile>,
    tail: Mutex<VecDeque<u8>>,
}

impl Stderr {
    /// Opens the log.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            file: Mutex::new(BoundedFile::create(path)?),
            tail: Mutex::new(VecDeque::new()),
        })
    }

    /// Reads until the harness and all who share its stderr have closed it.
    pub(crate) async fn drain(&self, mut pipe: pipe::Receiver) {
        let mut piece = vec![0; 16 * 1024];
        while let Ok(length) = pipe.read(&mut piece).await {
            let Some(bytes) = piece.get(..length).filter(|bytes| !bytes.is_empty()) else {
                return;
            };
            lock(&self.file).append(bytes);
            let mut tail = lock(&self.tail);
            tail.extend(bytes);
            let excess = tail.len().saturating_sub(TAIL_BYTES);
            tail.drain(..excess);
        }
    }

    /// The last lines, for a failure; `None` when it said nothing.
    pub(crate) fn reason(&self) -> Option<String> {
        let tail: Vec<u8> = lock(&self.tail).iter().copied().collect();
        let text = String::from_utf8_lossy(&tail);
        let text = text.trim_end();
        let mut start = text.len().saturating_sub(REASON_BYTES);
        if start > 0 {
            // Begin with a whole line where there is one.
            start = text
                .bytes()
                .skip(start)
                .position(|byte| byte == b'\n')
                .map_or(start, |newline| start + newline + 1);
        }
        while !text.is_char_boundary(start) {
            start += 1;
        }
        let text = text.get(start..).unwrap_or_default();
        (!text.is_empty()).then(|| text.to_owned())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while holding one of these leaves at worst half a log line.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reason(said: &str) -> Option<String> {
        let dir = tempfile::tempdir().unwrap();
        let stderr = Stderr::create(&dir.path().join("log")).unwrap();
        lock(&stderr.tail).extend(said.bytes());
        stderr.reason()
    }

    #[test]
    fn a_reason_is_whole_lines_of_the_end() {
        assert_eq!(reason(" \n"), None);
        assert_eq!(reason("one\ntwo\n").as_deref(), Some("one\ntwo"));
        let long = "über\n".repeat(5_000);
        let cut = reason(&long).unwrap();
        assert!(
            cut.len() <= REASON_BYTES && cut.starts_with("über\n"),
            "{cut}"
        );
        let line = "ü".repeat(5_000);
        assert!(line.ends_with(&reason(&line).unwrap()));
    }

    #[test]
    fn a_log_stops_growing_and_stays_json() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let log = WireLog::create(&path, Some("secret".to_owned())).unwrap();
        log.write(From::Us, "{\"a\":\"secret\"}", true);
        log.write(From::Harness, "{broken", false);
        lock(&log.file).room = 10;
        log.write(From::Us, "{\"too\":\"long\"}", true);
        log.write(From::Us, "{}", true);
        let text = std::fs::read_to_string(path).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 3, "{text}");
        assert_eq!(lines[0]["line"]["a"], "…");
        assert_eq!(lines[1]["line"], "{broken");
        assert_eq!(lines[2]["log"], "full");
    }
}
