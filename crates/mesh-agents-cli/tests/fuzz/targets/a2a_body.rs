//! Bodies, paths and queries of A2A requests, both bindings: whatever comes, the answer is A2A's.

use std::sync::LazyLock;
use std::time::Duration;

use arbitrary::{Result, Unstructured};
use axum::Router;
use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use futures::StreamExt as _;
use mesh_agents_a2a::card::{AccessTokens, Place};
use mesh_agents_a2a::router::router;
use mesh_agents_a2a::server::A2aServer;
use mesh_agents_core::policy::Caller;
use serde_json::Value;
use tokio::runtime::Runtime;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

use super::super::grammar;
use super::node::Node;

const METHODS: &[&str] = &[
    "SendMessage",
    "SendStreamingMessage",
    "GetTask",
    "ListTasks",
    "CancelTask",
    "SubscribeToTask",
    "CreateTaskPushNotificationConfig",
    "GetTaskPushNotificationConfig",
    "ListTaskPushNotificationConfigs",
    "DeleteTaskPushNotificationConfig",
    "GetExtendedAgentCard",
    "message/send",
];
const PATHS: &[(&str, &str)] = &[
    ("POST", "message:send"),
    ("POST", "message:stream"),
    ("GET", "tasks"),
    ("GET", "tasks/{t}"),
    ("POST", "tasks/{t}:cancel"),
    ("GET", "tasks/{t}:subscribe"),
    ("POST", "tasks/{t}:subscribe"),
    ("POST", "tasks/{t}/pushNotificationConfigs"),
    ("GET", "tasks/{t}/pushNotificationConfigs"),
    ("GET", "tasks/{t}/pushNotificationConfigs/{t}"),
    ("DELETE", "tasks/{t}/pushNotificationConfigs/{t}"),
    ("GET", "extendedAgentCard"),
    ("PUT", "tasks/{t}"),
];
const WORDS: &[&str] = &[
    "message",
    "messageId",
    "m-1",
    "contextId",
    "ctx-1",
    "taskId",
    "role",
    "ROLE_USER",
    "ROLE_AGENT",
    "parts",
    "text",
    "data",
    "raw",
    "aGk=",
    "url",
    "https://example.com/x",
    "mediaType",
    "text/plain",
    "filename",
    "metadata",
    "extensions",
    "referenceTaskIds",
    "configuration",
    "acceptedOutputModes",
    "taskPushNotificationConfig",
    "historyLength",
    "returnImmediately",
    "id",
    "tenant",
    "pageSize",
    "pageToken",
    "status",
    "TASK_STATE_COMPLETED",
    "statusTimestampAfter",
    "includeArtifacts",
    "token",
    "authentication",
    "scheme",
    "credentials",
    "task-00000000000000000000000001",
];
const SAMPLES: &[&str] = &[
    r#"{"message":{"messageId":"m-1","role":"ROLE_USER","parts":[{"text":"hello"}]},"configuration":{"historyLength":1}}"#,
    r#"{"message":{"messageId":"m-2","contextId":"ctx-1","role":"ROLE_USER","parts":[{"data":{"n":9007199254740993}},{"raw":"aGk=","mediaType":"text/plain","filename":"a"}],"metadata":{"k":1.10}},"metadata":{"x":[]}}"#,
    r#"{"id":"task-00000000000000000000000001","historyLength":0}"#,
    r#"{"contextId":"ctx-1","status":"TASK_STATE_COMPLETED","pageSize":10,"statusTimestampAfter":"2026-01-01T00:00:00.000Z","includeArtifacts":true}"#,
    r#"{"taskId":"task-00000000000000000000000001","id":"c","url":"https://example.com/x","token":"t","authentication":{"scheme":"Bearer","credentials":"c"}}"#,
];
/// An answer that takes longer is a stream that stays open, which is right for a task that is not over.
const PATIENCE: Duration = Duration::from_secs(20);

