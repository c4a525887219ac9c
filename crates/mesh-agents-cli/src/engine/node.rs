//! A node: registry, bridge, task engine and listeners, put together, started and stopped in order.
//!
//! `agents engine` is a node in the background that leaves when nobody needs it; `agents serve` is
//! one in the foreground; `agents demo` runs one for half a minute in a temporary directory.

pub(crate) mod identity;
mod listen;
pub(crate) mod mesh;
pub(crate) mod runners;
mod servers;
mod snapshots;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use mesh_agents_a2a::card::{AccessTokens, Place};
use mesh_agents_a2a::push::PushWorker;
use mesh_agents_acp_bridge::{AcpBridge, BridgeConfig};
use mesh_agents_core::clock::Clock;
use mesh_agents_core::confinement::PlatformConfinement;
use mesh_agents_core::run::Runner;
use mesh_agents_plugin::backend::ToolBackend;
use mesh_agents_plugin::engine_tools::EngineTools;
use mesh_agents_plugin::mesh_link::MeshHub;
use mesh_agents_plugin::mesh_node::{MeshNode, MeshNodeConfig};
use mesh_agents_plugin::socket::{self, Engine, EngineControl, MeshReport, PROTOCOL, Status};
use mesh_agents_registry::Watcher;
use mesh_agents_tasks::{EngineConfig, TaskEngine};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::VERSION;
use crate::clock::SystemClock;
use crate::context::Context;
use crate::engine::lock::{self, EngineLock, Holder};
use crate::system::Signals;
use crate::tokens::Tokens;
pub(crate) use listen::Listen;
use runners::Runners;

/// Time for the last answers to leave once everything has stopped.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// A receiver of notifications that could not be told for this long does not keep the node: it is
/// tried again whenever one runs.
const PUSH_PATIENCE: Duration = Duration::from_secs(60);
/// How often a node that stays for notifications alone looks whether they are out.
const PUSH_LOOK: Duration = Duration::from_secs(1);

/// How a node is to run.
#[derive(Debug)]
pub(crate) struct NodeConfig {
    /// Where to serve HTTP.
    pub(crate) listen: Listen,
    /// How clients reach it, when not by the address it listens on.
    pub(crate) public_url: Option<String>,
    /// Who may call over HTTP, besides this machine's own unless the owner has a token too.
    pub(crate) tokens: Tokens,
    /// Leave after this long without work and front-ends.
    pub(crate) linger: Option<Duration>,
    /// Whether `{{ mesh.mcp_url }}` is this node's own endpoint, there being no host.
    pub(crate) own_mesh: bool,
}

impl NodeConfig {
    /// Where clients reach a node that listens at `address`.
    fn base_url(&self, address: std::net::SocketAddr) -> String {
        let listened = || format!("http://{address}");
        self.public_url.clone().unwrap_or_else(listened)
    }

    /// Where this node's agents are served, and what their cards are signed with.
    fn place(&self, base_url: &str, node: &MeshNode) -> Place {
        Place {
            base: base_url.trim_end_matches('/').to_owned(),
            tokens: self.access_tokens(),
            seal: Some(node.seal()),
        }
    }

    /// What the cards say of tokens. Beyond this machine nobody is let in without one, whatever
    /// tokens there are.
    fn access_tokens(&self) -> AccessTokens {
        if self.tokens.has_owners() || !self.listen.address.ip().is_loopback() {
            AccessTokens::Required
        } else if self.tokens.is_empty() {
            AccessTokens::None
        } else {
            AccessTokens::Some
        }
    }
}

/// A node that runs.
pub(crate) struct Node {
    base_url: String,
    engine: TaskEngine,
    runners: Arc<Runners>,
    control: Arc<Control>,
    servers: TaskTracker,
    end: CancellationToken,
    socket: PathBuf,
    watcher: Watcher,
    /// Let go of last: then another engine may start.
    lock: EngineLock,
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Node")
            .field("base_url", &self.base_url)
            .finish_non_exhaustive()
    }
}

/// What front-ends and signals can ask of the node.
struct Control {
    engine: TaskEngine,
    status: Status,
    frontends: watch::Sender<usize>,
    /// `Some(now)` once the node is to stop.
    wanted: watch::Sender<Option<bool>>,
    mesh: mesh::Mesh,
}

impl EngineControl for Control {
    fn status(&self) -> Status {
        let load = *self.engine.total_load().borrow();
        Status {
            running: load.running,
            queued: load.queued,
            frontends: *self.frontends.borrow(),
            stopping: self.wanted.borrow().is_some(),
            ..self.status.clone()
        }
    }

