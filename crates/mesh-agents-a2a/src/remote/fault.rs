//! What can go wrong between this node and a remote agent, sorted by what may be done about it.
//!
//! The official client passes every error on as an [`A2AError`]. A [`Fault`] travels through it as
//! one typed detail, and only our own transports can put it there: details of that type in an
//! answer of the remote are dropped.

use a2a::{A2AError, TypedDetail, error_code};
use mesh_agents_core::task::Failure;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The type of the detail a fault travels in.
const DETAIL: &str = "mesh-agents/fault";
/// Most characters of a remote's own words kept in a message of ours.
const WORDS: usize = 600;

/// One failed exchange with a remote.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Fault {
    /// No connection came about: the remote has heard nothing.
    Unconnected {
        /// Where it failed.
        stage: Stage,
        /// The cause, in words.
        cause: String,
    },
    /// The connection broke or went silent after the request was sent: what the remote did with it
    /// is not known.
    Broken {
        /// The cause, in words.
        cause: String,
    },
    /// An HTTP status that says no, without an A2A error.
    Status {
        /// The status.
        status: u16,
        /// Where a redirect leads.
        location: Option<String>,
        /// The start of the body.
        words: String,
    },
    /// An answer that is not A2A.
    Unreadable {
        /// What is wrong with it.
        cause: String,
    },
    /// An answer larger than we read.
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// A node like ours has heard the request, did nothing with it, and takes it later: its agent is full, its
    /// engine stops or has no room on its disk, or there were too many requests.
    Later {
        /// Its message.
        words: String,
    },
    /// An error in the words of A2A.
    Told {
        /// Its JSON-RPC code.
        code: i32,
        /// Its message.
        words: String,
    },
}

/// Where a connection failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// The host name has no address.
    Name,
    /// Nobody listens there.
    Refused,
    /// The server's certificate or the TLS handshake.
    Tls,
    /// Anything else, such as no route or no answer in time.
    Other,
}

impl From<Fault> for A2AError {
    fn from(fault: Fault) -> Self {
        if let Fault::Told { code, words } = fault {
            return Self::new(code, words);
        }
        let error = Self::new(error_code::INTERNAL_ERROR, format!("{fault:?}"));
        match serde_json::to_value(&fault) {
            Ok(Value::Object(map)) => error.with_details(vec![TypedDetail {
                type_url: DETAIL.to_owned(),
                value: map.into_iter().collect(),
            }]),
            _ => error,
        }
    }
}

impl From<A2AError> for Fault {
    fn from(error: A2AError) -> Self {
        let details = error.details.unwrap_or_default();
        let ours = details.into_iter().find(|one| one.type_url == DETAIL);
        ours.and_then(|one| {
            let map = one.value.into_iter().collect();
            serde_json::from_value(Value::Object(map)).ok()
        })
        .unwrap_or(Self::Told {
            code: error.code,
            words: error.message,
        })
    }
}

impl Fault {
    /// The remote knows no such task.
    pub(crate) fn no_such_task(&self) -> bool {
        matches!(self, Self::Told { code, .. } if *code == error_code::TASK_NOT_FOUND)
    }

    /// The remote does not offer the operation that was called.
    pub(crate) fn not_offered(&self) -> bool {
        matches!(
            self,
            Self::Told { code, .. }
                if *code == error_code::UNSUPPORTED_OPERATION
                    || *code == error_code::METHOD_NOT_FOUND
        )
    }

    /// The caller is known, and not let in.
    pub(crate) fn is_denial(&self) -> bool {
        matches!(
            self,
            Self::Status {
                status: 401 | 403,
                ..
            }
        )
    }

    /// Nothing was said about the request itself; it may be tried again later.
    pub(crate) fn is_lost_contact(&self) -> bool {
        match self {
            Self::Unconnected { .. } | Self::Broken { .. } | Self::Later { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 425 | 429 | 500..=599),
            _ => false,
        }
    }

    /// Whether the remote may have taken the request although no answer came.
    pub(crate) fn may_have_arrived(&self) -> bool {
        matches!(self, Self::Broken { .. })
            || matches!(self, Self::Status { status, .. } if matches!(status, 502 | 504))
    }

