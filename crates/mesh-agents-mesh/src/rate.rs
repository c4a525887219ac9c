//! How often a caller may ask: a token bucket for each key.
//!
//! A bucket is one time: when it will be full again. It holds `burst` tokens and gains `per_minute` a
//! minute. Time comes in, from a clock that should never go back; if it does, buckets are empty at worst.

use std::collections::HashMap;
use std::time::Duration;

use mesh_agents_core::refusal::{Code, Refusal};

use crate::identity::NodeKey;

/// How many callers are held at once. A bucket that is full again is not held, so these are callers of the
/// last minutes; the owner's list lets in far fewer.
const CALLERS: usize = 4096;

/// How often one caller may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Requests a minute in the long run, at least 1.
    pub per_minute: u32,
    /// Requests at once after a silence, at least 1.
    pub burst: u32,
}

impl Default for Rate {
    /// Ten a second and a hundred at once: a caller that follows a hundred tasks asks less; a loop gone wild
    /// asks more.
    fn default() -> Self {
        Self {
            per_minute: 600,
            burst: 100,
        }
    }
}

impl Rate {
    /// The time one token takes to come back.
    fn interval(self) -> Duration {
        Duration::from_secs(60) / self.per_minute.max(1)
    }
}

/// A caller asked too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {} requests a minute (and {} at once); try again in {} s", rate.per_minute, rate.burst, self.seconds())]
pub struct Flooded {
    /// What it may.
    pub rate: Rate,
    /// When to try again, from now.
    pub retry_after: Duration,
}

impl Flooded {
    /// The value of `Retry-After`: whole seconds, rounded up, at least 1.
    #[must_use]
    pub fn seconds(&self) -> u64 {
        let whole = self.retry_after.as_secs();
        (whole + u64::from(self.retry_after.subsec_nanos() > 0)).max(1)
    }

    /// As callers of any surface are told.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        Refusal::new(Code::RateLimited, self.to_string()).hint(
            "Ask less often: get_task with wait_seconds waits for one answer; or ask the owner for a higher requests_per_minute.",
        )
    }
}

/// The buckets of all callers.
#[derive(Debug, Default)]
pub struct Buckets {
    full_at: HashMap<NodeKey, Duration>,
    /// One for all keys the owner's list does not know: they are free to make.
    strangers: Duration,
}

impl Buckets {
    /// Takes one token of `key`, whose rate is `rate`, at `now` (since any fixed moment).
    ///
    /// # Errors
    /// It has none left; nothing is taken.
    pub fn take(&mut self, key: &NodeKey, rate: Rate, now: Duration) -> Result<(), Flooded> {
        if let Some(full_at) = self.full_at.get_mut(key) {
            return take(full_at, rate, now);
        }
        if self.full_at.len() >= CALLERS {
            self.full_at.retain(|_, full_at| *full_at > now);
        }
        if self.full_at.len() >= CALLERS {
            // So many at once is a flood of its own, whoever they are.
            let retry_after = rate.interval();
            return Err(Flooded { rate, retry_after });
        }
        let mut full_at = now;
        take(&mut full_at, rate, now)?;
        self.full_at.insert(*key, full_at);
        Ok(())
    }

    /// Takes one token of the bucket that all strangers share.
    ///
    /// # Errors
    /// As [`Self::take`].
    pub fn take_of_strangers(&mut self, rate: Rate, now: Duration) -> Result<(), Flooded> {
        take(&mut self.strangers, rate, now)
    }

    /// How many callers are held.
    #[must_use]
    pub fn len(&self) -> usize {
        self.full_at.len()
    }

    /// Whether none is held.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.full_at.is_empty()
    }
}

