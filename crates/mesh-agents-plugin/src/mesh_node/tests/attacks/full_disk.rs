//! A disk that takes nothing for a while.

use async_trait::async_trait;
use mesh_agents_core::refusal::Code;
use mesh_agents_tasks::Fact;

use super::*;
use crate::mesh_node::unsaved::Disk;

/// Refuses all until it has room; remembers when it was tried, in seconds, and with what.
#[derive(Debug)]
struct Full {
    since: Instant,
    has_room: Mutex<bool>,
    tries: Mutex<Vec<(u64, Vec<FactKind>)>>,
}

#[async_trait]
impl Disk for Full {
    async fn keep(&self, facts: Vec<Fact>) -> Result<(), Refusal> {
        let kinds = facts.iter().map(|fact| fact.kind).collect();
        let at = seconds(self.since);
        self.tries.lock().unwrap().push((at, kinds));
        match *self.has_room.lock().unwrap() {
            true => Ok(()),
            false => Err(Refusal::new(Code::Storage, "no room")),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_took_nothing_is_tried_again_every_ten_seconds_until_it_does() {
    let mesh = MemoryMesh::default();
    let node = Bare::idle(&mesh, 1);
    let disk = Arc::new(Full {
        since: Instant::now(),
        has_room: Mutex::default(),
        tries: Mutex::default(),
    });
    assert!(node.node.0.disk.set(disk.clone()).is_ok());
    let node = node.begin("", Router::new()).await;
    tokio::time::sleep(Duration::from_secs(35)).await;
    // Those of its start left out.
    let later = || {
        let tries = disk.tries.lock().unwrap().clone();
        let later = tries.into_iter().filter(|(at, _)| *at > 0);
        later.collect::<Vec<_>>()
    };
    let tries = later();
    let times: Vec<_> = tries.iter().map(|(at, _)| *at).collect();
    assert_eq!(times, [10, 20, 30]);
    let whole = |(_, kinds): &(u64, Vec<FactKind>)| kinds.contains(&FactKind::Sequence);
    assert!(tries.iter().all(whole), "nothing is lost: {tries:?}");

    *disk.has_room.lock().unwrap() = true;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let all = later();
    assert_eq!(all.len(), 4, "now it has all of it: {all:?}");
    assert_eq!(all[3], (40, tries[2].1.clone()));
    assert!(node.node.state().unsaved.is_empty());
    node.leave(&mesh).await;
}
