//! What the processes hold while nothing happens: engine, front-ends, guard.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::time::Duration;

use mesh_agents_testkit::bench::{Memory, Row};
use serde_json::{Value, json};

use super::place::{Place, Process};

/// Long enough for what a start leaves behind to be over.
const SETTLE: Duration = Duration::from_secs(1);

pub(crate) fn rows() {
    let place = Place::new();
    for id in ["reviewer", "tester", "writer"] {
        place.agent(id).write().unwrap();
    }
    let (engine, _) = place.engine();
    row(
        "engine, idle, never called",
        engine.0.id(),
        "≤ 30 MiB",
        30.0,
    );
    for _ in 0..100 {
        let mut socket = place.socket().unwrap();
        socket.tool("get_agents", &json!({}));
        socket.tool("list_tasks", &json!({}));
    }
    row(
        "engine, idle, after 200 calls",
        engine.0.id(),
        "≤ 30 MiB",
        30.0,
    );
    let stdio = mcp_frontend(&place);
    row(
        "front-end `agents mcp`, idle, after 3 calls",
        stdio.0.id(),
        "≤ 15 MiB",
        15.0,
    );
    let (plugin, _listener) = plugin(&place);
    row(
        "front-end plugin, idle, attached",
        plugin.0.id(),
        "≤ 15 MiB",
        15.0,
    );
    let sent = place.socket().unwrap().tool(
        "send_message",
        &json!({ "agent_id": "tester", "message": "script: hang" }),
    );
    let guard = place.until(|| child(engine.0.id(), "harness\0guard"));
    place.until(|| child(guard, "scripted-acp-agent"));
    row("guard of a run", guard, "none set", f64::MAX);
    place
        .socket()
        .unwrap()
        .tool("cancel_task", &json!({ "task_id": sent["task_id"] }));
    row("engine, idle, after a run", engine.0.id(), "≤ 30 MiB", 30.0);
}

fn row(what: &str, pid: u32, budget: &str, mib: f64) {
    std::thread::sleep(SETTLE);
    let memory = Memory::of(pid);
    Row::new(format!("resident: {what}"), memory)
        .budget(budget, memory.rss > 0 && memory.rss_mib() <= mib)
        .print();
}

/// `agents mcp` after hello, tools/list and get_agents.
fn mcp_frontend(place: &Place) -> Process {
    let mut command = place.agents(&["mcp"]);
    let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut process = Process(started.unwrap());
    let mut stdin = process.0.stdin.take().unwrap();
    let mut answers = BufReader::new(process.0.stdout.take().unwrap()).lines();
    let hello = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "bench", "version": "0" } });
    let messages = [
        json!({ "jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello }),
        json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" }),
        json!({ "jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": { "name": "get_agents", "arguments": {} } }),
    ];
    for message in messages {
        writeln!(stdin, "{message}").unwrap();
        if let Some(id) = message.get("id") {
            let answer: Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
            assert_eq!(answer["id"], *id);
        }
    }
    // Its stdin stays open as long as it lives.
    process.0.stdin = Some(stdin);
    process
}

/// The plugin's process, attached to the engine, under a host that says nothing more.
fn plugin(place: &Place) -> (Process, UnixListener) {
    let endpoint = place.data().join("host.sock");
    let listener = UnixListener::bind(&endpoint).unwrap();
    let started = place
        .agents(&[])
        .env("MESH_LLM_PLUGIN_ENDPOINT", &endpoint)
        .spawn();
    let process = Process(started.unwrap());
    let (stream, _) = listener.accept().unwrap();
    place.until(|| (place.status()?["frontends"] == 2).then_some(()));
    std::mem::forget(stream);
    (process, listener)
}

/// A child of `parent` whose command line holds `words`.
fn child(parent: u32, words: &str) -> Option<u32> {
    let pids = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| {
        let line = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let ppid = stat
            .rsplit(") ")
            .next()
            .and_then(|rest| rest.split(' ').nth(1)?.parse().ok());
        line.contains(words) && ppid == Some(parent)
    })
}
