//! Walks a card along its shape, so that every mistake is told at once and with its place.

use std::ops::Range;

use mesh_agents_core::near::nearest;

use super::object::{Node, Object, items};
use super::shape::{Field, Kind, Old, OldRepair, Shape};
use crate::code;
use crate::report::Report;
use crate::scaffold::title;

/// One walk over one card.
pub(super) struct Walk<'w, 't, 'r> {
    pub(super) text: &'t str,
    pub(super) report: &'w mut Report<'r>,
}

impl<'t> Walk<'_, 't, '_> {
    /// Checks the object at `node`; `None` when there is none.
    pub(super) fn object(&mut self, node: &Node<'t>, shape: &'static Shape) -> Option<Object<'t>> {
        let Some(object) = Object::read(node, self.text) else {
            self.wrong_type(node, "an object", "");
            return None;
        };
        self.repeated(&object);
        for old in shape.old {
            self.old(&object, old);
        }
        let mut renamed = Vec::new();
        for field in shape.fields {
            match object.get(field.name) {
                Some(value) => self.value(&value, field),
                None if field.required => renamed.extend(self.missing(&object, field, shape)),
                None => {}
            }
        }
        if shape.one_of {
            self.exactly_one(&object, shape);
        }
        if self.report.is_thorough() {
            self.unknown(&object, shape, &renamed);
        }
        Some(object)
    }

    fn value(&mut self, node: &Node<'t>, field: &'static Field) {
        match field.kind {
            Kind::Line => self.printable(node, false, field.sample),
            Kind::Prose => self.printable(node, true, field.sample),
            Kind::Text => self.plain::<String>(node, "a string"),
            Kind::Flag => self.plain::<bool>(node, "true or false"),
            Kind::Lines => {
                for item in self.list(node, field, true) {
                    self.printable(&item, false, "");
                }
            }
            Kind::Texts => {
                for item in self.list(node, field, false) {
                    self.plain::<String>(&item, "a string");
                }
            }
            Kind::Object(shape) => {
                self.object(node, shape);
            }
            Kind::Objects(shape) => self.objects(node, field, shape, true),
            Kind::AnyObjects(shape) => self.objects(node, field, shape, false),
            Kind::Map(shape) => {
                for entry in self.entries(node) {
                    self.object(&entry, shape);
                }
            }
            Kind::TextMap => {
                for entry in self.entries(node) {
                    self.plain::<String>(&entry, "a string");
                }
            }
            Kind::Requirements => {
                self.list(node, field, false);
            }
            Kind::Free => {
                self.entries(node);
            }
        }
    }

    fn objects(
        &mut self,
        node: &Node<'t>,
        field: &'static Field,
        shape: &'static Shape,
        at_least_one: bool,
    ) {
        for item in self.list(node, field, at_least_one) {
            self.object(&item, shape);
        }
    }

    fn entries(&mut self, node: &Node<'t>) -> Vec<Node<'t>> {
        let Some(object) = Object::read(node, self.text) else {
            self.wrong_type(node, "an object", "");
            return Vec::new();
        };
        self.repeated(&object);
        object.names().filter_map(|name| object.get(name)).collect()
    }

    fn list(&mut self, node: &Node<'t>, field: &Field, at_least_one: bool) -> Vec<Node<'t>> {
        let Some(items) = items(node) else {
            self.wrong_type(node, "a list", field.sample);
            return Vec::new();
        };
        if items.is_empty() && at_least_one {
            let sample = self.sample(field.sample);
            let span = node.span(self.text);
            let told = self.report.error(
                code::EMPTY,
                span.clone(),
                &node.path,
                "is empty",
                "A2A requires at least one entry",
            );
            if let (Some(span), Some(sample)) = (span, sample) {
                told.replace(span, sample);
            }
        }
        items
    }

    fn plain<T: serde::de::DeserializeOwned>(&mut self, node: &Node<'t>, wanted: &str) {
        if serde_json::from_str::<T>(node.raw.get()).is_err() {
            self.wrong_type(node, wanted, "");
        }
    }

    /// A text people can be shown: not empty, and nothing in it that moves a cursor or turns text
    /// around.
    fn printable(&mut self, node: &Node<'t>, several_lines: bool, sample: &str) {
        let Ok(value) = serde_json::from_str::<String>(node.raw.get()) else {
            self.wrong_type(node, "a string", sample);
            return;
        };
        let bad = |c: &char| {
            let line_break = several_lines && matches!(c, '\n' | '\t');
            let turns = matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
            (c.is_control() && !line_break) || turns
        };
        let (code, reason, fix, instead) = if value.trim().is_empty() {
            let sample = self.sample(sample);
            (
                code::EMPTY,
                "is empty".to_owned(),
                "say something here",
                sample,
            )
        } else if let Some(found) = value.chars().find(bad) {
            let kept = |c| match c {
                '\n' | '\t' => ' ',
                other => other,
            };
            let clean: String = value
                .chars()
                .filter(|c| "\n\t".contains(*c) || !bad(c))
                .collect();
            let clean: String = if several_lines {
                clean
            } else {
                clean.chars().map(kept).collect()
            };
            (
                code::CONTROL_CHARACTER,
                format!("holds the control character U+{:04X}", u32::from(found)),
                "remove it",
                serde_json::to_string(&clean).ok(),
            )
        } else {
            return;
        };
        let span = node.span(self.text);
        let told = self
            .report
            .error(code, span.clone(), &node.path, reason, fix);
        if let (Some(span), Some(instead)) = (span, instead) {
            told.replace(span, instead);
        }
    }

    fn wrong_type(&mut self, node: &Node<'t>, wanted: &str, sample: &str) {
        let raw = node.raw.get();
        let found = match raw.as_bytes().first() {
            Some(b'{') => "an object",
            Some(b'[') => "a list",
            Some(b'"') => "a string",
            Some(b't' | b'f') => "true or false",
            Some(b'n') => "null",
            _ => "a number",
        };
        let instead = match (wanted, found) {
            ("a string", "a number" | "true or false") => Some(format!("\"{raw}\"")),
            ("a list", "a string") => Some(format!("[{raw}]")),
            ("a list", "an object") if sample.starts_with("[\n    {") => Some(format!("[{raw}]")),
            ("true or false", "a string" | "a number") => {
                match raw.trim_matches('"').to_ascii_lowercase().as_str() {
                    "true" | "yes" | "on" | "1" => Some("true".to_owned()),
                    "false" | "no" | "off" | "0" => Some("false".to_owned()),
                    _ => None,
                }
            }
            ("an object", "a list") if raw.trim_matches(['[', ']']).trim().is_empty() => {
                Some("{}".to_owned())
            }
            _ => None,
        };
        let fix = match &instead {
            Some(instead) if instead.len() <= 60 => format!("write {instead}"),
            _ => "see the Agent Card of the A2A 1.0 specification for what belongs here".to_owned(),
        };
        let span = node.span(self.text);
        let told = self.report.error(
            code::WRONG_TYPE,
            span.clone(),
            &node.path,
            format!("must be {wanted}, found {found}"),
            fix,
        );
        if let (Some(span), Some(instead)) = (span, instead) {
            told.replace(span, instead);
        }
    }

    fn repeated(&mut self, object: &Object<'t>) {
        for (name, key, value) in object.repeated() {
            let bytes = crate::json_text::field(self.text, &key, &value);
            self.report
                .error(
                    code::DUPLICATE,
                    Some(key),
                    &object.path_of(name),
                    "is written twice",
                    "remove one of the two",
                )
                .replace(bytes, "");
        }
    }

    /// Reports the field of A2A 0.3, with what to do about it.
    fn old(&mut self, object: &Object<'t>, old: &Old) {
        let Some(value) = object.place(old.name) else {
            return;
        };
        let raw = &self.text[value.clone()];
        let gone = || Some((object.without(old.name)?, String::new()));
        let edit = match old.repair {
            OldRepair::Remove => gone(),
            OldRepair::RemoveIfEmpty => match raw.split_whitespace().collect::<String>().as_str() {
                "false" | "[]" | "null" => gone(),
                _ => None,
            },
            OldRepair::Rename(to) if object.has(to) => gone(),
            OldRepair::Rename(to) => object.key(old.name).map(|key| (key, format!("\"{to}\""))),
            OldRepair::Interface if object.has("supportedInterfaces") => gone(),
            OldRepair::Interface => object.key(old.name).map(|key| {
                let binding = object.string("preferredTransport");
                let binding = binding.unwrap_or_else(|| "JSONRPC".to_owned());
                let interface = format!(
                    "\"supportedInterfaces\": [{{ \"url\": {raw}, \"protocolBinding\": {binding:?}, \"protocolVersion\": \"1.0\" }}]"
                );
                (key.start..value.end, interface)
            }),
        };
        let told = self.report.error(
            code::OLD_A2A,
            Some(value),
            &object.path_of(old.name),
            "this is A2A 0.3; cards here are A2A 1.0",
            old.fix,
        );
        if let Some((bytes, text)) = edit {
            told.replace(bytes, text);
        }
    }

    /// Reports a required field; the name of the one that was meant to be it, if there is one.
    fn missing(&mut self, object: &Object<'t>, field: &Field, shape: &Shape) -> Option<String> {
        // Its old form is told of, with the same way out.
        let old_form = shape.old.iter().any(|old| {
            let stands_for = match old.repair {
                OldRepair::Interface => "supportedInterfaces",
                OldRepair::Rename(to) => to,
                _ => return false,
            };
            stands_for == field.name && object.has(old.name)
        });
        if old_form {
            return None;
        }
        let known = |name: &&str| {
            shape.fields.iter().any(|field| field.name == *name)
                || shape.old.iter().any(|old| old.name == *name)
        };
        let near = nearest(field.name, object.names().filter(|name| !known(name)));
        let near = near.map(str::to_owned);
        let null = object.place(field.name);
        let sample = self.sample(field.sample);
        let (place, fix, edit) = match (&near, sample) {
            (Some(near), _) => {
                let key = object.key(near);
                let edit = key.clone().map(|key| (key, format!("\"{}\"", field.name)));
                (
                    key,
                    format!("is {near:?} meant to be {:?}?", field.name),
                    edit,
                )
            }
            (None, sample) => {
                let edit = sample.and_then(|json| match null.clone() {
                    Some(null) => Some((null, json)),
                    None => object.with(field.name, &json),
                });
                (
                    null.or_else(|| object.span.clone().map(|span| span.start..span.start + 1)),
                    "add it; A2A requires it".to_owned(),
                    edit,
                )
            }
        };
        let told = self.report.error(
            code::MISSING,
            place,
            &object.path_of(field.name),
            "is missing",
            fix,
        );
        if let Some((bytes, text)) = edit {
            told.replace(bytes, text);
        }
        near
    }

    fn exactly_one(&mut self, object: &Object<'t>, shape: &Shape) {
        let found = |field: &&Field| object.get(field.name).is_some();
        if shape.fields.iter().filter(found).count() != 1 {
            let names: Vec<&str> = shape.fields.iter().map(|field| field.name).collect();
            self.report.error(
                code::MISSING,
                object.span.clone(),
                object.path_of("").trim_end_matches('.'),
                format!("must hold exactly one field of a {}", shape.name),
                format!("write one of {}", names.join(", ")),
            );
        }
    }

    /// Warns of fields no reader of A2A 1.0 looks at.
    fn unknown(&mut self, object: &Object<'t>, shape: &Shape, renamed: &[String]) {
        let fields = || shape.fields.iter().map(|field| field.name);
        for name in object.names() {
            let told_already = shape.old.iter().any(|old| old.name == name)
                || renamed.iter().any(|other| other == name);
            if told_already || fields().any(|field| field == name) {
                continue;
            }
            let absent = fields().filter(|field| !object.has(field));
            let near = nearest(name, absent);
            let (reason, fix) = match (name, near) {
                ("$schema", _) => (
                    "is served to every reader of the card and breaks its signature".to_owned(),
                    "remove it; `agents schema card` says how an editor finds the schema"
                        .to_owned(),
                ),
                (_, Some(near)) => (
                    format!(
                        "is not a field of an A2A 1.0 {}; readers ignore it",
                        shape.name
                    ),
                    format!("did you mean {near:?}?"),
                ),
                _ => (
                    format!(
                        "is not a field of an A2A 1.0 {}; readers ignore it",
                        shape.name
                    ),
                    "remove it".to_owned(),
                ),
            };
            let edit: Option<(Range<usize>, String)> = match near {
                Some(near) if name != "$schema" => {
                    object.key(name).map(|key| (key, format!("\"{near}\"")))
                }
                _ => object.without(name).map(|bytes| (bytes, String::new())),
            };
            let key = object.key(name);
            let told =
                self.report
                    .warning(code::UNKNOWN_FIELD, key, &object.path_of(name), reason, fix);
            if let Some((bytes, text)) = edit {
                told.replace(bytes, text);
            }
        }
    }

    /// The sample with this agent's words in it.
    fn sample(&self, sample: &str) -> Option<String> {
        let agent = self.report.agent();
        let name = agent
            .parse()
            .map_or_else(|_| agent.to_owned(), |id| title(&id));
        (!sample.is_empty()).then(|| sample.replace("{id}", agent).replace("{name}", &name))
    }
}
