//! Carries the mesh to the engine and the engine's wishes to the host, over one link after another.

use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures::StreamExt as _;
use mesh_llm_plugin::PluginContext;
use mesh_llm_plugin::proto::{
    ChannelMessage, OpenMeshStreamRequest, StreamMode, StreamPurpose, StreamTransportKind,
};
use tokio::io::{ReadHalf, WriteHalf};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::codec::{FramedRead, LinesCodec};
use tokio_util::sync::CancellationToken;
use ulid::Ulid;

use super::{HINT_KIND, Inbound, PeerLine, Queues, Shared};
use crate::frontend::{Frontend, Upgraded};
use crate::host::PLUGIN_ID;
use crate::local::UnixStream;
use crate::mesh_link::line::{self, FromEngine, FromPlugin, LINE_BYTES, PEERS_PER_LINE, SILENCE};
use crate::mesh_link::{CHANNEL, MeshPeerId};

/// First pause between two links; doubled each time, up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(50);
/// Longest pause between two links.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Requests to the host at a time. It takes them one after the other.
const WORK: usize = 64;
/// The host answers a request within 30 s, its own limit; one that does not is broken.
const HOST_LIMIT: Duration = Duration::from_secs(35);
/// A hint that the host does not take is as good as lost: the next one says more.
const HINT_LIMIT: Duration = Duration::from_secs(2);

/// Requests to the host, and what each leaves to be said to the engine that asked.
type Work = JoinSet<Option<Done>>;

/// What became of a request of a link's engine.
struct Done {
    /// Cancelled when that link is over. Ids mean nothing to the next engine.
    over: CancellationToken,
    line: FromPlugin,
}

