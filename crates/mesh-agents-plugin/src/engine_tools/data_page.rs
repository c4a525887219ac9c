//! A part of a JSON text: what a pointer points at, arrays in pages, stand-ins for what is too large.
//!
//! Nothing is read into a value tree: texts are taken apart one level at a time, so numbers keep
//! every digit and a large array costs no more memory than its text.

use mesh_agents_a2a::json::{Entries, compact};
use mesh_agents_core::json::JsonText;
use serde::Serialize;
use serde_json::value::RawValue;

use mesh_agents_core::near::nearest;

/// Bytes of keys named in a stand-in; more are counted only.
const KEYS_BYTES: usize = 8 * 1024;

/// What is shown.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct DataPage {
    /// JSON, compact.
    pub(super) data: JsonText,
    /// Elements of the array at the pointer.
    pub(super) total: Option<u64>,
    /// The element the next page starts with.
    pub(super) next: Option<u64>,
    /// Whether a stand-in is shown for something too large.
    pub(super) truncated: bool,
}

/// Why nothing is shown.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NoData {
    /// The text is no JSON, or deeper than anybody reads.
    #[error("it is not JSON that can be read: {0}")]
    NotJson(String),
    /// The pointer leads nowhere.
    #[error("pointer {pointer:?} leads nowhere: {why}")]
    Nowhere {
        /// The pointer up to where it fails.
        pointer: String,
        /// What is there instead.
        why: String,
    },
    /// Only arrays have pages.
    #[error("offset and limit are for arrays, and there is {0} at this pointer")]
    NoArray(&'static str),
    /// The offset is past the end.
    #[error("offset {offset} is past the end: the array has {total} elements")]
    PastEnd {
        /// What was asked.
        offset: u64,
        /// What there is.
        total: u64,
    },
}

/// Shows what is at `pointer` of the JSON in `text`, in at most `bytes` bytes.
pub(super) fn page(
    text: &str,
    pointer: &str,
    offset: Option<u64>,
    limit: Option<u64>,
    bytes: usize,
) -> Result<DataPage, NoData> {
    let root: &RawValue = serde_json::from_str(text).map_err(|error| not_json(&error))?;
    let value = resolve(root.get(), pointer)?;
    if value.starts_with('[') {
        return array_page(value, offset, limit, bytes);
    }
    if offset.is_some() || limit.is_some() {
        return Err(NoData::NoArray(kind(value)));
    }
    let (data, truncated) = whole_or_stand_in(value, bytes)?;
    Ok(DataPage {
        data,
        total: None,
        next: None,
        truncated,
    })
}

fn array_page(
    value: &str,
    offset: Option<u64>,
    limit: Option<u64>,
    bytes: usize,
) -> Result<DataPage, NoData> {
    let elements: Vec<&RawValue> = read(value)?;
    let total = elements.len() as u64;
    let first = offset.unwrap_or(0);
    if first > total {
        return Err(NoData::PastEnd {
            offset: first,
            total,
        });
    }
    let wanted = limit.unwrap_or(total);
    let mut data = String::from("[");
    let mut truncated = false;
    let mut next = None;
    let skip = usize::try_from(first).unwrap_or(usize::MAX);
    for (index, element) in (first..).zip(elements.iter().skip(skip)) {
        let comma = usize::from(data.len() > 1);
        let room = bytes.saturating_sub(data.len() + comma + 1);
        if index - first >= wanted {
            next = Some(index);
            break;
        }
        let whole = compact(element.get());
        let shown = if whole.len() <= room {
            whole
        } else if comma == 0 {
            // An element too large for a page of its own must not stop a reader for good.
            truncated = true;
            stand_in(element.get(), room)?.as_str().to_owned()
        } else {
            next = Some(index);
            break;
        };
        data.push_str(if comma == 1 { "," } else { "" });
        data.push_str(&shown);
    }
    data.push(']');
    Ok(DataPage {
        data: json(&data)?,
        total: Some(total),
        next,
        truncated,
    })
}

