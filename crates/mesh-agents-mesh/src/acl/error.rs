//! What is wrong with the list, said so that its owner can put it right.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use mesh_agents_core::position::{excerpt, line_column};
use mesh_agents_core::toml_reader::Mistakes;

/// Why the list cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AclError {
    /// It has mistakes.
    #[error("{}", Listed { file, mistakes })]
    Mistakes {
        /// The file.
        file: PathBuf,
        /// All of them, in the order of the file.
        mistakes: Vec<Mistake>,
    },
    /// It is there and cannot be read.
    #[error(
        "{}: cannot be read: {reason}; check the owner and permissions of the file",
        file.display()
    )]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        reason: String,
    },
}

/// One mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// Line, from 1.
    pub line: u32,
    /// Column, from 1, in characters.
    pub column: u32,
    /// The full name of the key, empty when none is to blame.
    pub key: String,
    /// What is wrong.
    pub reason: String,
    /// What to do.
    pub fix: String,
    /// The line it is in, with a mark below the place.
    pub excerpt: String,
}

struct Listed<'a> {
    file: &'a Path,
    mistakes: &'a [Mistake],
}

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, mistake) in self.mistakes.iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            let Mistake { line, column, .. } = mistake;
            write!(f, "{}:{line}:{column}:", self.file.display())?;
            if !mistake.key.is_empty() {
                write!(f, " {}:", mistake.key)?;
            }
            write!(f, " {}", mistake.reason)?;
            for line in mistake.excerpt.lines() {
                write!(f, "\n  {line}")?;
            }
            if !mistake.fix.is_empty() {
                write!(f, "\n  {}", mistake.fix)?;
            }
        }
        Ok(())
    }
}

/// Gathers the mistakes of one text.
#[derive(Debug)]
pub(super) struct Report<'a> {
    text: &'a str,
    mistakes: Vec<Mistake>,
}

impl<'a> Report<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self {
            text,
            mistakes: Vec::new(),
        }
    }

    /// `value`, unless there were mistakes.
    pub(super) fn unless_wrong<T>(mut self, file: &Path, value: T) -> Result<T, AclError> {
        if self.mistakes.is_empty() {
            return Ok(value);
        }
        self.mistakes.sort_by_key(|m| (m.line, m.column));
        Err(AclError::Mistakes {
            file: file.to_owned(),
            mistakes: self.mistakes,
        })
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
        let at = span.map_or(0, |span| span.start);
        let (line, column) = line_column(self.text, at);
        self.mistakes.push(Mistake {
            line,
            column,
            key: key.to_owned(),
            reason: reason.into(),
            fix: fix.into(),
            excerpt: excerpt(self.text, at),
        });
    }
}
