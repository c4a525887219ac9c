//! What is wrong with an agent directory, said so that its owner can put it right.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

/// How bad a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The files as they are now give no agent. One loaded before keeps serving.
    Error,
    /// The agent serves; something its owner wrote has no effect, or not the one it seems to have.
    Warning,
}

/// A place in a text: line and column from 1, the column in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in characters.
    pub column: u32,
}

/// One change that is part of putting a [`Problem`] right, for a program to make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Bytes of a file become another text.
    Replace {
        /// The file.
        file: PathBuf,
        /// The bytes, as the file was when it was read.
        bytes: Range<usize>,
        /// Where they begin.
        start: Place,
        /// Where the text goes on after them.
        end: Place,
        /// What stands there afterwards.
        text: String,
    },
    /// A file that is not there is written.
    Create {
        /// The file.
        file: PathBuf,
        /// Its content.
        text: String,
    },
    /// A file or directory gets another name.
    Rename {
        /// What it is called now.
        file: PathBuf,
        /// What it is called then.
        to: PathBuf,
    },
    /// A file gets other permissions.
    SetMode {
        /// The file.
        file: PathBuf,
        /// As chmod takes it.
        mode: u32,
    },
}

/// One thing that is wrong, where, and what to do.
///
/// Displays as `file:line:column: key: reason` with the fix on the next line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The name of the agent's directory; `None` when the agents directory itself is meant.
    pub agent: Option<String>,
    /// Absolute path of the file, or of the directory when no file is to blame.
    pub file: PathBuf,
    /// Line, from 1.
    pub line: Option<u32>,
    /// Column, from 1, in characters.
    pub column: Option<u32>,
    /// Where what is wrong ends: the place after its last character.
    pub end: Option<Place>,
    /// The key of `runtime.toml` (`runtime.queue.mode`) or the path in the card (`skills[0].tags`).
    pub key: Option<String>,
    /// What kind of mistake it is: one of [`crate::code`].
    pub code: &'static str,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub fix: Option<String>,
    /// The same for a program: all of these together. Empty when a person has to decide.
    pub actions: Vec<Action>,
    /// How bad it is.
    pub severity: Severity,
}

impl Problem {
    /// One without a place in a text.
    #[must_use]
    pub fn new(
        severity: Severity,
        code: &'static str,
        agent: Option<&str>,
        file: PathBuf,
        reason: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        let fix = fix.into();
        Self {
            agent: agent.map(str::to_owned),
            file,
            line: None,
            column: None,
            end: None,
            key: None,
            code,
            reason: reason.into(),
            fix: (!fix.is_empty()).then_some(fix),
            actions: Vec::new(),
            severity,
        }
    }

    /// Whether the files as they are now give no agent.
    #[must_use]
    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, "{line}:")?;
            if let Some(column) = self.column {
                write!(f, "{column}:")?;
            }
        }
        if let Some(key) = &self.key {
            write!(f, " {key}:")?;
        }
        if self.severity == Severity::Warning {
            f.write_str(" warning:")?;
        }
        write!(f, " {}", self.reason)?;
        if let Some(fix) = &self.fix {
            write!(f, "\n  {fix}")?;
        }
        Ok(())
    }
}
