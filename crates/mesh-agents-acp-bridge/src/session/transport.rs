//! The line between bridge and harness: bounded lines, junk filtered, everything logged.

use std::borrow::Cow;
use std::io;
use std::sync::Arc;

use futures::{Sink, Stream};
use mesh_agents_core::run::RunEvent;
use mesh_agents_core::task::Failure;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWriteExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;

use super::feed::Feed;
use crate::logs::From;

/// Longest line taken from a harness. The longest seen was 134 KiB; an image in base64 fits.
const LINE_BYTES: usize = 32 * 1024 * 1024;
/// Requests and answers that wait for the SDK; it takes them at once.
const WAITING: usize = 16;

/// The harness's requests and answers, for the SDK.
#[derive(Debug)]
pub(crate) struct Incoming(mpsc::Receiver<String>);

impl Incoming {
    /// The two ends.
    pub(crate) fn channel() -> (mpsc::Sender<String>, Self) {
        let (sender, receiver) = mpsc::channel(WAITING);
        (sender, Self(receiver))
    }

    pub(super) fn into_stream(self) -> impl Stream<Item = io::Result<String>> + Send {
        futures::stream::unfold(self.0, |mut lines| async move {
            let line = lines.recv().await?;
            Some((Ok(line), lines))
        })
    }
}

/// Reads the harness's stdout to its end, also after nobody listens any more: a harness must be
/// able to say goodbye. Notifications go to the feed, the rest to `lines`.
pub(crate) async fn read_lines(
    stdout: pipe::Receiver,
    feed: Arc<Feed>,
    lines: mpsc::Sender<String>,
) {
    let mut stdout = BufReader::with_capacity(64 * 1024, stdout);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        match read_line(&mut stdout, &mut bytes).await {
            Ok(true) => take_line(&bytes, &feed, &lines).await,
            Ok(false) => return,
            Err(error) => {
                feed.set_fatal(Failure::new(
                    "acp_line_too_long",
                    format!("the harness's output cannot be followed: {error}"),
                ));
                break;
            }
        }
    }
    // The line is closed for the SDK, and the pipe kept empty so that the harness does not block.
    drop(lines);
    let _ = tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await;
}

/// Reads up to the next newline or the end. `false` when there was nothing more.
async fn read_line<R: AsyncRead + Unpin>(
    source: &mut BufReader<R>,
    line: &mut Vec<u8>,
) -> io::Result<bool> {
    loop {
        // A pipe that breaks is a pipe that ended.
        let piece = source.fill_buf().await.unwrap_or_default();
        if piece.is_empty() {
            return Ok(!line.is_empty());
        }
        let newline = piece.iter().position(|byte| *byte == b'\n');
        let taken = newline.map_or(piece.len(), |at| at + 1);
        line.extend_from_slice(piece.get(..taken).unwrap_or_default());
        source.consume(taken);
        if line.len() > LINE_BYTES {
            let limit = LINE_BYTES / (1024 * 1024);
            return Err(io::Error::other(format!(
                "a line is longer than {limit} MiB"
            )));
        }
        if newline.is_some() {
            return Ok(true);
        }
    }
}

/// As much of a message as it takes to know where it goes.
#[derive(Debug, Deserialize)]
struct Envelope<'a> {
    #[serde(borrow, default)]
    method: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

async fn take_line(bytes: &[u8], feed: &Feed, lines: &mpsc::Sender<String>) {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim();
    if text.is_empty() {
        return;
    }
    let message = text
        .starts_with('{')
        .then(|| serde_json::from_str::<Envelope<'_>>(text).ok())
        .flatten();
    feed.log().write(From::Harness, text, message.is_some());
    let Some(message) = message else {
        feed.junk_line();
        return;
    };
    match (message.method.as_deref(), message.id) {
        (Some("session/update"), None) => {
            let params = message
                .params
                .map(|params| serde_json::from_str(params.get()));
            feed.update(&params.and_then(Result::ok).unwrap_or_default())
                .await;
        }
        // The SDK knows which of its requests is meant.
        (Some(method), None) if method != "$/cancel_request" => {
            feed.emit(RunEvent::Activity).await;
        }
        // Nobody listens once the session is over; what still comes is only logged.
        _ => {
            let _ = lines.send(text.to_owned()).await;
        }
    }
}

/// Writes lines to the harness's stdin and the log. Dropping it closes stdin.
///
/// It never fails: a harness that closed its stdin is gone, which is for the processes to explain,
/// and not an error of the SDK's that looks like one of the harness's.
pub(super) fn sink(
    stdin: pipe::Sender,
    feed: Arc<Feed>,
) -> impl Sink<String, Error = io::Error> + Send + 'static {
    futures::sink::unfold(stdin, move |mut stdin, line: String| {
        let feed = Arc::clone(&feed);
        async move {
            feed.log().write(From::Us, &line, true);
            let mut bytes = line.into_bytes();
            bytes.push(b'\n');
            if stdin.write_all(&bytes).await.is_err() {
                feed.end();
            }
            Ok(stdin)
        }
    })
}
