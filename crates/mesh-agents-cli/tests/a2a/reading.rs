//! `GetTask` and `ListTasks`.

use a2a::{Role, Task, TaskState, error_code};
use futures::future::join_all;
use serde_json::{Value, json};

use crate::report::{Check, checks};
use crate::world::{
    Client, Sending, UNKNOWN, World, artifact, code, data, fresh, of, task, text_of,
};

/// More than two pages of fifty.
const MANY: usize = 120;

pub(crate) fn checks() -> Vec<(&'static str, Check)> {
    checks![
        "Get/history" => history,
        "Get/same-everywhere" => same_everywhere,
        "Get/unknown" => unknown,
        "Get/of-another-agent" => of_another_agent,
        "Get/negative-history" => negative_history,
        "List/paging" => paging,
        "List/filters" => filters,
        "List/content" => content,
        "List/empty" => empty,
        "List/bad-page-size" => bad_page_size,
        "List/bad-page-token" => bad_page_token,
        "List/negative-history" => list_negative_history,
    ]
}

async fn history(world: World) {
    let id = world.send("worker", Sending::text("hi")).await.id;
    let client = world.client("worker").await;
    let of_length = async |length: Option<i32>| {
        let mut request: a2a::GetTaskRequest = of(json!({ "id": id }));
        request.history_length = length;
        client
            .get_task(&request)
            .await
            .unwrap()
            .history
            .unwrap_or_default()
    };
    let everything = of_length(None).await;
    let roles: Vec<_> = everything.iter().map(|one| one.role.clone()).collect();
    assert_eq!(roles, [Role::User, Role::Agent]);
    assert_eq!(of_length(Some(0)).await, []);
    assert_eq!(of_length(Some(1)).await, everything[1..]);
    assert_eq!(of_length(Some(99)).await, everything);
}

async fn same_everywhere(world: World) {
    let sent = world
        .send("worker", Sending::text("tck-artifact-data"))
        .await;
    assert_eq!(world.get("worker", &sent.id).await, sent);
}

async fn unknown(world: World) {
    let client = world.client("worker").await;
    for id in [UNKNOWN, "no-such-task"] {
        let code = code(client.get_task(&of(json!({ "id": id }))).await);
        assert_eq!(code, error_code::TASK_NOT_FOUND, "{id}");
    }
}

async fn of_another_agent(world: World) {
    let task = world.send("worker", Sending::text("hi")).await;
    let client = world.client("keeper").await;
    let code = code(client.get_task(&of(json!({ "id": task.id }))).await);
    assert_eq!(code, error_code::TASK_NOT_FOUND);
}

async fn negative_history(world: World) {
    let task = world.send("worker", Sending::text("hi")).await;
    let client = world.client("worker").await;
    let request = of(json!({ "id": task.id, "historyLength": -1 }));
    let code = code(client.get_task(&request).await);
    assert_eq!(code, error_code::INVALID_PARAMS);
}

fn ids(tasks: &[Task]) -> Vec<String> {
    tasks.iter().map(|task| task.id.clone()).collect()
}

/// Tasks that wait behind one that never ends; their ids, oldest first.
async fn many(client: &Client, context: &str) -> Vec<String> {
    let mut sent = Vec::new();
    for n in 0..MANY {
        let text = if n == 0 {
            "script: hang".to_owned()
        } else {
            format!("number {n}")
        };
        let sending = Sending::text(&text)
            .with(json!({ "contextId": context }))
            .at_once();
        sent.push(task(client.send_message(&sending.request()).await.unwrap()).id);
    }
    sent
}

async fn paging(world: World) {
    let context = fresh("pages");
    let client = world.client("pages").await;
    let sent = many(&client, &context).await;
    // At work, not waiting: the same check on the other binding may hold the one slot, and what
    // starts moves.
    world
        .until_state("pages", &sent[0], &[TaskState::Working])
        .await;
    let page = async |more: Value| {
        let mut query = json!({ "contextId": context });
        for (key, value) in more.as_object().unwrap() {
            query[key] = value.clone();
        }
        client.list_tasks(&of(query)).await.unwrap()
    };
    let (mut seen, mut sizes, mut token) = (Vec::new(), Vec::new(), String::new());
    loop {
        let read = page(json!({ "pageSize": 50, "pageToken": token })).await;
        assert_eq!(usize::try_from(read.total_size).unwrap(), MANY);
        assert_eq!(read.page_size, 50);
        sizes.push(read.tasks.len());
        seen.extend(read.tasks);
        token = read.next_page_token;
        if token.is_empty() {
            break;
        }
    }
    assert_eq!(sizes, [50, 50, 20]);
    let sorted = |mut ids: Vec<String>| {
        ids.sort();
        ids
    };
    assert_eq!(sorted(ids(&seen)), sorted(sent.clone()));
    let newest_first = seen
        .windows(2)
        .all(|pair| pair[0].status.timestamp.unwrap() >= pair[1].status.timestamp.unwrap());
    assert!(newest_first, "the order by time, newest first");
    assert_eq!(
        ids(&page(json!({ "pageSize": 100 })).await.tasks),
        ids(&seen)[..100]
    );
    assert_eq!(page(json!({})).await.tasks.len(), 50);
    // What moves while somebody pages costs no other task its place.
    let first = page(json!({ "pageSize": 50 })).await;
    let moved = &sent[60];
    world.cancel("pages", moved).await.unwrap();
    let second = page(json!({ "pageSize": 100, "pageToken": first.next_page_token })).await;
    let read = [ids(&first.tasks), ids(&second.tasks)].concat();
    let lost: Vec<_> = sent.iter().filter(|id| !read.contains(id)).collect();
    assert!(
        lost.iter().all(|id| *id == moved),
        "lost between two pages: {lost:?}"
    );
    assert_eq!(
        ids(&page(json!({ "pageSize": 1 })).await.tasks),
        std::slice::from_ref(moved)
    );
    // Those that wait first: once the first one's slot is free, one of them would start and complete.
    let waiting = sent[1..].iter().filter(|id| *id != moved);
    join_all(waiting.map(|id| world.cancel("pages", id))).await;
    world.cancel("pages", &sent[0]).await.unwrap();
}

