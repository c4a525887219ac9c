//! Findings in a command's output: which lines name a place, and how bad it is.
//!
//! One finding for every line of the form `FILE:LINE[:COL]: TEXT`, as compilers, linters and test
//! runners write it. Two of them put the text on a neighbouring line and are understood too:
//! rustc's `--> FILE:LINE:COL` below `error: TEXT`, and Rust's `panicked at FILE:LINE:COL:` above
//! it. A FILE has no white space and looks like one: it has a directory, an extension or a name
//! everybody knows (`Makefile`); so neither a URL nor a clock nor `localhost:80: …` is one.
//!
//! The severity is the first word of TEXT: `error`, `fatal`, `failed`, `panic` or a word ending in
//! `Error` or `Exception` is high; `note`, `info`, `help`, `hint` is low; everything else, `warning`
//! among it, is medium.

use std::collections::HashSet;

use serde::Serialize;

/// Most findings kept; a command that names more places than this has one problem, not thousands.
const MOST: usize = 1000;
/// Longest text of a finding, in characters; the whole line is in the output.
const ISSUE_CHARS: usize = 1000;
/// Names without an extension that are files.
const KNOWN_FILES: [&str; 7] = [
    "Makefile",
    "makefile",
    "GNUmakefile",
    "Dockerfile",
    "Justfile",
    "justfile",
    "Rakefile",
];

/// One entry of `findings.json` (DESIGN §2.5).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
pub(super) struct Finding {
    pub(super) severity: Severity,
    pub(super) file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) line: Option<u32>,
    pub(super) issue: String,
}

/// The severities of `findings.json` this module can tell apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Severity {
    High,
    Medium,
    Low,
}

/// The findings of an output read so far.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: Vec<Finding>,
    seen: HashSet<Finding>,
    left_out: usize,
    /// A line `error: TEXT`, waiting for its arrow.
    heading: Option<String>,
    /// A place something panicked at, waiting for its text.
    panicked: Option<Place>,
}

/// FILE and LINE.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    file: String,
    line: Option<u32>,
}

impl Findings {
    /// Reads the next line of output, without its end.
    pub(super) fn line(&mut self, line: &str) {
        let text = line.trim();
        if let Some(place) = self.panicked.take() {
            let issue = if text.is_empty() { "panicked" } else { text };
            self.add(place, issue, Severity::High);
            return;
        }
        if let Some(arrow) = text.strip_prefix("--> ") {
            if let (Some((place, "")), Some(heading)) = (place(arrow), self.heading.take()) {
                self.add(place, &heading, severity(&heading));
            }
            return;
        }
        if let Some((_, after)) = text.split_once(" panicked at ") {
            self.panicked = place(after).and_then(|(place, rest)| (rest == ":").then_some(place));
            return;
        }
        if let Some((place, rest)) = place(text) {
            let issue = rest
                .strip_prefix(':')
                .filter(|issue| issue.starts_with([' ', '\t']));
            if let Some(issue) = issue.map(str::trim).filter(|issue| !issue.is_empty()) {
                self.add(place, issue, severity(issue));
            }
        } else if is_heading(line) {
            self.heading = Some(line.to_owned());
        }
    }

    /// What was found, in the order of the output, and how many were too many.
    pub(super) fn finish(mut self) -> (Vec<Finding>, usize) {
        if let Some(place) = self.panicked.take() {
            self.add(place, "panicked", Severity::High);
        }
        (self.found, self.left_out)
    }

    fn add(&mut self, place: Place, issue: &str, severity: Severity) {
        let finding = Finding {
            severity,
            file: place.file,
            line: place.line,
            issue: issue.chars().take(ISSUE_CHARS).collect(),
        };
        // Compilers say the same once for every target they build.
        if self.seen.contains(&finding) {
            return;
        }
        if self.found.len() == MOST {
            self.left_out += 1;
            return;
        }
        self.seen.insert(finding.clone());
        self.found.push(finding);
    }
}

/// The place at the start of `text`, and what follows its last number.
fn place(text: &str) -> Option<(Place, &str)> {
    // The colon of a drive letter does not end the file.
    let drive = if is_on_a_drive(text) { 2 } else { 0 };
    let colon = drive + text[drive..].find(':')?;
    let file = &text[..colon];
    let (line, rest) = number(&text[colon + 1..])?;
    let rest = match rest.strip_prefix(':').and_then(number) {
        Some((_column, rest)) => rest,
        None => rest,
    };
    let place = Place {
        file: file.to_owned(),
        line: (line > 0).then_some(line),
    };
    is_file(file).then_some((place, rest))
}

fn is_on_a_drive(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes, [letter, b':', b'\\' | b'/', ..] if letter.is_ascii_alphabetic())
}

/// The number at the start of `text`, and what follows.
fn number(text: &str) -> Option<(u32, &str)> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, rest) = text.split_at(digits);
    Some((number.parse().ok()?, rest))
}

fn is_file(name: &str) -> bool {
    let strange = |c: char| c.is_whitespace() || c.is_control() || "\"'`<>|*?=,;".contains(c);
    if name.contains(strange) || name.starts_with(['(', '[', '{', '-']) || name.starts_with("//") {
        return false;
    }
    let base = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let has_directory = base.len() < name.len() && !base.is_empty();
    let has_letter = name.contains(|c: char| c.is_alphabetic());
    has_letter && (has_directory || has_extension(base) || KNOWN_FILES.contains(&base))
}

/// Whether a name ends like a file's: a dot, then up to ten letters and digits, a letter first.
fn has_extension(base: &str) -> bool {
    base.rsplit_once('.').is_some_and(|(stem, extension)| {
        !stem.is_empty()
            && (1..=10).contains(&extension.len())
            && extension.starts_with(|c: char| c.is_ascii_alphabetic())
            && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

/// A compiler's line `error: TEXT`, `error[CODE]: TEXT`, `warning: TEXT`, at the line's start.
fn is_heading(line: &str) -> bool {
    let rest = line
        .strip_prefix("error")
        .or_else(|| line.strip_prefix("warning"));
    let rest = rest.map(|rest| match rest.strip_prefix('[') {
        Some(code) => code.split_once(']').map_or("", |(_, rest)| rest),
        None => rest,
    });
    rest.is_some_and(|rest| rest.starts_with(": "))
}

fn severity(text: &str) -> Severity {
    let word = text.trim_start_matches(|c: char| !c.is_alphanumeric());
    let word: String = word.chars().take_while(|c| c.is_alphanumeric()).collect();
    let word = word.to_ascii_lowercase();
    match word.as_str() {
        "fatal" | "failed" | "failure" | "panic" | "panicked" => Severity::High,
        "note" | "info" | "help" | "hint" => Severity::Low,
        word if word.ends_with("error") || word.ends_with("exception") => Severity::High,
        _ => Severity::Medium,
    }
}

#[cfg(test)]
mod tests;
