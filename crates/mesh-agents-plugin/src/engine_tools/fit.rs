//! An A2A Task that fits one result: first what a caller wants most, and a word on what is missing.
//!
//! Order of what goes in: the status; a line for every artifact; the newest message; the content of
//! artifacts, `summary.md` first and then small before large; older messages, newest first.

use mesh_agents_a2a::convert::{self, Body, ConvertError, TaskDocument};
use mesh_agents_core::ids::ArtifactId;
use mesh_agents_core::json::JsonText;
use mesh_agents_core::task::{ArtifactInfo, Content, Message, Part, Task};

/// Metadata of a caller's own larger than this is left out; the caller has it.
const METADATA_BYTES: usize = 4 * 1024;
/// A message larger than this is shown cut.
const MESSAGE_BYTES: usize = 4 * 1024;
/// Characters of each text of a message that is shown cut: 2,000 escaped six-fold still fit.
const CUT_CHARS: usize = 2_000;
/// A message still larger than this after its parts were cut is reduced to its first words.
const CUT_BYTES: usize = 10 * 1024;
/// What the keys of the two lists and the commas around them cost at most.
const LISTS_BYTES: usize = 48;

/// An artifact to be shown.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    /// Its entry.
    pub(super) info: ArtifactInfo,
    /// Its content, if it was small enough to be fetched.
    pub(super) content: Option<Vec<u8>>,
}

/// A task that fits.
#[derive(Debug)]
pub(super) struct Fitted {
    /// The A2A Task.
    pub(super) task: JsonText,
    /// What is missing and how to read it.
    pub(super) left_out: Option<String>,
}

/// How much content is worth fetching for [`fit`]: more than this never goes in.
pub(super) const FETCH_BYTES: u64 = 24 * 1024;

/// Artifacts in the order in which their content goes in.
pub(super) fn by_worth(artifacts: &mut [ArtifactInfo]) {
    artifacts.sort_by_key(|info| (worth(&info.id), info.bytes));
}

fn worth(id: &ArtifactId) -> u8 {
    match id.as_str() {
        "summary.md" => 0,
        // Usually said again by summary.md and the last message.
        ArtifactId::RESPONSE => 2,
        _ => 1,
    }
}

/// Puts together as much of the task as fits `bytes` bytes of JSON. `artifacts` in the order of
/// [`by_worth`]. At most `history_length` messages are shown where that is given.
pub(super) fn fit(
    task: &Task,
    history: &[Message],
    artifacts: &[Piece],
    history_length: Option<u32>,
    bytes: usize,
) -> Result<Fitted, ConvertError> {
    let mut notes = Vec::new();
    let metadata = task.metadata.as_ref();
    let shown_metadata = metadata.filter(|data| data.as_str().len() <= METADATA_BYTES);
    if metadata.is_some() && shown_metadata.is_none() {
        notes.push("your metadata".to_owned());
    }
    let mut document = TaskDocument {
        task,
        status_message: status(task)?,
        history: &[],
        artifacts: &[],
        metadata: shown_metadata,
    };
    let mut room = bytes.saturating_sub(document.encode()?.as_str().len() + LISTS_BYTES);

    let (mut shown, listed) = stubs(task, artifacts, room / 2)?;
    room = room.saturating_sub(size(&shown));
    let asked = history_length.map_or(usize::MAX, |n| usize::try_from(n).unwrap_or(usize::MAX));
    let wanted = &history[history.len().saturating_sub(asked)..];
    let mut messages = newest_first(task, wanted);
    let mut kept = Vec::new();
    let whole = take(&mut messages, &mut kept, &mut room, 1)?;
    let without = fill(task, artifacts, &mut shown, &mut room)?;
    if whole {
        take(&mut messages, &mut kept, &mut room, usize::MAX)?;
    }
    kept.reverse();

    if without > 0 {
        notes.push(format!(
            "the content of {without} artifacts (view_text_artifact and view_data_artifact read it)"
        ));
    }
    if listed < artifacts.len() {
        notes.push(format!(
            "{} of {} artifacts (`mesh-llm agents artifacts {}` lists them)",
            artifacts.len() - listed,
            artifacts.len(),
            task.id
        ));
    }
    if kept.len() < wanted.len() {
        notes.push(format!("{} older messages", wanted.len() - kept.len()));
    }
    document.history = &kept;
    document.artifacts = &shown;
    Ok(Fitted {
        task: document.encode()?,
        left_out: (!notes.is_empty()).then(|| notes.join("; ")),
    })
}

fn status(task: &Task) -> Result<Option<JsonText>, ConvertError> {
    convert::status_message(task)
        .map(|message| cut_to_fit(task, &message))
        .transpose()
}

/// A line for each artifact, its content left out, as many as fit `bytes`; and how many those are.
fn stubs(
    task: &Task,
    artifacts: &[Piece],
    bytes: usize,
) -> Result<(Vec<JsonText>, usize), ConvertError> {
    let mut shown = Vec::new();
    let mut spent = 0;
    for piece in artifacts {
        let stub = convert::artifact(task, &piece.info, Body::LeftOut(how_to_read(piece)))?;
        spent += stub.as_str().len() + 1;
        if spent > bytes {
            break;
        }
        shown.push(stub);
    }
    let listed = shown.len();
    Ok((shown, listed))
}

