//! The agent's stdio: one writer for the SDK's messages and for whatever else a script wants on stdout, in order.
//!
//! The SDK's own `Stdio` would do for a well-behaved agent; junk, over-long lines and unknown kinds must come out between
//! its messages without tearing one apart, so both go through one task that writes whole lines.

use std::io;
use std::sync::Arc;

use futures::{Sink, Stream};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::state::State;

/// Lines waiting for stdout. Small, so that a client that stops reading is felt by the script soon.
const QUEUE: usize = 16;

/// A handle to the writer.
#[derive(Debug, Clone)]
pub(super) struct Wire(mpsc::Sender<(String, oneshot::Sender<io::Result<()>>)>);

impl Wire {
    /// Starts the writer in `tasks`, whose owner ends it.
    pub(super) fn start(tasks: &mut JoinSet<()>) -> Self {
        let (sender, mut receiver) = mpsc::channel::<(String, oneshot::Sender<_>)>(QUEUE);
        tasks.spawn(async move {
            let mut stdout = tokio::io::stdout();
            while let Some((mut line, written)) = receiver.recv().await {
                line.push('\n');
                let result = match stdout.write_all(line.as_bytes()).await {
                    Ok(()) => stdout.flush().await,
                    Err(error) => Err(error),
                };
                // Whoever sent it may have been cancelled since; the line is out whole all the same.
                let _ = written.send(result);
            }
        });
        Self(sender)
    }

    /// Writes one line and waits until the pipe has it.
    pub(super) async fn send(&self, line: String) -> io::Result<()> {
        let (written, result) = oneshot::channel();
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.0
            .send((line, written))
            .await
            .map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        result.await.map_err(gone)?
    }

    /// The writer as the sink the SDK's `Lines` transport wants.
    pub(super) fn sink(&self) -> impl Sink<String, Error = io::Error> + Send + 'static {
        Box::pin(futures::sink::unfold(
            self.clone(),
            |wire, line: String| async move {
                wire.send(line).await?;
                Ok(wire)
            },
        ))
    }
}

/// Stdin as lines. Each is journaled; its end is hidden from the SDK when the script ignores it.
pub(super) fn incoming(
    state: Arc<State>,
) -> impl Stream<Item = io::Result<String>> + Send + 'static {
    let lines = BufReader::new(tokio::io::stdin()).lines();
    Box::pin(futures::stream::unfold(
        (lines, state),
        |(mut lines, state)| async move {
            match lines.next_line().await {
                Ok(Some(line)) => {
                    state.journal.received(&line);
                    Some((Ok(line), (lines, state)))
                }
                Ok(None) => {
                    state.journal.event("eof");
                    if state.ignores.eof() {
                        std::future::pending::<()>().await;
                    }
                    None
                }
                Err(error) => Some((Err(error), (lines, state))),
            }
        },
    ))
}
