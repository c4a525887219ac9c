//! Every id has a type of its own and exactly one parser (DESIGN §2.2).
//!
//! Swapping two ids does not compile, and no path can be built from text nobody checked: a value
//! of these types is safe to use as one path component ([`ArtifactId`]: as a relative path).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use ulid::Ulid;

/// Why a text is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {value:?} is not valid: {rule}")]
pub struct IdError {
    /// What was being parsed, such as `agent id`.
    pub kind: &'static str,
    /// The offending text, cut to 80 characters.
    pub value: String,
    /// The rule it breaks, in words.
    pub rule: &'static str,
}

impl IdError {
    fn new(kind: &'static str, value: &str, rule: &'static str) -> Self {
        Self {
            kind,
            value: value.chars().take(80).collect(),
            rule,
        }
    }
}

/// What a node's key begins with, and an agent id leaves out.
const DID_KEY: &str = "did:key:";

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $rule:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The id as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = IdError;
            fn from_str(text: &str) -> Result<Self, IdError> {
                let ok: fn(&str) -> bool = $check;
                if ok(text) { Ok(Self(text.to_owned())) } else { Err(IdError::new($kind, text, $rule)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;
            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }
    };
}

text_id!(
    /// An agent's id: the name of its directory. An agent of another node has `@` and the part of that
    /// node's key after `did:key:` behind its name, so that the same name on two nodes is two ids.
    AgentId, "agent id", "1 to 64 characters of A-Z a-z 0-9 _ -", agent_id
);

text_id!(
    /// A task's id, minted by the engine: `task-` and a ULID.
    TaskId, "task id", "task- followed by a ULID, as send_message returned it",
    |t| prefixed_ulid(t, "task-")
);

text_id!(
    /// A conversation's id: minted as `ctx-<ULID>`, or a caller's own. Scoped to (agent, principal).
    ContextId, "context id", "1 to 128 characters of A-Z a-z 0-9 . _ : -",
    |t| (1..=128).contains(&t.len()) && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:-".contains(&b))
);

text_id!(
    /// A caller's own key for a message; a repeat under the same key is the same task.
    MessageId, "message id", "1 to 256 characters without control characters",
    |t| (1..=256).contains(&t.len()) && !t.chars().any(char::is_control)
);

text_id!(
    /// An artifact's id: its path relative to the artifacts directory, `/` between components.
    ArtifactId, "artifact id", "a relative path of at most 255 bytes without . or .. components, backslashes or control characters",
    relative_path
);

text_id!(
    /// One start of one task; the value of the marker `MESH_AGENT_RUN` in every process of the run.
    RunId, "run id", "run- followed by a ULID", |t| prefixed_ulid(t, "run-")
);

text_id!(
    /// A question a run asks while it works.
    QuestionId, "question id", "q- followed by a ULID", |t| prefixed_ulid(t, "q-")
);

impl AgentId {
    /// The agent `name` of the node whose key is `did` (`did:key:z…`).
    ///
    /// # Errors
    /// A `did` of another form.
    pub fn on_node(name: &Self, did: &str) -> Result<Self, IdError> {
        let key = did.strip_prefix(DID_KEY).unwrap_or_default();
        format!("{}@{key}", name.name())
            .parse()
            .map_err(|_| IdError::new("node key", did, "did:key:z and base58 characters"))
    }

    /// The name its node knows it by.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.split_once('@').map_or(&self.0, |(name, _)| name)
    }

    /// [`Self::name`] as an id.
    #[must_use]
    pub fn on_its_node(&self) -> Self {
        Self(self.name().to_owned())
    }

    /// The key of the node it is on (`did:key:z…`); `None` for one of this node.
    #[must_use]
    pub fn node(&self) -> Option<String> {
        let (_, key) = self.0.split_once('@')?;
        Some(format!("{DID_KEY}{key}"))
    }

    /// Whether it is an agent of this node.
    #[must_use]
    pub fn is_local(&self) -> bool {
        !self.0.contains('@')
    }
}

impl TaskId {
    /// The id of the task minted with this ULID.
    #[must_use]
    pub fn from_ulid(ulid: Ulid) -> Self {
        Self(format!("task-{ulid}"))
    }
}

impl ContextId {
    /// The id of a context minted with this ULID.
    #[must_use]
    pub fn from_ulid(ulid: Ulid) -> Self {
        Self(format!("ctx-{ulid}"))
    }
}

impl MessageId {
    /// The id of a message minted with this ULID.
    #[must_use]
    pub fn from_ulid(ulid: Ulid) -> Self {
        Self(format!("msg-{ulid}"))
    }
}

impl RunId {
    /// The id of the run minted with this ULID.
    #[must_use]
    pub fn from_ulid(ulid: Ulid) -> Self {
        Self(format!("run-{ulid}"))
    }
}

