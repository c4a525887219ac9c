//! Nothing of a run outlives it, however it tries and whoever dies.

use std::fs;
use std::path::PathBuf;

use futures::StreamExt as _;
use mesh_agents_acp_bridge::Timeouts;
use mesh_agents_core::run::{Outcome, ProcessRef, Run, RunEvent, Runner as _};
use rustix::process::{Pid, Signal, kill_process};

use super::support::{Events, World, until, within};

/// The ways in which a child gets away from its harness, and a harness that ignores everything.
const ESCAPES: &str = "script: daemon plain $TASK_ARTIFACTS_DIR/pids
script: daemon nohup $TASK_ARTIFACTS_DIR/pids
script: daemon setsid $TASK_ARTIFACTS_DIR/pids
script: daemon double $TASK_ARTIFACTS_DIR/pids
script: daemon clearenv $TASK_ARTIFACTS_DIR/pids
script: daemon hidden $TASK_ARTIFACTS_DIR/pids
script: pid $TASK_ARTIFACTS_DIR/pids
script: deaf";

/// Whether a process still does anything; a zombie does not.
pub(crate) fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat
        .rsplit(") ")
        .next()
        .and_then(|rest| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Waits until all seven processes run, and returns their ids.
async fn escaped(pids: PathBuf) -> Vec<u32> {
    let found = until(|| {
        let text = fs::read_to_string(&pids).ok()?;
        let pids: Vec<u32> = text
            .lines()
            .filter_map(|line| line.trim().parse().ok())
            .collect();
        (pids.len() == 7).then_some(pids)
    })
    .await;
    for pid in &found {
        assert!(is_alive(*pid), "{pid} is not there, so nothing is tested");
    }
    found
}

async fn all_dead(pids: &[u32]) {
    until(|| pids.iter().all(|pid| !is_alive(*pid)).then_some(())).await;
}

/// Reads events up to the guard's process.
async fn guard_of(run: &mut Run) -> ProcessRef {
    within(async {
        loop {
            match run.events.next().await {
                Some(RunEvent::Process(process)) => return process,
                Some(_) => {}
                None => panic!("no guard"),
            }
        }
    })
    .await
}

fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(pid.try_into().unwrap()).unwrap();
    kill_process(pid, signal).unwrap();
}

#[tokio::test]
async fn a_cancel_ends_every_process_before_it_is_reported() {
    let world = World::new();
    let bridge = world.bridge();
    let spec = world.spec(world.agent(), ESCAPES);
    let pids = spec.dirs.artifacts().join("pids");
    let mut run = bridge.start(spec);
    let guard = guard_of(&mut run).await;
    let pids = escaped(pids).await;
    assert!(bridge.alive(&guard));
    run.control.cancel();
    let events = Events::collect(run).await;
    // Not a moment later: the last event says that nothing is left.
    let left: Vec<_> = pids.iter().filter(|pid| is_alive(**pid)).collect();
    assert_eq!(left, Vec::<&u32>::new());
    assert_eq!(events.outcome(), &Outcome::Canceled);
    assert_eq!(events.note("processes_left"), None);
    within(bridge.drain()).await;
    assert!(!bridge.alive(&guard));
}

#[tokio::test]
async fn a_normal_end_ends_what_the_harness_left_behind() {
    let world = World::new();
    let prompt = ESCAPES.replace("script: deaf", "script: text done");
    let spec = world.spec(world.agent(), &prompt);
    let file = spec.dirs.artifacts().join("pids");
    let events = world.run_spec(spec).await;
    assert!(events.answer().ends_with("done"));
    let text = fs::read_to_string(file).unwrap();
    let pids: Vec<u32> = text
        .lines()
        .map(|line| line.trim().parse().unwrap())
        .collect();
    assert_eq!(pids.len(), 7);
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
}

#[test]
fn the_death_of_the_engine_ends_every_process() {
    let world = World::new();
    let spec = world.spec(world.agent(), ESCAPES);
    let file = spec.dirs.artifacts().join("pids");
    // The engine is this runtime; gone with it are all its tasks and sockets, as after a kill.
    let engine = tokio::runtime::Runtime::new().unwrap();
    let bridge = world.bridge();
    let (run, pids) = engine.block_on(async {
        let run = bridge.start(spec);
        (run, escaped(file).await)
    });
    engine.shutdown_background();
    let watcher = tokio::runtime::Runtime::new().unwrap();
    watcher.block_on(all_dead(&pids));
    drop(run);
}

