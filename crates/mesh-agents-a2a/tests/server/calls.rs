//! Sending, reading, canceling.

use axum::body::Body;
use axum::http::Request;
use mesh_agents_a2a::card::AccessTokens;
use mesh_agents_core::agent::testing::definition;
use mesh_agents_core::json::JsonText;
use mesh_agents_core::policy::Caller;
use mesh_agents_core::run::{ArtifactSource, RunEvent};
use serde_json::{Value, json};

use crate::fake::{AGENT, Node, at_once, message, read, rpc};

fn artifact(id: &str, media_type: &str, content: &str) -> RunEvent {
    RunEvent::Artifact {
        id: id.parse().unwrap(),
        media_type: media_type.into(),
        source: ArtifactSource::Text(content.into()),
        complete: true,
    }
}

fn state(task: &Value) -> &str {
    task["status"]["state"].as_str().unwrap()
}

#[tokio::test]
async fn a_blocking_send_answers_with_the_finished_task_on_both_bindings() {
    let mut node = Node::start().await;
    for binding in ["jsonrpc", "rest"] {
        let params = json!({"message": message(binding, "do it"), "metadata": {"n": 1}});
        let app = node.app.clone();
        let request = match binding {
            "jsonrpc" => rpc("SendMessage", &params),
            _ => Request::post(format!("{AGENT}/message:send"))
                .header("A2A-Version", "1.0")
                .body(Body::from(params.to_string()))
                .unwrap(),
        };
        let mut request = request;
        request.extensions_mut().insert(Caller::local());
        let asked = tower::ServiceExt::oneshot(app, request);
        let work = async {
            let run = node.next_run().await;
            run.say(RunEvent::Text("done".into()));
            run.say(artifact(
                "out.json",
                "application/json",
                r#"{"n":9007199254740993}"#,
            ));
            run.complete("done");
        };
        let (asked, ()) = tokio::join!(asked, work);
        let answered = read(asked.unwrap()).await;
        // Every digit of a number, which a JSON reader of this test would round.
        assert!(
            answered.body.contains(r#"{"n":9007199254740993}"#),
            "{}",
            answered.body
        );
        let answer = answered.json();
        let (task, media_type) = match binding {
            "jsonrpc" => (&answer["result"]["task"], "application/json"),
            _ => (&answer["task"], "application/a2a+json"),
        };
        assert_eq!(answered.headers["content-type"], media_type);
        assert_eq!(state(task), "TASK_STATE_COMPLETED");
        assert_eq!(task["metadata"], json!({"n": 1}));
        let history: Vec<_> = task["history"].as_array().unwrap().iter().collect();
        assert_eq!(history.len(), 2);
        assert_eq!(history[0]["messageId"], binding);
        assert_eq!(history[1]["role"], "ROLE_AGENT");
        let ids: Vec<_> = task["artifacts"].as_array().unwrap().iter().collect();
        assert_eq!(ids.len(), 2);
        assert_eq!(ids[0]["artifactId"], "out.json");
        assert_eq!(ids[1]["parts"][0]["text"], "done");
    }
}

#[tokio::test]
async fn return_immediately_answers_before_the_agent_has_started_to_think() {
    let mut node = Node::start().await;
    let answer = node.call("SendMessage", at_once("m1", "x")).await;
    let task = &answer["result"]["task"];
    assert!(
        ["TASK_STATE_SUBMITTED", "TASK_STATE_WORKING"].contains(&state(task)),
        "{task}"
    );
    let again = node.call("SendMessage", at_once("m1", "x")).await;
    assert_eq!(
        again["result"]["task"]["id"], task["id"],
        "a repeat is the same task"
    );
    let other = node.call("SendMessage", at_once("m1", "y")).await;
    assert_eq!(other["error"]["code"], -32602, "{other}");
    let run = node.next_run().await;
    assert_eq!(run.spec.task_id.as_str(), task["id"]);
    run.complete("ok");
}

#[tokio::test]
async fn numbers_and_text_of_a_caller_come_back_to_the_digit() {
    let mut node = Node::start().await;
    let body = r#"{"jsonrpc":"2.0","id":12345678901234567890,"method":"SendMessage","params":{"message":
        {"messageId":"m1","role":"ROLE_USER","parts":[{"data":{"n" : 18446744073709551617,
        "f":1.10}},{"data":null},{"raw":"aGk","mediaType":"text/plain"}],"metadata":{"x":0.1000}},
        "configuration":{"returnImmediately":true}}}"#;
    let request = Request::post(AGENT)
        .header("A2A-Version", "1.0")
        .body(Body::from(body));
    let answered = node.ask(request.unwrap()).await;
    for part in [
        r#""id":12345678901234567890"#,
        r#"{"data":{"n":18446744073709551617,"f":1.10}}"#,
        r#"{"data":null}"#,
        r#"{"raw":"aGk=","mediaType":"text/plain"}"#,
        r#""metadata":{"x":0.1000}"#,
    ] {
        assert!(
            answered.body.contains(part),
            "{part} is not in {}",
            answered.body
        );
    }
    node.next_run().await.complete("ok");
}

