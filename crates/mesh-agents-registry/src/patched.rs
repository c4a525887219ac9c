//! A text without its slips of syntax: what is right about it can be checked in the same pass, and
//! every place still means the text that was read.

use std::borrow::Cow;
use std::ops::Range;

/// More slips than this in one file, and it is no longer a file with slips.
pub(crate) const SLIPS: usize = 20;

/// A text as it was read and as it reads with its slips put right.
#[derive(Debug)]
pub(crate) struct Patched<'t> {
    original: &'t str,
    text: Cow<'t, str>,
    patches: Vec<Patch>,
}

/// One replacement; places are those of the text after it.
#[derive(Debug, Clone, Copy)]
struct Patch {
    at: usize,
    removed: usize,
    inserted: usize,
}

impl<'t> Patched<'t> {
    /// The text as it was read.
    pub(crate) fn new(original: &'t str) -> Self {
        Self {
            original,
            text: Cow::Borrowed(original),
            patches: Vec::new(),
        }
    }

    /// What was read.
    pub(crate) fn original(&self) -> &'t str {
        self.original
    }

    /// The text with all patches so far.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Puts `text` in the place of `bytes`.
    pub(crate) fn patch(&mut self, bytes: Range<usize>, text: &str) {
        self.patches.push(Patch {
            at: bytes.start,
            removed: bytes.len(),
            inserted: text.len(),
        });
        self.text.to_mut().replace_range(bytes, text);
    }

    /// Where these bytes of the patched text stand in what was read. What a patch took out behind
    /// them is not among them.
    pub(crate) fn range(&self, bytes: &Range<usize>) -> Range<usize> {
        let start = self.origin(bytes.start);
        if bytes.is_empty() {
            return start..start;
        }
        let mut end = bytes.end;
        for patch in self.patches.iter().rev() {
            let after = patch.at + patch.inserted;
            if end > after || (end == after && patch.inserted > 0) {
                end = end - patch.inserted + patch.removed;
            } else if end > patch.at {
                end = patch.at;
            }
        }
        start..end.min(self.original.len()).max(start)
    }

    /// Where the byte `at` of the patched text stands in what was read; what a patch brought in
    /// stands where it was brought in.
    pub(crate) fn origin(&self, mut at: usize) -> usize {
        for patch in self.patches.iter().rev() {
            if at >= patch.at + patch.inserted {
                at = at - patch.inserted + patch.removed;
            } else if at > patch.at {
                at = patch.at;
            }
        }
        at.min(self.original.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_a_patched_text_are_those_of_what_was_read() {
        let mut patched = Patched::new("a = b\nc, d,\n}");
        patched.patch(4..5, "\"b\"");
        patched.patch(12..13, "");
        assert_eq!(patched.text(), "a = \"b\"\nc, d\n}");
        let at = |needle: &str| patched.origin(patched.text().find(needle).unwrap());
        assert_eq!(at("a"), 0);
        assert_eq!(at("c"), patched.original().find('c').unwrap());
        assert_eq!(at("d"), patched.original().find('d').unwrap());
        assert_eq!(at("}"), patched.original().find('}').unwrap());
        let d = patched.text().find('d').unwrap();
        let d = patched.range(&(d..d + 1));
        assert_eq!(&patched.original()[d], "d", "without its comma");
    }
}
