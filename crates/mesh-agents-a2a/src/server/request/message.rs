//! A caller's message: its parts, and which of them an agent here can take.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD as BASE64};
use mesh_agents_core::ids::MessageId;
use mesh_agents_core::json::JsonText;
use mesh_agents_core::task::{Content, Message, Part, Role};
use serde::{Deserialize, Deserializer};

use super::{Check, scalars};
use crate::convert::is_json;
use crate::server::error::{Fault, Kind};

/// Most parts of one message; more is a mistake such as a part per token.
const PARTS: usize = 1_000;
/// Most characters of a media type or file name.
const NAME_CHARS: usize = 255;

/// Base64 as ProtoJSON takes it: with or without padding.
const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, expecting = "an object")]
pub(super) struct WireMessage {
    #[serde(alias = "message_id")]
    message_id: Option<String>,
    #[serde(alias = "context_id")]
    pub(super) context_id: Option<String>,
    #[serde(alias = "task_id")]
    pub(super) task_id: Option<String>,
    #[serde(deserialize_with = "scalars::word")]
    role: Option<String>,
    parts: Option<Vec<WirePart>>,
    metadata: Option<JsonText>,
    extensions: Option<Vec<String>>,
    #[serde(alias = "reference_task_ids")]
    reference_task_ids: Option<Vec<String>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default, expecting = "an object")]
struct WirePart {
    text: Option<String>,
    raw: Option<String>,
    url: Option<String>,
    #[serde(deserialize_with = "present")]
    data: Option<JsonText>,
    #[serde(alias = "media_type")]
    media_type: Option<String>,
    filename: Option<String>,
    metadata: Option<JsonText>,
}

/// A value that is there even when it is `null`: data may be any JSON value.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<JsonText>, D::Error> {
    JsonText::deserialize(deserializer).map(Some)
}

/// Bytes that are no text, by the place of their part.
#[derive(Debug, Default)]
pub(super) struct NotText(Vec<usize>);

impl WireMessage {
    /// The message, if nothing is wrong with it.
    pub(super) fn check(self, check: &mut Check) -> Option<(Message, NotText)> {
        let id = self.message_id.filter(|id| !id.is_empty());
        if id.is_none() {
            check.wrong(
                "message.messageId",
                "is required: a unique id made by the caller; a repeat of it is the same message",
            );
        }
        let message_id: Option<MessageId> = check.parsed("message.messageId", id.as_deref());
        match self.role.as_deref() {
            Some("ROLE_USER" | "1") => {}
            None | Some("" | "0" | "ROLE_UNSPECIFIED") => {
                check.wrong("message.role", "is required: ROLE_USER");
            }
            Some(_) => check.wrong("message.role", "must be ROLE_USER"),
        }
        let metadata = check.object("message.metadata", self.metadata);
        let (extensions, references) = (
            self.extensions.unwrap_or_default(),
            self.reference_task_ids.unwrap_or_default(),
        );
        check.aside(extensions.iter().chain(&references).map(String::len).sum());
        let wire = self.parts.unwrap_or_default();
        if wire.is_empty() {
            check.wrong("message.parts", "is required: at least one part");
        }
        if wire.len() > PARTS {
            check.wrong("message.parts", format!("may be {PARTS} parts at most"));
            return None;
        }
        let (mut parts, mut not_text) = (Vec::with_capacity(wire.len()), NotText::default());
        for (n, part) in wire.into_iter().enumerate() {
            let field = format!("message.parts[{n}]");
            if let Some((part, is_text)) = part.check(check, &field) {
                if !is_text {
                    not_text.0.push(n);
                }
                parts.push(part);
            }
        }
        let message = Message {
            message_id: message_id?,
            role: Role::User,
            parts,
            metadata,
            references,
            extensions,
        };
        Some((message, not_text))
    }
}

