//! Sessions that outlive their run, and what becomes of a run that cannot go on.

use std::fs;

use mesh_agents_core::agent::{AgentDefinition, Delivery, Keep, SessionScope};
use mesh_agents_core::run::{Outcome, Resume, ResumeReason, RunEvent, RunSpec};

use super::support::{Events, World, scripted};

/// An agent that keeps its sessions, as `script` says.
fn keeping(world: &World, script: &str) -> AgentDefinition {
    let dir = world.path("sessions");
    fs::create_dir_all(&dir).unwrap();
    let mut agent = scripted(world.agent(), script);
    let named = (
        "SCRIPTED_ACP_SESSIONS".to_owned(),
        dir.to_str().unwrap().to_owned(),
    );
    agent.runtime.env.push(named);
    agent.policy.write = vec![dir];
    agent.runtime.session = SessionScope::PerContext;
    agent
}

/// Another run of the same task that goes on in the session of `earlier`.
fn again(spec: &RunSpec, earlier: &Events, why: ResumeReason, prompt: &str) -> RunSpec {
    let mut again = spec.clone();
    again.attempt += 1;
    again.prompt = prompt.to_owned();
    again.resume = Some(Resume {
        session_id: earlier.started().0.to_owned(),
        why,
    });
    again
}

#[tokio::test]
async fn an_earlier_session_is_taken_up_and_its_replay_is_no_output() {
    for caps in ["caps load", "caps resume", "caps load resume"] {
        let world = World::new();
        let spec = world.spec(keeping(&world, caps), "Remember 4711");
        let first = world.run_spec(spec.clone()).await;
        let (session, resumable) = first.started();
        assert!(resumable, "{caps}");
        let prompt = "script: recall";
        let second = world
            .run_spec(again(&spec, &first, ResumeReason::Interrupted, prompt))
            .await;
        assert_eq!(second.started(), (session, true), "{caps}");
        let text = second.text();
        assert!(
            text.starts_with("recall: [1] ") && text.contains("Remember 4711"),
            "{text}"
        );
        assert!(!text.contains("an earlier answer"), "{text}");
        let replayed =
            |event: &RunEvent| matches!(event, RunEvent::ToolCall(_) | RunEvent::Plan(_));
        assert!(!second.0.iter().any(replayed), "{caps}: {second:#?}");
        assert!(second.answer().starts_with("recall"), "{caps}");
    }
}

/// Agents with which a session cannot be taken up, and what is said of it.
const LOST: [(&str, &str); 2] = [
    ("", "neither session/resume nor session/load"),
    (
        "caps resume\nload_session: error -32002 it is gone",
        "it is gone",
    ),
];

#[tokio::test]
async fn an_interrupted_run_that_cannot_go_on_says_why_and_leaves_everything() {
    for (script, said) in LOST {
        for why in [ResumeReason::Interrupted, ResumeReason::Answered] {
            let world = World::new();
            let mut agent = keeping(&world, script);
            agent.workspace.keep = Keep::Never;
            let prompt = "script: write half.txt x\nscript: write $TASK_ARTIFACTS_DIR/half.md x\nscript: text .";
            let spec = world.spec(agent, prompt);
            let first = world.run_spec(spec.clone()).await;
            let workspace = world
                .tmp()
                .join(format!("mesh-a2a-tester-{}", spec.task_id));
            // As a killed engine leaves it.
            fs::create_dir(&workspace).unwrap();
            fs::write(workspace.join("half.txt"), "x").unwrap();
            let second = world.run_spec(again(&spec, &first, why, "go on")).await;
            let Outcome::Interrupted(cause) = second.outcome() else {
                panic!("{second:#?}")
            };
            assert!(cause.contains(said), "{cause}");
            assert!(workspace.join("half.txt").exists());
            assert_eq!(second.artifacts(), [("half.md", false)]);
        }
    }
}

#[tokio::test]
async fn the_next_task_of_a_context_begins_anew_where_the_session_is_lost() {
    for (script, said) in LOST {
        let world = World::new();
        let spec = world.spec(keeping(&world, script), "first");
        let first = world.run_spec(spec).await;
        let next = world.spec(keeping(&world, script), "script: recall");
        let next = again(&next, &first, ResumeReason::NextTask, "script: recall");
        let second = world.run_spec(next).await;
        assert!(
            second.note("session_lost").unwrap().contains(said),
            "{script}"
        );
        assert_eq!(second.answer(), "recall: \n");
        assert_ne!(second.started().0, first.started().0);
    }
}

