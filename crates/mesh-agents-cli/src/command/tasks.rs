//! The verbs that go through the engine: send, tasks, task, cancel, artifacts, logs.

mod send;

use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh_agents_core::json::JsonText;
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_core::task::TaskState;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::question::Question;
use crate::client::Client;
use crate::output::{Exit, Output};
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
            format!("its node cannot be reached since {since}; the task may go on there")
        });
        let cancel = self.cancel_requested.then(|| {
            self.note.as_ref().map_or_else(
                || "its end is asked for and has not come yet".to_owned(),
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

/// Prints a task that was waited for, and turns its end into an exit code.
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
            for line in question.how_to_answer(&shown.agent_id, &shown.task_id) {
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
            output.say(&format!(
                "artifacts: {} (agents artifacts {} <id>)",
                ids.join(", "),
                shown.task_id
            ));
        }
    }
    let failed = matches!(
        shown.state,
        TaskState::Failed | TaskState::Rejected | TaskState::Canceled
    );
    Ok(if failed { Exit::Failed } else { Exit::Done })
}

/// Which tasks `agents tasks` shows.
#[derive(Debug, Default)]
pub(crate) struct Filter {
    pub(crate) agent: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) context: Option<String>,
    pub(crate) limit: u32,
    pub(crate) cursor: Option<String>,
}

/// `agents tasks`.
pub(crate) async fn tasks(client: &Client, output: &mut Output, filter: Filter) -> Result<Exit> {
    #[derive(Deserialize)]
    struct Page {
        tasks: Vec<Line>,
        next_cursor: Option<String>,
    }
    #[derive(Deserialize)]
    struct Line {
        task_id: String,
        agent_id: String,
        state: TaskState,
        updated_at: String,
        summary: String,
        unreachable_since: Option<String>,
        #[serde(default)]
        cancel_requested: bool,
    }
    impl Line {
        /// What is to be known besides the state, before the summary.
        fn marks(&self) -> String {
            let away = self.unreachable_since.as_ref();
            let away = away.map(|since| format!("[node unreachable since {since}] "));
            let cancel = self.cancel_requested.then_some("[cancel asked for] ");
            format!("{}{}", away.unwrap_or_default(), cancel.unwrap_or_default())
        }
    }
    let mut args = Map::new();
    args.insert("limit".into(), filter.limit.into());
    let filters = [
        ("agent_id", filter.agent),
        ("state", filter.state),
        ("context_id", filter.context),
        ("cursor", filter.cursor),
    ];
    for (name, value) in filters {
        if let Some(value) = value {
            args.insert(name.into(), value.into());
        }
    }
    let answer = client.tool("list_tasks", &Value::Object(args)).await?;
    let page: Page = answer
        .read()
        .context("the engine's answer has another shape")?;
    output.answer("tasks", &answer, |out| {
        let width = page
            .tasks
            .iter()
            .map(|task| task.agent_id.len())
            .max()
            .unwrap_or(0);
        for task in &page.tasks {
            writeln!(
                out,
                "{}  {:<14} {:<width$}  {}  {}{}",
                task.task_id,
                task.state.as_str(),
                task.agent_id,
                task.updated_at,
                task.marks(),
                task.summary
            )?;
        }
        Ok(())
    })?;
    if !output.is_json()
        && let Some(cursor) = page.next_cursor
    {
        output.say(&format!("more: agents tasks --cursor {cursor}"));
    }
    Ok(Exit::Done)
}

