//! Streams: what they begin with, their order, their end, and readers that are slow or gone.

use mesh_agents_core::run::{Answer, ArtifactSource, Outcome, QuestionKind, RunEvent};
use mesh_agents_core::task::Failure;
use serde_json::{Value, json};

use crate::fake::{Node, at_once, message};

/// One line for each value: what it is and what matters of it.
fn told(event: &Value) -> String {
    let event = event.get("result").unwrap_or(event);
    let object = event.as_object().unwrap();
    assert_eq!(object.len(), 1, "{event}");
    let (kind, value) = object.iter().next().unwrap();
    match kind.as_str() {
        "task" => format!("task {}", value["status"]["state"].as_str().unwrap()),
        "statusUpdate" => format!("status {}", value["status"]["state"].as_str().unwrap()),
        "artifactUpdate" => {
            let how = match (&value["append"], &value["lastChunk"]) {
                (Value::Bool(false), Value::Bool(false)) => "first",
                (Value::Bool(true), Value::Bool(false)) => "more",
                (Value::Bool(false), Value::Bool(true)) => "whole",
                other => panic!("{other:?}"),
            };
            let artifact = &value["artifact"];
            let text = artifact["parts"][0]["text"].as_str().unwrap_or("(no text)");
            format!("{how} {}: {text}", artifact["artifactId"].as_str().unwrap())
        }
        other => panic!("{other}"),
    }
}

fn lines(events: &[Value]) -> Vec<String> {
    events.iter().map(told).collect()
}

fn send(key: &str) -> Value {
    json!({"message": message(key, "x")})
}

#[tokio::test]
async fn a_stream_tells_the_life_of_its_task_on_both_bindings() {
    let mut node = Node::start().await;
    for binding in ["jsonrpc", "rest"] {
        let mut events = match binding {
            "jsonrpc" => node.open("SendStreamingMessage", send(binding)).await,
            _ => {
                node.open_rest("POST", "/message:stream", Some(send(binding)))
                    .await
            }
        };
        let mut all = vec![events.next().await.unwrap()];
        let run = node.next_run().await;
        all.push(events.next().await.unwrap());
        run.say(RunEvent::Text("one ".into()));
        all.push(events.next().await.unwrap());
        run.say(RunEvent::Text("two".into()));
        all.push(events.next().await.unwrap());
        run.say(RunEvent::Artifact {
            id: "summary.md".parse().unwrap(),
            media_type: "text/markdown".into(),
            source: ArtifactSource::Text("# fine".into()),
            complete: true,
        });
        run.complete("one two");
        all.extend(events.rest().await);
        if binding == "jsonrpc" {
            assert!(
                all.iter()
                    .all(|event| event["id"] == "q" && event["jsonrpc"] == "2.0")
            );
        }
        // The text that was streamed is not sent a second time when it is stored.
        assert_eq!(
            lines(&all),
            [
                "task TASK_STATE_SUBMITTED",
                "status TASK_STATE_WORKING",
                "first response: one ",
                "more response: two",
                "whole summary.md: # fine",
                "status TASK_STATE_COMPLETED",
            ]
        );
        let bare = |event: &Value| event.get("result").unwrap_or(event).clone();
        let (task, first) = (bare(&all[0]), bare(&all[1]));
        assert_eq!(task["task"]["history"][0]["messageId"], binding);
        assert_eq!(first["statusUpdate"]["taskId"], task["task"]["id"]);
        assert_eq!(
            first["statusUpdate"]["contextId"],
            task["task"]["contextId"]
        );
    }
}

#[tokio::test]
async fn a_failure_is_told_with_its_words() {
    let mut node = Node::start().await;
    let events = node.open("SendStreamingMessage", send("m1")).await;
    node.next_run()
        .await
        .say(RunEvent::Ended(Outcome::Failed(Failure::new(
            "harness_exited",
            "it left",
        ))));
    let all = events.rest().await;
    let status = &all.last().unwrap()["result"]["statusUpdate"]["status"];
    assert_eq!(status["state"], "TASK_STATE_FAILED");
    assert_eq!(status["message"]["parts"][0]["text"], "it left");
    assert_eq!(
        status["message"]["metadata"]["failure_code"],
        "harness_exited"
    );
}