/// Links to whatever engine runs, again and again.
pub(super) async fn stay(shared: &Shared, frontend: &Frontend) {
    let mut queues = shared.queues.lock().await;
    let mut work = Work::new();
    let mut pause = PAUSE;
    loop {
        match frontend.link().await {
            Ok(io) => {
                pause = PAUSE;
                let ended = Session::new(shared, io).run(&mut queues, &mut work).await;
                match ended {
                    Ok(()) => tracing::debug!("the engine ended the mesh link"),
                    Err(error) => tracing::debug!(%error, "the mesh link broke"),
                }
            }
            Err(refusal) => tracing::debug!(%refusal, "no mesh link"),
        }
        // A hint of now is nothing to an engine that starts later: it asks everybody anyway.
        while queues.hints.try_recv().is_ok() {}
        while let Some(done) = work.try_join_next() {
            if let Ok(Some(Done { line, .. })) = done {
                let_go_of(line).await;
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

/// One link.
struct Session<'a> {
    shared: &'a Shared,
    lines: FramedRead<ReadHalf<Upgraded>, LinesCodec>,
    to: WriteHalf<Upgraded>,
    /// Streams of peers for which the engine was asked for a socket.
    inbound: HashMap<u64, Inbound>,
    next: u64,
    /// Cancelled at the end: a stream opened for this engine is nobody's then.
    over: CancellationToken,
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        self.over.cancel();
    }
}

impl<'a> Session<'a> {
    fn new(shared: &'a Shared, io: Upgraded) -> Self {
        let (from, to) = tokio::io::split(io);
        Self {
            shared,
            lines: FramedRead::new(from, LinesCodec::new_with_max_length(LINE_BYTES)),
            to,
            inbound: HashMap::new(),
            next: 0,
            over: CancellationToken::new(),
        }
    }

    async fn run(mut self, queues: &mut Queues, work: &mut Work) -> io::Result<()> {
        self.shared.tell_all_again();
        let mut heard = Instant::now();
        loop {
            self.tell_news().await?;
            tokio::select! {
                () = self.shared.changed.notified() => {}
                Some(hint) = queues.hints.recv() => {
                    let line = FromPlugin::Hint { from: hint.from, body: hint.body };
                    self.say(&line).await?;
                }
                Some(ask) = queues.inbound.recv() => self.ask(ask).await?,
                Some(done) = work.join_next() => {
                    if let Ok(Some(done)) = done {
                        self.report(done).await?;
                    }
                }
                line = tokio::time::timeout_at(heard + SILENCE, self.lines.next()) => match line {
                    Ok(Some(line)) => {
                        heard = Instant::now();
                        let line = line.map_err(io::Error::other)?;
                        self.heard(&line, work).await?;
                    }
                    Ok(None) => return Ok(()),
                    Err(_elapsed) => return Err(io::ErrorKind::TimedOut.into()),
                },
            }
        }
    }

    async fn say(&mut self, line: &FromPlugin) -> io::Result<()> {
        line::write(&mut self.to, line).await
    }

    /// Says what changed since it was last said.
    async fn tell_news(&mut self) -> io::Result<()> {
        for line in self.shared.news() {
            self.say(&line).await?;
        }
        Ok(())
    }

    /// Asks the engine for a socket.
    async fn ask(&mut self, ask: Inbound) -> io::Result<()> {
        if ask.is_closed() {
            // It waited too long for this link.
            return Ok(());
        }
        self.inbound.retain(|_, waiting| !waiting.is_closed());
        self.next += 1;
        self.inbound.insert(self.next, ask);
        self.say(&FromPlugin::Inbound { id: self.next }).await
    }

    /// Tells what a request to the host left. A socket the engine never hears of is connected to here:
    /// the host would keep it for good (host-contract §7).
    async fn report(&mut self, done: Done) -> io::Result<()> {
        let Done { over, line } = done;
        let said = if over.is_cancelled() {
            Err(None)
        } else {
            self.say(&line).await.map_err(Some)
        };
        if said.is_err() {
            let_go_of(line).await;
        }
        said.or_else(|error| error.map_or(Ok(()), Err))
    }

    async fn heard(&mut self, line: &str, work: &mut Work) -> io::Result<()> {
        let line: FromEngine = match serde_json::from_str(line) {
            Ok(line) => line,
            Err(error) => {
                tracing::warn!(%error, "a line of the engine's link is not understood");
                return Ok(());
            }
        };
        match line {
            FromEngine::Open { id, mesh_peer_id } => match self.shared.context.get() {
                Some(context) if work.len() < WORK => {
                    let opening = open(context.clone(), id, mesh_peer_id, self.over.clone());
                    work.spawn(opening);
                }
                Some(_) => return self.refuse(id, "too many requests wait for the host").await,
                None => return self.refuse(id, "the host has not said hello yet").await,
            },
            FromEngine::Hint { body } => {
                if let Some(context) = self.shared.context.get()
                    && work.len() < WORK
                {
                    work.spawn(tell_peers(context.clone(), body));
                }
            }
            FromEngine::Accept { id, socket } => self.answer(id, Ok(socket)),
            FromEngine::Refuse { id, why } => self.answer(id, Err(why)),
            FromEngine::Beat => {}
            FromEngine::Unknown => tracing::debug!("a newer engine says what we do not know"),
        }
        Ok(())
    }

    fn answer(&mut self, id: u64, socket: Result<PathBuf, String>) {
        if let Some(ask) = self.inbound.remove(&id) {
            // The host was answered without it when it took too long.
            let _late = ask.send(socket);
        }
    }

    async fn refuse(&mut self, id: u64, why: &str) -> io::Result<()> {
        let why = why.to_owned();
        self.say(&FromPlugin::NotOpened { id, why }).await
    }
}

impl Shared {
    /// A new engine knows nothing.
    fn tell_all_again(&self) {
        let mut known = self.known();
        known.news.local = known.local.is_some();
        known.news.peers = known.peers.keys().cloned().collect();
    }

    /// What the engine has not heard yet.
    fn news(&self) -> Vec<FromPlugin> {
        let mut known = self.known();
        let news = std::mem::take(&mut known.news);
        let mut lines = Vec::new();
        if let Some(local) = known.local.clone().filter(|_| news.local) {
            lines.push(FromPlugin::Local(local));
        }
        let ids: Vec<MeshPeerId> = news.peers.into_iter().collect();
        for some in ids.chunks(PEERS_PER_LINE) {
            let is_up = |id: &&MeshPeerId| known.peers.contains_key(*id);
            let (up, down): (Vec<_>, Vec<_>) = some.iter().partition(is_up);
            let up: Vec<PeerLine> = up
                .into_iter()
                .filter_map(|id| known.peers.get(id).cloned())
                .collect();
            let down = down.into_iter().cloned().collect();
            lines.push(FromPlugin::Peers { up, down });
        }
        lines
    }
}

/// Has the host open a stream, and sees to it that somebody connects to what it answers.
async fn open(
    mut context: PluginContext<'static>,
    id: u64,
    peer: MeshPeerId,
    over: CancellationToken,
) -> Option<Done> {
    let request = OpenMeshStreamRequest {
        // Random: at the other end it may name a file (host-contract T23).
        stream_id: format!("agents-{}", Ulid::new()),
        target_peer_id: peer.as_str().to_owned(),
        plugin_id: PLUGIN_ID.to_owned(),
        channel: CHANNEL.to_owned(),
        purpose: StreamPurpose::Generic.into(),
        mode: StreamMode::RawBytes.into(),
        bidirectional: true,
        ..OpenMeshStreamRequest::default()
    };
    let answer = tokio::time::timeout(HOST_LIMIT, context.open_mesh_stream(request)).await;
    let unix = i32::from(StreamTransportKind::StreamUnixSocket);
    let socket = match answer {
        Err(_elapsed) => Err("the host did not answer".to_owned()),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(answer)) if !answer.accepted => {
            Err(answer.message.unwrap_or_else(|| "no reason given".into()))
        }
        Ok(Ok(answer)) if answer.transport_kind != unix => {
            Err("the host's socket is of a kind this plugin does not speak".to_owned())
        }
        Ok(Ok(answer)) => answer
            .endpoint
            .map(PathBuf::from)
            .ok_or_else(|| "the host named no socket".to_owned()),
    };
    let line = match socket {
        Ok(socket) if over.is_cancelled() => {
            let_go(&socket).await;
            return None;
        }
        Ok(socket) => FromPlugin::Opened { id, socket },
        Err(why) => FromPlugin::NotOpened { id, why },
    };
    Some(Done { over, line })
}

/// Ends the stream that a line was to tell of.
async fn let_go_of(line: FromPlugin) {
    if let FromPlugin::Opened { socket, .. } = line {
        let_go(&socket).await;
    }
}

/// Ends a stream nobody wants.
async fn let_go(socket: &Path) {
    if let Err(error) = UnixStream::connect(socket).await {
        tracing::debug!(%error, "a stream that nobody wants was gone already");
    }
}

async fn tell_peers(mut context: PluginContext<'static>, body: String) -> Option<Done> {
    let message = ChannelMessage {
        channel: CHANNEL.to_owned(),
        content_type: "text/plain".to_owned(),
        body: body.into_bytes(),
        message_kind: HINT_KIND.to_owned(),
        ..ChannelMessage::default()
    };
    match tokio::time::timeout(HINT_LIMIT, context.send_channel_message(message)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "a hint did not leave"),
        Err(_elapsed) => tracing::debug!("the host did not take a hint"),
    }
    None
}
