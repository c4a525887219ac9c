//! The way to a node as it changes: a stream that leads where the node no longer is ends, and who waits for the
//! node is told when it is there again.
//!
//! A host that was killed looks alive for 35 s (host-contract T14), and a client-role one that starts again has
//! another peer id (T22): long before the host gives up the old one, the new one has shown the node's key.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::future::BoxFuture;
use mesh_agents_mesh::NodeKey;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::MeshNode;
use super::greet::Greeted;
use crate::mesh_link::MeshPeerId;

/// A stream to a node, while that node is at the peer it leads to.
pub(super) struct Routed {
    stream: Greeted,
    /// Ends when it is not; `None` once it ended.
    while_there: Option<BoxFuture<'static, ()>>,
}

impl Routed {
    pub(super) fn new(stream: Greeted, node: MeshNode, key: NodeKey, peer: MeshPeerId) -> Self {
        let while_there = async move { node.is_at(&key, &peer).await };
        Self {
            stream,
            while_there: Some(Box::pin(while_there)),
        }
    }

    fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        if let Some(there) = &mut self.while_there
            && there.as_mut().poll(context).is_ready()
        {
            self.while_there = None;
        }
        self.while_there.is_none()
    }
}

impl AsyncRead for Routed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.is_over(context) {
            let text = "the node is not there any more; it may be elsewhere";
            let error = io::Error::new(io::ErrorKind::ConnectionAborted, text);
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Routed {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl MeshNode {
    /// The ways to other nodes may be others than before.
    pub(super) fn routes_changed(&self) {
        self.0.routes.send_modify(|count| *count += 1);
    }

    /// Waits until the node with this key is not at that peer any more.
    async fn is_at(&self, key: &NodeKey, peer: &MeshPeerId) {
        let mut routes = self.0.routes.subscribe();
        while self.state().directory.proved_at(peer) == Some(key) {
            if routes.changed().await.is_err() {
                return;
            }
        }
    }

    /// Waits until there is a way to the node, and another one than there is now.
    pub(super) fn way_back(&self, key: NodeKey) -> BoxFuture<'static, ()> {
        let node = self.clone();
        let mut routes = node.0.routes.subscribe();
        let mut before = node.way(&key);
        Box::pin(async move {
            loop {
                if routes.changed().await.is_err() {
                    return std::future::pending().await;
                }
                let now = node.way(&key);
                if now.is_some() && now != before {
                    return;
                }
                before = now;
            }
        })
    }

    fn way(&self, key: &NodeKey) -> Option<MeshPeerId> {
        self.state().directory.route(key).ok().cloned()
    }
}
