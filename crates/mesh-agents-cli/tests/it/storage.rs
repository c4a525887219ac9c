//! What the store's troubles look like to the person at the command line.

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::Command;

use crate::support::{World, until};

#[test]
fn a_damaged_database_is_named_with_the_way_out_and_never_replaced() {
    let world = World::with_tester();
    world.run(&["send", "tester", "script: text hello"]);
    assert_eq!(world.run(&["stop"]).code, 0);
    let path = world.path("data/a2a/mesh-agents.sqlite");
    let whole = fs::read(&path).unwrap();
    let newer = {
        // The schema's number, as `PRAGMA user_version` keeps it.
        let mut bytes = whole.clone();
        bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
        bytes
    };
    let mut said = Vec::new();
    for bytes in [b"a shopping list".to_vec(), Vec::new(), newer] {
        fs::write(&path, &bytes).unwrap();
        let refused = world.run(&["send", "tester", "hello"]);
        assert_eq!(refused.code, 1, "{refused}");
        assert!(refused.err.contains("mesh-agents.sqlite"), "{refused}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
        said.push(refused.err);
    }
    assert!(
        said[0].contains("damaged (file is not a database)"),
        "{}",
        said[0]
    );
    assert!(
        said[1].contains("damaged (the file is empty)"),
        "{}",
        said[1]
    );
    assert!(said[0].contains("Restore a backup"), "{}", said[0]);
    assert!(
        said[2].contains("schema 99") && said[2].contains("run the newer"),
        "{}",
        said[2]
    );
    fs::write(&path, whole).unwrap();
    assert_eq!(world.json(&["tasks"])["tasks"].as_array().unwrap().len(), 1);
}

#[test]
fn what_is_old_goes_by_the_verb_and_by_itself() {
    let world = World::with_tester();
    let send = |n: u32| {
        let sent = world.run(&["send", "tester", &format!("script: text result {n}")]);
        assert_eq!(sent.code, 0, "{sent}");
        sent.err.split_whitespace().next().unwrap().to_owned()
    };
    let tasks: Vec<String> = (0..4).map(send).collect();
    let dry = world.json(&["tasks", "prune", "--keep", "2", "--dry-run"]);
    assert_eq!(dry["schema"], "agents.tasks.prune/1");
    assert_eq!(
        (&dry["tasks"], &dry["kept"]),
        (&2.into(), &2.into()),
        "{dry}"
    );
    let done = world.run(&["tasks", "prune", "--keep", "2"]);
    assert!(
        done.out
            .starts_with("removed 2 tasks and 2 artifact contents"),
        "{done}"
    );
    let gone = world.run(&["task", &tasks[0]]);
    assert!(
        gone.code == 1 && gone.err.contains("task_not_found"),
        "{gone}"
    );
    assert!(!world.artifacts("tester", &tasks[0]).exists());
    assert!(world.artifacts("tester", &tasks[3]).exists());
    assert_eq!(
        world.run(&["artifacts", &tasks[3], "response"]).out,
        "result 3"
    );
    let none = world.json(&["tasks", "prune", "--older-than", "1h"]);
    assert_eq!(none["tasks"], 0, "{none}");
    let wrong = world.run(&["tasks", "prune", "--older-than", "a while"]);
    assert!(wrong.code == 2 && wrong.err.contains("7d"), "{wrong}");

    assert_eq!(world.run(&["stop"]).code, 0);
    world.settings("retention_tasks = 1");
    until(
        "the next engine removes what the settings do not cover",
        || {
            let left = world.json(&["tasks"]);
            (left["tasks"].as_array().unwrap().len() == 1).then_some(())
        },
    );
    assert_eq!(world.run(&["task", &tasks[3]]).code, 0, "the newest stays");
}

#[test]
fn a_backup_is_restored_by_putting_it_in_place() {
    let world = World::with_tester();
    let sent = world.run(&["send", "tester", "script: text kept for good"]);
    let task = sent.err.split_whitespace().next().unwrap();
    let made = world.json(&["backup", "saved"]);
    assert_eq!(
        (&made["tasks"], &made["blobs"]),
        (&1.into(), &1.into()),
        "{made}"
    );
    let again = world.run(&["backup", "saved"]);
    assert!(
        again.code == 1 && again.err.contains("overwrites nothing"),
        "{again}"
    );
    let doctor = world.json(&["doctor"]);
    let checks = doctor["checks"].as_array().unwrap();
    let tasks = checks
        .iter()
        .find(|check| check["name"] == "tasks")
        .unwrap();
    assert_eq!(tasks["detail"], "1, with 1 artifact contents, all whole");

    // Everything is lost.
    assert_eq!(world.run(&["stop"]).code, 0);
    let a2a = world.path("data/a2a");
    fs::remove_dir_all(&a2a).unwrap();
    fs::rename(world.path("home/saved"), &a2a).unwrap();
    world.settings("");
    assert!(world.run(&["doctor"]).out.contains("all whole"));
    assert_eq!(world.json(&["task", task])["state"], "completed");
    assert_eq!(
        world.run(&["artifacts", task, "response"]).out,
        "kept for good"
    );
    // A content that is gone is told.
    let blob = fs::read_dir(a2a.join("blobs"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    fs::remove_file(blob.path()).unwrap();
    let doctor = world.run(&["doctor"]);
    assert!(
        doctor.code == 1 && doctor.out.contains("FAIL tasks: 1 contents"),
        "{doctor}"
    );
}

/// A small disk of its own under the data directory, where the system lets us make one.
struct Disk(PathBuf);

impl Disk {
    #[expect(
        clippy::print_stderr,
        reason = "a test says what it leaves out, and why"
    )]
    fn mount(world: &World) -> Option<Self> {
        let at = world.path("data");
        let disk = Self(at.clone());
        if !disk.run(&["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs"]) {
            eprintln!("skipped: a disk cannot be mounted here (needs the superuser)");
            std::mem::forget(disk);
            return None;
        }
        fs::create_dir(at.join("a2a")).unwrap();
        world.settings("");
        Some(disk)
    }

    fn run(&self, words: &[&str]) -> bool {
        let done = Command::new(words[0])
            .args(&words[1..])
            .arg(&self.0)
            .output();
        done.is_ok_and(|done| done.status.success())
    }

    /// Takes all the room there is.
    fn fill(&self) {
        let mut file = fs::File::create(self.0.join("filler")).unwrap();
        while file.write_all(&[7; 4096]).is_ok() {}
        while file.write_all(&[7]).is_ok() {}
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.run(&["umount", "-l"]);
    }
}

#[test]
fn a_full_disk_is_named_and_costs_nothing_that_was_acknowledged() {
    let world = World::with_tester();
    let Some(disk) = Disk::mount(&world) else {
        return;
    };
    world.agent("other").write().unwrap();
    let go = world.path("home/go");
    let running = world.send(
        "tester",
        &format!(
            "script: wait_file {}\nscript: text said on a full disk",
            go.display()
        ),
    );
    world.until_state(&running, "working");
    let pid = world.engine_pid();
    disk.fill();
    let long = format!("script: text x\n{}", "y".repeat(60_000));
    let mut acknowledged = Vec::new();
    let refused = until("the disk is full", || {
        let sent = world.run(&["send", "other", &long, "--no-wait"]);
        if sent.code == 0 {
            acknowledged.push(sent.out.trim().to_owned());
            return None;
        }
        Some(sent)
    });
    assert!(refused.err.contains("storage: the disk"), "{refused}");
    assert!(refused.err.contains("mesh-agents.sqlite"), "{refused}");
    assert!(refused.err.contains("agents tasks prune"), "{refused}");
    // It ends now, and nobody can store that yet.
    fs::write(&go, "").unwrap();
    until("the harness has gone", || {
        world.guards().is_empty().then_some(())
    });
    assert_eq!(world.json(&["task", &running])["state"], "working");
    disk.free();
    world.until_state(&running, "completed");
    assert_eq!(
        world.run(&["artifacts", &running, "response"]).out,
        "said on a full disk"
    );
    for task in &acknowledged {
        let ended = world.json(&["task", task, "--wait", "60"]);
        assert!(
            ["completed", "failed"].contains(&ended["state"].as_str().unwrap()),
            "{ended}"
        );
    }
    assert_eq!(world.run(&["send", "tester", "script: text again"]).code, 0);
    assert_eq!(world.engine_pid(), pid, "without a restart");

    // Removing needs a little room itself, says so, and then does as it is told.
    disk.fill();
    let refused = world.run(&["tasks", "prune", "--keep", "0"]);
    assert!(
        refused.code == 1 && refused.err.contains("storage: the disk is full"),
        "{refused}"
    );
    disk.free();
    assert_eq!(world.run(&["tasks", "prune", "--keep", "0"]).code, 0);
    assert!(world.run(&["doctor"]).out.contains("all whole"));
    assert_eq!(world.run(&["stop", "--now"]).code, 0);
}

#[test]
fn a_read_only_disk_is_named_and_works_again_when_it_is_not() {
    let world = World::with_tester();
    let Some(disk) = Disk::mount(&world) else {
        return;
    };
    assert_eq!(
        world.run(&["send", "tester", "script: text before"]).code,
        0
    );
    assert_eq!(world.run(&["stop"]).code, 0);
    // Refused while a process on its way out still has a file of it open.
    until("a disk nobody writes", || {
        disk.run(&["mount", "-o", "remount,ro"]).then_some(())
    });
    let refused = world.run(&["send", "tester", "hello"]);
    assert_eq!(refused.code, 1, "{refused}");
    assert!(refused.err.contains("Read-only file system"), "{refused}");
    assert!(
        refused.err.contains("data directory is writable"),
        "{refused}"
    );
    assert!(disk.run(&["mount", "-o", "remount,rw"]));
    assert_eq!(world.run(&["send", "tester", "script: text after"]).code, 0);
    assert_eq!(world.json(&["tasks"])["tasks"].as_array().unwrap().len(), 2);
    assert_eq!(world.run(&["stop", "--now"]).code, 0);
}