fn how_to_read(piece: &Piece) -> &'static str {
    let binary = match &piece.content {
        Some(content) => std::str::from_utf8(content).is_err(),
        None => !is_text(&piece.info.media_type),
    };
    let json = convert::is_json(&piece.info.media_type);
    match (piece.info.remote.is_some(), binary, json) {
        (false, true, _) => "left out: not text; `mesh-llm agents artifacts` saves it",
        (false, _, true) => "left out: read it with view_data_artifact",
        (false, _, _) => "left out: read it with view_text_artifact",
        (true, true, _) => {
            "still with its node: not text; `mesh-llm agents artifacts` fetches and saves it"
        }
        (true, _, true) => "still with its node: view_data_artifact fetches and reads it",
        (true, _, _) => "still with its node: view_text_artifact fetches and reads it",
    }
}

/// Whether a media type is of something that reads as text.
pub(super) fn is_text(media_type: &str) -> bool {
    media_type.starts_with("text/") || convert::is_json(media_type)
}

/// Puts content in the place of stubs while there is room; returns how many stay without.
fn fill(
    task: &Task,
    artifacts: &[Piece],
    shown: &mut [JsonText],
    room: &mut usize,
) -> Result<usize, ConvertError> {
    let mut without = 0;
    for (place, piece) in shown.iter_mut().zip(artifacts) {
        let readable = piece
            .content
            .as_ref()
            .filter(|content| std::str::from_utf8(content).is_ok());
        let whole = readable
            .map(|content| convert::artifact(task, &piece.info, Body::Whole(content)))
            .transpose()?;
        let space = *room + place.as_str().len();
        match whole.filter(|whole| whole.as_str().len() <= space) {
            Some(whole) => {
                *room = space - whole.as_str().len();
                *place = whole;
            }
            None => without += 1,
        }
    }
    Ok(without)
}

fn newest_first<'a>(
    task: &'a Task,
    history: &'a [Message],
) -> impl Iterator<Item = Result<JsonText, ConvertError>> + 'a {
    history
        .iter()
        .rev()
        .map(|message| cut_to_fit(task, message))
}

/// Moves up to `count` messages into `kept` while there is room. `false` when one had none: no
/// older one may follow then, for a history with a hole misleads.
fn take(
    messages: &mut impl Iterator<Item = Result<JsonText, ConvertError>>,
    kept: &mut Vec<JsonText>,
    room: &mut usize,
    count: usize,
) -> Result<bool, ConvertError> {
    for message in messages.take(count) {
        let message = message?;
        let cost = message.as_str().len() + 1;
        if cost > *room {
            return Ok(false);
        }
        *room -= cost;
        kept.push(message);
    }
    Ok(true)
}

/// The message, its long parts cut.
fn cut_to_fit(task: &Task, message: &Message) -> Result<JsonText, ConvertError> {
    let whole = convert::message(task, message)?;
    if whole.as_str().len() <= MESSAGE_BYTES {
        return Ok(whole);
    }
    let metadata = message.metadata.clone();
    let cut = Message {
        parts: message.parts.iter().map(cut_part).collect(),
        metadata: metadata.filter(|data| data.as_str().len() <= METADATA_BYTES / 4),
        ..message.clone()
    };
    let shorter = convert::message(task, &cut)?;
    if shorter.as_str().len() <= CUT_BYTES {
        return Ok(shorter);
    }
    // Many parts, or texts that JSON blows up: the start of the first one says what it is about.
    let start: String = message.joined_text().chars().take(CUT_CHARS / 2).collect();
    let start = format!(
        "{start}… [the rest of {} parts left out]",
        message.parts.len()
    );
    let start = Message {
        metadata: None,
        ..Message::text(message.message_id.clone(), message.role, start)
    };
    convert::message(task, &start)
}

fn cut_part(part: &Part) -> Part {
    let content = match &part.content {
        Content::Text(text) => Content::Text(cut_text(text)),
        Content::Data(data) if data.as_str().len() > MESSAGE_BYTES / 2 => {
            Content::Text(format!("[{} bytes of data left out]", data.as_str().len()))
        }
        Content::Url(url) => Content::Url(cut_text(url)),
        Content::Raw(raw) => Content::Text(format!("[{} bytes of base64 left out]", raw.len())),
        Content::Data(data) => Content::Data(data.clone()),
    };
    let metadata = part.metadata.clone();
    Part {
        content,
        media_type: part.media_type.clone(),
        filename: part.filename.as_deref().map(cut_text),
        metadata: metadata.filter(|data| data.as_str().len() <= METADATA_BYTES / 4),
    }
}

fn cut_text(text: &str) -> String {
    let Some((end, _)) = text.char_indices().nth(CUT_CHARS) else {
        return text.to_owned();
    };
    let rest = text.chars().count() - CUT_CHARS;
    format!(
        "{}… [{rest} more characters]",
        text.get(..end).unwrap_or_default()
    )
}

fn size(list: &[JsonText]) -> usize {
    list.iter().map(|one| one.as_str().len() + 1).sum()
}

#[cfg(test)]
mod tests;
