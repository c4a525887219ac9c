//! The verbs that show other nodes and choose among them: `peers list|show|prefer`.

use std::io::{self, Write};

use anyhow::Result;
use mesh_agents_mesh::NodeKey;
use mesh_agents_mesh::acl::Acl;
use mesh_agents_plugin::mesh_node::{Heard, NodeLine, PeerShown, PreferRequest, Rights};
use mesh_agents_plugin::socket::PeersAnswer;
use serde::Serialize;

use crate::client::Client;
use crate::context::Context;
use crate::output::{Exit, Output, Words};

/// Characters of a host's id that a person needs to tell it; `--json` has all.
const SHORT: usize = 12;

/// A node that was let in and was never heard: it is on no list but the owner's.
#[derive(Debug, Serialize)]
struct Listed {
    peer_id: NodeKey,
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    allow: Vec<String>,
}

/// Who is written down and not among `nodes`. Empty while the list has mistakes, which the engine tells of.
fn unheard(context: &Context, nodes: &[NodeLine]) -> Vec<Listed> {
    let file = context.settings.layout.acl();
    let text = std::fs::read_to_string(&file).unwrap_or_default();
    let acl = Acl::parse(&text, &file).unwrap_or_default();
    acl.peers()
        .filter(|(key, _)| nodes.iter().all(|node| node.peer_id != **key))
        .map(|(key, peer)| Listed {
            peer_id: *key,
            label: peer.label.clone(),
            allow: peer.rules.allow.iter().map(ToString::to_string).collect(),
        })
        .collect()
}

/// `agents peers list`: the hosts on the mesh, each asked whether our engine is there, the nodes behind
/// them, who is let in and was never heard, and who was refused.
pub(crate) async fn list(context: &Context, client: &Client, output: &mut Output) -> Result<Exit> {
    #[derive(Serialize)]
    struct Document {
        #[serde(flatten)]
        answer: PeersAnswer,
        unheard: Vec<Listed>,
    }
    let answer = client.peers().await?;
    let nodes = answer.mesh.as_ref().map(|mesh| mesh.nodes.as_slice());
    let unheard = unheard(context, nodes.unwrap_or_default());
    let document = Document { answer, unheard };
    let answer = &document.answer;
    let words = output.words();
    output.answer("peers.list", &document, |out| {
        for peer in &answer.peers {
            let id = peer.mesh_peer_id.as_str().get(..SHORT).unwrap_or_default();
            let reached = match (peer.ping_ms, &peer.problem) {
                (Some(ms), _) => format!("answers in {ms:.1} ms"),
                (None, Some(problem)) => problem.clone(),
                (None, None) => String::new(),
            };
            writeln!(out, "host {id}  since {}  {reached}", peer.since)?;
        }
        let Some(mesh) = &answer.mesh else {
            return Ok(());
        };
        for node in &mesh.nodes {
            let agents = node.agents.join(", ");
            writeln!(
                out,
                "node {}  {}  {}  {agents}",
                node.peer_id, node.presence, node.name
            )?;
            for warning in &node.warnings {
                writeln!(out, "     careful: {warning}")?;
            }
        }
        for listed in &document.unheard {
            let label = listed.label.as_deref().unwrap_or_default();
            let may = match listed.allow.as_slice() {
                [] => "nothing".to_owned(),
                some => some.join(", "),
            };
            writeln!(
                out,
                "node {}  never seen  {label}  may call: {may}",
                listed.peer_id
            )?;
        }
        for owner in &mesh.owners {
            let why = if owner.chosen {
                "you prefer it"
            } else {
                "first used there"
            };
            writeln!(
                out,
                "agent {} means the one on {} ({why})",
                owner.agent_id, owner.peer_id
            )?;
        }
        for agent in &mesh.withheld {
            writeln!(out, "not offered: {}: {}", agent.agent_id, agent.reason)?;
        }
        for knock in &mesh.knocks {
            let allow = words.commands(&format!(
                "agents peers allow {} {}",
                knock.peer_id, knock.agent_id
            ));
            writeln!(
                out,
                "refused: {} asked for {}, {} times, last {}; to let it in: {allow}",
                knock.peer_id, knock.agent_id, knock.count, knock.last,
            )?;
        }
        writeln!(out, "this node: {}", mesh.peer_id)
    })?;
    if let Some(problem) = answer.mesh.as_ref().and_then(|mesh| mesh.problem.as_ref()) {
        output.say(problem);
    }
    if !output.is_json() {
        if !answer.linked {
            output.say(
                "not on a mesh: no mesh-llm host runs this plugin for this data directory; other nodes are reached through one",
            );
        } else if answer.peers.is_empty() {
            output.say("on a mesh, where no other host is at the moment");
        }
    }
    Ok(Exit::Done)
}

