//! A log that is full ends its task: nothing a run says takes more than its place.

use mesh_agents_core::layout::Layout;
use mesh_agents_core::limits::{EVENT_BYTES_PER_TASK, EVENTS_PER_TASK};
use mesh_agents_core::task::Task;
use rusqlite::Connection;

use super::prelude::*;

const THERE: &str = "a@z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";

/// A run, at work, of a task whose log has this much in it already: writing it all takes minutes.
async fn nearly_full(bench: &mut Bench, dir: &std::path::Path, agent: &str, set: &str) -> Task {
    let task = bench.send(agent, "x").await;
    let run = bench.next_run().await;
    run.open("s", true);
    bench.stored(&task.id, "session", 1).await;
    let db = Connection::open(Layout::new(dir).database()).unwrap();
    db.busy_timeout(PATIENCE).unwrap();
    let sql = format!("UPDATE tasks SET {set}, version = version + 1 WHERE id = ?1");
    assert_eq!(db.execute(&sql, [task.id.as_str()]).unwrap(), 1);
    let spoken = "x".repeat(1_000);
    // It goes on for as long as anybody listens.
    while !run.canceled.load(std::sync::atomic::Ordering::SeqCst) {
        run.try_say(RunEvent::Text(spoken.clone()));
        run.try_say(RunEvent::Note {
            code: "n".into(),
            text: spoken.clone(),
        });
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    bench.until(&task.id, TaskState::Failed).await
}

#[tokio::test]
async fn more_events_or_bytes_than_a_log_takes_end_the_task_here_and_elsewhere() {
    let events = format!("last_seq = {}", EVENTS_PER_TASK - 200);
    let bytes = format!("event_bytes = {}", EVENT_BYTES_PER_TASK - 200_000);
    for agent in ["a", THERE] {
        for set in [&events, &bytes] {
            let dir = tempfile::tempdir().unwrap();
            let mut bench = Bench::open(dir.path(), agents([definition(agent)])).await;
            let failed = nearly_full(&mut bench, dir.path(), agent, set).await;
            assert_eq!(failed.failure.unwrap().code, "too_much_output", "{set}");
            assert!(failed.last_seq <= EVENTS_PER_TASK, "{}", failed.last_seq);
            bench.engine.shutdown(true).await;
        }
    }
}
