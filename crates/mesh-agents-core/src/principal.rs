//! Who asks (DESIGN §4, principals).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::ids::{IdError, TaskId};

/// On whose behalf a request is made. The surface it came through is audit data, never scope.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Principal {
    /// The person at this machine: host MCP, stdio MCP, CLI, engine socket, unauthenticated loopback HTTP.
    Local,
    /// The holder of a named access token.
    Token(String),
    /// A mesh peer, named by its agent key (`did:key:z…`, as the handshake proved it).
    Key(String),
    /// The harness that runs this task.
    Task(TaskId),
}

impl Principal {
    /// Whether this principal may know that a task submitted by `owner` exists.
    #[must_use]
    pub fn sees(&self, owner: &Self) -> bool {
        *self == Self::Local || self == owner
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local => f.write_str("local"),
            Self::Token(name) => write!(f, "token:{name}"),
            Self::Key(did) => write!(f, "key:{did}"),
            Self::Task(id) => write!(f, "task:{id}"),
        }
    }
}

impl FromStr for Principal {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        let unknown = || IdError {
            kind: "principal",
            value: text.chars().take(80).collect(),
            rule: "local, token:<name>, key:<did:key:z…> or task:<task id>",
        };
        match text.split_once(':') {
            None if text == "local" => Ok(Self::Local),
            Some(("token", name)) if !name.is_empty() => Ok(Self::Token(name.to_owned())),
            Some(("key", did)) if is_did_key(did) => Ok(Self::Key(did.to_owned())),
            Some(("task", id)) => id.parse().map(Self::Task),
            _ => Err(unknown()),
        }
    }
}

/// Whether the text has the form of an Ed25519 key as did:key writes it: 56 characters, all base58 after the
/// prefix. Whether it is a key is for who has the mathematics (`mesh-agents-mesh`).
fn is_did_key(text: &str) -> bool {
    let base58 = |c: char| c.is_ascii_alphanumeric() && !matches!(c, '0' | 'O' | 'I' | 'l');
    text.len() == 56
        && text
            .strip_prefix("did:key:z6Mk")
            .is_some_and(|rest| rest.chars().all(base58))
}

impl TryFrom<String> for Principal {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        text.parse()
    }
}

impl From<Principal> for String {
    fn from(principal: Principal) -> Self {
        principal.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ulid::Ulid;

    #[test]
    fn a_principal_reads_back_as_itself_and_sees_only_its_own() {
        let all = [
            Principal::Local,
            Principal::Token("ci".into()),
            Principal::Key("did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp".into()),
            Principal::Task(TaskId::from_ulid(Ulid::from_parts(1, 1))),
        ];
        for a in &all {
            assert_eq!(a.to_string().parse::<Principal>().as_ref(), Ok(a));
            for b in &all {
                assert_eq!(a.sees(b), *a == Principal::Local || a == b, "{a} sees {b}");
            }
        }
        assert!("task:../x".parse::<Principal>().is_err());
        assert!("root".parse::<Principal>().is_err());
        for no_key in [
            "key:",
            "key:did:key:z6Mk",
            "key:did:web:example.org",
            "key:did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooW0",
            "key:did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWpp",
            "key:did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDoo\np",
        ] {
            assert!(no_key.parse::<Principal>().is_err(), "{no_key}");
        }
    }
}
