//! A front-end: asks the engine over its socket, and starts one when there is none (DESIGN §3).
//!
//! The host's plugin process, `agents mcp`, copies of `cli.run` and the CLI verbs are front-ends.
//! They keep no state: a call whose connection breaks is sent again to the next engine. That is safe,
//! because every message carries a key; one the caller did not give is minted here.

mod wire;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use mesh_agents_core::ids::{ArtifactId, TaskId};
use mesh_agents_core::json::JsonText;
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_core::task::ArtifactInfo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::{Instant, sleep};
use ulid::Ulid;

use crate::backend::{CallMeta, ToolBackend};
use crate::mesh_link::line;
use crate::mesh_node::{ForgetRequest, Forgotten, PeerShown, PreferRequest, Preferred};
use crate::socket::{
    BackupAnswer, BackupRequest, CheckAnswer, INSTANCE_HEADER, LogPage, LoggedEvent, MINTED_HEADER,
    MeshReport, PROTOCOL, PeersAnswer, PruneAnswer, PruneRequest, SURFACE_HEADER, Status, Stop,
    WAIT_HEADER,
};
use crate::tool::ToolName;
pub(crate) use wire::Upgraded;
use wire::{Request, WireError};

/// Starts an engine if none listens, and returns once one does.
pub type StartEngine = Arc<dyn Fn() -> BoxFuture<'static, Result<(), Refusal>> + Send + Sync>;

/// How long one call goes on trying to reach an engine that comes and goes.
const PATIENCE: Duration = Duration::from_secs(30);
/// First pause between tries; doubled each time, up to [`PAUSE_MAX`].
const PAUSE: Duration = Duration::from_millis(20);
/// Longest pause between tries.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// How long an older engine may take to leave before its successor's front-end works with it as it is.
const REPLACE_PATIENCE: Duration = Duration::from_secs(3);
/// How often an older engine at work is looked at by a front-end that stays: without it, the front-end
/// itself would keep that engine for good. Often enough to find it between two tasks.
const OLDER_LOOK: Duration = Duration::from_secs(5);

/// What a front-end is made of.
pub struct FrontendConfig {
    /// The engine's socket.
    pub socket: PathBuf,
    /// Starts an engine.
    pub start: StartEngine,
    /// This process: a ULID as text.
    pub instance: String,
    /// Our version.
    pub version: String,
}

impl fmt::Debug for FrontendConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrontendConfig")
            .field("socket", &self.socket)
            .finish_non_exhaustive()
    }
}

/// A client of the engine. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Frontend {
    config: Arc<FrontendConfig>,
}

impl Frontend {
    /// A front-end; nothing is connected or started before the first call.
    #[must_use]
    pub fn new(config: FrontendConfig) -> Self {
        Self {
            config: Arc::new(config),
        }
    }

    /// Sees to it that an engine runs that is no older than this program.
    ///
    /// # Errors
    /// `engine_unavailable` when none can be started, or when the one that runs speaks a newer protocol.
    pub async fn ensure_engine(&self) -> Result<Status, Refusal> {
        let status: Status = self.get("/engine/v1/status").await?;
        if status.protocol > PROTOCOL {
            return Err(unavailable(format!(
                "the engine (pid {}) is of version {} and this program is too old for it ({})",
                status.pid, status.version, self.config.version
            ))
            .hint("Update this program, or stop that engine with its own: agents stop."));
        }
        let older = is_newer(&self.config.version, &status.version);
        let busy = status.running > 0;
        // An older engine of the same protocol goes on with its work; the next idle moment will do.
        if status.protocol == PROTOCOL && (!older || busy) {
            return Ok(status);
        }
        self.stop(false).await?;
        let deadline = Instant::now() + REPLACE_PATIENCE;
        while Instant::now() < deadline {
            match self.running().await {
                Some(now) if now.pid == status.pid => sleep(PAUSE).await,
                _ => return self.get("/engine/v1/status").await,
            }
        }
        // It waits for its running tasks. It answers reads meanwhile, and says so to new messages.
        Ok(status)
    }

    /// How the engine is; `None` when none runs. Starts nothing.
    pub async fn running(&self) -> Option<Status> {
        let answer = wire::send(&self.config.socket, Request::get("/engine/v1/status"))
            .await
            .ok()?;
        serde_json::from_slice(&answer.ok()?).ok()
    }

    /// Asks the engine that runs to stop. Starts nothing; no engine is no error.
    ///
    /// # Errors
    /// When the engine refuses.
    pub async fn stop(&self, now: bool) -> Result<(), Refusal> {
        let request = Request::post("/engine/v1/stop", encode(&Stop { now })?);
        match wire::send(&self.config.socket, request).await {
            Ok(answer) => answer.map(|_| ()),
            Err(_gone) => Ok(()),
        }
    }

