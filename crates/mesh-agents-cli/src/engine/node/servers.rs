//! The listeners of a node: HTTP for clients, a Unix socket for front-ends.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use axum::Router;
use axum::routing::get;
use axum::serve::{ListenerExt as _, TapIo};
use mesh_agents_a2a::card::{AccessTokens, Place};
use mesh_agents_a2a::server::A2aServer;
use mesh_agents_plugin::backend::ToolBackend;
use mesh_agents_plugin::guard::{Guard, ResolveToken};
use mesh_agents_plugin::local::{UnixListener, owner_only};
use mesh_agents_plugin::mcp;
use mesh_agents_plugin::mesh_link::{HubConfig, MeshHub};
use mesh_agents_plugin::socket::{EngineControl, OwnUser, Peer};
use mesh_agents_tasks::TaskEngine;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Control, NodeConfig};
use crate::VERSION;
use crate::clock::SystemClock;
use crate::tokens::Tokens;

/// `/mcp`, `/a2a`, `/healthz` and `/metrics`, behind the rules of who may call.
pub(super) fn http_app(
    config: &NodeConfig,
    base_url: &str,
    place: Place,
    control: &Arc<Control>,
    tools: &Arc<dyn ToolBackend>,
    end: &CancellationToken,
) -> Result<Router> {
    let measured = Arc::clone(control);
    let app = Router::new()
        .route("/metrics", get(async move || metrics(&measured)))
        .merge(mcp::router(Arc::clone(tools), VERSION, end.clone()))
        .merge(a2a(&control.engine, place, end));
    let host = axum::http::Uri::try_from(base_url).context("public_url is not a URL")?;
    let hosts = host.host().map(str::to_owned).into_iter().collect();
    let guard = Guard {
        hosts,
        token_required: config.access_tokens() == AccessTokens::Required,
        resolve: resolve(config.tokens.clone(), control),
    };
    Ok(guard.protect(app))
}

/// The A2A routes of this node's agents.
pub(super) fn a2a(engine: &TaskEngine, place: Place, end: &CancellationToken) -> Router {
    mesh_agents_a2a::router::router(A2aServer {
        engine: engine.clone(),
        place,
        end: end.clone(),
    })
}

/// Who a bearer token stands for: the holder of an access token, or a run of ours.
fn resolve(tokens: Tokens, control: &Arc<Control>) -> ResolveToken {
    let engine = control.engine.clone();
    Arc::new(move |token| {
        tokens
            .caller(token)
            .or_else(|| engine.caller_of_token(token))
    })
}

/// What a monitor wants to know, in the text format of Prometheus.
fn metrics(control: &Control) -> String {
    let status = control.status();
    let gauges = [
        (
            "mesh_agents_tasks_running",
            "Tasks that hold a slot",
            u64::from(status.running),
        ),
        (
            "mesh_agents_tasks_queued",
            "Tasks that wait for one",
            u64::from(status.queued),
        ),
        (
            "mesh_agents_frontends",
            "Front-ends attached to the engine",
            status.frontends as u64,
        ),
    ];
    let late = (
        "mesh_agents_late_writes_total",
        "Writes of runs that came after their attempt was over, dropped",
        control.engine.late_writes(),
    );
    let kinds = gauges.iter().map(|gauge| (gauge, "gauge"));
    kinds
        .chain([(&late, "counter")])
        .map(|((name, help, value), kind)| {
            format!("# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n")
        })
        .collect()
}

/// Opens the socket. Who holds the engine's lock owns the path: what lies there is left over.
pub(super) fn bind_socket(path: &Path) -> Result<OwnUser> {
    if let Err(error) = std::fs::remove_file(path)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        return Err(error).with_context(|| format!("cannot replace {}", path.display()));
    }
    let listener =
        UnixListener::bind(path).with_context(|| format!("cannot listen on {}", path.display()))?;
    owner_only(path).with_context(|| format!("cannot protect {}", path.display()))?;
    Ok(OwnUser::new(
        listener,
        Arc::new(mesh_agents_acp_bridge::may_be_in_a_run),
    ))
}

/// The way to the mesh, with its sockets beside the engine's own: `path` has less than 100 bytes, so
/// theirs have what a socket may have.
pub(super) fn mesh_hub(
    path: &Path,
    tasks: &TaskTracker,
    end: &CancellationToken,
) -> Result<MeshHub> {
    let dir = path.with_extension("in");
    let config = HubConfig {
        dir: dir.clone(),
        in_a_run: Arc::new(mesh_agents_acp_bridge::may_be_in_a_run),
        clock: Arc::new(SystemClock),
        tasks: tasks.clone(),
        end: end.clone(),
    };
    MeshHub::new(config).with_context(|| format!("cannot use {}", dir.display()))
}

/// A listener whose answers leave at once. An event stream is written in pieces, and without this the
/// second waits for the client to acknowledge the first: 40 ms on every MCP call.
fn at_once(
    listener: TcpListener,
) -> TapIo<TcpListener, impl FnMut(&mut TcpStream) + Send + 'static> {
    listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "answers on a connection may be late");
        }
    })
}

/// Serves until `end`; then finishes what is being answered. Every request says from which address
/// it comes, since some of those are nobody's ([`Guard`]).
pub(super) async fn serve(listener: TcpListener, app: Router, end: CancellationToken) {
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let served = axum::serve(at_once(listener), app).with_graceful_shutdown(end.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "a listener ended");
    }
}

/// Serves the socket until `end`, as [`serve`] does; every request says who is at the other end.
pub(super) async fn serve_socket(listener: OwnUser, app: Router, end: CancellationToken) {
    let app = app.into_make_service_with_connect_info::<Peer>();
    let served = axum::serve(listener, app).with_graceful_shutdown(end.cancelled_owned());
    if let Err(error) = served.await {
        tracing::error!(%error, "the socket of the engine ended");
    }
}
