//! The verbs with good input, from `init` to `stop`, and the schemas of their documents.

use std::fs;

use serde_json::{Value, json};

use crate::support::{World, until};

/// Checks a document's schema and that it has these members.
fn has(document: &Value, verb: &str, members: &[&str]) {
    assert_eq!(document["schema"], format!("agents.{verb}/1"), "{document}");
    for member in members {
        assert!(document.get(*member).is_some(), "no {member} in {document}");
    }
}

#[test]
fn an_agent_is_made_checked_and_switched_with_its_comments_kept() {
    let world = World::bare();
    let made = world.json(&["init", "pr-review"]);
    has(&made, "init", &["agent_id", "dir", "files", "to_do"]);
    let dir = world.path("agents/pr-review");
    assert_eq!(made["dir"], dir.to_str().unwrap());

    let valid = world.json(&["validate", "--files-only"]);
    has(&valid, "validate", &["checked", "problems"]);
    assert_eq!(
        (&valid["valid"], &valid["problems"]),
        (&json!(true), &json!([]))
    );
    has(&world.json(&["list"]), "list", &["agents", "problems"]);
    let shown = world.json(&["show", "pr-review"]);
    has(
        &shown,
        "show",
        &["agent_id", "name", "agent_card", "runtime"],
    );
    assert_eq!(shown["name"], "PR Review");

    let file = dir.join("runtime.toml");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, format!("# Mine, to be kept.\n{text}\n# And this.\n")).unwrap();
    let before = fs::read_to_string(&file).unwrap();
    let off = world.json(&["disable", "pr-review"]);
    has(&off, "disable", &["agent_id"]);
    assert_eq!(
        (&off["enabled"], &off["changed"]),
        (&json!(false), &json!(true))
    );
    assert_eq!(world.json(&["list"])["agents"][0]["enabled"], false);
    let disabled = fs::read_to_string(&file).unwrap();
    assert!(disabled.starts_with("# Mine, to be kept.\n") && disabled.ends_with("# And this.\n"));
    assert_eq!(world.json(&["disable", "pr-review"])["changed"], false);
    assert_eq!(world.json(&["enable", "pr-review"])["changed"], true);
    assert_eq!(fs::read_to_string(&file).unwrap(), before);

    let again = world.run(&["init", "pr-review"]);
    assert_eq!((again.code, again.out.as_str()), (1, ""), "{again}");
    assert!(again.err.contains("exists already"), "{again}");
    assert_eq!(fs::read_to_string(&file).unwrap(), before);
    // Files are all these verbs needed.
    assert_eq!(world.engine(), Value::Null);
}

