//! The handshake of two nodes: whatever is done to its lines, nobody is taken for somebody, and nothing
//! but the lines themselves makes two nodes known to each other.

use arbitrary::{Arbitrary as _, Result, Unstructured};
use mesh_agents_mesh::NodeSecret;
use mesh_agents_mesh::handshake::{Here, Initiator, Opening, Responder, Whom};

use super::super::grammar;

const WORDS: &[&str] = &[
    "mesh_agents",
    "kind",
    "hello",
    "welcome",
    "proof",
    "ping",
    "pong",
    "refused",
    "version",
    "key",
    "nonce",
    "from",
    "to",
    "mesh",
    "signature",
    "code",
    "message",
];

fn here(n: char) -> Here {
    Here {
        peer_id: n.to_string().repeat(64).parse().expect("a peer id"),
        mesh_id: "m".to_owned(),
    }
}

pub(crate) fn run(data: &[u8]) {
    let mut u = Unstructured::new(data);
    let _end = exchange(&mut u);
}

/// One exchange with a line damaged, or none.
fn exchange(u: &mut Unstructured<'_>) -> Result<()> {
    let (ours, theirs) = (
        NodeSecret::from_seed(&[1; 32]),
        NodeSecret::from_seed(&[2; 32]),
    );
    let which = u.int_in_range(0..=3)?;
    let whom = Whom {
        peer_id: here('b').peer_id,
        key: bool::arbitrary(u)?.then(|| theirs.key()),
    };
    let (initiator, hello) = Initiator::begin(&ours, [3; 32], &here('a'), whom);
    let heard = line(u, &hello, which == 0)?;
    let Ok(Opening::Hello(read)) = Opening::read(&heard) else {
        return Ok(());
    };
    let answered = Responder::receive(&theirs, [4; 32], &here('b'), &read);
    let Ok((responder, welcome)) = answered else {
        return Ok(());
    };
    let answer = line(u, &welcome, which == 1)?;
    let Ok((proof, reached)) = initiator.finish(&answer) else {
        return Ok(());
    };
    assert_eq!(heard, hello, "changed, and believed");
    assert_eq!(reached.key, theirs.key());
    let last = line(u, &proof, which == 2)?;
    // No line follows that would be signed over this one: a field of tomorrow in it is passed over, and
    // only its signature counts.
    match responder.finish(&last) {
        Ok(opener) => {
            // A welcome with a field of tomorrow is understood; its bytes are what the proof covers.
            assert_eq!(answer, welcome, "changed, and believed");
            assert_eq!(opener.key, ours.key());
        }
        Err(error) => assert!(
            last != proof || answer != welcome,
            "what was said is refused: {error}"
        ),
    }
    Ok(())
}

fn line(u: &mut Unstructured<'_>, good: &[u8], damage: bool) -> Result<Vec<u8>> {
    if !damage {
        return Ok(good.to_vec());
    }
    if u.ratio(1, 4)? {
        return Ok((grammar::json(u, WORDS)? + "\n").into_bytes());
    }
    let good = std::str::from_utf8(good).expect("a line of JSON");
    Ok(grammar::sample_gone_wrong(u, &[good])?.into_bytes())
}