#[tokio::test]
async fn the_death_of_the_guard_ends_every_process_and_interrupts_the_run() {
    let world = World::new();
    let bridge = world.bridge();
    let spec = world.spec(world.agent(), ESCAPES);
    let file = spec.dirs.artifacts().join("pids");
    let mut run = bridge.start(spec);
    let guard = guard_of(&mut run).await;
    let pids = escaped(file).await;
    signal(guard.pid, Signal::KILL);
    let events = Events::collect(run).await;
    let left: Vec<_> = pids.iter().filter(|pid| is_alive(**pid)).collect();
    assert_eq!(left, Vec::<&u32>::new());
    assert!(
        matches!(events.outcome(), Outcome::Interrupted(_)),
        "{:?}",
        events.outcome()
    );
    within(bridge.drain()).await;
}

#[tokio::test]
async fn a_guard_that_is_stuck_does_not_save_anybody() {
    let mut world = World::new();
    // A guard has that long to sweep before it counts as stuck.
    world.config.timeouts.sweep = Timeouts::default().sweep;
    let bridge = world.bridge();
    let spec = world.spec(world.agent(), ESCAPES);
    let file = spec.dirs.artifacts().join("pids");
    let mut run = bridge.start(spec);
    let guard = guard_of(&mut run).await;
    let pids = escaped(file).await;
    signal(guard.pid, Signal::STOP);
    run.control.cancel();
    let events = Events::collect(run).await;
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
    assert_eq!(events.outcome(), &Outcome::Canceled);
    within(bridge.drain()).await;
    assert!(!bridge.alive(&guard));
}

#[tokio::test]
async fn a_cancel_does_not_wait_for_whoever_reads_the_events() {
    let world = World::new();
    let bridge = world.bridge();
    let prompt = format!("script: burst 20000\n{ESCAPES}");
    let spec = world.spec(
        world.agent(),
        &prompt.replace("burst", "text x\nscript: burst"),
    );
    let run = bridge.start(spec);
    // Nobody reads: the harness waits, and 256 events and two pipes are all that is held for it.
    run.control.cancel();
    let events = Events::collect(run).await;
    assert_eq!(events.outcome(), &Outcome::Canceled);
    within(bridge.drain()).await;
}

#[tokio::test]
async fn a_run_nobody_reads_any_more_ends() {
    let world = World::new();
    let bridge = world.bridge();
    let spec = world.spec(world.agent(), ESCAPES);
    let file = spec.dirs.artifacts().join("pids");
    let run = bridge.start(spec);
    let pids = escaped(file).await;
    drop(run);
    within(bridge.drain()).await;
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
}

#[tokio::test]
async fn what_both_engine_and_guard_left_is_found_by_its_mark() {
    let world = World::new();
    let spec = world.spec(world.agent(), ESCAPES);
    let file = spec.dirs.artifacts().join("pids");
    let run_id = spec.run_id.clone();
    let other = world.spec(world.agent(), "script: hang");
    let bridge = world.bridge();
    let mut run = bridge.start(spec);
    let mut bystander = bridge.start(other);
    let guard = guard_of(&mut run).await;
    let bystanding = guard_of(&mut bystander).await;
    let pids = escaped(file).await;
    // The sweep of a later engine, racing with nobody: it finds the harness too.
    let left = bridge.reap(&run_id, None);
    assert_eq!(left, 0, "all of the run died");
    assert!(pids.iter().all(|pid| !is_alive(*pid)));
    assert!(bridge.alive(&bystanding), "another run is left alone");
    drop((run, bystander));
    within(bridge.drain()).await;
    assert!(!bridge.alive(&guard));
}

#[tokio::test]
async fn a_process_of_another_birth_is_not_the_guard() {
    let bridge = World::new().bridge();
    let me = ProcessRef {
        pid: std::process::id(),
        birth: 1,
    };
    assert!(!bridge.alive(&me));
}
