//! The verbs about other nodes and this node's own key, on a node without a mesh.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::{World, until};

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn key(world: &World) -> Value {
    world.json(&["identity", "show"])["peer_id"].clone()
}

/// The key of the engine that runs, or is started by this.
fn engine_key(world: &World) -> Value {
    world.json(&["peers", "list"])["mesh"]["peer_id"].clone()
}

#[test]
fn a_new_key_takes_the_place_of_the_old_one_which_is_kept() {
    let world = World::with_tester();
    let old = key(&world);
    assert_eq!(engine_key(&world), old);
    let file = world.path("data/a2a/identity.key");
    let seed = fs::read(&file).unwrap();

    let rotated = world.json(&["identity", "rotate"]);
    assert_eq!(rotated["old_peer_id"], old);
    let new = rotated["peer_id"].clone();
    assert_ne!(new, old);
    assert_eq!(key(&world), new);
    let kept = Path::new(rotated["old_key_file"].as_str().unwrap()).to_owned();
    assert_eq!(fs::read(&kept).unwrap(), seed);
    assert_eq!((mode(&kept), mode(&file)), (0o600, 0o600));
    until("an engine with the new key", || {
        (engine_key(&world) == new).then_some(())
    });
    // Once more: both old ones are there.
    let again = world.json(&["identity", "rotate"]);
    assert_eq!(again["old_peer_id"], new);
    assert_ne!(again["old_key_file"], rotated["old_key_file"]);
    assert!(kept.exists());
}

#[test]
fn while_tasks_are_not_over_a_new_key_needs_force_and_what_runs_ends_first() {
    let world = World::with_tester();
    let old = key(&world);
    let task = world.send("tester", "script: sleep 60000");
    world.until_state(&task, "working");
    let refused = world.run(&["identity", "rotate", "--json"]);
    assert_eq!(refused.code, 1, "{refused}");
    let error = &refused.document()["error"];
    assert_eq!(error["code"], "task_busy");
    assert!(
        error["message"]
            .as_str()
            .unwrap()
            .starts_with("1 tasks run and 0 wait"),
        "{error}"
    );
    assert!(
        error["hint"].as_str().unwrap().contains("--force"),
        "{error}"
    );
    assert_eq!(key(&world), old);

    let forced = world.json(&["identity", "rotate", "--force"]);
    assert_eq!(
        (&forced["running"], &forced["old_peer_id"]),
        (&Value::from(1), &old)
    );
    // The engine stays with the old key until the task is over, and nothing is lost.
    assert_eq!(world.engine()["stopping"], true);
    assert_eq!(engine_key(&world), old);
    assert_eq!(world.json(&["task", &task])["state"], "working");
    world.json(&["cancel", &task]);
    until("an engine with the new key", || {
        // One that is about to stop may say so.
        let said = world.run(&["peers", "list", "--json"]);
        (said.document()["mesh"]["peer_id"] == forced["peer_id"]).then_some(())
    });
    assert_eq!(world.json(&["task", &task])["state"], "canceled");
}

