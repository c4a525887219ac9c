//! What a remote agent delivers: the streamed answer, and artifacts gathered until its task ends.

mod name;

use a2a::{Artifact, Part, PartContent};
use mesh_agents_core::ids::ArtifactId;
use mesh_agents_core::limits::{ARTIFACT_BYTES, ARTIFACTS_PER_TASK};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::fault::words;

/// Most bytes of artifacts held for one run; they are handed on when the remote task has ended.
const HELD_BYTES: usize = 64 * 1024 * 1024;
/// Reasons for things left out that are kept; more would say the same again.
const SKIPPED: usize = 20;

/// What has come so far.
#[derive(Debug, Default)]
pub(crate) struct Results {
    /// The remote artifact whose text is passed on as it comes.
    answer: Option<String>,
    /// What was passed on of it.
    said: String,
    /// So many bytes of the end of it come again.
    again: usize,
    pieces: Vec<Piece>,
    /// One sentence for each thing left out.
    skipped: Vec<String>,
    /// Whether they come from a node, which names digests.
    of_node: bool,
    /// Pieces may be of an attempt that its node has given up.
    doubted: bool,
}

/// One artifact of ours: a part of one of the remote's, or several parts of text that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Its id.
    pub(crate) id: ArtifactId,
    /// Its media type.
    pub(crate) media_type: String,
    /// Its content.
    pub(crate) content: Held,
    /// The remote artifact it is of.
    pub(crate) owner: String,
    /// Text that more text may follow.
    open: bool,
}

/// What came of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Held {
    /// All of it.
    Here(Vec<u8>),
    /// What its node says of it.
    There {
        /// SHA-256, hex.
        sha256: String,
        /// Its length.
        bytes: u64,
    },
}

impl Held {
    /// Bytes of memory.
    fn held(&self) -> usize {
        match self {
            Self::Here(content) => content.len(),
            Self::There { .. } => 0,
        }
    }

    /// Bytes there are.
    fn bytes(&self) -> u64 {
        match self {
            Self::Here(content) => content.len() as u64,
            Self::There { bytes, .. } => *bytes,
        }
    }
}

impl Results {
    /// Results that go on from a text that was passed on by an earlier run, of which so many bytes will come again
    /// as pieces to be appended.
    pub(crate) fn going_on(said: String, again: usize, of_node: bool) -> Self {
        Self {
            said,
            again,
            of_node,
            ..Self::default()
        }
    }

    /// Takes all artifacts of a task as it stands. The text to pass on.
    pub(crate) fn snapshot(&mut self, artifacts: Vec<Artifact>) -> String {
        // Behind the whole comes what is not in it.
        self.again = 0;
        self.doubted = false;
        if self.of_node {
            // A node tells all there is; what is not among it was of an attempt that it gave up.
            let told = |piece: &Piece| artifacts.iter().any(|one| one.artifact_id == piece.owner);
            self.pieces.retain(told);
        }
        if self.answer.is_none() {
            // Where one is named so, it is the answer, whatever comes before it.
            let named = artifacts
                .iter()
                .find(|one| one.artifact_id == ArtifactId::RESPONSE && is_plain_text(one));
            self.answer = named.map(|one| one.artifact_id.clone());
        }
        artifacts
            .into_iter()
            .map(|one| self.update(one, false))
            .collect()
    }

    /// Takes one artifact, or more of one. The text to pass on.
    pub(crate) fn update(&mut self, artifact: Artifact, append: bool) -> String {
        if self.answer.is_none() && is_plain_text(&artifact) {
            self.answer = Some(artifact.artifact_id.clone());
        }
        if self.answer.as_deref() == Some(artifact.artifact_id.as_str())
            && let Some(more) = self.more_of_answer(&artifact, append)
        {
            self.said.push_str(&more);
            return more;
        }
        // An answer that was written anew, or holds more than text, is kept like a file: what was
        // passed on cannot be taken back.
        self.gather(artifact, append);
        String::new()
    }

    /// What is new in the answer; `None` when it no longer goes on from what was passed on.
    fn more_of_answer(&mut self, artifact: &Artifact, append: bool) -> Option<String> {
        let gathered = self.pieces.iter().any(|p| p.owner == artifact.artifact_id);
        if gathered {
            return None;
        }
        let texts: Option<Vec<&str>> = artifact.parts.iter().map(Part::as_text).collect();
        let text = texts?.concat();
        if append {
            let again = self.again.min(text.len());
            let there = &self.said.as_bytes()[self.said.len() - self.again..];
            if there[..again] != text.as_bytes()[..again] {
                return None;
            }
            let new = text.get(again..)?;
            self.again -= again;
            return Some(new.to_owned());
        }
        if self.said.starts_with(&text) {
            return Some(String::new());
        }
        text.strip_prefix(&self.said).map(str::to_owned)
    }

