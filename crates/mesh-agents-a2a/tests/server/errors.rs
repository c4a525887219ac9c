//! The whole table: what is wrong with a request, and what each binding says to it.

mod cases;

use std::fmt::Write as _;

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::fake::{AGENT, Answered, Node, at_once, message};
use cases::{of_configs, of_lists, of_tasks, sends};

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
