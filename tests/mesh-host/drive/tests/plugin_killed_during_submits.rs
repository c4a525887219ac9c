//! The plugin dies with submits unanswered: parked ones, and ones that are just being stored. The host re-sends
//! them, with nothing but their arguments, and still every submit is one task and one start, the ten with the
//! same text included.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use mesh_host_drive::scripts::{AT_ONCE, GATED, Gate};
use mesh_host_drive::{
    AgentFiles, CallError, Client, Host, HostSpec, Process, Queue, eventually, run,
};
use serde_json::{Value, json};

/// Submits answered before the kill.
const ANSWERED: usize = 15;

/// Submits parked on a gate that opens after the kill.
const PARKED: usize = 35;

/// Those of the parked ones that have one and the same text.
const IDENTICAL: usize = 10;

/// Parked tasks that must have started when the plugin is killed: unanswered for certain.
const STARTED_AT_KILL: usize = 10;

/// MCP sessions they come from.
const CLIENTS: usize = 5;

/// Room for all of them, so that none is refused.
const QUEUE: Queue = Queue {
    running: 16,
    pending: 64,
};

/// The longest a call may be parked through the host.
const PARK: u64 = 25;

/// Limit for the tasks to get on: fifty short runs, sixteen at a time, on a busy machine.
const RUNS_LIMIT: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread")]
async fn every_submit_is_one_task_when_the_plugin_is_killed() {
    run(async |home| {
        let shared = home.shared("gated")?;
        let gate = Gate::new(&shared);
        let agent = AgentFiles::new("gated", GATED)
            .in_directory(&shared)
            .with_queue(QUEUE);
        home.agent(&agent)?;
        let host = Host::start(home, HostSpec::new("submits")).await?;
        let clients = try_join_all((0..CLIENTS).map(|_| host.mcp())).await?;
        let plugin = host.plugin().await?;

        let early = (0..ANSWERED).map(|n| (n, format!("{AT_ONCE}: {n}")));
        let early =
            try_join_all(early.map(|(n, text)| submit(&clients[n % CLIENTS], text))).await?;

        let engine = home.engine()?.context("one engine, whoever asked first")?;

        let answers = Cell::new(0);
        let parked = (0..PARKED).map(async |n| {
            let text = if n < IDENTICAL {
                "the same text".to_owned()
            } else {
                format!("text {n}")
            };
            let task_id = submit(&clients[n % CLIENTS], text).await;
            answers.set(answers.get() + 1);
            task_id
        });
        let (late, ()) = tokio::try_join!(
            try_join_all(parked),
            kill_in_the_middle(&plugin, &gate, &answers)
        )?;

        let ids: BTreeSet<_> = early.into_iter().chain(late).collect();
        assert_eq!(
            ids.len(),
            ANSWERED + PARKED,
            "two submits were answered with one task"
        );
        assert_ne!(host.plugin().await?, plugin, "the plugin was not killed");
        assert_eq!(host.lost_plugins()?, 1, "the kill is the only loss");
        assert_eq!(home.engine()?, Some(engine), "another engine answers");

        eventually("every task to complete", RUNS_LIMIT, async || {
            Ok((task_ids(&clients[0], Some("completed")).await?.len() >= ids.len()).then_some(()))
        })
        .await?;
        assert_eq!(
            task_ids(&clients[0], None).await?,
            ids,
            "a submit was stored twice"
        );
        let starts = gate.starts()?;
        assert_eq!(
            starts.len(),
            ids.len(),
            "a task was started twice: {starts:?}"
        );
        assert_eq!(starts.into_iter().collect::<BTreeSet<_>>(), ids);

        try_join_all(clients.into_iter().map(Client::close)).await?;
        host.stop().await
    })
    .await;
}

/// Submits of the stream, and after how many answers the plugin is killed each time.
const STREAM: usize = 240;
/// See [`STREAM`].
const KILL_AT: [usize; 4] = [30, 80, 130, 180];