static SERVER: LazyLock<(Runtime, Router)> = LazyLock::new(|| {
    let runtime = Runtime::new().unwrap();
    let node = runtime.block_on(Node::open());
    let server = A2aServer {
        engine: node.engine,
        place: Place {
            base: "http://127.0.0.1:1".into(),
            tokens: AccessTokens::Some,
            seal: None,
        },
        end: CancellationToken::new(),
    };
    (runtime, router(server))
});

pub(crate) fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let Ok(Some((request, rpc))) = input(&mut u) else {
        return;
    };
    let (runtime, router) = &*SERVER;
    runtime.block_on(async {
        let told = format!("{request:?}");
        let response = router.clone().oneshot(request).await.unwrap();
        let status = response.status();
        let headers = response.headers().clone();
        let kind = headers.get(header::CONTENT_TYPE);
        let kind = kind.map_or("", |kind| kind.to_str().unwrap()).to_owned();
        let mut stream = response.into_body().into_data_stream();
        let mut body = Vec::new();
        let read = async {
            while let Some(piece) = stream.next().await {
                body.extend(piece.expect("the answer breaks off"));
            }
        };
        tokio::time::timeout(PATIENCE, read)
            .await
            .unwrap_or_else(|_| panic!("no end of the answer to {told}"));
        let body = String::from_utf8(body).expect("an answer is UTF-8");
        assert_ne!(status, StatusCode::INTERNAL_SERVER_ERROR, "{told}: {body}");
        if kind.starts_with("text/event-stream") {
            for line in body.lines().filter_map(|line| line.strip_prefix("data: ")) {
                check(
                    &serde_json::from_str(line).expect("an event is JSON"),
                    rpc,
                    &told,
                );
            }
        } else if !body.is_empty() {
            let answer: Value = serde_json::from_str(&body).unwrap_or_else(|error| {
                panic!("{error}: {told} is answered {status} {body}");
            });
            if rpc || !status.is_success() {
                check(&answer, rpc, &told);
            }
        }
    });
}

/// The shape of an answer: A2A's errors are never bare (a2a.md §1.4).
fn check(answer: &Value, rpc: bool, told: &str) {
    if rpc {
        assert_eq!(answer["jsonrpc"], "2.0", "{told}");
        let one = answer.get("result").is_some() != answer.get("error").is_some();
        assert!(one, "{told}: {answer}");
    }
    if let Some(error) = answer.get("error") {
        assert!(error["code"].is_i64(), "{told}: {answer}");
        assert!(!error["message"].as_str().unwrap().is_empty(), "{told}");
        assert_ne!(error["code"], -32603, "{told}: {answer}");
    }
}

fn input(u: &mut Unstructured<'_>) -> Result<Option<(Request<Body>, bool)>> {
    let params = if u.ratio(1, 2)? {
        grammar::sample_gone_wrong(u, SAMPLES)?
    } else {
        grammar::json(u, WORDS)?
    };
    let rpc = u.ratio(1, 2)?;
    let (method, path, body) = if rpc {
        let method = u.choose(METHODS)?;
        // An id is repeated as it came, and one that this test cannot read proves nothing.
        let id = *u.choose(&["1", "\"a\"", "null", "-1.5", "{}", "[1]", "true"])?;
        let body =
            format!(r#"{{"jsonrpc":"2.0","id":{id},"method":"{method}","params":{params}}}"#);
        ("POST", String::new(), body)
    } else {
        let (method, path) = u.choose(PATHS)?;
        let task = grammar::text(u, WORDS)?;
        let mut path = path.replace("{t}", &task);
        if u.ratio(1, 3)? {
            path.push_str(&format!(
                "?{}={}",
                grammar::text(u, WORDS)?,
                grammar::text(u, WORDS)?
            ));
        }
        (*method, format!("/{path}"), params)
    };
    let version = *u.choose(&["1.0", "1.0", "1.0", "1.0", "0.3", "1.9", ""])?;
    let request = Request::builder()
        .method(method)
        .uri(format!("/a2a/agents/a{path}"))
        .header("a2a-version", version)
        .header(header::CONTENT_TYPE, "application/json")
        .extension(Caller::local())
        .body(Body::from(body));
    Ok(request.ok().map(|request| (request, rpc)))
}
