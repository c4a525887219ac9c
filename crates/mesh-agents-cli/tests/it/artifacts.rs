//! The files of tasks whose log is long.

use crate::support::World;

#[test]
fn the_files_of_a_task_with_a_long_log_are_listed() {
    let world = World::with_tester();
    // Two events each; the engine tells 500 at a time.
    let mut script = "script: tool Looks at it\n".repeat(300);
    script.push_str("script: write $TASK_ARTIFACTS_DIR/late.md # Late\nscript: text done");
    let said = world.run(&["send", "tester", &script]);
    assert_eq!(said.code, 0, "{said}");
    let task = said.err.split_whitespace().next().unwrap();
    let logs = world.run(&["logs", task]);
    let before = logs.out.lines().position(|line| line.contains("late.md"));
    assert!(before.unwrap() > 500, "{before:?}");
    let listed = world.json(&["artifacts", task]);
    let listed = listed["artifacts"].as_array().unwrap();
    let ids: Vec<_> = listed
        .iter()
        .map(|artifact| artifact["id"].as_str().unwrap())
        .collect();
    assert!(ids.contains(&"late.md"), "{ids:?}");
}
