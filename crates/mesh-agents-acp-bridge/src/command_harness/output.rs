//! A command's output on its way from bytes to lines a person reads. Bounded in every direction.

use std::collections::VecDeque;

use super::findings::Findings;

/// Longest line, in bytes; what is longer comes as several.
const LINE_BYTES: usize = 64 * 1024;
/// Text streamed as the answer, in bytes: more than anybody reads, and the connection's queue of
/// outgoing messages has no bound of its own.
const STREAM_BYTES: usize = 1024 * 1024;
/// Lines kept for the end of `summary.md`.
const TAIL_LINES: usize = 40;
/// Longest such line, in characters.
const TAIL_CHARS: usize = 1000;

/// Cuts bytes into lines.
#[derive(Debug, Default)]
pub(super) struct Lines {
    partial: Vec<u8>,
}

impl Lines {
    /// The lines that end in `bytes`.
    pub(super) fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in bytes.split_inclusive(|&byte| byte == b'\n') {
            self.partial.extend_from_slice(piece);
            if piece.ends_with(b"\n") || self.partial.len() >= LINE_BYTES {
                lines.extend(self.rest());
            }
        }
        lines
    }

    /// The line that has no end yet, if there is one.
    pub(super) fn rest(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.partial);
        (!line.is_empty()).then(|| readable(&line))
    }
}

/// A line as it would look on a terminal without colours: lossy where it is no UTF-8, without its
/// end and its control sequences, and only what stands after the last return to the line's start.
fn readable(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.trim_end_matches(['\n', '\r']);
    let text = text.rsplit('\r').next().unwrap_or(text);
    if !text.contains(|c: char| c.is_control() && c != '\t') {
        return text.to_owned();
    }
    let mut shown = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(c) = rest.next() {
        match c {
            '\u{1b}' => skip_sequence(&mut rest),
            '\t' => shown.push(c),
            c if c.is_control() => {}
            c => shown.push(c),
        }
    }
    shown
}

/// Passes over what follows an escape character: `[ … letter`, `] … BEL` or `] … ESC \`, else one
/// character.
fn skip_sequence(rest: &mut std::str::Chars<'_>) {
    match rest.next() {
        Some('[') => {
            rest.find(|c| ('@'..='~').contains(c));
        }
        Some(']') => {
            let end = rest.find(|c| matches!(c, '\u{7}' | '\u{1b}'));
            if end == Some('\u{1b}') {
                rest.next();
            }
        }
        _ => {}
    }
}

/// What is remembered of an output.
#[derive(Debug, Default)]
pub(super) struct Gathered {
    pub(super) findings: Findings,
    pub(super) tail: VecDeque<String>,
    pub(super) lines: u64,
    streamed: usize,
}

impl Gathered {
    /// Remembers `lines` and gives back what is to be streamed of them.
    pub(super) fn add(&mut self, lines: &[String]) -> Option<String> {
        let mut text = String::new();
        for line in lines {
            self.remember(line);
            if self.streamed > STREAM_BYTES {
                continue;
            }
            self.streamed += line.len() + 1;
            if self.streamed > STREAM_BYTES {
                text += "… the output goes on; its end is in summary.md\n";
            } else {
                text += line;
                text.push('\n');
            }
        }
        (!text.is_empty()).then_some(text)
    }

    fn remember(&mut self, line: &str) {
        self.lines += 1;
        self.findings.line(line);
        if self.tail.len() == TAIL_LINES {
            self.tail.pop_front();
        }
        self.tail.push_back(line.chars().take(TAIL_CHARS).collect());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_the_same_however_the_bytes_arrive() {
        let bytes = b"one\n\ntwo\r\nhalf\xff\nlast";
        for size in 1..=bytes.len() {
            let mut lines = Lines::default();
            let mut found: Vec<_> = bytes.chunks(size).flat_map(|c| lines.feed(c)).collect();
            found.extend(lines.rest());
            assert_eq!(
                found,
                ["one", "", "two", "half\u{fffd}", "last"],
                "chunks of {size}"
            );
        }
    }

    #[test]
    fn an_endless_line_comes_in_pieces() {
        let mut lines = Lines::default();
        let mut found = Vec::new();
        for _ in 0..40 {
            found.extend(lines.feed(&[b'x'; 4096]));
        }
        found.extend(lines.rest());
        assert_eq!(found.iter().map(String::len).sum::<usize>(), 40 * 4096);
        assert!(found.len() > 1 && found.iter().all(|line| line.len() <= LINE_BYTES));
    }

    #[test]
    fn what_a_terminal_would_swallow_is_not_shown() {
        for (line, shown) in [
            ("\u{1b}[1;31merror\u{1b}[0m: x", "error: x"),
            ("\u{1b}]8;;http://x\u{7}link\u{1b}]8;;\u{1b}\\ y", "link y"),
            ("10%\r50%\rdone", "done"),
            ("a\u{8}b\tc\u{1b}", "ab\tc"),
        ] {
            assert_eq!(readable(line.as_bytes()), shown);
        }
    }

    #[test]
    fn streaming_ends_and_says_so_while_the_tail_goes_on() {
        let mut gathered = Gathered::default();
        let line = vec!["x".repeat(1023)];
        let mut streamed = String::new();
        for _ in 0..2000 {
            streamed += &gathered.add(&line).unwrap_or_default();
        }
        gathered.add(&["the end".to_owned()]);
        assert!(streamed.len() < STREAM_BYTES + 200, "{}", streamed.len());
        assert!(streamed.ends_with("its end is in summary.md\n"));
        assert_eq!(streamed.matches("goes on").count(), 1);
        assert_eq!(gathered.lines, 2001);
        assert_eq!(gathered.tail.len(), TAIL_LINES);
        assert_eq!(gathered.tail.back().unwrap(), "the end");
    }
}
