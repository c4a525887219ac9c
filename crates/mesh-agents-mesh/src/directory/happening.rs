//! What can happen to a directory, and what it says changed by it.

use super::{PullFailure, Ticket};
use crate::bulletin::Pulled;
use crate::identity::NodeKey;
use crate::peer::MeshPeerId;

/// All that can happen to a directory.
#[derive(Debug, Clone)]
pub enum Happening {
    /// The host says a peer is there, or still there.
    PeerUp(MeshPeerId),
    /// The host says a peer is gone.
    PeerDown(MeshPeerId),
    /// A channel message that claims to be of this peer: its advert has this sequence now.
    Hint(MeshPeerId, u64),
    /// A stream came in whose opener says that this is its peer id: its engine is there, if that is so.
    Met(MeshPeerId),
    /// The host cannot be reached: nothing can be asked, and what goes on there is not heard.
    LinkDown,
    /// The host can be reached again. It repeats nothing of what was missed (host-contract T7).
    LinkUp,
    /// A peer answered a pull. The key is the one its handshake proved on this very stream.
    Answered {
        /// Of the pull.
        ticket: Ticket,
        /// Who answered.
        key: NodeKey,
        /// What.
        answer: Pulled,
    },
    /// A pull came to nothing.
    Failed {
        /// Of the pull.
        ticket: Ticket,
        /// Why.
        failure: PullFailure,
    },
    /// The owner of this node wants a key forgotten, with all that is known of it.
    Forget(NodeKey),
    /// Time has passed.
    Tick,
}

/// What is other than before, for whoever watches. A caller stores [`super::Directory::remembered`] of a node
/// that is `Found`, `Updated`, `Away` or `Back`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// A node was heard for the first time.
    Found(NodeKey),
    /// A node tells something else than before.
    Updated(NodeKey),
    /// A node that was away or stale answers again.
    Back(NodeKey),
    /// What a node told is too old to rely on.
    Stale(NodeKey),
    /// No route leads to a node any more.
    Away(NodeKey),
    /// A node was forgotten, or dropped to make room.
    Gone(NodeKey),
    /// Another key answers at a known peer id.
    OtherKey {
        /// Where.
        peer: MeshPeerId,
        /// Who answered there before.
        old: NodeKey,
        /// Who does now.
        new: NodeKey,
    },
    /// One key answers at several live peer ids: calls to it are refused until one goes.
    KeyTwice(NodeKey),
    /// And now only at one again.
    KeyOnce(NodeKey),
    /// This node's own key answers elsewhere: its identity was copied.
    OwnKey(MeshPeerId),
    /// What a peer sent was not taken.
    Refused {
        /// Who.
        peer: MeshPeerId,
        /// Why, to be shown.
        reason: Refused,
    },
    /// A peer was not taken up: there are [`super::DIRECTORY_PEERS`] already.
    Full(MeshPeerId),
}

/// Why an answer was not taken although its signature holds, or that it did not hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Older than what is known: a replay, or a node whose database was put back.
    #[error(
        "its advert has sequence {found} and {known} is known already: an old one sent again; if the node \
         was restored from a backup, `agents peers forget` lets it begin anew"
    )]
    Older {
        /// Of the advert.
        found: u64,
        /// Known.
        known: u64,
    },
    /// The known sequence with other words.
    #[error("its advert has the known sequence {0} and says something else: two nodes use one key")]
    Contradicts(u64),
    /// Not modified since a sequence that is not the known one.
    #[error("it says that nothing changed since sequence {0}, which is not what it was asked")]
    NotAsked(u64),
    /// The advert was checked for another stream than this one: a fault of ours.
    #[error("its advert is of another node or another stream")]
    Elsewhere,
    /// There is no room for its agents, or for another node.
    #[error("the directory is full")]
    NoRoom,
    /// The bytes were no advert of this node.
    #[error("{0}")]
    Unreadable(String),
}
