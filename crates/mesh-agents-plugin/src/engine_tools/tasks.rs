//! `send_message`, `get_task`, `list_tasks`, `cancel_task`.

use std::time::Duration;

use mesh_agents_a2a::convert::timestamp;
use mesh_agents_core::ids::{AgentId, ArtifactId};
use mesh_agents_core::json::JsonText;
use mesh_agents_core::limits::RESULT_BYTES;
use mesh_agents_core::policy::Caller;
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_core::task::{ArtifactInfo, Message, Role, Task};
use mesh_agents_tasks::{ListTasks, Minted, Submit, TaskView};

use super::fit::{self, Fitted, Piece};
use super::{EngineTools, encode, internal, location};
use crate::backend::{CallMeta, Surface};
use crate::mint;
use crate::tool::args::{self, parse};
use crate::tool::results::{ArtifactLine, Canceled, Sent, Shown, TaskLine, Tasks};

/// What surrounds the A2A Task in a result: ids of at most 64, 31 and 128 bytes, times, keys, the route, and
/// the words on what was left out.
const FRAME_BYTES: usize = 1536;
/// Artifacts whose content is fetched for one result; more never fit.
const FETCH: usize = 24;
/// Characters of a task's summary in a list.
const SUMMARY_CHARS: usize = 200;
/// Artifacts of one task in a list.
const LISTED_ARTIFACTS: usize = 20;

impl EngineTools {
    pub(super) async fn send_message(
        &self,
        meta: &CallMeta,
        args: &JsonText,
    ) -> Result<JsonText, Refusal> {
        let args: args::SendMessage = parse(args)?;
        let wait = wait(meta, args.wait_seconds);
        let minted_there = meta.minted && args.message_id.is_some();
        let (agent_id, route) = self.addressee(&meta.caller, &args).await?;
        let message_id = args
            .message_id
            .unwrap_or_else(|| mint::message_id(self.clock.as_ref()));
        let submit = Submit {
            agent_id,
            message: Message {
                metadata: args.metadata.clone(),
                ..Message::text(message_id, Role::User, args.message)
            },
            metadata: args.metadata,
            context_id: args.context_id,
            task_id: args.task_id,
            push: None,
            queue_if_offline: args.queue_if_offline == Some(true),
            minted: minted(meta, minted_there, wait),
        };
        // Only the host re-sends a call, and only after a wait is its answer a moment of its own.
        let waited = submit.minted.is_some() && !wait.is_zero();
        let kept = waited.then(|| submit.clone());
        let agent = submit.agent_id.clone();
        let task = self
            .engine
            .submit(&meta.caller, submit)
            .await
            .map_err(|refusal| self.name_near(&meta.caller, refusal, &agent))?;
        let (task, fitted) = if wait.is_zero() {
            // Nothing has happened yet that the caller did not say himself.
            let room = RESULT_BYTES - FRAME_BYTES;
            let fitted = fit::fit(&task, &[], &[], None, room).map_err(|error| internal(&error))?;
            (task, fitted)
        } else {
            self.engine.wait(&meta.caller, &task.id, wait).await?;
            let view = self.engine.view(&meta.caller, &task.id).await?;
            self.fitted(&meta.caller, view, None).await?
        };
        if let Some(submit) = &kept {
            self.engine.answered(&meta.caller, submit).await;
        }
        encode(&Sent {
            agent_id: task.agent_id.on_its_node(),
            location: location(&task.agent_id),
            peer_id: task.agent_id.node(),
            route,
            task_id: task.id,
            context_id: task.context_id,
            state: task.state,
            task: fitted.task,
            left_out: fitted.left_out,
        })
    }

    /// The agent a message is for: that of the task it belongs to, else the one that is meant now. With it,
    /// which node that is and why.
    async fn addressee(
        &self,
        caller: &Caller,
        args: &args::SendMessage,
    ) -> Result<(AgentId, Option<String>), Refusal> {
        if let Some(task) = &args.task_id {
            let task = self.engine.task(caller, task).await?;
            if task.agent_id.name() == args.agent_id.name() {
                let mesh = self.mesh.as_ref();
                let route = mesh.and_then(|mesh| mesh.stays(&task.agent_id));
                return Ok((task.agent_id, route));
            }
        }
        let meant = self.meant(caller, &args.agent_id, args.peer_id.as_deref())?;
        Ok((meant.id, meant.route))
    }

