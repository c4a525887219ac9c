//! A JSON object of the card: its fields, and where each stands in the text.

use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::json_text;

/// A value somewhere in the card. The raw text is borrowed from the file's, so it knows its place.
#[derive(Debug, Clone)]
pub(super) struct Node<'t> {
    pub(super) raw: &'t RawValue,
    pub(super) path: String,
}

impl Node<'_> {
    /// Where the value stands in `text`.
    pub(super) fn span(&self, text: &str) -> Option<Range<usize>> {
        span(text, self.raw)
    }
}

/// An object of the card.
pub(super) struct Object<'t> {
    text: &'t str,
    pub(super) span: Option<Range<usize>>,
    path: String,
    /// In the order written, each as often as it is written.
    fields: Vec<(String, &'t RawValue)>,
}

impl<'t> Object<'t> {
    /// The object at `node`; `None` when it is none.
    pub(super) fn read(node: &Node<'t>, text: &'t str) -> Option<Self> {
        let mut json = serde_json::Deserializer::from_str(node.raw.get());
        Some(Self {
            text,
            span: span(text, node.raw),
            path: node.path.clone(),
            fields: json.deserialize_map(Fields).ok()?,
        })
    }

    /// The path of a field in the card: `skills[0].tags`.
    pub(super) fn path_of(&self, field: &str) -> String {
        if self.path.is_empty() {
            field.to_owned()
        } else {
            format!("{}.{field}", self.path)
        }
    }

    /// All fields, in the order written.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.iter().map(|(name, _)| name.as_str())
    }

    /// Whether a field of this name is written, `null` too.
    pub(super) fn has(&self, field: &str) -> bool {
        self.names().any(|name| name == field)
    }

    /// The value of a field; `null` is none.
    pub(super) fn get(&self, field: &str) -> Option<Node<'t>> {
        let (_, raw) = self.fields.iter().find(|(name, _)| name == field)?;
        (raw.get() != "null").then(|| Node {
            raw,
            path: self.path_of(field),
        })
    }

    /// The text of a field that holds one.
    pub(super) fn string(&self, field: &str) -> Option<String> {
        serde_json::from_str(self.get(field)?.raw.get()).ok()
    }

    /// Where the value of a field stands.
    pub(super) fn place(&self, field: &str) -> Option<Range<usize>> {
        let (_, raw) = self.fields.iter().find(|(name, _)| name == field)?;
        span(self.text, raw)
    }

    /// Where the name of a field stands, quotes included.
    pub(super) fn key(&self, field: &str) -> Option<Range<usize>> {
        json_text::key_before(self.text, self.place(field)?.start)
    }

    /// Every field that is written again, with the name and the value of the repetition.
    pub(super) fn repeated(&self) -> Vec<(&str, Range<usize>, Range<usize>)> {
        let again = |index: &usize| {
            let name = &self.fields[*index].0;
            self.fields[..*index].iter().any(|(other, _)| other == name)
        };
        (0..self.fields.len())
            .filter(again)
            .filter_map(|index| {
                let (name, raw) = &self.fields[index];
                let value = span(self.text, raw)?;
                let key = json_text::key_before(self.text, value.start)?;
                Some((name.as_str(), key, value))
            })
            .collect()
    }

    /// What to write so that the field is there.
    pub(super) fn with(&self, field: &str, json: &str) -> Option<(Range<usize>, String)> {
        Some(json_text::added(
            self.text,
            self.span.as_ref()?,
            field,
            json,
        ))
    }

    /// The bytes to take out so that the field goes.
    pub(super) fn without(&self, field: &str) -> Option<Range<usize>> {
        let (key, value) = (self.key(field)?, self.place(field)?);
        Some(json_text::field(self.text, &key, &value))
    }
}

/// The entries of a list; `None` when it is none.
pub(super) fn items<'t>(node: &Node<'t>) -> Option<Vec<Node<'t>>> {
    let items: Vec<&'t RawValue> = serde_json::from_str(node.raw.get()).ok()?;
    let entry = |(index, raw)| Node {
        raw,
        path: format!("{}[{index}]", node.path),
    };
    Some(items.into_iter().enumerate().map(entry).collect())
}

/// Where a borrowed piece of `text` stands in it.
fn span(text: &str, raw: &RawValue) -> Option<Range<usize>> {
    let piece = raw.get();
    let start = piece.as_ptr().addr().checked_sub(text.as_ptr().addr())?;
    (start + piece.len() <= text.len()).then_some(start..start + piece.len())
}

/// A map of serde's would keep one of two fields of the same name and say nothing.
struct Fields;

impl<'t> Visitor<'t> for Fields {
    type Value = Vec<(String, &'t RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'t>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry()? {
            fields.push(field);
        }
        Ok(fields)
    }
}
