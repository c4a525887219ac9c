//! Signatures beside what they sign, as A2A signs its cards (§8.4): JWS with a detached payload, EdDSA.
//!
//! The protected header is not read but expected: for one key and one kind of thing there is exactly one,
//! byte for byte. So no header can choose an algorithm, name another key or point to one (`jku`), and a
//! signature over one kind of thing is none over another. A signed text begins with base64url, a dot and
//! base64url; whatever else a node's key signs must not look so (the handshake begins with its name).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::identity::{NodeKey, NodeSecret, SignatureError};

/// What is signed: the `typ` of the protected header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Signed {
    /// An A2A card.
    Card,
    /// An advert.
    Advert,
}

impl Signed {
    fn typ(self) -> &'static str {
        match self {
            Self::Card => "JOSE",
            Self::Advert => "mesh-agents-advert",
        }
    }
}

/// A JWS without its payload: A2A's `AgentCardSignature`. Its unprotected `header` is never read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Detached {
    pub(crate) protected: String,
    pub(crate) signature: String,
}

/// The DID URL of the one verification method a did:key has.
pub(crate) fn key_url(key: &NodeKey) -> String {
    let did = key.to_string();
    let method = did.rsplit(':').next().unwrap_or_default();
    format!("{did}#{method}")
}

/// Signs `payload` as `what`.
pub(crate) fn sign(secret: &NodeSecret, what: Signed, payload: &[u8]) -> Detached {
    let protected = protected(&secret.key(), what);
    let signature = secret.sign(&signing_input(&protected, payload));
    Detached {
        protected,
        signature: URL_SAFE_NO_PAD.encode(signature),
    }
}

/// A signature on a card served over HTTP: `AgentCardSignature` of A2A.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSignature {
    /// The protected header, in base64url.
    pub protected: String,
    /// The signature, in base64url.
    pub signature: String,
}

/// Signs the canonical form of a card that is served over HTTP. Its header says where the key is listed
/// (`jku`), so that it is none of a mesh card, whose header does not.
#[must_use]
pub fn sign_http_card(secret: &NodeSecret, payload: &[u8], keys_url: &str) -> HttpSignature {
    let header = serde_json::json!({
        "alg": "EdDSA", "jku": keys_url, "kid": key_url(&secret.key()), "typ": Signed::Card.typ(),
    });
    let protected = URL_SAFE_NO_PAD.encode(header.to_string());
    let signature = secret.sign(&signing_input(&protected, payload));
    HttpSignature {
        protected,
        signature: URL_SAFE_NO_PAD.encode(signature),
    }
}

/// The node's key as a JSON Web Key Set (RFC 7517, RFC 8037).
#[must_use]
pub fn jwk_set(key: &NodeKey) -> String {
    let key = serde_json::json!({
        "kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": key_url(key),
        "x": URL_SAFE_NO_PAD.encode(key.to_bytes()),
    });
    serde_json::json!({ "keys": [key] }).to_string()
}

/// Whether `key` signed `payload` as `what`.
///
/// # Errors
/// [`SignatureError`] when it did not, or not in the one form there is.
pub(crate) fn verify(
    key: &NodeKey,
    what: Signed,
    payload: &[u8],
    detached: &Detached,
) -> Result<(), SignatureError> {
    let expected = protected(key, what);
    if detached.protected != expected {
        return Err(SignatureError);
    }
    let signature = URL_SAFE_NO_PAD.decode(&detached.signature);
    let signature = signature.map_err(|_alphabet| SignatureError)?;
    key.verify(&signing_input(&expected, payload), &signature)
}

fn protected(key: &NodeKey, what: Signed) -> String {
    // Canonical as it stands: members in order, and neither value holds anything to escape.
    let header = format!(
        r#"{{"alg":"EdDSA","kid":"{}","typ":"{}"}}"#,
        key_url(key),
        what.typ()
    );
    URL_SAFE_NO_PAD.encode(header)
}

