//! What knowing each other costs, by the number of nodes: counted on a real directory, weighed on real
//! messages. `SCALE.md` has the figures; it is held to them here. New ones are printed by
//! `cargo test -p mesh-agents-mesh --test it scale -- --nocapture`.

use std::fmt::Write as _;

use mesh_agents_mesh::handshake::{Here as Local, Initiator, Opening, Responder, Whom};
use mesh_agents_mesh::{
    Bulletin, DIRECTORY_PEERS, Directory, Expect, Happening, Known, MeshCard, NodeKey, NodeSecret,
    Pulled, SEQUENCE_MAX, write_hint,
};

use super::support::*;

const PAGE: &str = include_str!("../../SCALE.md");
const NODES: [usize; 4] = [10, 200, 1_000, 10_000];
/// Minutes that are counted, after two to get to know each other.
const MINUTES: u64 = 5;

fn secret_of(n: usize) -> NodeSecret {
    let mut seed = [0; 32];
    seed[..8].copy_from_slice(&u64::try_from(n + 1).unwrap().to_be_bytes());
    NodeSecret::from_seed(&seed)
}

/// Pulls a node makes in a minute when nothing changes, with so many others; tenths.
fn pulls(others: usize) -> u64 {
    let answers: Vec<(NodeKey, Pulled)> = (0..others.min(DIRECTORY_PEERS))
        .map(|n| {
            let secret = secret_of(n);
            let peer = peer(u32::try_from(n).unwrap());
            let mut bulletin = Bulletin::new(0);
            let mut standing = Other::new(1, &[]).standing();
            standing.mesh_peer_id = peer.clone();
            bulletin.publish(&standing, [], &secret, START.wall);
            let bytes = bulletin.answer(Known::default(), &secret, START.wall);
            let expect = Expect {
                key: &secret.key(),
                mesh_id: Some("mesh-1"),
                mesh_peer_id: &peer,
            };
            let read = Pulled::read(&bytes.unwrap().unwrap(), expect, START.wall);
            (secret.key(), read.unwrap())
        })
        .collect();
    let mut directory = Directory::new(key(0), [], 7, START);
    let mut now = START;
    for n in 0..others {
        directory.apply(Happening::PeerUp(peer(u32::try_from(n).unwrap())), now);
    }
    let (mut counted, from) = (0, START.later(120_000));
    while now.mono < from.mono + MINUTES * 60_000 {
        now = now.later(1_000);
        directory.apply(Happening::Tick, now);
        for pull in directory.due(usize::MAX, now) {
            let n = usize::from_str_radix(pull.peer.as_str(), 16).unwrap();
            let (key, advert) = &answers[n];
            let answer = match pull.known.sequence {
                Some(sequence) => Pulled::NotModified(sequence),
                None => advert.clone(),
            };
            let ticket = pull.ticket;
            let key = *key;
            directory.apply(
                Happening::Answered {
                    ticket,
                    key,
                    answer,
                },
                now,
            );
            counted += u64::from(now.mono >= from.mono);
        }
    }
    counted * 10 / MINUTES
}

/// Bytes of one handshake, both ways.
fn handshake() -> usize {
    let here = |n: u8| Local {
        peer_id: peer(n.into()),
        mesh_id: "mesh-1".to_owned(),
    };
    let (ours, theirs) = (secret(1), secret(2));
    let whom = Whom {
        peer_id: peer(2),
        key: None,
    };
    let (initiator, hello) = Initiator::begin(&ours, [1; 32], &here(1), whom);
    let Ok(Opening::Hello(read)) = Opening::read(&hello) else {
        unreachable!("a hello is one")
    };
    let (_, welcome) = Responder::receive(&theirs, [2; 32], &here(2), &read).unwrap();
    let (proof, _) = initiator.finish(&welcome).unwrap();
    hello.len() + welcome.len() + proof.len()
}

/// Bytes of one request and its answer with this body, as hyper writes them.
fn exchange(path: &str, body: usize) -> usize {
    let request = format!("GET {path} HTTP/1.1\r\nhost: mesh\r\n\r\n");
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {body}\r\ndate: Fri, 20 Nov 2026 20:00:00 GMT\r\n\r\n"
    );
    request.len() + answer.len() + body
}

/// A pull when nothing changed; of an advert with so many agents; a card.
fn weights() -> (usize, Vec<(usize, usize)>, usize) {
    let path = format!("/mesh/v1/advert?sequence={SEQUENCE_MAX}");
    let rest = {
        let other = Other::new(1, &["a"]);
        let sequence = other.plain(START).sequence;
        let known = Known {
            sequence: Some(sequence),
        };
        handshake() + exchange(&path, other.answer(known, START).len())
    };
    let adverts = [1, 10, 200].map(|count| {
        let ids: Vec<String> = (0..count).map(|n| format!("agent-{n}")).collect();
        let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
        let bytes = Other::new(1, &ids).answer(Known::default(), START).len();
        (count, handshake() + exchange(&path, bytes))
    });
    let card = MeshCard::sign(&advertised("a"), &secret(1)).unwrap();
    let path = format!("/mesh/v1/cards/{}", card.digest());
    let card = exchange(&path, card.json().as_str().len());
    (rest, adverts.to_vec(), card)
}

fn kib(bytes: u64) -> String {
    match bytes {
        0..102_400 => format!("{}.{} KiB", bytes / 1024, bytes % 1024 * 10 / 1024),
        _ => format!("{} KiB", bytes / 1024),
    }
}

/// The tables as they stand in `SCALE.md`.
fn tables() -> String {
    let (rest, adverts, card) = weights();
    let hint = write_hint(1_790_000_000_000).len();
    let mut page = String::from("| Message | Bytes, both ways |\n|---|---|\n");
    writeln!(page, "| handshake (three lines) | {} |", handshake()).unwrap();
    writeln!(
        page,
        "| pull, nothing changed, with its handshake | {rest} |"
    )
    .unwrap();
    for (count, bytes) in &adverts {
        writeln!(page, "| pull of an advert with {count} agents | {bytes} |").unwrap();
    }
    writeln!(page, "| card of one agent | {card} |").unwrap();
    writeln!(page, "| hint, one way, to each peer | {hint} |").unwrap();
    page.push_str(
        "\n| Nodes | Pulls made and answered, a minute | Bytes a minute at rest | A change of one node: bytes it sends |\n|---|---|---|---|\n",
    );
    for nodes in NODES {
        let made = pulls(nodes - 1);
        let others = u64::try_from(nodes - 1).unwrap();
        let bytes = |n: usize| u64::try_from(n).unwrap();
        let at_rest = 2 * made * bytes(rest) / 10;
        let change = others * bytes(hint) + (made / 10).min(others) * bytes(adverts[1].1 + card);
        writeln!(
            page,
            "| {nodes} | {} + {} | {} | {} |",
            made / 10,
            made / 10,
            kib(at_rest),
            kib(change)
        )
        .unwrap();
    }
    page
}

#[test]
fn the_figures_on_scale_are_those_of_the_code() {
    let tables = tables();
    eprintln!("{tables}");
    assert!(
        PAGE.contains(&tables),
        "SCALE.md has other figures than:\n{tables}"
    );
}
