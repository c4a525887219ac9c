//! New ids, from one monotonic generator: ids sort in the order they were minted.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use mesh_agents_core::clock::UnixMillis;
use ulid::{Generator, Ulid};

/// Mints ULIDs that grow even within one millisecond and when the clock steps back.
#[derive(Debug)]
pub(crate) struct Mint {
    state: Mutex<State>,
}

struct State {
    generator: Generator,
    newest: u64,
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State")
            .field("newest", &self.newest)
            .finish_non_exhaustive()
    }
}

impl Mint {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                generator: Generator::new(),
                newest: 0,
            }),
        }
    }

    /// The next ULID.
    pub(crate) fn next(&self, now: UnixMillis) -> Ulid {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.newest = state.newest.max(u64::try_from(now.0).unwrap_or(0));
        loop {
            let at = UNIX_EPOCH + Duration::from_millis(state.newest);
            match state.generator.generate_from_datetime(at) {
                Ok(ulid) => return ulid,
                // The random part of this millisecond is used up: go on in the next.
                Err(_overflow) => state.newest += 1,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_grow_when_the_clock_steps_back() {
        let mint = Mint::new();
        let mut last = mint.next(UnixMillis(5_000));
        for now in [5_000, 4_000, 0, 5_001, 5_000] {
            let next = mint.next(UnixMillis(now));
            assert!(next > last, "{next} after {last}");
            last = next;
        }
    }
}
