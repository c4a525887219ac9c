//! What our skills and prompts tell a client to do is enough to do the work, and no step of it is idle.
//!
//! The steps are read from `skills/mesh-agents/SKILL.md` and `examples/loop/loop-prompt.md` and held against the host's
//! `tools/list`. A real OpenCode follows them whole, with a scripted model made from the steps; that each step counts is
//! shown by clients that do what the steps say over plain MCP ([`by_hand`], [`rounds`]), with one step removed at a time,
//! and of the loop also one part of a sentence.

mod by_hand;
mod looping;
mod opencode;
mod rounds;
mod steps;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use mesh_host_drive::scripts::TEST_RUN;
use mesh_host_drive::{AgentFiles, Client, Home, Host, HostSpec, Model, acp_bin, run};
use serde_json::{Value, json};

use crate::opencode::Fillings;
use crate::steps::Step;

/// What the user says. No agent is named in it.
const PROMPT: &str = "Code review example/repo#7";

/// What the reviewer asks, and what it is told.
const QUESTION: &str = "Which branch does it go into?";
const ANSWER: &str = "main";

/// Only the review has this.
const ISSUE: &str = "the total is off by one where the list is empty";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../..")
}

fn skill() -> Result<String> {
    Ok(fs::read_to_string(
        repository().join("skills/mesh-agents/SKILL.md"),
    )?)
}

/// The example `pr-review` with a scripted harness, which does these lines at every prompt. Others may run beside it: a
/// task whose question nobody answers keeps its slot.
fn reviewer(home: &Home, lines: &[Value], policy: &str) -> Result<()> {
    let directory = home.example("pr-review", "pr-review")?;
    let runtime = format!(
        "[runtime]\ntype = \"acp\"\ncommand = {}\nmax_concurrent_tasks = 16\n\n[runtime.env]\nSCRIPTED_ACP = {}\n\n\
         [result]\nrequire = [\"findings.json\", \"summary.md\"]\n\n[policy]\n{policy}\n",
        json!(acp_bin()),
        // `$` is for a run's own shell, not for the template.
        json!(Value::from(lines).to_string().replace('$', "$$")),
    );
    fs::write(directory.join("runtime.toml"), runtime).context("write runtime.toml")
}

/// Two agents that are not for reviews, one of them first in every list.
fn others(home: &Home) -> Result<()> {
    home.agent(&AgentFiles::new("archive", TEST_RUN))?;
    home.example("test-runner", "test-runner").map(drop)
}

