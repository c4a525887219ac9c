//! `agents send`.

use std::collections::BTreeMap;
use std::io::Read as _;

use anyhow::{Context as _, Result};
use mesh_agents_core::json::JsonText;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{Shown, report, wait};
use crate::args::Send;
use crate::client::Client;
use crate::output::{Exit, Output};

/// `agents send`.
pub(crate) async fn send(client: &Client, output: &mut Output, send: Send) -> Result<Exit> {
    let mut args = Map::new();
    args.insert("agent_id".into(), send.agent.as_str().into());
    // An option says it all; the text beside it is what people read later.
    let text = send.message.or_else(|| send.option.clone());
    args.insert("message".into(), message(text.unwrap_or_default())?.into());
    let mut metadata = Map::new();
    for (name, value) in [
        ("option_id", send.option),
        ("question_id", send.question),
        ("skill_id", send.skill),
    ] {
        metadata.extend(value.map(|value| (name.to_owned(), value.into())));
    }
    if !metadata.is_empty() {
        args.insert("metadata".into(), metadata.into());
    }
    if send.queue_if_offline {
        args.insert("queue_if_offline".into(), true.into());
    }
    for (name, value) in [
        ("context_id", send.context),
        ("task_id", send.task),
        ("message_id", send.message_id),
        ("peer_id", send.peer),
    ] {
        if let Some(value) = value {
            args.insert(name.into(), value.into());
        }
    }
    let sent = client.send(&send.agent, &Value::Object(args)).await?;
    let shown: Shown = sent
        .read()
        .context("the engine's answer has another shape")?;
    if let Some(route) = shown.route.as_ref().filter(|_| !output.is_json()) {
        output.say(route);
    }
    if send.no_wait {
        output.answer("send", &sent, |out| writeln!(out, "{}", shown.task_id))?;
        return Ok(Exit::Done);
    }
    if !output.is_json() {
        let wait = output
            .words()
            .commands(&format!("agents task {} --wait", shown.task_id));
        output.say(&format!(
            "{} (Ctrl-C leaves it running; {wait})",
            shown.task_id
        ));
        if let Some(message) = &shown.task.status.message {
            output.say(&message.text());
        }
    }
    let ended = wait(client, &shown.task_id, None).await?;
    let ended = with_route(&sent, &ended)?;
    report(output, "send", &ended)
}

/// The task as it ended, with what only the answer to the message says of the node it went to.
fn with_route(sent: &JsonText, ended: &JsonText) -> Result<JsonText> {
    let shape = "the engine's answer has another shape";
    let mut sent: BTreeMap<&str, &RawValue> = sent.read().context(shape)?;
    let mut all: BTreeMap<&str, &RawValue> = ended.read().context(shape)?;
    sent.retain(|key, _| matches!(*key, "peer_id" | "route"));
    all.extend(sent);
    Ok(JsonText::of(&all)?)
}

fn message(text: String) -> Result<String> {
    if text != "-" {
        return Ok(text);
    }
    let mut read = String::new();
    std::io::stdin()
        .read_to_string(&mut read)
        .context("cannot read the message from standard input")?;
    Ok(read)
}
