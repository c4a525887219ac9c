//! Many clients at once: the connection between host and plugin, which breaks when handled carelessly,
//! holds, and every answer is the right one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use mesh_host_drive::scripts::TEST_RUN;
use mesh_host_drive::{AgentFiles, Client, Host, HostSpec, Queue, eventually, run};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// MCP clients at once.
const CLIENTS: usize = 8;

/// Names the environment variable with the number of calls; CI asks for ten thousand.
const CALLS_ENV: &str = "LOAD_CALLS";

/// Calls when nobody says: half a minute.
const DEFAULT_CALLS: usize = 2_000;

/// Bytes of the text artifact that is paged.
const TEXT_BYTES: usize = 1024 * 1024;

/// Characters asked for per page, the tool's own default.
const PAGE_CHARS: usize = 16_000;

/// Tasks sent under load may all wait in the queue.
const QUEUE: Queue = Queue {
    running: 2,
    pending: 1_000,
};

/// Limit for the last of the tasks sent to finish.
const DRAIN_LIMIT: Duration = Duration::from_secs(300);

/// Copies a prepared text into the artifacts.
const BIG: &str =
    "#!/bin/sh\nset -eu\ncp \"$(dirname \"$0\")/big.txt\" \"$TASK_ARTIFACTS_DIR/big.txt\"\n";

/// What every client needs to know to judge an answer.
struct Known {
    text: Vec<char>,
    big_task: String,
    run_task: String,
}

#[tokio::test(flavor = "multi_thread")]
async fn load() {
    let calls = std::env::var(CALLS_ENV).map_or(DEFAULT_CALLS, |calls| calls.parse().unwrap());
    run(async |home| {
        let text = text();
        home.agent(&AgentFiles::new("test-runner", TEST_RUN).with_queue(QUEUE))?;
        let big = home.agent(&AgentFiles::new("big", BIG))?;
        std::fs::write(big.join("big.txt"), &text)?;
        let host = Host::start(home, HostSpec::new("load")).await?;
        let clients = try_join_all((0..CLIENTS).map(|_| host.mcp())).await?;
        let known = Known {
            text: text.chars().collect(),
            big_task: completed(&clients[0], "big").await?,
            run_task: completed(&clients[0], "test-runner").await?,
        };
        let plugin = host.plugin().await?;

        let start = Instant::now();
        let share = calls / CLIENTS;
        let work = clients
            .iter()
            .enumerate()
            .map(|(n, client)| drive(client, n, share, &known));
        let tallies = try_join_all(work).await?;
        let elapsed = start.elapsed();

        assert_eq!(host.lost_plugins()?, 0, "the plugin was lost under load");
        assert_eq!(
            host.plugin_now()?,
            Some(plugin),
            "another plugin process answers"
        );
        let sent = tallies.iter().map(|tally| tally.sent.len()).sum::<usize>();
        // Two were there before: the ones everybody reads.
        all_complete(&clients[0], sent + 2).await?;
        report(&host, &tallies, elapsed);
        try_join_all(clients.into_iter().map(Client::close)).await?;
        host.stop().await
    })
    .await;
}

/// A megabyte whose pages cannot be mistaken for each other, with characters of one to four bytes.
fn text() -> String {
    let mut text = String::with_capacity(TEXT_BYTES);
    for line in 0.. {
        let before = text.len();
        text.push_str(&format!("{line:06} naïve \"quotes\" — 日本語 🦀\n"));
        if text.len() > TEXT_BYTES {
            text.truncate(before);
            break;
        }
    }
    text.extend(std::iter::repeat_n('.', TEXT_BYTES - text.len()));
    text
}

async fn completed(client: &Client, agent_id: &str) -> Result<String> {
    let message = json!({ "agent_id": agent_id, "message": "Run.", "wait_seconds": 25 });
    let sent = client.call("send_message", message).await?;
    ensure!(sent["state"] == "completed", "{sent}");
    Ok(sent["task_id"].as_str().context("task_id")?.to_owned())
}

/// What one client did: milliseconds by tool, and the tasks it sent.
#[derive(Default)]
struct Tally {
    millis: BTreeMap<&'static str, Vec<f64>>,
    sent: Vec<String>,
}

impl Tally {
    async fn call(&mut self, client: &Client, tool: &'static str, args: Value) -> Result<Value> {
        let start = Instant::now();
        let answer = client.call(tool, args).await?;
        self.millis
            .entry(tool)
            .or_default()
            .push(start.elapsed().as_secs_f64() * 1_000.0);
        Ok(answer)
    }

    fn calls(&self) -> usize {
        self.millis.values().map(Vec::len).sum()
    }
}

/// One client's share of the calls: the whole artifact first, then a mix.
async fn drive(client: &Client, n: usize, share: usize, known: &Known) -> Result<Tally> {
    let mut tally = Tally::default();
    page_it_all(client, &mut tally, known).await?;
    // Repeatable, and different for every client.
    let mut dice = n as u64 + 1;
    while tally.calls() < share {
        dice = dice
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        mixed(client, (dice >> 33) as usize, &mut tally, known)
            .await
            .with_context(|| format!("client {n}, call {}", tally.calls()))?;
    }
    Ok(tally)
}

