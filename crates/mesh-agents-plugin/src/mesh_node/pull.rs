//! Asking another node what it tells of itself, and for the cards of its agents.

use std::io;
use std::time::Duration;

use axum::http::{Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use mesh_agents_core::ids::AgentId;
use mesh_agents_core::limits::CARD_BYTES;
use mesh_agents_mesh::handshake::Whom;
use mesh_agents_mesh::{
    ADVERT_BYTES, AdvertisedAgent, Digest, Expect, ExpectCard, Happening, MeshCard,
    NODE_CARDS_BYTES, NodeKey, Pull, PullFailure, Pulled, VerifiedAdvert,
};
use tokio::time::timeout;

use super::cards::Fetched;
use super::serve::{ADVERT, CARDS};
use super::{MeshNode, remote};
use crate::mesh_link::OpenError;

/// Longest pull, cards included.
const LIMIT: Duration = Duration::from_secs(20);

/// One pull from its beginning to what is known by it.
pub(super) async fn pull(node: MeshNode, pull: Pull) {
    let ticket = pull.ticket;
    let mut fetched = Vec::new();
    let outcome = match timeout(LIMIT, ask(&node, &pull, &mut fetched)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(PullFailure::NoAnswer),
    };
    match outcome {
        Ok((key, answer)) => {
            let happening = Happening::Answered {
                ticket,
                key,
                answer,
            };
            node.learn(happening, fetched);
        }
        Err(failure) => {
            tracing::debug!(peer = %pull.peer, ?failure, "a pull came to nothing");
            node.state().begun.keep(fetched);
            node.happen(Happening::Failed { ticket, failure });
        }
    }
}

async fn ask(
    node: &MeshNode,
    pull: &Pull,
    fetched: &mut Vec<Fetched>,
) -> Result<(NodeKey, Pulled), PullFailure> {
    let whom = Whom {
        peer_id: pull.peer.clone(),
        key: None,
    };
    let is_known = pull.known.sequence.is_some();
    let opened = node.open(whom).await;
    let (key, stream) = opened.map_err(|error| failed(&error, is_known))?;
    let handshaken = handshake(TokioIo::new(stream)).await;
    let (mut http, connection) = handshaken.map_err(|_| PullFailure::NoAnswer)?;
    let carried = node.0.config.tasks.spawn(async move {
        // What breaks it is told to the request that is on it.
        let _ends = connection.await;
    });
    let asked = both(node, pull, key, &mut http, fetched).await;
    drop(http);
    carried.abort();
    asked.map(|answer| (key, answer))
}

async fn both(
    node: &MeshNode,
    pull: &Pull,
    key: NodeKey,
    http: &mut SendRequest<Empty<Bytes>>,
    fetched: &mut Vec<Fetched>,
) -> Result<Pulled, PullFailure> {
    let path = match pull.known.sequence {
        Some(sequence) => format!("{ADVERT}?sequence={sequence}"),
        None => ADVERT.to_owned(),
    };
    let bytes = get(http, &path, ADVERT_BYTES).await?;
    let mesh_id = node.here().map(|here| here.mesh_id);
    let expect = Expect {
        key: &key,
        mesh_id: mesh_id.as_deref().filter(|id| !id.is_empty()),
        mesh_peer_id: &pull.peer,
    };
    let answer = Pulled::read(&bytes, expect, node.now().wall);
    match answer.map_err(|error| PullFailure::Refused(error.to_string()))? {
        Pulled::Advert(advert) => {
            let bytes = cards(node, key, &advert, http, fetched).await?;
            Ok(Pulled::Advert(advert.with_cards(bytes)))
        }
        same @ Pulled::NotModified(_) => Ok(same),
    }
}

/// Fetches the cards that are not known yet. One that is not believed leaves its agent out. Nothing is kept of
/// them here: whether the advert is taken is the directory's to say.
///
/// Returns how many bytes the cards of this advert have, those known before included.
async fn cards(
    node: &MeshNode,
    key: NodeKey,
    advert: &VerifiedAdvert,
    http: &mut SendRequest<Empty<Bytes>>,
    fetched: &mut Vec<Fetched>,
) -> Result<usize, PullFailure> {
    let mut all = 0;
    for told in &advert.advert().agents {
        let Ok(id) = AgentId::on_node(&told.id, &key.to_string()) else {
            continue;
        };
        let (known, begun) = node.had(&id, told.card_digest);
        if let Some(bytes) = known {
            all += bytes;
            continue;
        }
        let one = match begun {
            Some(one) => one,
            None => {
                let bytes = get(http, &format!("{CARDS}{}", told.card_digest), CARD_BYTES).await?;
                match read(&bytes, &key, told, id.clone()) {
                    Ok(one) => one,
                    Err(error) => {
                        tracing::warn!(agent = %id, %error, "a card is not believed");
                        continue;
                    }
                }
            }
        };
        if all + one.bytes() > NODE_CARDS_BYTES {
            tracing::warn!(node = %key, "its cards have more than {NODE_CARDS_BYTES} bytes; the rest is left");
            break;
        }
        all += one.bytes();
        fetched.push(one);
    }
    Ok(all)
}

/// Checks a card that came.
fn read(
    bytes: &[u8],
    key: &NodeKey,
    told: &AdvertisedAgent,
    id: AgentId,
) -> Result<Fetched, String> {
    let expect = ExpectCard {
        key,
        agent: &told.id,
        digest: told.card_digest,
    };
    let card = MeshCard::open(bytes, expect).map_err(|error| error.to_string())?;
    Ok(Fetched {
        definition: remote::definition(id.clone(), &card)?,
        digest: told.card_digest,
        card,
        id,
    })
}

impl MeshNode {
    /// What is here already of a card: its size when it is in use, or itself when a pull fetched it in vain.
    fn had(&self, id: &AgentId, digest: Digest) -> (Option<usize>, Option<Fetched>) {
        let mut state = self.state();
        let known = state.cards.get(id).filter(|(known, _)| *known == digest);
        match known.map(|(_, agent)| agent.card.json.as_str().len()) {
            Some(bytes) => (Some(bytes), None),
            None => (None, state.begun.take(id, digest)),
        }
    }
}

async fn get(
    http: &mut SendRequest<Empty<Bytes>>,
    path: &str,
    most: usize,
) -> Result<Bytes, PullFailure> {
    let request = Request::get(path)
        .header(header::HOST, "mesh")
        .body(Empty::new())
        .map_err(|_| PullFailure::NoAnswer)?;
    http.ready().await.map_err(|_| PullFailure::NoAnswer)?;
    let answer = http.send_request(request).await;
    let answer = answer.map_err(|_| PullFailure::NoAnswer)?;
    match answer.status() {
        StatusCode::OK => {}
        StatusCode::SERVICE_UNAVAILABLE => return Err(PullFailure::NoAnswer),
        status => return Err(PullFailure::Refused(format!("{path} answered {status}"))),
    }
    let body = Limited::new(answer.into_body(), most).collect().await;
    let body = body.map_err(|error| PullFailure::Refused(format!("{path}: {error}")))?;
    Ok(body.to_bytes())
}

/// A stream that ends before it was greeted: nobody there takes it. One that the host cannot open: its peer is
/// away, or out of reach for good, as one that is only told of by others (host-contract T15); then it is not asked
/// again soon, since each try may keep the host from opening any other stream for 10 s.
fn failed(error: &io::Error, is_known: bool) -> PullFailure {
    let inner = error.get_ref();
    let unopened = inner.is_some_and(|inner| inner.downcast_ref::<OpenError>().is_some());
    match error.kind() {
        _ if unopened && is_known => PullFailure::NoAnswer,
        _ if unopened => PullFailure::NotHere,
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::BrokenPipe
        | io::ErrorKind::ConnectionReset => PullFailure::NotHere,
        io::ErrorKind::TimedOut => PullFailure::NoAnswer,
        _ => PullFailure::Refused(error.to_string()),
    }
}