#[tokio::test]
async fn history_length_counts_from_the_newest() {
    let mut node = Node::start().await;
    let task = node.call("SendMessage", at_once("m1", "x")).await["result"]["task"].clone();
    node.next_run().await.complete("the answer");
    let id = task["id"].as_str().unwrap().to_owned();
    let wait = node
        .call("SendMessage", json!({"message": message("m1", "x")}))
        .await;
    assert_eq!(
        wait["result"]["task"]["history"].as_array().unwrap().len(),
        2
    );
    for (length, expected) in [
        (json!(null), 2),
        (json!(0), 0),
        (json!(1), 1),
        (json!("9"), 2),
    ] {
        let got = node
            .call("GetTask", json!({"id": id, "historyLength": length}))
            .await;
        let history = got["result"]["history"].as_array();
        assert_eq!(history.map_or(0, Vec::len), expected, "{length}: {got}");
        if expected == 1 {
            assert_eq!(got["result"]["history"][0]["role"], "ROLE_AGENT");
        }
    }
    let rest = node
        .rest("GET", &format!("/tasks/{id}?historyLength=1"), None)
        .await;
    assert_eq!(
        rest.json()["history"].as_array().unwrap().len(),
        1,
        "{rest:?}"
    );
}

#[tokio::test]
async fn a_canceled_task_cannot_be_canceled_again() {
    let mut node = Node::start().await;
    for n in 0..2 {
        let task = node
            .call("SendMessage", at_once(&format!("m{n}"), "x"))
            .await;
        let id = task["result"]["task"]["id"].as_str().unwrap().to_owned();
        let _run = node.next_run().await;
        let path = format!("/tasks/{id}:cancel");
        let canceled = match n {
            0 => node.call("CancelTask", json!({"id": id})).await["result"].clone(),
            // The body of :cancel is read, whatever it says.
            _ => node
                .rest("POST", &path, Some(json!({"metadata": {"why": "no"}})))
                .await
                .json(),
        };
        assert_eq!(state(&canceled), "TASK_STATE_CANCELED", "{canceled}");
        let again = node.call("CancelTask", json!({"id": id})).await;
        assert_eq!(again["error"]["code"], -32002, "{again}");
        let again = node.rest("POST", &path, None).await;
        assert_eq!(again.status, 400);
        let sent = message("next", "go on");
        let mut sent = json!({"message": sent});
        sent["message"]["taskId"] = json!(id);
        let refused = node.call("SendMessage", sent).await;
        assert_eq!(refused["error"]["code"], -32004, "{refused}");
    }
}

#[tokio::test]
async fn a_message_to_a_task_at_work_is_refused_and_its_context_must_be_its_own() {
    let mut node = Node::start().await;
    let mut first = at_once("m1", "x");
    first["message"]["contextId"] = json!("my-context");
    let task = node.call("SendMessage", first).await["result"]["task"].clone();
    assert_eq!(task["contextId"], "my-context");
    let run = node.next_run().await;
    let mut more = at_once("m2", "and this");
    more["message"]["taskId"] = task["id"].clone();
    let busy = node.call("SendMessage", more.clone()).await;
    assert_eq!(busy["error"]["code"], -32004, "{busy}");
    assert_eq!(busy["error"]["data"][0]["metadata"]["code"], "task_busy");
    more["message"]["contextId"] = json!("another");
    let wrong = node.call("SendMessage", more).await;
    assert_eq!(wrong["error"]["code"], -32602, "{wrong}");
    run.complete("ok");
}

