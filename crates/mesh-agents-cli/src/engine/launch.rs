//! Starting the engine in the background, by whoever needs it first.

use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use mesh_agents_plugin::local::listens;

use crate::context::Context;
use crate::engine::lock;

/// How long an engine may take until it listens. Ready is a matter of 0.1 s; a machine under load,
/// or a large database to open, may take longer.
const START_PATIENCE: Duration = Duration::from_secs(20);
/// How often it is looked at meanwhile.
const POLL: Duration = Duration::from_millis(5);
/// A log beyond this size is moved aside when the next engine starts.
const LOG_BYTES: u64 = 8 * 1024 * 1024;
/// How much of the log is shown when an engine does not start.
const LOG_TAIL: u64 = 2_000;

/// Starts an engine, if none listens, and returns when one does.
///
/// # Errors
/// When it ends at once or does not listen in time, with the end of its log.
pub(crate) async fn start(context: &Context) -> Result<()> {
    let layout = &context.settings.layout;
    let socket = lock::socket_path(layout, &context.temp)?;
    if listens(&socket) {
        return Ok(());
    }
    std::fs::create_dir_all(layout.root()).with_context(|| {
        format!(
            "cannot create {}; check that the data directory is writable, or choose another with --data-dir",
            layout.root().display()
        )
    })?;
    let log_path = layout.engine_log();
    let (log, before) = open_log(&log_path)?;
    let mut child = tokio::process::Command::new(&context.program)
        .arg("engine")
        .arg("--data-dir")
        .arg(&context.settings.data_dir)
        .arg("--agents-dir")
        .arg(&context.settings.agents_dir)
        // A front-end of the host has these; the engine is nobody's plugin.
        .env_remove("MESH_LLM_PLUGIN_ENDPOINT")
        .env_remove("MESH_LLM_PLUGIN_TRANSPORT")
        .env_remove("MESH_LLM_PLUGIN_NAME")
        .current_dir(&context.settings.data_dir)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .context("cannot start the engine")?;
    let deadline = Instant::now() + START_PATIENCE;
    while !listens(&socket) {
        if let Some(status) = child.try_wait().context("cannot watch the engine start")? {
            // Another engine may have been faster; then that one is as good.
            if wait_for(&socket, Duration::from_secs(2)).await {
                return Ok(());
            }
            bail!(
                "the engine did not start ({status})\n{}",
                tail(&log_path, before)
            );
        }
        if Instant::now() > deadline {
            bail!(
                "the engine (pid {:?}) does not listen on {} after {} s\n{}",
                child.id(),
                socket.display(),
                START_PATIENCE.as_secs(),
                tail(&log_path, before)
            );
        }
        tokio::time::sleep(POLL).await;
    }
    Ok(())
}

async fn wait_for(socket: &Path, patience: Duration) -> bool {
    let deadline = Instant::now() + patience;
    while Instant::now() < deadline {
        if listens(socket) {
            return true;
        }
        tokio::time::sleep(POLL).await;
    }
    false
}

/// Opens the log for appending; says how long it is before this engine writes.
fn open_log(path: &Path) -> Result<(File, u64)> {
    if std::fs::metadata(path).is_ok_and(|metadata| metadata.len() > LOG_BYTES) {
        std::fs::rename(path, path.with_extension("log.old"))
            .with_context(|| format!("cannot move {} aside", path.display()))?;
    }
    let log = OpenOptions::new().create(true).append(true).open(path);
    let log = log.with_context(|| {
        format!(
            "cannot write {}; check that the data directory is writable, or choose another with --data-dir",
            path.display()
        )
    })?;
    let length = log.metadata().map(|metadata| metadata.len()).unwrap_or(0);
    Ok((log, length))
}

/// The end of what was written to the log since `before`.
fn tail(path: &Path, before: u64) -> String {
    let read = || -> std::io::Result<String> {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(before.max(length.saturating_sub(LOG_TAIL))))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim().to_owned())
    };
    match read() {
        Ok(text) if !text.is_empty() => format!("{text}\n({})", path.display()),
        _ => format!("see {}", path.display()),
    }
}
