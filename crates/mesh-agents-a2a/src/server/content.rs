//! The bytes of one artifact: `GET <agent>/tasks/<task>/artifacts/<artifact>`, in ranges (RFC 9110 §14).
//!
//! This is what a part with a URL leads to. Whoever may read the task may read it, by the same function. The
//! bytes are whatever an agent wrote, so a browser is told to save them and to run nothing of them.

use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use bytes::Bytes;
use futures::stream;
use mesh_agents_core::agent::AgentDefinition;
use mesh_agents_core::ids::{ArtifactId, TaskId};
use mesh_agents_core::policy::Caller;
use mesh_agents_core::task::Task;
use mesh_agents_tasks::ContentFile;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _, SeekFrom};

use super::error::{Fault, Kind};
use super::{A2aServer, Incoming, rest};
use crate::card::agent_url;

/// Read and sent in pieces of this size: an artifact never sits in memory whole.
const PIECE: usize = 64 * 1024;
/// How long a reader waits for a content that is fetched from another node first. One that takes longer is
/// told how far it is, and goes on being fetched.
const PATIENCE: Duration = Duration::from_secs(120);
/// A reader that was told to come again waits so long, in seconds.
const COME_AGAIN: &str = "10";

/// Where the content of an artifact is read, at the server `base`.
pub(super) fn url(base: &str, task: &Task, artifact: &ArtifactId) -> String {
    let agent = agent_url(base, &task.agent_id);
    let mut url = format!("{agent}/tasks/{}/artifacts/", task.id);
    for byte in artifact.as_str().bytes() {
        match byte {
            b'/' | b'-' | b'.' | b'_' | b'~' => url.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => url.push(char::from(byte)),
            _ => url.push_str(&format!("%{byte:02X}")),
        }
    }
    url
}

/// The task and the artifact a path below an agent names.
pub(super) fn named(path: &str) -> Option<(&str, &str)> {
    let (task, artifact) = path.strip_prefix("tasks/")?.split_once('/')?;
    Some((task, artifact.strip_prefix("artifacts/")?))
}

/// Takes a request for the bytes of an artifact.
pub(super) async fn serve(incoming: Incoming, task: &str, artifact: &str) -> Response {
    let Incoming {
        server,
        agent,
        parts,
        // Nobody reads it.
        body: _,
    } = incoming;
    if parts.method != Method::GET {
        let text = format!("an artifact takes GET, not {}", parts.method);
        return rest::fault(Fault::new(Kind::MethodNotAllowed, text), Some("GET"));
    }
    let file = match open(&server, &agent, &parts, task, artifact).await {
        Ok(file) => file,
        Err(fault) => {
            let later = fault.kind == Kind::Unavailable;
            let mut response = rest::fault(fault, None);
            if later {
                let after = HeaderValue::from_static(COME_AGAIN);
                response.headers_mut().insert(header::RETRY_AFTER, after);
            }
            return response;
        }
    };
    let tag = format!("\"{}\"", file.info.sha256);
    match range(&parts.headers, &tag, file.bytes) {
        Asked::Whole => respond(file, &tag, None).await,
        Asked::Part(first, last) => respond(file, &tag, Some((first, last))).await,
        Asked::PastEnd => {
            let text = format!("the artifact has {} bytes", file.bytes);
            let mut response = rest::fault(Fault::new(Kind::PastEnd, text), None);
            let length = format!("bytes */{}", file.bytes);
            insert(response.headers_mut(), header::CONTENT_RANGE, &length);
            response
        }
    }
}

/// The content, if the caller may read the task.
async fn open(
    server: &A2aServer,
    agent: &AgentDefinition,
    parts: &Parts,
    task: &str,
    artifact: &str,
) -> Result<ContentFile, Fault> {
    let engine = &server.engine;
    let caller = parts.extensions.get::<Caller>();
    let caller = caller.ok_or_else(|| Fault::new(Kind::Unauthenticated, super::NOBODY))?;
    let id: TaskId = task.parse().map_err(|_| Fault::no_task(task))?;
    let found = engine.task(caller, &id).await?;
    if found.agent_id != agent.id {
        return Err(Fault::no_task(task));
    }
    let artifact: ArtifactId = artifact
        .parse()
        .map_err(|error| Fault::new(Kind::NoSuchArtifact, format!("{error}")))?;
    Ok(engine
        .open_content(caller, &id, &artifact, PATIENCE)
        .await?)
}

/// What of it is asked for; first and last byte of a part.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Whole,
    Part(u64, u64),
    PastEnd,
}

