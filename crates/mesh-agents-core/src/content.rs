//! The content of an artifact that stayed with the node that made it: how it is asked for, and what stands
//! in the way of having it.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::ids::AgentId;
use crate::run::Away;

/// Which content, and from where on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentSpec {
    /// The agent whose task left it, as this node calls it.
    pub agent: AgentId,
    /// The skill the task is for, where its caller named one: every request about it names the same.
    pub skill: Option<String>,
    /// What it is called at its node, as the runner said ([`crate::task::ArtifactInfo::remote`]).
    pub name: String,
    /// SHA-256 of the whole, hex: what lies under that name now may be something else.
    pub sha256: String,
    /// How many bytes of it are here already.
    pub from: u64,
}

/// Pieces of a content in order, from [`ContentSpec::from`] on. One that ends without a fault was sent to its
/// end; whether all of it came is for the reader to see.
pub type ContentStream = Pin<Box<dyn Stream<Item = Result<Vec<u8>, ContentFault>> + Send>>;

/// Why a content, or the rest of it, did not come.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ContentFault {
    /// Its node cannot be reached, or the line broke: what came counts, and the rest is to be had later.
    #[error("{why}")]
    Away {
        /// What is known of the node's absence; `None` where only a try could tell.
        node: Option<Away>,
        /// The cause, in words.
        why: String,
    },
    /// Its node is there and has no such content, any more or at all.
    #[error("{0}")]
    Gone(String),
    /// Its node turned the request away.
    #[error("{0}")]
    Refused(String),
}

/// The stream of a runner that knows of no contents elsewhere.
pub(crate) fn none() -> ContentStream {
    let text = "what ran this agent keeps no contents elsewhere";
    Box::pin(Once(Some(ContentFault::Gone(text.to_owned()))))
}

struct Once(Option<ContentFault>);

impl fmt::Debug for Once {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Once")
    }
}

impl Stream for Once {
    type Item = Result<Vec<u8>, ContentFault>;

    fn poll_next(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(self.0.take().map(Err))
    }
}
