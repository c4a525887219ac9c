//! The scripted ACP agent, driven over real pipes by the protocol crate's own client.

#![expect(
    clippy::unwrap_used,
    reason = "a helper's failure is the test's failure"
)]

mod client;

use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};

use agent_client_protocol::v1::schema::CancelNotification;
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use serde_json::{Value, json};

use client::{Agent, Answer, until};

#[tokio::test]
async fn a_prompt_without_a_script_is_echoed_in_two_chunks() {
    let talk = async |agent: &Agent| agent.prompt("hello there").await;
    let answer = client::run(Agent::command(), talk).await.unwrap();
    assert_eq!(answer.chunks, ["echo: ", "hello there"]);
    assert_eq!(answer.stop_reason, "end_turn");
}

#[tokio::test]
async fn files_are_written_in_the_session_and_by_environment_names() {
    let dir = tempfile::tempdir().unwrap();
    let artifacts = dir.path().join("artifacts");
    let mut command = Agent::command();
    command.env("TASK_ARTIFACTS_DIR", &artifacts);
    let script = "Wrapped.\nscript: write note.txt one\\ntwo\\n\n\
        script: copy note.txt ${TASK_ARTIFACTS_DIR}/a/summary.md\n\
        script: {\"write\": {\"path\": \"$TASK_ARTIFACTS_DIR/findings.json\", \"content\": {\"n\": 1}}}\n\
        script: read note.txt\nscript: write /proc/nowhere/x no";
    let answer = client::run_in(command, dir.path(), async |agent| {
        agent.prompt(script).await
    })
    .await
    .unwrap();

    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    assert_eq!(read(&dir.path().join("note.txt")), "one\ntwo\n");
    assert_eq!(read(&artifacts.join("a/summary.md")), "one\ntwo\n");
    let findings: Value = serde_json::from_str(&read(&artifacts.join("findings.json"))).unwrap();
    assert_eq!(findings, json!({ "n": 1 }));
    assert_eq!(answer.chunks[0], "one\ntwo\n");
    assert!(
        answer.chunks[1].starts_with("write /proc/nowhere/x: "),
        "{:?}",
        answer.chunks
    );
    assert_eq!(
        answer.chunks.len(),
        2,
        "doing is silent: {:?}",
        answer.chunks
    );
}

#[tokio::test]
async fn a_permission_request_has_the_options_asked_for_and_the_outcome_is_streamed() {
    let mut command = Agent::command();
    command.env("SCRIPTED_ACP", "ask reject_once allow_once");
    let answer = client::run(command, async |agent| agent.prompt("go").await)
        .await
        .unwrap();
    assert_eq!(answer.asked[0]["toolCall"]["kind"], "execute");
    let kinds: Vec<_> = answer.asked[0]["options"]
        .as_array()
        .unwrap()
        .iter()
        .map(|o| &o["kind"])
        .collect();
    assert_eq!(kinds, ["reject_once", "allow_once"]);
    assert_eq!(answer.text(), "permission: selected allow_once\n");
}

#[tokio::test]
async fn a_tool_call_may_be_as_bare_as_real_harnesses_send_it() {
    let script = r#"script: {"ask": {"tool_call": {"title": null}, "options": ["reject_once"], "end_on_reject": true}}
script: text not reached"#;
    let answer = client::run(Agent::command(), async |agent| agent.prompt(script).await)
        .await
        .unwrap();
    assert_eq!(
        answer.asked[0]["toolCall"],
        json!({ "title": null, "toolCallId": "asked-1" })
    );
    assert_eq!(
        (answer.text().as_str(), answer.stop_reason.as_str()),
        ("permission: selected reject_once\n", "end_turn")
    );
}

#[tokio::test]
async fn cancel_ends_a_hanging_turn() {
    let answer = client::run(Agent::command(), async |agent| {
        let prompt = agent.prompt("script: text begun\nscript: hang");
        let cancel = async {
            until(|| agent.text() == "begun").await;
            agent
                .cx
                .send_notification(CancelNotification::new(agent.session.clone()))
                .unwrap();
        };
        tokio::join!(prompt, cancel).0
    });
    assert_eq!(answer.await.unwrap().stop_reason, "cancelled");
}

