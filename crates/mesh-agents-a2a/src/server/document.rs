//! A stored task as the A2A Task a caller gets: its history as far as asked for, its artifacts whole.

use mesh_agents_core::ids::ArtifactId;
use mesh_agents_core::json::JsonText;
use mesh_agents_core::limits::ARTIFACT_BYTES;
use mesh_agents_core::refusal::Code;
use mesh_agents_core::task::{ArtifactInfo, Message, Task};
use mesh_agents_tasks::{TaskEngine, TaskView};

use super::error::{Fault, Kind};
use crate::convert::{self, Body, ConvertError, TaskDocument};
use crate::peer::ToNode;

/// Most bytes of artifact contents in one answer: twice the largest single artifact. A task may
/// keep 256 of those; what does not fit is listed with its size and the way to read it.
const CONTENT_BYTES: u64 = 2 * ARTIFACT_BYTES;
/// What stands in for the content of an artifact that did not fit.
const LEFT_OUT: &str = "left out: the artifacts of this task are larger than one answer; the tools view_text_artifact and view_data_artifact read it, and `mesh-llm agents artifacts` saves it";
/// What stands in for the content of an artifact that is not there any more.
pub(super) const GONE: &str = "left out: the content was deleted";

impl From<ConvertError> for Fault {
    fn from(error: ConvertError) -> Self {
        Self::new(Kind::Internal, error.to_string())
    }
}

/// Room for artifact contents in one answer.
#[derive(Debug)]
pub(super) struct Room {
    bytes: u64,
    /// Whether contents go out byte for byte.
    exact: bool,
}

impl Room {
    pub(super) fn of_one_answer() -> Self {
        Self {
            bytes: CONTENT_BYTES,
            exact: false,
        }
    }

    /// The same for a reader that may be another node.
    pub(super) fn to(self, to_node: Option<ToNode>) -> Self {
        let exact = to_node.is_some();
        Self { exact, ..self }
    }
}

/// The whole task, with at most `history` messages, the newest ones.
pub(super) async fn whole(
    engine: &TaskEngine,
    view: &TaskView,
    history: Option<u32>,
    room: &mut Room,
) -> Result<JsonText, Fault> {
    let artifacts = artifacts(engine, view, room).await?;
    Ok(encode(
        &view.task,
        newest(&view.history, history),
        &artifacts,
    )?)
}

/// The task without its artifacts.
pub(super) fn bare(task: &Task, history: &[Message]) -> Result<JsonText, ConvertError> {
    encode(task, history, &[])
}

/// The last `length` messages, or all.
pub(super) fn newest(history: &[Message], length: Option<u32>) -> &[Message] {
    let length = length.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    &history[history.len().saturating_sub(length)..]
}

fn encode(
    task: &Task,
    history: &[Message],
    artifacts: &[JsonText],
) -> Result<JsonText, ConvertError> {
    let history: Vec<JsonText> = history
        .iter()
        .map(|one| convert::message(task, one))
        .collect::<Result<_, _>>()?;
    let status_message = convert::told_status(task)
        .map(|one| convert::message(task, &one))
        .transpose()?;
    let document = TaskDocument {
        task,
        status_message,
        history: &history,
        artifacts,
        metadata: task.metadata.as_ref(),
    };
    document.encode()
}

/// The artifacts in the order of their ids; contents go in small before large while there is room.
async fn artifacts(
    engine: &TaskEngine,
    view: &TaskView,
    room: &mut Room,
) -> Result<Vec<JsonText>, Fault> {
    let task = &view.task;
    let mut by_size: Vec<usize> = (0..view.artifacts.len()).collect();
    by_size.sort_by_key(|n| view.artifacts[*n].bytes);
    let mut encoded = vec![None; view.artifacts.len()];
    for n in by_size {
        let info = &view.artifacts[n];
        encoded[n] = Some(if info.bytes <= room.bytes {
            room.bytes -= info.bytes;
            content(engine, task, info, room.exact).await?
        } else {
            convert::artifact(task, info, Body::LeftOut(LEFT_OUT))?
        });
    }
    let mut all: Vec<JsonText> = encoded.into_iter().flatten().collect();
    let streamed = view.response.as_deref().filter(|text| !text.is_empty());
    if let Some(text) = streamed {
        // An earlier attempt may have left one; what streams now takes its place.
        let stored = |info: &ArtifactInfo| info.id.as_str() == ArtifactId::RESPONSE;
        let text = convert::streamed(task, text)?;
        match view.artifacts.iter().position(stored) {
            Some(n) => all[n] = text,
            None => all.push(text),
        }
    }
    Ok(all)
}

async fn content(
    engine: &TaskEngine,
    task: &Task,
    info: &ArtifactInfo,
    exact: bool,
) -> Result<JsonText, Fault> {
    match engine.content(&task.id, info).await {
        Ok(bytes) if exact => Ok(convert::artifact(task, info, Body::Exact(&bytes))?),
        Ok(bytes) => Ok(convert::artifact(task, info, Body::Whole(&bytes))?),
        Err(refusal) if refusal.code == Code::Storage => {
            tracing::warn!(task = %task.id, %refusal, "an artifact is missing from an answer");
            Ok(convert::artifact(task, info, Body::LeftOut(GONE))?)
        }
        Err(refusal) => Err(refusal.into()),
    }
}
