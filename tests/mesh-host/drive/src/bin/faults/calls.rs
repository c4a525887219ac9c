//! Sending and cancelling by every way, again and again until somebody answers.

use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use mesh_host_drive::{CallError, Client};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::schedule::{Victim, Way};
use crate::world::World;

/// How long a caller goes on trying. Front-ends themselves go on for 30 s.
const PATIENCE: Duration = Duration::from_secs(60);
/// The longest single try.
const TRY: Duration = Duration::from_secs(35);
/// How long after a kill a call with a key is given up and sent again.
const CUT_OFF: Duration = Duration::from_millis(1500);
/// How long after a kill one without a key is given up, for good. The host re-sends it to the next plugin.
const CUT_OFF_BARE: Duration = Duration::from_secs(20);
/// The same where it was the host itself: nobody is left to answer.
const CUT_OFF_HOST: Duration = Duration::from_secs(1);
/// The longest a parked call waits; the most a host allows is 25.
const PARK_SECONDS: u64 = 20;
/// Between two tries.
const PAUSE: Duration = Duration::from_millis(30);

/// What became of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It was acknowledged as this task.
    As(String),
    /// Nobody knows: the answer was lost, and without a key it cannot be sent again.
    Unknown(String),
    /// Somebody said no, for a reason that has no place here; or nobody answered at all.
    Refused(String),
}

/// Why a try brought nothing.
enum Miss {
    /// Nothing was done for certain, or it can be sent again: both mean that it is.
    Again(String),
    /// The tool itself refused.
    Refused(String),
    /// It may have been done.
    Lost(String),
}

