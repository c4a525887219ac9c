//! The binary `agents` from outside: start, recovery, memory, cancel, and calls over every way in (DESIGN §8).
//!
//! `cargo bench -p mesh-agents --bench node [start|recover|memory|cancel|calls]`; the scripted agent has to be built
//! beside it (`scripts/bench.sh` sees to it).
#![expect(
    clippy::unwrap_used,
    reason = "a bench ends where its setting fails, and says where"
)]

mod calls;
mod cancel;
mod http;
mod memory;
mod place;
mod recover;
mod start;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let all: [(&str, fn()); 5] = [
        ("start", start::rows),
        ("recover", recover::rows),
        ("memory", memory::rows),
        ("cancel", cancel::rows),
        ("calls", calls::rows),
    ];
    let named = |name: &str| words.iter().any(|word| word == name);
    let any = all.iter().any(|(name, _)| named(name));
    for (name, rows) in all {
        if !any || named(name) {
            rows();
        }
    }
}