/// One range of bytes is heeded. Several, or what is no range, is answered with the whole (RFC 9110 §14.2),
/// and so is a range of another content than this one (`If-Range`).
fn range(headers: &HeaderMap, tag: &str, length: u64) -> Asked {
    let of_this = headers
        .get(header::IF_RANGE)
        .is_none_or(|only| only.as_bytes() == tag.as_bytes());
    let asked = headers.get(header::RANGE).and_then(|one| one.to_str().ok());
    let Some(asked) = asked.filter(|_| of_this) else {
        return Asked::Whole;
    };
    let Some((first, last)) = asked.strip_prefix("bytes=").and_then(|r| r.split_once('-')) else {
        return Asked::Whole;
    };
    let number = |text: &str| text.parse::<u64>().ok().filter(|_| !text.starts_with('+'));
    let end = length.saturating_sub(1);
    let part = match (number(first), number(last)) {
        (Some(first), Some(last)) if first <= last => (first, last.min(end)),
        (Some(first), None) if last.is_empty() => (first, end),
        (None, Some(tail)) if first.is_empty() && tail > 0 => (length.saturating_sub(tail), end),
        (None, Some(0)) if first.is_empty() => return Asked::PastEnd,
        _ => return Asked::Whole,
    };
    if part.0 >= length {
        return Asked::PastEnd;
    }
    Asked::Part(part.0, part.1)
}

async fn respond(file: ContentFile, tag: &str, part: Option<(u64, u64)>) -> Response {
    let length = file.bytes;
    let (first, left) = match part {
        Some((first, last)) => (first, last - first + 1),
        None => (0, length),
    };
    let mut open = file.file;
    if let Err(error) = open.seek(SeekFrom::Start(first)).await {
        let text = format!("the artifact cannot be read: {error}");
        return rest::fault(Fault::new(Kind::Unavailable, text), None);
    }
    let mut response = Response::new(pieces(open, left));
    let headers = response.headers_mut();
    insert(headers, header::CONTENT_LENGTH, &left.to_string());
    insert(headers, header::CONTENT_TYPE, &file.info.media_type);
    insert(headers, header::ETAG, tag);
    insert(headers, header::ACCEPT_RANGES, "bytes");
    insert(headers, header::CACHE_CONTROL, "private, no-cache");
    insert(headers, header::CONTENT_DISPOSITION, "attachment");
    insert(headers, header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    let no_page = "default-src 'none'; sandbox";
    insert(headers, header::CONTENT_SECURITY_POLICY, no_page);
    if let Some((first, last)) = part {
        let range = format!("bytes {first}-{last}/{length}");
        insert(headers, header::CONTENT_RANGE, &range);
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

/// A value that is no header (a media type somebody made up) is left out.
fn insert(headers: &mut HeaderMap, name: header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// The next `left` bytes of a file. One that is shorter breaks the answer off: its length was told.
fn pieces(file: File, left: u64) -> Body {
    let pieces = stream::unfold((file, left), |(mut file, left)| async move {
        if left == 0 {
            return None;
        }
        let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let mut piece = vec![0; most];
        let read = match file.read(&mut piece).await {
            Ok(0) => Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
            other => other,
        };
        Some(match read {
            Ok(read) => {
                piece.truncate(read);
                (Ok(Bytes::from(piece)), (file, left - read as u64))
            }
            Err(error) => (Err(error), (file, 0)),
        })
    });
    Body::from_stream(pieces)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(range: &str, only: Option<&str>, length: u64) -> Asked {
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, range.parse().unwrap());
        if let Some(only) = only {
            headers.insert(header::IF_RANGE, only.parse().unwrap());
        }
        super::range(&headers, "\"x\"", length)
    }

    #[test]
    fn one_range_is_heeded_and_what_is_none_means_the_whole() {
        for (range, means) in [
            ("bytes=0-", Asked::Part(0, 9)),
            ("bytes=4-", Asked::Part(4, 9)),
            ("bytes=4-6", Asked::Part(4, 6)),
            ("bytes=4-400", Asked::Part(4, 9)),
            ("bytes=-3", Asked::Part(7, 9)),
            ("bytes=-30", Asked::Part(0, 9)),
            ("bytes=9-9", Asked::Part(9, 9)),
            ("bytes=10-", Asked::PastEnd),
            ("bytes=-0", Asked::PastEnd),
            ("bytes=6-4", Asked::Whole),
            ("bytes=0-1,3-4", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("bytes=a-", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("lines=1-2", Asked::Whole),
            ("bytes=99999999999999999999-", Asked::Whole),
        ] {
            assert_eq!(asked(range, None, 10), means, "{range}");
        }
        assert_eq!(asked("bytes=0-", None, 0), Asked::PastEnd);
        assert_eq!(asked("bytes=4-", Some("\"x\""), 10), Asked::Part(4, 9));
        assert_eq!(asked("bytes=4-", Some("\"y\""), 10), Asked::Whole);
    }

    #[test]
    fn a_path_names_a_task_and_all_that_follows_names_the_artifact() {
        assert_eq!(named("tasks/t/artifacts/a/b.md"), Some(("t", "a/b.md")));
        assert_eq!(named("tasks/t/artifacts"), None);
        assert_eq!(named("tasks/t"), None);
        assert_eq!(named("message:send"), None);
    }
}
