//! The verbs that stream: `session/update` notifications of every kind, and bytes that are none.

use std::time::Duration;

use serde_json::{Value, json};

use super::turn::Turn;

/// How often `work` says that it is still at it.
const WORK_TICK: Duration = Duration::from_millis(500);

/// Chunks that `burst` hands to the writer at once, so that the writer's pace is not the burst's; a cancel gets in between.
const BURST_LINES: usize = 64;

impl Turn {
    /// Sends `update` as a `session/update` of the turn's session, and waits until it is in the pipe.
    pub(super) async fn emit(&self, update: Value) -> Result<(), String> {
        let line = self.notification(&update)?;
        self.raw(line).await
    }

    pub(super) async fn say(&self, text: &str) -> Result<(), String> {
        self.emit(chunk("agent_message_chunk", text)).await
    }

    pub(super) async fn think(&self, text: &str) -> Result<(), String> {
        self.emit(chunk("agent_thought_chunk", text)).await
    }

    pub(super) async fn chunks(
        &self,
        count: u32,
        bytes: usize,
        delay_ms: u64,
    ) -> Result<(), String> {
        for number in 1..=count {
            let mut text = format!("chunk {number} ");
            text.extend(std::iter::repeat_n('.', bytes.saturating_sub(text.len())));
            text.truncate(bytes);
            self.say(&text).await?;
            tokio::time::sleep(Duration::from_millis(delay_ms)).await;
        }
        Ok(())
    }

    /// `count` chunks as fast as the pipe takes them, each with its number on a line.
    pub(super) async fn burst(&self, count: u32) -> Result<(), String> {
        let numbers: Vec<u32> = (1..=count).collect();
        for together in numbers.chunks(BURST_LINES) {
            let lines = together.iter().map(|number| {
                self.notification(&chunk("agent_message_chunk", &format!("{number}\n")))
            });
            self.raw(lines.collect::<Result<Vec<_>, _>>()?.join("\n"))
                .await?;
        }
        Ok(())
    }

    pub(super) async fn tool(&self, call: &Value, update: &Value) -> Result<(), String> {
        let id = format!("tool-{}", self.state.number());
        let base = json!({ "sessionUpdate": "tool_call", "toolCallId": id, "title": "a tool" });
        let call = merged(base, call);
        let id = call["toolCallId"].clone();
        self.emit(call).await?;
        if update.is_object() {
            let base = json!({ "sessionUpdate": "tool_call_update", "toolCallId": id });
            self.emit(merged(base, update)).await?;
        }
        Ok(())
    }

    pub(super) async fn plan(&self, entries: &[String]) -> Result<(), String> {
        let entries: Vec<Value> = entries
            .iter()
            .map(|entry| json!({ "content": entry, "priority": "medium", "status": "pending" }))
            .collect();
        self.emit(json!({ "sessionUpdate": "plan", "entries": entries }))
            .await
    }

    pub(super) async fn usage(&self, used: u64, size: u64) -> Result<(), String> {
        self.emit(json!({ "sessionUpdate": "usage_update", "used": used, "size": size }))
            .await
    }

    /// Works for `seconds`, saying so twice a second, as a model that streams slowly does.
    pub(super) async fn work(&self, seconds: u64) -> Result<(), String> {
        for _ in 0..seconds * 2 {
            self.say(".").await?;
            tokio::time::sleep(WORK_TICK).await;
        }
        Ok(())
    }

    /// Writes `line` to stdout as it is.
    pub(super) async fn raw(&self, line: String) -> Result<(), String> {
        let sent = self.state.wire.send(line).await;
        sent.map_err(|error| format!("stdout: {error}"))
    }

    pub(super) async fn junk(&self, count: u32) -> Result<(), String> {
        for number in 1..=count {
            self.raw(format!("junk line {number}: this is not JSON-RPC"))
                .await?;
        }
        Ok(())
    }

    /// A message chunk whose whole line is `bytes` long, its newline not counted.
    pub(super) async fn big_line(&self, bytes: usize) -> Result<(), String> {
        let around = self.notification(&chunk("agent_message_chunk", ""))?.len();
        let fill = bytes.checked_sub(around);
        let fill = fill.ok_or_else(|| format!("a line with a chunk is at least {around} bytes"))?;
        self.say(&"x".repeat(fill)).await
    }

    fn notification(&self, update: &Value) -> Result<String, String> {
        let session = self
            .session
            .as_ref()
            .ok_or("there is no session yet, so nothing can be streamed")?;
        let params = json!({ "sessionId": session.id, "update": update });
        Ok(json!({ "jsonrpc": "2.0", "method": "session/update", "params": params }).to_string())
    }
}

fn chunk(kind: &str, text: &str) -> Value {
    json!({ "sessionUpdate": kind, "content": { "type": "text", "text": text } })
}

/// `base` with the members of `over` laid over it.
fn merged(mut base: Value, over: &Value) -> Value {
    if let (Some(base), Some(over)) = (base.as_object_mut(), over.as_object()) {
        base.extend(over.clone());
    }
    base
}
