//! Pages and filters.

use super::prelude::*;

#[tokio::test]
async fn lists_page_without_gaps_and_filter() {
    let dir = tempfile::tempdir().unwrap();
    let mut bench = Bench::open(dir.path(), agents([definition("a"), definition("b")])).await;
    let mut sent = Vec::new();
    for n in 0..7 {
        let agent = if n % 2 == 0 { "a" } else { "b" };
        sent.push(bench.send(agent, &format!("{n}")).await.id);
        bench.next_run().await.complete("ok");
        bench.until(&sent[n], TaskState::Completed).await;
    }
    let mut seen: Vec<TaskId> = Vec::new();
    let mut cursor = None;
    loop {
        let query = ListTasks {
            limit: 3,
            cursor,
            ..ListTasks::default()
        };
        let page = bench.engine.list(&local(), query).await.unwrap();
        seen.extend(page.tasks.into_iter().map(|(task, _)| task.id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    let mut sorted = seen.clone();
    sorted.sort();
    assert_eq!(sorted, sent, "every task once");
    let query = ListTasks {
        limit: 9,
        agent_id: Some("b".parse().unwrap()),
        ..ListTasks::default()
    };
    assert_eq!(
        bench
            .engine
            .list(&local(), query)
            .await
            .unwrap()
            .tasks
            .len(),
        3
    );
    let query = ListTasks {
        limit: 9,
        state: Some(TaskState::Failed),
        ..ListTasks::default()
    };
    assert!(
        bench
            .engine
            .list(&local(), query)
            .await
            .unwrap()
            .tasks
            .is_empty()
    );
    let query = ListTasks {
        limit: 9,
        cursor: Some("x".into()),
        ..ListTasks::default()
    };
    assert_eq!(
        bench.engine.list(&local(), query).await.unwrap_err().code,
        Code::InvalidArgument
    );
}
