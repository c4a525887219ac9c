//! Where a caller wants to be told what happens to a task (A2A §4.3.3, push notification).

mod targets;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use targets::{BadTarget, Forbidden, PushTargets};

/// One wish to be told. Its id is unique within its task.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushConfig {
    /// The caller's id for it, or one we minted.
    pub id: String,
    /// Where to POST.
    pub url: String,
    /// Sent back with every notification, so that the receiver knows it is from us.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// What to put into the `Authorization` header.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authentication: Option<PushAuthentication>,
}

/// The `Authorization` header of a notification.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PushAuthentication {
    /// An HTTP authentication scheme, such as `Bearer`.
    pub scheme: String,
    /// What follows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials: Option<String>,
}

// Secrets stay out of logs.
impl fmt::Debug for PushConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushConfig")
            .field("id", &self.id)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for PushAuthentication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PushAuthentication")
            .field("scheme", &self.scheme)
            .finish_non_exhaustive()
    }
}
