//! A door for the fuzz target of ACP lines (crates/mesh-agents-cli/tests/fuzz): one session with a
//! harness that says whatever it is told to say, without a process.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mesh_agents_core::run::{Answer, RunEvent, RunSpec};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::unix::pipe;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::config::Timeouts;
use crate::logs::WireLog;
use crate::plan::{HomeKind, LaunchPlan, McpSupport, no_text};
use crate::session::{Feed, Incoming, Questions, Session, read_lines};

/// Stands for the id of the next request that we send; a line with it waits for that request.
pub const NEXT_ID: &str = "@ID";
/// How long a line waits for our next request.
const NEXT_REQUEST: Duration = Duration::from_millis(20);
/// As the bridge's own channel: enough to keep the session busy, few enough to press back.
const EVENTS: usize = 64;

/// What came of a session.
#[derive(Debug)]
pub struct Talk {
    /// What it told the engine.
    pub events: Vec<RunEvent>,
    /// How it ended, for a person.
    pub end: String,
    /// The answer it would count as.
    pub answer: String,
}

/// Holds a session with a harness that writes `lines` and then closes its output. Questions are
/// declined. `log` is where the wire log is written.
///
/// # Errors
/// When the log or a pipe cannot be made.
pub async fn talk(spec: &RunSpec, log: &Path, lines: &[String]) -> std::io::Result<Talk> {
    let (events, mut told) = mpsc::channel(EVENTS);
    let feed = Arc::new(Feed::new(events, Arc::new(WireLog::create(log, None)?)));
    let (stdin, heard) = pipe::pipe()?;
    let (said, stdout) = pipe::pipe()?;
    let (sender, incoming) = Incoming::channel();
    let plan = LaunchPlan {
        program: "/harness".into(),
        args: Vec::new(),
        env: Vec::new(),
        files: Vec::new(),
        read: Vec::new(),
        write: Vec::new(),
        home: HomeKind::Private,
        mcp: McpSupport::Http,
        ignore_text: no_text,
    };
    // A harness that says nothing more has closed its output, so no patience is ever needed.
    let timeouts = Timeouts {
        cancel_answer: Duration::from_millis(50),
        ..Timeouts::default()
    };
    let (cancel, questions) = (CancellationToken::new(), Arc::<Questions>::default());
    let session = Session {
        spec,
        plan: &plan,
        workspace: log.parent().unwrap_or(log),
        lost: false,
        timeouts: &timeouts,
        cancel: &cancel,
        feed: &feed,
        questions: &questions,
    };
    let mut events = Vec::new();
    let listen = async {
        while let Some(event) = told.recv().await {
            if let RunEvent::Question { id, .. } = &event {
                questions.answer(id, Answer::Declined);
            }
            events.push(event);
        }
    };
    let harness = speak(heard, said, lines);
    let reading = read_lines(stdout, Arc::clone(&feed), sender);
    let held = async {
        let held = async { tokio::join!(session.hold(stdin, incoming), reading, harness) };
        tokio::select! {
            (end, (), ()) = held => end,
            () = listen => unreachable_end(),
        }
    };
    let end = held.await;
    let answer = feed.final_text();
    Ok(Talk {
        events,
        end: format!("{end:?}"),
        answer,
    })
}

/// The feed outlives the session here, so its receiver never ends first.
fn unreachable_end() -> crate::verdict::SessionEnd {
    crate::verdict::SessionEnd::Gone
}

async fn speak(heard: pipe::Receiver, mut said: pipe::Sender, lines: &[String]) {
    let mut requests = BufReader::new(heard).lines();
    for line in lines {
        let mut line = line.clone();
        if line.contains(NEXT_ID) {
            // Neither side may wait for the other for good: then the line goes out as it is.
            if let Ok(id) = tokio::time::timeout(NEXT_REQUEST, next_id(&mut requests)).await {
                let Some(id) = id else { break };
                line = line.replace(NEXT_ID, &id);
            }
        }
        line.push('\n');
        // Who does not listen any more has ended the session.
        if said.write_all(line.as_bytes()).await.is_err() {
            break;
        }
    }
    drop(said);
    // Its input is read to the end, so that nobody waits for it.
    while let Ok(Some(_)) = requests.next_line().await {}
}

/// The id, as JSON, of the next request among the lines.
async fn next_id(requests: &mut tokio::io::Lines<BufReader<pipe::Receiver>>) -> Option<String> {
    while let Ok(Some(line)) = requests.next_line().await {
        let message: serde_json::Value = serde_json::from_str(&line).ok()?;
        if message.get("method").is_some()
            && let Some(id) = message.get("id")
        {
            return Some(id.to_string());
        }
    }
    None
}
