//! Tasks of agents on other nodes: messages that wait for a node, contact lost and found, a wish to
//! cancel that nobody could be told yet.

use std::num::NonZeroU32;
use std::sync::atomic::Ordering;

use mesh_agents_core::agent::{AgentDefinition, OnInterrupt};
use mesh_agents_core::limits::{OFFLINE_PER_NODE, OFFLINE_WAIT, RESUMES_PER_TASK};
use mesh_agents_core::run::ResumeReason;
use mesh_agents_tasks::{Agents, Submit};

use super::fake::NOON;
use super::prelude::*;

/// An agent of another node.
const THERE: &str = "a@z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";

fn there() -> Agents {
    agents([definition(THERE)])
}

/// As agents of other nodes are: how much they take is theirs to say.
fn roomy(id: &str) -> AgentDefinition {
    let mut agent = definition(id);
    agent.runtime.max_pending_tasks = 1_000;
    agent
}

/// As agents of other nodes are, too: sent again under their message's id.
fn sent_again() -> Agents {
    let mut agent = definition(THERE);
    agent.runtime.on_interrupt = OnInterrupt::Retry;
    agents([agent])
}

fn patient(text: &str) -> Submit {
    Submit {
        queue_if_offline: true,
        ..submit(THERE, text, &unique())
    }
}

/// Has the engine notice what its runner knows of nodes.
async fn told_of_nodes(bench: &Bench) {
    bench.engine.set_agents(there()).await;
}

fn hours(n: u64) -> i64 {
    i64::try_from(n * 3_600_000).unwrap()
}

#[tokio::test]
async fn a_message_for_a_node_that_is_away_is_refused_unless_it_may_wait() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), there()).await;
    bench.runner.away.store(true, Ordering::SeqCst);
    let refused = bench
        .engine
        .submit(&local(), submit(THERE, "now", &unique()))
        .await
        .unwrap_err();
    assert_eq!(refused.code, Code::AgentUnavailable);
    let words = refused.to_string();
    for word in [
        "lab",
        "offline since 2023-11-14 22:12 UTC",
        "queue_if_offline = true",
    ] {
        assert!(words.contains(word), "{word:?} in {words}");
    }

    let task = bench
        .engine
        .submit(&local(), patient("later"))
        .await
        .unwrap();
    assert_eq!(task.state, TaskState::Submitted);
    let said = task.status_message.unwrap().joined_text();
    assert!(
        said.starts_with("queued, owner lab offline since 2023-11-14 22:12 UTC"),
        "{said}"
    );
    told_of_nodes(&bench).await;
    let here = bench.engine.task(&local(), &task.id).await.unwrap();
    assert_eq!(here.attempt, 0, "nothing starts while the node is away");

    bench.runner.away.store(false, Ordering::SeqCst);
    told_of_nodes(&bench).await;
    let run = bench.next_run().await;
    assert_eq!(run.spec.task_id, task.id);
    assert_eq!(run.spec.patience, Some(OFFLINE_WAIT));
    run.open("task-there", true);
    run.complete("done");
    let done = bench.until(&task.id, TaskState::Completed).await;
    assert_eq!(done.deliver_until, None);
    bench.engine.shutdown(true).await;
}

#[tokio::test]
async fn a_repeat_is_answered_though_the_node_has_gone_since() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), there()).await;
    let sent = submit(THERE, "x", "m-1");
    let task = bench.engine.submit(&local(), sent.clone()).await.unwrap();
    bench.next_run().await;
    bench.runner.away.store(true, Ordering::SeqCst);
    let again = bench.engine.submit(&local(), sent).await.unwrap();
    assert_eq!(again.id, task.id);
    bench.engine.shutdown(true).await;
}

