//! An event as the body of a notification: a `StreamResponse` (A2A §3.2.3, §4.3.3).

use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::json::JsonText;
use mesh_agents_core::task::{ArtifactInfo, Task};
use mesh_agents_tasks::PushDelivery;
use serde::Serialize;

use crate::convert::{self, Body, ConvertError, WireStatus};

/// The body of a notification.
pub(super) fn notification(delivery: &PushDelivery) -> Result<String, ConvertError> {
    let task = &delivery.task;
    let body = match &delivery.event.event {
        TaskEvent::Artifact { artifact } => {
            artifact_update(task, artifact, delivery.content.as_deref())?
        }
        TaskEvent::State {
            state,
            message,
            failure,
        } => status_update(&Task {
            state: *state,
            status_message: message.clone(),
            failure: failure.clone(),
            updated_at: delivery.event.at,
            ..task.clone()
        })?,
        // The engine hands out these two only; another would be told as the task's status.
        _ => status_update(task)?,
    };
    Ok(body.as_str().to_owned())
}

fn status_update(task: &Task) -> Result<JsonText, ConvertError> {
    let message = convert::status_message(task)
        .map(|message| convert::message(task, &message))
        .transpose()?;
    let status = WireStatus {
        state: convert::state(task.state),
        message: message.as_ref(),
        timestamp: convert::timestamp(task.updated_at),
    };
    wrapped(
        task,
        &Wrapped::StatusUpdate(StatusUpdate {
            task_id: task.id.as_str(),
            context_id: task.context_id.as_str(),
            status,
        }),
    )
}

fn artifact_update(
    task: &Task,
    info: &ArtifactInfo,
    content: Option<&[u8]>,
) -> Result<JsonText, ConvertError> {
    let body = content.map_or(
        Body::LeftOut("too large for a notification; read it from the task with GetTask"),
        Body::Whole,
    );
    let artifact = convert::artifact(task, info, body)?;
    wrapped(
        task,
        &Wrapped::ArtifactUpdate(ArtifactUpdate {
            task_id: task.id.as_str(),
            context_id: task.context_id.as_str(),
            artifact: &artifact,
            append: false,
            last_chunk: true,
        }),
    )
}

fn wrapped(task: &Task, value: &Wrapped<'_>) -> Result<JsonText, ConvertError> {
    JsonText::of(value).map_err(|source| ConvertError {
        what: "a notification",
        task: task.id.to_string(),
        source,
    })
}

/// The key says what it is.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Wrapped<'a> {
    StatusUpdate(StatusUpdate<'a>),
    ArtifactUpdate(ArtifactUpdate<'a>),
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StatusUpdate<'a> {
    task_id: &'a str,
    context_id: &'a str,
    status: WireStatus<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ArtifactUpdate<'a> {
    task_id: &'a str,
    context_id: &'a str,
    artifact: &'a JsonText,
    append: bool,
    last_chunk: bool,
}
