//! Carries envelopes between the SDK and the host's socket, each in one write.
//!
//! The host drops a half-read envelope whenever it has something to send itself (host-contract T1),
//! and the SDK writes length and body apart, which invites it to. An envelope that arrives in one
//! piece is read in one piece: the kernel hands over up to 32 KiB of one write at once.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

/// Above this the host may read an envelope in pieces and corrupt the connection.
pub(super) const SAFE_ENVELOPE: usize = 32 * 1024;
/// Above this both sides give the connection up (16 MiB, the SDK's own bound).
const LARGEST_ENVELOPE: usize = 16 * 1024 * 1024;
/// Bytes of the little-endian length before each envelope.
const LENGTH: usize = 4;

/// Carries envelopes from `from` to `to` until `from` ends; then closes `to` for writing.
///
/// # Errors
/// When either side breaks, or an envelope is larger than the host takes.
pub(super) async fn envelopes<R, W>(mut from: R, mut to: W) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut frame = Vec::with_capacity(SAFE_ENVELOPE + LENGTH);
    while next(&mut from, &mut frame).await? {
        if frame.len() > SAFE_ENVELOPE + LENGTH {
            tracing::warn!(
                bytes = frame.len(),
                "an envelope to the host is larger than it can safely read"
            );
        }
        to.write_all(&frame).await?;
        to.flush().await?;
        // One large answer must not keep its memory for the life of the process.
        frame.shrink_to(SAFE_ENVELOPE + LENGTH);
    }
    to.shutdown().await
}

/// Reads the next envelope with its length into `frame`; `false` at the end of the stream.
async fn next<R: AsyncRead + Unpin>(from: &mut R, frame: &mut Vec<u8>) -> io::Result<bool> {
    let mut length = [0; LENGTH];
    match from.read_exact(&mut length).await {
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
        Err(error) => return Err(error),
    }
    let body = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if body > LARGEST_ENVELOPE {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("an envelope of {body} bytes, {LARGEST_ENVELOPE} is the most"),
        ));
    }
    frame.clear();
    frame.extend_from_slice(&length);
    frame.resize(LENGTH + body, 0);
    let rest = frame.get_mut(LENGTH..).unwrap_or_default();
    from.read_exact(rest).await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::Pin;
    use std::sync::{Arc, Mutex};
    use std::task::{Context, Poll};

    /// Remembers every single write.
    #[derive(Clone, Default)]
    struct Writes(Arc<Mutex<Vec<Vec<u8>>>>);

    impl AsyncWrite for Writes {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.0.lock().unwrap().push(bytes.to_vec());
            Poll::Ready(Ok(bytes.len()))
        }
        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn framed(body: &[u8]) -> Vec<u8> {
        let mut frame = u32::try_from(body.len()).unwrap().to_le_bytes().to_vec();
        frame.extend_from_slice(body);
        frame
    }

    #[tokio::test]
    async fn each_envelope_is_one_write_however_it_arrives() {
        let bodies = [b"a".to_vec(), Vec::new(), vec![7; 30_000], b"last".to_vec()];
        let (mut near, far) = tokio::io::duplex(64);
        let writes = Writes::default();
        let feed = async {
            for body in &bodies {
                // As the SDK does: the length, then the body, through a pipe smaller than either.
                near.write_all(&framed(body)[..4]).await.unwrap();
                near.write_all(body).await.unwrap();
            }
            drop(near);
        };
        let (pumped, ()) = tokio::join!(envelopes(far, writes.clone()), feed);
        pumped.unwrap();
        let expected: Vec<_> = bodies.iter().map(|body| framed(body)).collect();
        assert_eq!(*writes.0.lock().unwrap(), expected);
    }

    #[tokio::test]
    async fn an_envelope_the_host_would_refuse_is_not_sent() {
        let (mut near, far) = tokio::io::duplex(64);
        let writes = Writes::default();
        let feed = near.write_all(&[0xff; 4]);
        let (pumped, fed) = tokio::join!(envelopes(far, writes.clone()), feed);
        fed.unwrap();
        assert_eq!(pumped.unwrap_err().kind(), io::ErrorKind::InvalidData);
        assert!(writes.0.lock().unwrap().is_empty());
    }
}
