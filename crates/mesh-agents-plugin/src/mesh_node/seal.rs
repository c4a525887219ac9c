//! The node's key as what signs the cards served over HTTP.

use std::sync::{Arc, Weak};

use mesh_agents_a2a::card::{CardSignature, Seal, SignCard};
use mesh_agents_mesh::{jwk_set, sign_http_card};

use super::{Inner, MeshNode};

/// Signs as long as the node is there: what the node serves holds this, and the node what it serves.
struct Signer {
    node: Weak<Inner>,
    keys: String,
}

impl SignCard for Signer {
    fn sign(&self, payload: &[u8], keys_url: &str) -> Option<CardSignature> {
        let node = self.node.upgrade()?;
        let made = sign_http_card(&node.config.secret, payload, keys_url);
        Some(CardSignature {
            protected: made.protected,
            signature: made.signature,
        })
    }

    fn keys(&self) -> String {
        self.keys.clone()
    }
}

impl MeshNode {
    /// What signs the cards this node serves over HTTP.
    #[must_use]
    pub fn seal(&self) -> Seal {
        Seal::new(Arc::new(Signer {
            node: Arc::downgrade(&self.0),
            keys: jwk_set(&self.0.config.secret.key()),
        }))
    }
}
