//! The scripts the tests' agents run, and the files they and a test talk through.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::{Process, eventually};

/// Prints two findings as a compiler would and fails, which is a completed run of a test runner.
pub const TEST_RUN: &str = r#"#!/bin/sh
# Two failures in the form FILE:LINE: TEXT, and an exit code that shows up nowhere else.
echo "running 3 tests"
echo "src/sum.rs:3: assertion failed: sum(2, 2) == 5"
echo "src/lib.rs:10:5: unused variable: x"
exit 7
"#;

/// In a message to [`GATED`]: go through at once.
pub const AT_ONCE: &str = "do not wait";

/// Notes its start and its pid in the shared directory, then waits for the gate to open, and notes its end.
pub const GATED: &str = r#"#!/bin/sh
# Runs in a directory shared with the test. $1 is the task's id.
set -eu
echo "$1" >> starts
echo "start $1" >> course
echo "$$" > "$1.pid.part"
mv "$1.pid.part" "$1.pid"
grep -q "do not wait" "$TASK_PROMPT_PATH" || while [ ! -e go ]; do sleep 0.1; done
echo "$$" > "$TASK_ARTIFACTS_DIR/pid.txt"
echo "end $1" >> course
echo "the gate is open"
"#;

/// Limit for a script to have been started: a queue, a guard and a shell on a busy machine.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The directory that [`GATED`] runs share with the test.
#[derive(Debug)]
pub struct Gate {
    directory: PathBuf,
}

impl Gate {
    /// The gate of runs in that directory, closed.
    #[must_use]
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
        }
    }

    /// Lets every run through, those to come included.
    ///
    /// # Errors
    /// What the file system refuses.
    pub fn open(&self) -> Result<()> {
        fs::write(self.directory.join("go"), "").context("open the gate")
    }

    /// Makes the runs to come wait again.
    ///
    /// # Errors
    /// What the file system refuses.
    pub fn close(&self) -> Result<()> {
        fs::remove_file(self.directory.join("go")).context("close the gate")
    }

    /// The task ids that were started so far, one per start, in their order.
    ///
    /// # Errors
    /// When the list is there and cannot be read.
    pub fn starts(&self) -> Result<Vec<String>> {
        let path = self.directory.join("starts");
        if !path.exists() {
            return Ok(Vec::new());
        }
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        Ok(text.lines().map(str::to_owned).collect())
    }

    /// The most runs that were under way at any time, by the notes of the runs themselves.
    ///
    /// # Errors
    /// When there are none, or one cannot be understood.
    pub fn most_at_once(&self) -> Result<usize> {
        let path = self.directory.join("course");
        let text = fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
        let (mut now, mut most) = (0_usize, 0);
        for line in text.lines() {
            now = match line.split_once(' ').map(|(what, _)| what) {
                Some("start") => now + 1,
                Some("end") => now.checked_sub(1).context("an end before its start")?,
                _ => bail!("a note that is none: {line:?}"),
            };
            most = most.max(now);
        }
        Ok(most)
    }

    /// The shell that runs for a task, once it has written its pid.
    ///
    /// # Errors
    /// When it does not start, or is gone already.
    pub async fn runner(&self, task_id: &str) -> Result<Process> {
        let path = self.directory.join(format!("{task_id}.pid"));
        let text = eventually(&format!("{task_id} to start"), START_LIMIT, async || {
            Ok(fs::read_to_string(&path).ok())
        })
        .await?;
        let pid = text
            .trim()
            .parse()
            .with_context(|| format!("a pid: {text:?}"))?;
        Process::of(pid).with_context(|| format!("the run of {task_id}, pid {pid}, is gone"))
    }
}
