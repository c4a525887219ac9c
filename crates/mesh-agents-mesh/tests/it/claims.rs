//! Hints and streams that name ids nobody else ever spoke of.

use mesh_agents_mesh::{
    Change, DIRECTORY_PEERS, Happening, MeshPeerId, Presence, PullFailure, SEQUENCE_MAX,
};

use super::support::*;

/// What somebody claims who only wants this node to be busy.
fn lie(id: MeshPeerId, n: u32) -> Happening {
    if n.is_multiple_of(2) {
        Happening::Hint(id, SEQUENCE_MAX)
    } else {
        Happening::Met(id)
    }
}

/// The pulls that are open fail: no such peer is there.
fn fail_all(here: &mut Here, but: &Other) -> usize {
    let (pulls, kept) = std::mem::take(&mut here.open)
        .into_iter()
        .partition(|pull| pull.peer != but.peer);
    here.open = kept;
    let pulls: Vec<_> = pulls;
    for pull in &pulls {
        here.fail(pull, PullFailure::NotHere);
    }
    pulls.len()
}

#[test]
fn hints_under_ever_new_ids_cost_few_pulls_and_keep_no_true_peer_out() {
    let (mut here, other) = (Here::new(), Other::new(1, &["a"]));
    here.meet(&other);
    let (mut pulls, mut full) = (0, 0);
    for n in 0..60_000_u32 {
        let changes = here.apply(lie(peer(100_000 + n), n));
        full += usize::from(matches!(changes[..], [Change::Full(_)]));
        if n.is_multiple_of(10) {
            here.wait(10);
            // Woken for nothing it would spin.
            let wake = here.directory.next_wake().unwrap();
            assert!(wake > here.now.mono, "{wake} {:?}", here.now);
            pulls += fail_all(&mut here, &other);
        }
        if here.take(&other.peer).is_some() {
            here.apply(Happening::PeerUp(other.peer.clone()));
        }
    }
    // A minute of 1,000 a second: 20 at once, and one each two seconds.
    assert!((20..=55).contains(&pulls), "{pulls}");
    assert!(full > 50_000, "{full}");

    // Whom the host tells of has a place, and is asked at once.
    for n in 1_000..1_000 + u32::try_from(DIRECTORY_PEERS).unwrap() - 2 {
        let changes = here.apply(Happening::PeerUp(peer(n)));
        assert_eq!(changes, [], "{n}");
    }
    let late = Other::new(2, &["b"]);
    assert_eq!(here.meet(&late), [Change::Found(late.key())]);
    let known = here.directory.nodes(here.now);
    assert!(known.count() == 2 && here.presence(&late) == Presence::Live);
}

#[test]
fn a_true_peer_the_host_did_not_tell_of_is_met_by_its_hint_or_its_stream() {
    let mut here = Here::new();
    for (n, said) in [
        (1, Happening::Hint(peer(1), 1)),
        (2, Happening::Met(peer(2))),
    ] {
        let other = Other::new(n, &["a"]);
        here.apply(said);
        here.wait(500);
        assert_eq!(here.hear(&other), [Change::Found(other.key())]);
        // Now it is one of those who answer, and asked as often as they.
        here.wait(70_000);
        assert_eq!(here.hear(&other), []);
    }
}

#[test]
fn what_the_host_says_of_a_claimed_peer_counts() {
    let mut here = Here::new();
    let mut true_one = Other::new(9, &["a"]);
    true_one.peer = peer(900_000);
    true_one.publish(here.now);
    for n in 0..200 {
        here.apply(lie(peer(100_000 + n), n));
    }
    here.apply(Happening::Hint(true_one.peer.clone(), 1));
    here.wait(600);
    // It waits among the others for its turn; the host ends that.
    assert!(here.take(&true_one.peer).is_none());
    here.up(&true_one);
    here.wait(600);
    assert_eq!(here.hear(&true_one), [Change::Found(true_one.key())]);
}