impl World<'_> {
    /// Sends a message until it is acknowledged: at once, or when its task has ended.
    pub(crate) async fn send(
        &self,
        way: Way,
        agent: &str,
        message: &str,
        key: &str,
        parked: bool,
    ) -> Sent {
        let mut args = json!({ "agent_id": agent, "message": message });
        if way != Way::HostBare {
            args["message_id"] = json!(key);
        }
        if parked {
            args["wait_seconds"] = json!(PARK_SECONDS);
        }
        match self.insist(way, "send_message", &args).await {
            Ok(answer) => match answer["task_id"].as_str() {
                Some(task) => Sent::As(task.to_owned()),
                None => Sent::Refused(format!("an answer without a task: {answer}")),
            },
            Err(Miss::Lost(why)) => Sent::Unknown(why),
            Err(Miss::Again(why) | Miss::Refused(why)) => Sent::Refused(why),
        }
    }

    /// Cancels a task until that is answered: with its state, or by a refusal because it has ended.
    pub(crate) async fn cancel(&self, way: Way, task: &str) -> Result<String> {
        let args = json!({ "task_id": task });
        match self.insist(way, "cancel_task", &args).await {
            Ok(answer) => Ok(answer["state"].as_str().unwrap_or_default().to_owned()),
            Err(Miss::Refused(why)) if why.contains("task_terminal") => Ok("ended".to_owned()),
            Err(Miss::Again(why) | Miss::Refused(why) | Miss::Lost(why)) => Err(anyhow!(why)),
        }
    }

    /// Answers what a task asks. It may have ended, or ask something else by now: then that is refused.
    pub(crate) async fn answer(&self, way: Way, agent: &str, task: &str, key: &str) {
        let args = json!({
            "agent_id": agent, "task_id": task, "message": "Go on.", "message_id": key
        });
        // Whoever asks still is answered again.
        let _answered = self.insist(way, "send_message", &args).await;
    }

    async fn insist(&self, way: Way, tool: &str, args: &Value) -> Result<Value, Miss> {
        let end = Instant::now() + PATIENCE;
        loop {
            let cut = self.cut_off(|victim| match (way, victim) {
                (Way::Host | Way::HostBare, Victim::Host) => CUT_OFF_HOST,
                (Way::HostBare, _) => CUT_OFF_BARE,
                _ => CUT_OFF,
            });
            let tried = tokio::select! {
                tried = timeout(TRY, self.attempt(way, tool, args)) => match tried {
                    Ok(tried) => tried,
                    Err(_) => Err(Miss::Lost("no answer in time".to_owned())),
                },
                () = cut => Err(Miss::Lost("no answer after a kill".to_owned())),
            };
            match tried {
                Err(Miss::Lost(why)) if way == Way::HostBare => return Err(Miss::Lost(why)),
                Err(Miss::Again(_) | Miss::Lost(_)) if Instant::now() < end => {}
                other => return other,
            }
            // A session that failed may be dead for good.
            self.sessions.borrow_mut().remove(&slot(way));
            sleep(PAUSE).await;
        }
    }

    async fn attempt(&self, way: Way, tool: &str, args: &Value) -> Result<Value, Miss> {
        match way {
            Way::A2a if self.serves_a2a => self.a2a_tool(tool, args).await,
            Way::Socket => self
                .socket_tool(tool, args)
                .await
                .map_err(|error| plain(&error)),
            Way::Cli => self
                .cli_tool(tool, args)
                .await
                .map_err(|error| plain(&error)),
            Way::Host | Way::HostBare | Way::Engine | Way::Stdio | Way::A2a => {
                let session = self.session(way).await;
                // Without a session nothing was sent.
                let session = session.map_err(|error| Miss::Again(format!("{error:#}")))?;
                session
                    .call(tool, args.clone())
                    .await
                    .map_err(|error| match error {
                        CallError::Refused { text, .. } => said(text),
                        CallError::UnknownTool { text, .. } => Miss::Again(text),
                        CallError::Unstructured { .. } | CallError::Failed { .. } => {
                            Miss::Lost(error.to_string())
                        }
                    })
            }
        }
    }

    /// An open session, a new one where there is none.
    pub(crate) async fn session(&self, way: Way) -> Result<Rc<Client>> {
        let slot = slot(way);
        let open = self.sessions.borrow().get(&slot).cloned();
        if let Some(open) = open {
            return Ok(open);
        }
        let client = match way {
            Way::Stdio => Client::of_stdio(self.home).await?,
            Way::Engine | Way::A2a => {
                let base = self.base_url().context("no engine to ask")?;
                Client::of_engine(&format!("{base}/mcp")).await?
            }
            _ => Client::of_host(&self.host_mcp).await?,
        };
        let client = Rc::new(client);
        self.sessions.borrow_mut().insert(slot, Rc::clone(&client));
        Ok(client)
    }

    /// The same by A2A, answered in the same words.
    async fn a2a_tool(&self, tool: &str, args: &Value) -> Result<Value, Miss> {
        let word = |name: &str| args[name].as_str().unwrap_or_default();
        let answer = if tool == "cancel_task" {
            // It is cancelled at whichever agent's endpoint it belongs to.
            let agent = self
                .agent_of(word("task_id"))
                .await
                .map_err(|e| plain(&e))?;
            let params = json!({ "id": word("task_id") });
            self.a2a(&agent, "CancelTask", &params).await
        } else {
            let message = json!({
                "messageId": word("message_id"),
                "role": "ROLE_USER",
                "parts": [{ "text": word("message") }]
            });
            let at_once = args["wait_seconds"].is_null();
            let configuration = json!({ "returnImmediately": at_once });
            let params = json!({ "message": message, "configuration": configuration });
            self.a2a(word("agent_id"), "SendMessage", &params).await
        };
        let answer = answer.map_err(|error| {
            let text = format!("{error:#}");
            match text.contains("the error {") {
                // TaskNotCancelable: it has ended.
                true if text.contains("-32002") => Miss::Refused(format!("task_terminal: {text}")),
                true if text.contains("-32603") => Miss::Again(text),
                true => Miss::Refused(text),
                false => Miss::Lost(text),
            }
        })?;
        let task = if answer["task"].is_object() {
            &answer["task"]
        } else {
            &answer
        };
        let state = task["status"]["state"].as_str().unwrap_or_default();
        let state = state.trim_start_matches("TASK_STATE_").to_lowercase();
        Ok(json!({ "task_id": task["id"], "state": state }))
    }

    async fn agent_of(&self, task: &str) -> Result<String> {
        let args = json!({ "task_id": task });
        let answer = self.socket_tool("get_task", &args).await?;
        let agent = answer["agent_id"]
            .as_str()
            .context("a task without an agent")?;
        Ok(agent.to_owned())
    }

    async fn cli_tool(&self, tool: &str, args: &Value) -> Result<Value> {
        let word = |name: &str| args[name].as_str().unwrap_or_default();
        match tool {
            "cancel_task" => self.cli(&["cancel", word("task_id")]).await,
            _ => {
                let (agent, message) = (word("agent_id"), word("message"));
                let key = word("message_id");
                self.cli(&["send", agent, message, "--no-wait", "--message-id", key])
                    .await
            }
        }
    }
}

/// Whose session a way uses: the two through the host share one, as two tools of one editor would.
fn slot(way: Way) -> Way {
    if way == Way::HostBare { Way::Host } else { way }
}

/// What was said: our own refusals begin with their code.
fn said(text: String) -> Miss {
    if text.contains("engine_unavailable") {
        Miss::Again(text)
    } else {
        Miss::Refused(text)
    }
}

fn plain(error: &anyhow::Error) -> Miss {
    let text = format!("{error:#}");
    // An answer that says no is the engine's or our binary's own word; anything else is a broken connection.
    if text.contains("\"code\"") {
        said(text)
    } else {
        Miss::Lost(text)
    }
}
