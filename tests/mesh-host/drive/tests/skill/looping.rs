//! `examples/loop/loop-prompt.md`, five rounds of it with a restart of the whole node between: no commit is reviewed twice.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use mesh_host_drive::{Home, Host, HostSpec, Model, run};
use serde_json::{Value, json};

use crate::opencode::Fillings;
use crate::steps::Step;
use crate::{opencode, others, repository, reviewer, steps};

/// The two heads the pull request has one after the other.
const HEADS: [&str; 2] = [
    "1111111111111111111111111111111111111111",
    "2222222222222222222222222222222222222222",
];

/// Which head each round sees. Between the second and the third the node is restarted.
const ROUNDS: [usize; 5] = [0, 0, 0, 1, 1];

/// The round before which everything of the node is stopped and started anew.
const RESTART_BEFORE: usize = 2;

/// What the pull request is known by.
const URL: &str = "https://forge.example/example/repo/pull/7";

#[tokio::test(flavor = "multi_thread")]
async fn the_loop_with_opencode() {
    run(async |home| {
        let reviews = home.shared("reviews")?;
        reviewer(
            home,
            &review(&reviews),
            &format!("write = [{}]", json!(reviews)),
        )?;
        others(home)?;
        let mut host = Host::start(home, HostSpec::new("loop")).await?;
        let prompt = fs::read_to_string(repository().join("examples/loop/loop-prompt.md"))?;
        let steps = steps::parse(&prompt)?;
        let mcp = host.mcp().await?;
        steps::fit(&steps, &mcp.tools().await?)?;
        mcp.close().await?;
        let model = Model::start(home, &script(&steps)?)?;
        opencode::configure(home, &host, &model)?;
        let project = home.shared("project")?;

        for (round, head) in ROUNDS.into_iter().enumerate() {
            if round == RESTART_BEFORE {
                let stopped = home.agents(&["stop", "--now"])?;
                ensure!(stopped.status.success(), "{stopped:?}");
                host.kill9()?;
                host.restart().await?;
            }
            pull_request(home, HEADS[head])?;
            let said = opencode::run(home, &project, &prompt)?;
            let line = format!("7 {} completed 1 high", &HEADS[head][..7]);
            ensure!(said.contains(&line), "round {}: {said}", round + 1);
        }

        let ran = fs::read_to_string(reviews.join("commits"))?;
        let ran: Vec<_> = ran.lines().collect();
        assert_eq!(ran, HEADS.map(|head| format!("commit {head}")));
        let mcp = host.mcp().await?;
        let listed = mcp.call("list_tasks", json!({})).await?;
        assert_eq!(
            listed["tasks"].as_array().map(Vec::len),
            Some(2),
            "{listed}"
        );
        for request in model.log().await? {
            ensure!(request["problem"].is_null(), "{request}");
        }
        mcp.close().await?;
        host.stop().await?;
        model.stop().await
    })
    .await;
}

/// A review notes the commit it was asked for, and nothing else tells how often it ran.
fn review(reviews: &Path) -> Vec<Value> {
    let note = format!(
        "sh grep -o 'commit [0-9a-f]*' \"$TASK_PROMPT_PATH\" | tee -a {}/commits > \"$TASK_ARTIFACTS_DIR/summary.md\"",
        reviews.display()
    );
    let findings = json!({ "findings": [{ "severity": "high", "file": "total.sh", "line": 3, "issue": "off by one" }] });
    vec![
        json!({ "write": { "path": "$TASK_ARTIFACTS_DIR/findings.json", "content": findings } }),
        json!(note),
    ]
}

/// What `gh` of this home tells: one open pull request with this head.
fn pull_request(home: &Home, head: &str) -> Result<()> {
    let listed = json!([{ "number": 7, "headRefOid": head, "url": URL }]);
    let gh = home.shared("bin")?.join("gh");
    let expected = "pr list --state open --json number,headRefOid,url";
    let script = format!(
        "#!/bin/sh\n[ \"$*\" = '{expected}' ] || {{ echo \"gh: $*\" >&2; exit 1; }}\necho '{listed}'\n"
    );
    fs::write(&gh, script)?;
    fs::set_permissions(&gh, fs::Permissions::from_mode(0o755)).context("chmod gh")
}

fn script(steps: &[Step]) -> Result<Value> {
    let fillings = Fillings::from([
        (
            "candidate",
            r#"${tool_result:"agent_id":"([^"]+)"}"#.to_owned(),
        ),
        (
            "agent",
            r#"${tool_result:"agent_card":.*pull request.*\},"agent_id":"([^"]+)"}"#.to_owned(),
        ),
        ("number", r#"${tool_result:"number":(\d+)}"#.to_owned()),
        (
            "commit",
            r#"${tool_result:"headRefOid":"([0-9a-f]+)"}"#.to_owned(),
        ),
        (
            "url",
            r#"${tool_result:"url":"([^"]+/pull/\d+)"}"#.to_owned(),
        ),
        (
            "task_id",
            r#"${tool_result:"task_id":"(task-[^"]+)"}"#.to_owned(),
        ),
    ]);
    let times = |step: &Step| {
        if step.text.contains("get_task") { 3 } else { 1 }
    };
    let last = r#"${tool_result:"number":(\d+)} ${tool_result:"headRefOid":"([0-9a-f]{7})} ${tool_result:"state":"(completed)"} 1 ${tool_result:"severity":"(\w+)"}"#;
    let answers = opencode::answers(steps, &fillings, &times, last)?;
    Ok(json!({ "steps": answers, "aux": { "text": "A title" } }))
}
