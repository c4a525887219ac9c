//! From the request to cancel until nothing of the run is left, daemonised children included.

use std::fs;
use std::time::{Duration, Instant};

use mesh_agents_testkit::bench::{Row, Samples};
use serde_json::json;

use super::place::Place;

/// Runs of each kind.
const RUNS: usize = 50;
/// Ways a child can get away.
const KINDS: [&str; 5] = ["plain", "nohup", "setsid", "double", "hidden"];

pub(crate) fn rows() {
    let place = Place::new();
    place.agent("a").write().unwrap();
    let (_engine, _) = place.engine();
    let polite = times(&place, "", "script: hang");
    let deaf = times(&place, "script: ignore cancel eof term\n", "script: deaf");
    Row::new("cancel, a harness that obeys and five daemons", &polite)
        .budget("p99 ≤ 2 s", polite.p99() <= Duration::from_secs(2))
        .print();
    Row::new("cancel, a harness that ignores all and five daemons", &deaf)
        .baseline(
            format!("one that obeys: {polite}"),
            deaf.p50().as_secs_f64() / polite.p50().as_secs_f64(),
        )
        .budget("p99 ≤ 2 s", deaf.p99() <= Duration::from_secs(2))
        .print();
}

fn times(place: &Place, first: &str, last: &str) -> Samples {
    let daemons = KINDS.map(|kind| format!("script: daemon {kind} $TASK_ARTIFACTS_DIR/pids\n"));
    let message = format!(
        "{first}script: pid $TASK_ARTIFACTS_DIR/pids\n{}{last}",
        daemons.concat()
    );
    let agent = "a".parse().unwrap();
    let one = |_| {
        let mut socket = place.socket().unwrap();
        let arguments = json!({ "agent_id": "a", "message": message });
        let sent = socket.tool("send_message", &arguments);
        let task = sent["task_id"].as_str().unwrap();
        let file = place
            .layout()
            .run(&agent, &task.parse().unwrap())
            .artifacts()
            .join("pids");
        let pids = place.until(|| {
            let text = fs::read_to_string(&file).ok()?;
            let pids: Vec<u32> = text.lines().filter_map(|line| line.parse().ok()).collect();
            (pids.len() == KINDS.len() + 1 && text.ends_with('\n')).then_some(pids)
        });
        let start = Instant::now();
        let canceled = socket.tool("cancel_task", &json!({ "task_id": task }));
        place.until(|| pids.iter().all(|pid| !lives(*pid)).then_some(()));
        let took = start.elapsed();
        assert_eq!(canceled["state"], "canceled");
        took
    };
    Samples::of((0..RUNS).map(one).collect())
}

/// Whether a process still does anything; one that waits to be reaped does not.
fn lives(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    state.is_some_and(|state| state != 'Z' && state != 'X')
}
