//! Reads a JSON object field by field, remembering where each value stands and never stopping at
//! the first mistake.

use std::collections::BTreeMap;
use std::ops::Range;

use mesh_agents_core::near::nearest;
use serde_json::value::RawValue;

use crate::problem::Report;

/// A value somewhere in the card. The raw text is borrowed from the file's, so it knows its place.
pub(super) struct Node<'t> {
    pub(super) raw: &'t RawValue,
    pub(super) path: String,
}

/// An object of the card.
pub(super) struct Object<'t> {
    text: &'t str,
    span: Option<Range<usize>>,
    path: String,
    fields: BTreeMap<String, &'t RawValue>,
}

impl<'t> Object<'t> {
    /// The object at `node`; `None` when it is none, reported.
    pub(super) fn read(node: &Node<'t>, text: &'t str, report: &mut Report<'_>) -> Option<Self> {
        let span = span(text, node.raw);
        match serde_json::from_str(node.raw.get()) {
            Ok(fields) => Some(Self {
                text,
                span,
                path: node.path.clone(),
                fields,
            }),
            Err(_) => {
                wrong_type(span, &node.path, node.raw, "an object", report);
                None
            }
        }
    }

    /// The path of a field in the card: `skills[0].tags`.
    pub(super) fn path_of(&self, field: &str) -> String {
        if self.path.is_empty() {
            field.to_owned()
        } else {
            format!("{}.{field}", self.path)
        }
    }

    fn span_of(&self, raw: &RawValue) -> Option<Range<usize>> {
        span(self.text, raw)
    }

    /// Where the value of a field stands.
    pub(super) fn place(&self, field: &str) -> Option<Range<usize>> {
        self.span_of(self.fields.get(field)?)
    }

    /// Reports the fields of A2A 0.3 in `old`, each with what to do about it.
    pub(super) fn refuse_old(&self, old: &[(&str, &str)], report: &mut Report<'_>) {
        for (field, fix) in old {
            if let Some(raw) = self.fields.get(*field) {
                report.error(
                    self.span_of(raw),
                    &self.path_of(field),
                    "this is A2A 0.3; cards here are A2A 1.0",
                    *fix,
                );
            }
        }
    }

    /// The value of a field that must be there; `null` is not there.
    pub(super) fn required(&self, field: &str, report: &mut Report<'_>) -> Option<Node<'t>> {
        match self.fields.get(field) {
            Some(raw) if raw.get() != "null" => Some(Node {
                raw,
                path: self.path_of(field),
            }),
            _ => {
                let others = self.fields.keys().map(String::as_str);
                let fix = match nearest(field, others.filter(|other| *other != field)) {
                    Some(near) => format!("is {near:?} meant to be {field:?}?"),
                    None => "add it; A2A requires it".to_owned(),
                };
                report.error(self.span.clone(), &self.path_of(field), "is missing", fix);
                None
            }
        }
    }

    /// A required text on one line.
    pub(super) fn line(&self, field: &str, report: &mut Report<'_>) -> Option<String> {
        let node = self.required(field, report)?;
        printable(&node, self.text, false, report)
    }

    /// A required text that may have several lines.
    pub(super) fn prose(&self, field: &str, report: &mut Report<'_>) -> Option<String> {
        let node = self.required(field, report)?;
        printable(&node, self.text, true, report)
    }

    /// A required list that is not empty.
    fn list(&self, field: &str, report: &mut Report<'_>) -> Option<Vec<Node<'t>>> {
        let node = self.required(field, report)?;
        let place = self.span_of(node.raw);
        let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(node.raw.get()) else {
            wrong_type(place, &node.path, node.raw, "a list", report);
            return None;
        };
        if items.is_empty() {
            report.error(
                place,
                &node.path,
                "is empty",
                "A2A requires at least one entry",
            );
            return None;
        }
        let entry = |(index, raw)| Node {
            raw,
            path: format!("{}[{index}]", node.path),
        };
        Some(items.into_iter().enumerate().map(entry).collect())
    }

    /// A required list of texts on one line each.
    pub(super) fn lines(&self, field: &str, report: &mut Report<'_>) -> Option<Vec<String>> {
        self.list(field, report)?
            .iter()
            .map(|node| printable(node, self.text, false, report))
            .collect()
    }

    /// A required list of objects.
    pub(super) fn objects(&self, field: &str, report: &mut Report<'_>) -> Option<Vec<Object<'t>>> {
        let nodes = self.list(field, report)?;
        let objects = nodes
            .iter()
            .filter_map(|node| Object::read(node, self.text, report));
        Some(objects.collect())
    }
}

/// A text people can be shown: not empty, and nothing in it that moves a cursor or turns text around.
fn printable(
    node: &Node<'_>,
    text: &str,
    several_lines: bool,
    report: &mut Report<'_>,
) -> Option<String> {
    let place = span(text, node.raw);
    let Ok(value) = serde_json::from_str::<String>(node.raw.get()) else {
        wrong_type(place, &node.path, node.raw, "a string", report);
        return None;
    };
    let bad = |c: &char| {
        let line_break = several_lines && matches!(c, '\n' | '\t');
        let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        (c.is_control() && !line_break) || turns
    };
    let (reason, fix) = if value.trim().is_empty() {
        ("is empty".to_owned(), "say something here")
    } else if let Some(found) = value.chars().find(bad) {
        (
            format!("holds the control character U+{:04X}", u32::from(found)),
            "remove it",
        )
    } else {
        return Some(value);
    };
    report.error(place, &node.path, reason, fix);
    None
}

fn wrong_type(
    place: Option<Range<usize>>,
    path: &str,
    raw: &RawValue,
    wanted: &str,
    report: &mut Report<'_>,
) {
    let found = match raw.get().as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "a list",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "true or false",
        Some(b'n') => "null",
        _ => "a number",
    };
    report.error(
        place,
        path,
        format!("must be {wanted}, found {found}"),
        "see the Agent Card of the A2A 1.0 specification for what belongs here",
    );
}

/// Where a borrowed piece of `text` stands in it.
fn span(text: &str, raw: &RawValue) -> Option<Range<usize>> {
    let piece = raw.get();
    let start = piece.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    (start + piece.len() <= text.len()).then_some(start..start + piece.len())
}
