//! Hostile owners: what they answer to whoever asks or calls them.

use axum::body::Body;
use axum::extract::Path as Below;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::routing::get;
use mesh_agents_core::limits::{CARD_BYTES, EVENT_BYTES_PER_TASK};
use mesh_agents_mesh::{ADVERT_BYTES, Known};

use super::*;
use crate::mesh_node::serve::ADVERT;

/// One that looks for others, and that an honest owner shows it is well.
async fn watching(mesh: &MemoryMesh) -> (Bare, Bare) {
    let honest = Bare::owner(mesh, 9).await;
    let victim = Bare::owner(mesh, 1).await;
    until(async || victim.knows(honest.node.key()) == ["echo"]).await;
    (victim, honest)
}

/// The honest owner is still heard.
async fn hears(victim: &Bare, honest: &Bare) {
    let agents = ["echo", "new"].map(offered);
    honest.node.set_local(agents_of(agents.into()));
    until(async || victim.knows(honest.node.key()) == ["echo", "new"]).await;
}

/// Publishes `echo` as an owner that tells the truth, and what it would answer.
fn truth(owner: &Bare) -> (Vec<u8>, Vec<u8>) {
    let agents = [offered("echo")];
    let mut state = owner.node.state();
    let secret = &owner.node.0.config.secret;
    let standing = mesh_agents_mesh::Standing {
        mesh_id: Some("memory".into()),
        mesh_peer_id: owner.id.clone(),
        name: "evil".into(),
        mesh: mesh_agents_mesh::MeshVisibility::Private,
        machine: PlatformConfinement::default(),
    };
    let now = Wall.now();
    state.bulletin.publish(&standing, &agents, secret, now);
    let advert = state.bulletin.answer(Known::default(), secret, now);
    let digest = state.bulletin.agents()[0].card_digest;
    let card = state.bulletin.card(digest).unwrap();
    (
        advert.unwrap().unwrap(),
        card.json().as_str().as_bytes().to_vec(),
    )
}

#[tokio::test(start_paused = true)]
async fn an_advert_without_end_is_read_to_its_limit() {
    let mesh = MemoryMesh::default();
    let (victim, honest) = watching(&mesh).await;
    let (asked, taken) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let (counted, sum) = (Arc::clone(&asked), Arc::clone(&taken));
    let endless_advert = get(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        let (body, pieces) = endless();
        let sum = Arc::clone(&sum);
        let summed = body.into_data_stream().inspect(move |_| {
            sum.fetch_max(pieces.load(Ordering::Relaxed), Ordering::Relaxed);
        });
        async { Body::from_stream(summed) }
    });
    let evil = Bare::idle(&mesh, 2)
        .answers(Router::new().route(ADVERT, endless_advert))
        .await;
    soon(async || asked.load(Ordering::Relaxed) > 1).await;
    assert!(victim.knows(evil.node.key()).is_empty());
    // What the sockets and hyper hold on the way comes on top.
    let most = ADVERT_BYTES / PIECE + 16;
    assert!(taken.load(Ordering::Relaxed) <= most, "{taken:?} pieces");
    hears(&victim, &honest).await;
    for node in [evil, victim, honest] {
        node.leave(&mesh).await;
    }
}

#[tokio::test(start_paused = true)]
async fn an_owner_that_says_nothing_or_drips_is_given_up() {
    let mesh = MemoryMesh::default();
    let (victim, honest) = watching(&mesh).await;
    let (asked, dripped) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
    let count = Arc::clone(&asked);
    let silent = get(move || {
        count.fetch_add(1, Ordering::Relaxed);
        std::future::pending::<StatusCode>()
    });
    let count = Arc::clone(&dripped);
    let dripping = get(move || {
        count.fetch_add(1, Ordering::Relaxed);
        let pieces = futures::stream::unfold((), |()| async {
            tokio::time::sleep(Duration::from_millis(500)).await;
            Some((Ok::<_, io::Error>(Bytes::from_static(b" ")), ()))
        });
        async { Body::from_stream(pieces) }
    });
    // Neither of these greets: one is deaf and mute, the other says half a line.
    let (mute, half) = (Bare::idle(&mesh, 4), Bare::idle(&mesh, 5));
    let (mut unheard, mut answered) = (mute.node.link().incoming(), half.node.link().incoming());
    let evil = [
        Bare::idle(&mesh, 2)
            .answers(Router::new().route(ADVERT, silent))
            .await,
        Bare::idle(&mesh, 3)
            .answers(Router::new().route(ADVERT, dripping))
            .await,
    ];
    let mute_and_half = async {
        let (one, two) = tokio::join!(unheard.recv(), answered.recv());
        let (mut unheard, mut answered) = (one.unwrap().stream, two.unwrap().stream);
        let begun = Instant::now();
        answered.write_all(b"{\"kind\":").await.unwrap();
        let (one, two) = tokio::join!(rest(&mut unheard), rest(&mut answered));
        assert!(one.contains("hello") && two.contains("hello"), "and closed");
        assert!(begun.elapsed().as_secs() <= 11, "{:?}", begun.elapsed());
    };
    let given_up = async |asked: &AtomicUsize| {
        // Both honest nodes ask.
        soon(async || asked.load(Ordering::Relaxed) >= 2).await;
        let begun = Instant::now();
        // It is asked again soon after it was given up.
        soon(async || asked.load(Ordering::Relaxed) >= 4).await;
        assert!(begun.elapsed().as_secs() <= 25, "{:?}", begun.elapsed());
    };
    let silent_and_dripping = async { tokio::join!(given_up(&asked), given_up(&dripped)) };
    let all = async { tokio::join!(mute_and_half, silent_and_dripping) };
    patient("all of them to be given up", all).await;
    for node in &evil {
        assert!(victim.knows(node.node.key()).is_empty());
    }
    hears(&victim, &honest).await;
    for node in evil {
        node.leave(&mesh).await;
    }
    victim.leave(&mesh).await;
    honest.leave(&mesh).await;
}

