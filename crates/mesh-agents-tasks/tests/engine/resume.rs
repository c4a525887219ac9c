//! Work that was cut off: taken up in its session, started over, or failed with the cause.

use mesh_agents_core::agent::{AgentDefinition, OnInterrupt};
use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::run::{Resume, ResumeReason};
use mesh_agents_core::task::Task;
use mesh_agents_tasks::Agents;

use super::fake::{NOON, Started};
use super::prelude::*;

fn retrying() -> AgentDefinition {
    let mut agent = definition("a");
    agent.runtime.on_interrupt = OnInterrupt::Retry;
    agent
}

fn interrupted() -> RunEvent {
    RunEvent::Ended(Outcome::Interrupted("the guard was killed".into()))
}

fn artifact(run: &Started, name: &str) {
    run.say(RunEvent::Artifact {
        id: name.parse().unwrap(),
        media_type: "text/markdown".into(),
        source: ArtifactSource::Text(name.into()),
        complete: true,
    });
}

/// Sends a task, lets its run open a session and say something, and kills the engine.
fn cut_off(dir: &std::path::Path, agent: &AgentDefinition, resumable: bool) -> Task {
    killed(dir, agents([agent.clone()]), async |bench| {
        let task = bench.send("a", "count to ten").await;
        let run = bench.next_run().await;
        run.open("s-1", resumable);
        run.say(RunEvent::Text("one two ".into()));
        artifact(&run, "early.md");
        bench.stored(&task.id, "artifact", 1).await;
        task
    })
}

async fn ids(bench: &Bench, id: &TaskId) -> Vec<String> {
    let view = bench.engine.view(&local(), id).await.unwrap();
    view.artifacts
        .iter()
        .map(|one| one.id.to_string())
        .collect()
}

async fn response(bench: &Bench, id: &TaskId) -> String {
    let (me, response) = (local(), ArtifactId::response());
    let read = bench.engine.artifact(&me, id, &response);
    String::from_utf8(read.await.unwrap().1).unwrap()
}

/// The attempts in a task's log, each with whether it was resumed.
async fn attempts(bench: &Bench, id: &TaskId) -> Vec<(u32, bool)> {
    let events = bench.engine.events(&local(), id, 0, 1_000).await.unwrap();
    let attempts = events.iter().filter_map(|one| match one.event {
        TaskEvent::Attempt {
            attempt, resumed, ..
        } => Some((attempt, resumed)),
        _ => None,
    });
    attempts.collect()
}

#[tokio::test]
async fn after_a_kill_a_run_goes_on_in_its_session_with_what_it_had() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let task = tokio::task::spawn_blocking(move || cut_off(&path, &definition("a"), true));
    let id = task.await.unwrap().id;
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let run = bench.next_run().await;
    let resume = Resume {
        session_id: "s-1".into(),
        why: ResumeReason::Interrupted,
    };
    assert_eq!((run.spec.attempt, &run.spec.resume), (2, &Some(resume)));
    let prompt = &run.spec.prompt;
    assert!(
        prompt.contains("cut off") && !prompt.contains("count to ten"),
        "{prompt}"
    );
    assert_eq!(ids(&bench, &id).await, ["early.md"]);
    run.open("s-1", true);
    run.say(RunEvent::Text("three".into()));
    bench.stored(&id, "text", 2).await;
    assert_eq!(response(&bench, &id).await, "one two three");
    let view = bench.engine.view(&local(), &id).await.unwrap();
    assert_eq!(view.response.as_deref(), Some("one two three"));
    run.complete("one two three");
    bench.until(&id, TaskState::Completed).await;
    assert_eq!(ids(&bench, &id).await, ["early.md", "response"]);
    assert_eq!(response(&bench, &id).await, "one two three");
    assert_eq!(attempts(&bench, &id).await, [(1, false), (2, true)]);
    assert_eq!(bench.engine.late_writes(), 0);
}

#[tokio::test]
async fn a_run_without_a_session_starts_over_where_the_owner_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let task = tokio::task::spawn_blocking(move || {
        let id = cut_off(&path, &retrying(), false).id;
        killed(&path, agents([retrying()]), async |bench| {
            let run = bench.next_run().await;
            assert_eq!((run.spec.attempt, &run.spec.resume), (2, &None));
            assert_eq!(run.spec.prompt, "count to ten");
            // Nothing of the first attempt is left of it.
            assert_eq!(ids(bench, &id).await, [""; 0]);
            run.say(RunEvent::Text("uno".into()));
            bench.stored(&id, "text", 2).await;
            assert_eq!(response(bench, &id).await, "uno");
            id
        })
    });
    let id = task.await.unwrap();
    // max_attempts is 2.
    let bench = Bench::open(dir.path(), agents([retrying()])).await;
    let failure = bench.until(&id, TaskState::Failed).await.failure.unwrap();
    assert_eq!(failure.code, "interrupted");
    assert!(
        failure.message.contains("started 2 times"),
        "{}",
        failure.message
    );
    assert_eq!(
        response(&bench, &id).await,
        "uno",
        "what was stored of its text is kept"
    );
    assert_eq!(attempts(&bench, &id).await, [(1, false), (2, false)]);
}

