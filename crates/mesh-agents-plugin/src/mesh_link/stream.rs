//! A mesh stream: a Unix socket that the host bridges to a peer.
//!
//! No end of it can be trusted to go on: a killed peer looks alive for 35 s (host-contract T14), and
//! the host enforces no idle limit. [`MeshStream::not_deaf`] gives writes a limit of their own; how long a read
//! may wait is for whoever reads to say.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use super::traffic::Counts;
use crate::local::UnixStream;

/// A stream to or from a peer. What was read of it before it was handed on is read again.
#[derive(Debug)]
pub struct MeshStream {
    io: UnixStream,
    head: Bytes,
    writing: Limit,
    /// Its place among the streams that may be open at once.
    _place: Option<OwnedSemaphorePermit>,
    counts: Counts,
}

impl MeshStream {
    /// A stream whose first bytes are `head`, then what comes from `io`. `place` is given back when
    /// the stream is dropped.
    #[must_use]
    pub fn new(io: UnixStream, head: Bytes, place: Option<OwnedSemaphorePermit>) -> Self {
        Self {
            io,
            head,
            writing: Limit::default(),
            _place: place,
            counts: Counts::default(),
        }
    }

    /// Counts what is read and written from now on.
    pub(super) fn counted(mut self, counts: &Counts) -> Self {
        self.counts = counts.clone();
        self
    }

    /// Lets a write that waits longer than `limit` fail with [`io::ErrorKind::TimedOut`], and reads wait as
    /// they did: who listens does not know when it is asked next.
    pub fn not_deaf(&mut self, limit: Duration) {
        self.writing = Limit {
            most: Some(limit),
            until: None,
        };
    }
}

impl From<UnixStream> for MeshStream {
    fn from(io: UnixStream) -> Self {
        Self::new(io, Bytes::new(), None)
    }
}

/// How long writing may stand still while somebody waits for it.
#[derive(Debug, Default)]
struct Limit {
    most: Option<Duration>,
    /// Runs while somebody waits.
    until: Option<Pin<Box<Sleep>>>,
}

impl Limit {
    /// Passes on what the direction said, or the end of its time.
    fn watch<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.until = None;
            return polled;
        }
        let Some(limit) = self.most else {
            return Poll::Pending;
        };
        let until = self
            .until
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(Instant::now() + limit)));
        match until.as_mut().poll(context) {
            Poll::Pending => Poll::Pending,
            Poll::Ready(()) => {
                self.until = None;
                let text = format!(
                    "the peer took nothing for {} s",
                    limit.as_secs_f64().round().max(1.0)
                );
                Poll::Ready(Err(io::Error::new(io::ErrorKind::TimedOut, text)))
            }
        }
    }
}

impl AsyncRead for MeshStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.head.has_remaining() {
            let piece = this
                .head
                .split_to(this.head.remaining().min(buffer.remaining()));
            buffer.put_slice(&piece);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let polled = Pin::new(&mut this.io).poll_read(context, buffer);
        this.counts.received(buffer.filled().len() - before);
        polled
    }
}

impl AsyncWrite for MeshStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        let polled = Pin::new(&mut this.io).poll_write(context, bytes);
        if let Poll::Ready(Ok(written)) = &polled {
            this.counts.sent(*written);
        }
        this.writing.watch(context, polled)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    #[tokio::test]
    async fn what_was_read_before_is_read_first() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let mut stream = MeshStream::new(near, Bytes::from_static(b"first "), None);
        far.write_all(b"then").await.unwrap();
        drop(far);
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        assert_eq!(text, "first then");
    }

    #[tokio::test]
    async fn what_is_read_and_written_is_counted() {
        let (near, mut far) = UnixStream::pair().unwrap();
        let counts = Counts::default();
        counts.taken(6);
        let head = Bytes::from_static(b"first ");
        let mut stream = MeshStream::new(near, head, None).counted(&counts);
        far.write_all(b"then").await.unwrap();
        stream.write_all(b"yes").await.unwrap();
        // Unread, it would reset the stream.
        far.read_exact(&mut [0; 3]).await.unwrap();
        drop(far);
        stream.read_to_end(&mut Vec::new()).await.unwrap();
        let traffic = counts.traffic();
        assert_eq!(
            (
                traffic.bytes_received,
                traffic.bytes_sent,
                traffic.streams_taken
            ),
            (10, 3, 1)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_deaf_peer_ends_a_write_and_a_silent_one_no_read() {
        let (near, far) = UnixStream::pair().unwrap();
        let mut stream = MeshStream::from(near);
        stream.not_deaf(Duration::from_secs(60));
        let hour = Duration::from_secs(3_600);
        let read = tokio::time::timeout(hour, stream.read(&mut [0])).await;
        assert!(read.is_err(), "it waits as long as its reader does");
        let started = Instant::now();
        let endless = vec![0; 16 * 1024 * 1024];
        let deaf = stream.write_all(&endless).await.unwrap_err();
        assert_eq!(deaf.kind(), io::ErrorKind::TimedOut);
        assert_eq!(started.elapsed().as_secs(), 60);
        drop(far);
    }
}