    /// Keeps an artifact, or more of one, until the end.
    pub(crate) fn gather(&mut self, artifact: Artifact, append: bool) {
        let owner = artifact.artifact_id.clone();
        let told = match self.of_node {
            true => verified(&artifact),
            false => Told::Here,
        };
        // What was seen before stays where nothing takes its place.
        match told {
            Told::Here => {}
            Told::There { sha256, bytes } => return self.there(artifact, sha256, bytes),
            Told::LeftOut if self.pieces.iter().any(|one| one.owner == owner) => return,
            Told::LeftOut => {
                return self.skip(&owner, "was left out by its node, and was not kept");
            }
            Told::Wrong(why) => return self.skip(&owner, why),
        }
        if !append {
            self.pieces.retain(|one| one.owner != owner);
        }
        for part in artifact.parts {
            self.part(&owner, artifact.name.as_deref(), part);
        }
    }

    /// Whether the content with this digest came already, as the whole of that artifact.
    fn held(&self, owner: &str, sha256: &str) -> bool {
        let mut pieces = self.pieces.iter().filter(|one| one.owner == owner);
        match (pieces.next().map(|one| &one.content), pieces.next()) {
            (Some(Held::Here(content)), None) => digest(content) == sha256,
            _ => false,
        }
    }

    /// Keeps what a node says of an artifact whose content stays there.
    fn there(&mut self, artifact: Artifact, sha256: String, bytes: u64) {
        let owner = artifact.artifact_id;
        if self.held(&owner, &sha256) {
            return;
        }
        self.pieces.retain(|one| one.owner != owner);
        let Some(id) = self.id(&owner, None, None) else {
            return;
        };
        let media_type = artifact.parts.into_iter().next();
        let media_type = media_type.and_then(|part| part.media_type);
        self.pieces.push(Piece {
            media_type: name::media_type(media_type.as_deref(), &id, name::Kind::Raw),
            id,
            content: Held::There { sha256, bytes },
            owner,
            open: false,
        });
    }

    /// What the next piece is called; `None` where there is no room for one, which is noted.
    fn id(&mut self, owner: &str, file: Option<&str>, title: Option<&str>) -> Option<ArtifactId> {
        if self.pieces.len() >= ARTIFACTS_PER_TASK {
            let why =
                format!("is one too many: a task keeps at most {ARTIFACTS_PER_TASK} artifacts");
            self.skip(owner, &why);
            return None;
        }
        let wanted = name::wanted(owner, file, title);
        let id = name::free(&wanted, |id| self.pieces.iter().any(|one| one.id == *id));
        if id.is_none() {
            self.skip(owner, "has no name that could be kept");
        }
        id
    }

    fn part(&mut self, owner: &str, title: Option<&str>, part: Part) {
        let (kind, content) = match part.content {
            PartContent::Text(text) => (name::Kind::Text, text.into_bytes()),
            PartContent::Raw(bytes) => (name::Kind::Raw, bytes),
            PartContent::Url(url) => (name::Kind::Url, url.into_bytes()),
            PartContent::Data(data) => match serde_json::to_vec(&data) {
                Ok(json) => (name::Kind::Data, json),
                Err(error) => return self.skip(owner, &error.to_string()),
            },
        };
        let held: usize = self.pieces.iter().map(|one| one.content.held()).sum();
        if held + content.len() > HELD_BYTES {
            let limit = HELD_BYTES / (1024 * 1024);
            return self.skip(
                owner,
                &format!("is beyond the {limit} MiB kept of one remote task"),
            );
        }
        let file = part.filename.as_deref();
        let last = self.pieces.last_mut().filter(|last| {
            last.open && kind == name::Kind::Text && last.owner == owner && file.is_none()
        });
        if let Some(Held::Here(last)) = last.map(|last| &mut last.content) {
            last.extend_from_slice(&content);
            return;
        }
        let Some(id) = self.id(owner, file, title) else {
            return;
        };
        self.pieces.push(Piece {
            media_type: name::media_type(part.media_type.as_deref(), &id, kind),
            id,
            content: Held::Here(content),
            owner: owner.to_owned(),
            open: kind == name::Kind::Text,
        });
    }

    fn skip(&mut self, artifact: &str, why: &str) {
        if self.skipped.len() < SKIPPED {
            self.skipped.push(format!("{} {why}", words(artifact)));
        }
    }

