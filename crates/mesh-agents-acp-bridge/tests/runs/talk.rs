//! What harness and bridge say to each other.

use std::fs;

use mesh_agents_core::agent::{Approval, Delivery};
use mesh_agents_core::run::{RunEvent, ToolsGrant};
use serde_json::Value;

use super::support::{World, scripted};

#[tokio::test]
async fn permissions_are_answered_by_kind_and_noted() {
    let world = World::new();
    let asking = "script: ask allow_always reject_once allow_once\nscript: text .";
    let events = world.run(asking).await;
    assert!(
        events
            .text()
            .starts_with("permission: selected reject_once"),
        "{}",
        events.text()
    );
    assert!(events.note("permission").unwrap().contains("deny"));

    let mut agent = world.agent();
    agent.policy.approval = Approval::Auto;
    let events = world.run_agent(agent, asking).await;
    assert!(
        events.text().starts_with("permission: selected allow_once"),
        "{}",
        events.text()
    );

    // What lies within the grant needs no approval; the same a step outside does.
    for (name, answer) in [
        ("$TASK_ARTIFACTS_DIR", "allow_once"),
        ("/etc", "reject_once"),
    ] {
        let spec = world.spec(world.agent(), "");
        let dir = spec.dirs.artifacts();
        let name = name.replace("$TASK_ARTIFACTS_DIR", dir.to_str().unwrap());
        let call = format!("{{\"kind\":\"edit\",\"locations\":[{{\"path\":\"{name}/a.md\"}}]}}");
        let mut spec = spec;
        spec.prompt = format!("script: {{\"ask\":{{\"tool_call\":{call}}}}}");
        let events = world.run_spec(spec).await;
        let wanted = format!("permission: selected {answer}");
        assert!(
            events.text().starts_with(&wanted),
            "{name}: {}",
            events.text()
        );
    }

    // Never an answer that would hold for later requests too.
    let events = world.run("script: ask allow_always reject_always").await;
    assert!(
        events.text().starts_with("permission: cancelled"),
        "{}",
        events.text()
    );
}

