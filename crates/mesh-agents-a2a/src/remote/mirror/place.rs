//! How far a task was followed, in a form that outlives its engine: the next one goes on there, and is not told
//! the whole task again.
//!
//! The caller's log is the truth, and a place is kept beside it, later or never. So it is one that the log shows to
//! be right: what came last before it is text, which the log has only when it has all that came before that. What
//! the log has of the text behind it comes again, and is left out.

use mesh_agents_core::run::{Before, Resume, ResumeReason};
use serde::{Deserialize, Serialize};

use super::Mirror;

/// A place in the owner's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The owner's id for the task.
    pub task: String,
    /// The newest event applied, which said text.
    pub seq: u64,
    /// How many bytes of text were passed on with it and before.
    pub said: usize,
}

impl Place {
    /// Whether a run that goes on so can go on here.
    pub(super) fn fits(&self, resume: Option<&Resume>, before: &Before) -> bool {
        let same = |resume: &Resume| {
            resume.why == ResumeReason::Interrupted && resume.session_id == self.task
        };
        self.seq > 0 && resume.is_some_and(same) && before.said.is_char_boundary(self.said)
    }
}

impl Mirror {
    /// Where a later engine can go on, if it is known.
    #[must_use]
    pub fn place(&self) -> Option<&Place> {
        self.place.as_ref()
    }

    /// After an event of a stream, before which so many bytes were passed on. Files are held here until the end, so no
    /// place is behind one.
    pub(super) fn mark(&mut self, before: usize) {
        let said = self.results.said().len();
        if self.terms.on_mesh
            && said > before
            && self.results.is_text_alone()
            && let Some(task) = self.remote.clone()
        {
            let seq = self.seq;
            self.place = Some(Place { task, seq, said });
        }
    }
}
