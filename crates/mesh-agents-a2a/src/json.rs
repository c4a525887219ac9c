//! Reading one level of a JSON text without touching what lies below it.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object, in the order written, their values unread.
#[derive(Debug, Default)]
pub struct Entries<'a>(pub Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Entries<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Entries<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Entries<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry::<String, &'de RawValue>()? {
                    members.push(member);
                }
                Ok(Entries(members))
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// The same JSON without the white space between its tokens. `text` must be valid JSON.
#[must_use]
pub fn compact(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut in_string = false;
    let mut escaped = false;
    for c in text.chars() {
        if in_string {
            out.push(c);
            match c {
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                '"' => in_string = false,
                _ => {}
            }
        } else if !matches!(c, ' ' | '\t' | '\n' | '\r') {
            in_string = c == '"';
            out.push(c);
        }
    }
    out
}

/// How deep arrays and objects of a JSON text are nested; 0 for a text without any. `text` must be
/// valid JSON.
#[must_use]
pub fn depth(text: &str) -> usize {
    let (mut deep, mut deepest) = (0_usize, 0);
    let (mut in_string, mut escaped) = (false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'[' | b'{' if !in_string => {
                deep += 1;
                deepest = deepest.max(deep);
            }
            b']' | b'}' if !in_string => deep = deep.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compacting_touches_nothing_inside_strings_or_numbers() {
        let text = "{ \"a b\" : [ 1.10 ,\n\t-2E+3 ] , \"q\\\" : \" : \"\\\\\" , \"n\": null }";
        assert_eq!(
            compact(text),
            "{\"a b\":[1.10,-2E+3],\"q\\\" : \":\"\\\\\",\"n\":null}"
        );
    }

    #[test]
    fn depth_counts_brackets_outside_strings() {
        for (text, expected) in [
            ("1", 0),
            ("[]", 1),
            (r#"{"a":[{"b":1}],"c":[]}"#, 3),
            (r#"["[[[\"[[","\\",[1]]"#, 2),
        ] {
            assert_eq!(depth(text), expected, "{text}");
        }
    }

    #[test]
    fn members_keep_their_order_and_every_digit() {
        let entries: Entries<'_> =
            serde_json::from_str(r#"{"z":18446744073709551617,"a":{"x":1.0}}"#).unwrap();
        let members: Vec<_> = entries
            .0
            .iter()
            .map(|(k, v)| (k.as_str(), v.get()))
            .collect();
        assert_eq!(
            members,
            [("z", "18446744073709551617"), ("a", r#"{"x":1.0}"#)]
        );
        assert!(serde_json::from_str::<Entries<'_>>("[1]").is_err());
    }
}
