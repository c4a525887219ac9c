//! The verbs that go through the engine: send, tasks, task, cancel, artifacts, logs.

mod list;
mod log;
mod send;

use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh_agents_core::json::JsonText;
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_core::task::TaskState;
use serde::Deserialize;
use serde_json::{Value, json};

use super::care::size;
use super::question::Question;
use crate::client::Client;
use crate::output::{Exit, Output, table};
pub(crate) use list::{Filter, tasks};
pub(crate) use log::logs;
pub(crate) use send::send;

/// What the verbs read of a task tool's result; the rest passes through to `--json`.
#[derive(Debug, Deserialize)]
struct Shown {
    agent_id: String,
    task_id: String,
    state: TaskState,
    unreachable_since: Option<String>,
    #[serde(default)]
    cancel_requested: bool,
    note: Option<String>,
    task: A2aTask,
    /// Which node was taken, and why.
    route: Option<String>,
}

/// What is printed of an A2A task.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct A2aTask {
    #[serde(default)]
    status: Status,
    #[serde(default)]
    artifacts: Vec<A2aArtifact>,
    #[serde(default)]
    history: Vec<Message>,
}

#[derive(Debug, Default, Deserialize)]
struct Status {
    message: Option<Message>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct A2aArtifact {
    artifact_id: String,
}

#[derive(Debug, Deserialize)]
struct Message {
    role: String,
    #[serde(default)]
    parts: Vec<Part>,
}

#[derive(Debug, Deserialize)]
struct Part {
    text: Option<String>,
    data: Option<Value>,
}

impl Shown {
    /// What a person should know besides its state.
    fn remarks(&self) -> Vec<String> {
        let away = self.unreachable_since.as_ref().map(|since| {
            format!("its node is out of reach since {since}; the task may go on there")
        });
        let cancel = self.cancel_requested.then(|| {
            self.note.as_ref().map_or_else(
                || "cancel requested; it has not ended yet".to_owned(),
                |note| format!("not canceled yet: {note}"),
            )
        });
        away.into_iter().chain(cancel).collect()
    }

