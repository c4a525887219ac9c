//! Our A2A server beside one made of the stock server crate with its in-memory store, under the same load over HTTP:
//! submits, streams, reads among many tasks. Ours writes everything to disk before it answers; the stock one never does.
//!
//! `cargo bench -p mesh-agents-a2a --bench server -- --stock=PROGRAM --stores=DIR [submit|stream|read]`: PROGRAM is
//! `tests/stock-a2a-server`, built; DIR holds stores made by the bench `engine` (`--fill`), each named after the number
//! of its tasks. `scripts/bench.sh server` sees to both. Without PROGRAM there is no baseline.
#![expect(
    clippy::unwrap_used,
    reason = "a bench ends where its setting fails, and says where"
)]

mod client;
mod place;
mod read;
mod serve;
mod stream;
mod submit;

use std::path::Path;

use place::Setting;

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let value = |name: &str| words.iter().find_map(|word| word.strip_prefix(name));
    let wanted = |name: &str| {
        let mut parts = words
            .iter()
            .filter(|word| !word.starts_with("--"))
            .peekable();
        parts.peek().is_none() || parts.any(|word| word == name)
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    if let Some(dir) = value("--serve=") {
        runtime.block_on(serve::serve(Path::new(dir)));
        return;
    }
    let setting = Setting {
        stock: value("--stock=").map(Into::into),
        stores: value("--stores=").map(Into::into),
    };
    if wanted("submit") {
        runtime.block_on(submit::rows(&setting));
    }
    if wanted("stream") {
        runtime.block_on(stream::rows(&setting));
    }
    if wanted("read") {
        runtime.block_on(read::rows(&setting));
    }
}
