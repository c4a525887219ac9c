//! `agents logs`: what happened in a task, a line for each event.

use anyhow::{Context as _, Result};
use mesh_agents_a2a::convert::timestamp;
use mesh_agents_core::task::Role;
use serde_json::json;

use super::Shown;
use crate::client::{Client, LoggedEvent};
use crate::output::{Exit, Output, first_line};

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

fn log_line(event: &LoggedEvent) -> String {
    use mesh_agents_core::event::TaskEvent as E;
    let what = match &event.event {
        E::Message { message } => {
            let who = match message.role {
                Role::User => "message to the agent",
                Role::Agent => "message from the agent",
            };
            format!("{who}: {}", first_line(&message.joined_text(), LOGGED))
        }
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
        E::Text { text } => format!("text {}", first_line(text, LOGGED)),
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
        E::Question { text, .. } => format!("question {}", first_line(text, LOGGED)),
        E::QuestionGone { chosen, .. } => {
            format!("answered {}", chosen.as_deref().unwrap_or("(void)"))
        }
        E::Note { code, text, .. } => format!("note {code}: {text}"),
        E::CancelRequested => "cancel requested".to_owned(),
        E::Reach { away: Some(why) } => format!("its node is out of reach: {why}"),
        E::Reach { away: None } => "its node is in reach again".to_owned(),
        E::Waits { until } => format!("waits for its node, until {}", timestamp(*until)),
    };
    format!("{}  {}", timestamp(event.at), what.trim_end())
}

/// Characters of a text in a line of a log.
const LOGGED: usize = 160;