    fn stop(&self, now: bool) {
        // Once it is to stop now, it is not to wait again.
        self.wanted
            .send_modify(|wanted| *wanted = Some(now || *wanted == Some(true)));
    }

    fn report_mesh(&self, report: MeshReport) {
        self.engine.set_mesh(self.mesh.reported(&report));
    }
}

impl Node {
    /// Starts a node; it serves when this returns.
    pub(crate) async fn start(context: &Context, config: NodeConfig) -> Result<Self> {
        let settings = &context.settings;
        let socket = lock::socket_path(&settings.layout, &context.temp)?;
        let mut lock = EngineLock::take_over(&settings.layout, &socket).await?;
        let listener = config.listen.bind().await?;
        let address = listener
            .local_addr()
            .context("the listener has no address")?;
        let base_url = config.base_url(address);
        let own_mcp = format!("http://{}/mcp", listen::loopback(address));
        let mesh = mesh::Mesh::new(settings, config.own_mesh.then(|| own_mcp.clone()));

        let (watcher, snapshots) =
            Watcher::start(&settings.agents_dir, context.registry_environment())?;
        let bridge = AcpBridge::new(bridge_config(context));
        let (servers, end) = (TaskTracker::new(), CancellationToken::new());
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let hub = servers::mesh_hub(&socket, &servers, &end)?;
        let machine = bridge.confinement().clone();
        let peers = mesh_node(context, machine, &hub, &clock, &servers, &end)?;
        let runners = Arc::new(Runners::new(
            bridge,
            Arc::clone(&context.environment),
            Some(Arc::new(peers.clone())),
        ));
        let agents = snapshots::agents_of(&snapshots.borrow());
        peers.set_local(agents.clone());
        let engine = TaskEngine::open(EngineConfig {
            layout: settings.layout.clone(),
            clock: Arc::clone(&clock),
            runner: Arc::clone(&runners) as Arc<dyn Runner>,
            agents,
            mesh: mesh.as_set(),
            tools_url: Some(own_mcp),
        });
        let engine = engine.await?;
        engine.set_push_targets(settings.push_allow.clone());
        engine.set_mesh_tokens(settings.mesh_tokens.clone());
        engine.retain(settings.retention);
        let control = Arc::new(Control {
            engine: engine.clone(),
            status: status(context, &base_url),
            frontends: watch::Sender::new(0),
            wanted: watch::Sender::new(None),
            mesh,
        });
        let place = config.place(&base_url, &peers);
        let tools: Arc<dyn ToolBackend> = Arc::new(EngineTools {
            engine: engine.clone(),
            problems: snapshots::problems_of(snapshots.clone()),
            place: place.clone(),
            clock,
            mesh: Some(peers.clone()),
        });
        let app = servers::http_app(&config, &base_url, place.clone(), &control, &tools, &end)?;
        // Before anybody can call: other nodes' agents are known from the first call on.
        let a2a = servers::a2a(&engine, place, &end);
        peers.start(engine.clone(), a2a).await;
        servers.spawn(servers::serve(listener, app, end.clone()));
        let behind = Engine {
            mesh: hub,
            node: Some(peers.clone()),
            tools,
            tasks: engine.clone(),
            control: Arc::clone(&control) as Arc<dyn EngineControl>,
            frontends: control.frontends.clone(),
            stop: end.clone(),
        };
        servers.spawn(servers::serve_socket(
            servers::bind_socket(&socket)?,
            socket::router(behind),
            end.clone(),
        ));
        // Ends when the engine has shut down.
        servers.spawn(PushWorker::new(engine.clone()).run());
        servers.spawn(snapshots::follow(peers.clone(), snapshots, end.clone()));
        if let Some(linger) = config.linger {
            servers.spawn(leave_when_unneeded(
                Arc::clone(&control),
                linger,
                end.clone(),
            ));
        }
        lock.write(&Holder {
            pid: std::process::id(),
            socket: socket.clone(),
            version: VERSION.to_owned(),
            base_url: Some(base_url.clone()),
        })?;
        Ok(Self {
            base_url,
            engine,
            runners,
            control,
            servers,
            end,
            socket,
            watcher,
            lock,
        })
    }

    /// Where it is reached.
    pub(crate) fn base_url(&self) -> &str {
        &self.base_url
    }

