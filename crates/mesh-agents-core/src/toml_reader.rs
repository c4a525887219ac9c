//! Reads a TOML table key by key, remembering where each value stands and never stopping at the
//! first mistake: a derived deserializer would, and a person would fix one error a round.

mod meant;
mod mistake;

use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use self::meant::{SECONDS, meant_bool, meant_number, quoted, replace, what_was_meant};
pub use self::mistake::{Mistake, Mistakes, Repair, code};
use crate::near::nearest;

/// A value with the bytes of the file it was written in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub span: Range<usize>,
}

/// One choice a key offers.
#[derive(Debug, Clone, Copy)]
pub enum Choice<T> {
    /// It works.
    Built(T),
    /// It is part of the language, its mechanism is not there yet.
    NotYet(T),
}

/// One table of the file. Absent tables read as empty ones.
#[derive(Debug, Clone, Copy)]
pub struct Section<'d> {
    path: &'d str,
    table: Option<&'d DeTable<'d>>,
    /// Something else stands where the table should, and was reported.
    misread: bool,
}

impl<'d> Section<'d> {
    /// The whole file.
    pub fn root(table: &'d DeTable<'d>) -> Self {
        Self {
            path: "",
            table: Some(table),
            misread: false,
        }
    }

    /// Where this table is in the file: `runtime.queue`, empty for the file itself.
    pub fn path(self) -> &'d str {
        self.path
    }

    /// The table `name` in this one, whose own path is `path`.
    pub fn section(self, name: &str, path: &'d str, report: &mut impl Mistakes) -> Section<'d> {
        let written = self.get(name).map(|(_, value)| value);
        let table = written.and_then(|value| value.get_ref().as_table());
        let wrong = written.filter(|_| table.is_none());
        if let Some(value) = wrong {
            let fix = format!("write it as [{path}] with its keys below");
            self.wrong_type(report, name, value, "a table", &fix, None);
        }
        Section {
            path,
            table,
            misread: wrong.is_some() || self.misread,
        }
    }

    /// Reports every key that is not in `keys`. `elsewhere` tells which table a key belongs to.
    pub fn only(
        self,
        keys: &[&str],
        elsewhere: impl Fn(&str) -> Option<&'static str>,
        report: &mut impl Mistakes,
    ) {
        for (key, span) in self.keys() {
            if keys.contains(&key) {
                continue;
            }
            let Some((_, value)) = self.get(key) else {
                continue;
            };
            let (fix, repair) = what_was_meant(key, &span, value, keys, &elsewhere);
            report.mistake(Mistake {
                code: code::UNKNOWN_KEY,
                span,
                key: self.key(key),
                reason: "unknown key".to_owned(),
                fix,
                repair,
            });
        }
    }

    /// All keys with where they stand, in the order written.
    pub fn keys(self) -> Vec<(&'d str, Range<usize>)> {
        let mut keys: Vec<_> = self
            .table
            .into_iter()
            .flat_map(DeTable::iter)
            .map(|(key, _)| (key.get_ref().as_ref(), key.span()))
            .collect();
        keys.sort_by_key(|(_, span)| span.start);
        keys
    }

    /// Whether the key is written, rightly or not.
    pub fn has(self, key: &str) -> bool {
        self.get(key).is_some()
    }

    /// Whether the key is not written, as far as that can be told.
    pub fn lacks(self, key: &str) -> bool {
        !self.misread && !self.has(key)
    }

    /// Where the key is written.
    pub fn place(self, key: &str) -> Option<Range<usize>> {
        self.get(key).map(|(span, _)| span)
    }

    /// Where the key is written, and where its value.
    pub fn entry(self, key: &str) -> Option<(Range<usize>, Range<usize>)> {
        self.get(key).map(|(span, value)| (span, value.span()))
    }

    /// The full name of a key of this table.
    pub fn key(self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// A text.
    pub fn string(self, key: &str, report: &mut impl Mistakes) -> Option<At<String>> {
        let (_, value) = self.get(key)?;
        let text = value.get_ref().as_str();
        if text.is_none() {
            let fix = "put it in double quotes";
            self.wrong_type(report, key, value, "a string", fix, quoted(value));
        }
        Some(At {
            value: text?.to_owned(),
            span: value.span(),
        })
    }

    /// A text that says something.
    pub fn filled(self, key: &str, report: &mut impl Mistakes) -> Option<At<String>> {
        let text = self.string(key, report)?;
        if text.value.trim().is_empty() {
            let name = self.place(key).unwrap_or(text.span.clone());
            report.mistake(Mistake {
                code: code::EMPTY,
                span: text.span.clone(),
                key: self.key(key),
                reason: "is empty".to_owned(),
                fix: "give it a value, or remove the key".to_owned(),
                repair: Some(Repair::Remove(name, text.span)),
            });
            return None;
        }
        Some(text)
    }

    /// A list of texts.
    pub fn strings(self, key: &str, report: &mut impl Mistakes) -> Option<Vec<At<String>>> {
        let (_, value) = self.get(key)?;
        let Some(items) = value.get_ref().as_array() else {
            self.wrong_type(
                report,
                key,
                value,
                "a list of strings",
                &format!("write it as {key} = [\"…\"]"),
                value
                    .get_ref()
                    .is_str()
                    .then(|| Repair::Wrap(value.span(), "[", "]")),
            );
            return None;
        };
        let mut texts = Vec::new();
        for (index, item) in items.iter().enumerate() {
            match item.get_ref().as_str() {
                Some(text) => texts.push(At {
                    value: text.to_owned(),
                    span: item.span(),
                }),
                None => self.wrong_type(
                    report,
                    &format!("{key}[{index}]"),
                    item,
                    "a string",
                    "put it in double quotes",
                    quoted(item),
                ),
            }
        }
        Some(texts)
    }

    /// `true` or `false`.
    pub fn boolean(self, key: &str, report: &mut impl Mistakes) -> Option<bool> {
        let (_, value) = self.get(key)?;
        let found = value.get_ref().as_bool();
        if found.is_none() {
            self.wrong_type(
                report,
                key,
                value,
                "true or false",
                "write true or false without quotes",
                meant_bool(value.get_ref()).map(|word| replace(value, word)),
            );
        }
        found
    }

    /// A whole number within `range`.
    pub fn number(
        self,
        key: &str,
        range: std::ops::RangeInclusive<u32>,
        report: &mut impl Mistakes,
    ) -> Option<u32> {
        let (_, value) = self.get(key)?;
        let Some(integer) = value.get_ref().as_integer() else {
            self.wrong_type(
                report,
                key,
                value,
                "a whole number",
                if key.ends_with(SECONDS) {
                    "write the number of seconds, without quotes, unit and fraction"
                } else {
                    "write it without quotes and without a fraction"
                },
                meant_number(value.get_ref(), key)
                    .filter(|number| range.contains(number))
                    .map(|number| replace(value, &number.to_string())),
            );
            return None;
        };
        let number = u32::from_str_radix(integer.as_str(), integer.radix())
            .ok()
            .filter(|number| range.contains(number));
        if number.is_none() {
            let bound = if integer.as_str().starts_with('-') || integer.as_str() == "0" {
                range.start()
            } else {
                range.end()
            };
            report.mistake(Mistake {
                code: code::OUT_OF_RANGE,
                span: value.span(),
                key: self.key(key),
                reason: format!("{integer} is out of range"),
                fix: format!("give a number from {} to {}", range.start(), range.end()),
                repair: Some(replace(value, &bound.to_string())),
            });
        }
        number
    }

    /// One of the named `choices`.
    pub fn choice<T: Copy>(
        self,
        key: &str,
        choices: &[(&'static str, Choice<T>)],
        report: &mut impl Mistakes,
    ) -> Option<T> {
        let text = self.string(key, report)?;
        let built = || {
            choices
                .iter()
                .filter(|(_, choice)| matches!(choice, Choice::Built(_)))
                .map(|(name, _)| *name)
        };
        let list = built()
            .map(|name| format!("{name:?}"))
            .collect::<Vec<_>>()
            .join(", ");
        match choices.iter().find(|(name, _)| *name == text.value) {
            Some((_, Choice::Built(value))) => Some(*value),
            Some((name, Choice::NotYet(value))) => {
                report.mistake(Mistake {
                    code: code::NOT_BUILT,
                    span: text.span,
                    key: self.key(key),
                    reason: format!("{key} = {name:?} is not built yet"),
                    fix: format!("what works now: {list}"),
                    repair: None,
                });
                Some(*value)
            }
            None => {
                let near = nearest(&text.value, built());
                let fix = match near {
                    Some(near) => format!("did you mean {near:?}? What works now: {list}"),
                    None => format!("what works now: {list}"),
                };
                report.mistake(Mistake {
                    code: code::UNKNOWN_VALUE,
                    span: text.span.clone(),
                    key: self.key(key),
                    reason: format!("{:?} is not a known {key}", text.value),
                    fix,
                    repair: near.map(|near| Repair::Replace(text.span, format!("{near:?}"))),
                });
                None
            }
        }
    }

    fn get(self, key: &str) -> Option<(Range<usize>, &'d Spanned<DeValue<'d>>)> {
        self.table?
            .iter()
            .find(|(name, _)| name.get_ref() == key)
            .map(|(name, value)| (name.span(), value))
    }

    fn wrong_type(
        self,
        report: &mut impl Mistakes,
        key: &str,
        value: &Spanned<DeValue<'_>>,
        wanted: &str,
        fix: &str,
        repair: Option<Repair>,
    ) {
        let found = match value.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "a whole number",
            DeValue::Float(_) => "a number with a fraction",
            DeValue::Boolean(_) => "true or false",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        report.mistake(Mistake {
            code: code::WRONG_TYPE,
            span: value.span(),
            key: self.key(key),
            reason: format!("must be {wanted}, found {found}"),
            fix: fix.to_owned(),
            repair,
        });
    }
}