#[tokio::test]
async fn two_streams_and_a_late_one_tell_the_same_in_the_same_order() {
    let mut node = Node::start().await;
    let first = node.open("SendStreamingMessage", send("m1")).await;
    let run = node.next_run().await;
    let id = run.spec.task_id.to_string();
    let second = node.open("SubscribeToTask", json!({"id": id})).await;
    let third = node
        .open_rest("GET", &format!("/tasks/{id}:subscribe"), None)
        .await;
    for n in 0..200 {
        run.say(RunEvent::Text(format!("{n} ")));
        if n % 7 == 0 {
            run.say(RunEvent::Artifact {
                id: format!("f{n}.txt").parse().unwrap(),
                media_type: "text/plain".into(),
                source: ArtifactSource::Text(format!("file {n}")),
                complete: true,
            });
        }
    }
    let mut fourth = node
        .open_rest("POST", &format!("/tasks/{id}:subscribe"), None)
        .await;
    let begun = fourth.next().await.unwrap();
    run.complete("all");
    let (first, second, third, fourth) =
        tokio::join!(first.rest(), second.rest(), third.rest(), fourth.rest());
    let first = lines(&first);
    assert_eq!(first.last().unwrap(), "status TASK_STATE_COMPLETED");
    for other in [lines(&second), lines(&third)] {
        assert!(other[0].starts_with("task TASK_STATE_"), "{}", other[0]);
        assert!(first.ends_with(&other[1..]), "another order");
    }
    // The late one got what it missed with the task, and the rest like the others.
    let artifacts = begun["task"]["artifacts"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    let response = artifacts.iter().find(|one| one["artifactId"] == "response");
    let text: String = response.map_or(String::new(), |one| {
        one["parts"][0]["text"].as_str().unwrap().to_owned()
    });
    let late: String = text + &streamed(&lines(&fourth));
    assert_eq!(late, streamed(&first));
    assert!(first.ends_with(&lines(&fourth)[1..]), "another order");
}

/// The text a stream adds up to.
fn streamed(lines: &[String]) -> String {
    let pieces = lines.iter().filter_map(|line| {
        line.strip_prefix("first response: ")
            .or_else(|| line.strip_prefix("more response: "))
    });
    pieces.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_burst_of_ten_thousand_events_loses_nothing_and_a_reader_that_stands_still_harms_nobody()
{
    let mut node = Node::start().await;
    let mut quick = node.open("SendStreamingMessage", send("m1")).await;
    let run = node.next_run().await;
    let id = run.spec.task_id.to_string();
    // One never reads, one goes away after its first event.
    let still = node.open("SubscribeToTask", json!({"id": id})).await;
    let mut gone = node.open("SubscribeToTask", json!({"id": id})).await;
    gone.next().await.unwrap();
    drop(gone);
    assert_eq!(
        told(&quick.next().await.unwrap()),
        "task TASK_STATE_SUBMITTED"
    );
    let mut expected = String::new();
    for n in 0..10_000 {
        let text = format!("{n};");
        expected.push_str(&text);
        run.say(RunEvent::Text(text));
        // What is no text keeps the pieces apart: each becomes an event of its own.
        run.say(RunEvent::Usage { used: n, size: 1 });
    }
    run.complete(&expected);
    let all = lines(&quick.rest().await);
    assert_eq!(streamed(&all), expected);
    let pieces = all
        .iter()
        .filter(|line| line.contains("response: "))
        .count();
    assert_eq!(pieces, 10_000);
    assert_eq!(all.last().unwrap(), "status TASK_STATE_COMPLETED");
    // The one that stood still reads all of it now.
    let late = still.rest().await;
    let begun = lines(&late[..1]);
    assert!(["task TASK_STATE_WORKING", "task TASK_STATE_SUBMITTED"].contains(&begun[0].as_str()));
    assert_eq!(streamed(&lines(&late)), expected);
}

#[tokio::test]
async fn an_ended_task_has_no_stream_and_a_repeat_of_its_message_tells_how_it_ended() {
    let mut node = Node::start().await;
    let events = node.open("SendStreamingMessage", send("m1")).await;
    node.next_run().await.complete("ok");
    let all = events.rest().await;
    let id = all[0]["result"]["task"]["id"].clone();
    let refused = node.call("SubscribeToTask", json!({"id": id})).await;
    assert_eq!(refused["error"]["code"], -32004, "{refused}");
    let path = format!("/tasks/{}:subscribe", id.as_str().unwrap());
    let refused = node.rest("GET", &path, None).await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert_eq!(refused.headers["content-type"], "application/a2a+json");
    let repeat = node
        .open("SendStreamingMessage", send("m1"))
        .await
        .rest()
        .await;
    assert_eq!(lines(&repeat), ["task TASK_STATE_COMPLETED"]);
}

#[tokio::test]
async fn streams_end_when_the_node_stops() {
    let mut node = Node::start().await;
    node.call("SendMessage", at_once("m1", "x")).await;
    let run = node.next_run().await;
    let id = run.spec.task_id.to_string();
    let mut events = node.open("SubscribeToTask", json!({"id": id})).await;
    events.next().await.unwrap();
    node.end.cancel();
    assert_eq!(events.next().await, None);
    run.complete("ok");
}

#[tokio::test]
async fn a_question_ends_the_stream_and_its_answer_opens_the_next() {
    let mut node = Node::start().await;
    let events = node.open("SendStreamingMessage", send("m1")).await;
    let mut run = node.next_run().await;
    run.ask(QuestionKind::Elicitation, "Which branch?");
    let all = events.rest().await;
    let last = &all.last().unwrap()["result"]["statusUpdate"];
    assert_eq!(last["status"]["state"], "TASK_STATE_INPUT_REQUIRED");
    assert_eq!(
        last["status"]["message"]["parts"][0]["text"],
        "Which branch?"
    );
    let id = last["taskId"].clone();

    // Who only looks sees what the answer does.
    let mut looker = node.open("SubscribeToTask", json!({"id": id})).await;
    let begun = looker.next().await.unwrap();
    assert_eq!(told(&begun), "task TASK_STATE_INPUT_REQUIRED");
    let mut reply = send("m2");
    reply["message"]["taskId"] = id.clone();
    reply["message"]["parts"][0]["text"] = json!("main");
    let answered = node.open("SendStreamingMessage", reply.clone()).await;
    assert_eq!(run.told().await, Answer::Text("main".into()));
    run.complete("done");
    let answered = lines(&answered.rest().await);
    assert_eq!(answered[0], "task TASK_STATE_WORKING");
    assert_eq!(answered.last().unwrap(), "status TASK_STATE_COMPLETED");
    let looked = lines(&looker.rest().await);
    assert_eq!(looked[0], "status TASK_STATE_WORKING");
    assert_eq!(looked.last().unwrap(), "status TASK_STATE_COMPLETED");
    // A repeat of the answer answers nothing twice.
    let again = node.call("SendMessage", reply).await;
    assert_eq!(again["result"]["task"]["id"], id, "{again}");
}

#[tokio::test]
async fn a_stream_stays_open_while_a_login_is_needed() {
    let mut node = Node::start().await;
    let mut events = node.open("SendStreamingMessage", send("m1")).await;
    let run = node.next_run().await;
    run.ask(QuestionKind::Auth, "Log in first");
    let mut state = String::new();
    while state != "status TASK_STATE_AUTH_REQUIRED" {
        state = told(&events.next().await.unwrap());
    }
    // A blocking call is answered: it waits for no longer than the agent can go on.
    let blocked = node.call("SendMessage", send("m1")).await;
    let task = &blocked["result"]["task"];
    assert_eq!(task["status"]["state"], "TASK_STATE_AUTH_REQUIRED");
    run.complete("done");
    let all = lines(&events.rest().await);
    assert_eq!(all.last().unwrap(), "status TASK_STATE_COMPLETED");
}
