//! What the server writes, read by code that is not ours: the official types, and ProtoJSON through
//! the official protobuf definitions. Both must read it, and read the same.

use a2a_pb::protojson_conv::{self, ProtoJsonPayload};
use mesh_agents_core::run::{ArtifactSource, Outcome, QuestionKind, RunEvent};
use mesh_agents_core::task::Failure;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::fake::{Node, at_once};

/// Reads a value both ways. Numbers are no matter here: ProtoJSON has floats alone.
fn check<T: DeserializeOwned + ProtoJsonPayload>(value: &Value) -> T {
    let text = value.to_string();
    let ours: T = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let theirs: T =
        protojson_conv::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    // Compared as protobuf has them: there, what is false or empty is as good as absent.
    let same = |value: &T| protojson_conv::to_value(value).unwrap();
    assert_eq!(same(&ours), same(&theirs), "{text}");
    ours
}

#[tokio::test]
async fn every_value_of_a_stream_and_every_answer_reads_as_the_protocol_s_own() {
    let mut node = Node::start().await;
    let params = json!({
        "message": {
            "messageId": "m1", "role": "ROLE_USER", "contextId": "c", "referenceTaskIds": ["t"],
            "extensions": ["urn:x"], "metadata": {"who": "me"},
            "parts": [
                {"text": "look", "mediaType": "text/plain", "metadata": {"a": [null, true]}},
                {"url": "https://example.com/a.pdf", "filename": "a.pdf", "mediaType": "application/pdf"},
                {"data": {"k": ["v"]}},
                {"raw": "aGk=", "mediaType": "text/plain"},
            ],
        },
        "metadata": {"why": "test"},
    });
    let events = node.open("SendStreamingMessage", params).await;
    let run = node.next_run().await;
    run.say(RunEvent::Text("some ".into()));
    for (id, media_type, content) in [
        ("a.json", "application/json", r#"{"x":["y"]}"#),
        ("b.md", "text/markdown", "# b"),
    ] {
        run.say(RunEvent::Artifact {
            id: id.parse().unwrap(),
            media_type: media_type.into(),
            source: ArtifactSource::Text(content.into()),
            complete: true,
        });
    }
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("c.bin");
    std::fs::write(&file, [0_u8, 255, 1]).unwrap();
    run.say(RunEvent::Artifact {
        id: "c.bin".parse().unwrap(),
        media_type: "application/octet-stream".into(),
        source: ArtifactSource::File(file),
        complete: false,
    });
    run.ask(QuestionKind::Elicitation, "Which?");
    let all = events.rest().await;
    assert!(all.len() >= 7, "{all:?}");
    for event in &all {
        check::<a2a::StreamResponse>(&event["result"]);
    }
    let id = run.spec.task_id.to_string();
    run.say(RunEvent::Ended(Outcome::Failed(Failure::new("x", "y"))));
    let sent = node.call("SendMessage", at_once("m3", "x")).await;
    check::<a2a::SendMessageResponse>(&sent["result"]);
    let got = node.call("GetTask", json!({"id": id})).await;
    let task = check::<a2a::Task>(&got["result"]);
    assert_eq!(task.artifacts.unwrap().len(), 4);
    let list = node
        .call(
            "ListTasks",
            json!({"includeArtifacts": true, "historyLength": 9}),
        )
        .await;
    let list = check::<a2a::ListTasksResponse>(&list["result"]);
    assert_eq!((list.tasks.len(), list.total_size), (2, 2));
    let none = node.call("ListTasks", json!({"contextId": "nobody"})).await;
    check::<a2a::ListTasksResponse>(&none["result"]);
    let config = json!({"taskId": id, "url": "https://hooks.example.com/a2a", "token": "t",
        "authentication": {"scheme": "Bearer", "credentials": "c"}});
    let made = node.call("CreateTaskPushNotificationConfig", config).await;
    check::<a2a::TaskPushNotificationConfig>(&made["result"]);
    let configs = node
        .call("ListTaskPushNotificationConfigs", json!({"taskId": id}))
        .await;
    check::<a2a::ListTaskPushNotificationConfigsResponse>(&configs["result"]);
}
