//! The signature of a node on the cards it serves over HTTP (A2A §8.4): JWS over JCS with a detached payload.
//!
//! What a verifier signs over differs: libraries read the card as A2A 1.0 knows it and drop what is empty
//! before they make it canonical; a plain reading of the specification takes the card as it stands. So a card
//! in which the two differ carries a signature for each. The key is this node's, named by its `kid`, a
//! `did:key` that holds it, and listed where the `jku` points, [`KEYS_PATH`] below the node's address.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use a2a::AgentCard;
use mesh_agents_core::json::JsonText;
use serde::Serialize;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Where a node lists the key it signs its cards with, as a JSON Web Key Set.
pub const KEYS_PATH: &str = "/.well-known/jwks.json";

/// Signed cards that are kept: more agents than a node is likely to have. All are made anew when there are more.
const KEPT: usize = 1024;

/// Where the keys of the node at `base` are listed.
#[must_use]
pub fn keys_url(base: &str) -> String {
    format!("{base}{KEYS_PATH}")
}

/// A signature as cards hold it (`AgentCardSignature`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CardSignature {
    /// The protected header, in base64url.
    pub protected: String,
    /// The signature, in base64url.
    pub signature: String,
}

/// Whoever has the node's key.
pub trait SignCard: Send + Sync {
    /// Signs the canonical form of a card; the protected header names the key, and `keys_url` as the place
    /// where it is listed. `None` when the key is gone with its node.
    fn sign(&self, payload: &[u8], keys_url: &str) -> Option<CardSignature>;

    /// The key as a JSON Web Key Set.
    fn keys(&self) -> String;
}

/// Signs cards, each once. Cheap to clone; clones share what was signed.
#[derive(Clone)]
pub struct Seal {
    signer: Arc<dyn SignCard>,
    /// By the SHA-256 of the unsigned card, which holds its addresses too.
    made: Arc<Mutex<HashMap<[u8; 32], JsonText>>>,
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seal").finish_non_exhaustive()
    }
}

impl Seal {
    /// Signs with `signer`.
    #[must_use]
    pub fn new(signer: Arc<dyn SignCard>) -> Self {
        Self {
            signer,
            made: Arc::default(),
        }
    }

    /// The key as a JSON Web Key Set.
    #[must_use]
    pub fn keys(&self) -> String {
        self.signer.keys()
    }

    /// The card of the node at `base` with its signatures behind the members it has; as it is, when it has no
    /// canonical form.
    pub(super) fn signed(&self, card: JsonText, base: &str) -> JsonText {
        let digest: [u8; 32] = Sha256::digest(card.as_str().as_bytes()).into();
        let lock = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = lock().get(&digest) {
            return made.clone();
        }
        let made = self.sign(&card, &keys_url(base)).unwrap_or(card);
        let mut kept = lock();
        if kept.len() >= KEPT {
            kept.clear();
        }
        kept.insert(digest, made.clone());
        made
    }

    fn sign(&self, card: &JsonText, keys_url: &str) -> Option<JsonText> {
        let mut payloads = vec![as_known(card)?];
        let plain: Value = card.read().ok()?;
        let plain = serde_json_canonicalizer::to_vec(&plain).ok()?;
        if !payloads.contains(&plain) {
            payloads.push(plain);
        }
        let sign = |payload: &Vec<u8>| self.signer.sign(payload, keys_url);
        let signatures: Vec<_> = payloads.iter().map(sign).collect::<Option<_>>()?;
        let signatures = serde_json::to_string(&signatures).ok()?;
        let members = card.as_str().trim_end().strip_suffix('}')?;
        JsonText::parse(&format!("{members},\"signatures\":{signatures}}}")).ok()
    }
}

/// The canonical form of a card as A2A's libraries see it: what A2A 1.0 knows of it, and nothing empty.
fn as_known(card: &JsonText) -> Option<Vec<u8>> {
    let card: AgentCard = card.read().ok()?;
    let known = a2a_pb::protojson_conv::to_value(&card).ok()?;
    serde_json_canonicalizer::to_vec(&filled(known)?).ok()
}

/// A value without what is empty in it; `None` when nothing is left.
fn filled(value: Value) -> Option<Value> {
    match value {
        Value::Null => None,
        Value::String(text) => (!text.is_empty()).then_some(Value::String(text)),
        Value::Array(items) => {
            let items: Vec<_> = items.into_iter().filter_map(filled).collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        Value::Object(members) => {
            let members = members
                .into_iter()
                .filter_map(|(key, value)| Some((key, filled(value)?)));
            let members: serde_json::Map<_, _> = members.collect();
            (!members.is_empty()).then_some(Value::Object(members))
        }
        value @ (Value::Bool(_) | Value::Number(_)) => Some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Shows what it was given.
    struct Plain;

    impl SignCard for Plain {
        fn sign(&self, payload: &[u8], keys_url: &str) -> Option<CardSignature> {
            Some(CardSignature {
                protected: keys_url.to_owned(),
                signature: String::from_utf8(payload.to_vec()).unwrap(),
            })
        }

        fn keys(&self) -> String {
            "{}".to_owned()
        }
    }

    fn signed(card: &str) -> Value {
        let card = JsonText::parse(card).unwrap();
        let seal = Seal::new(Arc::new(Plain));
        let made = seal.signed(card.clone(), "http://x");
        assert_eq!(seal.signed(card, "http://x"), made);
        made.read().unwrap()
    }

    const CARD: &str = r#"{"version":"1","name":"A","description":"B","supportedInterfaces":[{"url":"http://x/a","protocolBinding":"JSONRPC","protocolVersion":"1.0"}],"capabilities":{"streaming":true,"extendedAgentCard":false},"defaultInputModes":["text/plain"],"defaultOutputModes":["text/plain"],"skills":[{"id":"s","name":"S","description":"D","tags":["t"]}]}"#;

    #[test]
    fn a_card_that_all_read_alike_has_one_signature_over_its_canonical_form() {
        let card = signed(CARD);
        let signatures = card["signatures"].as_array().unwrap();
        assert_eq!(signatures.len(), 1, "{card}");
        assert_eq!(signatures[0]["protected"], "http://x/.well-known/jwks.json");
        let payload = signatures[0]["signature"].as_str().unwrap();
        assert!(
            payload.starts_with(r#"{"capabilities":{"extendedAgentCard":false,"streaming":true},"#),
            "{payload}"
        );
        let mut unsigned = card.clone();
        unsigned.as_object_mut().unwrap().remove("signatures");
        assert_eq!(serde_json::from_str::<Value>(payload).unwrap(), unsigned);
    }

    #[test]
    fn one_that_libraries_read_otherwise_is_signed_for_both_kinds_of_readers() {
        let own = CARD.replace(r#"{"version":"#, r#"{"x-own":1,"iconUrl":"","securityRequirements":[{"schemes":{"bearer":{}}}],"version":"#);
        let card = signed(&own);
        let signatures = card["signatures"].as_array().unwrap();
        assert_eq!(signatures.len(), 2, "{card}");
        let payload = |at: usize| signatures[at]["signature"].as_str().unwrap().to_owned();
        for word in ["x-own", "iconUrl", "bearer"] {
            assert!(!payload(0).contains(word), "{word} in {}", payload(0));
            assert!(payload(1).contains(word), "{word} not in {}", payload(1));
        }
    }
}
