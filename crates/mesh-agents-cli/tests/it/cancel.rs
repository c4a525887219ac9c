//! Cancel is true: when it says `canceled`, nothing of the run lives.

use std::time::{Duration, Instant};

use crate::support::{World, alive, figures, until_dead, until_pids};

/// The ways a child gets away from its harness.
const WAYS: [&str; 6] = ["plain", "nohup", "setsid", "double", "clearenv", "hidden"];

/// How many runs, shared out among the ways; `CANCEL_RUNS=120` is 20 for each way.
fn runs() -> usize {
    #[expect(clippy::disallowed_methods, reason = "how thorough to be is asked for")]
    let asked = std::env::var("CANCEL_RUNS").ok();
    asked.map_or(12, |runs| runs.parse().expect("CANCEL_RUNS is a number"))
}

#[test]
fn after_a_cancel_nothing_of_the_run_lives() {
    let world = World::new();
    let agent = world.agent("tester");
    agent
        .runtime_key(&format!("max_concurrent_tasks = {}", WAYS.len()))
        .write()
        .unwrap();
    let mut spans = Vec::new();
    let mut asked = Vec::new();
    while spans.len() < runs() {
        // All ways at once: what one sweep kills is its own run and no other.
        let ended = std::thread::scope(|scope| {
            let world = &world;
            let all = WAYS.map(|way| scope.spawn(move || cancel_one(world, way)));
            all.map(|one| one.join().unwrap())
        });
        until_dead("the guards", &world.guards());
        spans.extend(ended.iter().map(|(dead, _)| *dead));
        asked.extend(ended.iter().map(|(_, answered)| *answered));
    }
    println!("cancel, call to all dead:  {}", figures(spans));
    println!("cancel, call to answer:    {}", figures(asked));
}

/// Starts a run whose child gets away like this, and cancels it. Says after how long all of it was
/// dead, and after how long that was told.
fn cancel_one(world: &World, way: &str) -> (Duration, Duration) {
    let message = format!(
        "script: pid $TASK_ARTIFACTS_DIR/pids\n\
         script: daemon {way} $TASK_ARTIFACTS_DIR/pids\n\
         script: deaf"
    );
    let task = world.send("tester", &message);
    let pids = until_pids(&world.artifacts("tester", &task).join("pids"), 2);
    assert!(pids.iter().all(|pid| alive(*pid)), "{way}");
    let start = Instant::now();
    let (dead, canceled, left) = std::thread::scope(|scope| {
        let canceling = scope.spawn(|| {
            let canceled = world.canceled(&task);
            let left: Vec<u32> = pids.iter().copied().filter(|pid| alive(*pid)).collect();
            (canceled, left)
        });
        until_dead(way, &pids);
        let dead = start.elapsed();
        let (canceled, left) = canceling.join().unwrap();
        (dead, canceled, left)
    });
    let answered = start.elapsed();
    assert_eq!(canceled["state"], "canceled", "{way}: {canceled}");
    assert!(left.is_empty(), "{way}: {left:?} live after the answer");
    // An end is an end: a second cancel changes nothing and is no error.
    assert_eq!(world.json(&["cancel", &task])["state"], "canceled");
    (dead, answered)
}

#[test]
fn a_polite_harness_is_canceled_without_force() {
    let world = World::with_tester();
    let mut spans = Vec::new();
    for _ in 0..3 {
        let task = world.send(
            "tester",
            "script: pid $TASK_ARTIFACTS_DIR/pids\nscript: hang",
        );
        let pids = until_pids(&world.artifacts("tester", &task).join("pids"), 1);
        let start = Instant::now();
        let canceled = world.canceled(&task);
        spans.push(start.elapsed());
        assert_eq!(canceled["state"], "canceled", "{canceled}");
        assert!(!alive(pids[0]));
    }
    println!("cancel, polite harness:    {}", figures(spans));
}

#[test]
fn a_queued_task_is_canceled_at_once_and_never_starts() {
    let world = World::with_tester();
    let running = world.send("tester", "script: hang");
    world.until_state(&running, "working");
    let queued = world.send("tester", "script: write $TASK_ARTIFACTS_DIR/never x");
    assert_eq!(world.json(&["cancel", &queued])["state"], "canceled");
    world.canceled(&running);
    assert!(!world.artifacts("tester", &queued).exists());
    let status = world.engine();
    assert_eq!(
        (&status["running"], &status["queued"]),
        (&0.into(), &0.into())
    );
}

#[test]
fn two_cancels_at_once_agree() {
    let world = World::with_tester();
    let task = world.send("tester", "script: deaf");
    world.until_state(&task, "working");
    let states = std::thread::scope(|scope| {
        let one = |_| scope.spawn(|| world.canceled(&task)["state"].clone());
        let all: Vec<_> = (0..4).map(one).collect();
        all.into_iter()
            .map(|one| one.join().unwrap())
            .collect::<Vec<_>>()
    });
    assert_eq!(states, vec!["canceled"; 4]);
}

#[test]
fn figures_are_taken_from_their_place_in_the_order() {
    let spans = (1..=100).rev().map(Duration::from_millis).collect();
    assert_eq!(figures(spans), "n=100 p50=50.0 p99=99.0 max=100.0 ms");
    assert_eq!(
        figures(vec![Duration::from_millis(7)]),
        "n=1 p50=7.0 p99=7.0 max=7.0 ms"
    );
}
