//! A task's event log, as the engine serves it, reduced to what the checks ask.

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::world::World;

/// A run the engine started.
#[derive(Clone, Debug)]
pub(crate) struct Attempt {
    /// Its id.
    pub(crate) run: String,
    /// When it was stored.
    pub(crate) at: u64,
}

/// A state the task came into.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// Its name.
    pub(crate) name: String,
    /// When it was stored.
    pub(crate) at: u64,
    /// Why it failed.
    pub(crate) code: Option<String>,
}

impl State {
    /// Whether nothing may happen after it.
    pub(crate) fn is_terminal(&self) -> bool {
        matches!(
            &*self.name,
            "completed" | "failed" | "canceled" | "rejected"
        )
    }
}

/// What the log says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    /// The text of the first message.
    pub(crate) message: String,
    /// The runs.
    pub(crate) attempts: Vec<Attempt>,
    /// The states.
    pub(crate) states: Vec<State>,
    /// Artifacts stored.
    pub(crate) artifacts: Vec<String>,
    /// The events as they came, for people.
    pub(crate) events: Vec<Value>,
}

impl Record {
    /// Reads a task's whole log.
    pub(crate) async fn read(world: &World<'_>, task: &str) -> Result<Self> {
        let mut record = Self::default();
        let mut after = 0;
        loop {
            let path = format!("/engine/v1/tasks/{task}/events?after={after}");
            let mut page = match world.socket_get(&path).await {
                Ok(page) => page,
                Err(_) => {
                    // The engine may have been killed after everything had ended.
                    world.wake().await?;
                    world.socket_get(&path).await?
                }
            };
            let events = page["events"].as_array_mut().context("no events")?;
            let Some(last) = events.last() else {
                return Ok(record);
            };
            after = last["seq"].as_u64().context("an event without a number")?;
            for event in events.drain(..) {
                record.take(event);
            }
        }
    }

    fn take(&mut self, event: Value) {
        let at = event["at"].as_u64().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let body = &event["event"];
        if let Some(message) = body["message"]["message"].as_object()
            && self.message.is_empty()
        {
            self.message = all_text(&message["parts"]);
        }
        if body["attempt"].is_object() {
            let run = text(&body["attempt"]["run_id"]);
            self.attempts.push(Attempt { run, at });
        }
        if body["state"].is_object() {
            let code = body["state"]["failure"]["code"].as_str().map(str::to_owned);
            let name = text(&body["state"]["state"]);
            self.states.push(State { name, at, code });
        }
        if body["artifact"].is_object() {
            self.artifacts
                .push(text(&body["artifact"]["artifact"]["id"]));
        }
        self.events.push(event);
    }

    /// Whether the log knew that the first run had begun its work when the next one was started.
    pub(crate) fn spoke_before_it_went_on(&self) -> bool {
        let is_attempt = |event: &&Value| event["event"]["attempt"].is_object();
        let mut attempts = self.events.iter().filter(is_attempt).skip(1);
        let next = attempts
            .next()
            .map_or(u64::MAX, |event| event["seq"].as_u64().unwrap_or_default());
        let said = ["text", "tool_call", "plan", "question"];
        self.events.iter().any(|event| {
            let before = event["seq"].as_u64().is_some_and(|seq| seq < next);
            before && said.iter().any(|kind| event["event"][kind].is_object())
        })
    }

    /// The terminal state it came into first.
    pub(crate) fn end(&self) -> Option<&State> {
        self.states.iter().find(|state| state.is_terminal())
    }
}

/// Every text below a value of parts, whatever a part is called.
fn all_text(parts: &Value) -> String {
    let Some(parts) = parts.as_array() else {
        return String::new();
    };
    let texts = parts.iter().filter_map(|part| {
        let content = if part["content"].is_null() {
            part
        } else {
            &part["content"]
        };
        content["text"].as_str()
    });
    texts.collect()
}