/// `agents peers show`.
pub(crate) async fn show(client: &Client, output: &mut Output, peer: &str) -> Result<Exit> {
    let shown = client.peer(peer).await?;
    let words = output.words();
    output.answer("peers.show", &shown, |out| {
        writeln!(out, "key        {}", shown.peer_id)?;
        if let Some(name) = &shown.name {
            writeln!(out, "label      {name}")?;
        }
        match &shown.heard {
            Some(heard) => told(out, heard)?,
            None => writeln!(out, "presence   never seen")?,
        }
        may(out, &shown.rights)?;
        rest(out, &shown, words)
    })?;
    Ok(Exit::Done)
}

fn told(out: &mut dyn Write, heard: &Heard) -> io::Result<()> {
    let since = heard.away_since.as_ref();
    let since = since.map(|at| format!(" since {at}")).unwrap_or_default();
    writeln!(out, "calls itself {:?}", heard.name)?;
    writeln!(out, "presence   {}{since}", heard.presence)?;
    for id in &heard.mesh_peer_ids {
        writeln!(out, "host       {id}")?;
    }
    if heard.mesh_peer_ids.is_empty() {
        writeln!(out, "host       last at {}", heard.last_mesh_peer_id)?;
    }
    writeln!(out, "first seen {}", heard.first_seen)?;
    writeln!(
        out,
        "last heard {} ({} s ago)",
        heard.last_contact,
        heard.age_ms / 1000
    )?;
    writeln!(out, "advert     {}", heard.sequence)?;
    for agent in &heard.agents {
        let card = if agent.card_verified {
            "verified"
        } else {
            "not here yet"
        };
        writeln!(
            out,
            "agent      {} {}  card {} ({card})",
            agent.agent_id, agent.version, agent.card_digest
        )?;
    }
    Ok(())
}

fn may(out: &mut dyn Write, rights: &Rights) -> io::Result<()> {
    let mut line = |what: &str, patterns: &[String]| match patterns {
        [] => Ok(()),
        some => writeln!(out, "{what:<10} {}", some.join(", ")),
    };
    line("allowed", &rights.allow)?;
    line("denied", &rights.deny)?;
    line("everyone", &rights.everyone_allow)?;
    line("nobody", &rights.everyone_deny)?;
    for agent in &rights.agents {
        writeln!(out, "may call   {}: {}", agent.agent_id, agent.standing)?;
    }
    if rights.approve {
        writeln!(out, "approves   what its tasks ask permission for")?;
    }
    writeln!(
        out,
        "rate       {} a minute, {} at once{}",
        rights.requests_per_minute,
        rights.burst,
        if rights.listed {
            ""
        } else {
            ", shared with all that are not on the list"
        }
    )
}

fn rest(out: &mut dyn Write, shown: &PeerShown, words: Words) -> io::Result<()> {
    for owner in &shown.means {
        let why = if owner.chosen {
            "you prefer it"
        } else {
            "first used there"
        };
        writeln!(out, "means      {} ({why})", owner.agent_id)?;
    }
    for knock in &shown.knocks {
        let allow = words.commands(&format!(
            "agents peers allow {} {}",
            shown.peer_id, knock.agent_id
        ));
        writeln!(
            out,
            "refused    {}, {} times, last {}; to let it in: {allow}",
            knock.agent_id, knock.count, knock.last
        )?;
    }
    for warning in &shown.warnings {
        writeln!(out, "careful    {warning}")?;
    }
    Ok(())
}

/// `agents peers prefer`. Without a peer the choice is taken back.
pub(crate) async fn prefer(
    client: &Client,
    output: &mut Output,
    agent: String,
    peer: Option<String>,
) -> Result<Exit> {
    let request = PreferRequest {
        agent_id: agent,
        peer,
    };
    let done = client.prefer(&request).await?;
    output.answer("peers.prefer", &done, |out| {
        let agent = &done.agent_id;
        match (&done.peer_id, done.changed) {
            (Some(key), _) => {
                let name = done.name.as_deref().unwrap_or("no label");
                writeln!(out, "agent {agent} now means the one on {key} ({name})")
            }
            (None, true) => writeln!(out, "agent {agent}: no node is preferred any more"),
            (None, false) => writeln!(out, "agent {agent}: no node was preferred"),
        }
    })?;
    Ok(Exit::Done)
}
