//! Readers of a task's log.

use std::collections::BTreeMap;

use mesh_agents_core::event::TaskEvent;
use mesh_agents_tasks::{Follow, StoredEvent};

use super::prelude::*;

/// All that is left to read.
async fn rest(mut follow: Follow) -> Vec<StoredEvent> {
    let mut all = Vec::new();
    while let Some(batch) = follow.next().await.unwrap() {
        assert!(!batch.is_empty());
        all.extend(batch);
    }
    all
}

fn text(events: &[StoredEvent]) -> String {
    let texts = events.iter().filter_map(|stored| match &stored.event {
        TaskEvent::Text { text } => Some(text.as_str()),
        _ => None,
    });
    texts.collect()
}

#[tokio::test]
async fn a_view_and_its_reader_have_nothing_twice_and_miss_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let task = bench.send("a", "x").await;
    let whole = bench
        .engine
        .follow_from(&local(), &task.id, 0)
        .await
        .unwrap();
    let run = bench.next_run().await;
    let mut readers = Vec::new();
    let mut expected = String::new();
    for n in 0..300 {
        let piece = format!("{n},");
        expected.push_str(&piece);
        run.say(RunEvent::Text(piece));
        run.say(RunEvent::Usage { used: n, size: 1 });
        if n % 30 == 0 {
            readers.push(bench.engine.follow(&local(), &task.id).await.unwrap());
        }
    }
    run.complete(&expected);
    let log = rest(whole).await;
    let seqs: Vec<u64> = log.iter().map(|stored| stored.seq).collect();
    assert_eq!(seqs, (1..=seqs.len() as u64).collect::<Vec<_>>());
    assert_eq!(text(&log), expected);
    assert!(matches!(
        log.last().unwrap().event,
        TaskEvent::State {
            state: TaskState::Completed,
            ..
        }
    ));
    for (view, reader) in readers {
        let after = view.task.last_seq;
        let read = rest(reader).await;
        assert_eq!(
            read,
            log[usize::try_from(after).unwrap()..],
            "another log behind event {after}"
        );
        assert_eq!(view.response.unwrap() + &text(&read), expected);
    }
}

#[tokio::test]
async fn a_reader_that_is_dropped_in_its_wait_reads_on_without_a_gap() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let task = bench.send("a", "x").await;
    let mut reader = bench
        .engine
        .follow_from(&local(), &task.id, 0)
        .await
        .unwrap();
    let run = bench.next_run().await;
    let mut read = Vec::new();
    let mut said = 0;
    loop {
        // Given up and taken up again at every moment of its way.
        let next = tokio::time::timeout(Duration::from_micros(200), reader.next()).await;
        match next {
            Ok(next) => match next.unwrap() {
                Some(batch) => read.extend(batch.into_iter().map(|stored| stored.seq)),
                None => break,
            },
            Err(_given_up) if said < 200 => {
                said += 1;
                run.say(RunEvent::Usage {
                    used: said,
                    size: 1,
                });
                if said == 200 {
                    run.complete("ok");
                }
            }
            Err(_given_up) => {}
        }
    }
    assert_eq!(read, (1..=read.len() as u64).collect::<Vec<_>>());
    assert!(read.len() > 200);
}

#[tokio::test]
async fn another_s_task_has_no_reader() {
    let dir = tempfile::tempdir().unwrap();
    let bench = Bench::open(dir.path(), agents([definition("a")])).await;
    let task = bench.send("a", "x").await;
    let other = Caller::token("ci");
    let refused = bench.engine.follow(&other, &task.id).await.unwrap_err();
    assert_eq!(refused.code, Code::TaskNotFound);
    let refused = bench.engine.follow_from(&other, &task.id, 0).await;
    assert_eq!(refused.unwrap_err().code, Code::TaskNotFound);
}

/// How many tasks a list says there are, and how many its pages have.
async fn counted(bench: &Bench, caller: &Caller, query: &ListTasks) -> (u64, u64) {
    let query = ListTasks {
        limit: 100,
        count: true,
        ..query.clone()
    };
    let page = bench.engine.list(caller, query).await.unwrap();
    assert_eq!(page.next_cursor, None);
    (page.total.unwrap(), page.tasks.len() as u64)
}

#[tokio::test]
async fn a_list_says_how_many_tasks_there_are_whatever_became_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let mut both = [definition("a"), definition("b")];
    for agent in &mut both {
        agent.runtime.max_pending_tasks = 100;
    }
    let mut bench = Bench::open(dir.path(), agents(both)).await;
    let ci = Caller::token("ci");
    let mut sent: BTreeMap<usize, TaskId> = BTreeMap::new();
    for n in 0..24 {
        let caller = if n % 3 == 0 { ci.clone() } else { local() };
        let mut submit = submit(["a", "b"][n % 2], "x", &unique());
        submit.context_id = Some(["one", "two"][n / 12].parse().unwrap());
        let task = bench.engine.submit(&caller, submit).await.unwrap();
        sent.insert(n, task.id);
    }
    for n in 0..8 {
        let run = bench.next_run().await;
        match n % 3 {
            0 => run.complete("ok"),
            1 => run.say(RunEvent::Ended(Outcome::Refused("no".into()))),
            _ => {
                bench
                    .engine
                    .cancel(&local(), &run.spec.task_id)
                    .await
                    .unwrap();
            }
        }
    }
    for n in [20, 21, 22] {
        bench.engine.cancel(&local(), &sent[&n]).await.unwrap();
    }
    let all = ListTasks::default();
    let (total, _) = counted(&bench, &local(), &all).await;
    assert_eq!(total, 24);
    let since = bench.engine.task(&local(), &sent[&20]).await.unwrap();
    let mut queries = vec![
        all.clone(),
        ListTasks {
            context_id: "one".parse().ok(),
            ..all.clone()
        },
        ListTasks {
            since: Some(since.updated_at),
            ..all.clone()
        },
    ];
    for agent in ["a", "b", "nobody"] {
        let of = ListTasks {
            agent_id: agent.parse().ok(),
            ..all.clone()
        };
        queries.push(of.clone());
        for state in TaskState::ALL {
            queries.push(ListTasks {
                state: Some(state),
                ..of.clone()
            });
        }
    }
    for query in queries {
        for caller in [local(), ci.clone()] {
            let (total, listed) = counted(&bench, &caller, &query).await;
            assert_eq!(total, listed, "{:?} {query:?}", caller.principal);
        }
    }
    // On a page that is not all, the count still is.
    let query = ListTasks {
        limit: 5,
        count: true,
        ..all
    };
    let page = bench.engine.list(&local(), query).await.unwrap();
    assert_eq!((page.tasks.len(), page.total), (5, Some(24)));
}
