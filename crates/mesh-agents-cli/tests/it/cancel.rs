//! Cancel is true: when it says `canceled`, nothing of the run lives.

use std::time::{Duration, Instant};

use crate::support::{World, alive, figures, until_dead, until_pids};

/// The ways a child gets away from its harness.
const WAYS: [&str; 6] = ["plain", "nohup", "setsid", "double", "clearenv", "hidden"];

/// How many runs, shared out among the ways; `CANCEL_RUNS=120` is what the closing note of the
/// issue tells of (20 for each way).
fn runs() -> usize {
    #[expect(clippy::disallowed_methods, reason = "how thorough to be is asked for")]
    let asked = std::env::var("CANCEL_RUNS").ok();
    asked.map_or(12, |runs| runs.parse().expect("CANCEL_RUNS is a number"))
}

#[test]
fn after_a_cancel_nothing_of_the_run_lives() {
    let world = World::with_tester();
    let mut spans = Vec::new();
    let mut asked = Vec::new();
    for run in 0..runs() {
        let way = WAYS[run % WAYS.len()];
        let message = format!(
            "script: pid $TASK_ARTIFACTS_DIR/pids\n\
             script: daemon {way} $TASK_ARTIFACTS_DIR/pids\n\
             script: deaf"
        );
        let task = world.send("tester", &message);
        let pids = until_pids(&world.artifacts("tester", &task).join("pids"), 2);
        let guards = world.guards();
        assert!(pids.iter().all(|pid| alive(*pid)), "{way}");
        let start = Instant::now();
        let canceled = std::thread::scope(|scope| {
            let canceling = scope.spawn(|| world.json(&["cancel", &task]));
            until_dead(way, &pids);
            spans.push(start.elapsed());
            canceling.join().unwrap()
        });
        asked.push(start.elapsed());
        assert_eq!(canceled["state"], "canceled", "{way}: {canceled}");
        let left: Vec<_> = pids.iter().filter(|pid| alive(**pid)).collect();
        assert!(left.is_empty(), "{way}: {left:?} live after the answer");
        until_dead("the guard", &guards);
        // An end is an end: a second cancel changes nothing and is no error.
        assert_eq!(world.json(&["cancel", &task])["state"], "canceled");
    }
    println!("cancel, call to all dead:  {}", figures(spans));
    println!("cancel, call to answer:    {}", figures(asked));
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
        let canceled = world.json(&["cancel", &task]);
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
    assert_eq!(world.json(&["cancel", &running])["state"], "canceled");
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
        let one = |_| scope.spawn(|| world.json(&["cancel", &task])["state"].clone());
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