#[tokio::test]
async fn a_session_that_cannot_be_taken_up_is_not_tried_again() {
    for (agent, retried) in [(definition("a"), false), (retrying(), true)] {
        let dir = tempfile::tempdir().unwrap();
        let (path, first) = (dir.path().to_owned(), agent.clone());
        let task = tokio::task::spawn_blocking(move || cut_off(&path, &first, true));
        let id = task.await.unwrap().id;
        let mut bench = Bench::open(dir.path(), agents([agent])).await;
        let run = bench.next_run().await;
        assert!(run.spec.resume.is_some());
        run.say(RunEvent::Ended(Outcome::Interrupted(
            "no such session".into(),
        )));
        if retried {
            let run = bench.next_run().await;
            assert_eq!((run.spec.attempt, &run.spec.resume), (3, &None));
            run.complete("ok");
            bench.until(&id, TaskState::Completed).await;
        } else {
            let failure = bench.until(&id, TaskState::Failed).await.failure.unwrap();
            assert_eq!(failure.code, "interrupted");
            assert!(
                failure.message.contains("no such session"),
                "{}",
                failure.message
            );
        }
    }
}

#[test]
fn a_task_that_goes_down_with_its_engine_each_time_is_given_up() {
    let dir = tempfile::tempdir().unwrap();
    let id = cut_off(dir.path(), &definition("a"), true).id;
    for n in 0..10 {
        killed(dir.path(), agents([definition("a")]), async |bench| {
            let run = bench.next_run().await;
            assert_eq!(run.spec.attempt, n + 2);
            // Every other one dies before it has its session.
            if n % 2 == 0 {
                run.open("s-1", true);
                bench.stored(&id, "session", 2 + n as usize / 2).await;
            }
        });
    }
    killed(dir.path(), agents([definition("a")]), async |bench| {
        let failure = bench.until(&id, TaskState::Failed).await.failure.unwrap();
        assert_eq!(failure.code, "interrupted");
        assert!(
            failure.message.contains("11 attempts"),
            "{}",
            failure.message
        );
    });
}

#[tokio::test]
async fn a_run_cut_off_under_a_living_engine_goes_on_but_not_for_ever() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let (task, next) = (bench.send("a", "x").await, bench.send("a", "y").await);
    let run = bench.next_run().await;
    run.open("s-1", true);
    run.say(RunEvent::Text("half".into()));
    run.say(interrupted());
    // It came first, so it goes on first.
    let run = bench.next_run().await;
    assert_eq!(run.spec.task_id, task.id);
    let resume = run.spec.resume.clone().unwrap();
    assert_eq!(
        (resume.session_id.as_str(), resume.why),
        ("s-1", ResumeReason::Interrupted)
    );
    run.open("s-1", true);
    run.say(interrupted());
    let failed = bench.until(&task.id, TaskState::Failed).await;
    assert_eq!(failed.failure.unwrap().code, "interrupted");
    assert_eq!(response(&bench, &task.id).await, "half");
    // One that ends by itself is failed as it says, and one that vanishes is looked for.
    let run = bench.next_run().await;
    run.open("s-2", true);
    run.events.close_channel();
    let run = bench.next_run().await;
    assert_eq!(run.spec.task_id, next.id);
    assert_eq!(bench.runner.reaped.lock().unwrap().len(), 1);
    let failure = Failure::new("harness_exited", "it left");
    run.say(RunEvent::Ended(Outcome::Failed(failure)));
    let failed = bench.until(&next.id, TaskState::Failed).await;
    assert_eq!(failed.failure.unwrap().code, "harness_exited");
}

#[tokio::test]
async fn what_was_to_be_canceled_is_canceled_and_never_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let task = tokio::task::spawn_blocking(move || {
        killed(&path, agents([retrying()]), async |bench| {
            bench.runner.obeys.store(false, Ordering::SeqCst);
            let task = bench.send("a", "x").await;
            let run = bench.next_run().await;
            run.open("s-1", true);
            bench.stored(&task.id, "session", 1).await;
            let me = local();
            tokio::select! {
                ended = bench.engine.cancel(&me, &task.id) => panic!("{ended:?}"),
                () = bench.stored(&task.id, "cancel_requested", 1) => {}
            }
            task
        })
    });
    let id = task.await.unwrap().id;
    let mut bench = Bench::open(dir.path(), agents([retrying()])).await;
    bench.until(&id, TaskState::Canceled).await;
    assert!(bench.runs.try_recv().is_err());
}

