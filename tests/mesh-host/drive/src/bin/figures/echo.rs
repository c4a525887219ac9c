//! The bare echo: a plugin of its own on both hosts, over a stream the caller's host opens to the owner's.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mesh_host_drive::Pair;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;

use crate::rows::Samples;

/// Bytes there and back: about what a small call of ours is.
pub(crate) const PAYLOAD: usize = 512;

/// Round trips on a kept stream.
const TRIPS: usize = 2000;

/// Streams opened, and pings.
const STREAMS: usize = 200;

/// Round trips that are not counted.
const WARM_UP: usize = 50;

pub(crate) struct Echo {
    control: PathBuf,
    /// The owner's host on the mesh.
    peer: String,
}

impl Echo {
    pub(crate) async fn new(pair: &Pair<'_>) -> Result<Self> {
        let owner = pair.owner_home.agents_json(&["peers", "list"])?;
        let peer = owner["local"]["mesh_peer_id"]
            .as_str()
            .context("the owner's id")?;
        let echo = Self {
            control: pair.caller_home.path().join("echo.sock"),
            peer: peer.to_owned(),
        };
        echo.open().await?;
        Ok(echo)
    }

    /// A stream to the owner's echo, as our engine gets one of its plugin.
    async fn open(&self) -> Result<UnixStream> {
        let mut control = BufReader::new(UnixStream::connect(&self.control).await?);
        control
            .write_all(format!("{}\n", self.peer).as_bytes())
            .await?;
        let mut socket = String::new();
        control.read_line(&mut socket).await?;
        let socket = socket.trim();
        if socket.is_empty() || socket.starts_with("error") {
            bail!("the echo plugin said {socket:?}");
        }
        Ok(UnixStream::connect(socket).await?)
    }

    pub(crate) async fn kept(&self) -> Result<Samples> {
        let mut stream = self.open().await?;
        for _ in 0..WARM_UP {
            trip(&mut stream).await?;
        }
        let mut times = Vec::with_capacity(TRIPS);
        for _ in 0..TRIPS {
            times.push(trip(&mut stream).await?);
        }
        Ok(Samples::of(times))
    }

    pub(crate) async fn fresh(&self) -> Result<Samples> {
        let mut times = Vec::with_capacity(STREAMS);
        for _ in 0..STREAMS {
            let at = Instant::now();
            let mut stream = self.open().await?;
            trip(&mut stream).await?;
            times.push(at.elapsed());
        }
        Ok(Samples::of(times))
    }
}

async fn trip(stream: &mut UnixStream) -> Result<Duration> {
    let mut payload = [7; PAYLOAD];
    let at = Instant::now();
    stream.write_all(&payload).await?;
    stream.read_exact(&mut payload).await?;
    Ok(at.elapsed())
}

/// What the caller's engine says a ping of the owner's took.
pub(crate) fn pings(pair: &Pair<'_>) -> Result<Samples> {
    let mut times = Vec::with_capacity(STREAMS);
    for _ in 0..STREAMS {
        let listed = pair.caller_home.agents_json(&["peers", "list"])?;
        let took = listed["peers"][0]["ping_ms"].as_f64();
        let took = took.with_context(|| listed.to_string())?;
        times.push(Duration::from_secs_f64(took / 1e3));
    }
    Ok(Samples::of(times))
}
