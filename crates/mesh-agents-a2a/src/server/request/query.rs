//! A query string as parameters: the same object a JSON body would hold, all values text.

use serde::Serialize;
use serde::ser::{SerializeMap as _, Serializer};

/// The pairs of a query string, decoded. What is not UTF-8 is replaced.
pub(in crate::server) fn pairs(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decoded(key), decoded(value))
        })
}

/// The query string as the text of a JSON object.
pub(in crate::server) fn object(query: &str) -> String {
    struct Pairs<'a>(&'a str);
    impl Serialize for Pairs<'_> {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            let mut map = serializer.serialize_map(None)?;
            for (key, value) in pairs(self.0) {
                map.serialize_entry(&key, &value)?;
            }
            map.end()
        }
    }
    // Text keys and text values always have a JSON form.
    serde_json::to_string(&Pairs(query)).unwrap_or_else(|_never| "{}".to_owned())
}

/// Percent signs and pluses undone; a percent sign that begins nothing stays.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let coded = bytes
            .get(at + 1..at + 3)
            .filter(|_| *byte == b'%')
            .and_then(|hex| std::str::from_utf8(hex).ok())
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (byte, coded) {
            (_, Some(coded)) => {
                out.push(coded);
                at += 3;
                continue;
            }
            (b'+', None) => out.push(b' '),
            (other, None) => out.push(*other),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_becomes_the_object_a_body_would_hold() {
        let query = "a=1&b=x%20y+z&%63=%C3%A4&d&e=%zz%2&&f=a=b&a=2";
        assert_eq!(
            object(query),
            r#"{"a":"1","b":"x y z","c":"ä","d":"","e":"%zz%2","f":"a=b","a":"2"}"#
        );
    }
}
