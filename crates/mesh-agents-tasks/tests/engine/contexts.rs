//! Conversations: whose they are, and what their tasks share.

use std::num::NonZeroU32;

use mesh_agents_core::agent::{AgentDefinition, SessionScope};
use mesh_agents_core::run::{Resume, ResumeReason};
use mesh_agents_core::task::Task;

use super::prelude::*;

/// An agent whose sessions last as long as their contexts.
fn talking(id: &str) -> AgentDefinition {
    let mut agent = definition(id);
    agent.runtime.session = SessionScope::PerContext;
    agent.runtime.max_concurrent_tasks = NonZeroU32::new(4).unwrap();
    agent
}

async fn say(bench: &Bench, caller: &Caller, agent: &str, context: &str) -> Task {
    let mut submit = submit(agent, "and now?", &unique());
    submit.context_id = Some(context.parse().unwrap());
    bench.engine.submit(caller, submit).await.unwrap()
}

fn next_task(session: &str) -> Option<Resume> {
    Some(Resume {
        session_id: session.into(),
        why: ResumeReason::NextTask,
    })
}

/// Sends a message, lets its run open this session and complete, and says what it went on with.
async fn turn(
    bench: &mut Bench,
    caller: &Caller,
    agent: &str,
    session: (&str, bool),
) -> Option<Resume> {
    let task = say(bench, caller, agent, "ctx").await;
    let run = bench.next_run().await;
    assert_eq!(
        (&run.spec.task_id, run.spec.prompt.as_str()),
        (&task.id, "and now?")
    );
    run.open(session.0, session.1);
    run.complete("ok");
    bench.until(&task.id, TaskState::Completed).await;
    run.spec.resume
}

#[tokio::test]
async fn a_task_goes_on_in_the_session_of_the_one_before_it_and_of_nobody_else_s() {
    let dir = tempfile::tempdir().unwrap();
    let all = [talking("a"), talking("b"), definition("forgetful")];
    let mut bench = Bench::open(dir.path(), agents(all)).await;
    let ci = Caller::token("ci");
    let me = local();
    assert_eq!(turn(&mut bench, &me, "a", ("s-1", true)).await, None);
    assert_eq!(
        turn(&mut bench, &me, "a", ("s-1", true)).await,
        next_task("s-1")
    );
    // The same name in another's mouth, and with another agent, is another context.
    assert_eq!(turn(&mut bench, &ci, "a", ("s-2", true)).await, None);
    assert_eq!(turn(&mut bench, &me, "b", ("s-3", true)).await, None);
    assert_eq!(
        turn(&mut bench, &ci, "a", ("s-2", true)).await,
        next_task("s-2")
    );
    // The runner replaced it by one that cannot be taken up: there is nothing to go on in.
    assert_eq!(
        turn(&mut bench, &me, "a", ("s-4", false)).await,
        next_task("s-1")
    );
    assert_eq!(turn(&mut bench, &me, "a", ("s-5", true)).await, None);
    for _ in 0..2 {
        assert_eq!(
            turn(&mut bench, &me, "forgetful", ("s-6", true)).await,
            None
        );
    }
}

#[tokio::test]
async fn tasks_of_one_context_run_one_after_the_other_beside_those_of_others() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([talking("a"), definition("b")])).await;
    let (first, second) = (
        say(&bench, &local(), "a", "one").await,
        say(&bench, &local(), "a", "one").await,
    );
    let run = bench.next_run().await;
    assert_eq!(run.spec.task_id, first.id);
    let other = say(&bench, &local(), "a", "two").await;
    let beside = bench.next_run().await;
    assert_eq!(beside.spec.task_id, other.id);
    run.open("s-1", true);
    run.ask(QuestionKind::Elicitation, "Which?", &[]);
    bench.until(&first.id, TaskState::InputRequired).await;
    // Cut off while it asks, it keeps its session to itself: the answer goes on there.
    run.say(RunEvent::Ended(Outcome::Interrupted(
        "the guard was killed".into(),
    )));
    bench.stored(&first.id, "note", 1).await;
    beside.complete("ok");
    bench.until(&other.id, TaskState::Completed).await;
    assert!(
        bench.runs.try_recv().is_err(),
        "the second ran over the first"
    );
    let mut answer = submit("a", "this", &unique());
    answer.task_id = Some(first.id.clone());
    bench.engine.submit(&local(), answer).await.unwrap();
    let run = bench.next_run().await;
    assert_eq!(run.spec.task_id, first.id);
    run.open("s-1", true);
    run.complete("ok");
    let run = bench.next_run().await;
    assert_eq!(run.spec.task_id, second.id);
    assert_eq!(run.spec.resume, next_task("s-1"));
    // Cut off itself, it goes on with its own half of the conversation.
    run.open("s-1", true);
    run.say(RunEvent::Ended(Outcome::Interrupted(
        "the guard was killed".into(),
    )));
    let run = bench.next_run().await;
    assert_eq!(run.spec.task_id, second.id);
    assert_eq!(
        run.spec.resume.clone().unwrap().why,
        ResumeReason::Interrupted
    );
    run.complete("ok");
    bench.until(&second.id, TaskState::Completed).await;
}

#[tokio::test]
async fn the_end_of_what_asks_without_a_run_lets_the_next_of_its_context_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([talking("a")])).await;
    let first = say(&bench, &local(), "a", "one").await;
    let run = bench.next_run().await;
    run.open("s-1", true);
    run.ask(QuestionKind::Elicitation, "Which?", &[]);
    bench.until(&first.id, TaskState::InputRequired).await;
    run.say(RunEvent::Ended(Outcome::Interrupted(
        "the guard was killed".into(),
    )));
    bench.stored(&first.id, "note", 1).await;
    let second = say(&bench, &local(), "a", "one").await;
    bench.engine.cancel(&local(), &first.id).await.unwrap();
    assert_eq!(bench.next_run().await.spec.task_id, second.id);
}

#[tokio::test]
async fn a_context_is_minted_where_the_caller_names_none() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path(), agents([talking("a")])).await;
    let (one, two) = (bench.send("a", "x").await, bench.send("a", "x").await);
    assert!(
        one.context_id.as_str().starts_with("ctx-"),
        "{}",
        one.context_id
    );
    assert_ne!(one.context_id, two.context_id);
    let own = say(&bench, &local(), "a", "pr:17.review").await;
    assert_eq!(own.context_id.as_str(), "pr:17.review");
}