/// `agents task`.
pub(crate) async fn task(
    client: &Client,
    output: &mut Output,
    task: &str,
    wait_seconds: Option<u64>,
) -> Result<Exit> {
    let answer = match wait_seconds {
        Some(limit) => wait(client, task, Some(limit)).await?,
        None => client.tool("get_task", &json!({ "task_id": task })).await?,
    };
    report(output, "task", &answer).map(|_| Exit::Done)
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
    use mesh_agents_core::event::TaskEvent as E;
    let response = mesh_agents_core::ids::ArtifactId::response();
    // The last entry of an id counts: a later one replaces an earlier.
    let mut found = std::collections::BTreeMap::new();
    let mut after = 0;
    loop {
        let events = client.events(task, after).await?;
        let Some(last) = events.last() else { break };
        after = last.seq;
        for event in events {
            match event.event {
                E::Artifact { artifact } => {
                    found.insert(artifact.id.clone(), artifact);
                }
                // What the attempt before left is gone; one that goes on with it only says its answer anew.
                E::Attempt { resumed, .. } => found.retain(|id, _| resumed && *id != response),
                _ => {}
            }
        }
    }
    let artifacts: Vec<_> = found.into_values().collect();
    let document = json!({ "task_id": task, "artifacts": artifacts });
    output.answer("artifacts", &document, |out| {
        for artifact in &artifacts {
            let partial = if artifact.partial { "  (partial)" } else { "" };
            writeln!(
                out,
                "{}  {}  {} bytes{partial}",
                artifact.id, artifact.media_type, artifact.bytes
            )?;
        }
        Ok(())
    })?;
    Ok(Exit::Done)
}

/// `agents logs`.
pub(crate) async fn logs(
    client: &Client,
    output: &mut Output,
    task: &str,
    follow: bool,
) -> Result<Exit> {
    let mut after = 0;
    loop {
        let events = client.events(task, after).await?;
        for event in &events {
            after = event.seq;
            if output.is_json() {
                output.answer("logs", event, |_| Ok(()))?;
            } else {
                writeln!(output.raw(), "{}", log_line(event))?;
            }
        }
        if !events.is_empty() {
            continue;
        }
        if !follow {
            return Ok(Exit::Done);
        }
        let answer = client
            .tool("get_task", &json!({ "task_id": task, "wait_seconds": 1 }))
            .await?;
        let shown: Shown = answer
            .read()
            .context("the engine's answer has another shape")?;
        if shown.state.is_terminal() && client.events(task, after).await?.is_empty() {
            return Ok(Exit::Done);
        }
    }
}

fn log_line(event: &crate::client::LoggedEvent) -> String {
    use mesh_agents_core::event::TaskEvent as E;
    let what = match &event.event {
        E::Message { message } => format!(
            "message from {:?}: {}",
            message.role,
            first_line(&message.joined_text())
        ),
        E::State { state, message, .. } => {
            let why = message
                .as_ref()
                .map(mesh_agents_core::task::Message::joined_text)
                .unwrap_or_default();
            format!("state {state} {why}")
        }
        E::Attempt {
            attempt,
            run_id,
            resumed,
        } => {
            let again = if *resumed { ", in its session" } else { "" };
            format!("start {attempt}{again} ({run_id})")
        }
        E::Session { session_id, .. } => format!("session {session_id}"),
        E::Text { text } => format!("text {}", first_line(text)),
        E::ToolCall { call } => format!(
            "tool {} {}",
            call.title
                .as_deref()
                .or(call.tool.as_deref())
                .unwrap_or(&call.id),
            call.status.as_deref().unwrap_or("")
        ),
        E::Plan { entries } => format!("plan of {} steps", entries.len()),
        E::Usage { used, size } => format!("usage {used} of {size} tokens"),
        E::Artifact { artifact } => format!("artifact {} ({} bytes)", artifact.id, artifact.bytes),
        E::Question { text, .. } => format!("question {}", first_line(text)),
        E::QuestionGone { chosen, .. } => {
            format!("answered {}", chosen.as_deref().unwrap_or("(void)"))
        }
        E::Note { code, text, .. } => format!("note {code}: {text}"),
        E::CancelRequested => "its end was asked for".to_owned(),
        E::Reach { away: Some(why) } => format!("its node is out of reach: {why}"),
        E::Reach { away: None } => "its node is in reach again".to_owned(),
        E::Waits { until } => format!("waits for its node, until {until}"),
    };
    format!("{:>6} {}  {}", event.seq, event.at, what.trim_end())
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let cut: String = line.chars().take(160).collect();
    if cut.len() < text.len() {
        format!("{cut} …")
    } else {
        cut
    }
}
