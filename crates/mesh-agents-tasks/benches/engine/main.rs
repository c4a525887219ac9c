//! The task engine beside what the machine could do at best: submits beside bare fsyncs, reads of a
//! million tasks beside bare SQLite (DESIGN §8).
//!
//! `cargo bench -p mesh-agents-tasks --bench engine [submit|read|care]`; `--tasks=N` stores fewer than a
//! million, for a short look. `--fill=DIR --tasks=N` measures nothing: it leaves a store for the bench `server` in DIR.
#![expect(
    clippy::unwrap_used,
    reason = "a bench ends where its setting fails, and says where"
)]

mod care;
mod fill;
mod place;
mod read;
mod submit;

/// Tasks of a filled store that its file `ids` names.
const NAMED: u64 = 2_000;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let wanted = |name: &str| {
        let parts = words.iter().filter(|word| !word.starts_with("--"));
        parts.clone().next().is_none() || parts.clone().any(|word| word == name)
    };
    let tasks = words
        .iter()
        .find_map(|word| word.strip_prefix("--tasks=")?.parse().ok());
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    if let Some(dir) = words.iter().find_map(|word| word.strip_prefix("--fill=")) {
        let dir = std::path::Path::new(dir);
        runtime.block_on(async { place::engine(dir).await.shutdown(true).await });
        fill::fill_for_a_server(dir, tasks.unwrap_or(1_000), NAMED);
        return;
    }
    if wanted("submit") {
        runtime.block_on(submit::rows());
    }
    if wanted("read") {
        runtime.block_on(read::rows(tasks.unwrap_or(1_000_000)));
    }
    if wanted("care") {
        runtime.block_on(care::rows(tasks.unwrap_or(1_000_000)));
    }
}