    /// What happened, for a person: the cause alone.
    pub(crate) fn cause(&self) -> String {
        match self {
            Self::Unconnected { cause, .. } | Self::Broken { cause } => cause.clone(),
            Self::Status {
                status,
                location: Some(to),
                ..
            } => format!("HTTP {status}, a redirect to {to}"),
            Self::Status { status, words, .. } if words.is_empty() => format!("HTTP {status}"),
            Self::Status { status, words, .. } => format!("HTTP {status}: {words}"),
            Self::Unreadable { cause } => format!("an answer that is not A2A 1.0: {cause}"),
            Self::TooLarge { limit } => {
                format!("an answer larger than {} MiB", limit / (1024 * 1024))
            }
            Self::Later { words } => words.clone(),
            Self::Told { code, words } if words.is_empty() => format!("error {code}"),
            Self::Told { code, words } => format!("{words} (error {code})"),
        }
    }

    /// The failure of a task this fault ends: a stable code, the cause and the next step. `url` is
    /// where the remote should be, `bearer_env` what `auth.bearer_env` names.
    pub(crate) fn failure(&self, url: &str, bearer_env: Option<&str>) -> Failure {
        let cause = self.cause();
        let (code, message) = match self {
            Self::Unconnected { stage, .. } => return unconnected(*stage, url, &cause),
            Self::Broken { .. } => (
                "remote_unreachable",
                format!("the connection to {url} was lost: {cause}; send the message again"),
            ),
            Self::Status { status, words, .. }
                if matches!(status, 401 | 403 | 404 | 405) && node_of(url).is_some() =>
            {
                return turned_away(*status, node_of(url).unwrap_or(url), words);
            }
            Self::Status {
                status: 401 | 403, ..
            } => return unauthorized(url, &cause, bearer_env),
            Self::Status {
                location: Some(_), ..
            } => (
                "remote_redirected",
                format!(
                    "{url} answered {cause}; redirects are not followed, so write the final URL in supportedInterfaces of agent-card.json"
                ),
            ),
            Self::Status {
                status: 404 | 405, ..
            }
            | Self::Unreadable { .. } => ("remote_not_a2a", not_a2a(url, &cause)),
            Self::Status { .. } => (
                "remote_http_error",
                format!("{url} answered {cause}; its owner's logs say more"),
            ),
            Self::TooLarge { .. } => (
                "remote_answer_too_large",
                format!(
                    "{url} sent {cause}; have the remote agent leave large results where they can be fetched"
                ),
            ),
            Self::Later { .. } => (
                "remote_busy",
                format!("{url} took nothing and says: {cause}; send the message again later"),
            ),
            Self::Told { code, .. } => return told(*code, url, &cause),
        };
        Failure::new(code, message)
    }
}

/// The node in the address of an agent on the mesh.
fn node_of(url: &str) -> Option<&str> {
    url.strip_prefix("mesh://")?.split('/').next()
}

/// Another node's own words say what the caller's key is and what its user can ask for.
fn turned_away(status: u16, node: &str, words: &str) -> Failure {
    let why = if words.is_empty() {
        format!("HTTP {status}")
    } else {
        words.to_owned()
    };
    match status {
        401 | 403 => Failure::new(
            "remote_unauthorized",
            format!("the node {node} turned the call away: {why}"),
        ),
        _ => Failure::new(
            "remote_no_agent",
            format!(
                "the node {node} does not offer this agent to you any more ({why}); get_agents lists what is offered"
            ),
        ),
    }
}

fn not_a2a(url: &str, cause: &str) -> String {
    format!(
        "{url} does not serve A2A 1.0 as agent-card.json says ({cause}); compare url and protocolBinding in supportedInterfaces with the remote agent's own card"
    )
}