#[test]
fn what_waits_for_a_node_outlives_the_engine_and_is_given_up_after_72_hours() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = killed(dir.path(), there(), async |bench| {
        bench.runner.away.store(true, Ordering::SeqCst);
        let first = bench.engine.submit(&local(), patient("one")).await.unwrap();
        bench.clock.0.fetch_add(hours(10), Ordering::SeqCst);
        let second = bench.engine.submit(&local(), patient("two")).await.unwrap();
        (first.id, second.id)
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        // The next engine knows nothing of other nodes yet.
        let mut bench = Bench::open_at(dir.path(), agents([]), NOON + hours(11)).await;
        bench.runner.away.store(true, Ordering::SeqCst);
        told_of_nodes(&bench).await;
        bench.clock.0.store(NOON + hours(72), Ordering::SeqCst);
        told_of_nodes(&bench).await;
        let failed = bench.until(&first, TaskState::Failed).await;
        let failure = failed.failure.unwrap();
        assert_eq!(failure.code, "owner_offline");
        assert!(failure.message.contains("72 hours"), "{}", failure.message);
        let waits = bench.engine.task(&local(), &second).await.unwrap();
        assert_eq!(waits.state, TaskState::Submitted);

        bench.runner.away.store(false, Ordering::SeqCst);
        told_of_nodes(&bench).await;
        let run = bench.next_run().await;
        assert_eq!(run.spec.task_id, second);
        run.complete("done");
        bench.until(&second, TaskState::Completed).await;
        bench.engine.shutdown(true).await;
    });
}

/// Its engine was killed while its message was on its way: nobody knows whether the node has it.
#[test]
fn a_message_that_may_have_arrived_is_never_called_unsent_and_is_sent_again_under_its_id() {
    let dir = tempfile::tempdir().unwrap();
    let id = killed(dir.path(), sent_again(), async |bench| {
        let task = bench.engine.submit(&local(), patient("one")).await.unwrap();
        let run = bench.next_run().await;
        assert_eq!((&run.spec.task_id, run.spec.attempt), (&task.id, 1));
        task.id
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut bench = Bench::open_at(dir.path(), sent_again(), NOON + hours(80)).await;
        bench.runner.away.store(true, Ordering::SeqCst);
        told_of_nodes(&bench).await;
        // Its run waits for the node, which shows as loss of contact and decides nothing.
        let run = bench.next_run().await;
        assert_eq!((&run.spec.task_id, run.spec.attempt), (&id, 2));
        // For as long as it would have waited, which is over: it is tried once more.
        assert_eq!(run.spec.patience, Some(Duration::ZERO));
        let here = bench.engine.task(&local(), &id).await.unwrap();
        assert_eq!(here.state, TaskState::Working);
        run.open("task-there", true);
        run.complete("done");
        bench.until(&id, TaskState::Completed).await;
        bench.engine.shutdown(true).await;
    });
}

/// The same of one that was not to wait, since its node looked as if it were there.
#[test]
fn a_message_that_may_have_arrived_is_sent_again_for_72_hours_at_the_most_and_that_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let id = killed(dir.path(), sent_again(), async |bench| {
        let task = bench.send(THERE, "one").await;
        assert_eq!(bench.next_run().await.spec.patience, None);
        task.id
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        // No run starts while nobody knows the agent.
        let mut bench = Bench::open_at(dir.path(), agents([]), NOON + hours(10)).await;
        let waits = bench.until(&id, TaskState::Submitted).await;
        let said = waits.status_message.unwrap().joined_text();
        for word in ["may have arrived", "sent again under its id", "72 hours"] {
            assert!(said.contains(word), "{word:?} in {said}");
        }
        bench.engine.set_agents(sent_again()).await;
        let run = bench.next_run().await;
        assert_eq!((&run.spec.task_id, run.spec.attempt), (&id, 2));
        let left = OFFLINE_WAIT - Duration::from_secs(10 * 3600);
        assert_eq!(run.spec.patience, Some(left));
        run.complete("done");
        bench.until(&id, TaskState::Completed).await;
        bench.engine.shutdown(true).await;
    });
}

