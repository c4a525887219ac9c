//! Slips of syntax: where, what, and the one small change after which the text reads on. A change
//! is only offered when a parser has tried it.

mod json;
mod toml;

use std::ops::Range;

pub(crate) use self::json::json;
pub(crate) use self::toml::toml;

/// One slip.
#[derive(Debug)]
pub(crate) struct Slip {
    /// Where it is, in the text as it was read.
    pub(crate) span: Range<usize>,
    /// One of [`crate::code`].
    pub(crate) code: &'static str,
    /// What is wrong.
    pub(crate) reason: String,
    /// What to do.
    pub(crate) fix: String,
    /// The same for a program: bytes of the text as it was read, and what they become.
    pub(crate) edit: Option<(Range<usize>, String)>,
}

/// A change that might put a slip right.
#[derive(Debug)]
struct Candidate {
    bytes: Range<usize>,
    text: String,
    fix: &'static str,
}

impl Candidate {
    fn new(bytes: Range<usize>, text: impl Into<String>, fix: &'static str) -> Self {
        Self {
            bytes,
            text: text.into(),
            fix,
        }
    }

    fn on(&self, text: &str) -> String {
        let mut changed = text.to_owned();
        changed.replace_range(self.bytes.clone(), &self.text);
        changed
    }
}

/// The line the byte `at` is in, without its end.
fn line_at(text: &str, at: usize) -> Range<usize> {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let start = text[..at].rfind('\n').map_or(0, |end| end + 1);
    let end = text[at..].find('\n').map_or(text.len(), |end| at + end);
    start..end
}
