//! Push notification configs and what they deliver.

use a2a::{A2AError, StreamResponse, TaskPushNotificationConfig, TaskState, error_code};
use serde_json::{Value, json};

use crate::report::{Check, checks};
use crate::world::{Sending, UNKNOWN, World, code, of};

pub(crate) fn checks() -> Vec<(&'static str, Check)> {
    checks![
        "Push/create-get-list-delete" => create_get_list_delete,
        "Push/unknown-task" => unknown_task,
        "Push/refused-target" => refused_target,
        "Push/delivery" => delivery,
        "Push/with-message" => with_message,
        "Push/input-required" => input_required,
        "Push/deleted" => deleted,
    ]
}

type Config = TaskPushNotificationConfig;

/// Creates a config of a task of `worker`; `more` are its fields.
pub(crate) async fn create(world: &World, task: &str, mut more: Value) -> Result<Config, A2AError> {
    more["taskId"] = json!(task);
    let client = world.client("worker").await;
    client.create_push_config(&of(more)).await
}

pub(crate) async fn read(world: &World, task: &str, id: &str) -> Result<Config, A2AError> {
    let client = world.client("worker").await;
    let request = of(json!({ "taskId": task, "id": id }));
    client.get_push_config(&request).await
}

/// The ids of the configs of a task.
pub(crate) async fn all_of(world: &World, task: &str) -> Result<Vec<String>, A2AError> {
    let client = world.client("worker").await;
    let page = client
        .list_push_configs(&of(json!({ "taskId": task })))
        .await?;
    let mut ids: Vec<_> = page.configs.into_iter().filter_map(|one| one.id).collect();
    ids.sort();
    Ok(ids)
}

async fn delete(world: &World, task: &str, id: &str) {
    let client = world.client("worker").await;
    let request = of(json!({ "taskId": task, "id": id }));
    client.delete_push_config(&request).await.unwrap();
}

async fn create_get_list_delete(world: World) {
    let gate = world.gate();
    let sending = Sending::text(&format!("{}\nscript: text done", gate.wait())).at_once();
    let task = world.send("worker", sending).await;
    let (_, url) = world.receiver.hook();
    let authentication = json!({ "scheme": "Bearer", "credentials": "c" });
    let wanted = json!({ "url": url, "token": "secret", "authentication": authentication });
    let first = create(&world, &task.id, wanted).await.unwrap();
    let id = first.id.clone().unwrap();
    assert_eq!((&first.task_id, &first.url), (&task.id, &url));
    assert_eq!(first.token.as_deref(), Some("secret"));
    let own = json!({ "url": url, "id": "my-own-id" });
    let second = create(&world, &task.id, own).await.unwrap();
    assert_eq!(second.id.as_deref(), Some("my-own-id"));
    assert_eq!(read(&world, &task.id, &id).await.unwrap(), first);
    let mut both = [id.clone(), "my-own-id".to_owned()];
    both.sort();
    assert_eq!(all_of(&world, &task.id).await.unwrap(), both);
    delete(&world, &task.id, "my-own-id").await;
    delete(&world, &task.id, "my-own-id").await;
    assert_eq!(all_of(&world, &task.id).await.unwrap(), [id]);
    let gone = code(read(&world, &task.id, "my-own-id").await);
    assert_eq!(gone, error_code::TASK_NOT_FOUND);
    gate.open();
    world
        .until_state("worker", &task.id, &[TaskState::Completed])
        .await;
}

async fn unknown_task(world: World) {
    let (_, url) = world.receiver.hook();
    let created = create(&world, UNKNOWN, json!({ "url": url })).await;
    assert_eq!(code(created), error_code::TASK_NOT_FOUND);
    assert_eq!(
        code(all_of(&world, UNKNOWN).await),
        error_code::TASK_NOT_FOUND
    );
    let read = read(&world, UNKNOWN, "x").await;
    assert_eq!(code(read), error_code::TASK_NOT_FOUND);
}