async fn page_it_all(client: &Client, tally: &mut Tally, known: &Known) -> Result<()> {
    let mut digest = Sha256::new();
    let mut next = Some(0);
    while let Some(offset) = next {
        let page = page(client, offset, tally, known).await?;
        digest.update(page["text"].as_str().context("text")?);
        next = page["next_offset"].as_u64();
        ensure!(
            next.is_none_or(|next| next > offset),
            "paging does not advance: {next:?}"
        );
    }
    let expected = Sha256::digest(known.text.iter().collect::<String>());
    ensure!(
        digest.finalize() == expected,
        "the pages do not add up to the artifact"
    );
    Ok(())
}

/// One page, compared with what was written.
async fn page(client: &Client, offset: u64, tally: &mut Tally, known: &Known) -> Result<Value> {
    let request = json!({ "task_id": known.big_task, "artifact_id": "big.txt", "offset": offset });
    let page = tally.call(client, "view_text_artifact", request).await?;
    let text = page["text"].as_str().context("text")?;
    let count = text.chars().count();
    let from = usize::try_from(offset)?;
    ensure!(
        count > 0 && count <= PAGE_CHARS,
        "{count} characters at {offset}"
    );
    ensure!(
        text.chars()
            .eq(known.text[from..from + count].iter().copied()),
        "page at {offset}"
    );
    ensure!(
        page["total_chars"] == known.text.len(),
        "total_chars: {}",
        page["total_chars"]
    );
    let more = (from + count < known.text.len()).then_some(from + count);
    ensure!(
        page["next_offset"] == json!(more),
        "next_offset: {}",
        page["next_offset"]
    );
    Ok(page)
}

async fn mixed(client: &Client, dice: usize, tally: &mut Tally, known: &Known) -> Result<()> {
    let task = &known.run_task;
    match dice % 40 {
        0 => {
            let message = json!({ "agent_id": "test-runner", "message": format!("Run {dice}.") });
            let sent = tally.call(client, "send_message", message).await?;
            tally
                .sent
                .push(sent["task_id"].as_str().context("task_id")?.to_owned());
        }
        1..=2 => {
            let request = json!({ "task_id": task, "artifact_id": "findings.json" });
            let data = tally.call(client, "view_data_artifact", request).await?;
            ensure!(data["data"]["findings"][0]["line"] == 3, "{data}");
        }
        3..=8 => {
            let offset = dice % (known.text.len() - 1);
            page(client, offset as u64, tally, known).await?;
        }
        9..=16 => {
            let wanted = tally.sent.last().unwrap_or(task).clone();
            let got = tally
                .call(client, "get_task", json!({ "task_id": wanted }))
                .await?;
            ensure!(got["task_id"] == wanted, "{got}");
        }
        17..=24 => {
            let listed = tally.call(client, "list_tasks", json!({})).await?;
            ensure!(
                listed["tasks"]
                    .as_array()
                    .is_some_and(|tasks| !tasks.is_empty()),
                "{listed}"
            );
        }
        25..=30 => {
            let agent = tally
                .call(client, "get_agent", json!({ "agent_id": "test-runner" }))
                .await?;
            ensure!(agent["agent_id"] == "test-runner", "{agent}");
        }
        _ => {
            let listed = tally.call(client, "get_agents", json!({})).await?;
            ensure!(
                listed["agents"]
                    .as_array()
                    .is_some_and(|agents| agents.len() == 2),
                "{listed}"
            );
        }
    }
    Ok(())
}

/// Waits until nothing runs or waits, and counts what completed, page by page.
async fn all_complete(client: &Client, expected: usize) -> Result<()> {
    for state in ["submitted", "working"] {
        eventually("the tasks sent to finish", DRAIN_LIMIT, async || {
            let open = client
                .call("list_tasks", json!({ "state": state, "limit": 1 }))
                .await?;
            Ok(open["tasks"]
                .as_array()
                .context("tasks")?
                .is_empty()
                .then_some(()))
        })
        .await?;
    }
    let (mut count, mut cursor) = (0, Value::Null);
    loop {
        let mut request = json!({ "state": "completed", "limit": 100 });
        if !cursor.is_null() {
            request["cursor"] = cursor;
        }
        let mut listed = client.call("list_tasks", request).await?;
        count += listed["tasks"].as_array().context("tasks")?.len();
        cursor = listed["next_cursor"].take();
        if cursor.is_null() {
            break;
        }
    }
    ensure!(
        count == expected,
        "{expected} tasks were sent and {count} completed"
    );
    Ok(())
}

/// Prints the figures of the closing note.
#[expect(clippy::print_stdout, reason = "figures, seen with --nocapture")]
fn report(host: &Host<'_>, tallies: &[Tally], elapsed: Duration) {
    println!(
        "the host answered {} ms after its start",
        host.boot().as_millis()
    );
    let mut by_tool: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (tool, millis) in tallies.iter().flat_map(|tally| &tally.millis) {
        by_tool.entry(tool).or_default().extend(millis);
    }
    let calls = by_tool.values().map(Vec::len).sum::<usize>();
    let seconds = elapsed.as_secs_f64();
    println!(
        "{calls} calls by {CLIENTS} clients in {seconds:.1} s, {:.0}/s",
        calls as f64 / seconds
    );
    for (tool, mut millis) in by_tool {
        millis.sort_by(f64::total_cmp);
        let at = |share: f64| millis[((millis.len() - 1) as f64 * share) as usize];
        println!(
            "{tool:20} {:6} p50 {:6.1} ms p99 {:6.1} ms",
            millis.len(),
            at(0.5),
            at(0.99)
        );
    }
}