fn take(full_at: &mut Duration, rate: Rate, now: Duration) -> Result<(), Flooded> {
    let interval = rate.interval();
    let holds = interval.saturating_mul(rate.burst.max(1));
    // Never emptier than empty: after the clock went back, or the rate was raised.
    *full_at = (*full_at).min(now.saturating_add(holds));
    let then = (*full_at).max(now).saturating_add(interval);
    let wait = then.saturating_sub(now).saturating_sub(holds);
    if wait.is_zero() {
        *full_at = then;
        Ok(())
    } else {
        Err(Flooded {
            rate,
            retry_after: wait,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::identity::NodeSecret;

    const RATE: Rate = Rate {
        per_minute: 60,
        burst: 3,
    };

    fn key(n: u32) -> NodeKey {
        let mut seed = [0; 32];
        seed[..4].copy_from_slice(&n.to_be_bytes());
        NodeSecret::from_seed(&seed).key()
    }

    fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_burst_passes_then_one_for_each_interval() {
        let mut buckets = Buckets::default();
        let mut take = |millis| {
            buckets
                .take(&key(1), RATE, at(millis))
                .map_err(|f| f.retry_after)
        };
        for _ in 0..3 {
            assert_eq!(take(5000), Ok(()));
        }
        assert_eq!(take(5000), Err(at(1000)));
        assert_eq!(take(5400), Err(at(600)));
        assert_eq!(take(6000), Ok(()));
        assert_eq!(take(6000), Err(at(1000)));
        // After a silence the whole burst is back, and no more than that.
        for _ in 0..3 {
            assert_eq!(take(60_000), Ok(()));
        }
        assert!(take(60_000).is_err());
    }

    #[test]
    fn the_answer_says_when_to_come_back_and_coming_back_then_works() {
        let mut buckets = Buckets::default();
        let slow = Rate {
            per_minute: 1,
            burst: 1,
        };
        buckets.take(&key(1), slow, at(0)).unwrap();
        let flooded = buckets.take(&key(1), slow, at(500)).unwrap_err();
        assert_eq!(flooded.seconds(), 60);
        let refusal = flooded.refusal();
        assert_eq!(refusal.code, Code::RateLimited);
        assert!(refusal.message.contains("try again in 60 s"), "{refusal}");
        let then = at(500) + flooded.retry_after;
        assert_eq!(buckets.take(&key(1), slow, then), Ok(()));
    }

    #[test]
    fn callers_do_not_pay_for_each_other_and_strangers_share_one() {
        let mut buckets = Buckets::default();
        for _ in 0..3 {
            buckets.take(&key(1), RATE, at(0)).unwrap();
            buckets.take_of_strangers(RATE, at(0)).unwrap();
        }
        assert!(buckets.take(&key(1), RATE, at(0)).is_err());
        assert!(buckets.take_of_strangers(RATE, at(0)).is_err());
        assert!(buckets.take(&key(2), RATE, at(0)).is_ok());
    }

    #[test]
    fn the_number_of_callers_is_bounded_and_quiet_ones_make_room() {
        let mut buckets = Buckets::default();
        for n in 0..u32::try_from(CALLERS).unwrap() {
            buckets.take(&key(n), RATE, at(0)).unwrap();
        }
        let one_more = key(u32::MAX);
        assert!(buckets.take(&one_more, RATE, at(10)).is_err());
        assert_eq!(buckets.len(), CALLERS);
        // One that is held already goes on.
        assert!(buckets.take(&key(0), RATE, at(10)).is_ok());
        assert!(buckets.take(&one_more, RATE, at(1500)).is_ok());
        assert!(buckets.len() < 10, "{}", buckets.len());
    }

    #[test]
    fn a_clock_that_goes_back_and_a_lowered_rate_hold_nobody_for_long() {
        let mut buckets = Buckets::default();
        for _ in 0..3 {
            buckets.take(&key(1), RATE, at(1_000_000)).unwrap();
        }
        let back = buckets.take(&key(1), RATE, at(0)).unwrap_err();
        assert_eq!(back.retry_after, at(1000));
        assert!(buckets.take(&key(1), RATE, at(1000)).is_ok());
        let slow = Rate {
            per_minute: 1,
            burst: 1,
        };
        let mut buckets = Buckets::default();
        for _ in 0..3 {
            buckets.take(&key(1), RATE, at(0)).unwrap();
        }
        let lowered = buckets.take(&key(1), slow, at(0)).unwrap_err();
        assert!(
            lowered.retry_after <= Duration::from_secs(60),
            "{lowered:?}"
        );
    }

    proptest! {
        /// In any stretch of time no more than the burst and what came back in it gets through.
        #[test]
        fn never_more_than_the_rate(
            per_minute in 1..5000u32, burst in 1..50u32, gaps in prop::collection::vec(0..2000u64, 1..300),
        ) {
            let rate = Rate { per_minute, burst };
            let mut buckets = Buckets::default();
            let (mut now, mut passed) = (0, Vec::new());
            for gap in gaps {
                now += gap;
                if buckets.take(&key(1), rate, at(now)).is_ok() {
                    passed.push(now);
                }
            }
            for (n, from) in passed.iter().enumerate() {
                for (count, to) in (1u64..).zip(&passed[n..]) {
                    let back = (to - from) * u64::from(per_minute) / 60_000;
                    prop_assert!(count <= u64::from(burst) + back + 1, "{count} in {} ms", to - from);
                }
            }
        }
    }
}