async fn refused_target(world: World) {
    let task = world.send("worker", Sending::text("tck-multi-turn")).await;
    for url in [
        "http://169.254.169.254/latest",
        "ftp://example.com/x",
        "nonsense",
    ] {
        let code = code(create(&world, &task.id, json!({ "url": url })).await);
        assert_eq!(code, error_code::INVALID_PARAMS, "{url}");
    }
    world.cancel("worker", &task.id).await.unwrap();
}

async fn delivery(world: World) {
    let gate = world.gate();
    let sending = Sending::text(&format!("{}\nscript: text pushed", gate.wait())).at_once();
    let task = world.send("worker", sending).await;
    world
        .until_state("worker", &task.id, &[TaskState::Working])
        .await;
    let (path, url) = world.receiver.hook();
    let authentication = json!({ "scheme": "Bearer", "credentials": "creds" });
    let wanted = json!({ "url": url, "token": "secret", "authentication": authentication });
    create(&world, &task.id, wanted).await.unwrap();
    gate.open();
    world.receiver.until(&path, "COMPLETED").await;
    for (headers, body) in world.receiver.told(&path) {
        for (name, value) in [
            ("content-type", "application/a2a+json"),
            ("authorization", "Bearer creds"),
            ("x-a2a-notification-token", "secret"),
            ("a2a-notification-token", "secret"),
        ] {
            assert_eq!(headers[name], value, "{name}");
        }
        let about = match of::<StreamResponse>(body) {
            StreamResponse::Task(task) => task.id,
            StreamResponse::StatusUpdate(update) => update.task_id,
            StreamResponse::ArtifactUpdate(update) => update.task_id,
            StreamResponse::Message(message) => message.task_id.unwrap(),
        };
        assert_eq!(about, task.id);
    }
    let told = world.receiver.states(&path);
    let ends = told.iter().filter(|state| *state == "COMPLETED").count();
    assert_eq!((told.last().unwrap().as_str(), ends), ("COMPLETED", 1));
}

async fn with_message(world: World) {
    let (path, url) = world.receiver.hook();
    let config = json!({ "taskPushNotificationConfig": { "url": url, "token": "t" } });
    let task = world
        .send("worker", Sending::text("hi").configured(config))
        .await;
    world.receiver.until(&path, "COMPLETED").await;
    for (headers, _) in world.receiver.told(&path) {
        assert_eq!(headers["x-a2a-notification-token"], "t");
    }
    assert_eq!(all_of(&world, &task.id).await.unwrap().len(), 1);
}

async fn input_required(world: World) {
    let (path, url) = world.receiver.hook();
    let config = json!({ "taskPushNotificationConfig": { "url": url } });
    let sending = Sending::text("tck-multi-turn").configured(config);
    let task = world.send("worker", sending).await;
    world.receiver.until(&path, "INPUT_REQUIRED").await;
    let done = Sending::text("done").with(json!({ "taskId": task.id }));
    world.send("worker", done).await;
    world.receiver.until(&path, "COMPLETED").await;
}

async fn deleted(world: World) {
    let gate = world.gate();
    let sending = Sending::text(&format!("{}\nscript: text done", gate.wait())).at_once();
    let task = world.send("worker", sending).await;
    let (stays, stays_url) = world.receiver.hook();
    let (goes, goes_url) = world.receiver.hook();
    create(&world, &task.id, json!({ "url": stays_url }))
        .await
        .unwrap();
    let gone = create(&world, &task.id, json!({ "url": goes_url }))
        .await
        .unwrap();
    delete(&world, &task.id, &gone.id.unwrap()).await;
    gate.open();
    world.receiver.until(&stays, "COMPLETED").await;
    let told = world.receiver.states(&goes);
    assert!(!told.contains(&"COMPLETED".to_owned()), "{told:?}");
}
