//! `view_text_artifact` and `view_data_artifact`.

use mesh_agents_core::ids::{AgentId, ArtifactId, TaskId};
use mesh_agents_core::json::JsonText;
use mesh_agents_core::limits::RESULT_BYTES;
use mesh_agents_core::refusal::{Code, Refusal};

use super::data_page::{self, NoData};
use super::{EngineTools, encode, text_page};
use crate::backend::CallMeta;
use crate::tool::args::{self, parse};
use crate::tool::results::{DataPage, TextPage};

/// What surrounds the content in a result: an agent id of 64 bytes, a task id of 31, an artifact id
/// of 255 that may double in JSON, numbers and keys.
const FRAME_BYTES: usize = 1024;

impl EngineTools {
    pub(super) async fn view_text_artifact(
        &self,
        meta: &CallMeta,
        args: &JsonText,
    ) -> Result<JsonText, Refusal> {
        let args: args::ViewTextArtifact = parse(args)?;
        let (agent_id, content) = self
            .content(
                meta,
                &args.task_id,
                args.agent_id.as_ref(),
                &args.artifact_id,
            )
            .await?;
        let text = text(&args.task_id, &args.artifact_id, content)?;
        let offset = args.offset.unwrap_or(0);
        let most = args.max_chars.unwrap_or(args::TEXT_CHARS);
        let page =
            text_page::page(&text, offset, most, RESULT_BYTES - FRAME_BYTES).map_err(|total| {
                Refusal::new(
                    Code::InvalidArgument,
                    format!(
                        "argument offset is {offset} and artifact {:?} has {total} characters",
                        args.artifact_id.as_str()
                    ),
                )
            })?;
        encode(&TextPage {
            agent_id,
            task_id: args.task_id,
            artifact_id: args.artifact_id,
            text: page.text.to_owned(),
            total_chars: page.total,
            next_offset: page.next,
        })
    }

    pub(super) async fn view_data_artifact(
        &self,
        meta: &CallMeta,
        args: &JsonText,
    ) -> Result<JsonText, Refusal> {
        let args: args::ViewDataArtifact = parse(args)?;
        let (agent_id, content) = self
            .content(
                meta,
                &args.task_id,
                args.agent_id.as_ref(),
                &args.artifact_id,
            )
            .await?;
        let text = text(&args.task_id, &args.artifact_id, content)?;
        let pointer = args.pointer.as_deref().unwrap_or_default();
        let room = RESULT_BYTES - FRAME_BYTES;
        let page = data_page::page(&text, pointer, args.offset, args.limit, room)
            .map_err(|error| no_data(&args.artifact_id, &error))?;
        encode(&DataPage {
            agent_id,
            task_id: args.task_id,
            artifact_id: args.artifact_id,
            data: page.data,
            total: page.total,
            next_offset: page.next,
            truncated: page.truncated.then_some(true),
        })
    }

    async fn content(
        &self,
        meta: &CallMeta,
        task: &TaskId,
        agent: Option<&AgentId>,
        artifact: &ArtifactId,
    ) -> Result<(AgentId, Vec<u8>), Refusal> {
        let found = self.task_of(&meta.caller, task, agent).await?;
        let (_, content) = self.engine.artifact(&meta.caller, task, artifact).await?;
        Ok((found.agent_id.on_its_node(), content))
    }
}

fn text(task: &TaskId, artifact: &ArtifactId, content: Vec<u8>) -> Result<String, Refusal> {
    let bytes = content.len();
    String::from_utf8(content).map_err(|_| {
        Refusal::new(
            Code::ArtifactKind,
            format!(
                "artifact {:?} is {bytes} bytes that are not text",
                artifact.as_str()
            ),
        )
        .hint(format!(
            "`mesh-llm agents artifacts {task} {artifact} --output FILE` saves it to a file."
        ))
    })
}

fn no_data(artifact: &ArtifactId, error: &NoData) -> Refusal {
    let said = format!("artifact {:?}: {error}", artifact.as_str());
    match error {
        NoData::NotJson(_) => {
            Refusal::new(Code::ArtifactKind, said).hint("view_text_artifact reads it as text.")
        }
        NoData::Nowhere { .. } => Refusal::new(Code::InvalidArgument, said)
            .hint("Without pointer, the whole is shown or the keys it has."),
        NoData::NoArray(_) => Refusal::new(Code::InvalidArgument, said)
            .hint("Leave them out, or let pointer lead to an array."),
        NoData::PastEnd { .. } => Refusal::new(Code::InvalidArgument, said),
    }
}
