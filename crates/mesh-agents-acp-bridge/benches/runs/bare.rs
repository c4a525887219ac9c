//! The least an ACP client does: start the harness, initialize, open a session, prompt, close, reap.

use std::io;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use agent_client_protocol::v1::ConnectionTo;
use agent_client_protocol::{
    Agent, Client, ConnectTo, Lines, UntypedMessage, on_receive_notification,
};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{ChildStdin, ChildStdout, Command};

/// Runs the scripted agent with one prompt. Returns how many notifications came.
pub(crate) async fn run(workspace: &Path, prompt: &str) -> usize {
    let mut child = Command::new(mesh_agents_testkit::bin("scripted-acp-agent"))
        .current_dir(workspace)
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = lines(child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let seen = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&seen);
    let talk = Client
        .v1()
        .on_receive_notification(
            async move |_: UntypedMessage, _cx: ConnectionTo<Agent>| {
                counter.fetch_add(1, Ordering::Relaxed);
                Ok(())
            },
            on_receive_notification!(),
        )
        .connect_with(lines, async |cx: ConnectionTo<Agent>| {
            ask(
                &cx,
                "initialize",
                json!({ "protocolVersion": 1, "clientCapabilities": {} }),
            )
            .await;
            let session = ask(
                &cx,
                "session/new",
                json!({ "cwd": workspace, "mcpServers": [] }),
            )
            .await;
            let prompt = json!({
                "sessionId": session["sessionId"],
                "prompt": [{ "type": "text", "text": prompt }],
            });
            ask(&cx, "session/prompt", prompt).await;
            Ok(())
        });
    talk.await.unwrap();
    child.wait().await.unwrap();
    seen.load(Ordering::Relaxed)
}

async fn ask(cx: &ConnectionTo<Agent>, method: &str, params: Value) -> Value {
    let request = UntypedMessage::new(method, params).unwrap();
    cx.send_request(request).block_task().await.unwrap()
}

fn lines(stdin: ChildStdin, stdout: ChildStdout) -> impl ConnectTo<Client> {
    let sink = futures::sink::unfold(stdin, |mut stdin, line: String| async move {
        stdin.write_all((line + "\n").as_bytes()).await?;
        Ok::<_, io::Error>(stdin)
    });
    let stream = futures::stream::unfold(BufReader::new(stdout).lines(), |mut lines| async move {
        let line = lines.next_line().await.transpose()?;
        Some((line, lines))
    });
    Lines::new(sink, stream)
}
