//! The verbs about other nodes: `peers list`.

use anyhow::Result;

use crate::client::Client;
use crate::output::{Exit, Output};

/// Characters of a host's id that a person needs to tell it; `--json` has all.
const SHORT: usize = 12;

/// `agents peers list`: the hosts on the mesh, each asked whether our engine is there.
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
            writeln!(out, "{id}  since {}  {reached}", peer.since)?;
        }
        Ok(())
    })?;
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
