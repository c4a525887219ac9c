//! What a running program sees when directories change. Nothing here sleeps: each step waits for
//! the snapshot that shows it.

use std::fs;
use std::sync::Arc;
use std::time::Duration;

use mesh_agents_registry::{Snapshot, Watcher};
use tokio::sync::watch::Receiver;

use crate::support::{Agents, CARD};

/// Waits until `seen` holds. The bound is only there to fail instead of hanging.
async fn until(
    snapshots: &mut Receiver<Arc<Snapshot>>,
    seen: impl Fn(&Snapshot) -> bool,
) -> Arc<Snapshot> {
    let found = tokio::time::timeout(Duration::from_secs(60), snapshots.wait_for(|s| seen(s)));
    Arc::clone(&found.await.expect("the change never showed").unwrap())
}

fn watch(agents: &Agents) -> (Watcher, Receiver<Arc<Snapshot>>) {
    Watcher::start(&agents.dir(), agents.environment.clone()).unwrap()
}

fn has(id: &str) -> impl Fn(&Snapshot) -> bool {
    let id = id.parse().unwrap();
    move |snapshot| snapshot.agents.contains_key(&id)
}

#[tokio::test]
async fn agents_come_change_and_go() {
    let agents = Agents::new();
    let (_watcher, mut snapshots) = watch(&agents);
    assert_eq!(snapshots.borrow().problems.len(), 1, "no agents yet");

    agents.good("a");
    let first = until(&mut snapshots, has("a")).await;
    assert!(first.problems.is_empty());

    agents.write("a", "instructions.md", "Do something else.");
    let text = |s: &Snapshot| s.agents[&"a".parse().unwrap()].instructions.text.clone();
    let second = until(&mut snapshots, |s| {
        has("a")(s) && text(s) == "Do something else."
    })
    .await;
    assert!(second.generation > first.generation);

    agents.good("b");
    until(&mut snapshots, has("b")).await;
    fs::rename(agents.dir().join("b"), agents.dir().join("c")).unwrap();
    let moved = until(&mut snapshots, has("c")).await;
    assert!(!has("b")(&moved));
    agents.write("c", "instructions.md", "Still watched.");
    let of_c = |s: &Snapshot| s.agents[&"c".parse().unwrap()].instructions.text.clone();
    until(&mut snapshots, |s| of_c(s) == "Still watched.").await;

    fs::remove_dir_all(agents.dir().join("a")).unwrap();
    until(&mut snapshots, |s| !has("a")(s) && has("c")(s)).await;
}

#[tokio::test]
async fn a_broken_edit_keeps_the_last_good_one_and_can_still_switch_it_off() {
    let agents = Agents::new();
    agents.good("a");
    let (_watcher, mut snapshots) = watch(&agents);
    let good = Arc::clone(&snapshots.borrow().agents[&"a".parse().unwrap()]);

    agents.write("a", "agent-card.json", "{ \"name\": ");
    let broken = until(&mut snapshots, |s| !s.problems.is_empty()).await;
    assert_eq!(broken.agents[&good.id], good);
    assert_eq!(broken.problems_of("a").count(), 1);

    agents.write(
        "a",
        "runtime.toml",
        "enabled = false\n[runtime]\ntype = \"opencode\"\n",
    );
    let off = until(&mut snapshots, |s| !s.agents[&good.id].enabled).await;
    assert_eq!(off.agents[&good.id].digest, good.digest);

    agents.write("a", "agent-card.json", CARD.replace("1.2.3", "2.0.0"));
    let repaired = until(&mut snapshots, |s| s.problems.is_empty()).await;
    assert_eq!(repaired.agents[&good.id].card.version, "2.0.0");

    for file in ["agent-card.json", "runtime.toml", "instructions.md"] {
        fs::remove_file(agents.dir().join("a").join(file)).unwrap();
    }
    until(&mut snapshots, |s| s.agents.is_empty()).await;
}