fn whole_or_stand_in(value: &str, bytes: usize) -> Result<(JsonText, bool), NoData> {
    let whole = compact(value);
    if whole.len() <= bytes {
        return Ok((json(&whole)?, false));
    }
    Ok((stand_in(value, bytes)?, true))
}

/// What is said of a value that does not fit.
#[derive(Serialize)]
struct StandIn<'a> {
    truncated: bool,
    r#type: &'static str,
    length: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    keys: Option<Vec<&'a str>>,
}

fn stand_in(value: &str, bytes: usize) -> Result<JsonText, NoData> {
    let r#type = kind(value);
    let Entries(members) = match r#type {
        "an object" => read(value)?,
        _ => Entries::default(),
    };
    let length = match r#type {
        "an object" => members.len(),
        "an array" => read::<Vec<&RawValue>>(value)?.len(),
        "a string" => read::<String>(value)?.chars().count(),
        _ => value.len(),
    };
    // Room for the other fields is kept aside; a key costs at most six times its bytes and quotes.
    let mut room = bytes.saturating_sub(96).min(KEYS_BYTES);
    let named = members
        .iter()
        .map(|(key, _)| key.as_str())
        .take_while(|key| {
            let cost = serde_json::to_string(key).map_or(usize::MAX, |text| text.len() + 1);
            let fits = cost <= room;
            room = room.saturating_sub(cost);
            fits
        });
    let keys = (r#type == "an object").then(|| named.collect());
    let stand_in = StandIn {
        truncated: true,
        r#type: r#type.split(' ').next_back().unwrap_or(r#type),
        length,
        keys,
    };
    JsonText::of(&stand_in).map_err(|error| not_json(&error))
}

fn resolve<'a>(mut value: &'a str, pointer: &str) -> Result<&'a str, NoData> {
    let mut walked = String::new();
    for token in pointer.split('/').skip(1) {
        let nowhere = |why: String| NoData::Nowhere {
            pointer: format!("{walked}/{token}").chars().take(200).collect(),
            why,
        };
        let key = token.replace("~1", "/").replace("~0", "~");
        value = match kind(value) {
            "an object" => {
                let Entries(members) = read(value)?;
                let found = members.iter().find(|(name, _)| *name == key);
                match found {
                    Some((_, member)) => member.get(),
                    None => return Err(nowhere(no_member(&key, &members))),
                }
            }
            "an array" => {
                let elements: Vec<&RawValue> = read(value)?;
                let index = index(&key);
                match index.and_then(|index| elements.get(index)) {
                    Some(element) => element.get(),
                    None => {
                        return Err(nowhere(format!(
                            "there is an array of {} elements, counted from 0",
                            elements.len()
                        )));
                    }
                }
            }
            other => return Err(nowhere(format!("there is {other}"))),
        };
        walked.push('/');
        walked.push_str(token);
    }
    Ok(value)
}

fn no_member(key: &str, members: &[(String, &RawValue)]) -> String {
    let keys = members.iter().map(|(name, _)| name.as_str());
    match nearest(key, keys) {
        Some(near) => format!(
            "the object has no such key; did you mean {:?}?",
            near.chars().take(80).collect::<String>()
        ),
        None => format!("the object has no such key (keys: {})", members.len()),
    }
}

/// RFC 6901: digits without a leading zero.
fn index(token: &str) -> Option<usize> {
    let plain = token == "0" || (!token.starts_with('0') && !token.is_empty());
    let digits = token.bytes().all(|byte| byte.is_ascii_digit());
    (plain && digits).then(|| token.parse().ok()).flatten()
}

fn kind(value: &str) -> &'static str {
    match value.as_bytes().first() {
        Some(b'{') => "an object",
        Some(b'[') => "an array",
        Some(b'"') => "a string",
        Some(b't' | b'f') => "a boolean",
        Some(b'n') => "a null",
        _ => "a number",
    }
}

fn read<'a, T: serde::Deserialize<'a>>(text: &'a str) -> Result<T, NoData> {
    serde_json::from_str(text).map_err(|error| not_json(&error))
}

fn json(text: &str) -> Result<JsonText, NoData> {
    JsonText::parse(text).map_err(|error| not_json(&error))
}

