//! What is wrong with each request, beside the request.

use super::*;

/// Wrong sends, by what is wrong with them.
pub(super) fn sends(done: &str, busy: &str) -> Vec<(&'static str, Value)> {
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

/// What is wrong, the JSON-RPC call, and the REST request if it has one.
pub(super) type Case = (&'static str, &'static str, Value, &'static str, String);

pub(super) fn of_tasks(done: &str, absent: &str) -> Vec<Case> {
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

pub(super) fn of_lists() -> Vec<Case> {
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

pub(super) fn of_configs(done: &str, absent: &str) -> Vec<Case> {
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
