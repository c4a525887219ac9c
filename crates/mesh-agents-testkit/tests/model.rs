//! The scripted model server over raw HTTP, as a harness would use it.

#![expect(
    clippy::unwrap_used,
    reason = "a helper's failure is the test's failure"
)]

use std::process::Stdio;

use mesh_agents_testkit::ScriptedModel;
use mesh_agents_testkit::model::LogEntry;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;

/// The essential proof: what the model read by one tool call is what it writes by the next.
fn nonce_script() -> Value {
    json!({
        "vars": { "WHO": "me" },
        "rules": [{ "when": "copy the n.nce", "steps": [
            { "thought": "I need it first.", "tools": [{ "names": ["read"], "arguments": { "filePath": "NONCE.txt" } }] },
            { "text": "Writing.", "tools": [{
                "names": ["create_file", "write"],
                "arguments": { "path": "wrong" },
                "arguments_by_name": { "write": {
                    "filePath": "${prompt:artifacts go to (\\S+)}/findings.json",
                    "content": "{\"nonce\": \"${tool_result:nonce=([0-9a-f]{8})}\", \"by\": \"${WHO}\"}",
                } },
            }] },
            { "text": "It is written, \u{e4}nd long enough for several pieces of a stream." },
        ] }],
        "aux": { "text": "A title" },
    })
}

#[tokio::test]
async fn a_nonce_read_by_one_tool_call_is_written_by_the_next() {
    let model = ScriptedModel::start(nonce_script()).await.unwrap();
    for streaming in [true, false] {
        let mut talk = Talk::new(
            &model,
            streaming,
            "Please copy the nonce; artifacts go to /run/a now.",
        );
        let first = talk.next().await;
        assert_eq!(first["tool_calls"][0]["function"]["name"], "read");
        assert_eq!(arguments(&first), json!({ "filePath": "NONCE.txt" }));
        assert_eq!(first["reasoning_content"], "I need it first.");

        talk.tool_result(&first, "1: nonce=8f2c01ab\n");
        let second = talk.next().await;
        assert_eq!(second["content"], "Writing.");
        let content = "{\"nonce\": \"8f2c01ab\", \"by\": \"me\"}";
        assert_eq!(
            arguments(&second),
            json!({ "filePath": "/run/a/findings.json", "content": content })
        );
        assert_ne!(first["tool_calls"][0]["id"], second["tool_calls"][0]["id"]);

        talk.tool_result(&second, "ok");
        let third = talk.next().await;
        assert_eq!(
            third["content"],
            "It is written, \u{e4}nd long enough for several pieces of a stream."
        );
        assert_eq!(third["tool_calls"], Value::Null);
        assert_eq!(talk.finish_reasons, ["tool_calls", "tool_calls", "stop"]);
        assert_eq!(talk.usages.len(), 3);
    }
    let log = model.log();
    assert_eq!(
        log.iter().map(|entry| entry.step).collect::<Vec<_>>(),
        [0, 1, 2, 0, 1, 2].map(Some)
    );
    assert!(
        log.iter()
            .all(|entry| entry.finished && !entry.client_gone && entry.tools == ["read", "write"])
    );
    model.stop().await.unwrap();
}

