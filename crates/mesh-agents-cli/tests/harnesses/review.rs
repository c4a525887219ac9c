//! The main job: a review by the harness's own tools, read back as artifacts; and the same without a model.

use std::net::TcpListener;

use serde_json::{Value, json};
use ulid::Ulid;

use crate::machine::{Harness, Machine, model, tool_results};

/// What the harness reads in a repository reaches the artifacts.
pub(crate) async fn arrives(harness: &Harness) {
    let steps = json!([
        { "tools": [{ "names": ["bash", "*shell"], "arguments": {
            "command": "git -C ${prompt:commit of (\\S+)} show --stat HEAD", "description": "See the change" } }] },
        { "tools": [{ "names": ["read", "*shell"], "arguments_by_name": {
            "read": { "filePath": "${prompt:commit of (\\S+)}/pay.sh" },
            "*shell": { "command": "cat ${prompt:commit of (\\S+)}/pay.sh" } } }] },
        { "tools": [{ "names": ["write"], "arguments": {
            "filePath": "${prompt:to the directory (\\S+)}/findings.json",
            "path": "${prompt:to the directory (\\S+)}/findings.json",
            "content": "{\"findings\":[{\"severity\":\"high\",\"file\":\"pay.sh\",\"line\":2,\"issue\":\"a key in the source: ${tool_result:key=(\\w+)}\"}]}" } }] },
        { "tools": [{ "names": ["bash", "*shell"], "arguments": {
            "command": "git -C ${prompt:commit of (\\S+)} log -1 --format='# %s' > \"$TASK_ARTIFACTS_DIR/summary.md\"",
            "description": "Write the summary" } }] },
        { "text": "Reviewed." },
    ]);
    let model = model(steps).await;
    let policy = "read = [\"$HOME/src\"]";
    let machine = Machine::start(harness, &model.openai_url(), policy).await;
    let (key, subject) = (Ulid::new().to_string(), format!("Pay {}", Ulid::new()));
    std::fs::create_dir(machine.path("home/src")).unwrap();
    let source = format!("#!/bin/sh\nkey={key}\n");
    let files = [("pay.sh", source.as_str())];
    let repository = machine.repository("home/src/shop", &subject, &files).await;

    let message = format!("Review the last commit of {}", repository.display());
    let task = machine.complete("pr-review", &message).await;
    let results = tool_results(&model);
    let findings: Value =
        serde_json::from_str(&machine.artifact(&task, "findings.json").await).unwrap();
    assert_eq!(
        findings["findings"][0]["issue"],
        format!("a key in the source: {key}"),
        "{results:#?}"
    );
    let summary = machine.artifact(&task, "summary.md").await;
    assert_eq!(summary, format!("# {subject}\n"), "{results:#?}");
    machine.stop().await;
    model.stop().await.unwrap();
}

/// Without a model the task fails and names both ways out.
pub(crate) async fn without_a_model(harness: &Harness) {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        format!("http://{}/v1", listener.local_addr().unwrap())
    };
    let machine = Machine::start(harness, &nobody, "").await;
    let answer = machine.agents(&["send", "pr-review", "Review it"]).await;
    assert!(!answer.ok, "{answer:?}");
    for word in ["no model", &nobody, "openai_url", "config = \"user\""] {
        assert!(answer.stderr.contains(word), "{word}: {answer:?}");
    }
    machine.stop().await;
}