fn not_json(error: &serde_json::Error) -> NoData {
    NoData::NotJson(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str =
        r#"{ "findings": [ {"n": 9007199254740993}, {"n": 1.10}, 3 ], "a/b": {"~": "x"}, "": 7 }"#;

    fn at(pointer: &str) -> Result<String, NoData> {
        page(TEXT, pointer, None, None, 1000).map(|page| page.data.as_str().to_owned())
    }

    #[test]
    fn pointers_lead_to_exact_values_or_say_where_they_stop() {
        assert_eq!(at("/findings/0/n").unwrap(), "9007199254740993");
        assert_eq!(at("/findings/1").unwrap(), r#"{"n":1.10}"#);
        assert_eq!(at("/a~1b/~0").unwrap(), r#""x""#);
        assert_eq!(at("/").unwrap(), "7");
        assert_eq!(at("").unwrap(), compact(TEXT));
        let said = [
            "/finding",
            "/findings/3",
            "/findings/01",
            "/findings/0/n/x",
            "/zzz",
        ]
        .map(|pointer| at(pointer).unwrap_err().to_string());
        insta::assert_snapshot!(said.join("\n"), @r#"
        pointer "/finding" leads nowhere: the object has no such key; did you mean "findings"?
        pointer "/findings/3" leads nowhere: there is an array of 3 elements, counted from 0
        pointer "/findings/01" leads nowhere: there is an array of 3 elements, counted from 0
        pointer "/findings/0/n/x" leads nowhere: there is a number
        pointer "/zzz" leads nowhere: the object has no such key (keys: 3)
        "#);
    }

    #[test]
    fn what_is_too_large_is_described_and_its_parts_can_be_reached() {
        let text = format!(r#"{{"big":"{}","small":1}}"#, "ä".repeat(300));
        let shown = page(&text, "", None, None, 200).unwrap();
        assert!(shown.truncated);
        assert_eq!(
            shown.data.as_str(),
            r#"{"truncated":true,"type":"object","length":2,"keys":["big","small"]}"#
        );
        let shown = page(&text, "/big", None, None, 200).unwrap();
        assert_eq!(
            shown.data.as_str(),
            r#"{"truncated":true,"type":"string","length":300}"#
        );
        assert_eq!(
            page(&text, "/small", None, None, 200)
                .unwrap()
                .data
                .as_str(),
            "1"
        );
    }

    #[test]
    fn only_arrays_have_pages() {
        assert_eq!(
            page(TEXT, "", Some(1), None, 1000),
            Err(NoData::NoArray("an object"))
        );
        assert_eq!(
            page(TEXT, "/findings", Some(4), None, 1000),
            Err(NoData::PastEnd {
                offset: 4,
                total: 3
            })
        );
        let end = page(TEXT, "/findings", Some(3), Some(1), 1000).unwrap();
        assert_eq!((end.data.as_str(), end.next), ("[]", None));
        assert!(matches!(
            page("{", "", None, None, 10),
            Err(NoData::NotJson(_))
        ));
    }

    proptest! {
        #[test]
        fn the_pages_of_an_array_are_its_elements_and_each_fits(
            lengths in proptest::collection::vec(0_usize..300, 0..40), bytes in 160_usize..400, limit in 1_u64..10
        ) {
            let text = serde_json::to_string(&lengths.iter().map(|n| "x".repeat(*n)).collect::<Vec<_>>()).unwrap();
            let mut seen = 0;
            let mut at = Some(0);
            while let Some(offset) = at {
                let page = page(&text, "", Some(offset), Some(limit), bytes).unwrap();
                prop_assert!(page.data.as_str().len() <= bytes);
                let shown: Vec<serde_json::Value> = page.data.read().unwrap();
                prop_assert!(shown.len() as u64 <= limit);
                for one in &shown {
                    let whole = one.as_str().map(str::len) == Some(lengths[seen]);
                    prop_assert!(whole || one["length"] == lengths[seen]);
                    seen += 1;
                }
                prop_assert_eq!(page.total, Some(lengths.len() as u64));
                at = page.next;
            }
            prop_assert_eq!(seen, lengths.len());
        }
    }
}