    pub(super) async fn get_task(
        &self,
        meta: &CallMeta,
        args: &JsonText,
    ) -> Result<JsonText, Refusal> {
        let args: args::GetTask = parse(args)?;
        let caller = &meta.caller;
        self.task_of(caller, &args.task_id, args.agent_id.as_ref())
            .await?;
        let wait = wait(meta, args.wait_seconds);
        if !wait.is_zero() {
            self.engine.wait(caller, &args.task_id, wait).await?;
        }
        let view = self.engine.view(caller, &args.task_id).await?;
        let last_activity = view.last_activity.map(timestamp);
        let (task, fitted) = self.fitted(caller, view, args.history_length).await?;
        encode(&Shown {
            agent_id: task.agent_id.on_its_node(),
            location: location(&task.agent_id),
            peer_id: task.agent_id.node(),
            task_id: task.id,
            state: task.state,
            unreachable_since: task.unreachable_since.map(timestamp),
            cancel_requested: task.cancel_requested,
            task: fitted.task,
            last_activity,
            left_out: fitted.left_out,
        })
    }

    pub(super) async fn cancel_task(
        &self,
        meta: &CallMeta,
        args: &JsonText,
    ) -> Result<JsonText, Refusal> {
        let args: args::CancelTask = parse(args)?;
        let caller = &meta.caller;
        self.task_of(caller, &args.task_id, args.agent_id.as_ref())
            .await?;
        self.engine.cancel(caller, &args.task_id).await?;
        let view = self.engine.view(caller, &args.task_id).await?;
        let (task, fitted) = self.fitted(caller, view, None).await?;
        encode(&Canceled {
            agent_id: task.agent_id.on_its_node(),
            note: cancel_note(&task),
            task_id: task.id,
            state: task.state,
            unreachable_since: task.unreachable_since.map(timestamp),
            cancel_requested: task.cancel_requested,
            task: fitted.task,
            left_out: fitted.left_out,
        })
    }

    pub(super) async fn list_tasks(
        &self,
        meta: &CallMeta,
        args: &JsonText,
    ) -> Result<JsonText, Refusal> {
        let args: args::ListTasks = parse(args)?;
        let agent = args
            .agent_id
            .map(|agent| match self.meant(&meta.caller, &agent, None) {
                Ok(meant) => meant.id,
                // Several nodes have one of that name: no task was sent to the name alone.
                Err(_) => agent,
            });
        let query = ListTasks {
            agent_id: agent,
            context_id: args.context_id,
            state: args.state,
            limit: args.limit.unwrap_or(args::PAGE),
            cursor: args.cursor,
            ..ListTasks::default()
        };
        let page = self.engine.list(&meta.caller, query.clone()).await?;
        let lines: Vec<TaskLine> = page.tasks.iter().map(line).collect();
        let fits = fitting(&lines)?;
        if fits == lines.len() {
            return encode(&Tasks {
                tasks: lines,
                next_cursor: page.next_cursor,
            });
        }
        // The engine alone knows where its pages end, so it is asked for one of the right length.
        let shorter = ListTasks {
            limit: u32::try_from(fits.max(1)).unwrap_or(u32::MAX),
            ..query
        };
        let page = self.engine.list(&meta.caller, shorter).await?;
        encode(&Tasks {
            tasks: page.tasks.iter().map(line).collect(),
            next_cursor: page.next_cursor,
        })
    }