    /// Its node begins the task anew, or goes on with it. A stream does not say which of them, nor that what an
    /// attempt left is gone; the task as it stands shows it.
    pub(crate) fn doubt(&mut self) {
        self.doubted |= self.of_node && !self.pieces.is_empty();
    }

    /// Whether it needs to be seen which pieces are the task's.
    pub(crate) fn is_doubted(&self) -> bool {
        self.doubted
    }

    /// Whether nothing but the streamed text has come.
    pub(crate) fn is_text_alone(&self) -> bool {
        self.pieces.is_empty() && self.skipped.is_empty()
    }

    /// The text passed on so far.
    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    /// All that was gathered, and what was left out and why.
    pub(crate) fn finish(mut self) -> (Vec<Piece>, Vec<String>) {
        let (kept, large) = std::mem::take(&mut self.pieces)
            .into_iter()
            .partition(|one| one.content.bytes() <= ARTIFACT_BYTES);
        let large: Vec<Piece> = large;
        for piece in &large {
            let limit = ARTIFACT_BYTES / (1024 * 1024);
            self.skip(
                piece.id.as_str(),
                &format!(
                    "has {} bytes; at most {limit} MiB are kept",
                    piece.content.bytes()
                ),
            );
        }
        (kept, self.skipped)
    }

    /// The answer, where it was written anew behind what was passed on.
    pub(crate) fn answer_anew(&self) -> Option<&str> {
        let answer = self.answer.as_deref()?;
        let anew = self.pieces.iter().find(|one| one.owner == answer)?;
        match &anew.content {
            Held::Here(content) => std::str::from_utf8(content).ok(),
            Held::There { .. } => None,
        }
    }

    /// The text of the only text there is besides the streamed answer.
    pub(crate) fn only_text(&self) -> Option<&str> {
        let text = |one: &&Piece| one.open && !crate::convert::is_json(&one.media_type);
        let mut texts = self.pieces.iter().filter(text);
        let only = texts.next().filter(|_| texts.next().is_none())?;
        match &only.content {
            Held::Here(content) => std::str::from_utf8(content).ok(),
            Held::There { .. } => None,
        }
    }
}

/// What a node says of an artifact.
enum Told {
    /// The content comes with it, and is what the node says it is.
    Here,
    /// The content stays there.
    There {
        /// SHA-256, hex.
        sha256: String,
        /// Its length.
        bytes: u64,
    },
    /// The content did not fit the answer.
    LeftOut,
    /// What came cannot be right, because …
    Wrong(&'static str),
}

/// What a node says of an artifact, held against what came.
fn verified(artifact: &Artifact) -> Told {
    let told = |key: &str| artifact.metadata.as_ref()?.get(key);
    if told("left_out").and_then(Value::as_bool) == Some(true) {
        return Told::LeftOut;
    }
    let Some(wanted) = told("sha256").and_then(Value::as_str) else {
        return Told::Here;
    };
    if let [part] = artifact.parts.as_slice()
        && let PartContent::Url(_) = &part.content
    {
        // The URL says nothing that is believed: it is asked for by its name, at the node that named it.
        let bytes = told("bytes").and_then(Value::as_u64);
        return match bytes.filter(|_| is_digest(wanted)) {
            Some(bytes) => Told::There {
                sha256: wanted.to_owned(),
                bytes,
            },
            None => Told::Wrong("was left with its node, which does not say what it is"),
        };
    }
    let bytes = match artifact.parts.as_slice() {
        [part] => match &part.content {
            PartContent::Text(text) => text.as_bytes(),
            PartContent::Raw(bytes) => bytes,
            PartContent::Url(_) | PartContent::Data(_) => &[],
        },
        _ => &[],
    };
    match digest(bytes) == wanted {
        true => Told::Here,
        false => Told::Wrong("has another digest than its node says, and was not kept"),
    }
}

fn digest(bytes: &[u8]) -> String {
    format!("{:x}", Sha256::digest(bytes))
}

/// Whether a text is a SHA-256 as this node writes it.
fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

/// Whether an artifact is text a person reads as it comes, not a file.
fn is_plain_text(artifact: &Artifact) -> bool {
    let text = |part: &Part| {
        let media = part.media_type.as_deref().unwrap_or("text/plain");
        part.as_text().is_some()
            && part.filename.is_none()
            && matches!(media, "text/plain" | "text/markdown" | "text")
    };
    let file = |name: &str| name::has_extension(name);
    !artifact.parts.is_empty()
        && artifact.parts.iter().all(text)
        && !file(&artifact.artifact_id)
        && !artifact.name.as_deref().is_some_and(file)
}

#[cfg(test)]
mod tests;