impl WirePart {
    /// The part, and whether what it holds is text.
    fn check(self, check: &mut Check, field: &str) -> Option<(Part, bool)> {
        for (name, value) in [
            ("mediaType", &self.media_type),
            ("filename", &self.filename),
        ] {
            let odd = |text: &String| {
                text.chars().count() > NAME_CHARS || text.chars().any(char::is_control)
            };
            if value.as_ref().is_some_and(odd) {
                check.wrong(
                    format!("{field}.{name}"),
                    format!("may be {NAME_CHARS} characters without control characters"),
                );
            }
        }
        let metadata = check.object(&format!("{field}.metadata"), self.metadata);
        let mut contents = Vec::new();
        let mut is_text = true;
        contents.extend(self.text.map(Content::Text));
        contents.extend(self.url.map(Content::Url));
        if let Some(data) = self.data {
            let data = check.value(&format!("{field}.data"), &data)?;
            contents.push(Content::Data(data));
        }
        if let Some(raw) = self.raw {
            let Some(bytes) = unbase64(&raw) else {
                check.wrong(format!("{field}.raw"), "is not base64");
                return None;
            };
            is_text = std::str::from_utf8(&bytes).is_ok();
            contents.push(Content::Raw(BASE64.encode(&bytes)));
        }
        let Some(content) = contents.pop().filter(|_| contents.is_empty()) else {
            check.wrong(field, "must have exactly one of text, raw, url and data");
            return None;
        };
        if matches!(&content, Content::Url(url) if url.trim().is_empty()) {
            check.wrong(format!("{field}.url"), "is empty");
        }
        let part = Part {
            content,
            media_type: self.media_type.filter(|text| !text.is_empty()),
            filename: self.filename.filter(|text| !text.is_empty()),
            metadata,
        };
        Some((part, is_text))
    }
}

fn unbase64(text: &str) -> Option<Vec<u8>> {
    let alphabet = if text.contains(['-', '_']) {
        &alphabet::URL_SAFE
    } else {
        &alphabet::STANDARD
    };
    GeneralPurpose::new(alphabet, LENIENT).decode(text).ok()
}

/// Why this message cannot be taken, when a part is of a kind no agent here can read.
///
/// A harness is told a message as text. So text and JSON are taken in every form; a URL may be of
/// anything common, since the agent fetches it itself; other bytes are not.
pub(super) fn refused_media(
    message: &Message,
    not_text: NotText,
    takes: &[String],
) -> Option<Fault> {
    let mut not_text = not_text.0.into_iter();
    for (n, part) in message.parts.iter().enumerate() {
        let media_type = part.media_type.as_deref();
        let fine = match (&part.content, media_type) {
            (_, None) => true,
            (Content::Raw(_), Some(media_type)) => reads_as_text(media_type),
            (Content::Url(_), Some(media_type)) => {
                is_common(media_type) || named(takes, media_type)
            }
            (Content::Text(_) | Content::Data(_), Some(media_type)) => {
                reads_as_text(media_type) || named(takes, media_type)
            }
        };
        if !fine {
            let media_type = media_type.unwrap_or_default();
            return Some(Fault::new(
                Kind::ContentTypeNotSupported,
                format!(
                    "message.parts[{n}] is {media_type}, which this agent cannot read; send text or JSON, or a URL it can fetch"
                ),
            ));
        }
    }
    let n = not_text.next()?;
    Some(Fault::new(
        Kind::ContentTypeNotSupported,
        format!(
            "message.parts[{n}].raw is not UTF-8 text; send text or JSON, or a URL the agent can fetch"
        ),
    ))
}

fn essence(media_type: &str) -> String {
    let essence = media_type.split(';').next().unwrap_or_default();
    essence.trim().to_ascii_lowercase()
}

fn reads_as_text(media_type: &str) -> bool {
    const ALSO: &[&str] = &[
        "application/xml",
        "application/yaml",
        "application/x-yaml",
        "application/toml",
        "application/javascript",
        "application/sql",
    ];
    let essence = essence(media_type);
    essence.starts_with("text/")
        || is_json(&essence)
        || essence.ends_with("+xml")
        || essence.ends_with("+yaml")
        || ALSO.contains(&essence.as_str())
}

fn is_common(media_type: &str) -> bool {
    const ALSO: &[&str] = &[
        "application/pdf",
        "application/zip",
        "application/gzip",
        "application/octet-stream",
    ];
    let essence = essence(media_type);
    reads_as_text(&essence)
        || ["image/", "audio/", "video/"]
            .iter()
            .any(|family| essence.starts_with(family))
        || ALSO.contains(&essence.as_str())
}

/// Whether the agent's card names this type among its input modes.
fn named(takes: &[String], media_type: &str) -> bool {
    let wanted = essence(media_type);
    takes.iter().any(|mode| essence(mode) == wanted)
}
