//! Card discovery, `SendMessage` and conversations of several turns.

use std::collections::HashSet;

use a2a::{Part, PartContent, Role, TaskState, error_code};
use a2a_client::auth::AuthInterceptor;
use futures::future::join_all;
use serde_json::{Value, json};

use crate::report::{Check, checks};
use crate::world::{Sending, UNKNOWN, World, answer, artifact, data, fresh, said, task, text_of};

/// The largest integer every client of JSON keeps.
const BIG: i64 = (1 << 53) - 1;
const STRICT: &str = "https://example.com/extensions/strict";

pub(crate) fn checks() -> Vec<(&'static str, Check)> {
    checks![
        "Card/resolver" => card_resolver,
        "SendMessage/blocking" => blocking,
        "SendMessage/return-immediately" => return_immediately,
        "SendMessage/parts" => parts,
        "SendMessage/metadata" => metadata,
        "SendMessage/big-integers" => big_integers,
        "SendMessage/duplicate" => duplicate,
        "SendMessage/concurrent-duplicates" => concurrent_duplicates,
        "SendMessage/context-kept" => context_kept,
        "SendMessage/follow-up" => follow_up,
        "SendMessage/history-length" => history_length,
        "SendMessage/unknown-task" => unknown_task,
        "SendMessage/context-mismatch" => context_mismatch,
        "SendMessage/terminal-task" => terminal_task,
        "SendMessage/busy-task" => busy_task,
        "SendMessage/failure" => failure,
        "SendMessage/data-artifact" => data_artifact,
        "SendMessage/raw-artifact" => raw_artifact,
        "SendMessage/content-type" => content_type,
        "SendMessage/bytes" => no_text,
        "SendMessage/required-extension" => required_extension,
        "Turns/input-required" => input_required,
        "Turns/repeated-answer" => repeated_answer,
        "Turns/auth-required" => auth_required,
    ]
}

async fn card_resolver(world: World) {
    let card = world.card("worker").await;
    assert_eq!(card.name, "Worker");
    for binding in ["JSONRPC", "HTTP+JSON"] {
        let listed = card.supported_interfaces.iter();
        let mut listed = listed.filter(|one| one.protocol_binding == binding);
        assert_eq!(listed.next().unwrap().protocol_version, "1.0", "{binding}");
    }
    assert_eq!(card.capabilities.streaming, Some(true));
    assert_eq!(card.capabilities.push_notifications, Some(true));
    assert_eq!(card.skills[0].id, "script");
}

async fn blocking(world: World) {
    let key = fresh("m");
    let sending = Sending::text("hello").with(json!({ "messageId": key }));
    let task = world.send("worker", sending).await;
    assert_eq!(task.status.state, TaskState::Completed);
    assert!(!task.id.is_empty() && !task.context_id.is_empty());
    assert!(task.status.timestamp.is_some(), "the status has its time");
    let answer = answer(&task);
    assert!(
        answer.starts_with("echo: ") && answer.ends_with("hello"),
        "{answer}"
    );
    let history = task.history.as_deref().unwrap();
    let (first, last) = (&history[0], history.last().unwrap());
    assert_eq!(
        (&first.message_id, &first.role, text_of(&first.parts)),
        (&key, &Role::User, "hello".into())
    );
    assert_eq!((&last.role, text_of(&last.parts)), (&Role::Agent, answer));
    for message in history {
        assert_eq!(message.task_id.as_ref(), Some(&task.id));
        assert_eq!(message.context_id.as_ref(), Some(&task.context_id));
    }
}

async fn return_immediately(world: World) {
    let gate = world.gate();
    let sending = Sending::text(&format!("{}\nscript: text done", gate.wait())).at_once();
    let task = world.send("worker", sending).await;
    let open = [TaskState::Submitted, TaskState::Working];
    assert!(open.contains(&task.status.state), "{task:?}");
    gate.open();
    let done = world
        .until_state("worker", &task.id, &[TaskState::Completed])
        .await;
    assert_eq!(answer(&done), "done");
}

async fn parts(world: World) {
    let lang = [("lang".to_owned(), json!("en"))];
    let mut text = Part::text("look at these");
    text.metadata = Some(lang.into());
    let rows = json!({ "rows": [1, 2.5, null, true, "x"], "empty": {} });
    let sent = vec![
        text,
        Part::data(rows).with_media_type("application/json"),
        Part::raw(b"plain text file\n".into())
            .with_filename("a.txt")
            .with_media_type("text/plain"),
        Part::url("https://example.com/c.png")
            .with_filename("c.png")
            .with_media_type("image/png"),
        Part::text("script: text seen"),
    ];
    let sending = Sending {
        parts: sent.clone(),
        ..Sending::text("")
    };
    let task = world.send("worker", sending).await;
    assert_eq!(task.status.state, TaskState::Completed, "{task:?}");
    let kept = world.get("worker", &task.id).await.history.unwrap();
    let plain = |parts: &[Part]| floats(&json!(parts));
    assert_eq!(plain(&kept[0].parts), plain(&sent));
}

