//! ListTasks: order, filters, pages, and what an entry holds.

use mesh_agents_core::run::RunEvent;
use serde_json::{Value, json};

use crate::fake::{Node, at_once};

fn ids(page: &Value) -> Vec<String> {
    let tasks = page["tasks"].as_array().unwrap();
    tasks
        .iter()
        .map(|task| task["id"].as_str().unwrap().to_owned())
        .collect()
}

async fn list(node: &Node, params: Value) -> Value {
    let answer = node.call("ListTasks", params).await;
    assert!(answer["result"].is_object(), "{answer}");
    answer["result"].clone()
}

#[tokio::test]
async fn the_newest_change_comes_first_and_pages_leave_nothing_out() {
    let mut node = Node::start().await;
    let mut sent = Vec::new();
    for n in 0..7 {
        let answer = node
            .call("SendMessage", at_once(&format!("m{n}"), "x"))
            .await;
        sent.push(answer["result"]["task"]["id"].as_str().unwrap().to_owned());
        if n == 0 {
            node.runs.recv().await.unwrap().keep();
        }
    }
    // The first is at work, the others wait; one of them is the last to change.
    node.call("CancelTask", json!({"id": sent[3]})).await;
    let expected: Vec<_> = [3, 6, 5, 4, 2, 1, 0].map(|n| sent[n].clone()).into();
    let mut seen = Vec::new();
    let mut token = json!("");
    for page in 0..4 {
        let params = json!({"pageSize": 2, "pageToken": token});
        let page_of = list(&node, params).await;
        assert_eq!(page_of["totalSize"], 7);
        assert_eq!(page_of["pageSize"], 2);
        seen.extend(ids(&page_of));
        token = page_of["nextPageToken"].clone();
        assert_eq!(token == "", page == 3, "page {page}: {token}");
    }
    assert_eq!(seen, expected);

    let rest = node.rest("GET", "/tasks?pageSize=3", None).await.json();
    assert_eq!(ids(&rest), expected[..3]);
    let working = list(&node, json!({"status": "TASK_STATE_WORKING"})).await;
    assert_eq!(
        (ids(&working), &working["totalSize"]),
        (vec![sent[0].clone()], &json!(1))
    );
    let none = list(&node, json!({"status": "TASK_STATE_FAILED"})).await;
    assert_eq!(
        none,
        json!({"tasks": [], "nextPageToken": "", "pageSize": 50, "totalSize": 0})
    );

    // The time of a task's own status is in its list, a millisecond later is not.
    let at = rest["tasks"][0]["status"]["timestamp"]
        .as_str()
        .unwrap()
        .to_owned();
    let since = list(&node, json!({"statusTimestampAfter": at})).await;
    assert_eq!(
        (ids(&since), &since["totalSize"]),
        (vec![sent[3].clone()], &json!(1))
    );
    let finer = at.replace('Z', "001+00:00");
    assert_eq!(
        list(&node, json!({"statusTimestampAfter": finer})).await["totalSize"],
        0
    );
}

#[tokio::test]
async fn a_conversation_is_listed_by_itself_and_entries_are_lean_unless_asked() {
    let mut node = Node::start().await;
    for (n, context) in ["one", "two", "one"].into_iter().enumerate() {
        let mut send = at_once(&format!("m{n}"), "x");
        send["message"]["contextId"] = json!(context);
        node.call("SendMessage", send).await;
        let run = node.next_run().await;
        run.say(RunEvent::Text("text".into()));
        run.complete("answer");
        let id = run.spec.task_id.clone();
        let caller = mesh_agents_core::policy::Caller::local();
        let limit = std::time::Duration::from_secs(60);
        node.engine.wait(&caller, &id, limit).await.unwrap();
    }
    let page = list(&node, json!({"contextId": "one"})).await;
    assert_eq!((ids(&page).len(), &page["totalSize"]), (2, &json!(2)));
    let entry = &page["tasks"][0];
    assert!(
        entry["artifacts"].is_null() && entry["history"].is_null(),
        "{entry}"
    );
    let full = json!({"contextId": "two", "includeArtifacts": true, "historyLength": 1});
    let page = list(&node, full).await;
    let entry = &page["tasks"][0];
    assert_eq!(entry["artifacts"][0]["parts"][0]["text"], "text");
    assert_eq!(entry["history"].as_array().unwrap().len(), 1);
    let rest = node
        .rest("GET", "/tasks?contextId=two&includeArtifacts=true", None)
        .await
        .json();
    assert_eq!(rest["tasks"][0]["artifacts"], entry["artifacts"]);
    // Every entry is a task to the official types.
    let _read: a2a::ListTasksResponse = serde_json::from_value(page).unwrap();
}
