//! Killed -9 while a harness works or asks, with one whose sessions outlive it: the task goes on.

use mesh_agents_testkit::AgentDir;

use crate::support::{World, kill, until, until_dead};

/// A `tester` that keeps its sessions, with these lines for its harness and this policy.
fn keeping(world: &World, script: &str, policy: &str) -> AgentDir {
    let sessions = world.path("home/sessions");
    std::fs::create_dir_all(&sessions).unwrap();
    let write = format!("[policy]\nwrite = [{sessions:?}]\n{policy}");
    world
        .agent("tester")
        .env("SCRIPTED_ACP", script)
        .env("SCRIPTED_ACP_SESSIONS", sessions.to_str().unwrap())
        .tables(&write)
}

/// Waits until the task has written this file, and what it said is stored: its session is, then.
fn at_work(world: &World, task: &str, file: &str) {
    let file = world.artifacts("tester", task).join(file);
    until("it works", || {
        let shown = world.json(&["task", task]).to_string();
        (file.exists() && shown.contains("\"response\"")).then_some(())
    });
}

/// The engine, killed; nothing of the run is left.
fn kill_engine(world: &World) {
    let (engine, guards) = (world.engine_pid(), world.guards());
    kill(engine);
    until_dead("engine and guards", &[&guards[..], &[engine]].concat());
}

#[test]
fn a_task_cut_off_at_work_is_taken_up_and_completed() {
    let world = World::new();
    keeping(&world, "caps load resume", "").write().unwrap();
    let task = world.send(
        "tester",
        "script: text half\nscript: write $TASK_ARTIFACTS_DIR/half.md one\nscript: wait_file $SCRIPTED_ACP_SESSIONS/go\nscript: text whole",
    );
    at_work(&world, &task, "half.md");
    kill_engine(&world);
    std::fs::write(world.path("home/sessions/go"), "").unwrap();
    let done = world.until_state(&task, "completed");
    let shown = done.to_string();
    assert!(shown.contains("half.md"), "{done:#}");
    let logs = world
        .artifacts("tester", &task)
        .parent()
        .unwrap()
        .join("logs/acp.jsonl");
    let logs = std::fs::read_to_string(logs).unwrap();
    // The harness was told what happened, in the session it had.
    assert!(logs.contains("was cut off"), "{logs}");
    assert_eq!(logs.matches("\"method\":\"session/resume\"").count(), 1);
    assert_eq!(logs.matches("\"method\":\"session/new\"").count(), 1);
}

#[test]
fn a_question_outlives_the_engine_and_its_answer_reaches_the_session() {
    let world = World::new();
    let policy = "approval = \"ask\"";
    keeping(&world, "caps load", policy).write().unwrap();
    let task = world.send("tester", "script: text asking\nscript: ask\nscript: text .");
    world.until_state(&task, "input_required");
    kill_engine(&world);
    let shown = world.run(&["task", &task]);
    assert!(shown.err.contains("input_required"), "{shown}");
    assert!(shown.err.contains("--option ID"), "{shown}");
    let answered = world.run(&["send", "tester", "--task", &task, "--option", "allow_once"]);
    assert_eq!(answered.code, 0, "{answered}");
    // The scripted agent says what it was told.
    assert!(answered.out.contains("allow_once"), "{answered}");
    assert!(!answered.out.contains("an earlier answer"), "{answered}");
}

#[test]
fn a_session_that_cannot_be_taken_up_is_a_retry_where_its_owner_says_so() {
    let world = World::new();
    let gone = "caps resume\nload_session: error -32002 it is gone";
    keeping(&world, gone, "")
        .runtime_key("on_interrupt = \"retry\"")
        .write()
        .unwrap();
    let task = world.send(
        "tester",
        "script: text .\nscript: sh ls $TASK_ARTIFACTS_DIR\nscript: write $TASK_ARTIFACTS_DIR/one.md x\nscript: wait_file $SCRIPTED_ACP_SESSIONS/go\nscript: text done",
    );
    at_work(&world, &task, "one.md");
    kill_engine(&world);
    std::fs::write(world.path("home/sessions/go"), "").unwrap();
    let done = world.until_state(&task, "completed");
    // The second start found nothing of the first.
    let text = world.run(&["artifacts", &task, "response"]);
    assert!(!text.out.contains("one.md"), "{text}\n{done:#}");
}