/// The same JSON with every number as a float: the client makes floats of integers.
fn floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => json!(number.as_f64()),
        Value::Array(items) => items.iter().map(floats).collect(),
        Value::Object(members) => members
            .iter()
            .map(|(key, value)| (key.clone(), floats(value)))
            .collect(),
        other => other.clone(),
    }
}

async fn metadata(world: World) {
    let sent = json!({
        "s": "ä€𝄞\u{0}", "n": -7, "f": 0.1, "b": false, "z": null,
        "deep": { "list": [[], {}, [1]] },
    });
    let sending = Sending::text("hi").with(json!({ "metadata": sent }));
    let task = world.send("worker", sending).await;
    let kept = world.get("worker", &task.id).await.history.unwrap();
    assert_eq!(floats(&json!(kept[0].metadata)), floats(&sent));
}

async fn big_integers(world: World) {
    let sent = json!({ "largest": BIG, "least": -BIG, "as_text": (1_u128 << 64).to_string() });
    let sending = Sending {
        parts: vec![Part::data(sent.clone()), Part::text("script: text seen")],
        ..Sending::text("").with(json!({ "metadata": sent }))
    };
    let task = world.send("worker", sending).await;
    let kept = &task.history.as_deref().unwrap()[0];
    assert_eq!(floats(&json!(kept.metadata)), floats(&sent), "in metadata");
    assert_eq!(floats(data(&kept.parts[0])), floats(&sent), "in data");
}

async fn duplicate(world: World) {
    let (key, context) = (fresh("m"), fresh("dup"));
    let of = json!({ "messageId": key, "contextId": context });
    let once = Sending::text("once").with(of.clone());
    let first = world.send("worker", once.clone()).await;
    assert_eq!(world.send("worker", once).await.id, first.id);
    let other = Sending::text("something else").with(of);
    let code = world.refused("worker", other).await;
    assert_eq!(code, error_code::INVALID_PARAMS);
    let listed = world.list("worker", json!({ "contextId": context })).await;
    assert_eq!(listed.total_size, 1);
}

async fn concurrent_duplicates(world: World) {
    let of = json!({ "messageId": fresh("m"), "contextId": fresh("dup") });
    let sends = (0..8).map(|_| {
        let sending = Sending::text("once").with(of.clone()).at_once();
        world.send("worker", sending)
    });
    let tasks = join_all(sends).await;
    let ids: HashSet<_> = tasks.iter().map(|task| &task.id).collect();
    assert_eq!(ids.len(), 1, "tasks of eight sends of one message");
}

async fn context_kept(world: World) {
    let context = format!("my.context:{}", fresh("c"));
    let sending = Sending::text("hi").with(json!({ "contextId": context }));
    let task = world.send("worker", sending).await;
    assert_eq!(task.context_id, context);
    for message in task.history.unwrap() {
        assert_eq!(message.context_id.as_ref(), Some(&context));
    }
}

async fn follow_up(world: World) {
    let first = world.send("keeper", Sending::text("one")).await;
    let further = json!({ "contextId": first.context_id, "referenceTaskIds": [first.id] });
    let second = world
        .send("keeper", Sending::text("two").with(further))
        .await;
    assert_ne!(second.id, first.id);
    assert_eq!(second.context_id, first.context_id);
    assert!(answer(&second).ends_with("two"), "{second:?}");
    let references = &second.history.as_deref().unwrap()[0].reference_task_ids;
    assert_eq!(references.as_deref(), Some(&[first.id.clone()][..]));
    let listed = world
        .list("keeper", json!({ "contextId": first.context_id }))
        .await;
    let ids: Vec<_> = listed.tasks.into_iter().map(|task| task.id).collect();
    assert_eq!(ids, [second.id, first.id]);
}

async fn history_length(world: World) {
    let of = |length: u8| Sending::text("hi").configured(json!({ "historyLength": length }));
    let none = world.send("worker", of(0)).await;
    assert_eq!(none.history.unwrap_or_default(), []);
    let one = world.send("worker", of(1)).await.history.unwrap();
    assert_eq!((one.len(), &one[0].role), (1, &Role::Agent));
}

async fn unknown_task(world: World) {
    for id in [UNKNOWN, "no such task"] {
        let sending = Sending::text("hi").with(json!({ "taskId": id }));
        let code = world.refused("worker", sending).await;
        assert_eq!(code, error_code::TASK_NOT_FOUND, "{id}");
    }
}

async fn context_mismatch(world: World) {
    let task = world
        .send("worker", Sending::text("tck-multi-turn").at_once())
        .await;
    world
        .until_state("worker", &task.id, &[TaskState::InputRequired])
        .await;
    let elsewhere = json!({ "taskId": task.id, "contextId": "another-context" });
    let code = world
        .refused("worker", Sending::text("done").with(elsewhere))
        .await;
    assert_eq!(code, error_code::INVALID_PARAMS);
    world.cancel("worker", &task.id).await.unwrap();
}

