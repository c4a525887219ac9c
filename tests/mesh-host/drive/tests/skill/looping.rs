//! `examples/loop/loop-prompt.md`, five rounds of it with a restart of the whole node between: no commit is reviewed twice.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use mesh_host_drive::scripts::TEST_RUN;
use mesh_host_drive::{AgentFiles, Client, Home, Host, HostSpec, Model, run};
use serde_json::{Value, json};

use crate::opencode::Fillings;
use crate::rounds::round;
use crate::steps::Step;
use crate::{opencode, others, repository, reviewer, say, steps};

/// The two heads the pull request has one after the other.
const HEADS: [&str; 2] = [
    "1111111111111111111111111111111111111111",
    "2222222222222222222222222222222222222222",
];

/// Which head each round sees. Between the second and the third the node is restarted.
const ROUNDS: [usize; 5] = [0, 0, 0, 1, 1];

/// The round before which everything of the node is stopped and started anew.
const RESTART_BEFORE: usize = 2;

/// What is cut out of a sentence, and what stands in its place then. Each has to be missed.
const CUTS: [(&str, &str); 8] = [
    (",headRefOid", ""),
    ("\"agent_id\": \"<candidate>\"", "\"agent_id\": \"review\""),
    ("Review pull request <number>", "Review the pull request"),
    (" at commit <commit>", ""),
    (": <url>\"", "\""),
    (", \"message_id\": \"loop-review-<url>-<commit>\"", ""),
    ("loop-review-<url>-<commit>", "loop-review-<commit>"),
    ("loop-review-<url>-<commit>", "loop-review-<url>"),
];

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
            open(home, &[(7, HEADS[head], URL.to_owned())])?;
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

#[tokio::test(flavor = "multi_thread")]
async fn every_sentence_of_the_loop_counts() {
    run(async |home| {
        let reviews = home.shared("reviews")?;
        reviewer(
            home,
            &review(&reviews),
            &format!("write = [{}]", json!(reviews)),
        )?;
        // The first that is found, and not for pull requests.
        home.agent(&AgentFiles::new("essay-review", TEST_RUN))?;
        let host = Host::start(home, HostSpec::new("sentences")).await?;
        let mcp = host.mcp().await?;
        let prompt = fs::read_to_string(repository().join("examples/loop/loop-prompt.md"))?;
        let whole = steps::parse(&prompt)?;
        steps::fit(&whole, &mcp.tools().await?)?;
        proof(&mcp, home, &whole, "whole")
            .await
            .context("the whole prompt")?;

        for step in &whole {
            let others = whole.iter().filter(|other| other.number != step.number);
            let rest: Vec<Step> = others.cloned().collect();
            let outcome = proof(&mcp, home, &rest, &format!("step-{}", step.number)).await;
            is_missed(&format!("step {}", step.number), outcome);
        }
        for (number, (cut, instead)) in CUTS.into_iter().enumerate() {
            ensure!(prompt.contains(cut), "the prompt has no {cut:?}");
            let broken = steps::parse(&prompt.replace(cut, instead))?;
            let outcome = proof(&mcp, home, &broken, &format!("cut-{number}")).await;
            is_missed(&format!("{cut:?}"), outcome);
        }
        assert_eq!(host.lost_plugins()?, 0);
        mcp.close().await?;
        host.stop().await
    })
    .await;
}

fn is_missed(what: &str, outcome: Result<()>) {
    let Err(error) = outcome else {
        panic!("{what} is idle, nothing misses it");
    };
    say(&format!("the loop without {what}: {error:#}"));
}

/// Three rounds over the pull requests of one forge: everything is reported, and each head commit is reviewed once.
async fn proof(mcp: &Client, home: &Home, steps: &[Step], forge: &str) -> Result<()> {
    let noted = home.shared("reviews")?.join("requests");
    fs::write(&noted, "")?;
    let pull = |number: usize, head: usize| {
        (
            number,
            HEADS[head],
            format!("https://{forge}.example/example/repo/pull/{number}"),
        )
    };
    // The same again; then another commit, with which a second pull request was opened too.
    let rounds = [
        vec![pull(7, 0)],
        vec![pull(7, 0)],
        vec![pull(7, 1), pull(8, 1)],
    ];
    let mut expected = Vec::new();
    for pulls in &rounds {
        open(home, pulls)?;
        let reported = round(mcp, home, steps).await?;
        let lines = pulls
            .iter()
            .map(|(number, head, _)| format!("{number} {} completed 1 high", &head[..7]));
        let lines: Vec<_> = lines.collect();
        ensure!(reported == lines, "reported {reported:?}, not {lines:?}");
        for (number, head, url) in pulls {
            let request = format!("Review pull request {number} at commit {head}: {url}");
            if !expected.contains(&request) {
                expected.push(request);
            }
        }
    }
    let noted = fs::read_to_string(&noted)?;
    let noted: Vec<_> = noted.lines().collect();
    ensure!(
        noted == expected,
        "reviewed were {noted:?}, not {expected:?}"
    );
    Ok(())
}

/// A review notes the commit it was asked for, and nothing else tells how often it ran.
fn review(reviews: &Path) -> Vec<Value> {
    let note = format!(
        "sh grep '^Review' \"$TASK_PROMPT_PATH\" | tee -a {0}/requests | grep -o 'commit [0-9a-f]*' | tee -a {0}/commits > \"$TASK_ARTIFACTS_DIR/summary.md\"",
        reviews.display()
    );
    let findings = json!({ "findings": [{ "severity": "high", "file": "total.sh", "line": 3, "issue": "off by one" }] });
    vec![
        json!({ "write": { "path": "$TASK_ARTIFACTS_DIR/findings.json", "content": findings } }),
        json!(note),
    ]
}

/// What `gh` of this home tells: open pull requests with their number, head and address.
fn open(home: &Home, pulls: &[(usize, &str, String)]) -> Result<()> {
    let listed = pulls
        .iter()
        .map(|(number, head, url)| json!({ "number": number, "headRefOid": head, "url": url }));
    let listed = Value::from_iter(listed);
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
