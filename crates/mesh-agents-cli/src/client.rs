//! The verbs' way to the engine.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use futures::FutureExt as _;
use mesh_agents_core::ids::AgentId;
use mesh_agents_core::json::JsonText;
use mesh_agents_core::refusal::{Code, Refusal};
use mesh_agents_core::task::ArtifactInfo;
use mesh_agents_plugin::backend::{CallMeta, Surface, ToolBackend};
use mesh_agents_plugin::frontend::{Frontend, FrontendConfig, StartEngine};
use mesh_agents_plugin::mesh_node::{
    ForgetRequest, Forgotten, PeerShown, PreferRequest, Preferred,
};
pub(crate) use mesh_agents_plugin::socket::LoggedEvent;
use mesh_agents_plugin::socket::{
    BackupAnswer, BackupRequest, PeersAnswer, PruneAnswer, PruneRequest, Status,
};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use ulid::Ulid;

use crate::VERSION;
use crate::context::Context;
use crate::engine::{launch, lock};

/// An engine has read a new agent's directory within a second; a busy machine takes longer.
const SEEN: Duration = Duration::from_secs(3);
/// Time between two asks whether it has.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// A front-end over the engine of this data directory.
pub(crate) fn frontend(context: &Context) -> Result<Frontend> {
    let socket = lock::socket_path(&context.settings.layout, &context.temp)?;
    let starter = Arc::new(context.clone());
    let start: StartEngine = Arc::new(move || {
        let context = Arc::clone(&starter);
        async move {
            let started = launch::start(&context).await;
            started.map_err(|error| Refusal::new(Code::EngineUnavailable, format!("{error:#}")))
        }
        .boxed()
    });
    Ok(Frontend::new(FrontendConfig {
        socket,
        start,
        instance: Ulid::new().to_string(),
        version: VERSION.to_owned(),
    }))
}

/// The engine as the verbs use it.
#[derive(Debug)]
pub(crate) struct Client {
    frontend: Frontend,
    agents_dir: PathBuf,
}

impl Client {
    /// Connects; starts an engine when none runs.
    pub(crate) async fn connect(context: &Context) -> Result<Self> {
        let frontend = frontend(context)?;
        frontend.ensure_engine().await?;
        Ok(Self {
            frontend,
            agents_dir: context.settings.agents_dir.clone(),
        })
    }

    /// Calls a tool.
    pub(crate) async fn tool(&self, name: &str, args: &Value) -> Result<JsonText> {
        let args = JsonText::of(args)?;
        Ok(self
            .frontend
            .call(CallMeta::local(Surface::Cli), name, args)
            .await?)
    }

    /// Sends a message to an agent. One whose directory was made a moment ago is given the time to be seen: a script
    /// that makes an agent and sends to it must not be told that there is none.
    pub(crate) async fn send(&self, agent: &str, args: &Value) -> Result<JsonText> {
        let until = Instant::now() + SEEN;
        loop {
            let sent = self.tool("send_message", args).await;
            let unseen = matches!(&sent, Err(error) if is_unknown_agent(error));
            if !unseen || Instant::now() >= until || !self.has_files(agent) {
                return sent;
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// Waits until an engine that runs has read that an agent takes work, or that it does not: what is sent next
    /// must be decided by it. True at once when none runs; false when it takes too long.
    pub(crate) async fn until_seen(
        context: &Context,
        agent: &AgentId,
        enabled: bool,
    ) -> Result<bool> {
        #[derive(Deserialize)]
        struct Found {
            location: String,
        }
        let frontend = frontend(context)?;
        if frontend.running().await.is_none() {
            return Ok(true);
        }
        let client = Self {
            frontend,
            agents_dir: context.settings.agents_dir.clone(),
        };
        let args = serde_json::json!({ "agent_id": agent });
        let until = Instant::now() + SEEN;
        loop {
            let shown = client.tool("get_agent", &args).await;
            // Without one here, the id may mean another node's.
            let here = match &shown {
                Ok(shown) => shown.read::<Found>().is_ok_and(|it| it.location == "local"),
                Err(error) => !is_unknown_agent(error),
            };
            if here == enabled {
                return Ok(true);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            sleep(ASK_EVERY).await;
        }
    }

    /// Whether there is a directory for it. What is no id is looked for nowhere.
    fn has_files(&self, agent: &str) -> bool {
        agent.parse::<AgentId>().is_ok()
            && self.agents_dir.join(agent).join("runtime.toml").exists()
    }

    /// A page of a task's log.
    pub(crate) async fn events(&self, task: &str, after: u64) -> Result<Vec<LoggedEvent>> {
        Ok(self.frontend.events(&parse(task)?, after).await?)
    }

    /// Removes ended tasks.
    pub(crate) async fn prune(&self, request: &PruneRequest) -> Result<PruneAnswer> {
        Ok(self.frontend.prune(request).await?)
    }

    /// Makes a copy of everything.
    pub(crate) async fn backup(&self, request: &BackupRequest) -> Result<BackupAnswer> {
        Ok(self.frontend.backup(request).await?)
    }

    /// Who is on the mesh.
    pub(crate) async fn peers(&self) -> Result<PeersAnswer> {
        Ok(self.frontend.peers().await?)
    }

    /// All that is known of one node.
    pub(crate) async fn peer(&self, peer: &str) -> Result<PeerShown> {
        Ok(self.frontend.peer(peer).await?)
    }

    /// Chooses the node a plain agent id means.
    pub(crate) async fn prefer(&self, request: &PreferRequest) -> Result<Preferred> {
        Ok(self.frontend.prefer(request).await?)
    }

    /// Forgets what is known of a node.
    pub(crate) async fn forget(&self, request: &ForgetRequest) -> Result<Forgotten> {
        Ok(self.frontend.forget(request).await?)
    }

    /// How the engine is; `None` when it has just gone.
    pub(crate) async fn status(&self) -> Option<Status> {
        self.frontend.running().await
    }

    /// Asks the engine to leave once its running tasks have ended.
    pub(crate) async fn drain(&self) -> Result<()> {
        Ok(self.frontend.stop(false).await?)
    }

    /// A task's artifacts.
    pub(crate) async fn artifacts(&self, task: &str) -> Result<Vec<ArtifactInfo>> {
        Ok(self.frontend.artifacts(&parse(task)?).await?)
    }

    /// An artifact's content.
    pub(crate) async fn artifact(&self, task: &str, artifact: &str) -> Result<Vec<u8>> {
        Ok(self
            .frontend
            .artifact(&parse(task)?, &parse(artifact)?)
            .await?)
    }
}

fn is_unknown_agent(error: &anyhow::Error) -> bool {
    let refusal = error.downcast_ref::<Refusal>();
    refusal.is_some_and(|refusal| refusal.code == Code::AgentNotFound)
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(text: &str) -> Result<T> {
    let parsed = text.parse();
    Ok(parsed.map_err(|error: T::Err| Refusal::new(Code::InvalidArgument, error.to_string()))?)
}