#[tokio::test]
async fn the_next_task_of_a_context_works_where_its_session_does_and_has_results_of_its_own() {
    let world = World::new();
    let agent = keeping(&world, "caps load");
    let prompt =
        "script: write $TASK_ARTIFACTS_DIR/a.md x\nscript: write left.txt x\nscript: text .";
    let spec = world.spec(agent.clone(), prompt);
    let workspace = world
        .tmp()
        .join(format!("mesh-a2a-tester-{}", spec.task_id));
    let first = world.run_spec(spec).await;
    assert!(!workspace.exists());
    let next = world.spec(agent.clone(), "");
    let look = "script: env MESH_TASK_WORKSPACE\nscript: sh pwd; ls -A . $TASK_ARTIFACTS_DIR";
    let next = again(&next, &first, ResumeReason::NextTask, look);
    let artifacts = next.dirs.artifacts();
    let second = world.run_spec(next).await;
    let text = second.text();
    // Its path, and nothing of what was in it.
    let path = workspace.to_str().unwrap();
    assert!(text.contains(&format!("exit 0\n{path}\n")), "{text}");
    assert!(
        text.contains(&format!("MESH_TASK_WORKSPACE={path}")),
        "{text}"
    );
    assert!(
        !text.contains("left.txt") && !text.contains("a.md"),
        "{text}"
    );
    assert!(text.contains(artifacts.to_str().unwrap()), "{text}");

    // Where the place is not known, the session is no use.
    fs::remove_dir_all(world.path("data/a2a/agents/tester/sessions")).unwrap();
    let third = world.spec(agent, "");
    let third = again(&third, &first, ResumeReason::NextTask, "script: recall");
    let third = world.run_spec(third).await;
    assert!(third.note("session_lost").unwrap().contains("directory"));
    assert_eq!(third.answer(), "recall: \n");
}

#[tokio::test]
async fn what_was_to_be_kept_of_a_context_is_not_lost_to_its_next_task() {
    let world = World::new();
    let mut agent = keeping(&world, "caps resume");
    agent.workspace.keep = Keep::Always;
    let spec = world.spec(agent.clone(), "script: write left.txt x\nscript: text .");
    let first = world.run_spec(spec).await;
    let next = world.spec(agent, "");
    let next = again(&next, &first, ResumeReason::NextTask, "script: sh ls -A");
    assert!(world.run_spec(next).await.text().contains("left.txt"));
}

#[tokio::test]
async fn a_run_goes_on_among_its_files_and_a_retry_begins_without() {
    let world = World::new();
    let mut agent = keeping(&world, "caps resume");
    agent.workspace.keep = Keep::Always;
    let prompt =
        "script: write left.txt x\nscript: write $TASK_ARTIFACTS_DIR/left.md x\nscript: text .";
    let spec = world.spec(agent, prompt);
    let first = world.run_spec(spec.clone()).await;
    let look = "script: sh ls -A . $TASK_ARTIFACTS_DIR";
    let on = again(&spec, &first, ResumeReason::Interrupted, look);
    let text = world.run_spec(on).await.text();
    assert!(
        text.contains("left.txt") && text.contains("left.md"),
        "{text}"
    );
    let mut retry = again(&spec, &first, ResumeReason::Interrupted, look);
    retry.resume = None;
    let events = world.run_spec(retry).await;
    assert!(!events.text().contains("left."), "{}", events.text());
    assert_eq!(events.artifacts(), [("summary.md", true)]);
}

#[tokio::test]
async fn a_session_is_briefed_once_unless_every_prompt_is_to_be() {
    for (delivery, times) in [(Delivery::FirstPrompt, 1), (Delivery::EveryPrompt, 2)] {
        let world = World::new();
        let mut agent = keeping(&world, "caps resume");
        agent.instructions.text = "Be brief.".to_owned();
        agent.instructions.delivery = delivery;
        let spec = world.spec(agent.clone(), "one");
        let first = world.run_spec(spec).await;
        let next = world.spec(agent.clone(), "");
        let next = again(&next, &first, ResumeReason::NextTask, "two");
        let artifacts = next.dirs.artifacts();
        let second = world.run_spec(next).await;
        let third = world.spec(agent, "");
        let third = again(&third, &second, ResumeReason::NextTask, "script: recall");
        let told = world.run_spec(third).await.text();
        assert_eq!(told.matches("Be brief.").count(), times, "{told}");
        assert!(told.contains(artifacts.to_str().unwrap()), "{told}");
    }
}