async fn filters(world: World) {
    let context = fresh("filters");
    let within = |text: &str| Sending::text(text).with(json!({ "contextId": context }));
    let done = world.send("worker", within("tck-artifact-data")).await;
    let failed = world.send("worker", within("tck-task-failure")).await;
    let elsewhere = world.send("worker", Sending::text("hi")).await;
    let found = async |key: &str, value: Value| {
        let query = json!({ "contextId": context, key: value });
        let page = world.list("worker", query).await;
        assert_eq!(usize::try_from(page.total_size).unwrap(), page.tasks.len());
        ids(&page.tasks)
    };
    let both = [failed.id.clone(), done.id.clone()];
    let one = [failed.id.clone()];
    assert_eq!(found("pageSize", json!(10)).await, both, "by context");
    assert_eq!(found("status", json!("TASK_STATE_FAILED")).await, one);
    assert_eq!(found("status", json!("TASK_STATE_WORKING")).await, [""; 0]);
    let after = "statusTimestampAfter";
    assert_eq!(found(after, json!(done.status.timestamp)).await, both);
    assert_eq!(found(after, json!(failed.status.timestamp)).await, one);
    assert_eq!(found(after, json!("2999-01-01T00:00:00Z")).await, [""; 0]);
    let everything = world.list("worker", json!({ "pageSize": 100 })).await;
    assert!(ids(&everything.tasks).contains(&elsewhere.id));
}

async fn content(world: World) {
    let context = fresh("content");
    let sending = Sending::text("tck-artifact-data").with(json!({ "contextId": context }));
    let task = world.send("worker", sending).await;
    let only = async |key: &str, value: Value| {
        let query = json!({ "contextId": context, key: value });
        let mut page = world.list("worker", query).await;
        assert_eq!(page.tasks.len(), 1);
        page.tasks.remove(0)
    };
    let plain = only("pageSize", json!(10)).await;
    assert_eq!(plain.artifacts.unwrap_or_default(), [], "nobody asked");
    let whole = only("includeArtifacts", json!(true)).await;
    let names = |task: &Task| {
        let artifacts = task.artifacts.as_deref().unwrap_or_default().iter();
        let mut names: Vec<_> = artifacts.map(|one| one.artifact_id.clone()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&whole), names(&task));
    let values = &data(&artifact(&whole, "data.json").parts[0])["values"];
    assert_eq!(values.as_array().unwrap().len(), 3);
    let none = only("historyLength", json!(0)).await;
    assert_eq!(none.history.unwrap_or_default(), []);
    let one = only("historyLength", json!(1)).await;
    let said: Vec<_> = one.history.unwrap_or_default();
    let said: Vec<_> = said.iter().map(|one| text_of(&one.parts)).collect();
    assert_eq!(said, ["Wrote data.json."]);
    assert_eq!(one.status.state, TaskState::Completed);
}

async fn empty(world: World) {
    let page = world
        .list("worker", json!({ "contextId": fresh("nobody") }))
        .await;
    assert_eq!((page.tasks.len(), page.total_size), (0, 0));
    assert_eq!(page.next_page_token, "");
}

async fn list_code(world: &World, query: Value) -> i32 {
    let client = world.client("worker").await;
    code(client.list_tasks(&of(query)).await)
}

async fn bad_page_size(world: World) {
    for size in [0, 101, -1] {
        let code = list_code(&world, json!({ "pageSize": size })).await;
        assert_eq!(code, error_code::INVALID_PARAMS, "{size}");
    }
}

async fn bad_page_token(world: World) {
    let code = list_code(&world, json!({ "pageToken": "nonsense" })).await;
    assert_eq!(code, error_code::INVALID_PARAMS);
}

async fn list_negative_history(world: World) {
    let code = list_code(&world, json!({ "historyLength": -1 })).await;
    assert_eq!(code, error_code::INVALID_PARAMS);
}