/// RFC 7515 §5.1: `BASE64URL(protected) . BASE64URL(payload)`.
fn signing_input(protected: &str, payload: &[u8]) -> Vec<u8> {
    let mut input = String::with_capacity(protected.len() + 1 + payload.len() * 4 / 3 + 4);
    input.push_str(protected);
    input.push('.');
    URL_SAFE_NO_PAD.encode_string(payload, &mut input);
    input.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> NodeSecret {
        NodeSecret::from_seed(&[0; 32])
    }

    #[test]
    fn the_header_says_who_and_how() {
        let signed = sign(&secret(), Signed::Card, b"{}");
        let header = URL_SAFE_NO_PAD.decode(signed.protected).unwrap();
        insta::assert_snapshot!(String::from_utf8(header).unwrap(), @r#"{"alg":"EdDSA","kid":"did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp#z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp","typ":"JOSE"}"#);
    }

    #[test]
    fn a_card_served_over_http_is_signed_by_the_key_its_header_points_to_and_is_no_mesh_card() {
        let url = "http://127.0.0.1:3132/.well-known/jwks.json";
        let signed = sign_http_card(&secret(), b"{}", url);
        let header = URL_SAFE_NO_PAD.decode(&signed.protected).unwrap();
        insta::assert_snapshot!(String::from_utf8(header).unwrap(), @r#"{"alg":"EdDSA","jku":"http://127.0.0.1:3132/.well-known/jwks.json","kid":"did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp#z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp","typ":"JOSE"}"#);
        let signature = URL_SAFE_NO_PAD.decode(&signed.signature).unwrap();
        let key = secret().key();
        let input = signing_input(&signed.protected, b"{}");
        assert_eq!(key.verify(&input, &signature), Ok(()));
        let detached = Detached {
            protected: signed.protected,
            signature: signed.signature,
        };
        let as_mesh_card = verify(&key, Signed::Card, b"{}", &detached);
        assert_eq!(as_mesh_card, Err(SignatureError));
        insta::assert_snapshot!(jwk_set(&key), @r#"{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","use":"sig","kid":"did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp#z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp","x":"O2onvM62pC1io6jQKm8Nc2UyFXcd4kOmOsBIoYtZ2ik"}]}"#);
    }

    #[test]
    fn a_signature_holds_for_its_key_its_kind_and_its_bytes_only() {
        let (key, other) = (secret().key(), NodeSecret::from_seed(&[1; 32]));
        let signed = sign(&secret(), Signed::Card, b"{}");
        assert_eq!(verify(&key, Signed::Card, b"{}", &signed), Ok(()));
        for (key, what, payload) in [
            (other.key(), Signed::Card, b"{}"),
            (key, Signed::Advert, b"{}"),
            (key, Signed::Card, b"[]"),
        ] {
            assert_eq!(verify(&key, what, payload, &signed), Err(SignatureError));
        }
    }

    #[test]
    fn a_header_of_somebody_s_own_making_is_refused_even_when_it_is_signed() {
        let key = secret().key();
        let kid = key_url(&key);
        for header in [
            format!(r#"{{"alg":"none","kid":"{kid}","typ":"JOSE"}}"#),
            format!(r#"{{"alg":"EdDSA","jku":"http://127.0.0.1/","kid":"{kid}","typ":"JOSE"}}"#),
            format!(r#"{{"alg":"EdDSA", "kid":"{kid}","typ":"JOSE"}}"#),
        ] {
            let protected = URL_SAFE_NO_PAD.encode(header);
            let signature = secret().sign(&signing_input(&protected, b"{}"));
            let forged = Detached {
                protected,
                signature: URL_SAFE_NO_PAD.encode(signature),
            };
            assert_eq!(
                verify(&key, Signed::Card, b"{}", &forged),
                Err(SignatureError)
            );
        }
    }
}
