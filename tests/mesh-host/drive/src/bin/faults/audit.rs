//! The database at the end, read by somebody else: Python's sqlite3, on a copy.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use mesh_host_drive::Home;
use serde_json::Value;

use crate::check::Entry;

/// The program that reads it.
const READER: &str = include_str!("audit.py");

/// A task as the database has it.
#[derive(Debug)]
struct Row {
    id: String,
    /// Its row's state.
    state: String,
    /// The state its log ends with.
    logged: String,
    /// How many terminal states its log has.
    ends: u64,
    /// Its first message, as it is stored.
    message: String,
    /// Whether no event is missing.
    whole: bool,
}

impl Row {
    fn of(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        Self {
            id: text("id"),
            state: text("state"),
            logged: text("logged"),
            ends: value["ends"].as_u64().unwrap_or_default(),
            message: text("message"),
            whole: value["whole"] == true,
        }
    }
}

/// Compares the database of a stopped engine with what was seen while it ran. Says what is wrong, and how many
/// tasks there are.
pub(crate) fn audit(home: &Home, ledger: &[Entry]) -> Result<(Vec<String>, usize)> {
    let database = read(home)?;
    let mut wrong = Vec::new();
    if database["integrity"] != serde_json::json!(["ok"]) {
        wrong.push(format!(
            "the database is damaged: {}",
            database["integrity"]
        ));
    }
    let tasks: Vec<_> = database["tasks"]
        .as_array()
        .context("no tasks")?
        .iter()
        .map(Row::of)
        .collect();
    let mut of_key: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    let mut rows = BTreeMap::new();
    for row in &tasks {
        if row.state != row.logged || !row.whole || row.ends > 1 {
            wrong.push(format!("row and log of a task differ: {row:?}"));
        }
        // What asks waits for its caller, and one whose answer was lost with the host knows of no task.
        if row.ends == 0 && row.state != "input_required" {
            wrong.push(format!("a task never ended: {row:?}"));
        }
        let key = row.message.split("fault-key ").nth(1);
        let key = key.and_then(|rest| rest.split("\\n").next());
        of_key
            .entry(key.unwrap_or_default())
            .or_default()
            .push(&row.id);
        rows.insert(&*row.id, row);
    }
    for (key, ids) in of_key {
        if ids.len() > 1 {
            wrong.push(format!("message {key} is {} tasks: {ids:?}", ids.len()));
        }
    }
    for entry in ledger {
        match rows.get(&*entry.task) {
            Some(row) if row.state == entry.state => {}
            other => wrong.push(format!(
                "point {}: {} was seen {}; now it is {other:?}",
                entry.point, entry.task, entry.state
            )),
        }
    }
    Ok((wrong, tasks.len()))
}

fn read(home: &Home) -> Result<Value> {
    let copy = home.shared("audit")?;
    let (from, name) = (home.data_dir().join("a2a"), "mesh-agents.sqlite");
    for suffix in ["", "-wal"] {
        let source = from.join(format!("{name}{suffix}"));
        if source.exists() {
            fs::copy(&source, copy.join(format!("{name}{suffix}")))
                .with_context(|| format!("copy {}", source.display()))?;
        }
    }
    let output = Command::new("python3")
        .args(["-c", READER])
        .arg(copy.join(name))
        .output()
        .context("run python3")?;
    ensure!(output.status.success(), "python3: {output:?}");
    serde_json::from_slice(&output.stdout).context("read what python3 found")
}
