//! Running a node: the flags of the released program that a test needs, and the options behind them.
//!
//! Everything that would leave the machine is off whatever the flags say: no relays, no discovery, no
//! default plugins, no console assets (the published crates carry none).

use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, ValueEnum};
use mesh_llm_events::LogFormat;
use mesh_llm_host_runtime::{
    RuntimeOptions, RuntimeSurface, configure_hf_tls_provider, initialize_logging_for_cli,
    run_runtime, run_runtime_initialized,
};

/// The flags of a node, spelled as the released program spells them.
#[derive(Debug, Args)]
pub(crate) struct NodeArgs {
    /// Port of the OpenAI-compatible API.
    #[arg(long, default_value_t = 9337)]
    port: u16,
    /// Port of the management API: `/mcp`, `/api/status`, `/api/plugins`.
    #[arg(long, default_value_t = 3131)]
    console: u16,
    /// Address of the mesh's QUIC socket.
    #[arg(long, default_value_t = IpAddr::V4(Ipv4Addr::LOCALHOST))]
    bind_ip: IpAddr,
    /// Fixed UDP port of the mesh's QUIC socket; random when left out.
    #[arg(long)]
    bind_port: Option<u16>,
    /// Display name of the node.
    #[arg(long)]
    name: Option<String>,
    /// Invite token of a mesh to join; may be repeated.
    #[arg(long)]
    join: Vec<String>,
    /// Configuration file; $HOME/.mesh-llm/config.toml when left out.
    #[arg(long)]
    config: Option<PathBuf>,
    /// Form of the host's own event lines.
    #[arg(long, value_enum, default_value_t = EventFormat::Pretty)]
    log_format: EventFormat,
    /// Always on here; accepted so that one command line drives the released program too.
    #[arg(long)]
    disable_iroh_relays: bool,
    /// Always on here; accepted so that one command line drives the released program too.
    #[arg(long)]
    headless: bool,
    /// Always on here; accepted so that one command line drives the released program too.
    #[arg(long)]
    no_default_plugins: bool,
}

/// How a host starts itself once more, as the process of one of its own plugins.
#[derive(Debug, Args)]
pub(crate) struct BuiltinArgs {
    /// The built-in plugin to be.
    #[arg(long, hide = true, required = true)]
    plugin: Option<String>,
    /// An argument of it; may be repeated.
    #[arg(long, hide = true)]
    plugin_arg: Vec<String>,
    /// Given by the host; a plugin has no event lines.
    #[arg(long, hide = true, value_enum)]
    log_format: Option<EventFormat>,
}

/// Form of the host's event lines.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum EventFormat {
    Pretty,
    Json,
}

impl NodeArgs {
    fn into_options(self, client: bool) -> RuntimeOptions {
        RuntimeOptions {
            client,
            port: self.port,
            console: self.console,
            bind_ip: Some(self.bind_ip),
            bind_port: self.bind_port,
            name: self.name,
            join: self.join,
            config: self.config,
            log_format: match self.log_format {
                EventFormat::Pretty => LogFormat::Pretty,
                EventFormat::Json => LogFormat::Json,
            },
            disable_iroh_relays: true,
            headless: true,
            no_default_plugins: true,
            ..RuntimeOptions::default()
        }
    }
}

/// Runs a client-role node until it is told to stop.
///
/// # Errors
/// What the host reports: a configuration it refuses, a port that is taken, a required plugin that
/// does not come up.
pub(crate) async fn run_client(args: NodeArgs) -> Result<()> {
    run_runtime(args.into_options(true), Some(RuntimeSurface::Client), None).await
}

/// Is one of the host's own plugins until the host is done with it. Without this a node whose configuration
/// does not disable `blobstore` waits ten seconds for it at every start.
///
/// # Errors
/// An unknown name, and what the plugin reports.
pub(crate) async fn run_builtin(args: BuiltinArgs) -> Result<()> {
    let options = RuntimeOptions {
        plugin: args.plugin,
        plugin_args: args.plugin_arg,
        ..RuntimeOptions::default()
    };
    run_runtime(options, None, None).await
}

/// Runs a serve-role node until it is told to stop.
///
/// The ordinary start of that role insists on a native model runtime; initialising only the logging and
/// going on from there is the way round it, and the node then stands by.
///
/// # Errors
/// As [`run_client`].
pub(crate) async fn run_serve(args: NodeArgs) -> Result<()> {
    let options = args.into_options(false);
    configure_hf_tls_provider();
    initialize_logging_for_cli(options.config.as_deref()).await?;
    run_runtime_initialized(options, Some(RuntimeSurface::Serve), None).await
}
