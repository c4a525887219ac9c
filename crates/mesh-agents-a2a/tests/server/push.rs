//! The operations on push configurations. What is sent to them is tested beside the sender.

use mesh_agents_core::policy::Caller;
use serde_json::{Value, json};

use crate::fake::{Node, at_once};

/// A name is looked up when something is sent to it, and nothing is sent here.
const URL: &str = "https://hooks.example.com/a2a";

fn token(name: &str) -> Caller {
    Caller::token(name)
}

async fn task(node: &mut Node, caller: &Caller, params: Value) -> String {
    let sent = node.call_as(caller, "SendMessage", params).await;
    node.next_run().await.keep();
    sent["result"]["task"]["id"]
        .as_str()
        .unwrap_or_else(|| panic!("{sent}"))
        .to_owned()
}

#[tokio::test]
async fn a_configuration_lives_from_create_to_delete_on_both_bindings() {
    let mut node = Node::start().await;
    let id = task(&mut node, &Caller::local(), at_once("m1", "x")).await;
    let path = format!("/tasks/{id}/pushNotificationConfigs");

    let one = json!({"taskId": id, "id": "one", "url": URL, "token": "t",
        "authentication": {"scheme": "Bearer", "credentials": "c"}});
    let made = node
        .call("CreateTaskPushNotificationConfig", one.clone())
        .await;
    assert_eq!(made["result"], one);
    let got = node.rest("GET", &format!("{path}/one"), None).await.json();
    assert_eq!(got, one);

    // Without an id one is made.
    let made = node
        .rest("POST", &path, Some(json!({"url": URL})))
        .await
        .json();
    let minted = made["id"].as_str().unwrap().to_owned();
    assert_eq!(made, json!({"taskId": id, "id": minted, "url": URL}));
    let all = node
        .call("ListTaskPushNotificationConfigs", json!({"taskId": id}))
        .await;
    assert_eq!(
        all["result"]["configs"].as_array().unwrap().len(),
        2,
        "{all}"
    );
    assert_eq!(all["result"]["nextPageToken"], "");

    // Pages, by the size and token of the query.
    let first = node
        .rest("GET", &format!("{path}?pageSize=1"), None)
        .await
        .json();
    let next = first["nextPageToken"].as_str().unwrap();
    let second = node
        .rest("GET", &format!("{path}?pageSize=1&pageToken={next}"), None)
        .await;
    let second = second.json();
    assert_ne!(first["configs"][0]["id"], second["configs"][0]["id"]);
    assert_eq!(second["nextPageToken"], "");

    for _again in 0..2 {
        let gone = node.rest("DELETE", &format!("{path}/one"), None).await;
        assert_eq!((gone.status.as_u16(), gone.body.as_str()), (200, "{}"));
        let gone = node
            .call(
                "DeleteTaskPushNotificationConfig",
                json!({"taskId": id, "id": minted}),
            )
            .await;
        assert_eq!(gone["result"], json!({}));
    }
    let none = node.rest("GET", &path, None).await.json();
    assert_eq!(none, json!({"configs": [], "nextPageToken": ""}));
    let refused = node.call(
        "GetTaskPushNotificationConfig",
        json!({"taskId": id, "id": "one"}),
    );
    assert_eq!(refused.await["error"]["code"], -32001);
}

#[tokio::test]
async fn a_message_brings_its_configuration_and_others_do_not_see_it() {
    let mut node = Node::start().await;
    let (anna, bert) = (token("anna"), token("bert"));
    let mut send = at_once("m1", "x");
    send["configuration"]["taskPushNotificationConfig"] = json!({"id": "mine", "url": URL});
    let id = task(&mut node, &anna, send).await;
    let asked = json!({"taskId": id, "id": "mine"});
    let got = node
        .call_as(&anna, "GetTaskPushNotificationConfig", asked.clone())
        .await;
    assert_eq!(got["result"]["url"], URL, "{got}");
    for (method, params) in [
        ("GetTaskPushNotificationConfig", asked.clone()),
        ("DeleteTaskPushNotificationConfig", asked.clone()),
        ("ListTaskPushNotificationConfigs", json!({"taskId": id})),
        (
            "CreateTaskPushNotificationConfig",
            json!({"taskId": id, "url": URL}),
        ),
    ] {
        let refused = node.call_as(&bert, method, params).await;
        assert_eq!(refused["error"]["code"], -32001, "{method}: {refused}");
    }
    let still = node
        .call_as(&anna, "GetTaskPushNotificationConfig", asked)
        .await;
    assert_eq!(still["result"]["id"], "mine");
}
