//! From a parsed command line to the verb, for a terminal and for the host's `cli.run` alike.

use anyhow::{Result, bail};

use crate::args::{Cli, IdentityAction, PeersAction, Serve, TasksAction, Verb};
use crate::client::Client;
use crate::command::{
    access, care, demo, doctor, engine, files, init, peers, settings, tasks, validate,
};
use crate::context::Context;
use crate::engine::node::{Listen, Node, NodeConfig};
use crate::output::{Exit, Output};
use crate::plugin;
use crate::settings::Environment;
use crate::system;
use crate::tokens::Tokens;

/// Carries out a command line.
pub(crate) async fn run(cli: Cli, environment: Environment, output: &mut Output) -> Result<Exit> {
    let Some(verb) = cli.verb else {
        if environment.get(plugin::ENDPOINT).is_some() && output.open_ended {
            let context = Context::load(&cli.common, environment)?;
            return plugin::serve_host(&context).await;
        }
        let help = Cli::shown(output.words()).render_help();
        output.say(&help.to_string());
        return Ok(Exit::Usage);
    };
    if !output.open_ended
        && let Some(direct) = endless(&verb)
    {
        output.say(&format!(
            "mesh-llm cannot run this, because it does not end by itself; run it directly: {direct}"
        ));
        // An installed plugin is not on PATH.
        if let Ok(program) = std::env::current_exe() {
            output.say(&format!("the program is {}", program.display()));
        }
        return Ok(Exit::Usage);
    }
    let context = Context::load(&cli.common, environment)?;
    match verb {
        Verb::List => files::list(&context, output),
        Verb::Init(asked) => init::init(&context, output, &asked),
        Verb::Schema { of } => init::schema(output, of),
        Verb::Validate(asked) => validate::validate(&context, output, &asked).await,
        Verb::Show { agent } => files::show(&context, output, &agent),
        Verb::Enable { agent } => files::set_enabled(&context, output, &agent, true).await,
        Verb::Disable { agent } => files::set_enabled(&context, output, &agent, false).await,
        Verb::Status => engine::status(&context, output).await,
        Verb::Stop { now } => engine::stop(&context, output, now).await,
        Verb::Settings => settings::settings(&context, &cli.common, output),
        Verb::Doctor => doctor::doctor(&context, output).await,
        Verb::Demo => demo::demo(&context, output).await,
        Verb::Serve(serve) => serve_node(&context, output, serve).await,
        Verb::Mcp => plugin::serve_stdio(&context).await,
        Verb::Engine { listen } => {
            system::leave_terminal();
            let address = listen.or(context.settings.listen).unwrap_or(Listen::ENGINE);
            let config = NodeConfig {
                listen: Listen {
                    address,
                    or_next: true,
                },
                public_url: context.settings.public_url.clone(),
                tokens: Tokens::load(&context, None)?,
                linger: Some(context.settings.linger),
                own_mesh: false,
            };
            loopback_or_token(&config)?;
            Node::start(&context, config).await?.run_to_end().await?;
            Ok(Exit::Done)
        }
        Verb::Peers {
            action:
                Some(PeersAction::Allow {
                    key,
                    agents,
                    label,
                    approve,
                }),
        } => {
            let also = access::Also { label, approve };
            access::allow(&context, output, &key, &agents, &also)
        }
        Verb::Peers {
            action: Some(PeersAction::Deny { key, agents }),
        } => access::deny(&context, output, &key, &agents),
        Verb::Peers {
            action: Some(PeersAction::Forget { key }),
        } => access::forget(&context, output, &key).await,
        Verb::Identity {
            action: None | Some(IdentityAction::Show),
        } => access::identity(&context, output),
        Verb::PluginManifest => plugin::print_manifest(output),
        Verb::Harness { .. } => bail!("parts of a run are started by the engine only"),
        through_engine => with_engine(&context, output, through_engine).await,
    }
}

/// The verbs that need an engine, which is started when none runs.
async fn with_engine(context: &Context, output: &mut Output, verb: Verb) -> Result<Exit> {
    let client = Client::connect(context).await?;
    match verb {
        Verb::Send(send) => tasks::send(&client, output, send).await,
        Verb::Tasks {
            action:
                Some(TasksAction::Prune {
                    older_than,
                    keep,
                    dry_run,
                }),
            ..
        } => care::prune(&client, output, older_than, keep, dry_run).await,
        Verb::Backup { path } => care::backup(&client, output, &path).await,
        Verb::Peers {
            action: None | Some(PeersAction::List),
        } => peers::list(context, &client, output).await,
        Verb::Peers {
            action: Some(PeersAction::Show { peer }),
        } => peers::show(&client, output, &peer).await,
        Verb::Peers {
            action: Some(PeersAction::Prefer { agent, peer, .. }),
        } => peers::prefer(&client, output, agent, peer).await,
        Verb::Identity {
            action: Some(IdentityAction::Rotate { force }),
        } => access::rotate(context, &client, output, force).await,
        Verb::Tasks {
            action: None,
            agent,
            state,
            context,
            limit,
            cursor,
        } => {
            tasks::tasks(
                &client,
                output,
                tasks::Filter {
                    agent,
                    state,
                    context,
                    limit,
                    cursor,
                },
            )
            .await
        }
        Verb::Task { task, wait } => tasks::task(&client, output, &task, wait).await,
        Verb::Cancel { task } => tasks::cancel(&client, output, &task).await,
        Verb::Artifacts {
            task,
            artifact,
            output: file,
        } => tasks::artifacts(&client, output, &task, artifact.as_deref(), file.as_deref()).await,
        Verb::Logs { task, follow } => tasks::logs(&client, output, &task, follow).await,
        other => bail!("{other:?} does not go through the engine"),
    }
}

/// How to run directly what the host cannot run because it never ends.
fn endless(verb: &Verb) -> Option<&'static str> {
    match verb {
        Verb::Serve(_) => Some("agents serve"),
        Verb::Mcp => Some("agents mcp"),
        Verb::Demo => Some("agents demo"),
        Verb::Engine { .. } => Some("agents engine"),
        Verb::Logs { follow: true, .. } => Some("agents logs <task> --follow"),
        _ => None,
    }
}

async fn serve_node(context: &Context, output: &mut Output, serve: Serve) -> Result<Exit> {
    let address = serve
        .listen
        .or(context.settings.listen)
        .unwrap_or(Listen::SERVE);
    let config = NodeConfig {
        listen: Listen {
            address,
            or_next: false,
        },
        public_url: serve
            .public_url
            .or_else(|| context.settings.public_url.clone()),
        tokens: Tokens::load(context, serve.access_token_file.as_deref())?,
        linger: None,
        own_mesh: true,
    };
    loopback_or_token(&config)?;
    engine::relieve(context).await?;
    let node = Node::start(context, config).await?;
    output.say(&format!("ready {}", node.base_url()));
    node.run_to_end().await?;
    Ok(Exit::Done)
}

/// Others than this machine may only knock where a token is asked for.
fn loopback_or_token(config: &NodeConfig) -> Result<()> {
    let address = config.listen.address;
    if !address.ip().is_loopback() && config.tokens.is_empty() {
        bail!(
            "{address} can be reached from other machines, and no access token is set\n\
             Pass --access-token-file FILE (or set MESH_AGENTS_ACCESS_TOKEN), or listen on 127.0.0.1."
        );
    }
    Ok(())
}