/// The owner is told what is the case now, and what still keeps the node from what it was allowed.
#[test]
fn who_lets_a_node_in_is_told_what_it_may_and_what_is_missing_for_it() {
    let friend = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
    let world = World::with_tester();
    let allow = |agent: &str| world.run(&["peers", "allow", friend, agent, "--label", "ada"]);
    let said = allow("tester");
    assert_eq!(said.out, format!("{friend} (ada) may call: tester\n"));
    assert!(said.err.contains("advertise_on_mesh = true"), "{said}");
    let said = allow("tester");
    assert_eq!(
        said.out,
        format!("{friend} (ada) may call: tester (as before)\n")
    );
    let said = allow("nobody");
    assert_eq!(
        said.out,
        format!("{friend} (ada) may call: tester, nobody\n")
    );
    assert!(said.err.contains("there is no agent nobody in "), "{said}");
    // The list is what these words mean alone, as with `agents tasks`.
    let alone = world.json(&["peers"]);
    assert_eq!(alone["unheard"][0]["peer_id"], friend, "{alone}");
    assert_eq!(
        world.run(&["identity"]).out,
        world.run(&["identity", "show"]).out
    );
    let document = world.json(&["peers", "allow", "ada", "*"]);
    assert_eq!(document["allow"], json!(["tester", "nobody", "*"]));
    assert!(
        document["notes"][0]
            .as_str()
            .unwrap()
            .contains("no agent is advertised"),
        "{document}"
    );

    let file = world.path("agents/tester/runtime.toml");
    let text = fs::read_to_string(&file).unwrap();
    let policy =
        "[policy]\nadvertise_on_mesh = true\nfilesystem = \"workspace\"\nnetwork = \"deny\"\n";
    assert!(!text.contains("[policy]"), "{text}");
    fs::write(&file, format!("{text}\n{policy}")).unwrap();
    let document = world.json(&["peers", "allow", "ada", "tester"]);
    assert!(document.get("notes").is_none(), "{document}");
    let said = world.run(&["peers", "deny", "ada", "tester"]);
    assert!(
        said.out.starts_with(&format!("{friend} (ada) may call: ")),
        "{said}"
    );
    assert!(said.out.ends_with("; not: tester\n"), "{said}");
}

#[test]
fn verbs_about_nodes_name_what_is_wrong_with_their_arguments() {
    let world = World::with_tester();
    let ours = key(&world);
    let ours = ours.as_str().unwrap();
    for (args, says) in [
        (&["peers", "show", "bob"][..], "no node is known by \"bob\""),
        (
            &["peers", "show", "did:key:z6Mkbob"],
            "no node is known by ",
        ),
        (
            &["peers", "prefer", "x", "bob"],
            "no node is known by \"bob\"",
        ),
        (&["peers", "prefer", "../x", ours], "agent id \"../x\""),
        (
            &["peers", "prefer", "tester", ours],
            "this node has an agent \"tester\" itself",
        ),
        (
            &["send", "tester", "hi", "--peer", "bob"],
            "--peer: no node is known by \"bob\"",
        ),
    ] {
        let said = world.run(&[args, &["--json"]].concat());
        assert_eq!(said.code, 1, "{said}");
        let error = &said.document()["error"];
        assert!(
            error["message"].as_str().unwrap().starts_with(says),
            "{args:?}: {error}"
        );
    }
    for args in [
        &["peers", "prefer", "x"][..],
        &["peers", "prefer", "x", "y", "--clear"],
        &["peers", "show"],
    ] {
        assert_eq!(world.run(args).code, 2, "{args:?}");
    }
    let cleared = world.json(&["peers", "prefer", "x", "--clear"]);
    assert_eq!(cleared["changed"], false);
    // A key that is on the list and was never heard is shown with what it may.
    let friend = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
    world.json(&["peers", "allow", friend, "tester", "--label", "ada"]);
    let shown = until("the list is read", || {
        let said = world.run(&["peers", "show", "ada", "--json"]);
        (said.code == 0).then(|| said.document())
    });
    assert_eq!(
        (&shown["peer_id"], &shown["name"]),
        (&Value::from(friend), &Value::from("ada"))
    );
    assert_eq!(shown["rights"]["allow"], Value::from(vec!["tester"]));
    assert!(shown.get("heard").is_none(), "{shown}");
    let said = world.run(&["peers", "show", "ada"]);
    assert_eq!(said.code, 0, "{said}");
    // It is on no mesh and is listed all the same: who may call is what an owner looks for there.
    let listed = world.json(&["peers", "list"]);
    let unheard = json!([{ "peer_id": friend, "label": "ada", "allow": ["tester"] }]);
    assert_eq!(listed["unheard"], unheard, "{listed}");
    let said = world.run(&["peers", "list"]);
    assert!(
        said.out.contains(&format!(
            "node {friend}  never seen  ada  may call: tester\n"
        )),
        "{said}"
    );
    let gone = world.json(&["peers", "forget", "ada"]);
    assert_eq!(
        (&gone["changed"], &gone["known"]),
        (&Value::from(true), &Value::from(false))
    );
}