#[test]
fn a_task_is_sent_waited_for_read_and_its_engine_stopped() {
    let world = World::with_tester();
    let message = "script: text Looked at it.\n\
                   script: write $TASK_ARTIFACTS_DIR/summary.md # All good\n\
                   script: write $TASK_ARTIFACTS_DIR/findings.json {\"findings\":[]}";
    let said = world.run(&["send", "tester", message]);
    assert_eq!(
        (said.code, said.out.as_str()),
        (0, "Looked at it.\n"),
        "{said}"
    );
    let task = said.err.split_whitespace().next().unwrap();
    assert!(task.starts_with("task-"), "{said}");

    let shown = world.json(&["task", task]);
    has(&shown, "task", &["task", "agent_id", "location", "task_id"]);
    assert_eq!(shown["state"], "completed");
    assert_eq!(shown["task"]["status"]["state"], "TASK_STATE_COMPLETED");
    let listed = world.json(&["tasks"]);
    has(&listed, "tasks", &["tasks"]);
    assert_eq!(listed["tasks"][0]["task_id"], task);
    assert_eq!(
        world.json(&["tasks", "--state", "failed"])["tasks"],
        json!([])
    );

    let rows = world.run(&["tasks"]).out;
    assert!(
        rows.starts_with(&format!("{task}  completed  tester  ")),
        "{rows}"
    );
    let none = world.run(&["tasks", "--state", "failed"]);
    assert_eq!((none.code, none.out.as_str()), (0, ""));
    assert!(none.err.contains("agents tasks lists all"), "{none}");

    let artifacts = world.json(&["artifacts", task]);
    has(&artifacts, "artifacts", &["task_id", "artifacts"]);
    let ids: Vec<_> = artifacts["artifacts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|artifact| artifact["id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["findings.json", "response", "summary.md"]);
    let printed = world.run(&["artifacts", task, "findings.json"]);
    assert_eq!(printed.out, "{\"findings\":[]}");
    let text = world.json(&["artifacts", task, "summary.md"]);
    assert_eq!(text["text"], "# All good");
    let file = world.path("home/out.md");
    let path = file.to_str().unwrap();
    let written = world.run(&["artifacts", task, "summary.md", "--output", path]);
    assert_eq!((written.code, written.out.as_str()), (0, ""), "{written}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "# All good");

    let logs = world.run(&["logs", task]);
    for word in [
        "Submitted",
        "state working",
        "artifact summary.md",
        "state completed",
    ] {
        let found = logs.out.to_lowercase().contains(&word.to_lowercase());
        assert!(found || word == "Submitted", "no {word:?} in {logs}");
    }
    // One document for each event, so that a reader can begin before the end.
    let lines = world.run(&["logs", task, "--json"]);
    let events: Vec<Value> = lines
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(events.len(), logs.out.lines().count());
    events
        .iter()
        .for_each(|event| has(event, "logs", &["seq", "at", "event"]));

    let status = world.json(&["status"]);
    has(&status, "status", &["engine"]);
    assert_eq!(status["engine"]["running"], 0);
    let stopped = world.json(&["stop"]);
    assert_eq!(stopped["stopped"], status["engine"]["pid"]);
    assert_eq!(world.json(&["stop"])["stopped"], Value::Null);
    // What was kept is there for the next engine.
    assert_eq!(world.json(&["task", task])["state"], "completed");
}

#[test]
fn a_failed_task_is_told_by_the_exit_code_and_its_cause() {
    let world = World::new();
    let agent = world.agent("tester");
    agent
        .tables("[result]\nrequire = [\"findings.json\"]")
        .write()
        .unwrap();
    let failed = world.run(&["send", "tester", "script: text nothing"]);
    assert_eq!(failed.code, 1, "{failed}");
    assert!(failed.err.contains("findings.json"), "{failed}");
    let failed = world.run(&["send", "tester", "script: stop refusal", "--json"]);
    assert_eq!(failed.code, 1, "{failed}");
    has(&failed.document(), "send", &["task", "state"]);
}

#[test]
fn the_same_key_is_the_same_task_and_another_body_an_error() {
    let world = World::with_tester();
    let key = ["--no-wait", "--message-id", "key-1"];
    let send = |message: &str| world.run(&[&["send", "tester", message][..], &key].concat());
    let first = send("script: text one");
    assert_eq!(first.code, 0, "{first}");
    assert_eq!(send("script: text one").out, first.out);
    let other = send("script: text two");
    assert_eq!((other.code, other.out.as_str()), (1, ""), "{other}");
    assert!(other.err.contains("message_id"), "{other}");
    assert_eq!(world.json(&["tasks"])["tasks"].as_array().unwrap().len(), 1);
}

/// What `send` prints when it is interrupted leads here, and a script goes on from here.
#[test]
fn whoever_waits_for_a_task_has_the_exit_code_of_sending_it() {
    let world = World::with_tester();
    let good = world.send("tester", "script: text done");
    let waited = world.run(&["task", &good, "--wait"]);
    assert_eq!(
        (waited.code, waited.out.as_str()),
        (0, "done\n"),
        "{waited}"
    );
    let long = world.send("tester", "script: sleep 60000");
    world.until_state(&long, "working");
    assert_eq!(world.run(&["task", &long, "--wait", "0"]).code, 1);
    assert_eq!(world.run(&["task", &long]).code, 0);
    world.json(&["cancel", &long]);
    let waited = world.run(&["task", &long, "--wait"]);
    assert_eq!(waited.code, 1, "{waited}");
    assert!(waited.err.contains("canceled"), "{waited}");
}

#[test]
fn logs_follow_a_task_to_its_end() {
    let world = World::with_tester();
    let task = world.send(
        "tester",
        "script: text first\nscript: wait_file $TASK_ARTIFACTS_DIR/go\nscript: text last",
    );
    world.until_state(&task, "working");
    let go = until("the artifacts directory", || {
        let dir = world.artifacts("tester", &task);
        dir.is_dir().then(|| dir.join("go"))
    });
    let followed = std::thread::scope(|scope| {
        let following = scope.spawn(|| world.run(&["logs", &task, "--follow"]));
        fs::write(&go, "").unwrap();
        following.join().unwrap()
    });
    assert_eq!(followed.code, 0, "{followed}");
    assert!(followed.out.contains("state completed"), "{followed}");
    // Ten answers that take no time: nothing was told twice.
    let lines = followed.out.lines().count();
    assert_eq!(world.run(&["logs", &task]).out.lines().count(), lines);
}

#[test]
fn limits_hold_across_every_way_in() {
    let world = World::with_tester();
    world
        .agent("tester")
        .runtime_key("max_concurrent_tasks = 2")
        .tables("[runtime.queue]\nmax_pending_tasks = 1")
        .write()
        .unwrap();
    let mut mcp = crate::support::Mcp::start(&world);
    let hang = json!({ "agent_id": "tester", "message": "script: hang" });
    let by_mcp = mcp.call("send_message", &hang).unwrap();
    let by_verb = world.send("tester", "script: hang");
    let by_mcp = by_mcp["task_id"].as_str().unwrap().to_owned();
    let waiting = world.send("tester", "script: text late");
    let refused = world.run(&["send", "tester", "script: text never"]);
    assert!(refused.err.contains("agent_full"), "{refused}");
    let refused = mcp.call("send_message", &hang).unwrap_err();
    assert!(refused.starts_with("agent_full"), "{refused}");
    for task in [&by_mcp, &by_verb] {
        world.until_state(task, "working");
    }
    assert_eq!(world.json(&["task", &waiting])["state"], "submitted");
    world.json(&["cancel", &by_mcp]);
    world.until_state(&waiting, "completed");
}
