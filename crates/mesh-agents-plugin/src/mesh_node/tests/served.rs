//! An agent of another node, used by a plain A2A client of this one.

use a2a::{SendMessageResponse, Task as A2aTask, TaskState as A2aState};
use a2a_client::agent_card::AgentCardResolver;
use a2a_client::jsonrpc::JsonRpcTransportFactory;
use a2a_client::rest::RestTransportFactory;
use a2a_client::{A2AClient, A2AClientFactory, Transport};
use axum::Extension;
use mesh_agents_a2a::card::Seal;
use mesh_agents_a2a::http::plain_client;
use mesh_agents_mesh::sign_http_card;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::*;

type Client = A2AClient<Box<dyn Transport>>;

/// Serves the agents a node knows to the people of its machine.
pub(super) async fn serve(node: &Peer) -> (String, JoinSet<()>) {
    serve_to(node, Caller::local(), None).await
}

/// Serves them to `caller`, signed with `seal`.
async fn serve_to(node: &Peer, caller: Caller, seal: Option<Seal>) -> (String, JoinSet<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let server = A2aServer {
        engine: node.engine.clone(),
        place: Served {
            seal,
            ..place(&base)
        },
        end: CancellationToken::new(),
    };
    let app = mesh_agents_a2a::router::router(server).layer(Extension(caller));
    // Ends with the test.
    let mut serving = JoinSet::new();
    serving.spawn(async move { axum::serve(listener, app).await.unwrap() });
    (base, serving)
}

async fn client(url: &str, binding: &str) -> Client {
    let http = || Some(plain_client().unwrap());
    let card = AgentCardResolver::new(http()).resolve(url).await.unwrap();
    let addresses = card.supported_interfaces.iter();
    let addresses: Vec<_> = addresses
        .map(|one| (one.url.as_str(), one.protocol_binding.as_str()))
        .collect();
    assert_eq!(addresses, [(url, "JSONRPC"), (url, "HTTP+JSON")]);
    assert!(
        card.signatures.is_none(),
        "the node's signature is of another card"
    );
    let factory = A2AClientFactory::builder().no_defaults();
    let factory = match binding {
        "JSONRPC" => factory.register(Arc::new(JsonRpcTransportFactory::new(http()))),
        _ => factory.register(Arc::new(RestTransportFactory::new(http()))),
    };
    factory.build().create_from_card(&card).await.unwrap()
}

fn of<T: DeserializeOwned>(document: Value) -> T {
    serde_json::from_value(document).unwrap()
}

fn message(text: &str) -> Value {
    json!({ "message": {
        "messageId": Ulid::new().to_string(), "role": "ROLE_USER", "parts": [{ "text": text }],
    }})
}

