//! Two callers with tokens of their own cannot see each other's tasks: every operation that names a
//! task, on every way in, asked by a stranger, is answered word for word as for a task that never
//! was. The matrix is generated; a new operation is one line more.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::support::{World, until};

const ALICE: &str = "alice-0123456789abcdef";
const BOB: &str = "bob-0123456789abcdefgh";
/// A task id that is well-formed and nobody's.
const NOBODYS: &str = "task-00000000000000000000000000";

/// One operation on a task, by one way in. `{task}` in its path and body stands for the task.
struct Operation {
    name: String,
    method: &'static str,
    path: String,
    body: Value,
}

fn operations() -> Vec<Operation> {
    let message = json!({"messageId": "m-{task}", "role": "ROLE_USER", "taskId": "{task}", "parts": [{"text": "more"}]});
    let config = json!({"taskId": "{task}", "id": "c", "url": "http://127.0.0.1:9/x"});
    let named = json!({"taskId": "{task}", "id": "c"});
    let wire = [
        ("GetTask", "GET", "tasks/{task}", json!({"id": "{task}"})),
        (
            "SendMessage",
            "POST",
            "message:send",
            json!({"message": message}),
        ),
        (
            "SendStreamingMessage",
            "POST",
            "message:stream",
            json!({"message": message}),
        ),
        (
            "SubscribeToTask",
            "POST",
            "tasks/{task}:subscribe",
            json!({"id": "{task}"}),
        ),
        (
            "CreateTaskPushNotificationConfig",
            "POST",
            "tasks/{task}/pushNotificationConfigs",
            config,
        ),
        (
            "GetTaskPushNotificationConfig",
            "GET",
            "tasks/{task}/pushNotificationConfigs/c",
            named.clone(),
        ),
        (
            "ListTaskPushNotificationConfigs",
            "GET",
            "tasks/{task}/pushNotificationConfigs",
            json!({"taskId": "{task}"}),
        ),
        (
            "DeleteTaskPushNotificationConfig",
            "DELETE",
            "tasks/{task}/pushNotificationConfigs/c",
            named,
        ),
        // Last: it ends the task for whoever may.
        (
            "CancelTask",
            "POST",
            "tasks/{task}:cancel",
            json!({"id": "{task}"}),
        ),
    ];
    let tools = [
        ("get_task", json!({"task_id": "{task}"})),
        (
            "view_text_artifact",
            json!({"task_id": "{task}", "artifact_id": "response"}),
        ),
        (
            "view_data_artifact",
            json!({"task_id": "{task}", "artifact_id": "findings.json"}),
        ),
        (
            "send_message",
            json!({"agent_id": "tester", "task_id": "{task}", "message": "more", "message_id": "t-{task}"}),
        ),
        ("cancel_task", json!({"task_id": "{task}"})),
    ];
    let mut all = Vec::new();
    for (tool, arguments) in tools {
        let params = json!({"name": tool, "arguments": arguments});
        all.push(Operation {
            name: format!("MCP {tool}"),
            method: "POST",
            path: "/mcp".into(),
            body: json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}),
        });
    }
    for (method, verb, path, params) in wire {
        all.push(Operation {
            name: format!("JSON-RPC {method}"),
            method: "POST",
            path: "/a2a/agents/tester".into(),
            body: json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}),
        });
        all.push(Operation {
            name: format!("HTTP+JSON {method}"),
            method: verb,
            path: format!("/a2a/agents/tester/{path}"),
            body: if verb == "POST" { params } else { Value::Null },
        });
    }
    all
}