impl QuestionId {
    /// The id of the question minted with this ULID.
    #[must_use]
    pub fn from_ulid(ulid: Ulid) -> Self {
        Self(format!("q-{ulid}"))
    }
}

impl ArtifactId {
    /// The artifact that holds the text a run streamed. Reserved: no file may take this id.
    pub const RESPONSE: &'static str = "response";

    /// The id of the streamed text.
    #[must_use]
    pub fn response() -> Self {
        Self(Self::RESPONSE.to_owned())
    }

    /// The lower-case extension after the last dot of the last component, if there is one.
    #[must_use]
    pub fn extension(&self) -> Option<String> {
        let name = self.0.rsplit('/').next()?;
        let (stem, extension) = name.rsplit_once('.')?;
        (!stem.is_empty() && !extension.is_empty()).then(|| extension.to_ascii_lowercase())
    }
}

fn agent_id(text: &str) -> bool {
    let name = |t: &str| {
        (1..=64).contains(&t.len())
            && t.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    };
    // An Ed25519 key takes 48 characters; base58 is letters and digits.
    let key = |t: &str| {
        t.starts_with('z')
            && (40..=60).contains(&t.len())
            && t.bytes().all(|b| b.is_ascii_alphanumeric())
    };
    match text.split_once('@') {
        None => name(text),
        Some((before, after)) => name(before) && key(after),
    }
}

fn prefixed_ulid(text: &str, prefix: &str) -> bool {
    // Ulid::from_string takes lower case too; ids are compared as text, so only the canonical form.
    text.strip_prefix(prefix)
        .is_some_and(|rest| Ulid::from_string(rest).is_ok_and(|ulid| ulid.to_string() == rest))
}

fn relative_path(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && !text.chars().any(|c| c.is_control() || c == '\\')
        && text
            .split('/')
            .all(|part| !part.is_empty() && part != "." && part != "..")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_could_leave_their_directory_are_refused() {
        for text in [
            "",
            ".",
            "..",
            "../x",
            "a/../b",
            "/etc/passwd",
            "a//b",
            "a/",
            "a\\b",
            "a\0b",
            "./a",
        ] {
            assert!(text.parse::<ArtifactId>().is_err(), "artifact id {text:?}");
            assert!(text.parse::<AgentId>().is_err(), "agent id {text:?}");
            assert!(text.parse::<TaskId>().is_err(), "task id {text:?}");
        }
        assert!("a".repeat(65).parse::<AgentId>().is_err());
        assert!("ä".parse::<AgentId>().is_err());
        assert!("reports/findings.json".parse::<ArtifactId>().is_ok());
    }

    #[test]
    fn an_agent_of_another_node_has_that_node_in_its_id() {
        let did = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
        let here: AgentId = "pr-review".parse().unwrap();
        let there = AgentId::on_node(&here, did).unwrap();
        assert_eq!(
            there.as_str(),
            "pr-review@z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"
        );
        assert_eq!(there.as_str().parse(), Ok(there.clone()));
        assert_eq!(
            (there.name(), there.node().as_deref()),
            ("pr-review", Some(did))
        );
        assert_eq!((here.name(), here.node()), ("pr-review", None));
        assert!(here.is_local() && !there.is_local());
        for wrong in [
            "did:web:example.org",
            "did:key:z",
            "did:key:z6Mk/../../x",
            "",
        ] {
            let error = AgentId::on_node(&here, wrong).unwrap_err();
            assert_eq!((error.kind, error.value.as_str()), ("node key", wrong));
        }
        assert!(
            "@z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp"
                .parse::<AgentId>()
                .is_err()
        );
        assert!("a@b".parse::<AgentId>().is_err());
    }

    #[test]
    fn a_task_id_has_one_spelling() {
        let id = TaskId::from_ulid(Ulid::from_parts(1 << 40, u128::MAX >> 50));
        assert_eq!(id.as_str().parse::<TaskId>(), Ok(id.clone()));
        assert!(id.as_str().to_lowercase().parse::<TaskId>().is_err());
        assert!(format!("{id}x").parse::<TaskId>().is_err());
    }

    #[test]
    fn serde_uses_the_same_parser() {
        assert!(serde_json::from_str::<AgentId>("\"../x\"").is_err());
        assert_eq!(
            serde_json::from_str::<AgentId>("\"pr-review\"")
                .unwrap()
                .as_str(),
            "pr-review"
        );
    }

    #[test]
    fn the_extension_is_that_of_the_last_component() {
        let ext = |t: &str| t.parse::<ArtifactId>().unwrap().extension();
        assert_eq!(ext("a.d/findings.JSON").as_deref(), Some("json"));
        assert_eq!(ext("a.d/file"), None);
        assert_eq!(ext(".hidden"), None);
    }
}