#[tokio::test]
async fn a_deaf_agent_outlives_cancel_eof_and_sigterm() {
    let dir = tempfile::tempdir().unwrap();
    let journal = dir.path().join("journal");
    let mut command = Agent::command();
    command.env("SCRIPTED_ACP_LOG", &journal);
    let mut child = client::spawn(&mut command);
    let pid = pid_of(child.id().unwrap());
    client::drive(&mut child, dir.path(), async |agent| {
        let session = agent.session.clone();
        // The answer never comes, and the connection is left with the prompt open.
        let prompt = agent.prompt("script: deaf");
        let rest = async {
            let journaled = || std::fs::read_to_string(&journal).unwrap();
            until(|| journaled().contains("\"ignoring\"")).await;
            agent
                .cx
                .send_notification(CancelNotification::new(session))
                .unwrap();
            until(|| journaled().contains("session/cancel")).await;
        };
        tokio::select! {
            answer = prompt => panic!("a deaf agent answered: {answer:?}"),
            () = rest => {}
        }
    })
    .await;
    let events = |name: &str| {
        std::fs::read_to_string(&journal)
            .unwrap()
            .matches(name)
            .count()
    };
    until(|| events("\"eof\"") == 1).await;
    kill_process(pid, Signal::TERM).unwrap();
    until(|| events("\"sigterm\"") == 1).await;
    // That a second one is still noticed proves that the first did not end it.
    kill_process(pid, Signal::TERM).unwrap();
    until(|| events("\"sigterm\"") == 2).await;
    assert!(child.try_wait().unwrap().is_none());
    child.kill().await.unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn daemons_get_away_in_their_several_ways() {
    let dir = tempfile::tempdir().unwrap();
    let daemons = Daemons(dir.path().join("pids"));
    let mut command = Agent::command();
    command.env("MARKER", "marked");
    let mut child = client::spawn(&mut command);
    let agent_pid = child.id().unwrap();
    let script = ["plain", "nohup", "setsid", "double", "clearenv", "hidden"]
        .map(|kind| format!("script: daemon {kind} pids"))
        .join("\n");
    let (answer, pids, facts) = client::drive(&mut child, dir.path(), async |agent| {
        let answer = agent.prompt(&script).await.unwrap();
        let pids = daemons.pids();
        // Looked at while the agent lives: its end makes orphans of them all.
        let facts: Vec<Facts> = pids.iter().map(|pid| Facts::of(*pid, agent_pid)).collect();
        (answer, pids, facts)
    })
    .await;
    let streamed: Vec<String> = pids.iter().map(|pid| format!("daemon {pid}\n")).collect();
    assert_eq!(answer.chunks, streamed);

    for pid in &pids {
        let pid = pid_of(*pid);
        // Alive although it was asked to go.
        kill_process(pid, Signal::TERM).unwrap();
        test_kill_process(pid).unwrap();
    }
    assert!(
        child.wait().await.unwrap().success(),
        "the agent itself leaves at end of input"
    );
    for pid in &pids {
        test_kill_process(pid_of(*pid)).unwrap();
    }
    let fact = |child, own_group, own_session, marked| Facts {
        child,
        own_group,
        own_session,
        marked,
    };
    assert_eq!(
        facts,
        [
            fact(true, true, false, true),
            fact(false, false, false, true),
            fact(true, true, true, true),
            fact(false, true, true, true),
            fact(true, true, false, false),
            fact(false, true, true, false),
        ]
    );
}

#[tokio::test]
async fn tck_burst_is_400_chunks() {
    let talk = async |agent: &Agent| agent.prompt("tck-burst").await;
    let answer = client::run(Agent::command(), talk).await.unwrap();
    assert_eq!(answer.chunks.len(), 400);
    assert_eq!(answer.chunks[399], "400\n");
}

#[tokio::test]
async fn tck_multi_turn_asks_until_done() {
    // The client answers its first form with `more`, then with `done`.
    let answer = client::run(Agent::command(), async |agent| {
        agent.prompt("tck-multi-turn").await
    })
    .await
    .unwrap();
    assert_eq!(answer.asked.len(), 2);
    assert!(
        answer
            .text()
            .ends_with("elicitation: accept {\"answer\":\"done\"}\nThe task is complete."),
        "{answer:?}"
    );
}

#[tokio::test]
async fn errors_and_stop_reasons_come_as_scripted() {
    client::run(Agent::command(), async |agent| {
        let stop = agent.prompt("script: stop of_tomorrow").await.unwrap();
        assert_eq!(stop.stop_reason, "of_tomorrow");
        for login in ["tck-auth-required", "script: need-login no-such-file"] {
            let refused = agent.prompt(login).await.unwrap_err();
            assert_eq!(i32::from(refused.code), -32000, "{login}");
        }
        agent
            .prompt("script: need-login /proc/self/stat")
            .await
            .unwrap();
        let login = json!({ "methodId": "scripted-login" });
        agent.call("authenticate", login).await.0.unwrap();
        let answer = agent.prompt("tck-auth-required").await.unwrap();
        assert_eq!(answer.text(), "Authenticated.");
        let error = agent
            .prompt("script: error -32603 it broke")
            .await
            .unwrap_err();
        assert_eq!(
            (i32::from(error.code), error.message.as_str()),
            (-32603, "it broke")
        );
        let error = agent.prompt("script: fly me").await.unwrap_err();
        assert!(
            i32::from(error.code) == -32602 && error.message.contains("`fly me`"),
            "{error:?}"
        );
        let error = agent.prompt("script: write $UNSET/x y").await.unwrap_err();
        assert!(error.message.contains("$UNSET is not set"), "{error:?}");
    })
    .await;
}

#[tokio::test]
async fn junk_and_long_lines_come_between_good_ones() {
    let answer: Answer = client::run(Agent::command(), async |agent| {
        agent
            .prompt(
                "script: junk 2\nscript: bigline 300000\nscript: unknown_update\nscript: text end",
            )
            .await
    })
    .await
    .unwrap();
    assert_eq!(answer.junk, 2);
    assert_eq!(answer.longest_line, 300_000);
    assert_eq!(answer.chunks.last().unwrap(), "end");
}

#[tokio::test]
async fn an_agent_told_to_exit_at_initialize_does() {
    let mut command = Agent::command();
    command.env(
        "SCRIPTED_ACP",
        "initialize: stderr no licence\ninitialize: exit 3",
    );
    let mut child = client::spawn(&mut command);
    let result = client::try_drive(&mut child, Path::new("/"), async |_| ()).await;
    assert!(result.is_err());
    assert_eq!(child.wait().await.unwrap().code(), Some(3));
}

#[tokio::test]
async fn an_agent_ends_in_the_middle_of_a_turn_after_what_it_said() {
    for (line, code, signal) in [("exit 7", Some(7), None), ("die", None, Some(9))] {
        let mut child = client::spawn(&mut Agent::command());
        let script = format!("script: text last words\nscript: {line}");
        client::drive(&mut child, Path::new("/"), async |agent| {
            agent.prompt(&script).await.unwrap_err();
            assert_eq!(agent.text(), "last words");
        })
        .await;
        let status = child.wait().await.unwrap();
        assert_eq!((status.code(), status.signal()), (code, signal), "{line}");
    }
}

#[tokio::test]
async fn a_hanging_agent_obeys_sigterm_wherever_it_hangs() {
    for script in [
        "hang_initialize",
        "hang_new_session",
        "start: hang",
        "start: flood 64",
    ] {
        let mut command = Agent::command();
        command.env("SCRIPTED_ACP", script);
        let dir = tempfile::tempdir().unwrap();
        let journal = dir.path().join("journal");
        command
            .env("SCRIPTED_ACP_LOG", &journal)
            .stderr(std::process::Stdio::piped());
        let mut child = client::spawn_as_is(&mut command);
        let pid = pid_of(child.id().unwrap());
        let connected = client::try_drive(&mut child, Path::new("/"), async |_| ());
        let wanted = match script {
            "hang_initialize" => "initialize",
            "hang_new_session" => "session/new",
            _ => "started",
        };
        let term = async {
            until(|| {
                std::fs::read_to_string(&journal)
                    .unwrap_or_default()
                    .contains(wanted)
            })
            .await;
            kill_process(pid, Signal::TERM).unwrap();
        };
        let (connected, ()) = tokio::join!(connected, term);
        assert!(connected.is_err(), "{script}");
        assert_eq!(child.wait().await.unwrap().code(), Some(143), "{script}");
    }
}

#[tokio::test]
async fn a_session_of_an_earlier_process_is_loaded_with_its_history_and_resumed_without() {
    let home = tempfile::tempdir().unwrap();
    let command = || {
        let mut command = Agent::command();
        command
            .env("SCRIPTED_ACP", "caps load resume\nload_session: usage 1 2")
            .env("HOME", home.path());
        command
    };
    let old = client::run(command(), async |agent| {
        agent.prompt("remember me").await.unwrap();
        agent.session.clone()
    })
    .await;
    client::run(command(), async |agent| {
        let (loaded, answer) = agent
            .call("session/load", json!({ "sessionId": old, "cwd": "/" }))
            .await;
        assert_eq!(
            (loaded.unwrap(), answer.chunks.as_slice()),
            (json!({}), ["an earlier answer".to_owned()].as_slice())
        );
        let (resumed, answer) = agent
            .call("session/resume", json!({ "sessionId": old, "cwd": "/" }))
            .await;
        assert_eq!((resumed.unwrap(), answer.chunks.len()), (json!({}), 0));
        let prompt =
            json!({ "sessionId": old, "prompt": [{ "type": "text", "text": "script: recall" }] });
        let (prompted, answer) = agent.call("session/prompt", prompt).await;
        assert_eq!(
            (
                prompted.unwrap()["stopReason"].as_str(),
                answer.text().as_str()
            ),
            (Some("end_turn"), "recall: [1] remember me\n")
        );
        for unknown in ["scripted-1-1", "../x"] {
            let unknown = json!({ "sessionId": unknown, "cwd": "/" });
            let (refused, _) = agent.call("session/load", unknown).await;
            assert_eq!(i32::from(refused.unwrap_err().code), -32002);
        }
    })
    .await;
    let (refused, _) = client::run(Agent::command(), async |agent| {
        agent
            .call(
                "session/load",
                json!({ "sessionId": "scripted-1-1", "cwd": "/" }),
            )
            .await
    })
    .await;
    assert_eq!(i32::from(refused.unwrap_err().code), -32601);
}

#[tokio::test]
async fn a_version_nobody_asked_for_is_answered_when_scripted() {
    let mut command = Agent::command();
    command.env("SCRIPTED_ACP", "protocol 2");
    let mut child = client::spawn(&mut command);
    let result = client::try_drive(&mut child, Path::new("/"), async |_| ()).await;
    assert_eq!(i32::from(result.unwrap_err().code), -32600);
    assert!(child.wait().await.unwrap().success());
}

#[tokio::test]
async fn a_tool_of_the_given_mcp_server_is_called_with_the_given_headers() {
    for events in [false, true] {
        let server = client::McpServer::start(events).await;
        let talk = async |agent: &Agent| {
            agent
                .prompt("script: mcp greet {\"name\": \"you\"}\nscript: mcp_tools")
                .await
        };
        let answer = client::run_with_mcp(Agent::command(), &server.url, talk)
            .await
            .unwrap();
        assert_eq!(answer.text(), "mcp greet: hello you\nmcp tools: greet\n");
        server.stop().await;
    }
}

/// The daemons of a pid file, killed at the end of the test however it ends.
struct Daemons(PathBuf);

impl Daemons {
    fn pids(&self) -> Vec<u32> {
        let text = std::fs::read_to_string(&self.0).unwrap_or_default();
        text.lines().map(|pid| pid.parse().unwrap()).collect()
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        for pid in self.pids() {
            let _ = kill_process(pid_of(pid), Signal::KILL);
        }
    }
}

/// How a daemon stands to the agent that started it.
#[cfg(target_os = "linux")]
#[derive(Debug, PartialEq, Eq)]
struct Facts {
    child: bool,
    own_group: bool,
    own_session: bool,
    marked: bool,
}

#[cfg(target_os = "linux")]
impl Facts {
    fn of(pid: u32, agent: u32) -> Self {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let number = |at: usize| fields[at].parse::<u32>().unwrap();
        let agent_stat = std::fs::read_to_string(format!("/proc/{agent}/stat")).unwrap();
        let agent_fields: Vec<&str> = agent_stat.rsplit_once(") ").unwrap().1.split(' ').collect();
        let environ = std::fs::read(format!("/proc/{pid}/environ")).unwrap();
        Self {
            child: number(1) == agent,
            own_group: fields[2] != agent_fields[2],
            own_session: fields[3] != agent_fields[3],
            marked: String::from_utf8_lossy(&environ).contains("MARKER=marked"),
        }
    }
}

fn pid_of(pid: u32) -> Pid {
    Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
}
