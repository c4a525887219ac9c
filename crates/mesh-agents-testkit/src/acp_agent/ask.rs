//! The verbs that ask the client: permission and elicitation. What came back is streamed, so a test can read it.

use agent_client_protocol::{Error, UntypedMessage};
use serde_json::{Value, json};

use super::script::{Ask, Elicit};
use super::turn::{Ended, Halt, Turn};

impl Turn {
    /// `session/request_permission` as described; streams the outcome.
    pub(super) async fn ask(&self, ask: &Ask) -> Result<(), Ended> {
        let params = json!({
            "sessionId": self.session_id()?,
            "toolCall": ask.tool_call,
            "options": ask.options,
        });
        let outcome = self.request("session/request_permission", &params).await?;
        let outcome = match outcome {
            Ok(answer) => answer["outcome"].clone(),
            Err(error) => return Ok(self.say(&format!("permission: error {error}\n")).await?),
        };
        match outcome["optionId"].as_str() {
            Some(chosen) => {
                self.say(&format!("permission: selected {chosen}\n"))
                    .await?;
                let kind = ask
                    .options
                    .iter()
                    .find(|option| option["optionId"] == chosen);
                let kind = kind
                    .and_then(|option| option["kind"].as_str())
                    .unwrap_or_default();
                if ask.end_on_reject && kind.starts_with("reject") {
                    return Err(Halt::Stop("end_turn".to_owned()).into());
                }
            }
            None => {
                let word = outcome["outcome"].as_str().unwrap_or("nothing");
                self.say(&format!("permission: {word}\n")).await?;
            }
        }
        Ok(())
    }

    /// `elicitation/create` with a form, again and again while `until` is not answered; streams each answer.
    pub(super) async fn elicit(&self, elicit: &Elicit) -> Result<(), Ended> {
        if !self.state.client_elicits() {
            self.say("elicitation: the client shows no forms\n").await?;
            return Ok(());
        }
        loop {
            let params = json!({
                "mode": "form",
                "sessionId": self.session_id()?,
                "message": elicit.message,
                "requestedSchema": elicit.schema,
            });
            let answer = match self.request("elicitation/create", &params).await? {
                Ok(answer) => answer,
                Err(error) => {
                    return Ok(self.say(&format!("elicitation: error {error}\n")).await?);
                }
            };
            let action = answer["action"].as_str().unwrap_or("nothing").to_owned();
            let content = &answer["content"];
            self.say(&format!("elicitation: {action} {content}\n"))
                .await?;
            match &elicit.until {
                Some(word) if action == "accept" && !has_value(content, word) => {}
                _ => return Ok(()),
            }
        }
    }

    /// Sends a request and waits for what the client says. Must not run inside a handler; turns never do.
    async fn request(&self, method: &str, params: &Value) -> Result<Result<Value, Error>, String> {
        let cx = self
            .cx
            .as_ref()
            .ok_or("there is no connection yet, so nothing can be asked")?;
        let message = UntypedMessage::new(method, params).map_err(|error| error.to_string())?;
        Ok(cx.send_request(message).block_task().await)
    }

    fn session_id(&self) -> Result<&str, String> {
        let session = self.session.as_ref();
        let id = session.map(|session| session.id.as_str());
        id.ok_or_else(|| "there is no session yet, so nothing can be asked".to_owned())
    }
}

fn has_value(content: &Value, word: &str) -> bool {
    let values = content
        .as_object()
        .into_iter()
        .flat_map(|object| object.values());
    values
        .filter_map(Value::as_str)
        .any(|value| value.trim() == word)
}