#[tokio::test]
async fn a_hundred_messages_wait_for_one_node_and_no_more() {
    let dir = tempfile::tempdir().unwrap();
    let other = "b@z6MktULudTtAsAhRegYPiZ6631RV3viv12qd4GQF8z1xB22S";
    let bench = Bench::open(dir.path(), agents([roomy(THERE), roomy(other)])).await;
    bench.runner.away.store(true, Ordering::SeqCst);
    let mut last = None;
    for n in 0..OFFLINE_PER_NODE {
        last = Some(
            bench
                .engine
                .submit(&local(), patient(&n.to_string()))
                .await
                .unwrap(),
        );
    }
    let full = bench
        .engine
        .submit(&local(), patient("101"))
        .await
        .unwrap_err();
    assert_eq!(full.code, Code::AgentFull);
    assert!(full.to_string().contains("100 messages wait"), "{full}");
    let elsewhere = Submit {
        queue_if_offline: true,
        ..submit(other, "x", &unique())
    };
    bench.engine.submit(&local(), elsewhere).await.unwrap();
    // One that is taken back makes room.
    let canceled = bench
        .engine
        .cancel(&local(), &last.unwrap().id)
        .await
        .unwrap();
    assert_eq!(canceled.state, TaskState::Canceled);
    bench.engine.submit(&local(), patient("101")).await.unwrap();
    bench.engine.shutdown(true).await;
}

#[test]
fn loss_of_contact_shows_changes_no_state_and_is_over_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let (id, since) = killed(dir.path(), there(), async |bench| {
        let task = bench.send(THERE, "x").await;
        let run = bench.next_run().await;
        run.open("task-there", true);
        bench.stored(&task.id, "session", 1).await;
        bench.clock.0.fetch_add(5_000, Ordering::SeqCst);
        for why in ["the line is cut", "still"] {
            let away = Some(why.to_owned());
            run.say(RunEvent::Reach { away });
            bench.clock.0.fetch_add(5_000, Ordering::SeqCst);
        }
        bench.stored(&task.id, "reach", 1).await;
        let task = bench.engine.task(&local(), &task.id).await.unwrap();
        assert_eq!(task.state, TaskState::Working);
        (task.id, task.unreachable_since.unwrap())
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut bench = Bench::open_at(dir.path(), there(), NOON + 60_000).await;
        let run = bench.next_run().await;
        let away = Some("nobody there".to_owned());
        run.say(RunEvent::Reach { away });
        run.say(RunEvent::Text("t".into()));
        bench.stored(&id, "text", 1).await;
        let task = bench.engine.task(&local(), &id).await.unwrap();
        assert_eq!(
            task.unreachable_since,
            Some(since),
            "the first moment counts"
        );
        run.say(RunEvent::Reach { away: None });
        bench.stored(&id, "reach", 2).await;
        let task = bench.engine.task(&local(), &id).await.unwrap();
        assert_eq!(
            (task.state, task.unreachable_since),
            (TaskState::Working, None)
        );
        bench.engine.shutdown(true).await;
    });
}

#[test]
fn a_cancel_nobody_could_be_told_waits_over_restarts_until_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let id = killed(dir.path(), there(), async |bench| {
        bench.runner.obeys.store(false, Ordering::SeqCst);
        let task = bench.send(THERE, "x").await;
        let run = bench.next_run().await;
        run.open("task-there", true);
        let away = Some("the line is cut".to_owned());
        run.say(RunEvent::Reach { away });
        bench.stored(&task.id, "reach", 1).await;
        let wanted = bench.engine.cancel(&local(), &task.id).await.unwrap();
        assert_eq!(wanted.state, TaskState::Working);
        assert!(wanted.cancel_requested);
        while !run.canceled.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        task.id
    });
    // And an engine that stops in good order does not call it canceled either.
    for _ in 0..2 {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let mut bench = Bench::open(dir.path(), there()).await;
            bench.runner.obeys.store(false, Ordering::SeqCst);
            let run = bench.next_run().await;
            let resume = run.spec.resume.clone().unwrap();
            assert_eq!(
                (resume.session_id.as_str(), resume.why),
                ("task-there", ResumeReason::Interrupted)
            );
            while !run.canceled.load(Ordering::SeqCst) {
                tokio::task::yield_now().await;
            }
            bench.engine.shutdown(true).await;
        });
    }
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut bench = Bench::open(dir.path(), there()).await;
        bench.next_run().await;
        let canceled = bench.until(&id, TaskState::Canceled).await;
        assert!(!canceled.cancel_requested && canceled.unreachable_since.is_none());
        bench.engine.shutdown(true).await;
    });
}