#[tokio::test]
async fn the_directory_itself_may_come_late_go_and_come_back() {
    let agents = Agents::new();
    fs::remove_dir(agents.dir()).unwrap();
    let (_watcher, mut snapshots) = watch(&agents);
    assert!(
        snapshots.borrow().problems[0]
            .reason
            .contains("does not exist")
    );
    for _ in 0..2 {
        agents.good("a");
        until(&mut snapshots, has("a")).await;
        agents.write("a", "instructions.md", "More.");
        let text = |s: &Snapshot| s.agents[&"a".parse().unwrap()].instructions.text.clone();
        until(&mut snapshots, |s| has("a")(s) && text(s) == "More.").await;
        fs::remove_dir_all(agents.dir()).unwrap();
        until(&mut snapshots, |s| s.agents.is_empty()).await;
    }
}

/// A link that leads to itself stands for a file system that answers with an error for a while.
#[cfg(unix)]
#[tokio::test]
async fn a_directory_that_cannot_be_read_for_now_keeps_its_agents() {
    let agents = Agents::new();
    agents.good("a");
    fs::rename(agents.dir(), agents.beside("real")).unwrap();
    // At no moment is there nothing in its place, which would be a directory that is gone.
    let turn_to = |target: &str| {
        let link = agents.beside("link");
        std::os::unix::fs::symlink(target, &link).unwrap();
        fs::rename(&link, agents.dir()).unwrap();
    };
    turn_to("real");
    let (_watcher, mut snapshots) = watch(&agents);
    assert!(has("a")(&snapshots.borrow()));
    turn_to("agents");
    let unreadable = |s: &Snapshot| {
        s.problems
            .iter()
            .any(|p| p.reason.contains("cannot be read"))
    };
    let during = until(&mut snapshots, unreadable).await;
    assert!(has("a")(&during));
    turn_to("real");
    let after = until(&mut snapshots, |s| !unreadable(s)).await;
    assert!(has("a")(&after));
}

#[cfg(unix)]
#[tokio::test]
async fn links_are_followed_and_may_be_turned_elsewhere() {
    let agents = Agents::new();
    for (name, brief) in [("one", "One."), ("two", "Two.")] {
        crate::support::good_into(&agents.beside(name));
        fs::write(agents.beside(name).join("instructions.md"), brief).unwrap();
    }
    let link = agents.dir().join("a");
    std::os::unix::fs::symlink(agents.beside("one"), &link).unwrap();
    let (_watcher, mut snapshots) = watch(&agents);
    let text = |s: &Snapshot| s.agents[&"a".parse().unwrap()].instructions.text.clone();
    assert_eq!(text(&snapshots.borrow()), "One.");

    fs::write(
        agents.beside("one").join("instructions.md"),
        "One, changed.",
    )
    .unwrap();
    until(&mut snapshots, |s| text(s) == "One, changed.").await;

    let turned = agents.beside("turned");
    std::os::unix::fs::symlink(agents.beside("two"), &turned).unwrap();
    fs::rename(&turned, &link).unwrap();
    until(&mut snapshots, |s| text(s) == "Two.").await;
    fs::write(
        agents.beside("two").join("instructions.md"),
        "Two, changed.",
    )
    .unwrap();
    until(&mut snapshots, |s| text(s) == "Two, changed.").await;
}

#[tokio::test]
async fn what_lay_outside_and_was_missing_is_noticed() {
    let agents = Agents::new();
    let path = agents.beside("src");
    agents.with_runtime(
        "a",
        &format!(
            "[runtime]\ntype = \"pi\"\n[runtime.workspace]\nmode = \"path\"\npath = {:?}\n",
            path.to_str().unwrap()
        ),
    );
    let (_watcher, mut snapshots) = watch(&agents);
    assert!(snapshots.borrow().agents.is_empty());
    fs::create_dir(&path).unwrap();
    until(&mut snapshots, has("a")).await;
}

#[tokio::test]
async fn dropping_the_watcher_ends_it() {
    let agents = Agents::new();
    let (watcher, mut snapshots) = watch(&agents);
    drop(watcher);
    assert!(
        snapshots.changed().await.is_err(),
        "nobody publishes any more"
    );
}