#[tokio::test]
async fn what_we_never_offered_is_declined_and_not_left_open() {
    let world = World::new();
    let spec = world.spec(
        world.agent(),
        "script: raw {\"jsonrpc\":\"2.0\",\"id\":\"form\",\"method\":\"elicitation/create\",\"params\":{}}
script: raw {\"jsonrpc\":\"2.0\",\"id\":\"file\",\"method\":\"fs/write_text_file\",\"params\":{\"path\":\"/x\"}}
script: ask
script: text done",
    );
    let log = spec.dirs.acp_log();
    world.run_spec(spec).await.answer();
    let answers = sent(&log);
    let answer = |id| answers.iter().find(|line| line["id"] == id).unwrap();
    assert_eq!(answer("form")["result"]["action"], "decline");
    assert_eq!(answer("file")["error"]["code"], -32601);
}

/// What the bridge wrote, from the log.
fn sent(log: &std::path::Path) -> Vec<Value> {
    let lines = fs::read_to_string(log).unwrap();
    let lines = lines
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter(|line| line["from"] == "us")
        .map(|line| line["line"].clone())
        .collect()
}

#[tokio::test]
async fn junk_unknown_updates_and_long_lines_do_no_harm() {
    let world = World::new();
    let events = world
        .run("script: junk 50\nscript: raw {\"half\": \nscript: unknown_update\nscript: bigline 3000000\nscript: text end")
        .await;
    assert!(events.answer().ends_with("end"));
    assert!(events.text().len() > 2_000_000);
    assert!(events.note("junk_output").unwrap().contains("51 lines"));
    assert!(events.0.contains(&RunEvent::Activity));
}

#[tokio::test]
async fn a_line_without_end_ends_the_run() {
    let world = World::new();
    let events = world.run("script: bigline 40000000\nscript: hang").await;
    assert_eq!(events.failure().code, "acp_line_too_long");
}

#[tokio::test]
async fn a_flood_on_stderr_is_drained_and_cut() {
    let world = World::new();
    let spec = world.spec(
        world.agent(),
        "script: flood 80\nscript: stderr last words\nscript: exit 1",
    );
    let log = spec.dirs.stderr_log();
    let events = world.run_spec(spec).await;
    let tail = events.failure().stderr_tail.as_deref().unwrap();
    assert!(tail.len() <= 4096 && tail.ends_with("last words"), "{tail}");
    let bytes = fs::metadata(log).unwrap().len();
    assert!(bytes <= 65 * 1024 * 1024, "{bytes}");
}

#[tokio::test]
async fn text_before_the_prompt_is_no_answer() {
    let world = World::new();
    let agent = scripted(world.agent(), "new_session: text I am a harness");
    let events = world.run_agent(agent, "script: text yes").await;
    assert_eq!(events.text(), "yes");
}

#[tokio::test]
async fn a_burst_arrives_whole_and_in_order() {
    let world = World::new();
    let events = world.run("script: burst 3000").await;
    let wanted: String = (1..=3000).map(|n| format!("{n}\n")).collect();
    assert_eq!(events.text(), wanted);
}

#[tokio::test]
async fn the_first_prompt_carries_brief_results_and_message() {
    let world = World::new();
    let mut agent = world.agent();
    agent.instructions.text = "Be brief.".to_owned();
    agent.require = vec!["findings.json".parse().unwrap()];
    let spec = world.spec(agent.clone(), "What is it?");
    let artifacts = spec.dirs.artifacts();
    let prompt = prompt_sent(&world, spec).await;
    assert!(prompt.starts_with("Be brief."), "{prompt}");
    assert!(prompt.contains(artifacts.to_str().unwrap()), "{prompt}");
    assert!(prompt.contains("findings.json"), "{prompt}");
    assert!(prompt.ends_with("What is it?"), "{prompt}");

    agent.instructions.delivery = Delivery::None;
    let spec = world.spec(agent, "What is it?");
    let prompt = prompt_sent(&world, spec).await;
    assert!(!prompt.contains("Be brief."), "{prompt}");
}

async fn prompt_sent(world: &World, spec: mesh_agents_core::run::RunSpec) -> String {
    let log = spec.dirs.acp_log();
    world.run_spec(spec).await;
    let lines = sent(&log);
    let prompt = lines.iter().find(|line| line["method"] == "session/prompt");
    let text = &prompt.unwrap()["params"]["prompt"][0]["text"];
    text.as_str().unwrap().to_owned()
}

#[tokio::test]
async fn our_tools_are_offered_with_a_token_that_is_not_logged() {
    let world = World::new();
    let journal = world.path("owner/journal");
    let mut agent = world.agent();
    agent.policy.write = vec![world.owner_home()];
    let text = journal.to_str().unwrap().to_owned();
    agent
        .runtime
        .env
        .push(("SCRIPTED_ACP_LOG".to_owned(), text));
    let grant = ToolsGrant {
        url: "http://127.0.0.1:9/mcp".to_owned(),
        token: "sesame-sesame".to_owned(),
    };
    let mut spec = world.spec(agent, "script: text ok");
    spec.tools = Some(grant.clone());
    let log = spec.dirs.acp_log();
    let events = world.run_spec(spec).await;
    assert_eq!(events.answer(), "ok");
    let heard = fs::read_to_string(journal).unwrap();
    assert!(heard.contains("Bearer sesame-sesame"), "{heard}");
    let logged = fs::read_to_string(log).unwrap();
    assert!(
        logged.contains("http://127.0.0.1:9/mcp") && !logged.contains("sesame"),
        "{logged}"
    );

    let without = scripted(world.agent(), "caps nomcp");
    let mut spec = world.spec(without, "script: text ok");
    spec.tools = Some(grant);
    let events = world.run_spec(spec).await;
    assert!(events.note("tools_unavailable").is_some());
}

#[tokio::test]
async fn the_environment_is_exactly_the_promised_one() {
    let world = World::new();
    let mut agent = world.agent();
    agent.runtime.inherit_env = vec!["GH_TOKEN".to_owned(), "NOT_SET".to_owned()];
    agent
        .runtime
        .env
        .push(("MINE".to_owned(), "yes".to_owned()));
    agent
        .runtime
        .env
        .push(("MESH_AGENT_ID".to_owned(), "forged".to_owned()));
    let spec = world.spec(agent, "script: read /proc/self/environ");
    let text = |path: std::path::PathBuf| path.to_str().unwrap().to_owned();
    let name = format!("mesh-a2a-tester-{}", spec.task_id);
    let mut wanted = vec![
        ("PATH", "/usr/bin:/bin".to_owned()),
        ("LANG", "C.UTF-8".to_owned()),
        ("LC_TIME", "C".to_owned()),
        ("HOME", text(world.owner_home())),
        ("GH_TOKEN", "passed when named".to_owned()),
        ("MINE", "yes".to_owned()),
        ("MESH_AGENT_ID", "tester".to_owned()),
        ("MESH_AGENT_RUN", spec.run_id.to_string()),
        ("MESH_TASK_WORKSPACE", text(world.tmp().join(&name))),
        ("TMPDIR", text(world.tmp().join(format!("{name}-tmp")))),
        ("TASK_ARTIFACTS_DIR", text(spec.dirs.artifacts())),
        ("TASK_PROMPT_PATH", text(spec.dirs.prompt())),
    ];
    wanted.sort();
    let events = world.run_spec(spec).await;
    let found = events.text();
    let mut found: Vec<_> = found
        .split('\0')
        .filter_map(|variable| variable.split_once('='))
        .map(|(name, value)| (name, value.to_owned()))
        .collect();
    found.sort();
    assert_eq!(found, wanted);
}

#[tokio::test]
async fn a_harness_holds_nothing_of_ours_but_its_three_pipes() {
    let world = World::new();
    // What it was given open it passes on to its children, and so do we: some may be our parent's.
    let list = "ls /proc/self/fd";
    let ours = std::process::Command::new("sh").args(["-c", list]).output();
    let ours = String::from_utf8(ours.unwrap().stdout).unwrap();
    let events = world.run(&format!("script: sh {list}")).await;
    assert_eq!(events.text(), format!("exit 0\n{ours}"));
}
