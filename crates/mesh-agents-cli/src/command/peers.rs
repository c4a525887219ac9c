//! The verb that shows other nodes: `peers list`.

use anyhow::Result;

use crate::client::Client;
use crate::output::{Exit, Output};

/// Characters of a host's id that a person needs to tell it; `--json` has all.
const SHORT: usize = 12;

/// `agents peers list`: the hosts on the mesh, each asked whether our engine is there, the nodes behind
/// them, and who asked in vain.
pub(crate) async fn list(client: &Client, output: &mut Output) -> Result<Exit> {
    let answer = client.peers().await?;
    output.answer("peers.list", &answer, |out| {
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
            writeln!(out, "node {}  {}  {}  {agents}", node.peer_id, node.presence, node.name)?;
            for warning in &node.warnings {
                writeln!(out, "     careful: {warning}")?;
            }
        }
        for agent in &mesh.withheld {
            writeln!(out, "not offered: {}: {}", agent.agent_id, agent.reason)?;
        }
        for knock in &mesh.knocks {
            writeln!(
                out,
                "asked in vain: {} for {}, {} times, last {}; to let it in: agents peers allow {} {}",
                knock.peer_id, knock.agent_id, knock.count, knock.last, knock.peer_id, knock.agent_id,
            )?;
        }
        writeln!(out, "this node: {}", mesh.peer_id)
    })?;
    if let Some(problem) = answer.mesh.as_ref().and_then(|mesh| mesh.problem.as_ref()) {
        output.say(problem);
    }
    if !output.is_json() {
        if !answer.linked {
            output
                .say("no mesh-llm host is connected to the engine; it needs one with this plugin");
        } else if answer.peers.is_empty() {
            output.say("no other host is on the mesh");
        }
    }
    Ok(Exit::Done)
}
