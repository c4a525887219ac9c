//! A plugin that does nothing but send back what comes on a mesh stream: what `scripts/bench.sh mesh` measures beside.
//!
//! `mesh-echo CONTROL` listens on the Unix socket CONTROL. Whoever connects says a peer id and a newline, and is told
//! the socket of a stream to that peer's echo, as the host named it, or `error: …`. The bytes of a stream never pass
//! through the asking side's plugin, as with ours.
#![expect(
    clippy::disallowed_methods,
    reason = "a program of its own: the host tells it its endpoint by the environment"
)]

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;

use mesh_llm_plugin::proto::{
    MeshChannelManifest, OpenMeshStreamRequest, OpenStreamRequest, OpenStreamResponse,
    PluginManifest, StreamMode, StreamPurpose, StreamTransportKind,
};
use mesh_llm_plugin::{
    LocalStream, Plugin, PluginContext, PluginError, PluginResult, PluginRuntime, async_trait,
    plugin_server_info,
};
use rmcp::model::ServerConfig;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use ulid::Ulid;

/// Both its id and the name of the `[[plugin]]` stanza.
const ID: &str = "echo";
/// The mesh channel of its streams.
const CHANNEL: &str = "echo.v1";
/// Streams of peers that wait to be taken.
const WAITING: usize = 64;

type Context = PluginContext<'static>;

#[derive(Clone)]
struct Echo {
    /// Where sockets for streams are made.
    dir: Arc<PathBuf>,
    streams: mpsc::Sender<UnixListener>,
    context: watch::Sender<Option<Context>>,
}

#[async_trait]
impl Plugin for Echo {
    fn plugin_id(&self) -> &str {
        ID
    }

    fn plugin_version(&self) -> String {
        "0.0.0".to_owned()
    }

    fn server_info(&self) -> ServerConfig {
        plugin_server_info(ID, "0.0.0", "Echo", "Sends back.", None::<String>)
    }

    fn manifest(&self) -> Option<PluginManifest> {
        let name = CHANNEL.to_owned();
        Some(PluginManifest {
            mesh_channels: vec![MeshChannelManifest { name }],
            ..PluginManifest::default()
        })
    }

    async fn on_initialized(&mut self, context: &mut PluginContext<'_>) -> anyhow::Result<()> {
        self.context.send_replace(Some(context.owned()));
        Ok(())
    }

    async fn open_stream(
        &mut self,
        request: OpenStreamRequest,
        _context: &mut PluginContext<'_>,
    ) -> PluginResult<Option<OpenStreamResponse>> {
        let path = self.dir.join(Ulid::new().to_string());
        let failed = |error: std::io::Error| PluginError::internal(error.to_string());
        let listener = UnixListener::bind(&path).map_err(failed)?;
        let sent = self.streams.send(listener).await;
        sent.map_err(|error| PluginError::internal(error.to_string()))?;
        Ok(Some(OpenStreamResponse {
            stream_id: request.stream_id,
            accepted: true,
            transport_kind: StreamTransportKind::StreamUnixSocket.into(),
            endpoint: Some(path.display().to_string()),
            ..OpenStreamResponse::default()
        }))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let control = std::env::args_os().nth(1).map(PathBuf::from);
    let control = control.ok_or("usage: mesh-echo CONTROL")?;
    let endpoint = std::env::var_os("MESH_LLM_PLUGIN_ENDPOINT").ok_or("started by no host")?;
    let dir = control.parent().ok_or("CONTROL has no directory")?;
    let (streams, listeners) = mpsc::channel(WAITING);
    let (context, connected) = watch::channel(None);
    let plugin = Echo {
        dir: Arc::new(dir.to_owned()),
        streams,
        context,
    };
    let host = UnixStream::connect(endpoint).await?;
    let served = PluginRuntime::run_with_stream(plugin, LocalStream::Unix(host));
    tokio::select! {
        ended = served => ended.map_err(|error| format!("{error:#}"))?,
        () = echo(listeners) => {}
        answered = answer(&control, &connected) => answered?,
    }
    Ok(())
}

/// Sends back what comes on each stream, until there are no more.
async fn echo(mut listeners: mpsc::Receiver<UnixListener>) {
    let mut open = JoinSet::new();
    while let Some(listener) = listeners.recv().await {
        open.spawn(async move {
            let (mut stream, _) = listener.accept().await?;
            let (mut from, mut to) = stream.split();
            tokio::io::copy(&mut from, &mut to).await
        });
        while open.try_join_next().is_some() {}
    }
}

/// Opens streams for whoever asks.
async fn answer(
    control: &PathBuf,
    connected: &watch::Receiver<Option<Context>>,
) -> std::io::Result<()> {
    let control = UnixListener::bind(control)?;
    let mut asked = JoinSet::new();
    loop {
        let (stream, _) = control.accept().await?;
        let connected = connected.clone();
        asked.spawn(one(stream, connected));
        while asked.try_join_next().is_some() {}
    }
}

async fn one(
    stream: UnixStream,
    mut connected: watch::Receiver<Option<Context>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut peer = String::new();
    stream.read_line(&mut peer).await?;
    let context = connected.wait_for(Option::is_some).await;
    let context = context.ok().and_then(|context| context.clone());
    let answer = match context {
        Some(context) => open(context, peer.trim()).await,
        None => Err("the host has gone".to_owned()),
    };
    let answer = answer.unwrap_or_else(|error| format!("error: {error}"));
    stream.write_all(format!("{answer}\n").as_bytes()).await
}

async fn open(mut context: Context, peer: &str) -> Result<String, String> {
    let request = OpenMeshStreamRequest {
        stream_id: format!("echo-{}", Ulid::new()),
        target_peer_id: peer.to_owned(),
        plugin_id: ID.to_owned(),
        channel: CHANNEL.to_owned(),
        purpose: StreamPurpose::Generic.into(),
        mode: StreamMode::RawBytes.into(),
        bidirectional: true,
        ..OpenMeshStreamRequest::default()
    };
    let answer = context.open_mesh_stream(request).await;
    let answer = answer.map_err(|error| error.to_string())?;
    match answer.endpoint {
        Some(endpoint) if answer.accepted => Ok(endpoint),
        _ => Err(answer.message.unwrap_or_default()),
    }
}