fn task(answer: SendMessageResponse) -> A2aTask {
    match answer {
        SendMessageResponse::Task(task) => task,
        other => panic!("the answer is a task; saw {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_client_uses_an_agent_of_another_node() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![]).await;
    a.allow(b.node.key(), "echo").await;
    let echo = b.sees("echo", &a).await;
    let (base, serving) = serve(&b).await;
    let url = format!("{base}/a2a/peers/{}/agents/echo", a.node.key());
    let shown = b.call(Caller::local(), "get_agent", json!({ "agent_id": "echo" }));
    let shown = shown.await.unwrap();
    let path = |url: &str| url.splitn(4, '/').nth(3).unwrap().to_owned();
    let card_url = shown["card_url"].as_str().unwrap();
    assert_eq!(
        path(card_url),
        path(&format!("{url}/.well-known/agent-card.json"))
    );

    for binding in ["JSONRPC", "HTTP+JSON"] {
        let client = client(&url, binding).await;
        let done = task(client.send_message(&of(message("hello"))).await.unwrap());
        assert_eq!(
            done.status.state,
            A2aState::Completed,
            "{binding}: {done:?}"
        );
        let artifacts = serde_json::to_string(&done.artifacts).unwrap();
        assert!(artifacts.contains("echo: hello"), "{binding}: {artifacts}");
        // It is a task of this node like any other.
        let id = done.id.parse().unwrap();
        let kept = b.engine.task(&Caller::local(), &id).await.unwrap();
        assert_eq!(kept.agent_id, echo);

        let mut at_once = message("hang");
        at_once["configuration"] = json!({ "returnImmediately": true });
        let begun = task(client.send_message(&of(at_once)).await.unwrap());
        let id = json!({ "id": begun.id });
        until(async || {
            let seen = client.get_task(&of(id.clone())).await.unwrap();
            seen.status.state == A2aState::Working
        })
        .await;
        let mut news = client.subscribe_to_task(&of(id.clone())).await.unwrap();
        assert!(news.next().await.unwrap().is_ok(), "{binding}");
        client.cancel_task(&of(id.clone())).await.unwrap();
        // A cancel does not wait for ever.
        until(async || {
            let seen = client.get_task(&of(id.clone())).await.unwrap();
            seen.status.state == A2aState::Canceled
        })
        .await;
    }
    drop(serving);
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_node_has_is_no_address() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![definition("mine")]).await;
    b.sees("echo", &a).await;
    let (base, serving) = serve(&b).await;
    let (theirs, ours) = (a.node.key(), b.node.key());
    let stranger = NodeSecret::from_seed(&[9; 32]).key();
    let http = plain_client().unwrap();
    for below in [
        format!("peers/{theirs}/agents/nope"),
        format!("peers/{stranger}/agents/echo"),
        format!("peers/{ours}/agents/mine"),
        "peers/did:key:z6Mk/agents/echo".to_owned(),
        "peers/bob/agents/echo".to_owned(),
        // One address for each agent.
        format!(
            "agents/{}",
            AgentId::on_node(&"echo".parse().unwrap(), &theirs.to_string()).unwrap()
        ),
    ] {
        let url = format!("{base}/a2a/{below}");
        let call =
            json!({ "jsonrpc": "2.0", "id": 1, "method": "GetTask", "params": { "id": "x" } });
        let answer = http.post(&url).body(call.to_string()).send().await.unwrap();
        assert_eq!(answer.status(), 404, "{below}");
        let body: Value = serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap();
        assert_eq!(body["error"]["status"], "NOT_FOUND", "{below}: {body}");
        let card = format!("{url}/.well-known/agent-card.json");
        assert_eq!(
            http.get(&card).send().await.unwrap().status(),
            404,
            "{below}"
        );
    }
    drop(serving);
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}

/// The text at a URL.
async fn text(url: &str) -> String {
    let answer = plain_client().unwrap().get(url).send().await.unwrap();
    assert!(answer.status().is_success(), "{url}");
    answer.text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn cards_of_both_kinds_are_signed_by_this_node_alike_each_time_and_its_key_is_listed() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![offered("own")]).await;
    b.sees("echo", &a).await;
    let (base, serving) = serve_to(&b, Caller::local(), Some(b.node.seal())).await;
    let keys: Value =
        serde_json::from_str(&text(&format!("{base}/.well-known/jwks.json")).await).unwrap();
    let secret = NodeSecret::from_seed(&[2; 32]);
    let kid = keys["keys"][0]["kid"].as_str().unwrap();
    assert!(kid.starts_with(&b.node.key().to_string()), "{kid}");
    for agent in [
        format!("peers/{}/agents/echo", a.node.key()),
        "agents/own".to_owned(),
    ] {
        let url = format!("{base}/a2a/{agent}/.well-known/agent-card.json");
        let first = text(&url).await;
        assert_eq!(text(&url).await, first);
        let card: Value = serde_json::from_str(&first).unwrap();
        // One signature: all read these cards alike.
        assert_eq!(card["signatures"].as_array().unwrap().len(), 1, "{card}");
        let wanted = sign_http_card(&secret, b"", &format!("{base}/.well-known/jwks.json"));
        assert_eq!(
            card["signatures"][0]["protected"], wanted.protected,
            "{agent}"
        );
    }
    drop(serving);
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn agents_of_other_nodes_are_served_to_tokens_the_owner_named_and_to_no_others() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![]).await;
    a.allow(b.node.key(), "echo").await;
    b.sees("echo", &a).await;
    b.engine.set_mesh_tokens(["trusted".to_owned()].into());
    let path = format!("a2a/peers/{}/agents/echo", a.node.key());
    let http = plain_client().unwrap();
    for (name, card, sent) in [("trusted", 200, 200), ("ci", 404, 403)] {
        let (base, serving) = serve_to(&b, Caller::token(name), None).await;
        let url = format!("{base}/{path}");
        let read = http
            .get(format!("{url}/.well-known/agent-card.json"))
            .send();
        assert_eq!(read.await.unwrap().status(), card, "{name}");
        let call = http
            .post(format!("{url}/message:send"))
            .header("A2A-Version", "1.0")
            .header("content-type", "application/json")
            .body(message("hello").to_string());
        let answer = call.send().await.unwrap();
        assert_eq!(answer.status(), sent, "{name}");
        let body = answer.text().await.unwrap();
        assert_eq!(body.contains("mesh_tokens"), name == "ci", "{body}");
        assert_eq!(body.contains("echo: hello"), name == "trusted", "{body}");
        drop(serving);
    }
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plain_client_may_have_a_message_wait_for_a_node_that_is_away() {
    let mesh = MemoryMesh::default();
    let a = Peer::join(&mesh, 1, vec![offered("echo")]).await;
    let b = Peer::join(&mesh, 2, vec![]).await;
    a.allow(b.node.key(), "echo").await;
    let echo = b.sees("echo", &a).await;
    let (base, serving) = serve(&b).await;
    let url = format!("{base}/a2a/peers/{}/agents/echo", a.node.key());
    let uri = mesh_agents_core::policy::QUEUE_EXTENSION;
    let card = text(&format!("{url}/.well-known/agent-card.json")).await;
    assert!(card.contains(&format!("{{\"uri\":\"{uri}\"")), "{card}");
    let dir = a.leave(&mesh).await;
    until(async || {
        let agents = b.engine.agents();
        b.engine.unavailable(agents.get(&echo).unwrap()).is_some()
    })
    .await;
    let send = async |within: Option<&str>, wish: Value| {
        let mut body = message("hello");
        body["configuration"] = json!({ "returnImmediately": true });
        match within {
            Some("message") => body["message"]["metadata"] = json!({ uri: wish }),
            Some(_) => body["metadata"] = json!({ uri: wish }),
            None => {}
        }
        let call = plain_client().unwrap().post(format!("{url}/message:send"));
        let call = call
            .header("A2A-Version", "1.0")
            .header("A2A-Extensions", uri);
        let call = call.header("content-type", "application/json");
        let answer = call.body(body.to_string()).send().await.unwrap();
        let active = answer.headers().get("A2A-Extensions").cloned();
        assert_eq!(active.unwrap(), uri);
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    for (within, wish) in [(None, json!(true)), (Some("message"), json!(false))] {
        let (status, body) = send(within, wish).await;
        assert_eq!(status, 503, "{body}");
        assert!(body.contains(uri), "{body}");
    }
    let (status, body) = send(Some("message"), json!("yes")).await;
    assert_eq!(status, 400, "{body}");
    let mut waiting = Vec::new();
    for within in ["message", "request"] {
        let (status, body) = send(Some(within), json!(true)).await;
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(answer["task"]["status"]["state"], "TASK_STATE_SUBMITTED");
        waiting.push(answer["task"]["id"].as_str().unwrap().parse().unwrap());
    }
    let a = Peer::join_as(&mesh, 1, peer_id(1), vec![offered("echo")], dir).await;
    for id in waiting {
        until(async || {
            let task = b.engine.task(&Caller::local(), &id).await.unwrap();
            task.state == TaskState::Completed
        })
        .await;
    }
    drop(serving);
    b.leave(&mesh).await;
    a.leave(&mesh).await;
}
