//! Mesh cards: made, signed, checked.

use mesh_agents_core::json::JsonText;
use mesh_agents_core::limits::CARD_BYTES;
use mesh_agents_mesh::{
    CardError, CardRefused, Digest, ExpectCard, MeshCard, mesh_url, read_mesh_url,
};
use proptest::prelude::*;

use super::support::*;

fn card(id: &str, n: u8) -> MeshCard {
    MeshCard::sign(&advertised(id), &secret(n)).unwrap()
}

/// Reads bytes as the card of agent `a` of node 1, whatever digest was advertised.
fn open(bytes: &[u8]) -> Result<MeshCard, CardRefused> {
    let expect = ExpectCard {
        key: &key(1),
        agent: &"a".parse().unwrap(),
        digest: Digest::of(bytes),
    };
    MeshCard::open(bytes, expect)
}

#[test]
fn the_wire_form() {
    let card = card("pr-review", 0);
    insta::assert_snapshot!(card.json().as_str());
    // Foreign verifiers check these very bytes: scripts/test-card-signature.sh.
    insta::assert_snapshot!(card.digest());
}

#[test]
fn a_card_is_the_same_bytes_however_often_it_is_made_and_wherever_it_is_read() {
    let made = card("a", 1);
    assert_eq!(made, card("a", 1));
    assert_eq!(open(made.json().as_str().as_bytes()).unwrap(), made);
}

#[test]
fn an_address_reads_back_and_nothing_else_is_one() {
    let agent = "pr-review".parse().unwrap();
    let url = mesh_url(&key(1), &agent);
    assert_eq!(read_mesh_url(&url), Some((key(1), agent)));
    for wrong in [
        url.replace("mesh:", "http:"),
        url.replace("/a2a/", "/"),
        format!("{url}/x"),
        format!("{url}?x"),
        format!("x{url}"),
    ] {
        assert_eq!(read_mesh_url(&wrong), None, "{wrong}");
    }
}

#[test]
fn nothing_empty_leaves_and_texts_are_clean() {
    let mut agent = advertised("a");
    agent.card.json = JsonText::parse(
        r#"{"provider": {"url": "", "organization": "Somebody"}, "capabilities": {"extensions": [{"uri": ""}]},
            "iconUrl": "http://example.invalid/\u001b[2Ji", "skills": [{"id": "s", "name": "S",
            "description": "\u202Eevil", "tags": ["", "t"], "examples": [""]}]}"#,
    )
    .unwrap();
    let card = MeshCard::sign(&agent, &secret(1)).unwrap();
    let text = card.json().as_str();
    for empty in [r#""""#, "[]", "{}", "null", "Somebody"] {
        assert!(!text.contains(empty), "{empty} in {text}");
    }
    assert!(
        text.contains(r#""iconUrl":"http://example.invalid/[2Ji""#),
        "{text}"
    );
    assert!(text.contains(r#""description":"evil""#), "{text}");
    assert!(open(text.as_bytes()).is_ok());
}

#[test]
fn what_cannot_travel_unchanged_is_refused_by_the_agent_s_name() {
    let mut agent = advertised("a");
    let params = |number: &str| {
        let text = format!(
            r#"{{"capabilities": {{"extensions": [{{"uri": "urn:x", "params": {{"n": {number}}}}}]}}}}"#
        );
        JsonText::parse(&text).unwrap()
    };
    for (number, travels) in [
        ("9007199254740991", true),
        ("-9007199254740991", true),
        ("0.1", true),
        ("1e300", true),
        ("9007199254740992", false),
        ("18446744073709551615", false),
    ] {
        agent.card.json = params(number);
        match MeshCard::sign(&agent, &secret(1)) {
            Ok(card) => {
                assert!(travels, "{number}");
                assert!(open(card.json().as_str().as_bytes()).is_ok());
            }
            Err(error) => {
                assert!(
                    !travels && matches!(error, CardError::Number { .. }),
                    "{number}"
                );
                assert!(error.to_string().contains("agent a:"), "{error}");
            }
        }
    }
    agent.card.json = JsonText::parse("{}").unwrap();
    agent.card.description = "x".repeat(CARD_BYTES);
    let error = MeshCard::sign(&agent, &secret(1)).unwrap_err();
    assert!(matches!(error, CardError::Size { .. }), "{error}");
}

#[test]
fn a_card_of_somebody_else_is_refused() {
    // Signed by a node for itself, and by a node in another's name.
    let theirs = card("a", 2);
    let error = open(theirs.json().as_str().as_bytes()).unwrap_err();
    assert!(matches!(error, CardRefused::Address { .. }), "{error}");
    let renamed = theirs
        .json()
        .as_str()
        .replace(&format!("mesh://{}", key(2)), &format!("mesh://{}", key(1)));
    let error = open(renamed.as_bytes()).unwrap_err();
    assert!(matches!(error, CardRefused::Signature { .. }), "{error}");
    // The same node's card of another agent.
    let error = open(card("b", 1).json().as_str().as_bytes()).unwrap_err();
    assert!(matches!(error, CardRefused::Address { .. }), "{error}");
}

#[test]
fn a_card_without_its_signature_or_under_another_digest_is_refused() {
    let made = card("a", 1);
    let text = made.json().as_str();
    let mut members: serde_json::Map<_, _> = serde_json::from_str(text).unwrap();
    members.remove("signatures");
    let bare = serde_json_canonicalizer::to_vec(&members).unwrap();
    assert!(matches!(open(&bare), Err(CardRefused::Signature { .. })));

    let expect = ExpectCard {
        key: &key(1),
        agent: &"a".parse().unwrap(),
        digest: Digest::of(b"another"),
    };
    let error = MeshCard::open(text.as_bytes(), expect).unwrap_err();
    assert!(matches!(error, CardRefused::Digest { .. }), "{error}");

    let large = vec![b' '; CARD_BYTES + 1];
    assert!(matches!(open(&large), Err(CardRefused::Size { .. })));
}

#[test]
fn only_the_one_form_of_a_card_is_read() {
    let made = card("a", 1);
    let text = made.json().as_str();
    let name = r#""name":"PR Review""#;
    assert!(text.contains(name));
    for (what, other) in [
        ("white space", text.replacen(':', ": ", 1)),
        (
            "an escape",
            text.replacen("PR Review", "PR R\\u0065view", 1),
        ),
        (
            "a member twice",
            text.replacen(name, &format!(r#""name":"Trusted",{name}"#), 1),
        ),
        ("something behind it", format!("{text} ")),
    ] {
        assert_ne!(other, text);
        let error = open(other.as_bytes()).unwrap_err();
        assert!(matches!(error, CardRefused::Form(_)), "{what}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever is changed, it is not that node's card; the digest is even granted.
    #[test]
    fn a_tampered_card_is_never_believed(at in 0_usize..10_000, byte in any::<u8>(), how in 0..3) {
        let made = card("a", 1);
        let good = made.json().as_str().as_bytes();
        let mut bad = good.to_vec();
        let at = at % good.len();
        match how {
            0 => bad[at] = byte,
            1 => { bad.remove(at); }
            _ => bad.insert(at, byte),
        }
        prop_assert!(bad == good || open(&bad).is_err());
    }
}
