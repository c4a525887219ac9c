//! Owners with ever new agents: what is kept of them is what the directory took, and no more.

use std::collections::BTreeMap;

use axum::extract::Path as Below;
use axum::response::IntoResponse;
use axum::routing::get;
use mesh_agents_mesh::{Known, SEQUENCE_MAX, write_hint};
use mesh_agents_tasks::Fact;

use super::*;
use crate::mesh_node::serve::ADVERT;

/// What an owner answers, and how many cards it was asked for.
#[derive(Debug, Default)]
struct Says {
    advert: Vec<u8>,
    cards: BTreeMap<String, Vec<u8>>,
    asked: usize,
    /// The card it falls silent at, counted as `asked`.
    silent_at: Option<usize>,
}

/// The advert with these agents that `owner` made at that time, its cards added to those it has.
fn publish(owner: &Bare, says: &Mutex<Says>, names: &[&str], at: UnixMillis) {
    let agents: Vec<_> = names.iter().map(|name| offered(name)).collect();
    let standing = mesh_agents_mesh::Standing {
        mesh_id: Some("memory".into()),
        mesh_peer_id: owner.id.clone(),
        name: "evil".into(),
        mesh: mesh_agents_mesh::MeshVisibility::Private,
        machine: PlatformConfinement::default(),
    };
    let secret = &owner.node.0.config.secret;
    let mut bulletin = Bulletin::new(0);
    bulletin.publish(&standing, &agents, secret, at);
    let advert = bulletin.answer(Known::default(), secret, Wall.now());
    let mut says = says.lock().unwrap();
    says.advert = advert.unwrap().unwrap();
    for agent in bulletin.agents() {
        let card = bulletin.card(agent.card_digest).unwrap();
        let card = card.json().as_str().as_bytes().to_vec();
        says.cards.insert(agent.card_digest.to_string(), card);
    }
}

fn app(says: &Arc<Mutex<Says>>) -> Router {
    let (adverts, cards) = (Arc::clone(says), Arc::clone(says));
    let advert = move || async move { adverts.lock().unwrap().advert.clone() };
    let card = move |Below(digest): Below<String>| async move {
        let (card, silent) = {
            let mut says = cards.lock().unwrap();
            says.asked += 1;
            let silent = says.silent_at == Some(says.asked);
            (says.cards.get(&digest).cloned(), silent)
        };
        if silent {
            std::future::pending::<()>().await;
        }
        card.map_or_else(
            || StatusCode::NOT_FOUND.into_response(),
            IntoResponse::into_response,
        )
    };
    Router::new()
        .route(ADVERT, get(advert))
        .route("/mesh/v1/cards/{digest}", get(card))
}

#[tokio::test(start_paused = true)]
async fn an_advert_that_is_refused_leaves_no_card_behind() {
    let mesh = MemoryMesh::default();
    let victim = Bare::owner(&mesh, 1).await;
    let evil = Bare::idle(&mesh, 2);
    let says = Arc::<Mutex<Says>>::default();
    let now = Wall.now();
    publish(&evil, &says, &["true"], UnixMillis(now.0 + 1_000));
    let evil = evil.answers(app(&says)).await;
    soon(async || victim.knows(evil.node.key()) == ["true"]).await;
    assert_eq!(victim.node.state().cards.len(), 1);

    // An older one with other agents, whose cards are true ones.
    publish(&evil, &says, &["a", "b", "c", "d"], now);
    evil.node.link().hint(&write_hint(SEQUENCE_MAX));
    soon(async || says.lock().unwrap().asked >= 5).await;
    tokio::time::sleep(Duration::from_secs(120)).await;
    assert_eq!(victim.knows(evil.node.key()), ["true"]);
    assert_eq!(victim.node.state().cards.len(), 1);
    // Nor is it fetched again each time it is refused.
    assert_eq!(says.lock().unwrap().asked, 5);
    evil.leave(&mesh).await;
    victim.leave(&mesh).await;
}

#[tokio::test(start_paused = true)]
async fn a_pull_goes_on_with_the_cards_of_one_that_broke_off() {
    let mesh = MemoryMesh::default();
    let victim = Bare::owner(&mesh, 1).await;
    let slow = Bare::idle(&mesh, 2);
    let says = Arc::<Mutex<Says>>::default();
    let names = ["a", "b", "c", "d", "e"];
    publish(&slow, &says, &names, Wall.now());
    says.lock().unwrap().silent_at = Some(4);
    let slow = slow.answers(app(&says)).await;
    soon(async || says.lock().unwrap().asked == 4).await;
    assert!(victim.knows(slow.node.key()).is_empty());
    assert!(victim.node.state().cards.is_empty(), "not in use yet");
    // It is given up, and the next asks for the card that did not come and the one behind it.
    soon(async || victim.knows(slow.node.key()) == names).await;
    assert_eq!(says.lock().unwrap().asked, 4 + 2);
    assert_eq!(victim.node.state().cards.len(), names.len());
    slow.leave(&mesh).await;
    victim.leave(&mesh).await;
}

async fn kept(peer: &Peer) -> Vec<String> {
    let kept = peer.engine.facts(FactKind::Card).await.unwrap();
    kept.into_iter().map(|(id, _)| id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_node_with_ever_new_agents_those_of_now_are_kept_and_no_others() {
    let mesh = MemoryMesh::default();
    let evil = Bare::owner(&mesh, 2).await;
    let victim = Peer::join(&mesh, 1, vec![]).await;
    let name = |agent: &str| {
        let did = evil.node.key().to_string();
        let id = AgentId::on_node(&agent.parse().unwrap(), &did).unwrap();
        id.to_string()
    };
    for n in 0..4 {
        let agents: Vec<_> = (0..10).map(|m| offered(&format!("a{n}-{m}"))).collect();
        let mut names: Vec<_> = agents.iter().map(|one| name(one.id.as_str())).collect();
        names.sort_unstable();
        evil.node.set_local(agents_of(agents));
        until(async || kept(&victim).await == names).await;
        assert_eq!(victim.node.state().cards.len(), 10);
    }

    // What an earlier version left behind goes at the next start, unread.
    let before = kept(&victim).await;
    let orphan = Fact {
        kind: FactKind::Card,
        id: name("orphan"),
        body: Some("{}".to_owned()),
    };
    victim.engine.keep_facts(vec![orphan]).await.unwrap();
    let (id, dir) = (victim.id.clone(), victim.stop().await);
    let victim = Peer::join_as(&mesh, 1, id, vec![], dir).await;
    assert_eq!(victim.node.state().cards.len(), 10);
    until(async || kept(&victim).await == before).await;
    victim.leave(&mesh).await;
    evil.leave(&mesh).await;
}
