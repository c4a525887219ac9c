//! Slips in a `runtime.toml`.

use std::ops::Range;

use ::toml::de::{DeTable, Error};

use super::{Candidate, Slip, line_at};
use crate::code;
use crate::patched::{Patched, SLIPS};

const RULE: &str = "write tables as [name], keys as name = value, texts in double quotes";

/// The text without its slips as far as they can be put right, with all of them. The last slips
/// have no edit when what is left is not TOML.
pub(crate) fn toml(original: &str) -> (Patched<'_>, Vec<Slip>, bool) {
    let mut source = Patched::new(original);
    let mut slips = Vec::new();
    loop {
        let text = source.text();
        let errors = errors(text);
        let Some(first) = errors.first() else {
            return (source, slips, true);
        };
        let found = candidate(text, first, errors.len());
        let Some(candidate) = found.filter(|_| slips.len() < SLIPS) else {
            slips.extend(errors.iter().map(|error| {
                let span = error.span().unwrap_or_default();
                Slip {
                    span: source.range(&span),
                    code: code_of(error),
                    reason: format!("is not TOML: {}", error.message()),
                    fix: RULE.to_owned(),
                    edit: None,
                }
            }));
            return (source, slips, false);
        };
        let bytes = source.range(&candidate.bytes);
        let at = first.span().unwrap_or_default();
        slips.push(Slip {
            span: source.range(&at),
            code: code_of(first),
            reason: format!("is not TOML: {}", first.message()),
            fix: candidate.fix.to_owned(),
            edit: Some((bytes, candidate.text.clone())),
        });
        source.patch(candidate.bytes, &candidate.text);
    }
}

fn errors(text: &str) -> Vec<Error> {
    DeTable::parse_recoverable(text).1
}

fn code_of(error: &Error) -> &'static str {
    if error.message().contains("duplicate key") {
        code::DUPLICATE
    } else {
        code::SYNTAX
    }
}

/// The change that leaves the fewest errors.
fn candidate(text: &str, error: &Error, before: usize) -> Option<Candidate> {
    let at = error.span().map_or(0, |span| span.start);
    let tried = candidates(text, at, code_of(error) == code::DUPLICATE);
    let left = |candidate: &Candidate| errors(&candidate.on(text)).len();
    tried
        .into_iter()
        .map(|candidate| (left(&candidate), candidate))
        .filter(|(left, _)| *left < before)
        .min_by_key(|(left, _)| *left)
        .map(|(_, candidate)| candidate)
}

fn candidates(text: &str, at: usize, twice: bool) -> Vec<Candidate> {
    let range = line_at(text, at);
    let mut all = Vec::new();
    if twice {
        let end = (range.end + 1).min(text.len());
        all.push(Candidate::new(
            range.start..end,
            "",
            "remove one of the two; this removes the second",
        ));
        return all;
    }
    all.extend(line_candidates(text, range.clone()));
    // What is not closed shows on the line after it.
    let before = text[..range.start].trim_end();
    if !before.is_empty() {
        all.extend(line_candidates(text, line_at(text, before.len())));
    }
    all
}

fn line_candidates(text: &str, range: Range<usize>) -> Vec<Candidate> {
    let line = &text[range.clone()];
    let mut all = Vec::new();
    let code = line.split(" #").next().unwrap_or(line).trim_end();
    let end = range.start + code.len();
    if code.trim_start().starts_with('[') && !code.ends_with(']') {
        all.push(Candidate::new(end..end, "]", "close the bracket"));
    }
    if code.contains(['\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}']) {
        let plain = code.replace(['\u{201c}', '\u{201d}', '\u{2018}', '\u{2019}'], "\"");
        let fix = "write plain double quotes";
        all.push(Candidate::new(range.start..end, plain, fix));
    }
    if code.trim_start().starts_with("//") {
        let start = range.start + code.find("//").unwrap_or(0);
        let fix = "a comment begins with #";
        all.push(Candidate::new(start..start + 2, "#", fix));
    }
    match code.split_once('=') {
        Some((key, value)) => {
            let start = range.start + key.len() + 1;
            all.extend(value_candidates(value, start));
        }
        None => all.extend(separator_candidates(code, range.start)),
    }
    all
}

