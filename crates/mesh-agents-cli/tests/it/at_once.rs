//! Verbs that change one file, many of them at once.

use std::process::Stdio;

use crate::support::World;

/// Runs them all at the same time; what each prints.
fn at_once(world: &World, lines: &[Vec<String>]) -> Vec<serde_json::Value> {
    let begun: Vec<_> = lines
        .iter()
        .map(|line| {
            let words: Vec<&str> = line.iter().map(String::as_str).collect();
            let mut command = world.command(&words);
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
            command.spawn().unwrap()
        })
        .collect();
    let ended = begun.into_iter().map(|one| one.wait_with_output().unwrap());
    ended
        .map(|said| {
            assert!(said.status.success(), "{said:?}");
            serde_json::from_slice(&said.stdout).unwrap()
        })
        .collect()
}

fn words(line: &[&str]) -> Vec<String> {
    line.iter().map(|&word| word.to_owned()).collect()
}

#[test]
fn every_change_of_the_list_that_was_said_to_be_made_is_there() {
    let world = World::bare();
    let keys: Vec<_> = (1..=24).map(key).collect();
    let verb = |n: usize| if n.is_multiple_of(2) { "allow" } else { "deny" };
    let lines: Vec<_> = keys
        .iter()
        .enumerate()
        .map(|(n, key)| words(&["peers", verb(n), key, "pr-review", "--json"]))
        .collect();
    for (done, key) in at_once(&world, &lines).iter().zip(&keys) {
        assert_eq!(
            (&done["peer_id"], &done["changed"]),
            (&key.as_str().into(), &true.into())
        );
    }
    let list = std::fs::read_to_string(world.path("data/a2a/acl.toml")).unwrap();
    for (n, key) in keys.iter().enumerate() {
        let (_, table) = list.split_once(key.as_str()).unwrap();
        let line = format!("{} = [\"pr-review\"]", verb(n));
        let table = table.split("[peers").next().unwrap();
        assert!(table.contains(&line), "{key}: {list}");
    }
}

#[test]
fn a_node_has_one_key_however_many_ask_for_it_first() {
    let world = World::bare();
    let lines = vec![words(&["identity", "show", "--json"]); 16];
    let mut keys: Vec<_> = at_once(&world, &lines)
        .iter()
        .map(|shown| shown["peer_id"].as_str().unwrap().to_owned())
        .collect();
    keys.dedup();
    assert_eq!(keys.len(), 1, "{keys:?}");
    let on_disk = world.json(&["identity", "show"]);
    assert_eq!(on_disk["peer_id"], keys[0].as_str());
}

/// Some node's key.
fn key(n: u8) -> String {
    mesh_agents_mesh::NodeSecret::from_seed(&[n; 32])
        .key()
        .to_string()
}
