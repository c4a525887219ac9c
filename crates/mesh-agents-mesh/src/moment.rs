//! A point in time, as a value.

use mesh_agents_core::clock::UnixMillis;

/// Now, on both clocks. Waiting and expiry go by the one that never jumps, what people read by the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    /// The wall clock: may jump, may be wrong.
    pub wall: UnixMillis,
    /// Milliseconds of a clock that only goes forward, from any start.
    pub mono: u64,
}

impl Moment {
    /// The moment `mono` on a clock that goes on steadily after this one.
    #[must_use]
    pub fn later(self, millis: u64) -> Self {
        Self {
            wall: UnixMillis(
                self.wall
                    .0
                    .saturating_add(i64::try_from(millis).unwrap_or(i64::MAX)),
            ),
            mono: self.mono.saturating_add(millis),
        }
    }
}
