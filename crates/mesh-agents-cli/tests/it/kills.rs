//! Killed -9: engine, guard, harness, and the two of them together. What ran is dead, the task says
//! why, and the next call goes on with what waited.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use crate::support::{World, alive, figures, kill, signal, until, until_dead, until_pids};

/// Every way out of the harness's process group, and the harness itself.
const ESCAPES: &str = "script: pid $TASK_ARTIFACTS_DIR/pids\n\
    script: daemon plain $TASK_ARTIFACTS_DIR/pids\n\
    script: daemon nohup $TASK_ARTIFACTS_DIR/pids\n\
    script: daemon setsid $TASK_ARTIFACTS_DIR/pids\n\
    script: daemon double $TASK_ARTIFACTS_DIR/pids\n\
    script: daemon clearenv $TASK_ARTIFACTS_DIR/pids\n\
    script: daemon hidden $TASK_ARTIFACTS_DIR/pids\n\
    script: deaf";
const ESCAPED: usize = 7;

/// Why a task failed, as every reader is told it: code and text.
fn failure(task: &Value) -> String {
    assert_eq!(task["state"], "failed", "{task}");
    task["task"]["status"]["message"].to_string()
}

/// A run with all its escaped children, and what guards it.
struct Running {
    task: String,
    pids: Vec<u32>,
    guard: u32,
}

fn running(world: &World) -> Running {
    let task = world.send("tester", ESCAPES);
    let pids = until_pids(&world.artifacts("tester", &task).join("pids"), ESCAPED);
    // The one of the run before may be on its way out.
    let guard = until("its guard alone", || match world.guards()[..] {
        [guard] => Some(guard),
        _ => None,
    });
    Running { task, pids, guard }
}

#[test]
fn an_engine_killed_takes_its_runs_along_and_the_next_goes_on() {
    let world = World::with_tester();
    let mut spans = Vec::new();
    for _ in 0..3 {
        let run = running(&world);
        let queued = world.send("tester", "script: text went on");
        let engine = world.engine_pid();
        kill(engine);
        spans.push(until_dead("the run of a killed engine", &run.pids));
        until_dead("its guard", &[run.guard]);

        // Nobody restarts anything: the next call finds, or starts, what it needs.
        world.json(&["tasks"]);
        assert_ne!(world.engine_pid(), engine);
        let failed = world.until_state(&run.task, "failed");
        let why = failure(&failed);
        assert!(
            why.contains("interrupted") && why.contains("engine"),
            "{why}"
        );
        // What it had written so far can be read.
        let left = world.json(&["artifacts", &run.task]);
        assert_eq!(left["artifacts"][0]["id"], "pids", "{left}");
        world.until_state(&queued, "completed");
    }
    println!("engine killed -9, to all dead:  {}", figures(spans));
}

#[test]
fn a_killed_guard_takes_its_run_along_and_the_task_says_so() {
    let world = World::with_tester();
    let run = running(&world);
    let queued = world.send("tester", "script: text went on");
    kill(run.guard);
    println!(
        "guard killed -9, to all dead:   {}",
        figures(vec![until_dead("the run of a killed guard", &run.pids)])
    );
    let why = failure(&world.until_state(&run.task, "failed"));
    assert!(why.contains("guard"), "{why}");
    world.until_state(&queued, "completed");
}

#[test]
fn a_killed_harness_fails_its_task_and_leaves_nothing() {
    let world = World::with_tester();
    let run = running(&world);
    kill(run.pids[0]);
    println!(
        "harness killed -9, to all dead: {}",
        figures(vec![until_dead(
            "the children of a killed harness",
            &run.pids
        )])
    );
    let why = failure(&world.until_state(&run.task, "failed"));
    assert!(why.contains("signal 9"), "{why}");
    until_dead("the guard", &[run.guard]);
}

#[test]
fn what_engine_and_guard_left_together_is_reaped_by_the_next_engine() {
    let world = World::with_tester();
    let run = running(&world);
    let queued = world.send("tester", "script: text went on");
    let engine = world.engine_pid();
    // A guard that cannot run cannot end anything when its engine goes; then it is killed too.
    signal(run.guard, Signal::STOP);
    kill(engine);
    kill(run.guard);
    until_dead("engine and guard", &[engine, run.guard]);
    // The harness itself dies with its guard; what left it is nobody's now.
    let orphans: Vec<u32> = run.pids[1..]
        .iter()
        .copied()
        .filter(|pid| alive(*pid))
        .collect();
    assert!(!orphans.is_empty(), "nothing was left to reap");

    world.json(&["tasks"]);
    let why = failure(&world.until_state(&run.task, "failed"));
    assert!(why.contains("engine"), "{why}");
    let left: Vec<_> = run.pids.iter().filter(|pid| alive(**pid)).collect();
    assert!(left.is_empty(), "{left:?} live after the task was failed");
    world.until_state(&queued, "completed");
}

#[test]
fn a_guard_that_is_stuck_is_ended_by_the_next_engine() {
    let world = World::with_tester();
    let run = running(&world);
    let engine = world.engine_pid();
    signal(run.guard, Signal::STOP);
    kill(engine);
    until_dead("the engine", &[engine]);
    let failed = world.until_state(&run.task, "failed");
    let why = failure(&failed);
    assert!(why.contains("engine"), "{why}");
    let all = [&run.pids[..], &[run.guard]].concat();
    let left: Vec<_> = all.iter().filter(|pid| alive(**pid)).collect();
    assert!(left.is_empty(), "{left:?} live after the task was failed");
}

#[test]
fn a_cancel_asked_for_before_the_engine_died_is_kept() {
    let world = World::with_tester();
    let run = running(&world);
    let engine = world.engine_pid();
    // The guard cannot end the run, so the cancel is stored and not done when the engine dies.
    signal(run.guard, Signal::STOP);
    let canceled = std::thread::scope(|scope| {
        let canceling = scope.spawn(|| world.canceled(&run.task));
        until("the cancel is stored", || {
            let logs = world.run(&["logs", &run.task]);
            logs.out.contains("cancel requested").then_some(())
        });
        kill(engine);
        signal(run.guard, Signal::CONT);
        // The call itself finds the next engine.
        canceling.join().unwrap()
    });
    assert_eq!(canceled["state"], "canceled", "{canceled}");
    assert!(run.pids.iter().all(|pid| !alive(*pid)));
}

#[test]
fn an_engine_killed_again_and_again_loses_no_message() {
    let world = World::with_tester();
    let mut tasks = Vec::new();
    for round in 0..4 {
        tasks.push(world.send("tester", &format!("script: text round {round}")));
        kill(world.engine_pid());
    }
    for task in &tasks {
        // Each is done, or was cut off by a kill and says so; none is lost or stuck.
        let ended = until("every task ends", || {
            let shown = world.json(&["task", task]);
            let state = shown["state"].as_str().unwrap().to_owned();
            ["completed", "failed"]
                .contains(&state.as_str())
                .then_some(shown)
        });
        if ended["state"] == "failed" {
            assert!(failure(&ended).contains("interrupted"), "{ended}");
        }
    }
    assert_eq!(
        world.json(&["tasks"])["tasks"].as_array().unwrap().len(),
        tasks.len()
    );
    let _span: Duration = until_dead("nothing runs any more", &world.guards());
}
