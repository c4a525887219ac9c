//! What the artifacts of a remote agent are called here, and of what type they are.

use mesh_agents_core::ids::ArtifactId;

/// What a part holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    Data,
    Raw,
    Url,
}

/// Longest id made from a remote's name, in bytes: room is left for a number.
const NAME_BYTES: usize = 200;
/// Most names tried before giving up.
const TRIES: usize = 1000;

/// The name an artifact should have: the one that says most about what it holds.
pub(super) fn wanted(id: &str, file: Option<&str>, title: Option<&str>) -> String {
    let named = [Some(id), file, title]
        .into_iter()
        .flatten()
        .find(|name| has_extension(name));
    clean(named.or(file).unwrap_or(id))
}

/// Whether a name looks like that of a file: `report.md`, not `v1.0 of it` or `3.14`.
pub(super) fn has_extension(name: &str) -> bool {
    name.rsplit(['/', '\\'])
        .next()
        .and_then(|last| last.rsplit_once('.'))
        .is_some_and(|(stem, extension)| {
            !stem.is_empty()
                && (1..=8).contains(&extension.len())
                && extension.bytes().all(|b| b.is_ascii_alphanumeric())
                && extension.bytes().any(|b| b.is_ascii_alphabetic())
        })
}

/// A relative path out of whatever a remote calls a thing.
fn clean(name: &str) -> String {
    let parts = name.split(['/', '\\']).filter_map(|part| {
        let part: String = part
            .chars()
            .map(|c| if c.is_control() { '_' } else { c })
            .collect();
        let part = part.trim();
        (!matches!(part, "" | "." | "..")).then(|| part.to_owned())
    });
    let mut path = parts.collect::<Vec<_>>().join("/");
    if path.len() > NAME_BYTES {
        // The end holds the extension.
        let mut from = path.len() - NAME_BYTES;
        while !path.is_char_boundary(from) {
            from += 1;
        }
        path = path.split_off(from).trim_start_matches('/').to_owned();
    }
    if path.is_empty() {
        "artifact".to_owned()
    } else {
        path
    }
}

/// The first id like `wanted` that is neither reserved nor `taken`.
pub(super) fn free(wanted: &str, taken: impl Fn(&ArtifactId) -> bool) -> Option<ArtifactId> {
    let (stem, extension) = match wanted.rsplit_once('.') {
        Some((stem, extension)) if has_extension(wanted) => (stem, format!(".{extension}")),
        _ => (wanted, String::new()),
    };
    let numbered = (2..TRIES).map(|number| format!("{stem}-{number}{extension}"));
    std::iter::once(wanted.to_owned())
        .chain(numbered)
        .filter_map(|name| name.parse::<ArtifactId>().ok())
        .find(|id| id.as_str() != ArtifactId::RESPONSE && !taken(id))
}

/// The media type: the remote's word where it is one, else by extension and kind.
pub(super) fn media_type(told: Option<&str>, id: &ArtifactId, kind: Kind) -> String {
    let valid = |text: &&str| {
        (3..=127).contains(&text.len())
            && text.contains('/')
            && text.bytes().all(|b| b == b' ' || b.is_ascii_graphic())
    };
    if let Some(told) = told.map(str::trim).filter(valid) {
        return told.to_owned();
    }
    let by_extension = match id.extension().as_deref() {
        Some("md" | "markdown") => Some("text/markdown"),
        Some("json") => Some("application/json"),
        Some("html" | "htm") => Some("text/html"),
        Some("csv") => Some("text/csv"),
        Some("png") => Some("image/png"),
        Some("jpg" | "jpeg") => Some("image/jpeg"),
        Some("svg") => Some("image/svg+xml"),
        Some("pdf") => Some("application/pdf"),
        _ => None,
    };
    let by_kind = match kind {
        Kind::Text => by_extension.unwrap_or("text/plain"),
        Kind::Data => "application/json",
        Kind::Raw => by_extension.unwrap_or("application/octet-stream"),
        Kind::Url => "text/uri-list",
    };
    by_kind.to_owned()
}
