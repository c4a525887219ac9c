//! Agents come, change and go while the engine runs.

use std::fs;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{Mcp, World, figures, until};

fn agents(mcp: &mut Mcp) -> Value {
    mcp.call("get_agents", &json!({})).unwrap()
}

fn ids(mcp: &mut Mcp) -> Vec<String> {
    let agents = agents(mcp)["agents"].clone();
    let id = |agent: &Value| agent["agent_id"].as_str().unwrap().to_owned();
    agents.as_array().unwrap().iter().map(id).collect()
}

#[test]
fn a_new_directory_is_an_agent_within_the_second() {
    let world = World::with_tester();
    let mut mcp = Mcp::start(&world);
    assert_eq!(ids(&mut mcp), ["tester"]);
    let mut spans = Vec::<Duration>::new();
    for number in 0..5 {
        let id = format!("new-{number}");
        let agent = world.agent(&id);
        let start = Instant::now();
        agent.write().unwrap();
        until("the new agent is shown", || {
            ids(&mut mcp).contains(&id).then_some(())
        });
        spans.push(start.elapsed());
        // What is shown can be used at once.
        let sent = json!({ "agent_id": id, "message": "script: text hello" });
        mcp.call("send_message", &sent).unwrap();
    }
    println!("new agent, written to shown:    {}", figures(spans));
}

#[test]
fn the_first_agent_of_a_machine_needs_no_restart() {
    let world = World::bare();
    let mut mcp = Mcp::start(&world);
    let none = agents(&mut mcp);
    assert_eq!(none["agents"], json!([]));
    assert!(none["problems"].to_string().contains("init"), "{none}");
    assert_eq!(world.run(&["init", "pr-review"]).code, 0);
    until("the first agent is shown", || {
        (ids(&mut mcp) == ["pr-review"]).then_some(())
    });
}

#[test]
fn a_broken_edit_is_a_problem_and_the_last_good_one_serves() {
    let world = World::with_tester();
    let mut mcp = Mcp::start(&world);
    assert_eq!(ids(&mut mcp), ["tester"]);
    let file = world.path("agents/tester/runtime.toml");
    let good = fs::read_to_string(&file).unwrap();
    fs::write(&file, "[runtime\n").unwrap();
    // A file that is only just being written may be seen empty first.
    let shown = until("the problem is shown at its line", || {
        let shown = agents(&mut mcp);
        (shown["problems"][0]["line"] == 1).then_some(shown)
    });
    assert_eq!(shown["agents"][0]["agent_id"], "tester", "{shown}");
    let said = world.run(&["send", "tester", "script: text still here"]);
    assert_eq!(said.code, 0, "{said}");
    fs::write(&file, good).unwrap();
    until("the problem is gone", || {
        let shown = agents(&mut mcp);
        shown["problems"]
            .as_array()
            .is_none_or(Vec::is_empty)
            .then_some(())
    });
}

/// A person who disables an agent and is told so does not expect it to take the next message.
#[test]
fn what_is_said_of_an_agent_is_true_of_the_very_next_message() {
    let world = World::with_tester();
    let mut mcp = Mcp::start(&world);
    assert_eq!(ids(&mut mcp), ["tester"]);
    for _ in 0..3 {
        assert_eq!(
            world.run(&["disable", "tester"]).out,
            "tester is disabled\n"
        );
        let refused = world.run(&["send", "tester", "script: text no", "--json"]);
        let error = &refused.document()["error"];
        assert_eq!(error["code"], "agent_disabled", "{refused}");
        assert_eq!(world.run(&["enable", "tester"]).out, "tester is enabled\n");
        // The tool itself, which does not wait for an agent to come.
        let sent = json!({ "agent_id": "tester", "message": "script: text yes" });
        mcp.call("send_message", &sent).unwrap();
    }
}

#[test]
fn disabled_and_removed_agents_leave_the_list() {
    let world = World::with_tester();
    world.agent("other").write().unwrap();
    let mut mcp = Mcp::start(&world);
    until("both are shown", || {
        (ids(&mut mcp).len() == 2).then_some(())
    });
    world.run(&["disable", "tester"]);
    until("the disabled one leaves", || {
        (ids(&mut mcp) == ["other"]).then_some(())
    });
    fs::remove_dir_all(world.path("agents/other")).unwrap();
    until("the removed one leaves", || {
        ids(&mut mcp).is_empty().then_some(())
    });
    world.run(&["enable", "tester"]);
    until("the enabled one is back", || {
        (ids(&mut mcp) == ["tester"]).then_some(())
    });
}