    /// Tells the engine where this front-end's mesh-llm host is.
    ///
    /// # Errors
    /// `engine_unavailable`.
    pub async fn report_mesh(&self, report: &MeshReport) -> Result<(), Refusal> {
        self.request(Request::post("/engine/v1/mesh", encode(report)?))
            .await
            .map(|_| ())
    }

    /// A page of a task's log.
    ///
    /// # Errors
    /// As the engine says, or `engine_unavailable`.
    pub async fn events(&self, task: &TaskId, after: u64) -> Result<Vec<LoggedEvent>, Refusal> {
        let page: LogPage = self
            .get(&format!("/engine/v1/tasks/{task}/events?after={after}"))
            .await?;
        Ok(page.events)
    }

    /// An artifact's content.
    ///
    /// # Errors
    /// As the engine says, or `engine_unavailable`.
    pub async fn artifact(&self, task: &TaskId, artifact: &ArtifactId) -> Result<Vec<u8>, Refusal> {
        let id = percent(artifact.as_str());
        let answer = self
            .request(Request::get(&format!(
                "/engine/v1/tasks/{task}/artifact?id={id}"
            )))
            .await?;
        Ok(answer.to_vec())
    }

    /// A task's artifacts, by id.
    ///
    /// # Errors
    /// As the engine says, or `engine_unavailable`.
    pub async fn artifacts(&self, task: &TaskId) -> Result<Vec<ArtifactInfo>, Refusal> {
        self.get(&format!("/engine/v1/tasks/{task}/artifacts"))
            .await
    }

    /// Has the engine remove ended tasks.
    ///
    /// # Errors
    /// As the engine says, or `engine_unavailable`.
    pub async fn prune(&self, request: &PruneRequest) -> Result<PruneAnswer, Refusal> {
        self.post("/engine/v1/prune", request).await
    }

    /// Has the engine make a copy of everything.
    ///
    /// # Errors
    /// As the engine says, or `engine_unavailable`.
    pub async fn backup(&self, request: &BackupRequest) -> Result<BackupAnswer, Refusal> {
        self.post("/engine/v1/backup", request).await
    }

    /// Has the engine look at everything it keeps.
    ///
    /// # Errors
    /// As the engine says, or `engine_unavailable`.
    pub async fn check(&self) -> Result<CheckAnswer, Refusal> {
        self.get("/engine/v1/check").await
    }

    /// Who is on the mesh, and whether they answer a ping.
    ///
    /// # Errors
    /// `engine_unavailable`.
    pub async fn peers(&self) -> Result<PeersAnswer, Refusal> {
        self.get("/engine/v1/mesh/peers").await
    }

    /// All that is known of the node that `peer` names.
    ///
    /// # Errors
    /// `invalid_argument` when that is none or several; `engine_unavailable`.
    pub async fn peer(&self, peer: &str) -> Result<PeerShown, Refusal> {
        let path = format!("/engine/v1/mesh/peers/{}", percent(peer));
        self.get(&path).await
    }

    /// Chooses the node a plain agent id means.
    ///
    /// # Errors
    /// `invalid_argument`, `agent_not_found`, `storage`, `engine_unavailable`.
    pub async fn prefer(&self, request: &PreferRequest) -> Result<Preferred, Refusal> {
        self.post("/engine/v1/mesh/prefer", request).await
    }

    /// Forgets what is known of a node.
    ///
    /// # Errors
    /// `engine_unavailable`.
    pub async fn forget(&self, request: &ForgetRequest) -> Result<Forgotten, Refusal> {
        self.post("/engine/v1/mesh/forget", request).await
    }

    /// Links this process, the plugin of a host, to the engine that runs. Starts nothing.
    ///
    /// # Errors
    /// When no engine runs, or it has a link already, or it is older than the link.
    pub(crate) async fn link(&self) -> Result<Upgraded, Refusal> {
        let linked = wire::upgrade(&self.config.socket, line::PATH, line::UPGRADE).await;
        linked.map_err(|error| unavailable(format!("the engine cannot be reached: {error}")))?
    }

