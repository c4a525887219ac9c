//! The built-in harness as the bridge sees it: a process that speaks ACP on its standard input and
//! output, started as `agents harness command -- CMD ARGS…` is.

#![expect(clippy::unwrap_used, reason = "tests")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use agent_client_protocol::schema::ProtocolVersion;
use agent_client_protocol::v1::ConnectionTo;
use agent_client_protocol::v1::schema::{
    CancelNotification, ContentBlock, InitializeRequest, NewSessionRequest, PromptRequest,
    PromptResponse, SessionId, SessionNotification, SessionUpdate, StopReason,
};
use agent_client_protocol::{Agent, Client, Error, Lines, on_receive_notification};
use futures::{SinkExt, TryStreamExt};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tokio::sync::watch;
use tokio_util::codec::{FramedRead, FramedWrite, LinesCodec};

/// The directories of one run.
struct Place {
    root: TempDir,
}

impl Place {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for dir in ["ws", "artifacts"] {
            fs::create_dir(root.path().join(dir)).unwrap();
        }
        fs::write(root.path().join("prompt.txt"), "say $(hi); `there`\n").unwrap();
        Self { root }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn artifact(&self, name: &str) -> String {
        fs::read_to_string(self.path("artifacts").join(name)).unwrap()
    }

    fn start(&self, command: &[&str]) -> Child {
        Command::new(env!("CARGO_BIN_EXE_harness-stage"))
            .args(["harness", "command", "--"])
            .args(command)
            .env("TASK_ARTIFACTS_DIR", self.path("artifacts"))
            .env("TASK_PROMPT_PATH", self.path("prompt.txt"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }
}

/// A connection with one session, as a test uses it.
struct Session {
    agent: ConnectionTo<Agent>,
    id: SessionId,
    text: watch::Receiver<String>,
}

impl Session {
    async fn prompt(&self) -> Result<PromptResponse, Error> {
        let prompt = vec![ContentBlock::from("do it".to_owned())];
        let request = PromptRequest::new(self.id.clone(), prompt);
        self.agent.send_request(request).block_task().await
    }

    /// The streamed text, once `enough`.
    async fn text(&self, enough: impl FnMut(&String) -> bool) -> String {
        let mut text = self.text.clone();
        text.wait_for(enough).await.unwrap().clone()
    }

    /// The process ids the command prints, once there are `count`.
    async fn pids(&self, count: usize) -> Vec<u32> {
        let text = self.text(|text| text.lines().count() >= count).await;
        text.lines().map(|line| line.parse().unwrap()).collect()
    }
}

/// Starts `command`'s harness, opens a session in the workspace, runs `test`.
async fn with_session(
    place: &Place,
    command: &[&str],
    test: impl AsyncFnOnce(Session) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut child = place.start(command);
    connected(&mut child, &place.path("ws"), test).await?;
    // Its input is closed now.
    assert!(child.wait().await.unwrap().success());
    Ok(())
}

async fn connected(
    child: &mut Child,
    cwd: &Path,
    test: impl AsyncFnOnce(Session) -> Result<(), Error>,
) -> Result<(), Error> {
    let (heard, text) = watch::channel(String::new());
    let input = FramedWrite::new(child.stdin.take().unwrap(), LinesCodec::new());
    let input = SinkExt::<String>::sink_map_err(input, std::io::Error::other);
    let output = FramedRead::new(child.stdout.take().unwrap(), LinesCodec::new());
    let output = output.map_err(std::io::Error::other);
    Client
        .v1()
        .on_receive_notification(
            async move |update: SessionNotification, _| {
                if let SessionUpdate::AgentMessageChunk(chunk) = update.update
                    && let ContentBlock::Text(piece) = chunk.content
                {
                    heard.send_modify(|text| text.push_str(&piece.text));
                }
                Ok(())
            },
            on_receive_notification!(),
        )
        .connect_with(
            Lines::new(input, output),
            async |agent: ConnectionTo<Agent>| {
                let hello = InitializeRequest::new(ProtocolVersion::V1);
                let hello = agent.send_request(hello).block_task().await?;
                assert_eq!(hello.protocol_version, ProtocolVersion::V1);
                let session = agent.send_request(NewSessionRequest::new(cwd));
                let id = session.block_task().await?.session_id;
                test(Session { agent, id, text }).await
            },
        )
        .await
}

/// Waits until a process is gone, or waits only to be reaped by init.
async fn gone(pid: u32) {
    let alive = || {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        stat.rsplit_once(") ")
            .is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
    };
    while alive() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_completed_run_leaves_summary_and_findings() -> Result<(), Error> {
    let place = Place::new();
    let script = "pwd; echo 'src/a.c:3:5: error: no' >&2; printf 'b\\377d'; exit 2";
    with_session(&place, &["sh", "-c", script], async |session| {
        assert_eq!(session.prompt().await?.stop_reason, StopReason::EndTurn);
        let workspace = place.path("ws").canonicalize().unwrap();
        let expected = format!(
            "{}\nsrc/a.c:3:5: error: no\nb\u{fffd}d\n",
            workspace.display()
        );
        assert_eq!(
            session.text(|text| text.len() >= expected.len()).await,
            expected
        );
        Ok(())
    })
    .await?;
    let findings: serde_json::Value =
        serde_json::from_str(&place.artifact("findings.json")).unwrap();
    assert_eq!(
        findings,
        serde_json::json!({"findings": [
            {"severity": "high", "file": "src/a.c", "line": 3, "issue": "error: no"},
        ]})
    );
    assert!(
        place
            .artifact("summary.md")
            .contains("Ended with exit code 2.")
    );
    Ok(())
}

#[tokio::test]
async fn the_message_is_in_the_file_and_sessions_go_on() -> Result<(), Error> {
    let place = Place::new();
    let script = "cat \"$TASK_PROMPT_PATH\"; echo $# arguments";
    with_session(&place, &["sh", "-c", script], async |session| {
        let once = "say $(hi); `there`\n0 arguments\n";
        for count in [1, 2] {
            assert_eq!(session.prompt().await?.stop_reason, StopReason::EndTurn);
            let expected = once.repeat(count);
            assert_eq!(
                session.text(|text| text.len() >= expected.len()).await,
                expected
            );
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn what_no_command_can_say_is_an_error_that_names_it() -> Result<(), Error> {
    let place = Place::new();
    for (command, named) in [
        (&["/no/such/command"][..], "exit code 127"),
        (&["sh", "-c", "no-such-command-here"], "exit code 127"),
        (&["/etc/passwd"], "exit code 126"),
        (&["sh", "-c", "echo last words; kill -9 $$"], "signal 9"),
    ] {
        with_session(&place, command, async |session| {
            let error = session.prompt().await.unwrap_err();
            assert!(error.message.contains(named), "{error:?}");
            assert!(error.message.contains(command[0]), "{error:?}");
            Ok(())
        })
        .await?;
    }
    let summary = place.artifact("summary.md");
    assert!(
        summary.contains("signal 9") && summary.contains("last words"),
        "{summary}"
    );
    Ok(())
}

#[tokio::test]
async fn cancel_kills_the_group_and_says_cancelled() -> Result<(), Error> {
    let place = Place::new();
    let script = "trap '' TERM; sleep 1000 & echo $$; echo $!; wait; wait; sleep 1000";
    with_session(&place, &["sh", "-c", script], async |session| {
        let cancel = async {
            let pids = session.pids(2).await;
            let cancel = CancelNotification::new(session.id.clone());
            session.agent.send_notification(cancel)?;
            Ok::<_, Error>(pids)
        };
        let (answer, pids) = tokio::join!(session.prompt(), cancel);
        assert_eq!(answer?.stop_reason, StopReason::Cancelled);
        for pid in pids? {
            gone(pid).await;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
async fn the_end_of_the_input_ends_the_command() -> Result<(), Error> {
    let place = Place::new();
    let mut child = place.start(&["sh", "-c", "sleep 1000 & echo $$; echo $!; wait"]);
    let mut pids = Vec::new();
    connected(&mut child, &place.path("ws"), async |session| {
        let waiting = session.prompt();
        tokio::select! {
            answer = waiting => panic!("it ended by itself: {answer:?}"),
            found = session.pids(2) => pids = found,
        }
        Ok(())
    })
    .await?;
    // By itself, whichever of its two pipes it saw close first.
    assert!(child.wait().await.unwrap().code().is_some());
    for pid in pids {
        gone(pid).await;
    }
    Ok(())
}

#[tokio::test]
async fn a_term_signal_ends_the_command() -> Result<(), Error> {
    let place = Place::new();
    let mut child = place.start(&["sh", "-c", "sleep 1000 & echo $$; echo $!; wait"]);
    let harness = child
        .id()
        .and_then(|id| Pid::from_raw(id.try_into().unwrap()));
    connected(&mut child, &place.path("ws"), async |session| {
        let (answer, pids) = tokio::join!(session.prompt(), async {
            let pids = session.pids(2).await;
            kill_process(harness.unwrap(), Signal::TERM).unwrap();
            pids
        });
        assert!(answer.is_err(), "{answer:?}");
        for pid in pids {
            gone(pid).await;
        }
        Ok(())
    })
    .await?;
    child.wait().await.unwrap();
    Ok(())
}

#[tokio::test]
async fn a_flood_is_cut_and_still_ends() -> Result<(), Error> {
    let place = Place::new();
    let script = "yes 'a line of a flood' | head -c 4000000; echo; echo the end";
    with_session(&place, &["sh", "-c", script], async |session| {
        assert_eq!(session.prompt().await?.stop_reason, StopReason::EndTurn);
        let text = session.text(|text| text.ends_with("summary.md\n")).await;
        assert!(text.len() < 1_100_000, "{}", text.len());
        Ok(())
    })
    .await?;
    assert!(place.artifact("summary.md").contains("\nthe end\n"));
    Ok(())
}

#[tokio::test]
async fn requests_it_cannot_serve_are_answered() -> Result<(), Error> {
    let place = Place::new();
    with_session(
        &place,
        &["sh", "-c", "echo $$; sleep 1000"],
        async |session| {
            let nowhere = NewSessionRequest::new(place.path("none"));
            let error = session
                .agent
                .send_request(nowhere)
                .block_task()
                .await
                .unwrap_err();
            assert!(
                error
                    .message
                    .contains("is not an existing absolute directory"),
                "{error:?}"
            );
            let unknown = PromptRequest::new(SessionId::new("other"), Vec::new());
            let error = session
                .agent
                .send_request(unknown)
                .block_task()
                .await
                .unwrap_err();
            assert!(error.message.contains("no session other"), "{error:?}");
            let second = async {
                session.pids(1).await;
                let second = session.prompt().await;
                let cancel = CancelNotification::new(session.id.clone());
                session.agent.send_notification(cancel).unwrap();
                second
            };
            let (first, second) = tokio::join!(session.prompt(), second);
            assert!(second.unwrap_err().message.contains("still running"));
            assert_eq!(first?.stop_reason, StopReason::Cancelled);
            Ok(())
        },
    )
    .await
}

#[tokio::test]
async fn without_a_command_it_says_how_it_is_used() -> Result<(), Error> {
    let place = Place::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_harness-stage"));
    command
        .args(["harness", "command", "--"])
        .current_dir(place.path("ws"));
    let output = command.output().await.unwrap();
    assert_eq!(output.status.code(), Some(2));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("agents harness command -- CMD ARGS"),
        "{said}"
    );
    Ok(())
}
