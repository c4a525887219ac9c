//! The review once more, with a part killed in the middle of it.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mesh_host_drive::review::{Repository, WHOLE};
use mesh_host_drive::{Pair, Victim, eventually};

use crate::AGENT;

/// Limit for OpenCode to be at work, and for the review to end after the kill. A killed host is missed by the
/// other after 45 s only, and looked for again a minute later.
const LIMIT: Duration = Duration::from_secs(240);

/// Kills the victim while OpenCode is at a tool call; the task must end as if nothing had been, started once.
///
/// The owner's engine takes its harness along: OpenCode's session is taken up again by the next one, which the
/// same task shows as a second start of the harness and nothing else.
pub(crate) async fn review(
    pair: &mut Pair<'_>,
    victim: Victim,
    repository: &Repository,
    digests: &[String; 2],
) -> Result<String> {
    let gate = repository.gate();
    gate.close()?;
    let (starts, tasks) = (gate.starts()?.len(), pair.owners_tasks(AGENT)?.len());
    let task = pair.send(AGENT, WHOLE).await?;
    eventually("OpenCode to be at work", LIMIT, async || {
        Ok((gate.starts()?.len() > starts).then_some(()))
    })
    .await?;
    let killed = Instant::now();
    pair.kill(victim).await?;
    let back = killed.elapsed();
    gate.open()?;
    let ended = pair.ended(&task, LIMIT).await?;
    let took = killed.elapsed();
    ensure!(ended["state"] == "completed", "{victim} killed: {ended}");
    let now = repository.check(&pair.mcp, &ended).await?;
    ensure!(now == *digests, "{victim}: other results than undisturbed");
    let sent = pair.owners_tasks(AGENT)?.len() - tasks;
    ensure!(sent == 1, "{victim}: it became {sent} tasks at A");
    let started = gate.starts()?.len() - starts;
    ensure!(started == 1, "{victim}: the gated step ran {started} times");
    Ok(format!(
        "{victim} killed -9 at work: up after {:.1} s, completed after {:.1} s, one task at A, the same results",
        back.as_secs_f64(),
        took.as_secs_f64()
    ))
}
