//! Tasks begun by one client and by 64: ours are on disk when the answer comes, the stock server's are not.

use std::time::{Duration, Instant};

use mesh_agents_testkit::bench::{Row, Samples, ms};
use serde_json::json;
use tokio::task::JoinSet;

use super::client::{Client, begin};
use super::place::{self, Server, Setting};

/// The servers take turns, so that a busy moment of the machine meets both.
const ROUNDS: usize = 10;
/// Submits of one turn.
const TURN: usize = 200;
/// Clients at once.
const CLIENTS: usize = 64;
/// Submits of each of them.
const EACH: usize = 300;
/// How often it is looked whether all tasks have ended.
const LOOK: Duration = Duration::from_millis(20);

pub(crate) async fn rows(setting: &Setting) {
    let dir = place::directory();
    let ours = Server::ours(dir.path());
    let stock = setting.stock(0);
    one_client(&ours, stock.as_ref()).await;
    let (ours_rate, ours_words) = many_clients(&ours).await;
    let row = Row::new(
        format!("durable submits over A2A, {CLIENTS} clients"),
        ours_words,
    );
    match &stock {
        Some(stock) => {
            let (rate, words) = many_clients(stock).await;
            row.baseline(format!("stock, in memory: {words}"), ours_rate / rate)
                .print();
        }
        None => row.print(),
    }
}

async fn one_client(ours: &Server, stock: Option<&Server>) {
    let mut client = Client::connect(&ours.url).await;
    let mut other = match stock {
        Some(stock) => Some(Client::connect(&stock.url).await),
        None => None,
    };
    let (mut times, mut others) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        turn(&mut client, &mut times).await;
        if let Some(other) = &mut other {
            turn(other, &mut others).await;
        }
    }
    let (times, others) = (Samples::of(times), Samples::of(others));
    let words = |times: &Samples| format!("{:.0}/s, {times}", times.rate());
    let row = Row::new("durable submits over A2A, one client", words(&times));
    match stock {
        Some(_) => row
            .baseline(
                format!("stock, in memory: {}", words(&others)),
                times.rate() / others.rate(),
            )
            .print(),
        None => row.print(),
    }
}

async fn turn(client: &mut Client, times: &mut Vec<Duration>) {
    for _ in 0..TURN {
        times.push(submit(client).await);
    }
}

async fn submit(client: &mut Client) -> Duration {
    let params = begin("done");
    let start = Instant::now();
    let answer = client.ask("SendMessage", &params).await;
    let took = start.elapsed();
    let begun = answer.windows(7).any(|word| word == b"\"task\":");
    assert!(begun, "{answer:?}");
    took
}

/// How many a second, and all that is to be said of it.
async fn many_clients(server: &Server) -> (f64, String) {
    let start = Instant::now();
    let mut clients = JoinSet::new();
    for _ in 0..CLIENTS {
        let url = server.url.clone();
        clients.spawn(async move {
            let mut client = Client::connect(&url).await;
            let mut times = Vec::with_capacity(EACH);
            for _ in 0..EACH {
                times.push(submit(&mut client).await);
            }
            times
        });
    }
    let times = Samples::of(clients.join_all().await.concat());
    let rate = (CLIENTS * EACH) as f64 / start.elapsed().as_secs_f64();
    all_ended(server).await;
    let ended = (CLIENTS * EACH) as f64 / start.elapsed().as_secs_f64();
    let (p50, p99) = (ms(times.p50()), ms(times.p99()));
    let memory = server.memory();
    let words =
        format!("{rate:.0}/s (p50 {p50}, p99 {p99}); run to their end {ended:.0}/s; RSS {memory}");
    (rate, words)
}

async fn all_ended(server: &Server) {
    let mut client = Client::connect(&server.url).await;
    for state in ["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"] {
        let params = json!({"status": state, "pageSize": 1});
        // The stock server leaves a zero out.
        while client.call("ListTasks", &params).await["totalSize"]
            .as_u64()
            .is_some_and(|open| open > 0)
        {
            tokio::time::sleep(LOOK).await;
        }
    }
}
