//! Which list is in force while the file is being edited, broken, put right or removed.

use std::path::PathBuf;
use std::sync::Arc;

use super::{Acl, AclError};

/// What was found where the file should be.
#[derive(Debug, Clone, Copy)]
pub enum Reading<'a> {
    /// No file. That is a list with nobody on it, also when there was one before.
    Absent,
    /// Its text.
    Text(&'a str),
    /// It is there and could not be read; what the system said, or that it is no UTF-8.
    Unreadable(&'a str),
}

/// What a reading changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// Another list is in force: streams of callers it does not let in any more must end.
    Changed,
    /// The same list is in force and nothing is wrong.
    Same,
    /// The file has a mistake; what was in force stays.
    Kept,
}

/// The list in force, and what is wrong with the file.
///
/// A file with a mistake changes nothing: the last good list stays, and the mistakes are shown. Before there
/// was a good one, nobody may call.
#[derive(Debug)]
pub struct LastGood {
    file: PathBuf,
    acl: Arc<Acl>,
    problem: Option<AclError>,
}

impl LastGood {
    /// Before the first reading of `file`.
    #[must_use]
    pub fn new(file: PathBuf) -> Self {
        Self {
            file,
            acl: Arc::new(Acl::closed()),
            problem: None,
        }
    }

    /// Takes what was found.
    pub fn read(&mut self, reading: Reading<'_>) -> Read {
        let parsed = match reading {
            Reading::Absent => Ok(Acl::default()),
            Reading::Text(text) => Acl::parse(text, &self.file),
            Reading::Unreadable(reason) => Err(AclError::Unreadable {
                file: self.file.clone(),
                reason: reason.to_owned(),
            }),
        };
        match parsed {
            Ok(acl) => {
                self.problem = None;
                if acl == *self.acl {
                    return Read::Same;
                }
                self.acl = Arc::new(acl);
                Read::Changed
            }
            Err(problem) => {
                self.problem = Some(problem);
                Read::Kept
            }
        }
    }

    /// The list in force.
    #[must_use]
    pub fn acl(&self) -> &Arc<Acl> {
        &self.acl
    }

    /// What is wrong with the file as it is now.
    #[must_use]
    pub fn problem(&self) -> Option<&AclError> {
        self.problem.as_ref()
    }

    /// What is wrong and what follows from it, for people; `None` when nothing is.
    #[must_use]
    pub fn explain(&self) -> Option<String> {
        let problem = self.problem.as_ref()?;
        let follows = if self.acl.closed {
            "until it is put right, no node may call an agent of this one"
        } else {
            "until it is put right, the list from before this edit stays in force"
        };
        Some(format!("{problem}\n{follows}"))
    }
}
