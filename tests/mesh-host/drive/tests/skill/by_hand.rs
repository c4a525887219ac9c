//! A client without a model that does what the steps say and nothing else, over plain MCP.
//!
//! It knows no tool and no id of its own. What a step leaves open it fills with what it has seen; where nothing was
//! seen it stops, since it would have to make something up.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, bail, ensure};
use mesh_host_drive::Client;
use serde_json::{Map, Value, json};

use crate::steps::{Call, Step, goes_back_to};

/// Parks before a task is given up; each is as long as the skill says.
const PARKS: usize = 9;

/// Words too common to tell cards apart.
const SHORT: usize = 4;

/// The client and what it has seen so far.
pub(crate) struct Follower<'a> {
    mcp: &'a Client,
    steps: &'a [Step],
    prompt: &'a str,
    known: BTreeMap<String, String>,
    candidates: Vec<String>,
    /// The last thing said of the task.
    task: Value,
    read: Vec<String>,
}

/// What the user is told at the end; empty where no step says to report.
pub(crate) async fn follow(
    mcp: &Client,
    steps: &[Step],
    prompt: &str,
    key: &str,
    answer: &str,
) -> Result<String> {
    let known = [("brief", prompt), ("key", key), ("answer", answer)];
    let mut follower = Follower {
        mcp,
        steps,
        prompt,
        known: known
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        candidates: Vec::new(),
        task: Value::Null,
        read: Vec::new(),
    };
    let mut report = String::new();
    for step in steps {
        if step.calls.is_empty() {
            report = follower.read.join("\n");
        } else {
            follower.does(step).await?;
        }
    }
    Ok(report)
}

impl Follower<'_> {
    async fn does(&mut self, step: &Step) -> Result<()> {
        for call in &step.calls {
            let Call::Tool { name, arguments } = call else {
                bail!("step {}: {call:?} is no call of a tool", step.number);
            };
            match name.as_str() {
                "get_agents" => self.looks(arguments).await?,
                "get_agent" => self.picks(arguments).await?,
                "send_message" if arguments.contains_key("task_id") => {
                    self.answers(step, arguments).await?;
                }
                "send_message" => {
                    let arguments = self.filled(arguments)?;
                    self.task = self.mcp.call(name, arguments).await?;
                    self.learns_the_task();
                }
                "get_task" => self.waits(arguments).await?,
                view => self.reads(view, arguments).await?,
            }
        }
        Ok(())
    }

    async fn looks(&mut self, arguments: &Map<String, Value>) -> Result<()> {
        let listed = self.mcp.call("get_agents", self.filled(arguments)?).await?;
        let agents = listed["agents"].as_array().context("agents")?;
        let usable = agents.iter().filter(|agent| agent["state"] == "ready");
        self.candidates = usable
            .filter_map(|agent| agent["agent_id"].as_str())
            .map(str::to_owned)
            .collect();
        Ok(())
    }

    /// Reads the card of each candidate; the one that has most words of the job wins.
    async fn picks(&mut self, arguments: &Map<String, Value>) -> Result<()> {
        ensure!(!self.candidates.is_empty(), "no candidate was seen");
        let mut best = (0, String::new());
        for candidate in self.candidates.clone() {
            self.known.insert("candidate".to_owned(), candidate.clone());
            let shown = self.mcp.call("get_agent", self.filled(arguments)?).await?;
            let card = words(&shown["agent_card"].to_string());
            let fits = words(self.prompt)
                .iter()
                .filter(|word| card.contains(word))
                .count();
            if fits > best.0 {
                best = (fits, candidate);
            }
        }
        ensure!(best.0 > 0, "no card fits {:?}", self.prompt);
        self.known.insert("agent".to_owned(), best.1);
        Ok(())
    }

    async fn waits(&mut self, arguments: &Map<String, Value>) -> Result<()> {
        for _ in 0..PARKS {
            self.task = self.mcp.call("get_task", self.filled(arguments)?).await?;
            if self.task["state"] != "submitted" && self.task["state"] != "working" {
                return Ok(());
            }
        }
        bail!("it does not end: {}", self.task)
    }

    async fn answers(&mut self, step: &Step, arguments: &Map<String, Value>) -> Result<()> {
        if self.task["state"] != "input_required" {
            return Ok(());
        }
        self.task = self
            .mcp
            .call("send_message", self.filled(arguments)?)
            .await?;
        let back = goes_back_to(step);
        let wait = self.steps.iter().find(|step| Some(step.number) == back);
        let Some(Call::Tool { arguments, .. }) = wait.and_then(|step| step.calls.first()) else {
            return Ok(());
        };
        self.waits(&arguments.clone()).await
    }

    /// Reads the artifacts that are for this tool: JSON or text.
    async fn reads(&mut self, view: &str, arguments: &Map<String, Value>) -> Result<()> {
        let artifacts = self.task["task"]["artifacts"].as_array().cloned();
        for artifact in artifacts.unwrap_or_default() {
            let id = artifact["artifactId"].as_str().context("artifactId")?;
            if id.ends_with(".json") != (view == "view_data_artifact") {
                continue;
            }
            for word in ["json_artifact", "text_artifact"] {
                self.known.insert(word.to_owned(), id.to_owned());
            }
            let seen = self.mcp.call(view, self.filled(arguments)?).await?;
            self.read.push(seen.to_string());
        }
        Ok(())
    }

    fn learns_the_task(&mut self) {
        if let Some(id) = self.task["task_id"].as_str() {
            self.known.insert("task_id".to_owned(), id.to_owned());
        }
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

    /// A `<word>` is what is known by that name. For an agent nobody chose, the first one seen is as good as any.
    fn fill(&self, text: &str) -> Result<String> {
        let Some(word) = text.strip_prefix('<').and_then(|t| t.strip_suffix('>')) else {
            return Ok(text.to_owned());
        };
        let guess = || (word == "agent").then(|| self.candidates.first().cloned());
        self.known
            .get(word)
            .cloned()
            .or_else(|| guess().flatten())
            .with_context(|| format!("nothing said what <{word}> is; it would have to be made up"))
    }
}

/// The words of a text that tell something.
pub(crate) fn words(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.len() >= SHORT)
        .map(str::to_owned)
        .collect()
}
