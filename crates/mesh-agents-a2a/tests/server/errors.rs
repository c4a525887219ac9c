//! The whole table: what is wrong with a request, and what each binding says to it.

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::fake::{AGENT, Answered, Node, at_once, message};

/// One line: status, code, gRPC status, reason, fields, message.
fn said(answered: &Answered) -> String {
    let answer = answered.json();
    let error = &answer["error"];
    let details = error["data"].as_array().or(error["details"].as_array());
    let details = details.cloned().unwrap_or_default();
    let mut line = format!("{} {}", answered.status.as_u16(), error["code"]);
    if let Some(status) = error["status"].as_str() {
        write!(line, " {status}").unwrap();
    }
    for detail in details {
        match detail["@type"].as_str().unwrap() {
            "type.googleapis.com/google.rpc.ErrorInfo" => {
                assert_eq!(detail["domain"], "a2a-protocol.org");
                write!(line, " {}", detail["reason"].as_str().unwrap()).unwrap();
                if let Some(code) = detail["metadata"]["code"].as_str() {
                    write!(line, "({code})").unwrap();
                }
            }
            "type.googleapis.com/google.rpc.BadRequest" => {
                for violation in detail["fieldViolations"].as_array().unwrap() {
                    write!(line, " [{}]", violation["field"].as_str().unwrap()).unwrap();
                }
            }
            other => panic!("{other}"),
        }
    }
    write!(line, "\n    {}", error["message"].as_str().unwrap()).unwrap();
    line
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut send = at_once("m1", "x");
    change(&mut send);
    send
}

/// Wrong sends, by what is wrong with them.
fn sends(done: &str, busy: &str) -> Vec<(&'static str, Value)> {
    let part = |part: Value| with(|send| send["message"]["parts"] = json!([part]));
    vec![
        ("no message", json!({})),
        ("an empty message", json!({"message": {}})),
        ("a message that is text", json!({"message": "hi"})),
        (
            "no message id",
            with(|send| send["message"]["messageId"] = json!("")),
        ),
        (
            "a message id with a line break",
            with(|send| send["message"]["messageId"] = json!("a\nb")),
        ),
        (
            "no role",
            with(|send| send["message"]["role"] = json!(null)),
        ),
        (
            "the agent's role",
            with(|send| send["message"]["role"] = json!("ROLE_AGENT")),
        ),
        (
            "no parts",
            with(|send| send["message"]["parts"] = json!([])),
        ),
        (
            "a part of nothing",
            part(json!({"mediaType": "text/plain"})),
        ),
        (
            "a part of two things",
            part(json!({"text": "a", "url": "http://x"})),
        ),
        ("a text that is a number", part(json!({"text": 7}))),
        ("raw that is no base64", part(json!({"raw": "!!"}))),
        ("blank text", part(json!({"text": " "}))),
        (
            "metadata that is a list",
            with(|send| send["message"]["metadata"] = json!([1])),
        ),
        (
            "a context id with a space",
            with(|send| send["message"]["contextId"] = json!("a b")),
        ),
        (
            "a negative history",
            with(|send| send["configuration"]["historyLength"] = json!(-1)),
        ),
        (
            "a history of text",
            with(|send| send["configuration"]["historyLength"] = json!("many")),
        ),
        (
            "an unknown task",
            with(|send| send["message"]["taskId"] = json!("task-of-mine")),
        ),
        (
            "a task that has ended",
            with(|send| send["message"]["taskId"] = json!(done)),
        ),
        (
            "a task at work",
            with(|send| send["message"]["taskId"] = json!(busy)),
        ),
        (
            "a task of another context",
            with(|send| {
                send["message"]["taskId"] = json!(done);
                send["message"]["contextId"] = json!("else");
            }),
        ),
        ("a tenant", with(|send| send["tenant"] = json!("acme"))),
        (
            "an image",
            part(json!({"raw": "iVBORw==", "mediaType": "image/png"})),
        ),
        ("bytes of no named type", part(json!({"raw": "/w=="}))),
        (
            "the type no agent knows",
            part(json!({"text": "x", "mediaType": "application/x-unsupported-tck-type"})),
        ),
        (
            "a URL of that type",
            part(json!({"url": "http://x/y", "mediaType": "application/x-unsupported-tck-type"})),
        ),
        (
            "a push configuration for an address of this machine",
            with(|send| {
                send["configuration"]["taskPushNotificationConfig"] =
                    json!({"url": "http://127.0.0.1:1/x"});
            }),
        ),
        (
            "a push configuration without a URL",
            with(|send| {
                send["configuration"]["taskPushNotificationConfig"] = json!({"token": "a\nb"});
            }),
        ),
    ]
}