#[tokio::test]
async fn the_tasks_of_others_are_not_there() {
    let mut node = Node::start().await;
    let token = |name: &str| Caller::token(name);
    let (anna, bert) = (token("anna"), token("bert"));
    let task = node.call_as(&anna, "SendMessage", at_once("m1", "x")).await;
    let id = task["result"]["task"]["id"].clone();
    let run = node.next_run().await;
    for method in ["GetTask", "CancelTask", "SubscribeToTask"] {
        let refused = node.call_as(&bert, method, json!({"id": id})).await;
        assert_eq!(refused["error"]["code"], -32001, "{method}: {refused}");
    }
    let mut more = at_once("m2", "x");
    more["message"]["taskId"] = id.clone();
    let refused = node.call_as(&bert, "SendMessage", more).await;
    assert_eq!(refused["error"]["code"], -32001, "{refused}");
    let list = node.call_as(&bert, "ListTasks", json!({})).await;
    assert_eq!(
        list["result"],
        json!({"tasks": [], "nextPageToken": "", "pageSize": 50, "totalSize": 0})
    );
    // The same task at the address of another agent is no task of that agent.
    let path = format!("/a2a/agents/b/tasks/{}", id.as_str().unwrap());
    let request = Request::get(path)
        .header("A2A-Version", "1.0")
        .body(Body::empty());
    assert_eq!(node.ask(request.unwrap()).await.status, 404);
    assert!(node.call_as(&anna, "GetTask", json!({"id": id})).await["result"].is_object());
    run.complete("ok");
}

#[tokio::test]
async fn the_extended_card_is_for_callers_who_show_who_they_are() {
    let none = Node::start().await;
    let refused = none.call("GetExtendedAgentCard", json!({})).await;
    assert_eq!(refused["error"]["code"], -32004, "{refused}");

    let mut agent = definition("a");
    agent.card.json = JsonText::parse(
        r#"{"name":"A","description":"does","version":"1","capabilities":{},"skills":[],
            "defaultInputModes":["text/plain"],"defaultOutputModes":["text/plain"]}"#,
    )
    .unwrap();
    let node = Node::with([agent], AccessTokens::Some).await;
    let ask = |token: Option<&str>| {
        let mut request =
            Request::get(format!("{AGENT}/extendedAgentCard")).header("A2A-Version", "1.0");
        if let Some(token) = token {
            request = request.header("authorization", token);
        }
        request.body(Body::empty()).unwrap()
    };
    let refused = node.ask(ask(None)).await;
    assert_eq!(refused.status, 401);
    assert_eq!(refused.headers["www-authenticate"], "Bearer");
    let card = node.ask(ask(Some("Bearer x"))).await.json();
    assert_eq!(
        card["capabilities"]["extensions"][0]["params"]["maxConcurrentTasks"], "1",
        "{card}"
    );
    let public = node.ask(
        Request::get(format!("{AGENT}/.well-known/agent-card.json"))
            .body(Body::empty())
            .unwrap(),
    );
    let public = public.await;
    assert!(
        public.json()["capabilities"]["extensions"].is_null(),
        "{public:?}"
    );
    // The official types read both.
    for text in [card.to_string(), public.body] {
        let read: a2a::AgentCard = serde_json::from_str(&text).unwrap();
        assert_eq!(read.supported_interfaces.len(), 2);
        assert!(read.security_schemes.unwrap().contains_key("bearer"));
    }
}

#[tokio::test]
async fn a_card_is_served_once_and_then_not_modified() {
    let node = Node::start().await;
    let card = |id: &str| Request::get(format!("/a2a/agents/{id}/.well-known/agent-card.json"));
    let first = node.ask(card("a").body(Body::empty()).unwrap()).await;
    assert_eq!(first.status, 200);
    assert_eq!(first.headers["content-type"], "application/json");
    let tag = first.headers["etag"].to_str().unwrap();
    let again = card("a").header("if-none-match", format!("\"x\", W/{tag}"));
    let again = node.ask(again.body(Body::empty()).unwrap()).await;
    assert_eq!((again.status.as_u16(), again.body.as_str()), (304, ""));
    for id in ["off", "nobody", "..%2f..%2fetc"] {
        let answered = node.ask(card(id).body(Body::empty()).unwrap()).await;
        assert_eq!(answered.status, 404, "{id}");
        let call = Request::post(format!("/a2a/agents/{id}")).header("A2A-Version", "1.0");
        let answered = node.ask(call.body(Body::from("{}")).unwrap()).await;
        assert_eq!(answered.status, 404, "{id}");
    }
}
