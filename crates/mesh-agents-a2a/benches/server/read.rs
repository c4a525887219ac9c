//! GetTask and ListTasks among many tasks, and what each server holds of memory with them.

use std::time::{Duration, Instant};

use mesh_agents_testkit::bench::{Row, Samples, ms};
use serde_json::{Value, json};

use super::client::Client;
use super::place::{Server, Setting};

/// Reads of one task.
const READS: usize = 2_000;
/// Pages of one list.
const PAGES: usize = 300;
/// After this long a server need not answer more, and the row says how often it has.
const ENOUGH: Duration = Duration::from_secs(10);
/// What it answers at least.
const LEAST: usize = 3;

pub(crate) async fn rows(setting: &Setting) {
    for (count, dir) in setting.filled() {
        let ids = std::fs::read_to_string(dir.join("ids")).unwrap();
        let ids: Vec<String> = ids.lines().map(str::to_owned).collect();
        let ours = Server::ours(&dir);
        let figures = figures(&ours, &ids).await;
        let held = held(&ours);
        drop(ours);
        let stock = setting.stock(count);
        let baseline = match &stock {
            Some(stock) => {
                let step = count / ids.len().max(1) as u64;
                let ids = (0..ids.len() as u64).map(|n| format!("task-{:07}", n * step));
                Some(self::figures(stock, &ids.collect::<Vec<_>>()).await)
            }
            None => None,
        };
        for (n, (what, times)) in figures.iter().enumerate() {
            let row = Row::new(format!("{what}, {count} tasks"), times);
            match &baseline {
                Some(baseline) => {
                    let other = &baseline[n].1;
                    let ratio = times.p50().as_secs_f64() / other.p50().as_secs_f64();
                    row.baseline(format!("stock, in memory: {other}"), ratio)
                        .print();
                }
                None => row.print(),
            }
        }
        let row = Row::new(format!("RSS after these reads, {count} tasks"), held.1);
        match &stock {
            Some(stock) => {
                let other = self::held(stock);
                row.baseline(format!("stock: {}", other.1), held.0 / other.0)
                    .print();
            }
            None => row.print(),
        }
    }
}

/// Resident MiB, and all that is to be said of it.
fn held(server: &Server) -> (f64, String) {
    let memory = server.memory();
    let words = format!("{memory}, served after {}", ms(server.ready));
    (memory.rss_mib(), words)
}

async fn figures(server: &Server, ids: &[String]) -> Vec<(&'static str, Samples)> {
    let mut client = Client::connect(&server.url).await;
    let get = |n: usize| ("GetTask", json!({"id": ids[n % ids.len()]}));
    let mut all = vec![("GetTask", timed(&mut client, READS, get).await)];
    let list = json!({"pageSize": 50, "historyLength": 0, "includeArtifacts": false});
    for (what, state) in [
        ("ListTasks, page of 50", None),
        (
            "ListTasks, page of 50, by a state of most",
            Some("TASK_STATE_COMPLETED"),
        ),
        (
            "ListTasks, page of 50, by a state of few",
            Some("TASK_STATE_CANCELED"),
        ),
        (
            "ListTasks, page of 50, by a state of none",
            Some("TASK_STATE_WORKING"),
        ),
    ] {
        let mut params = list.clone();
        if let Some(state) = state {
            params["status"] = state.into();
        }
        let times = timed(&mut client, PAGES, |_| ("ListTasks", params.clone())).await;
        all.push((what, times));
    }
    all
}

async fn timed(
    client: &mut Client,
    count: usize,
    ask: impl Fn(usize) -> (&'static str, Value),
) -> Samples {
    let (begun, mut times) = (Instant::now(), Vec::new());
    while times.len() < count && (times.len() < LEAST || begun.elapsed() < ENOUGH) {
        let (method, params) = ask(times.len());
        let start = Instant::now();
        let answer = client.ask(method, &params).await;
        times.push(start.elapsed());
        let right = answer.windows(8).any(|word| word == b"\"result\"");
        assert!(right, "{method}: {answer:?}");
    }
    Samples::of(times)
}
