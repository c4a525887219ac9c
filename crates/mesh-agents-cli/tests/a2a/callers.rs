//! Callers with tokens, and the card only they may read.

use a2a::{TaskState, error_code};
use a2a_client::auth::AuthInterceptor;
use serde_json::json;

use crate::events::stream_code;
use crate::report::{Check, checks};
use crate::world::{Sending, UNKNOWN, World, code, of, task};

pub(crate) fn checks() -> Vec<(&'static str, Check)> {
    checks![
        "ExtendedCard/with-token" => extended_card,
        "Callers/isolation" => isolation,
        "Callers/same-key" => same_key,
        "Callers/wrong-token" => wrong_token,
    ]
}

async fn extended_card(world: World) {
    let client = world.client_as("worker", "alice").await;
    let card = client.get_extended_agent_card(&of(json!({}))).await;
    let card = card.unwrap();
    assert_eq!(card.name, "Worker");
    assert_eq!(card.skills[0].id, "script");
    assert!(card.supported_interfaces.len() >= 2, "{card:?}");
}

async fn isolation(world: World) {
    let alice = world.client_as("worker", "alice").await;
    let bob = world.client_as("worker", "bob").await;
    let gate = world.gate();
    let sending = Sending::text(&format!("{}\nscript: text done", gate.wait())).at_once();
    let hers = task(alice.send_message(&sending.request()).await.unwrap());
    let id = json!({ "id": hers.id });
    let of_task = json!({ "taskId": hers.id });
    let (_, url) = world.receiver.hook();
    let done = Sending::text("done").with(of_task.clone()).request();
    let attempts = [
        ("read", code(bob.get_task(&of(id.clone())).await)),
        ("cancel", code(bob.cancel_task(&of(id.clone())).await)),
        ("answer", code(bob.send_message(&done).await)),
        (
            "be told",
            code(
                bob.create_push_config(&of(json!({ "taskId": hers.id, "url": url })))
                    .await,
            ),
        ),
        (
            "list configs",
            code(bob.list_push_configs(&of(of_task)).await),
        ),
        (
            "follow",
            stream_code(bob.subscribe_to_task(&of(id.clone())).await).await,
        ),
    ];
    for (what, code) in attempts {
        assert_eq!(code, error_code::TASK_NOT_FOUND, "another caller's {what}");
    }
    let context = json!({ "contextId": hers.context_id });
    let listed = bob.list_tasks(&of(context)).await.unwrap();
    assert_eq!((listed.tasks.len(), listed.total_size), (0, 0));
    let seen = alice.get_task(&of(id)).await.unwrap();
    assert!(!seen.status.state.is_terminal(), "it goes on: {seen:?}");
    gate.open();
    // The owner of the node sees it too.
    world
        .until_state("worker", &hers.id, &[TaskState::Completed])
        .await;
}

async fn same_key(world: World) {
    let key = format!("one-key-{}", world.binding());
    let request = Sending::text("hi")
        .with(json!({ "messageId": key }))
        .request();
    let mut ids = Vec::new();
    for caller in ["alice", "bob"] {
        let client = world.client_as("worker", caller).await;
        ids.push(task(client.send_message(&request).await.unwrap()).id);
    }
    assert_ne!(ids[0], ids[1], "the same messageId of two callers");
}

async fn wrong_token(world: World) {
    let wrong = AuthInterceptor::bearer("nobody-has-this-token");
    let client = world.client_with("worker", Some(wrong)).await;
    let error = client.get_task(&of(json!({ "id": UNKNOWN }))).await;
    let error = error.expect_err("a token nobody has is refused");
    assert_ne!(error.code, error_code::TASK_NOT_FOUND, "{error:?}");
}
