//! The service parameters of A2A: `A2A-Version` (§3.6) and `A2A-Extensions` (§3.2.6, §4.6), as
//! headers or as query parameters.

use a2a::{SVC_PARAM_EXTENSIONS, SVC_PARAM_VERSION, VERSION};
use axum::http::HeaderMap;
use mesh_agents_core::json::JsonText;
use serde::Deserialize;

use super::error::{Fault, Kind};
use super::request::query::pairs;

/// What an absent version stands for (§3.6.2).
const ABSENT: &str = "0.3";

/// Checks version and extensions; returns the URIs of the extensions both sides know: those the author's `card`
/// declares, and `ours`.
pub(super) fn accepted(
    headers: &HeaderMap,
    query: Option<&str>,
    card: &JsonText,
    ours: &[&str],
) -> Result<Vec<String>, Fault> {
    check_version(parameter(headers, query, SVC_PARAM_VERSION).as_deref())?;
    let offered = parameter(headers, query, SVC_PARAM_EXTENSIONS).unwrap_or_default();
    let offered: Vec<&str> = offered
        .split(',')
        .map(str::trim)
        .filter(|uri| !uri.is_empty())
        .collect();
    let known = ours.iter().filter(|uri| offered.contains(uri));
    let mut active: Vec<String> = known.map(|uri| (*uri).to_owned()).collect();
    for extension in declared(card) {
        if offered.contains(&extension.uri.as_str()) {
            active.push(extension.uri);
        } else if extension.required {
            return Err(Fault::new(
                Kind::ExtensionSupportRequired,
                format!(
                    "this agent requires the extension {}; name it in the {SVC_PARAM_EXTENSIONS} header",
                    extension.uri
                ),
            ));
        }
    }
    Ok(active)
}

/// All values under this name, headers before the query; a comma joins what is given in pieces.
fn parameter(headers: &HeaderMap, query: Option<&str>, name: &str) -> Option<String> {
    let given: Vec<String> = headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
        .collect();
    if !given.is_empty() {
        return Some(given.join(","));
    }
    let asked = pairs(query.unwrap_or_default()).find(|(key, _)| key.eq_ignore_ascii_case(name));
    asked.map(|(_, value)| value)
}

fn check_version(asked: Option<&str>) -> Result<(), Fault> {
    let asked = asked.map(str::trim).filter(|asked| !asked.is_empty());
    let version = asked.unwrap_or(ABSENT);
    // Major.Minor decides; a patch number says nothing (§3.6.1).
    let mut numbers = version.splitn(3, '.');
    let minor = format!(
        "{}.{}",
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default()
    );
    if minor == VERSION {
        return Ok(());
    }
    let version: String = version.chars().take(40).collect();
    let cause = match asked {
        None => {
            format!("the request has no {SVC_PARAM_VERSION} header, which means version {ABSENT}")
        }
        Some(_) => format!("the request is of version \"{version}\""),
    };
    Err(Fault::new(
        Kind::VersionNotSupported,
        format!(
            "{cause}; this agent speaks {VERSION}: send the header \"{SVC_PARAM_VERSION}: {VERSION}\""
        ),
    ))
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Card {
    capabilities: Capabilities,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Capabilities {
    extensions: Vec<Declared>,
}

#[derive(Deserialize)]
struct Declared {
    uri: String,
    #[serde(default)]
    required: bool,
}

/// The extensions an agent's author declares; a card that says it in another way declares none.
fn declared(card: &JsonText) -> Vec<Declared> {
    let card: Card = card.read().unwrap_or_default();
    card.capabilities.extensions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_version_1_0_is_served_whatever_its_patch() {
        for fine in ["1.0", " 1.0 ", "1.0.1", "1.0.99"] {
            assert_eq!(check_version(Some(fine)), Ok(()), "{fine}");
        }
        for (asked, said) in [
            (None, "no A2A-Version header"),
            (Some(""), "no A2A-Version header"),
            (Some("0.3"), "\"0.3\""),
            (Some("1"), "\"1\""),
            (Some("1.1"), "\"1.1\""),
            (Some("10.0"), "\"10.0\""),
            (Some("1.0,99.0"), "\"1.0,99.0\""),
        ] {
            let fault = check_version(asked).unwrap_err();
            assert_eq!(fault.kind, Kind::VersionNotSupported);
            assert!(fault.message.contains(said), "{}", fault.message);
            assert!(fault.message.contains("\"A2A-Version: 1.0\""));
        }
    }

    #[test]
    fn the_query_stands_in_for_a_header_that_is_not_there() {
        let card = JsonText::parse("{}").unwrap();
        let mut headers = HeaderMap::new();
        assert!(accepted(&headers, None, &card, &[]).is_err());
        assert!(accepted(&headers, Some("a=b&a2a-version=1%2E0"), &card, &[]).is_ok());
        headers.insert("A2A-Version", "2.0".parse().unwrap());
        assert!(accepted(&headers, Some("A2A-Version=1.0"), &card, &[]).is_err());
    }

    #[test]
    fn a_required_extension_has_to_be_offered_and_known_ones_are_active() {
        let card = r#"{"capabilities":{"extensions":[{"uri":"urn:a","required":true},{"uri":"urn:b"},{"uri":"urn:c"}]}}"#;
        let card = JsonText::parse(card).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert("A2A-Version", "1.0".parse().unwrap());
        let fault = accepted(&headers, None, &card, &[]).unwrap_err();
        assert_eq!(fault.kind, Kind::ExtensionSupportRequired);
        assert!(fault.message.contains("urn:a"));
        headers.insert("A2A-Extensions", "urn:x, urn:b ,urn:a".parse().unwrap());
        assert_eq!(
            accepted(&headers, None, &card, &[]).unwrap(),
            ["urn:a", "urn:b"]
        );
        let ours = accepted(&headers, None, &card, &["urn:x", "urn:y"]);
        assert_eq!(ours.unwrap(), ["urn:x", "urn:a", "urn:b"]);
    }
}
