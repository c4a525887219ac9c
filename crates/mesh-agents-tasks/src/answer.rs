//! A message to a task that exists: the answer to its question, or a refusal that says what to do
//! (DESIGN §4, "Questions").

use std::sync::Arc;

use mesh_agents_core::ids::{QuestionId, TaskId};
use mesh_agents_core::json::JsonText;
use mesh_agents_core::policy::{Caller, may_answer};
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_core::run::Answer;
use mesh_agents_core::task::{Content, Message, Task, TaskState};
use rusqlite::Connection;
use serde::Deserialize;

use crate::admit::{conflict, key_of};
use crate::api::Submit;
use crate::engine::{TaskEngine, refusal};
use crate::push;
use crate::store::push::NewPush;
use crate::store::{self, Answered, OpenQuestion, Row, StoreError};

/// What the metadata of an answer may say; everything else in it is the caller's own.
#[derive(Debug, Default, Deserialize)]
struct Chosen {
    option_id: Option<String>,
    question_id: Option<String>,
}

impl TaskEngine {
    /// Takes a message to a task that exists, and returns the task. Durable when this returns; a
    /// repeat answers nothing twice.
    pub(crate) async fn answer(
        &self,
        caller: &Caller,
        submit: Submit,
        id: &TaskId,
    ) -> Result<Task, Refusal> {
        let inner = &self.inner;
        let key = key_of(caller, &submit)?;
        let push = submit.push.clone();
        let push = push.map(|push| push::checked(inner, push)).transpose()?;
        let told = push.is_some();
        let (shared, now, minted) = (Arc::clone(inner), inner.now(), inner.mint_message());
        let (caller_, submit_, id_) = (caller.clone(), submit.clone(), id.clone());
        let done = inner.to_the_end(async move {
            let stored = shared.store.write(move |db| {
                let message = submit_.message.clone();
                let read = |row: &Row, open: &[OpenQuestion]| read(&caller_, &submit_, row, open);
                let answer = || store::answer(db, now, &key, &id_, message, read, &minted);
                with_push(db, &caller_, &id_, push, answer)
            });
            let answered = stored.await?;
            if let Answered::Given(change, question, answer) = answered {
                if told {
                    shared.wakes.bell.watch(&change.task.id);
                }
                let task = shared.follow(*change);
                let run = shared.live().get(&task.id).cloned();
                if let Some(run) = run {
                    // There is room for every open question; a run that is over needs no answer.
                    let _passed_on = run.answers.try_send((question, answer));
                }
                // A task that was parked has its place in the queue now.
                shared.pump(&task.agent_id);
                return Ok(Ok(task));
            }
            Ok(Err(answered))
        });
        match done.await.map_err(|error| refusal(&error, id))? {
            Ok(task) => Ok(task),
            Err(Answered::Repeat(task)) => self.repeated(caller, &submit, &task).await,
            Err(Answered::Conflict(task)) => Err(conflict(&submit, &task)),
            Err(Answered::Refused(refusal)) => Err(refusal),
            Err(Answered::Given(change, ..)) => Ok(change.task),
        }
    }
}

/// Stores an answer and, if it was taken, the push configuration that came with it.
fn with_push(
    db: &Connection,
    caller: &Caller,
    id: &TaskId,
    push: Option<NewPush>,
    answer: impl FnOnce() -> Result<Answered, StoreError>,
) -> Result<Answered, StoreError> {
    let Some(push) = push else {
        return answer();
    };
    store::task(db, id, &caller.principal)?;
    if let Some(full) = push::full(db, id, &push)? {
        return Ok(Answered::Refused(full));
    }
    let answered = answer()?;
    if matches!(answered, Answered::Given(..)) {
        store::push::put(db, id, &push)?;
    }
    Ok(answered)
}

/// Which open question a message answers, and how.
fn read(
    caller: &Caller,
    submit: &Submit,
    row: &Row,
    open: &[OpenQuestion],
) -> Result<(QuestionId, Answer), Refusal> {
    let task = &row.task;
    addressed(submit, task)?;
    let asked = task.state.is_interrupted() && row.stopping.is_none();
    let oldest = open.first().filter(|_| asked);
    let oldest = oldest.ok_or_else(|| takes_none(task))?;
    let chosen = [submit.message.metadata.as_ref(), submit.metadata.as_ref()];
    let chosen = chosen.into_iter().flatten().find_map(chosen_in);
    let chosen = chosen.unwrap_or_default();
    let question = match &chosen.question_id {
        Some(wanted) => open
            .iter()
            .find(|open| open.question.id.as_str() == wanted)
            .ok_or_else(|| gone(task, wanted, &oldest.question.id))?,
        None => oldest,
    };
    let question = &question.question;
    may_answer(caller, &task.agent_id, &task.principal, question.kind)?;
    let text = words(&submit.message);
    let answer = question.read_answer(chosen.option_id.as_deref(), &text)?;
    Ok((question.id.clone(), answer))
}

/// Metadata that says which question or option is meant.
fn chosen_in(metadata: &JsonText) -> Option<Chosen> {
    let chosen: Chosen = metadata.read().ok()?;
    (chosen.option_id.is_some() || chosen.question_id.is_some()).then_some(chosen)
}

/// The text of an answer; data alone counts as its JSON.
fn words(message: &Message) -> String {
    let text = message.joined_text();
    if !text.trim().is_empty() {
        return text;
    }
    let data = message.parts.iter().find_map(|part| match &part.content {
        Content::Data(data) => Some(data.as_str().to_owned()),
        Content::Text(_) | Content::Url(_) | Content::Raw(_) => None,
    });
    data.unwrap_or_default()
}

/// Whether the submit names its task rightly.
fn addressed(submit: &Submit, task: &Task) -> Result<(), Refusal> {
    let id = &task.id;
    if task.agent_id != submit.agent_id {
        return Err(Refusal::new(
            Code::TaskNotFound,
            format!(
                "task {id} is not a task of agent \"{}\" but of \"{}\"",
                submit.agent_id, task.agent_id
            ),
        )
        .hint("Leave agent_id out, or name the agent the task was sent to."));
    }
    if submit
        .context_id
        .as_ref()
        .is_some_and(|context| *context != task.context_id)
    {
        return Err(Refusal::new(
            Code::InvalidArgument,
            format!(
                "task {id} is not of that context but of {}",
                task.context_id
            ),
        )
        .hint("Leave context_id out when task_id is given; a task stays in its context."));
    }
    Ok(())
}

/// Why a task that asks nothing takes no message.
fn takes_none(task: &Task) -> Refusal {
    let id = &task.id;
    if task.state.is_terminal() {
        return Refusal::new(
            Code::TaskTerminal,
            format!("task {id} has ended: {}", task.state),
        )
        .hint(format!(
            "To go on in the same conversation, send without task_id and with context_id {}.",
            task.context_id
        ));
    }
    let doing = match task.state {
        TaskState::Submitted => "waits for its turn",
        _ if task.cancel_requested => "is being canceled",
        _ => "is at work",
    };
    Refusal::new(
        Code::TaskBusy,
        format!("task {id} {doing} and takes no message now"),
    )
    .hint("Wait for it with get_task and wait_seconds, or send without task_id for a new task.")
}

fn gone(task: &Task, wanted: &str, oldest: &QuestionId) -> Refusal {
    let wanted: String = wanted.chars().take(80).collect();
    Refusal::new(
        Code::QuestionGone,
        format!("question {wanted:?} of task {} is not open any more", task.id),
    )
    .hint(format!(
        "The task asks question {oldest} now: read its status message with get_task, and answer that."
    ))
}
