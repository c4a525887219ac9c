//! Push notifications of the real program: a receiver hears of its task whatever becomes of the engine.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};

use serde_json::{Value, json};

use crate::support::{DEADLINE, Mcp, World, kill, until, until_dead};

/// A receiver on a port of its own, until the test is over: too busy for so many requests, then it
/// takes everything.
fn receiver(busy: usize) -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (told, hears) = mpsc::channel();
    std::thread::spawn(move || {
        for (n, stream) in listener.incoming().enumerate() {
            let mut stream = stream.unwrap();
            let (_, body) = read(&stream);
            let status = if n < busy {
                "503 Busy"
            } else {
                "204 No Content"
            };
            let answer = format!("HTTP/1.1 {status}\r\nconnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
            if n >= busy && told.send(serde_json::from_str(&body).unwrap()).is_err() {
                return;
            }
        }
    });
    (url, hears)
}

/// Reads one HTTP message with a length: its head and its body.
fn read(stream: &TcpStream) -> (String, String) {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut from = BufReader::new(stream);
    let (mut head, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        from.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            break;
        }
        let lower = line.to_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        head.push_str(&line);
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body).unwrap();
    (head, String::from_utf8(body).unwrap())
}

/// Calls an operation of the agent `tester` over JSON-RPC; its result.
fn call(world: &World, method: &str, params: &Value) -> Value {
    let base = world.engine()["base_url"].as_str().unwrap().to_owned();
    let address = base.trim_start_matches("http://");
    let body = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).to_string();
    let mut stream = TcpStream::connect(address).unwrap();
    let request = format!(
        "POST /a2a/agents/tester HTTP/1.1\r\nhost: {address}\r\na2a-version: 1.0\r\n\
         content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).unwrap();
    let (head, body) = read(&stream);
    let answer: Value = serde_json::from_str(&body).unwrap_or_else(|_| panic!("{head}{body}"));
    assert!(answer["error"].is_null(), "{answer}");
    answer["result"].clone()
}

fn send(world: &World, key: &str, text: &str, url: &str) -> String {
    let sent = call(
        world,
        "SendMessage",
        &json!({
            "message": {"messageId": key, "role": "ROLE_USER", "parts": [{"text": text}]},
            "configuration": {
                "returnImmediately": true,
                "taskPushNotificationConfig": {"id": "hooks", "url": url},
            },
        }),
    );
    sent["task"]["id"].as_str().unwrap().to_owned()
}

/// The next state the receiver is told of this task; a repeat of the one before is allowed.
fn next_state(hears: &Receiver<Value>, task: &str, before: &str) -> String {
    loop {
        let told = hears.recv_timeout(DEADLINE).expect("the receiver is told");
        let update = &told["statusUpdate"];
        if update.is_null() {
            continue;
        }
        assert_eq!(update["taskId"], task, "{told}");
        let state = update["status"]["state"].as_str().unwrap();
        if state != before {
            return state.to_owned();
        }
    }
}

#[test]
fn a_receiver_hears_the_end_of_its_task_although_the_engine_is_killed_twice() {
    let world = World::with_tester();
    world.settings("push_allow = [\"127.0.0.1\"]");
    let (url, hears) = receiver(0);
    world.json(&["tasks"]);
    let message = format!("script: wait_file {}", world.path("data/never").display());
    let task = send(&world, "m-1", &message, &url);
    assert_eq!(next_state(&hears, &task, ""), "TASK_STATE_WORKING");
    for _ in 0..2 {
        let engine = world.engine_pid();
        kill(engine);
        until_dead("the engine", &[engine]);
        world.json(&["tasks"]);
    }
    let end = next_state(&hears, &task, "TASK_STATE_WORKING");
    assert_eq!(end, "TASK_STATE_FAILED");
    let shown = call(
        &world,
        "GetTaskPushNotificationConfig",
        &json!({"taskId": task, "id": "hooks"}),
    );
    assert_eq!(shown["url"], url.as_str());
}

#[test]
fn an_engine_that_nobody_needs_tells_what_it_owes_before_it_leaves() {
    let world = World::with_tester();
    world.settings("linger_seconds = 1\npush_allow = [\"127.0.0.1\"]");
    // Three seconds of trying, thrice the time the engine would stay for nothing.
    let (url, hears) = receiver(2);
    // It stays for its front-end until the task is sent.
    let mcp = Mcp::start(&world);
    let engine = until("the engine of the front-end", || {
        let engine = world.engine();
        (engine["frontends"] == 1).then(|| engine["pid"].as_u64().unwrap())
    });
    let engine = u32::try_from(engine).unwrap();
    let task = send(&world, "m-1", "script: text done", &url);
    drop(mcp);
    until_dead("the engine leaves", &[engine]);
    let first = next_state(&hears, &task, "");
    assert_eq!(first, "TASK_STATE_WORKING");
    assert_eq!(next_state(&hears, &task, &first), "TASK_STATE_COMPLETED");
}
