//! Durable submits, by one client and by 64, beside the machine's own 4 KiB append and fsync.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use mesh_agents_core::ids::MessageId;
use mesh_agents_core::policy::Caller;
use mesh_agents_core::task::{Message, Role};
use mesh_agents_tasks::{Submit, TaskEngine};
use mesh_agents_testkit::bench::{Row, Samples, ms};
use tokio::task::JoinSet;
use ulid::Ulid;

use super::place;

/// Baseline and engine take turns, so that a busy moment of the disk meets both.
const ROUNDS: usize = 10;
/// Submits, and appends, of one turn.
const TURN: usize = 300;
/// Clients at once.
const CLIENTS: usize = 64;
/// Submits of each of them.
const EACH: usize = 1_000;

pub(crate) async fn rows() {
    one_client().await;
    many_clients().await;
}

async fn one_client() {
    let dir = place::directory();
    let engine = place::engine(dir.path()).await;
    let mut file = append_file(dir.path());
    let (mut appends, mut submits) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for _ in 0..TURN {
            appends.push(append(&mut file));
        }
        // On a worker of the runtime, as the engine's servers run their requests.
        let engine = engine.clone();
        #[expect(
            clippy::disallowed_methods,
            reason = "the handle is kept and waited for"
        )]
        let turn = tokio::spawn(async move {
            let mut times = Vec::with_capacity(TURN);
            for _ in 0..TURN {
                let start = Instant::now();
                submit(&engine).await;
                times.push(start.elapsed());
            }
            times
        });
        submits.extend(turn.await.unwrap());
    }
    let (appends, submits) = (Samples::of(appends), Samples::of(submits));
    let in_time =
        submits.p50() <= Duration::from_millis(2) && submits.p99() <= Duration::from_millis(8);
    Row::new("durable submit, engine side, one client", &submits)
        .baseline(
            format!("4 KiB append + fsync: {appends}"),
            submits.p50().as_secs_f64() / appends.p50().as_secs_f64(),
        )
        .budget("p50 ≤ 2 ms, p99 ≤ 8 ms", in_time)
        .print();
    let ratio = submits.rate() / appends.rate();
    Row::new(
        "durable submits, one client",
        format!("{:.0}/s", submits.rate()),
    )
    .baseline(
        format!("4 KiB append + fsync: {:.0}/s", appends.rate()),
        ratio,
    )
    .budget("≥ 0.6 × baseline", ratio >= 0.6)
    .print();
    engine.shutdown(true).await;
}

async fn many_clients() {
    let dir = place::directory();
    let engine = place::engine(dir.path()).await;
    let mut file = append_file(dir.path());
    let appends = Samples::of((0..TURN).map(|_| append(&mut file)).collect());
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let engine = engine.clone();
        clients.spawn(async move {
            let mut times = Vec::with_capacity(EACH);
            for _ in 0..EACH {
                let start = Instant::now();
                submit(&engine).await;
                times.push(start.elapsed());
            }
            times
        });
    }
    let times = Samples::of(clients.join_all().await.concat());
    let rate = (CLIENTS * EACH) as f64 / start.elapsed().as_secs_f64();
    let (p50, p99) = (ms(times.p50()), ms(times.p99()));
    Row::new(
        format!("durable submits, {CLIENTS} clients"),
        format!("{rate:.0}/s (p50 {p50}, p99 {p99})"),
    )
    .baseline(
        format!("4 KiB append + fsync: {:.0}/s", appends.rate()),
        rate / appends.rate(),
    )
    .budget("≥ 15000/s", rate >= 15_000.0)
    .print();
    engine.shutdown(true).await;
}

async fn submit(engine: &TaskEngine) {
    let submit = Submit {
        agent_id: "a".parse().unwrap(),
        message: Message::text(
            MessageId::from_ulid(Ulid::new()),
            Role::User,
            "Review the change of this branch and say what is wrong with it.",
        ),
        metadata: None,
        context_id: None,
        task_id: None,
        push: None,
        queue_if_offline: false,
        minted: None,
    };
    engine.submit(&Caller::local(), submit).await.unwrap();
}

fn append_file(dir: &Path) -> File {
    let path = dir.join("append");
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .unwrap()
}

fn append(file: &mut File) -> Duration {
    let block = [7_u8; 4096];
    let start = Instant::now();
    file.write_all(&block).unwrap();
    file.sync_all().unwrap();
    start.elapsed()
}