#[tokio::test]
async fn a_request_without_tools_gets_the_aux_answer_and_a_bad_placeholder_is_told() {
    let model = ScriptedModel::start(nonce_script()).await.unwrap();
    let title =
        json!({ "model": "m", "messages": [{ "role": "user", "content": "copy the nonce" }] });
    let (status, body) = post(&model, "/v1/chat/completions", &title).await;
    assert_eq!(
        (status, &json_of(&body)["choices"][0]["message"]["content"]),
        (200, &json!("A title"))
    );

    let mut talk = Talk::new(&model, false, "copy the nonce; artifacts go to /run/a");
    let first = talk.next().await;
    talk.tool_result(&first, "the file is empty");
    let (status, body) = post(&model, "/v1/chat/completions", &talk.request).await;
    assert_eq!(status, 400);
    let message = json_of(&body)["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(message.contains("nonce=([0-9a-f]{8})"), "{message}");
    assert!(model.log()[2].problem.is_some());
    model.stop().await.unwrap();
}

#[tokio::test]
async fn errors_come_with_status_body_and_headers() {
    let error = json!({ "status": 429, "headers": { "retry-after": "2" }, "body": { "error": { "message": "slow" } } });
    let model = ScriptedModel::start(json!({ "steps": [{ "error": error }] }))
        .await
        .unwrap();
    let (status, body) = post(&model, "/v1/chat/completions", &json!({ "messages": [] })).await;
    assert_eq!(status, 429);
    assert!(body.to_lowercase().contains("retry-after: 2"), "{body}");
    assert_eq!(json_of(&body)["error"]["message"], "slow");
    model.stop().await.unwrap();
}

#[tokio::test]
async fn a_client_that_leaves_a_hanging_stream_is_noted_and_stop_ends_the_others() {
    let model = ScriptedModel::start(json!({ "steps": [{ "text": "Let me see", "hang": true }] }))
        .await
        .unwrap();
    let request = json!({ "stream": true, "messages": [{ "role": "user", "content": "x" }] });
    let mut stays = send(&model, "/v1/chat/completions", &request).await;
    read_until(&mut stays, "Let me see").await;
    let mut leaves = send(&model, "/v1/chat/completions", &request).await;
    read_until(&mut leaves, "Let me see").await;
    assert!(
        model
            .log()
            .iter()
            .all(|entry| !entry.client_gone && !entry.finished)
    );
    drop(leaves);
    // One that was told nothing yet leaves too.
    let unstreamed = json!({ "messages": [{ "role": "user", "content": "x" }] });
    let leaves = send(&model, "/v1/chat/completions", &unstreamed).await;
    model.wait_for(|log| log.len() == 3).await;
    drop(leaves);
    let left = |log: &[LogEntry]| log.iter().filter(|entry| entry.client_gone).count() == 2;
    let log = model.wait_for(left).await;
    let gone: Vec<bool> = log.iter().map(|entry| entry.client_gone).collect();
    assert_eq!(gone, [false, true, true]);
    model.stop().await.unwrap();
    let mut rest = Vec::new();
    stays.read_to_end(&mut rest).await.unwrap();
}

#[tokio::test]
async fn the_program_says_where_it_is_and_takes_a_script_while_it_runs() {
    let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_scripted-model"))
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut stdout = BufReader::new(program.stdout.take().unwrap()).lines();
    let ready = stdout.next_line().await.unwrap().unwrap();
    let address = ready.strip_prefix("ready http://").unwrap().to_owned();

    let script = json!({ "steps": [{ "text": "as told" }], "models": ["m1"] });
    assert_eq!(
        exchange(&address, "POST", "/__script", &script).await.0,
        204
    );
    let (_, models) = exchange(&address, "GET", "/v1/models", &Value::Null).await;
    assert_eq!(json_of(&models)["data"][0]["id"], "m1");
    let request = json!({ "messages": [{ "role": "user", "content": "hi" }] });
    let (_, answer) = exchange(&address, "POST", "/v1/chat/completions", &request).await;
    assert_eq!(
        json_of(&answer)["choices"][0]["message"]["content"],
        "as told"
    );
    let (_, log) = exchange(&address, "GET", "/__log", &Value::Null).await;
    assert_eq!(json_of(&log)[0]["last_user"], "hi");
    assert_eq!(
        exchange(&address, "POST", "/__reset", &Value::Null).await.0,
        204
    );
    let (_, log) = exchange(&address, "GET", "/__log", &Value::Null).await;
    assert_eq!(json_of(&log), json!([]));
    assert_eq!(
        exchange(&address, "POST", "/__script", &json!({ "stpes": [] }))
            .await
            .0,
        400
    );

    let pid = Pid::from_raw(i32::try_from(program.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::TERM).unwrap();
    assert!(program.wait().await.unwrap().success());
}

/// One conversation of a harness that offers `read` and `write`.
struct Talk<'a> {
    model: &'a ScriptedModel,
    request: Value,
    finish_reasons: Vec<String>,
    usages: Vec<Value>,
}

impl<'a> Talk<'a> {
    fn new(model: &'a ScriptedModel, streaming: bool, user: &str) -> Self {
        let tools = ["read", "write"]
            .map(|name| json!({ "type": "function", "function": { "name": name } }));
        let request = json!({
            "model": "m",
            "stream": streaming,
            "stream_options": { "include_usage": true },
            "tools": tools,
            "messages": [{ "role": "system", "content": "Be good." }, { "role": "user", "content": user }],
        });
        Self {
            model,
            request,
            finish_reasons: Vec::new(),
            usages: Vec::new(),
        }
    }

    /// The model's next message, put together when it was streamed.
    async fn next(&mut self) -> Value {
        let (status, body) = post(self.model, "/v1/chat/completions", &self.request).await;
        assert_eq!(status, 200, "{body}");
        if self.request["stream"] == false {
            let body = json_of(&body);
            self.usages.push(body["usage"].clone());
            let choice = &body["choices"][0];
            self.finish_reasons
                .push(choice["finish_reason"].as_str().unwrap().to_owned());
            return choice["message"].clone();
        }
        self.assemble(&body)
    }

    fn assemble(&mut self, body: &str) -> Value {
        let mut events: Vec<&str> = body
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .collect();
        assert_eq!(events.pop(), Some("[DONE]"));
        let mut message = json!({ "content": "", "reasoning_content": "" });
        for event in events {
            let event: Value = serde_json::from_str(event).unwrap();
            if event["usage"].is_object() {
                self.usages.push(event["usage"].clone());
                continue;
            }
            let choice = &event["choices"][0];
            if let Some(reason) = choice["finish_reason"].as_str() {
                self.finish_reasons.push(reason.to_owned());
            }
            for field in ["content", "reasoning_content"] {
                append(&mut message[field], &choice["delta"][field]);
            }
            let call = &choice["delta"]["tool_calls"][0];
            if call["id"].is_string() {
                message["tool_calls"] = json!([call]);
            } else if call.is_object() {
                append(
                    &mut message["tool_calls"][0]["function"]["arguments"],
                    &call["function"]["arguments"],
                );
            }
        }
        message
    }

    fn tool_result(&mut self, message: &Value, result: &str) {
        let id = &message["tool_calls"][0]["id"];
        let messages = self.request["messages"].as_array_mut().unwrap();
        messages.push(
            json!({ "role": "assistant", "content": null, "tool_calls": message["tool_calls"] }),
        );
        messages.push(json!({ "role": "tool", "tool_call_id": id, "content": result }));
    }
}

fn append(text: &mut Value, more: &Value) {
    if let Some(more) = more.as_str() {
        *text = Value::from(format!("{}{more}", text.as_str().unwrap()));
    }
}

fn arguments(message: &Value) -> Value {
    serde_json::from_str(
        message["tool_calls"][0]["function"]["arguments"]
            .as_str()
            .unwrap(),
    )
    .unwrap()
}

/// The JSON body of a raw answer that was not chunked.
fn json_of(answer: &str) -> Value {
    serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
}

async fn post(model: &ScriptedModel, path: &str, body: &Value) -> (u16, String) {
    exchange(
        model.base_url().strip_prefix("http://").unwrap(),
        "POST",
        path,
        body,
    )
    .await
}

async fn send(model: &ScriptedModel, path: &str, body: &Value) -> TcpStream {
    request(
        model.base_url().strip_prefix("http://").unwrap(),
        "POST",
        path,
        body,
    )
    .await
}

/// A whole exchange: the status and everything received, head included.
async fn exchange(address: &str, method: &str, path: &str, body: &Value) -> (u16, String) {
    let mut stream = request(address, method, path, body).await;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

async fn request(address: &str, method: &str, path: &str, body: &Value) -> TcpStream {
    let body = body.to_string();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    let mut stream = TcpStream::connect(address).await.unwrap();
    // In one piece: a server that answers before it has read the body would break what is still to be sent.
    stream.write_all((head + &body).as_bytes()).await.unwrap();
    stream
}

async fn read_until(stream: &mut TcpStream, text: &str) {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(text) {
        assert_ne!(
            stream.read_buf(&mut seen).await.unwrap(),
            0,
            "the stream ended early"
        );
    }
}