/// An owner with a true advert and this in place of its card.
async fn with_card(
    mesh: &MemoryMesh,
    number: u8,
    card: impl Fn(Vec<u8>) -> Body + Clone + Send + Sync + 'static,
) -> Bare {
    let evil = Bare::idle(mesh, number);
    let (advert, true_card) = truth(&evil);
    let json = [(header::CONTENT_TYPE, "application/json")];
    let told = get(move |_: Below<String>| async move { card(true_card) });
    let app = Router::new()
        .route(ADVERT, get(move || async move { (json, advert) }))
        .route("/mesh/v1/cards/{digest}", told);
    evil.answers(app).await
}

#[tokio::test(start_paused = true)]
async fn a_card_that_is_tampered_with_too_large_or_without_end_is_no_agent() {
    let mesh = MemoryMesh::default();
    let (victim, honest) = watching(&mesh).await;
    let evil = [
        with_card(&mesh, 2, |mut card| {
            let at = card.len() / 2;
            card[at] ^= 1;
            Body::from(card)
        })
        .await,
        with_card(&mesh, 3, |mut card| {
            // JSON as before, and a byte more than a card may have.
            card.resize(CARD_BYTES + 1, b' ');
            Body::from(card)
        })
        .await,
        with_card(&mesh, 4, |_| endless().0).await,
        with_card(&mesh, 5, |_| Body::empty()).await,
    ];
    let true_one = with_card(&mesh, 6, Body::from).await;
    let name: AgentId = "echo".parse().unwrap();
    let of = |bare: &Bare| AgentId::on_node(&name, &bare.node.key().to_string()).unwrap();
    soon(async || victim.node.state().cards.contains_key(&of(&true_one))).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    for node in &evil {
        assert!(!victim.node.state().cards.contains_key(&of(node)));
    }
    hears(&victim, &honest).await;
    for node in evil.into_iter().chain([true_one, victim, honest]) {
        node.leave(&mesh).await;
    }
}

