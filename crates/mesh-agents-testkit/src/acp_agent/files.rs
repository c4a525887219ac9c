//! The verbs that touch files, the environment and the shell, as a harness's tools do.
//!
//! Doing is silent, failing is streamed: a confinement probe reads the error text, and a run whose only result is a file
//! has an empty answer.

use std::path::Path;
use std::process::Stdio;

use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::turn::{POLL, Turn};

/// Most of a file or of a command's output that is streamed.
const SHOWN_BYTES: usize = 64 * 1024;

impl Turn {
    /// Writes a file, making its directories.
    pub(super) async fn write(&self, path: &str, content: &[u8]) -> Result<(), String> {
        let target = self.path(path)?;
        let written = write_file(&target, content).await;
        self.unless_ok(written, &format!("write {}", target.display()))
            .await
    }

    pub(super) async fn copy(&self, from: &str, to: &str) -> Result<(), String> {
        let (from, to) = (self.path(from)?, self.path(to)?);
        let copied = match tokio::fs::read(&from).await {
            Ok(content) => write_file(&to, &content).await,
            Err(error) => Err(error),
        };
        self.unless_ok(copied, &format!("copy {} {}", from.display(), to.display()))
            .await
    }

    /// Streams a file's content, or why it cannot be read.
    pub(super) async fn read(&self, path: &str) -> Result<(), String> {
        let path = self.path(path)?;
        match tokio::fs::read(&path).await {
            Ok(content) => self.say(&shown(&content)).await,
            Err(error) => {
                self.say(&format!("read {}: {error}\n", path.display()))
                    .await
            }
        }
    }

    pub(super) async fn show_env(&self, name: &str) -> Result<(), String> {
        let text = match self.state.env.get(name) {
            Some(value) => format!("{name}={value}\n"),
            None => format!("{name} is not set\n"),
        };
        self.say(&text).await
    }

    /// Runs a shell command as the harnesses do, in a process group of its own, and streams `exit N` and its output.
    ///
    /// When the turn is cancelled meanwhile the command is left running: some harnesses do just that.
    pub(super) async fn shell(&self, command: &str) -> Result<(), String> {
        let mut shell = Command::new("sh");
        shell
            .arg("-c")
            .arg(command)
            .stdin(Stdio::null())
            .process_group(0);
        if let Some(session) = &self.session {
            shell.current_dir(&session.cwd);
        }
        let text = match shell.output().await {
            Ok(output) => {
                let code = output
                    .status
                    .code()
                    .map_or("by signal".to_owned(), |code| code.to_string());
                format!(
                    "exit {code}\n{}{}",
                    shown(&output.stdout),
                    shown(&output.stderr)
                )
            }
            Err(error) => format!("sh: {error}\n"),
        };
        self.say(&text).await
    }

    /// Appends the agent's pid as a line to a file.
    pub(super) async fn append_pid(&self, path: &str) -> Result<(), String> {
        let path = self.path(path)?;
        let appended = append_line(&path, &std::process::id().to_string());
        self.unless_ok(appended, &format!("pid {}", path.display()))
            .await
    }

    /// Waits until a file is there.
    pub(super) async fn wait_file(&self, path: &str) -> Result<(), String> {
        let path = self.path(path)?;
        while !path.exists() {
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    pub(super) async fn stderr(&self, text: &str) -> Result<(), String> {
        let mut stderr = tokio::io::stderr();
        let line = format!("{text}\n");
        let written = match stderr.write_all(line.as_bytes()).await {
            // tokio hands writes to a thread; without this an `exit` right after loses the line.
            Ok(()) => stderr.flush().await,
            Err(error) => Err(error),
        };
        written.map_err(|error| format!("stderr: {error}"))
    }

    /// Writes `mib` MiB to stderr; a client that does not read it stops the agent here.
    pub(super) async fn flood(&self, mib: usize) -> Result<(), String> {
        let mut line = vec![b'!'; 1023];
        line.push(b'\n');
        let block = line.repeat(64);
        let mut stderr = tokio::io::stderr();
        for _ in 0..mib * 16 {
            stderr
                .write_all(&block)
                .await
                .map_err(|error| format!("stderr: {error}"))?;
        }
        Ok(())
    }

    async fn unless_ok(&self, result: std::io::Result<()>, what: &str) -> Result<(), String> {
        match result {
            Ok(()) => Ok(()),
            Err(error) => self.say(&format!("{what}: {error}\n")).await,
        }
    }
}

/// Appends one line in one write, so that processes sharing the file do not mix.
pub(super) fn append_line(path: &Path, line: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    let mut file = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)?;
    file.write_all(format!("{line}\n").as_bytes())
}

async fn write_file(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if let Some(parent) = path.parent() {
        tokio::fs::create_dir_all(parent).await?;
    }
    tokio::fs::write(path, content).await
}

fn shown(bytes: &[u8]) -> String {
    let kept = &bytes[..bytes.len().min(SHOWN_BYTES)];
    String::from_utf8_lossy(kept).into_owned()
}
