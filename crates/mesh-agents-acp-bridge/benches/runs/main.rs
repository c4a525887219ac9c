//! What a run under the bridge costs beside a bare ACP client that drives the same harness (DESIGN §8).
//!
//! Bare and bridged runs take turns. The guard is the binary `agents` itself where it lies beside the
//! bench (`scripts/bench.sh` sees to it), since that is what is started in a user's run.
#![expect(
    clippy::unwrap_used,
    reason = "a bench ends where its setting fails, and says where"
)]

mod bare;
mod bridged;

use std::time::{Duration, Instant};

use mesh_agents_core::agent::Filesystem;
use mesh_agents_testkit::bench::{Row, Samples, ms};

/// Runs of each kind.
const RUNS: usize = 60;
/// Runs with a burst.
const BURSTS: usize = 5;
/// Updates of one burst.
const UPDATES: u32 = 10_000;

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        tasks().await;
        updates().await;
    });
}

async fn tasks() {
    let world = bridged::World::new();
    let prompt = "script: text done";
    let kinds = [
        Filesystem::Unconfined,
        Filesystem::ReadAll,
        Filesystem::Workspace,
    ];
    let mut bare_times = Vec::new();
    let mut times = [Vec::new(), Vec::new(), Vec::new()];
    for _ in 0..RUNS {
        let start = Instant::now();
        bare::run(&world.workspace(), prompt).await;
        bare_times.push(start.elapsed());
        for (kind, times) in kinds.into_iter().zip(&mut times) {
            let start = Instant::now();
            world.run(kind, prompt).await;
            times.push(start.elapsed());
        }
    }
    let bare = Samples::of(bare_times);
    let [unconfined, read_all, workspace] = times.map(Samples::of);
    for (kind, times) in [
        ("unconfined", &unconfined),
        ("read_all", &read_all),
        ("workspace", &workspace),
    ] {
        let added = times.p50().saturating_sub(bare.p50());
        Row::new(
            format!("bridge, one task, {kind}: added at p50"),
            format!("{} (run {times})", ms(added)),
        )
        .baseline(
            format!("bare ACP client: {bare}"),
            times.p50().as_secs_f64() / bare.p50().as_secs_f64(),
        )
        .budget("≤ 15 ms", added <= Duration::from_millis(15))
        .print();
    }
    Row::new(
        "of that by Landlock, workspace over unconfined, at p50",
        ms(workspace.p50().saturating_sub(unconfined.p50())),
    )
    .print();
}

async fn updates() {
    let world = bridged::World::new();
    let quiet = "script: text done".to_owned();
    let burst = format!("script: burst {UPDATES}");
    let (mut bare_times, mut times) = (Vec::new(), Vec::new());
    for _ in 0..BURSTS {
        let per_update = |quiet: Duration, burst: Duration| burst.saturating_sub(quiet) / UPDATES;
        let start = Instant::now();
        bare::run(&world.workspace(), &quiet).await;
        let middle = start.elapsed();
        bare::run(&world.workspace(), &burst).await;
        bare_times.push(per_update(middle, start.elapsed() - middle));
        let start = Instant::now();
        world.run(Filesystem::Workspace, &quiet).await;
        let middle = start.elapsed();
        let seen = world.run(Filesystem::Workspace, &burst).await;
        times.push(per_update(middle, start.elapsed() - middle));
        assert!(seen >= UPDATES as usize, "only {seen} updates arrived");
    }
    let (bare, bridged) = (Samples::of(bare_times), Samples::of(times));
    let added = bridged.p50().saturating_sub(bare.p50());
    Row::new(
        format!("bridge, per ACP update in a burst of {UPDATES}: added at p50"),
        format!("{} (whole {})", ms(added), ms(bridged.p50())),
    )
    .baseline(
        format!("bare ACP client: {}", ms(bare.p50())),
        bridged.p50().as_secs_f64() / bare.p50().as_secs_f64(),
    )
    .budget("≤ 1 ms", added <= Duration::from_millis(1))
    .print();
}
