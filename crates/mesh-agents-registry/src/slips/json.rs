//! Slips in a card.

use serde::de::IgnoredAny;

use super::{Candidate, Slip, line_at};
use crate::card::reason_of;
use crate::code;
use crate::patched::{Patched, SLIPS};
use crate::position::offset_of;

/// The text without its slips as far as they can be put right, with all of them. The last slip has
/// no edit when what is left is not JSON.
pub(crate) fn json(original: &str) -> (Patched<'_>, Vec<Slip>, bool) {
    let mut source = Patched::new(original);
    let mut slips = Vec::new();
    loop {
        let text = source.text();
        let Some((at, reason)) = error(text) else {
            return (source, slips, true);
        };
        let found = candidate(text, at).filter(|_| slips.len() < SLIPS);
        let reason = format!("is not JSON: {reason}");
        let Some(candidate) = found else {
            let at = source.origin(at);
            slips.push(Slip {
                span: at..at,
                code: code::SYNTAX,
                reason,
                fix: "an editor with JSON support shows the place".to_owned(),
                edit: None,
            });
            return (source, slips, false);
        };
        let bytes = source.range(&candidate.bytes);
        slips.push(Slip {
            span: bytes.clone(),
            code: code::SYNTAX,
            reason,
            fix: candidate.fix.to_owned(),
            edit: Some((bytes, candidate.text.clone())),
        });
        source.patch(candidate.bytes, &candidate.text);
    }
}

/// Where the text stops being JSON, and why.
fn error(text: &str) -> Option<(usize, String)> {
    let error = serde_json::from_str::<IgnoredAny>(text).err()?;
    let mut at = offset_of(text, error.line(), error.column());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    Some((at, reason_of(&error)))
}

/// The change after which the parser gets furthest.
fn candidate(text: &str, at: usize) -> Option<Candidate> {
    let reached = |candidate: &Candidate| {
        let changed = candidate.on(text);
        match error(&changed) {
            None => usize::MAX,
            // From the end: what was put in or taken out does not count.
            Some((next, _)) => (text.len() - at).saturating_sub(changed.len() - next),
        }
    };
    candidates(text, at)
        .into_iter()
        .map(|candidate| (reached(&candidate), candidate))
        .filter(|(reached, _)| *reached > 0)
        // The first of equals: they are in the order of their likelihood.
        .reduce(|best, next| if next.0 > best.0 { next } else { best })
        .map(|(_, candidate)| candidate)
}

fn candidates(text: &str, at: usize) -> Vec<Candidate> {
    let mut all = Vec::new();
    // The parser may have read the character it complains of.
    for at in [at, at.saturating_sub(1)] {
        if !text.is_char_boundary(at) {
            continue;
        }
        let before = text[..at].trim_end();
        let rest = &text[at..];
        if let Some(kept) = before.strip_suffix(',') {
            let fix = "remove the comma: nothing follows it";
            all.push(Candidate::new(kept.len()..before.len(), "", fix));
        }
        if let Some(comment) = rest.trim_start().strip_prefix('/') {
            let start = text.len() - comment.len() - 1;
            let end = if comment.starts_with('*') {
                comment.find("*/").map_or(text.len(), |end| start + end + 3)
            } else {
                line_at(text, start).end
            };
            let fix = "remove it: JSON has no comments";
            all.push(Candidate::new(start..end, "", fix));
        }
        let end = before.len();
        all.push(Candidate::new(
            end..end,
            ",",
            "write a comma between the two",
        ));
        all.push(Candidate::new(
            end..end,
            ":",
            "write a colon between name and value",
        ));
        all.extend(word_candidates(text, at));
    }
    all.extend(line_candidates(text, at));
    if text[at..].trim().is_empty() {
        all.push(Candidate::new(
            text.trim_end().len()..text.trim_end().len(),
            closers(text),
            "close what was opened",
        ));
    }
    // The parser may have read the first character of what follows.
    for at in [at.saturating_sub(1), at] {
        let whole = text.get(..at).is_some_and(|card| error(card).is_none());
        if whole {
            let fix = "remove what follows the card";
            all.push(Candidate::new(at..text.len(), "\n", fix));
        }
    }
    all
}

