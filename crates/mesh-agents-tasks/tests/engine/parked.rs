//! A question that outlives its run: it waits without a run and without a slot.

use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::run::ResumeReason;
use mesh_agents_core::task::Task;

use super::fake::NOON;
use super::prelude::*;

/// Sends a task, lets its run ask, and kills the engine.
async fn parked(dir: &tempfile::TempDir, agent: &AgentDefinition, resumable: bool) -> Task {
    let (path, agent) = (dir.path().to_owned(), agent.clone());
    let killed = tokio::task::spawn_blocking(move || {
        killed(&path, agents([agent]), async |bench| {
            let task = bench.send("a", "x").await;
            let run = bench.next_run().await;
            run.open("s-1", resumable);
            let options = ["y:Yes:allow_once", "n:No:reject_once"];
            run.ask(QuestionKind::Permission, "May I?", &options);
            run.ask(QuestionKind::Elicitation, "Which branch?", &[]);
            bench.stored(&task.id, "question", 2).await;
            task
        })
    });
    killed.await.unwrap()
}

async fn answer(bench: &Bench, task: &Task, text: &str) -> Task {
    let mut answer = submit("a", text, &unique());
    answer.task_id = Some(task.id.clone());
    bench.engine.submit(&local(), answer).await.unwrap()
}

#[tokio::test]
async fn a_question_survives_a_kill_without_a_slot_and_its_answer_brings_the_next_attempt() {
    let dir = tempfile::tempdir().unwrap();
    let task = parked(&dir, &definition("a"), true).await;
    // A second kill changes nothing.
    let path = dir.path().to_owned();
    let id = task.id.clone();
    let again = tokio::task::spawn_blocking(move || {
        killed(&path, agents([definition("a")]), async |bench| {
            bench.stored(&id, "note", 1).await;
        });
    });
    again.await.unwrap();

    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    // Its agent has one slot, and that is free.
    let other = bench.send("a", "y").await;
    let busy = bench.next_run().await;
    assert_eq!(busy.spec.task_id, other.id);
    let asks = bench.engine.task(&local(), &task.id).await.unwrap();
    assert_eq!(asks.state, TaskState::InputRequired);
    assert_eq!(asks.status_message.unwrap().joined_text(), "May I?");
    let asks = answer(&bench, &task, "yes").await;
    assert_eq!(asks.state, TaskState::InputRequired);
    assert_eq!(asks.status_message.unwrap().joined_text(), "Which branch?");
    let waits = answer(&bench, &task, "main").await;
    assert_eq!(waits.state, TaskState::Submitted, "its slot is taken");
    let load = bench.engine.load(&"a".parse().unwrap());
    assert_eq!((load.running, load.queued), (1, 1));
    busy.complete("ok");

    let run = bench.next_run().await;
    let resume = run.spec.resume.clone().unwrap();
    assert_eq!(
        (resume.session_id.as_str(), resume.why),
        ("s-1", ResumeReason::Answered)
    );
    let prompt = &run.spec.prompt;
    assert!(prompt.contains("May I?\nThe answer: Yes"), "{prompt}");
    assert!(
        prompt.contains("Which branch?\nThe answer: main"),
        "{prompt}"
    );
    run.complete("ok");
    bench.until(&task.id, TaskState::Completed).await;
}

#[tokio::test]
async fn a_question_that_no_session_can_ask_again_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let task = parked(&dir, &definition("a"), false).await;
    let bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let failed = bench.until(&task.id, TaskState::Failed).await;
    assert_eq!(failed.failure.unwrap().code, "question_lost");
    let kinds = bench.kinds(&task.id).await;
    assert_eq!(
        kinds
            .iter()
            .filter(|kind| **kind == "question_gone")
            .count(),
        2
    );
}

#[tokio::test]
async fn a_cancel_ends_what_waits_without_a_run_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let task = parked(&dir, &definition("a"), true).await;
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    bench.stored(&task.id, "note", 1).await;
    let canceled = bench.engine.cancel(&local(), &task.id).await.unwrap();
    assert_eq!(canceled.state, TaskState::Canceled);
    assert!(bench.runs.try_recv().is_err());
    // Nothing keeps the engine from stopping.
    bench.engine.shutdown(false).await;
}

#[tokio::test]
async fn its_clocks_go_on_without_a_run() {
    let dir = tempfile::tempdir().unwrap();
    let mut agent = definition("a");
    agent.policy.ask_seconds = 900;
    agent.policy.max_task_seconds = 3_600;
    let task = parked(&dir, &agent, true).await;
    // A second before it is over.
    let then = NOON + 899_000;
    let mut bench = Bench::open_at(dir.path(), agents([agent.clone()]), then).await;
    let run = bench.next_run().await;
    assert_eq!(run.spec.task_id, task.id);
    let prompt = &run.spec.prompt;
    assert_eq!(
        prompt.matches("nobody answered in time").count(),
        2,
        "{prompt}"
    );
    run.complete("ok");
    bench.until(&task.id, TaskState::Completed).await;

    let dir = tempfile::tempdir().unwrap();
    agent.policy.ask_seconds = 900;
    agent.policy.max_task_seconds = 600;
    let task = parked(&dir, &agent, true).await;
    let bench = Bench::open_at(dir.path(), agents([agent]), NOON + 599_000).await;
    let failed = bench.until(&task.id, TaskState::Failed).await;
    assert_eq!(failed.failure.unwrap().code, "deadline_exceeded");
}

#[tokio::test]
async fn it_goes_with_its_agent() {
    let dir = tempfile::tempdir().unwrap();
    let task = parked(&dir, &definition("a"), true).await;
    let bench = Bench::open(dir.path(), agents([definition("a")])).await;
    bench.stored(&task.id, "note", 1).await;
    bench.engine.set_agents(agents([])).await;
    let failed = bench.until(&task.id, TaskState::Failed).await;
    assert_eq!(failed.failure.unwrap().code, "agent_removed");
}

#[tokio::test]
async fn a_run_cut_off_while_it_asks_leaves_its_question_under_a_living_engine_too() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let task = bench.send("a", "x").await;
    let run = bench.next_run().await;
    run.open("s-1", true);
    run.ask(QuestionKind::Elicitation, "Which branch?", &[]);
    bench.until(&task.id, TaskState::InputRequired).await;
    run.say(RunEvent::Ended(Outcome::Interrupted(
        "the guard was killed".into(),
    )));
    bench.stored(&task.id, "note", 1).await;
    let mut load = bench.engine.total_load();
    load.wait_for(|load| *load == Load::default())
        .await
        .unwrap();
    answer(&bench, &task, "main").await;
    let run = bench.next_run().await;
    assert!(
        run.spec.prompt.contains("The answer: main"),
        "{}",
        run.spec.prompt
    );
    run.complete("ok");
    bench.until(&task.id, TaskState::Completed).await;
}
