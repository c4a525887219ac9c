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
    pieces: Vec<Piece>,
    /// One sentence for each thing left out.
    skipped: Vec<String>,
    /// Whether they come from a node, which names digests.
    of_node: bool,
}

/// One artifact of ours: a part of one of the remote's, or several parts of text that belong together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Its id.
    pub(crate) id: ArtifactId,
    /// Its media type.
    pub(crate) media_type: String,
    /// Its content.
    pub(crate) content: Vec<u8>,
    /// The remote artifact it is of.
    owner: String,
    /// Text that more text may follow.
    open: bool,
}

impl Results {
    /// Results that go on from a text that was passed on by an earlier run.
    pub(crate) fn going_on(said: String, of_node: bool) -> Self {
        Self {
            said,
            of_node,
            ..Self::default()
        }
    }

    /// Takes all artifacts of a task as it stands. The text to pass on.
    pub(crate) fn snapshot(&mut self, artifacts: Vec<Artifact>) -> String {
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
    fn more_of_answer(&self, artifact: &Artifact, append: bool) -> Option<String> {
        let gathered = self.pieces.iter().any(|p| p.owner == artifact.artifact_id);
        if gathered {
            return None;
        }
        let texts: Option<Vec<&str>> = artifact.parts.iter().map(Part::as_text).collect();
        let text = texts?.concat();
        if append {
            return Some(text);
        }
        if self.said.starts_with(&text) {
            return Some(String::new());
        }
        text.strip_prefix(&self.said).map(str::to_owned)
    }

    /// Keeps an artifact, or more of one, until the end.
    pub(crate) fn gather(&mut self, artifact: Artifact, append: bool) {
        if !append {
            self.pieces.retain(|one| one.owner != artifact.artifact_id);
        }
        let owner = artifact.artifact_id.clone();
        if self.of_node
            && let Err(why) = verified(&artifact)
        {
            return self.skip(&owner, why);
        }
        for part in artifact.parts {
            self.part(&owner, artifact.name.as_deref(), part);
        }
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
        let held: usize = self.pieces.iter().map(|one| one.content.len()).sum();
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
        if let Some(last) = last {
            last.content.extend_from_slice(&content);
            return;
        }
        if self.pieces.len() >= ARTIFACTS_PER_TASK {
            return self.skip(
                owner,
                &format!("is one too many: a task keeps at most {ARTIFACTS_PER_TASK} artifacts"),
            );
        }
        let wanted = name::wanted(owner, file, title);
        let id = name::free(&wanted, |id| self.pieces.iter().any(|one| one.id == *id));
        let Some(id) = id else {
            return self.skip(owner, "has no name that could be kept");
        };
        self.pieces.push(Piece {
            media_type: name::media_type(part.media_type.as_deref(), &id, kind),
            id,
            content,
            owner: owner.to_owned(),
            open: kind == name::Kind::Text,
        });
    }

    fn skip(&mut self, artifact: &str, why: &str) {
        if self.skipped.len() < SKIPPED {
            self.skipped.push(format!("{} {why}", words(artifact)));
        }
    }

    /// The text passed on so far.
    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    /// All that was gathered, and what was left out and why.
    pub(crate) fn finish(mut self) -> (Vec<Piece>, Vec<String>) {
        let limit = usize::try_from(ARTIFACT_BYTES).unwrap_or(usize::MAX);
        let (kept, large) = std::mem::take(&mut self.pieces)
            .into_iter()
            .partition(|one| one.content.len() <= limit);
        let large: Vec<Piece> = large;
        for piece in &large {
            let limit = limit / (1024 * 1024);
            self.skip(
                piece.id.as_str(),
                &format!(
                    "has {} bytes; at most {limit} MiB are kept",
                    piece.content.len()
                ),
            );
        }
        (kept, self.skipped)
    }

    /// The text of the only text there is besides the streamed answer.
    pub(crate) fn only_text(&self) -> Option<&str> {
        let text = |one: &&Piece| one.open && !crate::convert::is_json(&one.media_type);
        let mut texts = self.pieces.iter().filter(text);
        let only = texts.next().filter(|_| texts.next().is_none())?;
        std::str::from_utf8(&only.content).ok()
    }
}

/// Whether an artifact of a node is what that node says it is.
fn verified(artifact: &Artifact) -> Result<(), &'static str> {
    let told = |key: &str| artifact.metadata.as_ref()?.get(key);
    if told("left_out").and_then(Value::as_bool) == Some(true) {
        return Err("was left out by its node, and was not kept");
    }
    let Some(wanted) = told("sha256").and_then(Value::as_str) else {
        return Ok(());
    };
    let bytes = match artifact.parts.as_slice() {
        [part] => match &part.content {
            PartContent::Text(text) => text.as_bytes(),
            PartContent::Raw(bytes) => bytes,
            PartContent::Url(_) | PartContent::Data(_) => &[],
        },
        _ => &[],
    };
    match format!("{:x}", Sha256::digest(bytes)) == wanted {
        true => Ok(()),
        false => Err("has another digest than its node says, and was not kept"),
    }
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