/// The word at `at`: not in quotes, in wrong quotes, or in the wrong letters.
fn word_candidates(text: &str, at: usize) -> Vec<Candidate> {
    let mut all = Vec::new();
    let part = |c: char| c.is_alphanumeric() || "_-$".contains(c);
    let start = at - text[..at].len() + text[..at].trim_end_matches(part).len();
    let rest = &text[start..];
    let word: String = rest.chars().take_while(|c| part(*c)).collect();
    if !word.is_empty() {
        let instead = match word.as_str() {
            "True" | "TRUE" | "yes" => "true".to_owned(),
            "False" | "FALSE" | "no" => "false".to_owned(),
            "None" | "nil" | "undefined" => "null".to_owned(),
            other => format!("\"{other}\""),
        };
        let fix =
            "write names and texts in double quotes, and true, false and null as they are here";
        all.push(Candidate::new(start..start + word.len(), instead, fix));
    }
    for quote in ['\'', '\u{201c}', '\u{201d}'] {
        let Some(inside) = rest.strip_prefix(quote) else {
            continue;
        };
        let close = if quote == '\u{201c}' {
            '\u{201d}'
        } else {
            quote
        };
        let end = inside.find(close).or_else(|| inside.find('"'));
        let Some(end) = end.filter(|end| !inside[..*end].contains('\n')) else {
            continue;
        };
        let length = inside[end..].chars().next().map_or(1, char::len_utf8);
        let whole = start..start + quote.len_utf8() + end + length;
        let plain = format!("\"{}\"", inside[..end].replace('"', "\\\""));
        all.push(Candidate::new(whole, plain, "write plain double quotes"));
    }
    if rest.starts_with('=') {
        let fix = "write a colon between name and value";
        all.push(Candidate::new(start..start + 1, ":", fix));
    }
    all
}

/// A text that does not end on its line.
fn line_candidates(text: &str, at: usize) -> Vec<Candidate> {
    let mut all = Vec::new();
    for at in [at, at.saturating_sub(1)] {
        let line = line_at(text, at);
        let end = text[line.clone()].trim_end().len() + line.start;
        for tail in [",", "]", "],", " }", " },", ""] {
            if text[..end].ends_with(tail) {
                let at = end - tail.len();
                all.push(Candidate::new(at..at, "\"", "close the quotes"));
            }
        }
    }
    all
}

/// The brackets that close what is open at the end of the text.
fn closers(text: &str) -> String {
    let mut open = Vec::new();
    let (mut inside, mut escaped) = (false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '"' => inside = !inside,
            '{' if !inside => open.push('}'),
            '[' if !inside => open.push(']'),
            '}' | ']' if !inside => {
                open.pop();
            }
            _ => {}
        }
    }
    let quote = if inside { "\"" } else { "" };
    let brackets: String = open.into_iter().rev().collect();
    format!("{quote}{brackets}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_small_change_makes_it_json_again() {
        for (slipped, right) in [
            ("{\n  \"a\": 1,\n}", "{\n  \"a\": 1\n}"),
            ("{ \"a\": [1, 2,] }", "{ \"a\": [1, 2] }"),
            ("{ \"a\": 1\n  \"b\": 2 }", "{ \"a\": 1,\n  \"b\": 2 }"),
            ("{ \"a\" 1 }", "{ \"a\": 1 }"),
            ("{ \"a\" = 1 }", "{ \"a\" : 1 }"),
            ("{ a: 1 }", "{ \"a\": 1 }"),
            ("{ 'a': 'b' }", "{ \"a\": \"b\" }"),
            ("{ \"a\": True }", "{ \"a\": true }"),
            ("{ \"a\": 1 // why\n}", "{ \"a\": 1 \n}"),
            ("{ /* why */ \"a\": 1 }", "{  \"a\": 1 }"),
            ("{ \"a\": \"x,\n \"b\": 1 }", "{ \"a\": \"x\",\n \"b\": 1 }"),
            ("{ \"a\": [ 1\n", "{ \"a\": [ 1]}\n"),
            ("{ \"a\": 1, \"b\": [2,], }", "{ \"a\": 1, \"b\": [2] }"),
            ("{ \"a\": 1 } }", "{ \"a\": 1 }\n"),
        ] {
            let (source, slips, whole) = json(slipped);
            assert!(whole && !slips.is_empty(), "{slipped}: {slips:?}");
            assert_eq!(source.text(), right, "{slips:?}");
        }
        for text in ["", "{ \"a\": ", "&"] {
            let (_, slips, whole) = json(text);
            assert!(
                !whole && slips.last().is_some_and(|slip| slip.edit.is_none()),
                "{text}"
            );
        }
        assert!(json("{}").1.is_empty());
    }
}