    /// The view as an A2A Task that fits a result.
    async fn fitted(
        &self,
        caller: &Caller,
        view: TaskView,
        history_length: Option<u32>,
    ) -> Result<(Task, Fitted), Refusal> {
        let TaskView {
            task,
            history,
            mut artifacts,
            response,
            ..
        } = view;
        fit::by_worth(&mut artifacts);
        let mut pieces = Vec::with_capacity(artifacts.len() + 1);
        for (n, info) in artifacts.into_iter().enumerate() {
            // What is still with its node comes when somebody reads it.
            let worth = n < FETCH && info.bytes <= fit::FETCH_BYTES && info.remote.is_none();
            let content = match worth {
                true => match self.engine.artifact(caller, &task.id, &info.id).await {
                    Ok((_, content)) => Some(content),
                    // A new attempt has begun since the task was read, and nothing of the last counts.
                    Err(refusal) if refusal.code == Code::ArtifactNotFound => continue,
                    Err(refusal) => return Err(refusal),
                },
                false => None,
            };
            pieces.push(Piece { info, content });
        }
        pieces.extend(response.filter(|text| !text.is_empty()).map(streamed));
        let room = RESULT_BYTES - FRAME_BYTES;
        let fitted = fit::fit(&task, &history, &pieces, history_length, room)
            .map_err(|error| internal(&error))?;
        Ok((task, fitted))
    }

    fn name_near(&self, caller: &Caller, refusal: Refusal, agent: &AgentId) -> Refusal {
        match refusal.code {
            Code::AgentNotFound => self.offer_near(caller, refusal, agent),
            _ => refusal,
        }
    }
}

/// What a wish to cancel means that has not come true yet.
fn cancel_note(task: &Task) -> Option<String> {
    if !task.cancel_requested {
        return None;
    }
    Some(match task.unreachable_since {
        Some(since) => format!(
            "its node cannot be reached since {}; the wish is stored and told as soon as the node is there, and until then the task may go on",
            timestamp(since)
        ),
        None => "it is being ended; get_task with wait_seconds tells when it has".to_owned(),
    })
}

/// Text that a run has streamed so far, as the artifact it will become.
fn streamed(text: String) -> Piece {
    let info = ArtifactInfo {
        id: ArtifactId::response(),
        media_type: "text/markdown".to_owned(),
        bytes: text.len() as u64,
        sha256: String::new(),
        partial: true,
        remote: None,
    };
    Piece {
        info,
        content: Some(text.into_bytes()),
    }
}

/// How long the call is parked; the surface's cap is named in the tool's description.
fn wait(meta: &CallMeta, seconds: Option<u64>) -> Duration {
    Duration::from_secs(seconds.unwrap_or(0)).min(meta.wait_cap)
}

/// The host alone re-sends a bare call to a later front-end, so only its calls are matched.
fn minted(meta: &CallMeta, there: bool, wait: Duration) -> Option<Minted> {
    let instance = meta.instance.clone()?;
    (there && meta.surface == Surface::Host).then(|| Minted {
        instance,
        answered_at_once: wait.is_zero(),
    })
}

fn line((task, artifacts): &(Task, Vec<ArtifactInfo>)) -> TaskLine {
    let listed = artifacts.iter().take(LISTED_ARTIFACTS);
    TaskLine {
        task_id: task.id.clone(),
        context_id: task.context_id.clone(),
        agent_id: task.agent_id.on_its_node(),
        location: location(&task.agent_id),
        peer_id: task.agent_id.node(),
        state: task.state,
        unreachable_since: task.unreachable_since.map(timestamp),
        cancel_requested: task.cancel_requested,
        created_at: timestamp(task.created_at),
        updated_at: timestamp(task.updated_at),
        summary: task.summary.chars().take(SUMMARY_CHARS).collect(),
        artifacts: listed
            .map(|info| ArtifactLine {
                artifact_id: info.id.clone(),
                media_type: info.media_type.clone(),
                bytes: info.bytes,
                elsewhere: info.remote.is_some(),
            })
            .collect(),
        more_artifacts: artifacts
            .len()
            .checked_sub(LISTED_ARTIFACTS)
            .filter(|more| *more > 0),
    }
}

/// How many of the lines fit one result, from the first.
fn fitting(lines: &[TaskLine]) -> Result<usize, Refusal> {
    let mut room = RESULT_BYTES - FRAME_BYTES;
    for (n, line) in lines.iter().enumerate() {
        let cost = encode(line)?.as_str().len() + 1;
        if cost > room {
            return Ok(n);
        }
        room -= cost;
    }
    Ok(lines.len())
}
