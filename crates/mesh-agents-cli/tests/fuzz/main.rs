//! The fuzz targets as tests on a stable compiler: each is fed inputs made from a row of seeds for
//! `FUZZ_SECONDS` (2 when unset; CI sets 20), which are seconds of a processor: a busy machine makes the run longer and
//! tries no less. A failing seed is printed and replays with `FUZZ_SEED=<seed>`. The same targets under libFuzzer:
//! `scripts/fuzz.sh`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stderr,
    clippy::disallowed_methods,
    reason = "a test ends where its setting fails, and says what it did"
)]

mod grammar;
mod targets;

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Longest input made; what matters shows in shorter ones, and limits have tests of their own.
const LONGEST: usize = 2048;

#[test]
fn runtime_toml_with_templates() {
    soak(targets::runtime_toml::run);
}

#[test]
fn agent_cards() {
    soak(targets::agent_card::run);
}

#[test]
fn a2a_bodies() {
    soak(targets::a2a_body::run);
}

#[test]
fn acp_lines() {
    soak(targets::acp_lines::run);
}

#[test]
fn engine_socket_requests() {
    soak(targets::engine_socket::run);
}

#[test]
fn handshakes_of_nodes() {
    soak(targets::mesh_handshake::run);
}

#[test]
fn adverts_and_mesh_cards() {
    soak(targets::mesh_advert::run);
}

#[test]
fn lists_of_who_may_call() {
    soak(targets::acl_toml::run);
}

/// Feeds `target` until the time is over, or the one seed asked for.
fn soak(target: fn(&[u8])) {
    if let Some(seed) = number("FUZZ_SEED") {
        target(&bytes(seed));
        return;
    }
    let limit = Duration::from_secs(number("FUZZ_SECONDS").unwrap_or(2));
    let (since, had) = (Instant::now(), on_processor());
    let worked = || match (on_processor(), had) {
        (Some(now), Some(had)) => now.saturating_sub(had),
        _ => since.elapsed(),
    };
    let mut seed = 0;
    while worked() < limit {
        let outcome = catch_unwind(AssertUnwindSafe(|| target(&bytes(seed))));
        assert!(
            outcome.is_ok(),
            "seed {seed} broke the target (see above); replay with FUZZ_SEED={seed}"
        );
        seed += 1;
    }
    eprintln!("{seed} inputs");
}

/// How long this thread has been on a processor; `None` where the system does not tell.
fn on_processor() -> Option<Duration> {
    let times = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    Some(Duration::from_nanos(
        times.split_whitespace().next()?.parse().ok()?,
    ))
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().expect("a number"))
}

/// The input a seed stands for. SplitMix64 (Steele, Lea, Flood 2014).
fn bytes(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    let length = usize::try_from(next()).unwrap_or(usize::MAX) % LONGEST;
    std::iter::repeat_with(|| next().to_le_bytes())
        .flatten()
        .take(length)
        .collect()
}