fn review_of_seven() -> Vec<Value> {
    let findings = json!({ "findings": [{ "severity": "high", "file": "total.sh", "line": 3, "issue": ISSUE }] });
    vec![
        json!({ "elicit": { "message": QUESTION } }),
        json!({ "write": { "path": "$TASK_ARTIFACTS_DIR/findings.json", "content": findings } }),
        // What it was sent is in its prompt, or there is no summary and the task fails.
        json!(
            "sh grep -o 'example/repo#7' \"$TASK_PROMPT_PATH\" > \"$TASK_ARTIFACTS_DIR/summary.md\""
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_step_of_the_skill_counts() {
    run(async |home| {
        reviewer(home, &review_of_seven(), "")?;
        others(home)?;
        let host = Host::start(home, HostSpec::new("steps")).await?;
        let mcp = host.mcp().await?;
        let steps = steps::parse(&skill()?)?;
        steps::fit(&steps, &mcp.tools().await?)?;

        let report = by_hand::follow(&mcp, &steps, PROMPT, "whole", ANSWER).await?;
        assert!(is_done(&report), "the whole skill: {report:?}");
        for step in &steps {
            let rest: Vec<Step> = steps
                .iter()
                .filter(|other| other.number != step.number)
                .cloned()
                .collect();
            let key = format!("without-{}", step.number);
            let report = by_hand::follow(&mcp, &rest, PROMPT, &key, ANSWER).await;
            assert!(
                !report.as_deref().is_ok_and(is_done),
                "step {} is idle, nothing misses it: {}",
                step.number,
                step.text
            );
            say(&format!("without step {}: {}", step.number, short(&report)));
        }
        assert_eq!(host.lost_plugins()?, 0);
        mcp.close().await?;
        host.stop().await
    })
    .await;
}

fn is_done(report: &str) -> bool {
    report.contains(ISSUE) && report.contains("example/repo#7")
}

fn short(report: &Result<String>) -> String {
    match report {
        Ok(report) => format!("reported {:?}", report.chars().take(60).collect::<String>()),
        Err(error) => format!("{error:#}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_skill_with_opencode() {
    run(async |home| {
        reviewer(home, &review_of_seven(), "")?;
        others(home)?;
        let host = Host::start(home, HostSpec::new("skill")).await?;
        let steps = steps::parse(&skill()?)?;
        let model = Model::start(home, &script(&steps)?)?;
        opencode::configure(home, &host, &model)?;
        let project = home.shared("project")?;

        let said = opencode::run(home, &project, PROMPT)?;
        let requests = model.log().await?;
        let last = requests.last().context("the model was asked")?;
        ensure!(
            said.contains(ISSUE),
            "OpenCode said: {said}\n{}",
            last["body"]["messages"]
        );
        // It has read the skill's own text, by its own means.
        ensure!(
            last.to_string().contains("**Look who is there.**"),
            "OpenCode did not load the skill: {last}"
        );
        let mcp = host.mcp().await?;
        let task = the_one_task(&mcp).await?;
        ensure!(
            task["agent_id"] == "pr-review" && task["state"] == "completed",
            "{task}"
        );

        let first = requests.first().context("the model was asked")?;
        // What makes a model load it: the client shows name and description before anything was said of agents.
        let description = skill()?
            .lines()
            .find_map(|line| line.strip_prefix("description: ").map(str::to_owned))
            .context("description")?;
        let shown = first["body"].to_string();
        ensure!(
            shown.contains(&json!(description).to_string()[1..40]),
            "the skill's description is not in the first request: {shown}"
        );
        ensure!(
            !first["last_user"].to_string().contains("pr-review"),
            "{first}"
        );
        assert_eq!(host.lost_plugins()?, 0);
        mcp.close().await?;
        host.stop().await?;
        model.stop().await
    })
    .await;
}

async fn the_one_task(mcp: &Client) -> Result<Value> {
    let listed = mcp.call("list_tasks", json!({})).await?;
    let tasks = listed["tasks"].as_array().context("tasks")?;
    ensure!(tasks.len() == 1, "one task was wanted: {listed}");
    Ok(tasks[0].clone())
}

/// The model's part: load the skill, then its steps.
fn script(steps: &[Step]) -> Result<Value> {
    let fillings = Fillings::from([
        // Ids come from results alone: the second of the list, and then the one whose card speaks of pull requests.
        (
            "candidate",
            r#"${tool_result:(?s)(?:"agent_id":"([^"]+)".*?){2}}"#.to_owned(),
        ),
        (
            "agent",
            r#"${tool_result:"agent_card":.*pull request.*\},"agent_id":"([^"]+)"}"#.to_owned(),
        ),
        ("brief", r#"${prompt:([^"]+)}"#.to_owned()),
        ("key", "review-example-repo-7".to_owned()),
        (
            "task_id",
            r#"${tool_result:"task_id":"(task-[^"]+)"}"#.to_owned(),
        ),
        ("answer", ANSWER.to_owned()),
        (
            "json_artifact",
            r#"${tool_result:"artifactId":"([^"]+\.json)"}"#.to_owned(),
        ),
        (
            "text_artifact",
            r#"${tool_result:"artifactId":"([^"]+\.md)"}"#.to_owned(),
        ),
    ]);
    let load = json!({ "tools": [{ "names": ["skill"], "arguments": { "name": "mesh-agents" } }] });
    let mut answers = vec![load];
    // A wait that is over when the task is; on a busy machine one is not enough.
    let times = |step: &Step| {
        if step.text.contains("get_task") { 3 } else { 1 }
    };
    let last = r#"total.sh:3: ${tool_result:"issue":"([^"]+)"}"#;
    let mut followed = opencode::answers(steps, &fillings, &times, last)?;
    // "and wait again (step 4)".
    let wait = |answer: &Value| answer.to_string().contains("*_get_task");
    let waits: Vec<Value> = followed.iter().filter(|a| wait(a)).cloned().collect();
    let back = steps
        .iter()
        .position(|step| steps::goes_back_to(step).is_some());
    let answered = followed
        .iter()
        .position(|answer| answer["tools"][0]["arguments"]["message"] == ANSWER)
        .filter(|_| back.is_some())
        .context("a step answers the question and waits again")?;
    followed.splice(answered + 1..answered + 1, waits);
    answers.extend(followed);
    Ok(json!({ "rules": [{ "when": PROMPT, "steps": answers }], "aux": { "text": "A title" } }))
}

#[expect(
    clippy::print_stdout,
    reason = "what a removed step breaks, for who reads CI's log"
)]
fn say(line: &str) {
    println!("{line}");
}