async fn node() -> (Node, String, String) {
    let mut node = Node::start().await;
    let done = node.call("SendMessage", at_once("done", "x")).await["result"]["task"]["id"].clone();
    node.next_run().await.complete("ok");
    node.call("SendMessage", json!({"message": message("done", "x")}))
        .await;
    let busy = node.call("SendMessage", at_once("busy", "x")).await["result"]["task"]["id"].clone();
    node.next_run().await.keep();
    let text = |id: Value| id.as_str().unwrap().to_owned();
    (node, text(done), text(busy))
}

/// The table without what changes from run to run.
fn check(name: &str, table: &str) {
    insta::with_settings!({filters => vec![(r"task-[0-9A-HJKMNP-TV-Z]{26}", "task-ULID"), (r"ctx-[0-9A-HJKMNP-TV-Z]{26}", "ctx-ULID")]}, {
        insta::assert_snapshot!(name, table);
    });
}

#[tokio::test]
async fn wrong_sends_on_both_bindings() {
    let (node, done, busy) = node().await;
    let mut table = String::new();
    for (what, params) in sends(&done, &busy) {
        let rpc = crate::fake::rpc("SendMessage", &params);
        let rpc = node.ask(rpc).await;
        let rest = node
            .rest("POST", "/message:send", Some(params.clone()))
            .await;
        let stream = node.rest("POST", "/message:stream", Some(params)).await;
        assert_eq!(
            rest.json(),
            stream.json(),
            "{what}: a stream that does not begin fails like a send"
        );
        let (rpc, rest) = (said(&rpc), said(&rest));
        writeln!(
            table,
            "{what}\n  jsonrpc {rpc}\n  rest    {}",
            rest.lines().next().unwrap()
        )
        .unwrap();
        assert_eq!(
            rpc.lines().nth(1),
            rest.lines().nth(1),
            "{what}: the same words on both"
        );
    }
    check("wrong_sends", &table);
}