/// Kills at no particular moment: some submits have not left the plugin, some are in the engine's hands, some
/// are answered on paper only.
#[tokio::test(flavor = "multi_thread")]
async fn every_submit_of_a_stream_is_one_task_when_the_plugin_is_killed() {
    run(async |home| {
        let shared = home.shared("gated")?;
        let gate = Gate::new(&shared);
        gate.open()?;
        let queue = Queue {
            running: 2,
            pending: 1_000,
        };
        let agent = AgentFiles::new("gated", GATED)
            .in_directory(&shared)
            .with_queue(queue);
        home.agent(&agent)?;
        let host = Host::start(home, HostSpec::new("stream")).await?;
        let clients = try_join_all((0..CLIENTS).map(|_| host.mcp())).await?;

        let answers = Cell::new(0);
        let stream = clients.iter().enumerate().map(async |(c, client)| {
            let mut ids = Vec::new();
            for n in (c..STREAM).step_by(CLIENTS) {
                let message = json!({ "agent_id": "gated", "message": format!("text {n}") });
                ids.push(send(client, message).await?);
                answers.set(answers.get() + 1);
            }
            anyhow::Ok(ids)
        });
        let (ids, ()) = tokio::try_join!(try_join_all(stream), kill_now_and_then(&host, &answers))?;
        let ids: Vec<_> = ids.into_iter().flatten().collect();
        let tasks: BTreeSet<_> = ids.iter().cloned().collect();
        assert_eq!(tasks.len(), ids.len(), "two submits share a task");

        eventually("every task to run", RUNS_LIMIT, async || {
            Ok((gate.starts()?.len() >= ids.len()).then_some(()))
        })
        .await?;
        for state in ["submitted", "working"] {
            let query = json!({ "state": state, "limit": 1 });
            eventually("nothing to be left", RUNS_LIMIT, async || {
                let left = clients[0].call("list_tasks", query.clone()).await?;
                Ok((left["tasks"] == json!([])).then_some(()))
            })
            .await?;
        }
        let starts = gate.starts()?;
        assert_eq!(starts.len(), ids.len(), "a task was started twice");
        assert_eq!(starts.into_iter().collect::<BTreeSet<_>>(), tasks);

        try_join_all(clients.into_iter().map(Client::close)).await?;
        host.stop().await
    })
    .await;
}

async fn kill_now_and_then(host: &Host<'_>, answers: &Cell<usize>) -> Result<()> {
    for at in KILL_AT {
        eventually("answers before a kill", RUNS_LIMIT, async || {
            Ok((answers.get() >= at).then_some(()))
        })
        .await?;
        host.plugin_now()?.context("a plugin to kill")?.kill9();
    }
    Ok(())
}

/// Submits one text that waits for its task's end, and returns the task's id.
async fn submit(client: &Client, text: String) -> Result<String> {
    let message = json!({ "agent_id": "gated", "message": text, "wait_seconds": PARK });
    send(client, message).await
}

/// Sends a message without a message id and returns its task's id.
///
/// In the instant in which the plugin comes up again the host says that it knows no such tool. Then nothing
/// was submitted, and a client tries again.
async fn send(client: &Client, message: Value) -> Result<String> {
    let sent = eventually(
        "the tool to be known again",
        Duration::from_secs(60),
        async || match client.call("send_message", message.clone()).await {
            Ok(sent) => Ok(Some(sent)),
            Err(CallError::UnknownTool { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        },
    )
    .await?;
    Ok(sent["task_id"]
        .as_str()
        .with_context(|| format!("task_id: {sent}"))?
        .to_owned())
}

/// Kills the plugin once enough parked tasks run, and only then lets them finish.
async fn kill_in_the_middle(plugin: &Process, gate: &Gate, answers: &Cell<usize>) -> Result<()> {
    eventually("enough parked tasks to run", RUNS_LIMIT, async || {
        Ok((gate.starts()?.len() >= ANSWERED + STARTED_AT_KILL).then_some(()))
    })
    .await?;
    ensure!(
        answers.get() == 0,
        "{} parked submits were answered too early",
        answers.get()
    );
    plugin.kill9();
    gate.open()
}

async fn task_ids(client: &Client, state: Option<&str>) -> Result<BTreeSet<String>> {
    let mut request = json!({ "limit": 100 });
    if let Some(state) = state {
        request["state"] = json!(state);
    }
    let listed = client.call("list_tasks", request).await?;
    ensure!(
        listed["next_cursor"].is_null(),
        "more tasks than submits: {listed}"
    );
    let tasks = listed["tasks"].as_array().context("tasks")?;
    tasks
        .iter()
        .map(|t| Ok(t["task_id"].as_str().context("task_id")?.to_owned()))
        .collect()
}
