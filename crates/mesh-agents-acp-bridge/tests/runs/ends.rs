//! How runs end badly, and what is said about it.

use std::time::Duration;

use mesh_agents_core::run::{Outcome, Runner as _};

use super::support::{Events, World, program, scripted, within};

#[tokio::test]
async fn a_harness_that_dies_at_once_is_quoted() {
    let world = World::new();
    let agent = scripted(
        world.agent(),
        "start: stderr no license found\nstart: exit 3",
    );
    let events = world.run_agent(agent, "hello").await;
    let failure = events.failure();
    assert_eq!(failure.code, "harness_exited");
    assert!(failure.message.contains("exit status 3"), "{failure:?}");
    let tail = failure.stderr_tail.as_deref().unwrap();
    assert!(tail.contains("no license found"), "{tail}");
}

#[tokio::test]
async fn a_harness_that_is_killed_in_its_turn_is_told_apart() {
    let world = World::new();
    let events = world.run("script: text half\nscript: die").await;
    let failure = events.failure();
    assert_eq!(failure.code, "harness_exited");
    assert!(failure.message.contains("signal 9"), "{failure:?}");
    assert_eq!(events.text(), "half");
}

#[tokio::test]
async fn silence_at_the_start_ends_with_the_step_that_was_silent() {
    let mut world = World::new();
    world.config.timeouts.initialize = Duration::from_millis(300);
    world.config.timeouts.finish_eof = Duration::from_millis(50);
    let agent = scripted(world.agent(), "hang_initialize");
    let events = world.run_agent(agent, "hello").await;
    assert_eq!(events.failure().code, "initialize_timeout");

    world.config.timeouts.initialize = Duration::from_secs(60);
    world.config.timeouts.new_session = Duration::from_millis(300);
    let agent = scripted(world.agent(), "hang_new_session");
    let events = world.run_agent(agent, "hello").await;
    assert_eq!(events.failure().code, "session_timeout");
}

#[tokio::test]
async fn another_protocol_version_is_refused_by_name() {
    let world = World::new();
    for version in ["0", "2"] {
        let agent = scripted(world.agent(), &format!("protocol {version}"));
        let events = world.run_agent(agent, "hello").await;
        let failure = events.failure();
        assert_eq!(failure.code, "acp_version", "{failure:?}");
    }
}

#[tokio::test]
async fn every_stop_reason_but_the_end_of_the_turn_is_a_failure_of_that_name() {
    let world = World::new();
    for reason in [
        "max_tokens",
        "refusal",
        "max_turn_requests",
        "reason_of_tomorrow",
    ] {
        let prompt = format!(
            "script: text half\nscript: write $TASK_ARTIFACTS_DIR/a.md x\nscript: stop {reason}"
        );
        let events = world.run(&prompt).await;
        assert_eq!(events.failure().code, reason);
        // What was done is kept and marked.
        assert_eq!(events.artifacts(), [("a.md", false)]);
    }
}

#[tokio::test]
async fn an_error_of_the_harness_is_passed_on_in_its_words() {
    let world = World::new();
    let events = world.run("script: error -32603 the model is on fire").await;
    let failure = events.failure();
    assert_eq!(failure.code, "acp_error");
    assert!(
        failure.message.contains("the model is on fire"),
        "{failure:?}"
    );
}

#[tokio::test]
async fn a_turn_that_ends_well_with_nothing_to_show_is_no_success() {
    let world = World::new();
    let events = world.run("script: thought hm").await;
    assert_eq!(events.failure().code, "no_output");
}

#[tokio::test]
async fn what_the_agent_requires_decides() {
    let world = World::new();
    let mut agent = world.agent();
    agent.require = vec!["findings.json".parse().unwrap()];
    let events = world.run_agent(agent.clone(), "script: text done").await;
    assert_eq!(events.failure().code, "required_artifact_missing");
    assert!(events.failure().message.contains("findings.json"));

    let broken = "script: text done\nscript: write $TASK_ARTIFACTS_DIR/findings.json {";
    let events = world.run_agent(agent.clone(), broken).await;
    assert_eq!(events.failure().code, "required_artifact_invalid");

    let good = "script: text done\nscript: write $TASK_ARTIFACTS_DIR/findings.json {}";
    let events = world.run_agent(agent.clone(), good).await;
    assert_eq!(events.answer(), "done");

    // The final text is a summary.md, so it may be required without being written.
    agent.require = vec!["summary.md".parse().unwrap()];
    assert_eq!(
        world.run_agent(agent, "script: text done").await.answer(),
        "done"
    );
}

#[tokio::test]
async fn a_program_that_is_not_there_is_named() {
    let world = World::new();
    let mut agent = world.agent();
    agent.runtime.command = Some("no-such-harness".to_owned());
    let missing = world.bridge().unavailable(&agent).unwrap();
    assert!(missing.contains("no-such-harness"), "{missing}");
    let events = world.run_agent(agent, "hello").await;
    assert_eq!(events.failure().code, "harness_not_found");
    assert!(world.bridge().unavailable(&world.agent()).is_none());
}

#[tokio::test]
async fn a_program_that_cannot_be_executed_is_told_apart_from_one_that_exits() {
    let world = World::new();
    let script = world.path("owner/tool");
    program(&script, "#!/no/such/interpreter\n");
    let mut agent = world.agent();
    agent.runtime.command = Some(script.to_str().unwrap().to_owned());
    let events = world.run_agent(agent, "hello").await;
    let failure = events.failure();
    assert_eq!(failure.code, "harness_not_found");
    assert!(failure.message.contains("No such file"), "{failure:?}");
}

#[tokio::test]
async fn a_guard_that_cannot_be_started_fails_the_run() {
    let mut world = World::new();
    world.config.agents_exe = "/no/such/agents".into();
    let events = world.run("hello").await;
    assert_eq!(events.failure().code, "guard_not_started");
}

/// A run whose guard is this shell script.
async fn guarded_by(script: &str) -> Outcome {
    let mut world = World::new();
    let agents = world.path("owner/agents");
    program(&agents, &format!("#!/bin/sh\n{script}\n"));
    world.config.agents_exe = agents;
    world.run("hello").await.outcome().clone()
}

#[tokio::test]
async fn a_guard_killed_while_it_starts_interrupts_the_run() {
    let outcome = guarded_by("kill -9 $$").await;
    assert!(matches!(outcome, Outcome::Interrupted(_)), "{outcome:?}");
}

#[tokio::test]
async fn a_guard_that_leaves_before_it_starts_anything_fails_the_run() {
    let outcome = guarded_by("exit 3").await;
    let Outcome::Failed(failure) = outcome else {
        panic!("{outcome:?}")
    };
    assert_eq!(failure.code, "guard_not_started");
}

#[tokio::test]
async fn a_run_cancelled_before_it_began_is_cancelled_and_leaves_nothing() {
    let world = World::new();
    let bridge = world.bridge();
    let run = bridge.start(world.spec(world.agent(), "script: hang"));
    run.control.cancel();
    run.control.cancel();
    let events = Events::collect(run).await;
    assert_eq!(events.outcome(), &Outcome::Canceled);
    within(bridge.drain()).await;
}
