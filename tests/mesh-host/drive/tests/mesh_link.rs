//! Two isolated nodes on loopback: each sees the other, and what is killed on the way comes back.

use std::panic::resume_unwind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use mesh_host_drive::{Home, Host, HostSpec, Process, eventually, run};
use serde_json::{Value, json};
use tokio::runtime::Handle;

/// Limit for a peer to be listed and to answer. A plugin that was killed is told of its peers by the
/// next event, which comes within a quarter of a minute; the machine may be busy.
const SEEN_LIMIT: Duration = Duration::from_secs(90);

/// Fresh streams measured.
const PINGS: usize = 200;

/// MCP clients at each host.
const CLIENTS: usize = 4;

/// Tool calls of each.
const CALLS: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_see_each_other_through_kills_of_plugin_and_engine() {
    run(async |a| {
        run_beside(a).await;
        Ok(())
    })
    .await;
}

/// The second node has a home of its own, ended as the first one's is.
async fn run_beside(a: &Home) {
    run(async |b| {
        let host_a = Host::start(a, HostSpec::new("A")).await?;
        let token = token(&host_a).await?;
        let mut spec = HostSpec::new("B");
        spec.join.push(token.clone());
        let host_b = Host::start(b, spec).await?;
        let id_a = peer_id(&token)?;

        answers(b, &id_a, "from the start").await?;
        let seen_by_a = peers(a)?;
        ensure!(
            seen_by_a["local"]["mesh_peer_id"] == id_a.as_str(),
            "A knows itself: {seen_by_a}"
        );
        measure(b, &id_a)?;
        crowd(&[&host_a, &host_b], b, &id_a).await?;

        let plugin = host_a.plugin().await?;
        plugin.kill9();
        answers(b, &id_a, "after the kill of A's plugin").await?;
        ensure!(host_a.plugin().await? != plugin, "another plugin answers");

        let engine = engine_of(a)?;
        engine.kill9();
        answers(b, &id_a, "after the kill of A's engine").await?;
        ensure!(engine_of(a)? != engine, "another engine answers");

        // The caller's own parts: its engine forgets, its plugin tells it again.
        engine_of(b)?.kill9();
        let since = answers(b, &id_a, "after the kill of B's engine").await?;
        host_b.plugin().await?.kill9();
        let kept = answers(b, &id_a, "after the kill of B's plugin").await?;
        ensure!(kept == since, "an engine forgot its peers with its plugin");

        // A host that leaves is gone at once; only a killed one is believed in for a while.
        host_a.stop().await?;
        eventually("A to be gone for B", SEEN_LIMIT, async || {
            let peers = peers(b)?;
            Ok(find(&peers, &id_a).is_none().then_some(()))
        })
        .await?;
        host_b.stop().await
    })
    .await;
}

async fn token(host: &Host<'_>) -> Result<String> {
    let status = host.get("/api/status").await?;
    Ok(status["token"].as_str().context("a token")?.to_owned())
}

/// The whole id stands in the token alone: base64url of JSON.
fn peer_id(token: &str) -> Result<String> {
    const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bits = 0_u32;
    let mut held = 0;
    let mut json = Vec::new();
    for byte in token.bytes() {
        let six = ALPHABET.iter().position(|one| *one == byte);
        bits = bits << 6 | u32::try_from(six.context("base64url")?)?;
        held += 6;
        if held >= 8 {
            held -= 8;
            json.push(u8::try_from(bits >> held & 0xff)?);
        }
    }
    let invite: Value = serde_json::from_slice(&json)?;
    Ok(invite["id"].as_str().context("an id")?.to_owned())
}

/// What `agents peers list --json` says in a home.
fn peers(home: &Home) -> Result<Value> {
    let output = home.agents(&["peers", "list", "--json"])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    serde_json::from_str(&text).with_context(|| format!("agents peers list: {output:?}"))
}

fn find<'a>(peers: &'a Value, id: &str) -> Option<&'a Value> {
    peers["peers"]
        .as_array()?
        .iter()
        .find(|peer| peer["mesh_peer_id"] == id)
}

/// Waits until the peer is listed and answers; says since when it is listed.
async fn answers(home: &Home, id: &str, when: &str) -> Result<String> {
    let started = Instant::now();
    let mut last = Value::Null;
    let since = eventually("the peer to answer", SEEN_LIMIT, async || {
        last = peers(home)?;
        let answering = find(&last, id).filter(|peer| peer["ping_ms"].is_number());
        Ok(answering.and_then(|peer| peer["since"].as_str().map(str::to_owned)))
    })
    .await
    .with_context(|| format!("{when}: {last}"))?;
    say(&format!(
        "{when}: answers after {:.1} s",
        started.elapsed().as_secs_f64()
    ));
    Ok(since)
}

/// Pings over fresh streams, one after the other.
fn measure(home: &Home, id: &str) -> Result<()> {
    let mut took = Vec::with_capacity(PINGS);
    for _ in 0..PINGS {
        let peers = peers(home)?;
        let peer = find(&peers, id).context("the peer is listed")?;
        took.push(
            peer["ping_ms"]
                .as_f64()
                .with_context(|| peers.to_string())?,
        );
    }
    took.sort_by(f64::total_cmp);
    say(&format!(
        "ping over a fresh stream, opening included: p50 {:.2} ms, p99 {:.2} ms, n {PINGS}",
        took[PINGS / 2],
        took[PINGS * 99 / 100]
    ));
    Ok(())
}

/// Streams are opened while many clients call tools at both ends: what the plugin says of streams
/// shares its connection with the tools, and the host loses a plugin that says too much at a time.
async fn crowd(hosts: &[&Host<'_>], home: &Home, id: &str) -> Result<()> {
    let mut clients = Vec::new();
    for host in hosts {
        clients.extend(try_join_all((0..CLIENTS).map(|_| host.mcp())).await?);
    }
    let calls = try_join_all(clients.iter().map(async |client| {
        for _ in 0..CALLS {
            client.call("get_agents", json!({})).await?;
        }
        Ok::<_, anyhow::Error>(())
    }));
    let done = AtomicBool::new(false);
    let calling = async {
        let called = calls.await;
        done.store(true, Ordering::Relaxed);
        called
    };
    let pinging = || {
        let mut pings = 0;
        while !done.load(Ordering::Relaxed) {
            let peers = peers(home)?;
            let peer = find(&peers, id).context("the peer is listed")?;
            ensure!(peer["ping_ms"].is_number(), "{peers}");
            pings += 1;
        }
        Ok::<_, anyhow::Error>(pings)
    };
    let pings = std::thread::scope(|scope| {
        let pinging = scope.spawn(pinging);
        let called = tokio::task::block_in_place(|| Handle::current().block_on(calling));
        let pings = pinging.join().unwrap_or_else(|cause| resume_unwind(cause));
        called?;
        pings
    })?;
    for client in clients {
        client.close().await?;
    }
    for host in hosts {
        ensure!(host.lost_plugins()? == 0, "a host lost its plugin");
    }
    say(&format!(
        "{pings} pings beside {} tool calls: no plugin lost",
        CALLS * CLIENTS * hosts.len()
    ));
    ensure!(pings > 0, "nothing was pinged meanwhile");
    Ok(())
}

fn engine_of(home: &Home) -> Result<Process> {
    home.engine()?.context("an engine runs")
}

#[expect(clippy::print_stderr, reason = "figures, for whoever runs this")]
fn say(text: &str) {
    eprintln!("mesh_link: {text}");
}