/// A line without `=`.
fn separator_candidates(code: &str, start: usize) -> Vec<Candidate> {
    let key = code.trim_start();
    let indent = code.len() - key.len();
    let length = key
        .find(|c: char| !(c.is_ascii_alphanumeric() || "_-.".contains(c)))
        .unwrap_or(key.len());
    let after = start + indent + length;
    if length == 0 {
        return Vec::new();
    }
    if key[length..].trim_start().starts_with(':') {
        let colon = key[length..].find(':').unwrap_or(0);
        let fix = "write = between key and value";
        let mut all = vec![Candidate::new(after..after + colon + 1, " =", fix)];
        // Its value may have been written as YAML has it, too.
        let value = key[length + colon + 1..].trim();
        let whole = format!(" = {}", in_quotes(value));
        all.push(Candidate::new(after..start + code.len(), whole, fix));
        return all;
    }
    vec![Candidate::new(
        after..after,
        " =",
        "write = between key and value",
    )]
}

fn value_candidates(value: &str, start: usize) -> Vec<Candidate> {
    let trimmed = value.trim();
    let from = start + value.len() - value.trim_start().len();
    let bytes = from..from + trimmed.len();
    let end = bytes.end;
    let mut all = Vec::new();
    let bare = trimmed.trim_start_matches(['=', ' ']);
    if bare.len() < trimmed.len() {
        all.push(Candidate::new(bytes.clone(), bare, "write one ="));
    }
    if let Some(kept) = trimmed.strip_suffix([',', ';']) {
        all.push(Candidate::new(
            bytes.clone(),
            kept,
            "nothing comes after the value",
        ));
    }
    if trimmed.is_empty() {
        return all;
    }
    match trimmed.chars().next() {
        Some('"') => all.push(Candidate::new(end..end, "\"", "close the quotes")),
        Some('\'') => all.push(Candidate::new(end..end, "'", "close the quotes")),
        Some('[') => {
            all.push(Candidate::new(end..end, "]", "close the list"));
            all.push(Candidate::new(
                end..end,
                "\"]",
                "close the quotes and the list",
            ));
            let items = trimmed.trim_matches(['[', ']']).split(',');
            let quoted: Vec<String> = items.map(|item| in_quotes(item.trim())).collect();
            let list = format!("[{}]", quoted.join(", "));
            all.push(Candidate::new(bytes, list, "put texts in double quotes"));
        }
        Some('{') => all.push(Candidate::new(end..end, " }", "close the table")),
        _ => {
            let lower = trimmed.to_ascii_lowercase();
            let (text, fix) = match lower.as_str() {
                "true" | "yes" | "on" => ("true".to_owned(), "write true or false"),
                "false" | "no" | "off" => ("false".to_owned(), "write true or false"),
                _ => (in_quotes(trimmed), "put it in double quotes"),
            };
            all.push(Candidate::new(bytes, text, fix));
        }
    }
    all
}

fn in_quotes(text: &str) -> String {
    let quoted = text.len() >= 2 && text.starts_with('"') && text.ends_with('"');
    let plain = text.parse::<i64>().is_ok() || matches!(text, "true" | "false");
    if quoted || plain || text.starts_with(['[', '{']) {
        return text.to_owned();
    }
    let inside = text.trim_matches(['"', '\'']);
    format!("\"{}\"", inside.replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_small_change_makes_it_toml_again() {
        for (slipped, right) in [
            ("[runtime\ntype = \"pi\"\n", "[runtime]\ntype = \"pi\"\n"),
            ("type = pi # mine\n", "type = \"pi\" # mine\n"),
            ("type \"pi\"\n", "type = \"pi\"\n"),
            ("type: pi\n", "type = \"pi\"\n"),
            ("n: 1\n", "n = 1\n"),
            ("a = = 1\n", "a = 1\n"),
            ("a = \"x\nb = 1\n", "a = \"x\"\nb = 1\n"),
            ("a = [\"x\"\nb = 1\n", "a = [\"x\"]\nb = 1\n"),
            ("a = [x, \"y\"]\n", "a = [\"x\", \"y\"]\n"),
            ("a = True\n", "a = true\n"),
            ("a = 1;\n", "a = 1\n"),
            ("a = \u{201c}x\u{201d}\n", "a = \"x\"\n"),
            ("// no\na = 1\n", "# no\na = 1\n"),
            ("a = 1\na = 2\n", "a = 1\n"),
            ("a = x\nb = y\n", "a = \"x\"\nb = \"y\"\n"),
        ] {
            let (source, slips, whole) = toml(slipped);
            assert!(whole && !slips.is_empty(), "{slipped}: {slips:?}");
            assert_eq!(source.text(), right, "{slips:?}");
        }
        let (_, slips, whole) = toml("[[[\n= =\n");
        assert!(!whole && slips.iter().any(|slip| slip.edit.is_none()));
        assert!(toml("a = 1\n").1.is_empty());
    }
}
