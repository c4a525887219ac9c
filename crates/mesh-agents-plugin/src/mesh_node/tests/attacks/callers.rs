//! Hostile callers.

use axum::Extension;
use axum::response::IntoResponse as _;
use mesh_agents_a2a::router::turned_away;
use mesh_agents_core::policy::{AgentState, Operation, may};
use mesh_agents_core::principal::Principal;
use tower::ServiceExt as _;

use super::*;
use crate::mesh_node::serve::{ADVERT, CARDS, Who};

#[tokio::test(start_paused = true)]
async fn who_asks_what_there_is_too_often_waits() {
    let mesh = MemoryMesh::default();
    let (owner, caller, other) = (
        Bare::owner(&mesh, 1).await,
        Bare::idle(&mesh, 2),
        Bare::idle(&mesh, 3),
    );
    let mut http = caller.http(&owner.id).await;
    let (mut told, mut waits) = (0, 0);
    for n in 0..400 {
        let path = match n % 2 {
            0 => ADVERT.to_owned(),
            _ => format!("{CARDS}{}", Digest::of(b"x")),
        };
        let answer = heads(&mut http, request(Method::GET, &path, "")).await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert!(answer.headers().contains_key("retry-after"));
            waits += 1;
        } else {
            told += 1;
        }
        read(answer).await;
        patient("the stream", http.ready()).await.unwrap();
    }
    assert_eq!(told + waits, 400);
    assert!((240..=245).contains(&told), "{told}");
    assert_eq!(other.gets(&owner.id, ADVERT).await.0, 200);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(caller.gets(&owner.id, ADVERT).await.0, 200);
    owner.leave(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn calls_over_their_rate_are_told_to_wait_and_reach_no_agent() {
    let mesh = MemoryMesh::default();
    let caller = Bare::idle(&mesh, 2);
    let calls = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&calls);
    let a2a = Router::new().fallback(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        async { "called" }
    });
    let mut list = allow(caller.node.key(), "*");
    list.push_str("requests_per_minute = 60\nburst = 3\n");
    let owner = Bare::idle(&mesh, 1).begin(&list, a2a).await;
    let mut http = caller.http(&owner.id).await;
    let mut statuses = Vec::new();
    for _ in 0..50 {
        let answer = heads(&mut http, request(Method::POST, ECHO, "{}")).await;
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(answer.headers()["retry-after"], "1");
        }
        statuses.push(read(answer).await.0);
        patient("the stream", http.ready()).await.unwrap();
    }
    let called = calls.load(Ordering::Relaxed);
    assert_eq!(&statuses[..4], [200, 200, 200, 429]);
    assert!(called <= 4, "{called}");
    owner.leave(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn hints_without_number_make_few_pulls() {
    let mesh = MemoryMesh::default();
    let victim = Bare::owner(&mesh, 1).await;
    let liar = Bare::owner(&mesh, 2).await;
    until(async || victim.knows(liar.node.key()) == ["echo"]).await;
    // From here on it takes streams and lets them fall.
    let mut incoming = liar.node.link().incoming();
    let mut pulls = 0;
    for n in 0..6_000 {
        let sequence = mesh_agents_mesh::SEQUENCE_MAX - 6_000 + n;
        liar.node
            .link()
            .hint(&mesh_agents_mesh::write_hint(sequence));
        liar.node.link().hint("no hint at all");
        tokio::time::sleep(Duration::from_millis(10)).await;
        while incoming.try_recv().is_ok() {
            pulls += 1;
        }
    }
    // A minute of 100 lies a second: the pause between pulls doubles from one second.
    assert!((1..=8).contains(&pulls), "{pulls}");
    victim.leave(&mesh).await;
    liar.leave(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_keys_that_knock_take_a_bounded_place() {
    let mesh = MemoryMesh::default();
    let owner = Bare::owner(&mesh, 1).await;
    // As the A2A router decides, with the caller the gate made.
    let decides = async |Extension(caller): Extension<Caller>| {
        let agent = "echo".parse().unwrap();
        match may(&caller, &agent, AgentState::Ready, Operation::Send) {
            Ok(()) => StatusCode::IM_A_TEAPOT.into_response(),
            Err(refusal) => turned_away(refusal),
        }
    };
    let app = serve::app(&owner.node, Router::new().fallback(decides));
    let (mut refused, mut flooded) = (0, 0);
    for n in 0..10_000_u32 {
        let mut seed = [9; 32];
        seed[..4].copy_from_slice(&n.to_le_bytes());
        let key = NodeSecret::from_seed(&seed).key();
        let mut call = request(Method::POST, ECHO, "").map(axum::body::Body::new);
        call.extensions_mut().insert(Who(key));
        match app.clone().oneshot(call).await.unwrap().status() {
            StatusCode::FORBIDDEN => refused += 1,
            StatusCode::TOO_MANY_REQUESTS => flooded += 1,
            other => panic!("{other}"),
        }
        // A minute and a half of it.
        tokio::time::sleep(Duration::from_millis(9)).await;
    }
    // Strangers share one rate: 100 at once and ten a second.
    assert!((900..=1_100).contains(&refused), "{refused}, {flooded}");
    let knocks = owner.node.report().knocks;
    assert_eq!(knocks.len(), 256);
    owner.leave(&mesh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_knock_are_written_nowhere() {
    let mesh = MemoryMesh::default();
    let owner = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let written = async || {
        let mut facts = Vec::new();
        for kind in [
            FactKind::Node,
            FactKind::Card,
            FactKind::Owner,
            FactKind::Sequence,
        ] {
            facts.push(owner.engine.facts(kind).await.unwrap());
        }
        facts
    };
    until(async || !owner.node.state().bulletin.agents().is_empty()).await;
    until(async || {
        !owner
            .engine
            .facts(FactKind::Sequence)
            .await
            .unwrap()
            .is_empty()
    })
    .await;
    let before = written().await;
    for number in 2..=60 {
        let knocks = Bare::idle(&mesh, number);
        // All strangers together are told so often; once each is within that.
        let path = format!("{ECHO}/message:send");
        let (status, body) = knocks.asks(&owner.id, Method::POST, &path, "{}").await;
        assert_eq!(status, 403, "{body}");
        knocks.leave(&mesh).await;
    }
    assert_eq!(owner.node.report().knocks.len(), 59);
    assert!(owner.node.state().unsaved.is_empty());
    assert_eq!(written().await, before);
    owner.leave(&mesh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_that_is_not_for_a_caller_is_as_one_that_is_not() {
    let mesh = MemoryMesh::default();
    let mut shut = offered("shut");
    shut.enabled = false;
    let agents = vec![offered("echo"), shut, definition("private")];
    let a = Peer::join(&mesh, 1, agents).await;
    let (listed, denied, unlisted) = (
        Bare::idle(&mesh, 2),
        Bare::idle(&mesh, 3),
        Bare::idle(&mesh, 4),
    );
    let mut list = allow(listed.node.key(), "*");
    list.push_str(&allow(denied.node.key(), "*"));
    list.push_str("deny = [\"echo\"]\n");
    write_list(a.dir.path(), &list);
    until(async || {
        let state = a.node.state();
        let key = denied.node.key();
        state.acl.acl().peer(&key).is_some() && !state.bulletin.agents().is_empty()
    })
    .await;

    let mut answers = Vec::new();
    for id in ["never", "private", "shut", "Private"] {
        for (method, below) in [
            (Method::POST, "/message:send"),
            (Method::POST, ""),
            (Method::GET, "/tasks"),
            (Method::GET, "/.well-known/agent-card.json"),
        ] {
            let path = format!("/a2a/agents/{id}{below}");
            let (status, body) = listed.asks(&a.id, method, &path, "{}").await;
            assert!(status >= 400, "{path}: {body}");
            answers.push((below, status, same(&body, id)));
        }
    }
    let (never, others) = answers.split_at(4);
    for (n, answer) in others.iter().enumerate() {
        assert_eq!(*answer, never[n % 4], "the answers differ by the id alone");
    }
    for (caller, why) in [(&denied, "denies agent"), (&unlisted, "takes no calls")] {
        let path = format!("{ECHO}/message:send");
        let (status, body) = caller.asks(&a.id, Method::POST, &path, "{}").await;
        assert_eq!(status, 403, "{body}");
        assert!(body.contains(why), "{body}");
        assert!(body.contains(&caller.node.key().to_string()), "{body}");
    }
    let knocked = a.node.report().knocks;
    assert!(
        knocked
            .iter()
            .any(|knock| knock.peer_id == unlisted.node.key())
    );
    // Before a byte of the body is there.
    let mut stream = unlisted.opens(&a.id).await.unwrap();
    let head = format!("POST {ECHO} HTTP/1.1\r\nhost: mesh\r\ncontent-length: 1000000\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    let head = patient("the refusal", stream.read_exact(&mut answer));
    head.await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 403");
    a.leave(&mesh).await;
}

/// An answer as it is whatever the id; the order of keys in it says nothing.
fn same(body: &str, id: &str) -> serde_json::Value {
    let body = body.replace(id, "ID");
    serde_json::from_str(&body).unwrap_or(serde_json::Value::String(body))
}

/// The one task at `peer`.
async fn only_task(peer: &Peer) -> Option<Task> {
    let all = mesh_agents_tasks::ListTasks {
        limit: 10,
        ..Default::default()
    };
    let page = peer.engine.list(&Caller::local(), all).await.unwrap();
    page.tasks.into_iter().next().map(|(task, _)| task)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_neither_sees_nor_ends_the_task_of_another() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![]).await;
    let thief = Bare::idle(&mesh, 3);
    let list = allow(b.node.key(), "*") + &allow(thief.node.key(), "*");
    write_list(a.dir.path(), &list);
    until(async || a.node.state().acl.acl().peer(&thief.node.key()).is_some()).await;
    let echo = b.sees("echo", &a).await;
    b.send(&echo, "hang").await;
    let working = async || {
        only_task(&a)
            .await
            .is_some_and(|task| task.state == TaskState::Working)
    };
    until(working).await;
    let task = only_task(&a).await.unwrap();
    let own = Principal::Key(b.node.key().to_string());
    assert_eq!(task.principal, own);

    let other = mesh_agents_core::ids::TaskId::from_ulid(Ulid::new());
    let said = |id: &str, context: &str| {
        format!(
            r#"{{"message":{{"messageId":"m-{id}","role":"ROLE_USER","parts":[{{"text":"x"}}],"taskId":"{id}"{context}}}}}"#
        )
    };
    for below in ["", ":cancel", ":subscribe", "/pushNotificationConfigs"] {
        let method = match below {
            ":cancel" => Method::POST,
            _ => Method::GET,
        };
        let ask = async |id: &str| {
            let path = format!("{ECHO}/tasks/{id}{below}");
            let (status, body) = thief.asks(&a.id, method.clone(), &path, "").await;
            (status, same(&body, id))
        };
        let (stolen, invented) = (ask(task.id.as_str()).await, ask(other.as_str()).await);
        assert!(stolen.0 >= 400, "{below}: {stolen:?}");
        assert_eq!(stolen, invented, "{below}");
    }
    let context = format!(r#","contextId":"{}""#, task.context_id);
    for (id, context) in [
        (task.id.as_str(), ""),
        (task.id.as_str(), context.as_str()),
        (other.as_str(), ""),
    ] {
        let path = format!("{ECHO}/message:send");
        let sent = thief
            .asks(&a.id, Method::POST, &path, &said(id, context))
            .await;
        assert_eq!(sent.0, 404, "{sent:?}");
    }
    let rpc = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"CancelTask","params":{{"id":"{}"}}}}"#,
        task.id
    );
    let (_, body) = thief.asks(&a.id, Method::POST, ECHO, &rpc).await;
    assert!(body.contains("-32001"), "{body}");
    let (_, tasks) = thief.gets(&a.id, &format!("{ECHO}/tasks")).await;
    assert!(!tasks.contains(task.id.as_str()), "{tasks}");
    assert_eq!(only_task(&a).await.unwrap().state, TaskState::Working);
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_an_owner_s_never_reaches_another_node() {
    let mesh = MemoryMesh::default();
    let canary = || CANARY.to_owned();
    let mut agent = offered("echo");
    agent.dir = PathBuf::from("/home").join(CANARY);
    agent.runtime.command = Some(canary());
    agent.runtime.args = Some(vec![canary()]);
    agent.runtime.model = canary();
    agent.runtime.inherit_env = vec![canary()];
    agent.runtime.env = vec![(canary(), canary())];
    agent.instructions.text = canary();
    agent.bearer_env = Some(canary());
    let mut private = definition("private");
    private.card.name = canary();
    let a = Peer::join(&mesh, 1, vec![agent, private]).await;
    let b = Peer::join(&mesh, 2, vec![]).await;
    let caller = Bare::idle(&mesh, 3);
    let list = allow(b.node.key(), "*") + &allow(caller.node.key(), "*");
    write_list(a.dir.path(), &list);
    until(async || a.node.state().acl.acl().peer(&caller.node.key()).is_some()).await;
    let echo = b.sees("echo", &a).await;

    let mut seen = vec![caller.gets(&a.id, ADVERT).await.1];
    let digest = a.node.state().bulletin.agents()[0].card_digest;
    seen.push(caller.gets(&a.id, &format!("{CARDS}{digest}")).await.1);
    let body = r#"{"message":{"messageId":"m","role":"ROLE_USER","parts":[{"text":"fail"}]}}"#;
    for path in ["echo/message:send", "echo/message:stream"] {
        let path = format!("/a2a/agents/{path}");
        let body = body.replace("\"m\"", &format!("\"{path}\""));
        let told = caller.asks(&a.id, Method::POST, &path, &body).await.1;
        seen.push(told);
    }
    for path in [
        "echo/tasks?historyLength=10&includeArtifacts=true",
        "echo/tasks/x",
        "private",
        "private/message:send",
        "echo/.well-known/agent-card.json",
        "echo/extendedAgentCard",
    ] {
        let path = format!("/a2a/agents/{path}");
        seen.push(caller.gets(&a.id, &path).await.1);
        seen.push(caller.asks(&a.id, Method::POST, &path, "{").await.1);
    }
    let failed = b.ended(&b.send(&echo, "fail").await).await;
    seen.push(format!("{failed:?}"));
    seen.push(format!("{:?}", b.engine.agents().get(&echo)));
    let all = seen.join("\n");
    assert!(all.contains("harness_not_found"), "{all}");
    assert!(!all.contains(CANARY), "{all}");
    // Its owner sees it.
    until(async || {
        only_task(&a)
            .await
            .is_some_and(|task| task.state.is_terminal())
    })
    .await;
    let at_home = only_task(&a).await.unwrap();
    assert!(at_home.failure.unwrap().told().contains(CANARY));
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_list_keeps_the_last_good_one_and_shows_its_line() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![]).await;
    a.allow(b.node.key(), "*").await;
    let echo = b.sees("echo", &a).await;
    write_list(a.dir.path(), "[everyone]\nallow = [\n");
    until(async || a.node.report().problem.is_some()).await;
    let problem = a.node.report().problem.unwrap();
    assert!(problem.contains("acl.toml:2"), "{problem}");
    assert!(problem.contains("stays in force"), "{problem}");
    let done = b.ended(&b.send(&echo, "hello").await).await;
    assert_eq!(done.state, TaskState::Completed, "{:?}", done.failure);
    write_list(a.dir.path(), "");
    until(async || a.node.report().problem.is_none()).await;
    let refused = b.ended(&b.send(&echo, "hello").await).await;
    assert_eq!(refused.state, TaskState::Failed);
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}