    /// Keeps an engine running and this front-end counted with it, until dropped. An engine that
    /// dies is started again, so that what is queued goes on; an older one that was left to its
    /// work is replaced once it has none.
    pub async fn stay_attached(&self, mut attached: impl FnMut()) {
        let mut pause = PAUSE;
        loop {
            match self.ensure_engine().await {
                Ok(status) => {
                    pause = PAUSE;
                    attached();
                    let older = is_newer(&self.config.version, &status.version);
                    tokio::select! {
                        ended = wire::hold(&self.config.socket, "/engine/v1/attach") => {
                            if let Err(error) = ended {
                                tracing::debug!(%error, "the connection to the engine ended");
                            }
                        }
                        () = sleep(OLDER_LOOK), if older => {}
                    }
                }
                Err(refusal) => tracing::warn!(%refusal, "no engine"),
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Refusal> {
        self.read(Request::get(path)).await
    }

    async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Refusal> {
        self.read(Request::post(path, encode(body)?)).await
    }

    async fn read<T: DeserializeOwned>(&self, request: Request) -> Result<T, Refusal> {
        let answer = self.request(request).await?;
        serde_json::from_slice(&answer)
            .map_err(|error| unavailable(format!("the engine's answer cannot be read: {error}")))
    }

    /// Sends until an engine answers: starts one where none is, sends again where one breaks off.
    async fn request(&self, request: Request) -> Result<bytes::Bytes, Refusal> {
        self.request_parked(request, Duration::ZERO).await
    }

    /// The same for a call that may be parked for `park` in all, however often it is sent.
    async fn request_parked(
        &self,
        request: Request,
        park: Duration,
    ) -> Result<bytes::Bytes, Refusal> {
        let started = Instant::now();
        let mut deadline = started + PATIENCE;
        let mut pause = PAUSE;
        loop {
            let tried = Instant::now();
            let left = park
                .saturating_sub(started.elapsed())
                .as_millis()
                .to_string();
            let attempt = request.clone().header(WAIT_HEADER, &left);
            let problem = match wire::send(&self.config.socket, attempt).await {
                Ok(Err(refusal)) if refusal.code == Code::EngineUnavailable => refusal,
                Ok(answer) => return answer,
                Err(WireError::NoEngine(error)) => {
                    (self.config.start)().await?;
                    unavailable(format!("the engine cannot be reached: {error}"))
                }
                Err(WireError::Broken(error)) => {
                    unavailable(format!("the connection to the engine broke: {error}"))
                }
            };
            if tried.elapsed() > PAUSE_MAX {
                // It was parked with an engine that has gone since: the trouble begins now.
                (deadline, pause) = (Instant::now() + PATIENCE, PAUSE);
            }
            if Instant::now() + pause > deadline {
                return Err(problem);
            }
            sleep(pause).await;
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }
}

impl ToolBackend for Frontend {
    fn call<'a>(
        &'a self,
        meta: CallMeta,
        tool: &'a str,
        args: JsonText,
    ) -> BoxFuture<'a, Result<JsonText, Refusal>> {
        async move {
            let (args, minted) = if tool == ToolName::SendMessage.as_str() {
                with_key(args)?
            } else {
                (args, false)
            };
            let mut request = Request::post(
                &format!("/engine/v1/tools/{}", percent(tool)),
                args.as_str().to_owned().into(),
            )
            .header(SURFACE_HEADER, meta.surface.as_str())
            .header(INSTANCE_HEADER, &self.config.instance);
            if minted {
                request = request.header(MINTED_HEADER, "1");
            }
            let answer = self.request_parked(request, meta.wait_cap).await?;
            let text = std::str::from_utf8(&answer).unwrap_or_default();
            JsonText::parse(text)
                .map_err(|error| unavailable(format!("the engine's answer is not JSON: {error}")))
        }
        .boxed()
    }
}

/// The arguments of `send_message` with a key, and whether it was added here.
fn with_key(args: JsonText) -> Result<(JsonText, bool), Refusal> {
    #[derive(serde::Deserialize)]
    struct Given {
        message_id: Option<serde::de::IgnoredAny>,
    }
    let Ok(Given { message_id: None }) = args.read::<Given>() else {
        // Given, or no object at all: then the engine says what is wrong.
        return Ok((args, false));
    };
    let mut all: std::collections::BTreeMap<&str, &RawValue> = match args.read() {
        Ok(all) => all,
        Err(_) => return Ok((args, false)),
    };
    let key = encode_text(&format!("msg-{}", Ulid::new()))?;
    let raw: &RawValue = serde_json::from_str(&key).map_err(|error| fault(&error))?;
    all.insert("message_id", raw);
    Ok((JsonText::of(&all).map_err(|error| fault(&error))?, true))
}

fn encode<T: Serialize>(value: &T) -> Result<bytes::Bytes, Refusal> {
    serde_json::to_vec(value)
        .map(Into::into)
        .map_err(|error| fault(&error))
}

fn encode_text(text: &str) -> Result<String, Refusal> {
    serde_json::to_string(text).map_err(|error| fault(&error))
}

fn fault(error: &serde_json::Error) -> Refusal {
    Refusal::new(Code::Internal, error.to_string())
}

fn unavailable(message: String) -> Refusal {
    Refusal::new(Code::EngineUnavailable, message)
        .hint("`agents status` says whether an engine runs; engine.log in the data directory says what it did.")
}

/// Whether version `ours` comes after `theirs` (three numbers; anything else counts as zero).
fn is_newer(ours: &str, theirs: &str) -> bool {
    let numbers = |version: &str| -> Vec<u64> {
        let core = version.split(['-', '+']).next().unwrap_or_default();
        core.split('.')
            .map(|part| part.parse().unwrap_or(0))
            .collect()
    };
    numbers(ours) > numbers(theirs)
}

/// Percent-encodes everything but unreserved characters (RFC 3986 §2.3).
fn percent(text: &str) -> String {
    use fmt::Write as _;
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // A String takes every write.
            let _infallible = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests;
