//! What a call takes from the client's side, by every way in, beside the least the same server does.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

use mesh_agents_testkit::bench::{Row, Samples};
use serde_json::{Value, json};

use super::http::Http;
use super::place::{Place, Process};

/// Calls of each kind.
const CALLS: usize = 1_000;

pub(crate) fn rows() {
    let place = Place::new();
    place
        .agent("a")
        .tables("[runtime.queue]\nmax_pending_tasks = 100000")
        .write()
        .unwrap();
    let (_node, base) = place.serve();
    let mut http = Http::tcp(&base);
    let hello = json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "bench", "version": "0" } });
    http.mcp("initialize", &hello);
    // Takes the one slot, so that what follows is only stored.
    let first = http.mcp_tool(
        "send_message",
        &json!({ "agent_id": "a", "message": "script: hang" }),
    );
    let (mut health, mut tools, mut sends, mut gets) = (vec![], vec![], vec![], vec![]);
    for _ in 0..CALLS {
        health.push(timed(|| http.get("/healthz").unwrap()).1);
        tools.push(timed(|| http.mcp("tools/list", &json!({}))).1);
        let (sent, time) = timed(|| http.mcp_tool("send_message", &message()));
        sends.push(time);
        gets.push(timed(|| http.mcp_tool("get_task", &json!({ "task_id": sent["task_id"] }))).1);
    }
    let health = Samples::of(health);
    row("MCP over HTTP: tools/list", tools, &health, "GET /healthz");
    row(
        "MCP over HTTP: send_message",
        sends,
        &health,
        "GET /healthz",
    );
    row("MCP over HTTP: get_task", gets, &health, "GET /healthz");
    let mut status = Vec::new();
    let mut sends = Vec::new();
    let mut socket = place.socket().unwrap();
    for _ in 0..CALLS {
        status.push(timed(|| socket.get("/engine/v1/status").unwrap()).1);
        sends.push(timed(|| socket.tool("send_message", &message())).1);
    }
    let status = Samples::of(status);
    row("engine socket: send_message", sends, &status, "GET status");
    stdio(&place, &status);
    http.mcp_tool("cancel_task", &json!({ "task_id": first["task_id"] }));
}

fn stdio(place: &Place, status: &Samples) {
    let mut command = place.agents(&["mcp"]);
    let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let mut process = Process(started.unwrap());
    let mut stdin = process.0.stdin.take().unwrap();
    let mut answers = BufReader::new(process.0.stdout.take().unwrap()).lines();
    let mut next_id = 0;
    let mut ask = |method: &str, params: Value| {
        next_id += 1;
        let message =
            json!({ "jsonrpc": "2.0", "id": next_id, "method": method, "params": params });
        stdin.write_all(format!("{message}\n").as_bytes()).unwrap();
        let answer: Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
        assert_eq!(answer["id"], next_id);
        assert!(answer["result"]["isError"] != true, "{answer}");
    };
    ask(
        "initialize",
        json!({ "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": { "name": "bench", "version": "0" } }),
    );
    let mut sends = Vec::new();
    for _ in 0..CALLS {
        let params = json!({ "name": "send_message", "arguments": message() });
        sends.push(timed(|| ask("tools/call", params)).1);
    }
    row(
        "front-end `agents mcp`: send_message",
        sends,
        status,
        "GET status",
    );
}

fn message() -> Value {
    json!({ "agent_id": "a", "message": "Review the change of this branch and say what is wrong with it." })
}

fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let done = work();
    (done, start.elapsed())
}

fn row(what: &str, times: Vec<Duration>, baseline: &Samples, name: &str) {
    let times = Samples::of(times);
    Row::new(what, &times)
        .baseline(
            format!("{name}: {baseline}"),
            times.p50().as_secs_f64() / baseline.p50().as_secs_f64(),
        )
        .print();
}
