//! What is wrong with an agent directory, said so that its owner can put it right.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::position::line_column;
use crate::toml_reader::Mistakes;

/// How bad a [`Problem`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The files as they are now give no agent. One loaded before keeps serving.
    Error,
    /// The agent serves; something its owner wrote has no effect.
    Warning,
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
    /// The key of `runtime.toml` (`runtime.queue.mode`) or the path in the card (`skills[0].tags`).
    pub key: Option<String>,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub fix: Option<String>,
    /// How bad it is.
    pub severity: Severity,
}

impl Problem {
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

/// Gathers the problems of one file of one agent, so that all mistakes are told at once.
#[derive(Debug)]
pub(crate) struct Report<'a> {
    agent: &'a str,
    file: &'a Path,
    text: &'a str,
    problems: Vec<Problem>,
}

impl<'a> Report<'a> {
    /// A report on `file`, whose whole content is `text` (empty when there is none to point into).
    pub(crate) fn new(agent: &'a str, file: &'a Path, text: &'a str) -> Self {
        Self {
            agent,
            file,
            text,
            problems: Vec::new(),
        }
    }

    /// Adds an error at the bytes `span` of the text.
    pub(crate) fn error(
        &mut self,
        span: Option<Range<usize>>,
        key: &str,
        reason: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(Severity::Error, span, key, reason.into(), fix.into());
    }

    /// Adds a warning at the bytes `span` of the text.
    pub(crate) fn warning(
        &mut self,
        span: Option<Range<usize>>,
        key: &str,
        reason: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(Severity::Warning, span, key, reason.into(), fix.into());
    }

    fn add(
        &mut self,
        severity: Severity,
        span: Option<Range<usize>>,
        key: &str,
        reason: String,
        fix: String,
    ) {
        let place = span.map(|span| line_column(self.text, span.start));
        self.problems.push(Problem {
            agent: Some(self.agent.to_owned()),
            file: self.file.to_owned(),
            line: place.map(|(line, _)| line),
            column: place.map(|(_, column)| column),
            key: (!key.is_empty()).then(|| key.to_owned()),
            reason,
            fix: (!fix.is_empty()).then_some(fix),
            severity,
        });
    }

    /// Whether an error was added.
    pub(crate) fn failed(&self) -> bool {
        self.problems.iter().any(Problem::is_error)
    }

    /// The problems, in the order of the file; those without a place last.
    pub(crate) fn into_problems(mut self) -> Vec<Problem> {
        self.problems
            .sort_by_key(|p| (p.line.is_none(), p.line, p.column));
        self.problems
    }
}

impl Mistakes for Report<'_> {
    fn error(
        &mut self,
        span: Option<Range<usize>>,
        key: &str,
        reason: impl Into<String>,
        fix: impl Into<String>,
    ) {
        self.add(Severity::Error, span, key, reason.into(), fix.into());
    }
}