/// JSON with the members of its objects in the order of their names.
fn sorted(json: &Value) -> String {
    match json {
        Value::Object(members) => {
            let mut all: Vec<_> = members.iter().collect();
            all.sort_by_key(|(name, _)| *name);
            let all = all
                .iter()
                .map(|(name, value)| format!("{name:?}:{}", sorted(value)));
            format!("{{{}}}", all.collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            let all: Vec<_> = items.iter().map(sorted).collect();
            format!("[{}]", all.join(","))
        }
        other => other.to_string(),
    }
}

/// A node that serves, and who asks it.
struct Node {
    world: World,
    address: String,
}

impl Node {
    fn start() -> Self {
        let world = World::with_tester();
        for (name, token) in [("alice", ALICE), ("bob", BOB)] {
            std::fs::write(world.path(name), token).unwrap();
        }
        let files = ["alice", "bob"].map(|name| format!("{name} = {:?}\n", world.path(name)));
        world.settings(&format!("[access_tokens]\n{}", files.concat()));
        // Any verb that needs the engine starts it.
        world.run(&["tasks"]);
        let engine = world.engine();
        let address = engine["base_url"].as_str().unwrap().replace("http://", "");
        Self { world, address }
    }

    /// What `token`'s holder is answered: status and body. A stream is read to its first event.
    fn ask(&self, token: Option<&str>, method: &str, path: &str, body: &Value) -> (u16, String) {
        let body = if body.is_null() {
            String::new()
        } else {
            body.to_string()
        };
        let authorization = token.map(|token| format!("Authorization: Bearer {token}\r\n"));
        let mut stream = TcpStream::connect(&self.address).unwrap();
        // In one piece: who answers before it has read the rest would break what is still to be sent.
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nA2A-Version: 1.0\r\n\
             Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
             Content-Length: {}\r\n{}\r\n{body}",
            self.address,
            body.len(),
            authorization.unwrap_or_default(),
        );
        stream.write_all(request.as_bytes()).unwrap();
        let mut text = String::new();
        let mut piece = [0; 4096];
        loop {
            let read = stream.read(&mut piece).unwrap();
            text.push_str(&String::from_utf8_lossy(&piece[..read]));
            let streams = text.contains("text/event-stream");
            if read == 0 || (streams && path != "/mcp" && text.contains("data: {")) {
                break;
            }
        }
        let status = text.split(' ').nth(1).unwrap().parse().unwrap();
        let body = text.split_once("\r\n\r\n").unwrap().1;
        (status, body.to_owned())
    }

    fn perform(&self, token: Option<&str>, operation: &Operation, task: &str) -> (u16, String) {
        let path = operation.path.replace("{task}", task);
        let body = operation.body.to_string().replace("{task}", task);
        let body = serde_json::from_str(&body).unwrap();
        let (status, said) = self.ask(token, operation.method, &path, &body);
        let said = said.replace(task, "{task}");
        // The members of an object come in any order.
        let json = serde_json::from_str::<Value>(&said).map(|json| sorted(&json));
        (status, json.unwrap_or(said))
    }

    /// Sends `text` as `token`'s holder and returns the new task.
    fn send(&self, token: &str, text: &str, key: &str, context: Option<&str>) -> String {
        let mut message = json!({"messageId": key, "role": "ROLE_USER", "parts": [{"text": text}]});
        if let Some(context) = context {
            message["contextId"] = json!(context);
        }
        let body = json!({"message": message, "configuration": {"returnImmediately": true}});
        let (status, said) = self.ask(
            Some(token),
            "POST",
            "/a2a/agents/tester/message:send",
            &body,
        );
        assert_eq!(status, 200, "{said}");
        let sent: Value = serde_json::from_str(&said).unwrap();
        sent["task"]["id"].as_str().unwrap().to_owned()
    }

    /// The ids of the tasks that `token`'s holder is listed, by both bindings and the MCP tool.
    fn lists(&self, token: Option<&str>) -> [String; 3] {
        let list = json!({"jsonrpc": "2.0", "id": 1, "method": "ListTasks", "params": {}});
        let tool = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "list_tasks", "arguments": {}}});
        [
            self.ask(token, "GET", "/a2a/agents/tester/tasks", &Value::Null)
                .1,
            self.ask(token, "POST", "/a2a/agents/tester", &list).1,
            self.ask(token, "POST", "/mcp", &tool).1,
        ]
    }

    fn until_done(&self, task: &str) {
        self.world.until_state(task, "completed");
    }
}

#[test]
fn no_operation_tells_a_stranger_that_a_task_exists() {
    let node = Node::start();
    let done = node.send(
        ALICE,
        "script: text done\nscript: write $TASK_ARTIFACTS_DIR/findings.json {}",
        "m-1",
        None,
    );
    node.until_done(&done);
    let open = node.send(ALICE, "script: text at work\nscript: hang", "m-2", None);
    node.world.until_state(&open, "working");
    let held = until("something said", || {
        let (_, said) = node.perform(Some(ALICE), &operations()[1], &open);
        said.contains("at work").then_some(said)
    });
    assert!(held.contains("at work"));

    let mut asked = 0;
    for operation in operations() {
        for task in [&open, &done] {
            let stranger = node.perform(Some(BOB), &operation, task);
            let nobodys = node.perform(Some(BOB), &operation, NOBODYS);
            assert_eq!(
                stranger, nobodys,
                "{}: bob is told of alice's task",
                operation.name
            );
            assert!(
                !stranger.1.contains("at work"),
                "{}: {}",
                operation.name,
                stranger.1
            );
            asked += 1;
        }
    }
    // Nothing bob did has touched it.
    assert_eq!(node.world.until_state(&open, "working")["state"], "working");
    // The same questions tell its owner, and the person at this machine, something else.
    for operation in operations() {
        for token in [Some(ALICE), None] {
            let own = node.perform(token, &operation, &open);
            let nobodys = node.perform(token, &operation, NOBODYS);
            assert_ne!(
                own, nobodys,
                "{}: its owner is told nothing",
                operation.name
            );
            asked += 1;
        }
    }
    assert_eq!(asked, operations().len() * 4);
    node.world.until_state(&open, "canceled");
}

#[test]
fn lists_keys_and_contexts_are_each_callers_own() {
    let node = Node::start();
    let alices = node.send(ALICE, "script: text a", "same-key", Some("same-context"));
    let bobs = node.send(BOB, "script: text b", "same-key", Some("same-context"));
    assert_ne!(alices, bobs, "a key names a task of its sender alone");
    node.until_done(&alices);
    node.until_done(&bobs);
    for list in node.lists(Some(ALICE)) {
        assert!(list.contains(&alices) && !list.contains(&bobs), "{list}");
    }
    for list in node.lists(Some(BOB)) {
        assert!(list.contains(&bobs) && !list.contains(&alices), "{list}");
    }
    for list in node.lists(None) {
        assert!(list.contains(&alices) && list.contains(&bobs), "{list}");
    }
    let context = "/a2a/agents/tester/tasks?contextId=same-context";
    let (_, page) = node.ask(Some(BOB), "GET", context, &Value::Null);
    let page: Value = serde_json::from_str(&page).unwrap();
    assert_eq!(page["totalSize"], 1, "{page}");
    let (status, _) = node.ask(
        Some("nobody-0123456789abcdef"),
        "GET",
        context,
        &Value::Null,
    );
    assert_eq!(status, 401);
}