    /// What it asks, while it waits for an answer.
    fn question(&self) -> Option<Question> {
        let message = self.task.status.message.as_ref()?;
        let data = message.parts.iter().find_map(|part| part.data.as_ref());
        let data = data.filter(|_| self.state.is_interrupted())?;
        Question::deserialize(data).ok()
    }
}

impl Message {
    fn text(&self) -> String {
        let texts: Vec<&str> = self
            .parts
            .iter()
            .filter_map(|part| part.text.as_deref())
            .collect();
        texts.join("\n")
    }
}

/// Parks until the task ends or asks something, at most `limit` seconds.
async fn wait(client: &Client, task: &str, limit: Option<u64>) -> Result<JsonText> {
    /// One park; the engine's cap.
    const PARK: u64 = 240;
    let deadline =
        limit.map(|limit| tokio::time::Instant::now() + Duration::from_secs(limit.min(86_400)));
    loop {
        let left = deadline.map(|at| {
            at.saturating_duration_since(tokio::time::Instant::now())
                .as_secs()
        });
        let park = left.unwrap_or(PARK).min(PARK);
        let answer = client
            .tool(
                "get_task",
                &json!({ "task_id": task, "wait_seconds": park }),
            )
            .await?;
        let shown: Shown = answer
            .read()
            .context("the engine's answer has another shape")?;
        let settled = shown.state.is_terminal() || shown.state.is_interrupted();
        if settled || left.is_some_and(|left| left <= park) {
            return Ok(answer);
        }
    }
}

/// Prints a task, and turns its state into the exit code of having waited for it: what failed, and what waits for
/// an answer or is not over, is not done, and what comes after it in a script must not begin.
fn report(output: &mut Output, verb: &str, answer: &JsonText) -> Result<Exit> {
    let shown: Shown = answer
        .read()
        .context("the engine's answer has another shape")?;
    output.answer(verb, answer, |out| {
        let last = shown
            .task
            .history
            .iter()
            .rev()
            .find(|message| message.role == "ROLE_AGENT");
        if let Some(text) = last.map(Message::text).filter(|text| !text.is_empty()) {
            writeln!(out, "{text}")?;
        }
        Ok(())
    })?;
    if !output.is_json() {
        let why = shown
            .task
            .status
            .message
            .as_ref()
            .map(Message::text)
            .unwrap_or_default();
        let colon = if why.is_empty() { "" } else { ": " };
        output.say(&format!("{} {}{colon}{why}", shown.task_id, shown.state));
        for remark in shown.remarks() {
            output.say(&remark);
        }
        if let Some(question) = shown.question() {
            for line in question.how_to_answer(&shown.agent_id, &shown.task_id, output.words()) {
                output.say(&line);
            }
        }
        let ids: Vec<&str> = shown
            .task
            .artifacts
            .iter()
            .map(|a| a.artifact_id.as_str())
            .collect();
        if !ids.is_empty() {
            let read = output
                .words()
                .commands(&format!("agents artifacts {} <id>", shown.task_id));
            output.say(&format!("artifacts: {} ({read})", ids.join(", ")));
        } else if shown.state == TaskState::Failed {
            output.hint(&format!("what happened: agents logs {}", shown.task_id));
        }
    }
    let done = shown.state == TaskState::Completed;
    Ok(if done { Exit::Done } else { Exit::Failed })
}

/// `agents task`.
pub(crate) async fn task(
    client: &Client,
    output: &mut Output,
    task: &str,
    wait_seconds: Option<u64>,
) -> Result<Exit> {
    let Some(limit) = wait_seconds else {
        let answer = client.tool("get_task", &json!({ "task_id": task })).await?;
        return report(output, "task", &answer).map(|_| Exit::Done);
    };
    let answer = wait(client, task, Some(limit)).await?;
    report(output, "task", &answer)
}

/// `agents cancel`.
pub(crate) async fn cancel(client: &Client, output: &mut Output, task: &str) -> Result<Exit> {
    let answer = client
        .tool("cancel_task", &json!({ "task_id": task }))
        .await?;
    let shown: Shown = answer
        .read()
        .context("the engine's answer has another shape")?;
    output.answer("cancel", &answer, |out| {
        writeln!(out, "{} {}", shown.task_id, shown.state)
    })?;
    if !output.is_json() {
        for remark in shown.remarks() {
            output.say(&remark);
        }
    }
    Ok(Exit::Done)
}

/// `agents artifacts`.
pub(crate) async fn artifacts(
    client: &Client,
    output: &mut Output,
    task: &str,
    artifact: Option<&str>,
    file: Option<&std::path::Path>,
) -> Result<Exit> {
    let Some(artifact) = artifact else {
        return artifact_list(client, output, task).await;
    };
    let content = client.artifact(task, artifact).await?;
    match file {
        Some(path) => {
            std::fs::write(path, &content)
                .with_context(|| format!("cannot write {}", path.display()))?;
            output.say(&format!("{} bytes to {}", content.len(), path.display()));
        }
        None if output.is_json() => {
            let text = String::from_utf8(content).map_err(|_| {
                Refusal::new(
                    Code::ArtifactKind,
                    format!("artifact {artifact:?} is not text"),
                )
                .hint("Write it to a file with --output FILE.")
            })?;
            let document = json!({ "task_id": task, "artifact_id": artifact, "text": text });
            output.answer("artifacts", &document, |_| Ok(()))?;
        }
        None => {
            output.raw().write_all(&content)?;
            output.raw().flush()?;
        }
    }
    Ok(Exit::Done)
}

async fn artifact_list(client: &Client, output: &mut Output, task: &str) -> Result<Exit> {
    let artifacts = client.artifacts(task).await?;
    let document = json!({ "task_id": task, "artifacts": artifacts });
    output.answer("artifacts", &document, |out| {
        let rows = artifacts.iter().map(|artifact| {
            let partial = if artifact.partial { "(partial)" } else { "" };
            let there = match artifact.remote {
                Some(_) => "(on its node; fetched when you read it)",
                None => "",
            };
            [
                artifact.id.to_string(),
                artifact.media_type.clone(),
                size(artifact.bytes),
                format!("{partial}{there}"),
            ]
        });
        table(out, rows)
    })?;
    if artifacts.is_empty() && !output.is_json() {
        output.hint(&format!(
            "it has left nothing; agents task {task} shows how it stands"
        ));
    }
    Ok(Exit::Done)
}
