//! A large artifact of another node: it stays there until it is read, and comes whole although what sends it is
//! killed while it does.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use mesh_host_drive::{AgentFiles, Home, Pair, Process, SEEN_LIMIT, Victim, eventually, run_in};
use serde_json::json;

/// The agent.
const AGENT: &str = "maker";
/// Bytes of its artifact: close to the most that is kept.
const BYTES: u64 = 16_000_000;
/// Leaves one of that size, no two alike.
const MAKES: &str = "head -c 16000000 /dev/urandom > \"$TASK_ARTIFACTS_DIR/big.bin\"\necho made\n";
/// How often a fetch may be over before the kill comes.
const TRIES: usize = 5;
/// Between two looks at what has come; a fetch on one machine takes a tenth of a second or more.
const LOOK: Duration = Duration::from_millis(1);

#[tokio::test(flavor = "multi_thread")]
async fn artifact_comes_whole_though_its_owner_s_plugin_and_engine_are_killed() {
    run_in(async |[a, b]: [&Home; 2]| {
        a.agent(&AgentFiles::new(AGENT, MAKES).offered())?;
        let pair = Pair::start(a, b).await?;
        pair.listed(1).await?;
        pair.allow(AGENT)?;
        eventually("the owner to let the caller", SEEN_LIMIT, async || {
            let task = pair.send(AGENT, "Make one.").await?;
            let ended = pair.ended(&task, SEEN_LIMIT).await?;
            Ok((ended["state"] == "completed").then_some(()))
        })
        .await?;
        for victim in [Victim::OwnersPlugin, Victim::OwnersEngine] {
            killed_meanwhile(&pair, victim).await?;
        }
        pair.stop().await
    })
    .await;
}

/// Has one read while the victim is killed, and reads it again until it is there.
async fn killed_meanwhile(pair: &Pair<'_>, victim: Victim) -> Result<()> {
    for _ in 0..TRIES {
        let before = pair.owners_tasks(AGENT)?;
        let task = pair.send(AGENT, "Make one.").await?;
        let ended = pair.ended(&task, SEEN_LIMIT).await?;
        ensure!(ended["state"] == "completed", "{ended}");
        ensure!(partial(pair.caller_home)?.is_none(), "nobody has read it");
        let there = pair.owners_tasks(AGENT)?;
        let there = there.into_iter().find(|one| !before.contains(one));
        let there = there.context("the owner's task")?;

        let begun = Instant::now();
        let query = json!({ "task_id": task, "artifact_id": "big.bin" });
        // It is no text, so this is refused whatever comes of the fetch.
        let read = pair.mcp.call("view_text_artifact", query);
        // To find it takes longer than a fetch on one machine.
        let process = match victim {
            Victim::OwnersEngine => pair.owner_home.engine()?.context("an engine")?,
            _ => pair.owner.plugin().await?,
        };
        let (_refused, came) = tokio::join!(read, kill_in_the_middle(pair, process));
        let came = came?;
        let file = pair.caller_home.path().join("big.bin");
        let output = file.to_str().context("a path")?.to_owned();
        eventually("the artifact to come", SEEN_LIMIT, async || {
            let read = ["artifacts", &task, "big.bin", "--output", &output];
            Ok(pair
                .caller_home
                .agents(&read)?
                .status
                .success()
                .then_some(()))
        })
        .await?;
        let took = begun.elapsed();
        let theirs = pair.owner_home.path().join("big.bin");
        let output = theirs.to_str().context("a path")?;
        let saved =
            pair.owner_home
                .agents(&["artifacts", &there, "big.bin", "--output", output])?;
        ensure!(saved.status.success(), "{saved:?}");
        let (ours, theirs) = (fs::read(&file)?, fs::read(&theirs)?);
        ensure!(
            ours.len() as u64 == BYTES && ours == theirs,
            "another content"
        );
        ensure!(
            partial(pair.caller_home)?.is_none(),
            "nothing of it is left beside it"
        );
        if let Some(came) = came {
            say(&format!(
                "{victim} killed after {came} of {BYTES} bytes: whole after {:.1} s",
                took.as_secs_f64()
            ));
            return Ok(());
        }
    }
    bail!("{victim}: every fetch was over before the kill")
}

/// Kills it when some of the content has come; says how much, or nothing when all had.
async fn kill_in_the_middle(pair: &Pair<'_>, victim: Process) -> Result<Option<u64>> {
    let end = Instant::now() + SEEN_LIMIT;
    let before = arrived(pair.caller_home)?;
    loop {
        ensure!(Instant::now() < end, "nothing came");
        match partial(pair.caller_home)? {
            Some((_, bytes)) if bytes > 0 => break,
            _ if arrived(pair.caller_home)? > before => return Ok(None),
            _ => tokio::time::sleep(LOOK).await,
        }
    }
    victim.kill9();
    Ok(partial(pair.caller_home)?
        .map(|(_, bytes)| bytes)
        .filter(|bytes| *bytes < BYTES))
}

/// What has come of a content, and how much.
fn partial(home: &Home) -> Result<Option<(PathBuf, u64)>> {
    for file in fs::read_dir(home.data_dir().join("a2a/blobs"))? {
        let file = file?;
        if file.file_name().to_string_lossy().starts_with(".partial-") {
            // It may have become whole since.
            let bytes = file.metadata().map(|known| known.len());
            return Ok(bytes.ok().map(|bytes| (file.path(), bytes)));
        }
    }
    Ok(None)
}

/// The contents of that size that have come.
fn arrived(home: &Home) -> Result<usize> {
    let files = fs::read_dir(home.data_dir().join("a2a/blobs"))?;
    let whole = files.filter(|file| {
        let known = file.as_ref().ok().and_then(|file| {
            let partial = file.file_name().to_string_lossy().starts_with('.');
            file.metadata().ok().filter(|_| !partial)
        });
        known.is_some_and(|known| known.len() == BYTES)
    });
    Ok(whole.count())
}

#[expect(clippy::print_stderr, reason = "figures, for whoever runs this")]
fn say(line: &str) {
    eprintln!("mesh_artifacts: {line}");
}
