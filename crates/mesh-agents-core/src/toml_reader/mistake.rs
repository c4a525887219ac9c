//! A mistake in a file: where, what, why, and how it is put right by a person or by a program.

use std::ops::Range;

pub mod code {
    //! What kind of mistake it is, as a word programs can rely on.

    /// A key there is not.
    pub const UNKNOWN_KEY: &str = "unknown_key";
    /// A value of another type.
    pub const WRONG_TYPE: &str = "wrong_type";
    /// A text without anything in it.
    pub const EMPTY: &str = "empty";
    /// A number too small or too large.
    pub const OUT_OF_RANGE: &str = "out_of_range";
    /// A word that is none of the choices.
    pub const UNKNOWN_VALUE: &str = "unknown_value";
    /// A choice whose mechanism is not there yet.
    pub const NOT_BUILT: &str = "not_built";
}

/// How a mistake is put right without asking anybody; who holds the text makes edits of it.
/// Ranges are bytes of the text that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Repair {
    /// These bytes become this text.
    Replace(Range<usize>, String),
    /// This text comes before these bytes, and that one after.
    Wrap(Range<usize>, &'static str, &'static str),
    /// The entry goes: its key and its value.
    Remove(Range<usize>, Range<usize>),
    /// The name in the header of a table is written in full: `[workspace]` is `[runtime.workspace]`.
    Header(Range<usize>, String),
    /// The entry (its key and its value) goes to the table of this name, empty for the file itself.
    Move(Range<usize>, Range<usize>, String),
}

/// One mistake with everything that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mistake {
    /// One of [`code`].
    pub code: &'static str,
    /// Where it stands.
    pub span: Range<usize>,
    /// The full name of the key.
    pub key: String,
    /// What is wrong.
    pub reason: String,
    /// What to do, for a person.
    pub fix: String,
    /// What to do, for a program, where that can be told.
    pub repair: Option<Repair>,
}

/// Where mistakes of a file are gathered, so that all of them are told at once.
pub trait Mistakes {
    /// Adds one of which more is known; who has no use for that tells what [`Self::error`] tells.
    fn mistake(&mut self, mistake: Mistake) {
        let Mistake {
            span,
            key,
            reason,
            fix,
            ..
        } = mistake;
        self.error(Some(span), &key, reason, fix);
    }

    /// Adds one at the bytes `span` of the file: the full name of the key, what is wrong, what to do.
    fn error(
        &mut self,
        span: Option<Range<usize>>,
        key: &str,
        reason: impl Into<String>,
        fix: impl Into<String>,
    );
}