async fn terminal_task(world: World) {
    let task = world.send("worker", Sending::text("hi")).await;
    let more = Sending::text("more").with(json!({ "taskId": task.id }));
    let code = world.refused("worker", more).await;
    assert_eq!(code, error_code::UNSUPPORTED_OPERATION);
}

async fn busy_task(world: World) {
    let gate = world.gate();
    let sending = Sending::text(&format!("{}\nscript: text done", gate.wait())).at_once();
    let task = world.send("worker", sending).await;
    let more = Sending::text("more").with(json!({ "taskId": task.id }));
    let code = world.refused("worker", more).await;
    assert_eq!(code, error_code::UNSUPPORTED_OPERATION);
    gate.open();
    world
        .until_state("worker", &task.id, &[TaskState::Completed])
        .await;
}

async fn failure(world: World) {
    let task = world
        .send("worker", Sending::text("tck-task-failure"))
        .await;
    assert_eq!(task.status.state, TaskState::Failed);
    let said = said(task.status.message.as_ref());
    assert!(said.contains("tck-task-failure"), "{said}");
}

async fn data_artifact(world: World) {
    let task = world
        .send("worker", Sending::text("tck-artifact-data"))
        .await;
    let wanted = json!({ "kind": "tck-artifact-data", "values": [1, 2, 3] });
    let kept = &artifact(&task, "data.json").parts;
    assert_eq!(floats(data(&kept[0])), floats(&wanted));
}

async fn raw_artifact(world: World) {
    let script = "script: sh printf '\\377\\000\\001' > \"$TASK_ARTIFACTS_DIR/blob.bin\"";
    let task = world.send("worker", Sending::text(script)).await;
    let part = &artifact(&task, "blob.bin").parts[0];
    assert_eq!(part.content, PartContent::Raw(vec![0xff, 0, 1]));
}

async fn content_type(world: World) {
    let sending = Sending {
        parts: vec![Part::text("hi").with_media_type("application/x-unsupported-tck-type")],
        ..Sending::text("")
    };
    let code = world.refused("worker", sending).await;
    assert_eq!(code, error_code::CONTENT_TYPE_NOT_SUPPORTED);
}

async fn no_text(world: World) {
    let bytes = Part::raw((0..=255).collect()).with_media_type("application/octet-stream");
    let sending = Sending {
        parts: vec![bytes],
        ..Sending::text("")
    };
    let code = world.refused("worker", sending).await;
    assert_eq!(code, error_code::CONTENT_TYPE_NOT_SUPPORTED);
}

async fn required_extension(world: World) {
    let code = world.refused("strict", Sending::text("hi")).await;
    assert_eq!(code, error_code::EXTENSION_SUPPORT_REQUIRED);
    let offers = AuthInterceptor::custom("A2A-Extensions", STRICT);
    let client = world.client_with("strict", Some(offers)).await;
    let request = Sending::text("hi").request();
    let done = task(client.send_message(&request).await.unwrap());
    assert_eq!(done.status.state, TaskState::Completed);
}

async fn input_required(world: World) {
    let task = world.send("worker", Sending::text("tck-multi-turn")).await;
    assert_eq!(task.status.state, TaskState::InputRequired);
    assert!(said(task.status.message.as_ref()).contains("done"));
    let more = json!({ "taskId": task.id, "contextId": task.context_id });
    let again = world
        .send("worker", Sending::text("not yet").with(more))
        .await;
    assert_eq!(again.id, task.id);
    assert_eq!(again.status.state, TaskState::InputRequired);
    let done = Sending::text("done").with(json!({ "taskId": task.id }));
    let ended = world.send("worker", done).await;
    assert_eq!(ended.id, task.id);
    assert_eq!(ended.status.state, TaskState::Completed);
    let said: Vec<_> = ended
        .history
        .unwrap()
        .into_iter()
        .filter(|one| one.role == Role::User)
        .map(|one| text_of(&one.parts))
        .collect();
    assert_eq!(said, ["tck-multi-turn", "not yet", "done"]);
}

async fn repeated_answer(world: World) {
    let task = world.send("worker", Sending::text("tck-multi-turn")).await;
    let of = json!({ "taskId": task.id, "messageId": fresh("m") });
    let done = Sending::text("done").with(of);
    let ended = world.send("worker", done.clone()).await;
    let again = world.send("worker", done).await;
    assert_eq!(again.id, ended.id);
    assert_eq!(again.status.state, TaskState::Completed);
}

async fn auth_required(world: World) {
    let task = world
        .send("worker", Sending::text("tck-auth-required"))
        .await;
    assert_eq!(task.status.state, TaskState::AuthRequired);
    assert!(
        said(task.status.message.as_ref()).contains("login"),
        "{task:?}"
    );
    let login = Sending::text("scripted-login").with(json!({ "taskId": task.id }));
    let ended = world.send("worker", login).await;
    assert_eq!(ended.id, task.id);
    assert_eq!(ended.status.state, TaskState::Completed);
    let other = world
        .send("worker", Sending::text("tck-auth-required"))
        .await;
    let canceled = world.cancel("worker", &other.id).await.unwrap();
    assert_eq!(canceled.status.state, TaskState::Canceled);
}
