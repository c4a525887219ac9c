//! A client without a model that does one round of the loop's prompt over plain MCP: what its steps say and nothing else.
//!
//! As in [`by_hand`](crate::by_hand) it knows no tool and no id of its own, and stops where it would have to make up what
//! no step told it. What the prompt says of each pull request it does for each, one after the other.

use std::collections::BTreeMap;
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use mesh_host_drive::{Client, Home};
use serde_json::{Map, Value, json};

use crate::by_hand::words;
use crate::steps::{Call, Step};

/// Where what is said of each pull request begins.
const EACH: &str = "For each pull request";

/// What a reviewer's card is compared with.
const JOB: &str = "review a pull request";

/// What the tools' fields are called in the prompt.
const FIELDS: [(&str, &str); 3] = [
    ("number", "number"),
    ("headRefOid", "commit"),
    ("url", "url"),
];

/// The client and what it has seen in this round.
struct Round<'a> {
    mcp: &'a Client,
    home: &'a Home,
    known: BTreeMap<String, String>,
    pulls: Vec<Value>,
    candidates: Vec<String>,
    task: Value,
    findings: Value,
}

/// One round; returns what it reports.
pub(crate) async fn round(mcp: &Client, home: &Home, steps: &[Step]) -> Result<Vec<String>> {
    let mut round = Round {
        mcp,
        home,
        known: BTreeMap::new(),
        pulls: Vec::new(),
        candidates: Vec::new(),
        task: Value::Null,
        findings: Value::Null,
    };
    let each = steps
        .iter()
        .position(|step| step.text.contains(EACH))
        .unwrap_or(steps.len());
    let mut report = Vec::new();
    for step in &steps[..each] {
        round.does(step, &mut report).await?;
    }
    for pull in round.pulls.clone() {
        round.task = Value::Null;
        round.findings = Value::Null;
        round.known.remove("task_id");
        for (field, word) in FIELDS {
            if let Some(value) = pull.get(field) {
                let value = value.as_str().map_or(value.to_string(), str::to_owned);
                round.known.insert(word.to_owned(), value);
            }
        }
        for step in &steps[each..] {
            round.does(step, &mut report).await?;
        }
    }
    Ok(report)
}

impl Round<'_> {
    async fn does(&mut self, step: &Step, report: &mut Vec<String>) -> Result<()> {
        if step.calls.is_empty() {
            report.push(self.line()?);
        }
        for call in &step.calls {
            match call {
                Call::Shell(command) => self.pulls = self.shell(command)?,
                Call::Tool { name, arguments } => {
                    let done = self.tool(name, arguments).await;
                    done.with_context(|| format!("step {}: {name}", step.number))?;
                }
            }
        }
        Ok(())
    }

    async fn tool(&mut self, name: &str, arguments: &Map<String, Value>) -> Result<()> {
        if name == "get_agent" {
            return self.picks(arguments).await;
        }
        let filled = self.filled(arguments)?;
        let said = self.mcp.call(name, filled.clone()).await?;
        match name {
            "get_agents" => {
                let agents = said["agents"].as_array().context("agents")?;
                let ids = agents.iter().filter_map(|agent| agent["agent_id"].as_str());
                self.candidates = ids.map(str::to_owned).collect();
            }
            "send_message" => {
                let id = said["task_id"].as_str().context("task_id")?.to_owned();
                self.known.insert("task_id".to_owned(), id);
                self.task = said;
            }
            "get_task" => {
                self.task = said;
                while ["submitted", "working"].contains(&self.task["state"].as_str().unwrap_or(""))
                {
                    self.task = self.mcp.call(name, filled.clone()).await?;
                }
            }
            "view_data_artifact" => self.findings = said["data"]["findings"].clone(),
            other => {
                bail!("the prompt names {other}, which this client does not know what to do with")
            }
        }
        Ok(())
    }

    /// Reads the card of each candidate; the one that has most words of the job wins.
    async fn picks(&mut self, arguments: &Map<String, Value>) -> Result<()> {
        let mut best = (0, String::new());
        for candidate in self.candidates.clone() {
            self.known.insert("candidate".to_owned(), candidate.clone());
            let shown = self.mcp.call("get_agent", self.filled(arguments)?).await?;
            let card = words(&shown["agent_card"].to_string());
            let fits = words(JOB).iter().filter(|word| card.contains(word)).count();
            if fits > best.0 {
                best = (fits, candidate);
            }
        }
        ensure!(best.0 > 0, "no card fits {JOB:?}");
        self.known.insert("agent".to_owned(), best.1);
        Ok(())
    }

    /// A command, as a client's shell runs it; what it prints is a JSON array.
    fn shell(&self, command: &str) -> Result<Vec<Value>> {
        let mut path = self.home.path().join("bin").into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap_or_default());
        let output = Command::new("sh")
            .args(["-c", command])
            .env("PATH", path)
            .output()
            .context("run sh")?;
        ensure!(output.status.success(), "{command}: {output:?}");
        serde_json::from_slice(&output.stdout).with_context(|| format!("{command}: {output:?}"))
    }

    /// Number, first seven characters of the commit, state, number of findings and the worst of them.
    fn line(&self) -> Result<String> {
        let word = |name: &str| {
            let known = self.known.get(name);
            known.with_context(|| format!("nothing said what <{name}> is"))
        };
        let findings = self.findings.as_array().context("no findings were read")?;
        let worst = ["high", "medium", "low"]
            .into_iter()
            .find(|severity| findings.iter().any(|one| one["severity"] == *severity))
            .unwrap_or("none");
        Ok(format!(
            "{} {:.7} {} {} {worst}",
            word("number")?,
            word("commit")?,
            self.task["state"].as_str().context("no state was seen")?,
            findings.len()
        ))
    }

    fn filled(&self, arguments: &Map<String, Value>) -> Result<Value> {
        let filled = arguments.iter().map(|(name, value)| {
            let value = match value.as_str() {
                Some(text) => json!(self.fill(text)?),
                None => value.clone(),
            };
            Ok((name.clone(), value))
        });
        filled.collect::<Result<Map<_, _>>>().map(Value::Object)
    }

    /// Each `<word>` is what is known by that name. For an agent nobody chose, the first one seen is as good as any.
    fn fill(&self, text: &str) -> Result<String> {
        let mut filled = text.to_owned();
        for (word, value) in &self.known {
            filled = filled.replace(&format!("<{word}>"), value);
        }
        if let Some(first) = self.candidates.first() {
            filled = filled.replace("<agent>", first);
        }
        ensure!(
            !filled.contains('<'),
            "nothing said what all of {text:?} is; it would have to be made up: {filled:?}"
        );
        Ok(filled)
    }
}
