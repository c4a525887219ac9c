//! What the store's troubles look like to the person at the command line.

use std::fs;

use crate::support::World;

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
