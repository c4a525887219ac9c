//! A stored task as the A2A Task a caller gets: its history as far as asked for, its artifacts whole.

use std::time::Duration;

use mesh_agents_core::ids::ArtifactId;
use mesh_agents_core::json::JsonText;
use mesh_agents_core::limits::ARTIFACT_BYTES;
use mesh_agents_core::refusal::Code;
use mesh_agents_core::task::{ArtifactInfo, Message, Task};
use mesh_agents_tasks::TaskView;
use tokio::time::Instant;

use super::A2aServer;
use super::content;
use super::error::{Fault, Kind};
use crate::convert::{self, Body, ConvertError};
use crate::peer::{Inline, ToNode};

/// Most bytes of artifact contents in one answer: twice the largest single artifact. A task may
/// keep 256 of those; what does not fit is listed with its size and the way to read it.
const CONTENT_BYTES: u64 = 2 * ARTIFACT_BYTES;
/// How long one answer waits for contents that are with other nodes. What has not come by then is named by
/// its address here, where a reader may wait for it.
pub(super) const FETCH_PATIENCE: Duration = Duration::from_secs(10);
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
    /// What may go inline to a reader that fetches the rest by itself.
    inline: Option<Inline>,
    /// Until when contents that are with another node are waited for.
    patience: Instant,
}

impl Room {
    pub(super) fn of_one_answer() -> Self {
        Self {
            bytes: CONTENT_BYTES,
            exact: false,
            inline: None,
            patience: Instant::now() + FETCH_PATIENCE,
        }
    }

    /// The same for a reader that may be another node.
    pub(super) fn to(self, to_node: Option<ToNode>) -> Self {
        Self {
            exact: to_node.is_some(),
            inline: to_node.filter(|one| one.fetches).map(|_| Inline::default()),
            ..self
        }
    }

    /// What becomes of an artifact's content.
    fn place(&mut self, info: &ArtifactInfo) -> Placed {
        if let Some(inline) = &mut self.inline
            && !inline.takes(info)
        {
            return Placed::Elsewhere;
        }
        if info.bytes > self.bytes {
            return Placed::LeftOut;
        }
        self.bytes -= info.bytes;
        Placed::Here
    }
}

/// Where the content of an artifact goes.
enum Placed {
    Here,
    Elsewhere,
    LeftOut,
}

/// The whole task, with at most `history` messages, the newest ones.
pub(super) async fn whole(
    server: &A2aServer,
    view: &TaskView,
    history: Option<u32>,
    room: &mut Room,
) -> Result<JsonText, Fault> {
    let artifacts = artifacts(server, view, room).await?;
    Ok(convert::task(
        &view.task,
        newest(&view.history, history),
        &artifacts,
    )?)
}

/// The task without its artifacts.
pub(super) fn bare(task: &Task, history: &[Message]) -> Result<JsonText, ConvertError> {
    convert::task(task, history, &[])
}

/// The last `length` messages, or all.
pub(super) fn newest(history: &[Message], length: Option<u32>) -> &[Message] {
    let length = length.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    &history[history.len().saturating_sub(length)..]
}

/// The artifacts in the order of their ids; contents go in small before large while there is room.
async fn artifacts(
    server: &A2aServer,
    view: &TaskView,
    room: &mut Room,
) -> Result<Vec<JsonText>, Fault> {
    let task = &view.task;
    let mut by_size: Vec<usize> = (0..view.artifacts.len()).collect();
    by_size.sort_by_key(|n| view.artifacts[*n].bytes);
    let mut encoded = vec![None; view.artifacts.len()];
    for n in by_size {
        let info = &view.artifacts[n];
        encoded[n] = Some(match room.place(info) {
            Placed::Here => body_of(server, task, info, room).await?,
            Placed::Elsewhere => elsewhere("", task, info)?,
            Placed::LeftOut => convert::artifact(task, info, Body::LeftOut(LEFT_OUT))?,
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

/// An artifact whose content is read where this says, at the server `base`.
pub(super) fn elsewhere(
    base: &str,
    task: &Task,
    info: &ArtifactInfo,
) -> Result<JsonText, ConvertError> {
    let url = content::url(base, task, &info.id);
    convert::artifact(task, info, Body::Elsewhere(&url))
}

async fn body_of(
    server: &A2aServer,
    task: &Task,
    info: &ArtifactInfo,
    room: &Room,
) -> Result<JsonText, Fault> {
    let patience = room.patience.saturating_duration_since(Instant::now());
    let content = server.engine.content_within(&task.id, info, patience);
    match content.await {
        Ok(bytes) if room.exact => Ok(convert::artifact(task, info, Body::Exact(&bytes))?),
        Ok(bytes) => Ok(convert::artifact(task, info, Body::Whole(&bytes))?),
        Err(refusal) if refusal.code == Code::ArtifactUnavailable => {
            tracing::info!(task = %task.id, %refusal, "an answer says where an artifact is read");
            Ok(elsewhere(&server.place.base, task, info)?)
        }
        Err(refusal) if refusal.code == Code::Storage => {
            tracing::warn!(task = %task.id, %refusal, "an artifact is missing from an answer");
            Ok(convert::artifact(task, info, Body::LeftOut(GONE))?)
        }
        Err(refusal) => Err(refusal.into()),
    }
}