fn unconnected(stage: Stage, url: &str, cause: &str) -> Failure {
    let (code, next) = match stage {
        Stage::Name => (
            "remote_unresolvable",
            "check the host in supportedInterfaces of agent-card.json, and this machine's name resolution",
        ),
        Stage::Tls => (
            "remote_tls",
            "the certificate must be one this system trusts and name that host; for a server of your own, add its authority to the system's certificates",
        ),
        Stage::Refused => (
            "remote_unreachable",
            "start the remote agent's server, or correct the URL in supportedInterfaces of agent-card.json",
        ),
        Stage::Other => (
            "remote_unreachable",
            "check that the remote agent's server runs and that this machine reaches it",
        ),
    };
    Failure::new(code, format!("cannot connect to {url}: {cause}; {next}"))
}

fn unauthorized(url: &str, cause: &str, bearer_env: Option<&str>) -> Failure {
    let next = match bearer_env {
        Some(name) => format!(
            "the token in the environment variable {name} (auth.bearer_env) is not accepted there; set a valid one and restart the engine (`agents stop`)"
        ),
        None => "set auth.bearer_env in runtime.toml to the name of an environment variable that holds a token".to_owned(),
    };
    Failure::new(
        "remote_unauthorized",
        format!("{url} refused the call ({cause}); {next}"),
    )
}

fn told(code: i32, url: &str, cause: &str) -> Failure {
    match code {
        error_code::VERSION_NOT_SUPPORTED => Failure::new(
            "remote_version",
            format!("{url} does not speak A2A 1.0: {cause}; upgrade the remote agent's server"),
        ),
        error_code::METHOD_NOT_FOUND => Failure::new("remote_not_a2a", not_a2a(url, cause)),
        _ => Failure::new(
            "remote_refused",
            format!(
                "the remote agent at {url} refused the message: {cause}; change what it objects to and send again"
            ),
        ),
    }
}

/// A remote's words, fit to stand in a message of ours: bounded, on one line, nothing that moves a
/// cursor.
pub(crate) fn words(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(WORDS)
        .collect();
    plain.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_passes_through_the_official_client_unchanged() {
        let faults = [
            Fault::Unconnected {
                stage: Stage::Name,
                cause: "no such host".into(),
            },
            Fault::Broken {
                cause: "reset".into(),
            },
            Fault::Status {
                status: 307,
                location: Some("http://other/".into()),
                words: String::new(),
            },
            Fault::Unreadable {
                cause: "HTML".into(),
            },
            Fault::TooLarge { limit: 1 },
            Fault::Later {
                words: "full".into(),
            },
            Fault::Told {
                code: error_code::TASK_NOT_FOUND,
                words: "gone".into(),
            },
        ];
        for fault in faults {
            assert_eq!(Fault::from(A2AError::from(fault.clone())), fault);
        }
    }

    #[test]
    fn who_is_refused_learns_which_variable_to_set() {
        let fault = Fault::Status {
            status: 401,
            location: None,
            words: "no".into(),
        };
        let told = fault.failure("https://x/", Some("REVIEW_TOKEN"));
        assert_eq!(told.code, "remote_unauthorized");
        assert!(told.message.contains("REVIEW_TOKEN"), "{}", told.message);
        let told = fault.failure("https://x/", None);
        assert!(told.message.contains("auth.bearer_env"), "{}", told.message);
    }

    #[test]
    fn who_a_node_turns_away_reads_the_words_of_that_node() {
        let fault = |status| Fault::Status {
            status,
            location: None,
            words: "ask its owner to run: agents peers allow K a".into(),
        };
        let url = "mesh://did:key:z6Mk/a2a/agents/a";
        let told = fault(403).failure(url, None);
        assert_eq!(told.code, "remote_unauthorized");
        assert_eq!(
            told.message,
            "the node did:key:z6Mk turned the call away: ask its owner to run: agents peers allow K a"
        );
        assert_eq!(fault(404).failure(url, None).code, "remote_no_agent");
    }

    #[test]
    fn words_of_strangers_stay_on_one_short_line() {
        assert_eq!(words("a\u{1b}[31m\n\n b"), "a [31m b");
        assert_eq!(words(&"x".repeat(2000)).len(), WORDS);
    }
}
