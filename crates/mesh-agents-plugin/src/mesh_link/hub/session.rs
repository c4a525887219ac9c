//! One link, from its upgrade to its end.

use std::io;
use std::time::Duration;

use futures::StreamExt as _;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_util::codec::{FramedRead, LinesCodec};

use super::super::line::{self, BEAT, FromEngine, FromPlugin, LINE_BYTES};
use super::super::{HINT_BYTES, Hint, LocalNode};
use super::{Claim, MeshHub, lock};

/// A peer the host reports again at least every 15 s, as a rule (host-contract T7). One that an
/// earlier link told of and this one has not, after so long, is gone.
const CONFIRM: Duration = Duration::from_secs(90);

impl Claim {
    /// Is the link until the plugin goes, or the engine ends.
    pub(crate) async fn serve<S: AsyncRead + AsyncWrite + Send>(mut self, io: S) {
        let Some(mut lines) = self.lines.take() else {
            return;
        };
        let hub = self.hub.clone();
        let link = lock(&hub.shared.table).begin();
        hub.shared.linked.send_replace(true);
        tracing::debug!(link, "linked to a mesh-llm host's plugin");
        let (from, mut to) = tokio::io::split(io);
        let ended = tokio::select! {
            ended = write_all(&mut to, &mut lines) => ended,
            ended = hub.read_all(from) => ended,
            () = hub.forget_unconfirmed() => Ok(()),
            () = hub.shared.config.end.cancelled() => Ok(()),
        };
        match ended {
            Ok(()) => tracing::debug!(link, "the plugin's link ended"),
            Err(error) => tracing::warn!(link, %error, "the plugin's link broke"),
        }
    }
}

/// Writes what the engine says, and signs of life.
async fn write_all<W: AsyncWrite + Unpin>(
    to: &mut W,
    lines: &mut mpsc::Receiver<FromEngine>,
) -> io::Result<()> {
    loop {
        let line = tokio::select! {
            line = lines.recv() => match line {
                Some(line) => line,
                None => return Ok(()),
            },
            () = tokio::time::sleep(BEAT) => FromEngine::Beat,
        };
        line::write(to, &line).await?;
    }
}

impl MeshHub {
    async fn read_all<R: AsyncRead + Unpin>(&self, from: R) -> io::Result<()> {
        let mut lines = FramedRead::new(from, LinesCodec::new_with_max_length(LINE_BYTES));
        while let Some(line) = lines.next().await {
            let line = line.map_err(io::Error::other)?;
            match serde_json::from_str(&line) {
                Ok(line) => self.heard(line),
                Err(error) => {
                    tracing::warn!(%error, "a line of the plugin's link is not understood");
                }
            }
        }
        Ok(())
    }

    /// Never waits: whatever the plugin says must not keep it from saying more.
    fn heard(&self, line: FromPlugin) {
        match line {
            FromPlugin::Local(local) => self.heard_local(&local),
            FromPlugin::Peers { up, down } => {
                let now = self.shared.config.clock.now();
                let mut table = lock(&self.shared.table);
                for peer in up {
                    table.up(peer, now);
                }
                for peer in &down {
                    table.down(peer);
                }
                if let Some(live) = table.changed() {
                    self.shared.peers.send_replace(live);
                }
            }
            FromPlugin::Hint { from, body } => {
                self.shared.counts.hint_received(body.len());
                let sender = lock(&self.shared.hints).clone();
                if let Some(sender) = sender
                    && body.len() <= HINT_BYTES
                {
                    // Dropped where nobody keeps up.
                    let _full = sender.try_send(Hint { from, body });
                }
            }
            FromPlugin::Inbound { id } => {
                let answer = match self.admit() {
                    Ok(socket) => FromEngine::Accept { id, socket },
                    Err(why) => {
                        self.count_refused(why);
                        FromEngine::Refuse {
                            id,
                            why: why.to_owned(),
                        }
                    }
                };
                // A plugin that does not read its answers refuses by its own limit.
                let _full = self.say(answer);
            }
            FromPlugin::Opened { id, socket } => self.opened(id, socket),
            FromPlugin::NotOpened { id, why } => self.not_opened(id, why),
            FromPlugin::Unknown => tracing::debug!("a newer plugin says what we do not know"),
        }
    }

    fn heard_local(&self, local: &LocalNode) {
        let mut table = lock(&self.shared.table);
        let other = |known: &LocalNode| known.mesh_peer_id != local.mesh_peer_id;
        if self.shared.local.borrow().as_ref().is_some_and(other) {
            // Another host, or the same after a restart: who is there, it says itself.
            table.keep_confirmed();
        }
        table.own(&local.mesh_peer_id);
        if let Some(live) = table.changed() {
            self.shared.peers.send_replace(live);
        }
        drop(table);
        self.shared.local.send_if_modified(|known| {
            // The id of the mesh is not in every event.
            let mesh_id = local.mesh_id.clone().or_else(|| {
                let same = known.as_ref().filter(|known| !other(known))?;
                same.mesh_id.clone()
            });
            let now = Some(LocalNode {
                mesh_peer_id: local.mesh_peer_id.clone(),
                mesh_id,
                public: local.public,
            });
            let changed = *known != now;
            *known = now;
            changed
        });
    }

    async fn forget_unconfirmed(&self) {
        tokio::time::sleep(CONFIRM).await;
        self.keep_confirmed();
        std::future::pending::<()>().await;
    }

    fn keep_confirmed(&self) {
        let mut table = lock(&self.shared.table);
        table.keep_confirmed();
        if let Some(live) = table.changed() {
            self.shared.peers.send_replace(live);
        }
    }
}