#[tokio::test]
async fn a_task_waits_for_a_broken_agent_and_fails_with_a_removed_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let task = tokio::task::spawn_blocking(move || cut_off(&path, &definition("a"), true));
    let id = task.await.unwrap().id;
    let broken = Agents {
        ready: Arc::default(),
        broken: Arc::new(["a".parse().unwrap()].into()),
    };
    let mut bench = Bench::open(dir.path(), broken).await;
    // It does not stay at work, for nothing works.
    let waiting = bench.until(&id, TaskState::Submitted).await;
    let told = waiting.status_message.unwrap().joined_text();
    assert!(told.contains("goes on where it was"), "{told}");
    bench.engine.set_agents(agents([definition("a")])).await;
    let run = bench.next_run().await;
    assert!(run.spec.resume.is_some());
    run.open("s-1", true);
    bench.stored(&id, "session", 2).await;
    drop(bench);
    let bench = Bench::open(dir.path(), agents([])).await;
    let failure = bench.until(&id, TaskState::Failed).await.failure.unwrap();
    assert_eq!(failure.code, "agent_removed");
}

#[tokio::test]
async fn time_in_which_nothing_ran_does_not_count_and_the_rest_does() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let task = tokio::task::spawn_blocking(move || {
        killed(&path, agents([definition("a")]), async |bench| {
            let task = bench.send("a", "x").await;
            let run = bench.next_run().await;
            run.open("s-1", true);
            bench.stored(&task.id, "session", 1).await;
            // max_task_seconds is 3600, of which one is left.
            bench.clock.0.fetch_add(3_599_000, Ordering::SeqCst);
            run.say(RunEvent::Text("so late".into()));
            bench.stored(&task.id, "text", 1).await;
            task
        })
    });
    let id = task.await.unwrap().id;
    let days_later = NOON + 3 * 86_400_000;
    let mut bench = Bench::open_at(dir.path(), agents([definition("a")]), days_later).await;
    let run = bench.next_run().await;
    assert!(run.spec.resume.is_some());
    let failure = bench.until(&id, TaskState::Failed).await.failure.unwrap();
    assert_eq!(failure.code, "deadline_exceeded");
}

#[tokio::test]
async fn a_run_cut_off_before_it_was_told_anything_is_told_its_task() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let _task = bench.send("a", "count to ten").await;
    let run = bench.next_run().await;
    run.open("s-1", true);
    run.say(interrupted());
    let run = bench.next_run().await;
    assert!(run.spec.resume.is_some());
    assert!(
        run.spec.prompt.contains("count to ten"),
        "{}",
        run.spec.prompt
    );
}

#[tokio::test]
async fn an_answer_its_run_never_heard_is_told_to_the_next() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_owned();
    let task = tokio::task::spawn_blocking(move || {
        killed(&path, agents([definition("a")]), async |bench| {
            let task = bench.send("a", "x").await;
            let run = bench.next_run().await;
            run.open("s-1", true);
            run.ask(QuestionKind::Elicitation, "Which branch?", &[]);
            bench.until(&task.id, TaskState::InputRequired).await;
            let mut answer = submit("a", "main", &unique());
            answer.task_id = Some(task.id.clone());
            bench.engine.submit(&local(), answer).await.unwrap();
            task
        })
    });
    let id = task.await.unwrap().id;
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let run = bench.next_run().await;
    assert_eq!(run.spec.task_id, id);
    let prompt = &run.spec.prompt;
    assert!(
        prompt.contains("Which branch?\nThe answer: main"),
        "{prompt}"
    );
}

#[tokio::test]
async fn a_writer_whose_attempt_is_over_changes_nothing_and_is_counted() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let task = bench.send("a", "x").await;
    let run = bench.next_run().await;
    bench.until(&task.id, TaskState::Working).await;
    let database = rusqlite::Connection::open(dir.path().join("a2a/mesh-agents.sqlite")).unwrap();
    // As if another attempt had begun meanwhile.
    let changed = database.execute("UPDATE tasks SET attempt = 2, version = version + 1", []);
    assert_eq!(changed.unwrap(), 1);
    run.open("late", true);
    run.say(RunEvent::Text("late".into()));
    artifact(&run, "late.md");
    run.ask(QuestionKind::Elicitation, "Late?", &[]);
    run.complete("late");
    let mut load = bench.engine.total_load();
    load.wait_for(|load| *load == Load::default())
        .await
        .unwrap();
    let view = bench.engine.view(&local(), &task.id).await.unwrap();
    assert_eq!(view.task.state, TaskState::Working);
    assert_eq!((view.artifacts.len(), view.history.len()), (0, 1));
    assert_eq!(bench.kinds(&task.id).await, ["message", "attempt", "state"]);
    assert!(
        bench.engine.late_writes() >= 4,
        "{}",
        bench.engine.late_writes()
    );
}
