//! So many at once, and then one in a while.

/// How often something may be done.
#[derive(Debug)]
pub(super) struct Pace {
    /// So many at once, after a while in which there was none.
    at_once: u64,
    /// One more each so many milliseconds.
    every: u64,
    /// When all of `at_once` are there again, on the steady clock.
    full_at: u64,
}

impl Pace {
    pub(super) fn new(at_once: u64, every: u64) -> Self {
        Self {
            at_once,
            every,
            full_at: 0,
        }
    }

    /// When it may be done next; in the past, when it may now.
    pub(super) fn next(&self) -> u64 {
        let others = self.every * (self.at_once - 1);
        self.full_at.saturating_sub(others)
    }

    /// Takes the place of one time, if there is one.
    pub(super) fn take(&mut self, now: u64) -> bool {
        let may = self.next() <= now;
        if may {
            self.full_at = self.full_at.max(now) + self.every;
        }
        may
    }
}
