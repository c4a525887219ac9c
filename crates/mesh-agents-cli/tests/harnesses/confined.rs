//! What a harness's shell can reach under `filesystem = "workspace"`.

use std::net::TcpListener;
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::machine::{Harness, Machine, model, tool_results};

/// Its shell reaches nothing that was not granted, and what it leaves arrives.
pub(crate) async fn holds(harness: &Harness) {
    probed(harness, "", "is reached").await;
}

/// The same on a loopback of its own, where it has its model and no port of the owner's.
pub(crate) async fn holds_on_its_own_loopback(harness: &Harness) {
    probed(harness, "network = \"loopback\"", "is out of reach").await;
}

/// Probes a run under `policy`, in which a port of the owner's on loopback is as told.
async fn probed(harness: &Harness, policy: &str, port: &str) {
    // The paths are known only once the machine is there, so the message carries the script's command.
    let steps = json!([
        { "tools": [{ "names": ["bash", "*shell"], "arguments": {
            "command": "echo mine > own.txt; ${prompt:Probe: (.*)}", "description": "Probe" } }] },
        { "tools": [{ "names": ["bash", "*shell"], "arguments": {
            "command": "cd \"$TASK_ARTIFACTS_DIR\" && echo '{\"findings\":[]}' > findings.json && echo done > summary.md",
            "description": "Write the results" } }] },
        { "text": "Probed." },
    ]);
    let model = model(steps).await;
    let machine = Machine::start(harness, &model.openai_url(), policy).await;
    let owners = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = owners.local_addr().unwrap();
    let address = format!("127.0.0.1/{}", address.port());
    let canary = machine.path("home/canary.txt");
    std::fs::write(&canary, "canary").unwrap();
    let planted = machine.path("home/planted.txt");
    let neighbour = neighbour(&machine).await;
    let database = machine.path("data/a2a/mesh-agents.sqlite");
    assert!(database.is_file());

    let probes = [
        probe("own file", Path::new("own.txt"), READ),
        probe("owner's home", &canary, READ),
        probe("neighbour", &neighbour, READ),
        probe("database", &database, READ),
        probe("outside", &planted, WRITE),
        probe("owner's port", Path::new(&address), CONNECT),
    ];
    let task = machine
        .complete("pr-review", &format!("Probe: {}", probes.join("; ")))
        .await;

    let results = tool_results(&model);
    let lines: Vec<&str> = results[0]
        .lines()
        .filter(|line| line.contains(" is "))
        .collect();
    let expected = [
        "own file is reached",
        "owner's home is out of reach",
        "neighbour is out of reach",
        "database is out of reach",
        "outside is out of reach",
        &format!("owner's port {port}"),
    ];
    assert_eq!(lines, expected, "{results:#?}");
    assert!(!planted.exists());
    assert_eq!(
        machine.artifact(&task, "findings.json").await,
        "{\"findings\":[]}\n"
    );
    machine.stop().await;
    model.stop().await.unwrap();
}

const READ: &str = "head -c 1 \"$p\" >/dev/null";
const WRITE: &str = "echo x >>\"$p\"";
const CONNECT: &str = "bash -c \"exec 3<>/dev/tcp/$p\"";

/// A command that tries `act` on `path` and says how it went. OpenCode has checks of its own for paths it sees in a
/// command; in a variable it does not see one, as a script that was downloaded would not show it either.
fn probe(what: &str, path: &Path, act: &str) -> String {
    let path = path.display();
    format!(
        "p='{path}' sh -c 'if {act}; then echo \"'\"{what}\"' is reached\"; else echo \"'\"{what}\"' is out of reach\"; fi'"
    )
}

/// A file in the workspace of a task of another agent, kept after its end.
async fn neighbour(machine: &Machine) -> PathBuf {
    let runtime = machine.path("agents/test-runner/runtime.toml");
    let text = std::fs::read_to_string(&runtime).unwrap();
    let kept = text.replace("keep = \"never\"", "keep = \"always\"");
    std::fs::write(&runtime, &kept).unwrap();
    let project = machine.path("project");
    std::fs::create_dir(&project).unwrap();
    std::fs::write(project.join("run-tests.sh"), "exit 0\n").unwrap();
    // Until the node has seen the edit, the workspace is removed.
    loop {
        let task = machine
            .complete("test-runner", project.to_str().unwrap())
            .await;
        let file = format!("tmp/mesh-a2a-test-runner-{task}/run-tests.sh");
        let file = machine.path(&file);
        if file.is_file() {
            return file;
        }
    }
}
