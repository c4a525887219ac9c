//! Tasks that ask: what a person is shown, and how they answer.

use crate::support::World;

/// A world whose `tester` asks its owner.
fn asking() -> World {
    let world = World::new();
    let tester = world.agent("tester");
    tester
        .tables("[policy]\napproval = \"ask\"")
        .write()
        .unwrap();
    world
}

/// The id of the task that was sent last.
fn last_task(world: &World) -> String {
    let tasks = world.json(&["tasks", "--limit", "1"]);
    tasks["tasks"][0]["task_id"].as_str().unwrap().to_owned()
}

const ASK: &str = "script: ask allow_once reject_once\nscript: text .";

#[test]
fn a_question_is_shown_with_the_command_that_answers_it() {
    let world = asking();
    let mut said = vec![world.run(&["send", "tester", ASK])];
    let task = last_task(&world);
    said.push(world.run(&["task", &task]));
    said.push(world.run(&["send", "tester", "--task", &task, "perhaps"]));
    said.push(world.run(&["send", "tester", "--task", &task, "--option", "allow_once"]));
    said.push(world.run(&["send", "tester", "--task", &task, "--option", "allow_once"]));
    world.check("question_permission", &said);
    // By number, as people answer.
    let task = world.send("tester", ASK);
    world.until_state(&task, "input_required");
    let answered = world.run(&["send", "tester", "--task", &task, "2"]);
    assert_eq!(answered.code, 0, "{answered}");
    assert!(answered.out.contains("selected reject_once"), "{answered}");
}

#[test]
fn a_form_and_a_login_are_answered_the_same_way() {
    let world = World::with_tester();
    let mut said = vec![world.run(&["send", "tester", "tck-multi-turn"])];
    let task = last_task(&world);
    said.push(world.run(&["send", "tester", "--task", &task, "more"]));
    said.push(world.run(&["send", "tester", "--task", &task, "done"]));
    world.check("question_form", &said);

    let mut said = vec![world.run(&["send", "tester", "tck-auth-required"])];
    let task = last_task(&world);
    said.push(world.run(&[
        "send",
        "tester",
        "--task",
        &task,
        "--option",
        "scripted-login",
    ]));
    world.check("question_login", &said);
}
