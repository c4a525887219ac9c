//! Keys for messages whose caller gave none.

use std::time::{Duration, UNIX_EPOCH};

use mesh_agents_core::clock::Clock;
use mesh_agents_core::ids::MessageId;
use ulid::Ulid;

/// A fresh message id. Its random part alone makes it unique; the time only sorts it.
pub(crate) fn message_id(clock: &dyn Clock) -> MessageId {
    let now = Duration::from_millis(u64::try_from(clock.now().0).unwrap_or(0));
    MessageId::from_ulid(Ulid::from_datetime(UNIX_EPOCH + now))
}
