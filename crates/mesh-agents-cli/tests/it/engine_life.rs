//! One engine per data directory: started by whoever needs it first, gone when nobody does.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::support::{World, alive, kill, until, until_dead, until_pids};

#[test]
fn twenty_first_calls_at_once_start_one_engine() {
    let world = World::with_tester();
    let all = std::thread::scope(|scope| {
        let one = |_| scope.spawn(|| world.run(&["tasks", "--json"]));
        let all: Vec<_> = (0..20).map(one).collect();
        all.into_iter()
            .map(|one| one.join().unwrap())
            .collect::<Vec<_>>()
    });
    for said in &all {
        assert_eq!(said.code, 0, "{said}");
        assert_eq!(said.document()["schema"], "agents.tasks/1");
    }
    let engine = world.engine_pid();
    // The losers of the race leave by themselves; one stays.
    until("the engines that were too late leave", || {
        (world.processes() == [engine]).then_some(())
    });
}

#[test]
fn an_engine_nobody_needs_leaves_and_the_next_call_starts_another() {
    let world = World::with_tester();
    world.settings("linger_seconds = 1");
    let task = world.send("tester", "script: text done");
    // It may have left before it can be asked; the lock tells who it was.
    let lock = std::fs::read_to_string(world.path("data/a2a/engine.lock")).unwrap();
    let lock: Value = serde_json::from_str(&lock).unwrap();
    let first = u32::try_from(lock["pid"].as_u64().unwrap()).unwrap();
    until_dead("the engine leaves", &[first]);
    assert_eq!(world.engine(), Value::Null);
    // Work that was done is there; a front-end that stays keeps its engine.
    let kept = world.json(&["task", &task])["state"].clone();
    assert_eq!(kept, "completed");
    let mcp = crate::support::Mcp::start(&world);
    let second = until("the engine of the front-end", || {
        let engine = world.engine();
        (engine["frontends"] == 1).then(|| engine["pid"].clone())
    });
    assert_ne!(second, first);
    // Its time would be over twice meanwhile: a task that takes longer than it lingers.
    let task = world.send("tester", "script: sleep 2200\nscript: text done");
    world.until_state(&task, "completed");
    assert_eq!(world.engine()["pid"], second);
    drop(mcp);
    let second = u32::try_from(second.as_u64().unwrap()).unwrap();
    until_dead("the engine without its front-end", &[second]);
}

#[test]
fn a_stop_lets_finish_what_runs_and_keeps_what_waits() {
    let world = World::with_tester();
    let go = world.path("data/go");
    let message = format!("script: wait_file {}\nscript: text done", go.display());
    let running = world.send("tester", &message);
    let queued = world.send("tester", "script: text later");
    world.until_state(&running, "working");
    let engine = world.engine_pid();
    std::thread::scope(|scope| {
        let stopping = scope.spawn(|| world.run(&["stop"]));
        until("it is stopping", || {
            (world.engine()["stopping"] == true).then_some(())
        });
        assert!(alive(engine), "it waits for its task");
        std::fs::write(&go, "").unwrap();
        let stopped = stopping.join().unwrap();
        assert_eq!(stopped.code, 0, "{stopped}");
        assert!(stopped.err.contains("waiting for 1 running"), "{stopped}");
    });
    until_dead("the engine", &[engine]);
    assert_eq!(world.json(&["task", &running])["state"], "completed");
    world.until_state(&queued, "completed");
}

#[test]
fn a_stop_now_ends_what_runs_with_its_cause_and_keeps_what_waits() {
    let world = World::with_tester();
    let running = world.send(
        "tester",
        "script: pid $TASK_ARTIFACTS_DIR/pids\nscript: daemon hidden $TASK_ARTIFACTS_DIR/pids\nscript: deaf",
    );
    let queued = world.send("tester", "script: text later");
    let pids = until_pids(&world.artifacts("tester", &running).join("pids"), 2);
    let engine = world.engine_pid();
    let stopped = world.run(&["stop", "--now"]);
    assert_eq!(stopped.code, 0, "{stopped}");
    assert!(
        pids.iter().all(|pid| !alive(*pid)),
        "the run outlived the stop"
    );
    until_dead("the engine", &[engine]);
    let failed = world.until_state(&running, "failed");
    let why = failed["task"]["status"]["message"].to_string();
    assert!(why.contains("interrupted") && why.contains("stop"), "{why}");
    world.until_state(&queued, "completed");
}

#[test]
fn an_engine_is_no_part_of_the_terminal_that_started_it() {
    let world = World::with_tester();
    world.run(&["tasks"]);
    let engine = world.engine_pid();
    let session = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields = stat.rsplit(')').next().unwrap().to_owned();
        // After the name: state, parent, process group, session.
        let numbers: Vec<u32> = fields
            .split_ascii_whitespace()
            .skip(2)
            .take(2)
            .map(|number| number.parse().unwrap())
            .collect();
        numbers
    };
    assert_eq!(
        session(engine),
        [engine, engine],
        "Ctrl-C would end it with the verb"
    );
}

#[test]
fn a_socket_and_a_lock_left_by_a_killed_engine_stop_nobody() {
    let world = World::with_tester();
    let mut engines = BTreeSet::new();
    for _ in 0..3 {
        world.json(&["tasks"]);
        let engine = world.engine_pid();
        kill(engine);
        until_dead("the engine", &[engine]);
        assert!(world.path("data/a2a/engine.sock").exists());
        assert_eq!(world.engine(), Value::Null);
        engines.insert(engine);
    }
    assert_eq!(engines.len(), 3);
}