/// An owner that lets everybody in and answers every call alike.
async fn calls(
    mesh: &MemoryMesh,
    answer: impl Fn() -> Response<Body> + Clone + Send + Sync + 'static,
) -> Bare {
    let a2a = Router::new().fallback(move || {
        let answer = answer();
        async move { answer }
    });
    Bare::idle(mesh, 2).begin(EVERYBODY, a2a).await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_or_an_event_without_end_fails_the_task_by_its_name() {
    for kind in ["text/event-stream", "application/json"] {
        let mesh = MemoryMesh::default();
        let evil = calls(&mesh, move || {
            let (body, _) = endless();
            let begun = futures::stream::iter([Ok(Bytes::from_static(b"data: "))]);
            let body = Body::from_stream(begun.chain(body.into_data_stream()));
            ([(header::CONTENT_TYPE, kind)], body).into_response()
        })
        .await;
        let victim = Peer::join(&mesh, 1, vec![offered("mine")]).await;
        let name: AgentId = "echo".parse().unwrap();
        let echo = AgentId::on_node(&name, &evil.node.key().to_string()).unwrap();
        until(async || victim.engine.agents().contains_key(&echo)).await;
        let ended = victim.ended(&victim.send(&echo, "hello").await).await;
        assert_eq!(ended.state, TaskState::Failed, "{kind}");
        let failure = ended.failure.unwrap();
        assert_eq!(failure.code, "remote_answer_too_large", "{failure:?}");
        // The engine goes on with its own.
        let mine = victim.send(&"mine".parse().unwrap(), "hello").await;
        assert_eq!(victim.ended(&mine).await.state, TaskState::Completed);
        victim.leave(&mesh).await;
        evil.leave(&mesh).await;
    }
}

/// What an owner says of a task that is at work, in an answer to the request `id`.
fn told(id: &Value, result: &Value) -> String {
    json!({"jsonrpc": "2.0", "id": id, "result": result}).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_streams_text_without_end_fails_the_task_and_takes_a_bounded_place() {
    /// Of each event.
    const TEXT: usize = 512 * 1024;
    let mesh = MemoryMesh::default();
    let pieces = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&pieces);
    let a2a = Router::new().fallback(move |body: Bytes| {
        let counted = Arc::clone(&counted);
        let asked: Value = serde_json::from_slice(&body).unwrap();
        let (id, ends) = (asked["id"].clone(), asked["method"] == "CancelTask");
        let state = if ends { "TASK_STATE_CANCELED" } else { "TASK_STATE_WORKING" };
        let task = json!({"id": "t", "contextId": "c", "status": {"state": state}});
        async move {
            if ends {
                let json = [(header::CONTENT_TYPE, "application/json")];
                return (json, told(&id, &task)).into_response();
            }
            let more = told(
                &id,
                &json!({"artifactUpdate": {"taskId": "t", "contextId": "c", "append": true,
                    "artifact": {"artifactId": "response", "parts": [{"text": "x".repeat(TEXT)}]}}}),
            );
            let more = Bytes::from(format!("data: {more}\n\n"));
            let first = format!("data: {}\n\n", told(&id, &json!({"task": task})));
            let endless = futures::stream::repeat_with(move || {
                counted.fetch_add(1, Ordering::Relaxed);
                Ok::<_, io::Error>(more.clone())
            });
            let first = futures::stream::iter([Ok(Bytes::from(first))]);
            let events = [(header::CONTENT_TYPE, "text/event-stream")];
            (events, Body::from_stream(first.chain(endless))).into_response()
        }
    });
    let evil = Bare::idle(&mesh, 2).begin(EVERYBODY, a2a).await;
    let victim = Peer::join(&mesh, 1, vec![offered("mine")]).await;
    let name: AgentId = "echo".parse().unwrap();
    let echo = AgentId::on_node(&name, &evil.node.key().to_string()).unwrap();
    until(async || victim.engine.agents().contains_key(&echo)).await;
    let task = victim.send(&echo, "hello").await;
    let over = async || victim.ended(&task).await.state.is_terminal();
    patient("the end of the task", async { while !over().await {} }).await;
    let failure = victim.ended(&task).await.failure.unwrap();
    assert_eq!(failure.code, "too_much_output", "{failure:?}");
    // The log takes 64 MiB; a little is on its way when it is full.
    let most = usize::try_from(EVENT_BYTES_PER_TASK).unwrap() + 16 * 1024 * 1024;
    let taken = pieces.load(Ordering::Relaxed) * TEXT;
    assert!(taken <= most, "{taken} bytes were taken");
    let on_disk = bytes_below(victim.dir.path());
    assert!(
        on_disk <= 4 * EVENT_BYTES_PER_TASK,
        "{on_disk} bytes on disk"
    );
    // The engine goes on with its own.
    let mine = victim.send(&"mine".parse().unwrap(), "hello").await;
    assert_eq!(victim.ended(&mine).await.state, TaskState::Completed);
    victim.leave(&mesh).await;
    evil.leave(&mesh).await;
}

/// The size of all files below.
fn bytes_below(dir: &Path) -> u64 {
    let entries = std::fs::read_dir(dir).unwrap().map(Result::unwrap);
    entries
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => bytes_below(&entry.path()),
            Ok(found) => found.len(),
            // It was removed meanwhile.
            Err(_) => 0,
        })
        .sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_at_an_owner_that_says_nothing_can_be_canceled() {
    let mesh = MemoryMesh::default();
    let asked = Arc::<AtomicUsize>::default();
    let counted = Arc::clone(&asked);
    let a2a = Router::new().fallback(move || {
        counted.fetch_add(1, Ordering::Relaxed);
        std::future::pending::<StatusCode>()
    });
    let evil = Bare::idle(&mesh, 2).begin(EVERYBODY, a2a).await;
    let victim = Peer::join(&mesh, 1, vec![]).await;
    let name: AgentId = "echo".parse().unwrap();
    let echo = AgentId::on_node(&name, &evil.node.key().to_string()).unwrap();
    until(async || victim.engine.agents().contains_key(&echo)).await;
    let task = victim.send(&echo, "hello").await;
    until(async || asked.load(Ordering::Relaxed) == 1).await;
    victim
        .engine
        .cancel(&Caller::local(), &task.id)
        .await
        .unwrap();
    assert_eq!(victim.ended(&task).await.state, TaskState::Canceled);
    victim.leave(&mesh).await;
    evil.leave(&mesh).await;
}