/// What is wrong, the JSON-RPC call, and the REST request if it has one.
type Case = (&'static str, &'static str, Value, &'static str, String);

fn of_tasks(done: &str, absent: &str) -> Vec<Case> {
    vec![
        ("no id", "GetTask", json!({}), "", String::new()),
        (
            "an id nobody made",
            "GetTask",
            json!({"id": "../x"}),
            "GET",
            "/tasks/..x".into(),
        ),
        (
            "no such task",
            "GetTask",
            json!({"id": absent}),
            "GET",
            format!("/tasks/{absent}"),
        ),
        (
            "a negative history",
            "GetTask",
            json!({"id": done, "historyLength": -1}),
            "GET",
            format!("/tasks/{done}?historyLength=-1"),
        ),
        (
            "cancel: no such task",
            "CancelTask",
            json!({"id": absent}),
            "POST",
            format!("/tasks/{absent}:cancel"),
        ),
        (
            "cancel: it has ended",
            "CancelTask",
            json!({"id": done}),
            "POST",
            format!("/tasks/{done}:cancel"),
        ),
        (
            "subscribe: no such task",
            "SubscribeToTask",
            json!({"id": absent}),
            "GET",
            format!("/tasks/{absent}:subscribe"),
        ),
        (
            "subscribe: it has ended",
            "SubscribeToTask",
            json!({"id": done}),
            "POST",
            format!("/tasks/{done}:subscribe"),
        ),
    ]
}

fn of_lists() -> Vec<Case> {
    vec![
        (
            "list: a page of 0",
            "ListTasks",
            json!({"pageSize": 0}),
            "GET",
            "/tasks?pageSize=0".into(),
        ),
        (
            "list: a page of 150",
            "ListTasks",
            json!({"pageSize": 150}),
            "GET",
            "/tasks?pageSize=150".into(),
        ),
        (
            "list: a page of text",
            "ListTasks",
            json!({"pageSize": "x"}),
            "GET",
            "/tasks?pageSize=x".into(),
        ),
        (
            "list: a state nobody knows",
            "ListTasks",
            json!({"status": "DONE"}),
            "GET",
            "/tasks?status=DONE".into(),
        ),
        (
            "list: a token of another",
            "ListTasks",
            json!({"pageToken": "5"}),
            "GET",
            "/tasks?pageToken=5".into(),
        ),
        (
            "list: a time that is none",
            "ListTasks",
            json!({"statusTimestampAfter": "yesterday"}),
            "GET",
            "/tasks?statusTimestampAfter=yesterday".into(),
        ),
        (
            "list: a negative history",
            "ListTasks",
            json!({"historyLength": -3}),
            "GET",
            "/tasks?historyLength=-3".into(),
        ),
        (
            "list: three things at once",
            "ListTasks",
            json!({"pageSize": -1, "status": "x", "tenant": "t"}),
            "GET",
            "/tasks?pageSize=-1&status=x&tenant=t".into(),
        ),
        (
            "parameters in a list",
            "ListTasks",
            json!([1]),
            "",
            String::new(),
        ),
    ]
}

fn of_configs(done: &str, absent: &str) -> Vec<Case> {
    let at = |task: &str, config: &str| format!("/tasks/{task}/pushNotificationConfigs{config}");
    let url = "https://hooks.example.com/a2a";
    vec![
        (
            "push: create for no such task",
            "CreateTaskPushNotificationConfig",
            json!({"taskId": absent, "url": url}),
            "",
            String::new(),
        ),
        (
            "push: create without a URL",
            "CreateTaskPushNotificationConfig",
            json!({"taskId": done}),
            "",
            String::new(),
        ),
        (
            "push: create for an address of this machine",
            "CreateTaskPushNotificationConfig",
            json!({"taskId": done, "url": "http://127.0.0.1:1/"}),
            "",
            String::new(),
        ),
        (
            "push: get for no such task",
            "GetTaskPushNotificationConfig",
            json!({"taskId": absent, "id": "c"}),
            "GET",
            at(absent, "/c"),
        ),
        (
            "push: get none",
            "GetTaskPushNotificationConfig",
            json!({"taskId": done, "id": "c"}),
            "GET",
            at(done, "/c"),
        ),
        (
            "push: list for no such task",
            "ListTaskPushNotificationConfigs",
            json!({"taskId": absent}),
            "GET",
            at(absent, ""),
        ),
        (
            "push: delete without an id",
            "DeleteTaskPushNotificationConfig",
            json!({"taskId": done}),
            "",
            String::new(),
        ),
        (
            "push: delete for no such task",
            "DeleteTaskPushNotificationConfig",
            json!({"taskId": absent, "id": "c"}),
            "DELETE",
            at(absent, "/c"),
        ),
        (
            "the extended card",
            "GetExtendedAgentCard",
            json!({}),
            "GET",
            "/extendedAgentCard".into(),
        ),
    ]
}

#[tokio::test]
async fn wrong_requests_about_tasks_on_both_bindings() {
    let (node, done, _busy) = node().await;
    let absent = "task-00000000000000000000000000";
    let mut cases = of_tasks(&done, absent);
    cases.extend(of_lists());
    cases.extend(of_configs(&done, absent));
    let mut table = String::new();
    for (what, method, params, verb, path) in cases {
        let rpc = said(&node.ask(crate::fake::rpc(method, &params)).await);
        writeln!(table, "{what}\n  jsonrpc {rpc}").unwrap();
        if !verb.is_empty() {
            let rest = said(&node.rest(verb, &path, None).await);
            writeln!(table, "  rest    {}", rest.lines().next().unwrap()).unwrap();
        }
    }
    check("wrong_requests", &table);
}

#[tokio::test]
async fn requests_that_are_no_requests() {
    let (node, ..) = node().await;
    let mut table = String::new();
    let bodies = [
        ("nothing", ""),
        ("no JSON", "{\"jsonrpc\":"),
        (
            "a batch",
            "[{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ListTasks\"}]",
        ),
        ("a number", "7"),
        ("no id", r#"{"jsonrpc":"2.0","method":"ListTasks"}"#),
        (
            "an id that is a list",
            r#"{"jsonrpc":"2.0","id":[],"method":"ListTasks"}"#,
        ),
        ("no version of JSON-RPC", r#"{"id":7,"method":"ListTasks"}"#),
        ("no method", r#"{"jsonrpc":"2.0","id":7}"#),
        (
            "a method of 0.3",
            r#"{"jsonrpc":"2.0","id":7,"method":"message/send"}"#,
        ),
        (
            "the same key twice",
            r#"{"jsonrpc":"2.0","id":7,"id":8,"method":"ListTasks"}"#,
        ),
    ];
    for (what, body) in bodies {
        let request = Request::post(AGENT)
            .header("A2A-Version", "1.0")
            .body(Body::from(body));
        let answered = node.ask(request.unwrap()).await;
        let id = answered.json()["id"].clone();
        writeln!(table, "{what}\n  jsonrpc id {id}: {}", said(&answered)).unwrap();
    }
    check("no_jsonrpc", &table);
}

#[tokio::test]
async fn requests_that_lead_nowhere() {
    let (node, ..) = node().await;
    let mut table = String::new();
    for (what, name, value) in [
        ("no version", "x", "y"),
        ("version 0.3", "A2A-Version", "0.3"),
        ("version 99.0", "A2A-Version", "99.0"),
    ] {
        let body = r#"{"jsonrpc":"2.0","id":7,"method":"ListTasks"}"#;
        let rpc = Request::post(AGENT)
            .header(name, value)
            .body(Body::from(body));
        let rest = Request::get(format!("{AGENT}/tasks"))
            .header(name, value)
            .body(Body::empty());
        let rpc = said(&node.ask(rpc.unwrap()).await);
        let rest = said(&node.ask(rest.unwrap()).await);
        writeln!(
            table,
            "{what}\n  jsonrpc {rpc}\n  rest    {}",
            rest.lines().next().unwrap()
        )
        .unwrap();
    }
    let form = Request::post(AGENT)
        .header("A2A-Version", "1.0")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(Body::from("{}"));
    writeln!(
        table,
        "form data\n  jsonrpc {}",
        said(&node.ask(form.unwrap()).await)
    )
    .unwrap();
    let long = Request::post(AGENT)
        .header("A2A-Version", "1.0")
        .body(Body::from(
            "x".repeat(mesh_agents_a2a::server::REQUEST_BYTES + 1),
        ));
    writeln!(
        table,
        "too long\n  jsonrpc {}",
        said(&node.ask(long.unwrap()).await)
    )
    .unwrap();
    for (verb, path, body) in [
        ("GET", "/nothing", None),
        ("GET", "/v1/tasks", None),
        ("POST", "/acme/message:send", Some(at_once("m1", "x"))),
        ("POST", "/tasks", Some(json!({}))),
        ("GET", "/message:send", None),
        ("PUT", "/tasks/x:subscribe", None),
        ("GET", "/tasks/x:explode", None),
        ("PATCH", "/tasks/x/pushNotificationConfigs/y", None),
    ] {
        let answered = node.rest(verb, path, body).await;
        let allow = answered
            .headers
            .get("allow")
            .map(|value| value.to_str().unwrap().to_owned());
        writeln!(
            table,
            "{verb} {path}\n  rest    {} {}",
            said(&answered),
            allow.unwrap_or_default()
        )
        .unwrap();
    }
    let broken = Request::post(format!("{AGENT}/message:send"))
        .header("A2A-Version", "1.0")
        .body(Body::from("{"));
    writeln!(
        table,
        "a broken body\n  rest    {}",
        said(&node.ask(broken.unwrap()).await)
    )
    .unwrap();
    check("nowhere", &table);
}