#[tokio::test]
async fn an_engine_that_stops_leaves_the_work_of_other_nodes_alone() {
    let dir = tempfile::tempdir().unwrap();
    for now in [false, true] {
        let mut bench = Bench::open(dir.path(), there()).await;
        let task = bench.send(THERE, "x").await;
        let run = bench.next_run().await;
        run.open("task-there", true);
        bench.stored(&task.id, "session", 1).await;
        bench.engine.shutdown(now).await;
        assert!(!run.canceled.load(Ordering::SeqCst), "it goes on there");
        let mut bench = Bench::open(dir.path(), there()).await;
        let run = bench.next_run().await;
        assert_eq!(run.spec.task_id, task.id);
        let looked = bench.runner.reaped.lock().unwrap().len();
        assert_eq!(looked, 0, "nothing of it ran on this machine");
        run.complete("done");
        bench.until(&task.id, TaskState::Completed).await;
        bench.engine.shutdown(true).await;
    }
}

/// Engines come and go, with updates and with the machine; a task of another node may take weeks.
#[tokio::test]
async fn the_work_of_another_node_is_followed_over_any_number_of_engines() {
    let dir = tempfile::tempdir().unwrap();
    let mut id = None;
    for _ in 0..RESUMES_PER_TASK + 3 {
        let mut bench = Bench::open(dir.path(), there()).await;
        if id.is_none() {
            id = Some(bench.send(THERE, "x").await.id);
        }
        let run = bench.next_run().await;
        assert_eq!(Some(&run.spec.task_id), id.as_ref());
        run.open("task-there", true);
        let attempt = usize::try_from(run.spec.attempt).unwrap();
        bench.stored(&run.spec.task_id, "session", attempt).await;
        bench.engine.shutdown(false).await;
    }
    let mut bench = Bench::open(dir.path(), there()).await;
    bench.next_run().await.complete("done");
    bench.until(&id.unwrap(), TaskState::Completed).await;
    bench.engine.shutdown(true).await;
}

#[test]
fn what_an_agent_was_given_before_its_owner_withdrew_it_is_followed_to_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let mut both = definition(THERE);
    both.runtime.max_concurrent_tasks = NonZeroU32::new(2).unwrap();
    let (followed, wanted) = killed(dir.path(), agents([both]), async |bench| {
        let mut ids = Vec::new();
        for session in ["one-there", "two-there"] {
            let task = bench.send(THERE, session).await;
            let run = bench.next_run().await;
            run.open(session, true);
            bench.stored(&task.id, "session", 1).await;
            ids.push(task.id);
        }
        (ids.remove(0), ids.remove(0))
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let mut bench = Bench::open(dir.path(), agents([])).await;
        let canceled = bench.engine.cancel(&local(), &wanted).await.unwrap();
        assert!(canceled.cancel_requested, "{canceled:?}");
        bench.runner.stands_in.store(true, Ordering::SeqCst);
        bench.engine.set_agents(agents([])).await;
        for _ in 0..2 {
            let run = bench.next_run().await;
            let resume = run.spec.resume.clone().unwrap();
            assert_eq!(resume.why, ResumeReason::Interrupted);
            if run.spec.task_id == followed {
                assert_eq!(resume.session_id, "one-there");
                run.complete("done");
            }
        }
        bench.until(&followed, TaskState::Completed).await;
        bench.until(&wanted, TaskState::Canceled).await;
        let new = bench
            .engine
            .submit(&local(), submit(THERE, "new", &unique()))
            .await
            .unwrap_err();
        assert_eq!(new.code, Code::AgentNotFound, "nothing new by it");
        bench.engine.shutdown(true).await;
    });
}
