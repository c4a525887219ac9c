//! The shapes of A2A's ProtoJSON as they are written: every object of a task, and the three forms of a part.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mesh_agents_core::json::JsonText;
use mesh_agents_core::task::{ArtifactInfo, Content, Part, TaskState};
use serde::Serialize;

use super::is_json;
use crate::json::compact;
use crate::peer::Numbered;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireTask<'a> {
    pub(super) id: &'a str,
    pub(super) context_id: &'a str,
    pub(super) status: WireStatus<'a>,
    #[serde(skip_serializing_if = "<[JsonText]>::is_empty")]
    pub(super) artifacts: &'a [JsonText],
    #[serde(skip_serializing_if = "<[JsonText]>::is_empty")]
    pub(super) history: &'a [JsonText],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<&'a JsonText>,
}

#[derive(Serialize)]
pub(super) struct WireStatus<'a> {
    pub(super) state: a2a::TaskState,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) message: Option<&'a JsonText>,
    pub(super) timestamp: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireStatusUpdate<'a> {
    pub(super) task_id: &'a str,
    pub(super) context_id: &'a str,
    pub(super) status: WireStatus<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<Numbered>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireArtifactUpdate<'a> {
    pub(super) task_id: &'a str,
    pub(super) context_id: &'a str,
    pub(super) artifact: &'a JsonText,
    // Written when false too: a reader that looks for the key finds it in every update.
    pub(super) append: bool,
    pub(super) last_chunk: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<Numbered>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireMessage<'a> {
    pub(super) message_id: &'a str,
    pub(super) context_id: &'a str,
    pub(super) task_id: &'a str,
    pub(super) role: a2a::Role,
    pub(super) parts: Vec<WirePart<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<&'a JsonText>,
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(super) extensions: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    pub(super) reference_task_ids: &'a [String],
}

#[derive(Serialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct WirePart<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) text: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) data: Option<JsonText>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) raw: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) media_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) filename: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<&'a JsonText>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct WireArtifact<'a> {
    pub(super) artifact_id: &'a str,
    pub(super) parts: [WirePart<'a>; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<ArtifactMetadata<'a>>,
}

#[derive(Serialize)]
pub(super) struct ArtifactMetadata<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sha256: Option<&'a str>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) left_out: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) partial: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) media_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<u64>,
}

#[derive(Serialize)]
pub(super) struct FailureMetadata<'a> {
    pub(super) failure_code: &'a str,
}

/// A state in the words of A2A.
pub(super) fn state(state: TaskState) -> a2a::TaskState {
    match state {
        TaskState::Submitted => a2a::TaskState::Submitted,
        TaskState::Working => a2a::TaskState::Working,
        TaskState::InputRequired => a2a::TaskState::InputRequired,
        TaskState::AuthRequired => a2a::TaskState::AuthRequired,
        TaskState::Completed => a2a::TaskState::Completed,
        TaskState::Failed => a2a::TaskState::Failed,
        TaskState::Canceled => a2a::TaskState::Canceled,
        TaskState::Rejected => a2a::TaskState::Rejected,
    }
}

/// Text as text and the rest in base64; JSON is not written anew.
pub(super) fn exact(bytes: &[u8]) -> WirePart<'_> {
    match std::str::from_utf8(bytes) {
        Ok(text) => WirePart {
            text: Some(text),
            ..WirePart::default()
        },
        Err(_) => WirePart {
            raw: Some(BASE64.encode(bytes)),
            ..WirePart::default()
        },
    }
}

/// JSON as data, other text as text and the rest in base64.
pub(super) fn content<'a>(info: &ArtifactInfo, bytes: &'a [u8]) -> WirePart<'a> {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return WirePart {
            raw: Some(BASE64.encode(bytes)),
            ..WirePart::default()
        };
    };
    if is_json(&info.media_type)
        && let Ok(data) = JsonText::parse(text)
    {
        return WirePart {
            data: JsonText::parse(&compact(data.as_str())).ok(),
            ..WirePart::default()
        };
    }
    WirePart {
        text: Some(text),
        ..WirePart::default()
    }
}

/// A part of a message.
pub(super) fn wire_part(part: &Part) -> WirePart<'_> {
    let wire = match &part.content {
        Content::Text(text) => WirePart {
            text: Some(text),
            ..WirePart::default()
        },
        Content::Data(data) => WirePart {
            data: Some(data.clone()),
            ..WirePart::default()
        },
        Content::Url(url) => WirePart {
            url: Some(url),
            ..WirePart::default()
        },
        Content::Raw(base64) => WirePart {
            raw: Some(base64.clone()),
            ..WirePart::default()
        },
    };
    WirePart {
        media_type: part.media_type.as_deref(),
        filename: part.filename.as_deref(),
        metadata: part.metadata.as_ref(),
        ..wire
    }
}