    /// Runs until it is told to stop, by a signal, a front-end or having nothing to do; then stops
    /// in order: no new work, runs end, listeners close, the lock goes.
    pub(crate) async fn run_to_end(self) -> Result<()> {
        let mut signals = Signals::new()?;
        let mut wanted = self.control.wanted.subscribe();
        let now = tokio::select! {
            () = signals.next() => true,
            now = told(&mut wanted) => now,
        };
        self.control.stop(now);
        // Waiters are answered and runs end while the listeners still serve.
        tokio::select! {
            () = self.engine.shutdown(now) => {}
            () = signals.next(), if !now => self.engine.shutdown(true).await,
            () = told_now(&mut wanted), if !now => self.engine.shutdown(true).await,
        }
        self.close().await;
        Ok(())
    }

    /// Ends what runs and closes the node.
    pub(crate) async fn stop_now(self) {
        self.control.stop(true);
        self.engine.shutdown(true).await;
        self.close().await;
    }

    async fn close(self) {
        self.runners.drain().await;
        // From here on a front-end that connects finds nobody and starts the next engine.
        if let Err(error) = std::fs::remove_file(&self.socket) {
            tracing::debug!(%error, "the socket was gone already");
        }
        self.end.cancel();
        self.servers.close();
        if tokio::time::timeout(LAST_ANSWERS, self.servers.wait())
            .await
            .is_err()
        {
            tracing::debug!("a client was cut off");
        }
        drop(self.watcher);
        drop(self.lock);
    }
}

/// This node among others; it does nothing yet.
fn mesh_node(
    context: &Context,
    machine: PlatformConfinement,
    hub: &MeshHub,
    clock: &Arc<dyn Clock>,
    tasks: &TaskTracker,
    end: &CancellationToken,
) -> Result<MeshNode> {
    let layout = &context.settings.layout;
    MeshNode::new(MeshNodeConfig {
        link: Arc::new(hub.clone()),
        secret: identity::of(layout)?,
        name: context.host_name(),
        acl: layout.acl(),
        machine,
        clock: Arc::clone(clock),
        random: Arc::new(identity::random),
        tasks: tasks.clone(),
        end: end.clone(),
    })
    .context("the system has no random numbers")
}

fn bridge_config(context: &Context) -> BridgeConfig {
    let mut config = BridgeConfig::new(
        context.environment.0.clone(),
        context.program.clone(),
        context.temp.clone(),
        context.settings.layout.root().to_owned(),
    );
    if let Some(limit) = context.settings.harness_start {
        config.timeouts.initialize = limit;
    }
    config
}

fn status(context: &Context, base_url: &str) -> Status {
    Status {
        version: VERSION.to_owned(),
        protocol: PROTOCOL,
        pid: std::process::id(),
        base_url: base_url.to_owned(),
        data_dir: context.settings.data_dir.clone(),
        agents_dir: context.settings.agents_dir.clone(),
        running: 0,
        queued: 0,
        frontends: 0,
        stopping: false,
    }
}

/// Waits until a stop is wanted; says whether now.
async fn told(wanted: &mut watch::Receiver<Option<bool>>) -> bool {
    loop {
        if let Some(now) = *wanted.borrow_and_update() {
            return now;
        }
        changed(wanted).await;
    }
}

/// Waits until a stop is wanted now.
async fn told_now(wanted: &mut watch::Receiver<Option<bool>>) {
    while *wanted.borrow_and_update() != Some(true) {
        changed(wanted).await;
    }
}

async fn changed(wanted: &mut watch::Receiver<Option<bool>>) {
    if wanted.changed().await.is_err() {
        // The sender lives in the control this node holds.
        std::future::pending::<()>().await;
    }
}

/// Stops the node once there has been neither work nor a front-end for `linger`, and nothing is on
/// its way to a receiver of notifications.
async fn leave_when_unneeded(control: Arc<Control>, linger: Duration, end: CancellationToken) {
    let mut load = control.engine.total_load();
    let mut frontends = control.frontends.subscribe();
    loop {
        let needed =
            *load.borrow_and_update() != Default::default() || *frontends.borrow_and_update() > 0;
        tokio::select! {
            () = end.cancelled() => return,
            changed = load.changed() => if changed.is_err() { return },
            changed = frontends.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(linger), if !needed => {
                // An error is of the disk, and no reason to stay.
                if control.engine.push_pending(PUSH_PATIENCE).await.unwrap_or(false) {
                    tokio::time::sleep(PUSH_LOOK).await;
                    continue;
                }
                control.stop(false);
                return;
            }
        }
    }
}
