//! Room in bytes: what adverts and their cards take together is bounded, and who has one place in the mesh
//! pushes out its own keys first.

use mesh_agents_mesh::{
    Change, DIRECTORY_BYTES, Happening, NODE_CARDS_BYTES, Pulled, Refused, SEQUENCE_MAX,
};

use super::support::*;

/// The open pull to `other` is answered with an advert that has as many bytes of cards as one may.
fn hear_large(here: &mut Here, other: &Other) -> Vec<Change> {
    let pull = here.take(&other.peer).unwrap();
    let Pulled::Advert(advert) = other.advert(here.now) else {
        unreachable!("nothing was known");
    };
    here.apply(Happening::Answered {
        ticket: pull.ticket,
        key: other.key(),
        answer: Pulled::Advert(advert.with_cards(NODE_CARDS_BYTES)),
    })
}

fn meet_large(here: &mut Here, other: &Other) -> Vec<Change> {
    here.up(other);
    here.wait(500);
    hear_large(here, other)
}

#[test]
fn large_cards_fill_a_bounded_place_and_those_of_nodes_that_are_away_go_first() {
    let mut here = Here::new();
    // Each has a little more than its cards.
    let most = u8::try_from(DIRECTORY_BYTES / NODE_CARDS_BYTES - 1).unwrap();
    for n in 1..=most {
        let other = Other::new(n, &["a"]);
        assert_eq!(meet_large(&mut here, &other), [Change::Found(other.key())]);
    }
    let late = Other::new(most + 1, &["a"]);
    let refused = Change::Refused {
        peer: late.peer.clone(),
        reason: Refused::NoRoom,
    };
    assert_eq!(meet_large(&mut here, &late), [refused]);
    let small = Other::new(most + 2, &["a"]);
    assert_eq!(here.meet(&small), [Change::Found(small.key())]);

    let first = Other::new(1, &["a"]);
    here.down(&first);
    here.wait(5_000);
    assert_eq!(
        hear_large(&mut here, &late),
        [Change::Gone(first.key()), Change::Found(late.key())]
    );
}

#[test]
fn many_keys_at_one_place_push_out_each_other_and_not_a_node_that_is_away() {
    let (mut here, honest) = (Here::new(), Other::new(1, &["a"]));
    here.meet(&honest);
    here.down(&honest);
    let place = peer(5_000);
    here.apply(Happening::PeerUp(place.clone()));
    for n in 2..200 {
        let mut other = Other::new(n, &["a"]);
        other.peer = place.clone();
        here.apply(Happening::Hint(place.clone(), SEQUENCE_MAX));
        here.wait(70_000);
        other.publish(here.now);
        let changes = hear_large(&mut here, &other);
        assert!(changes.contains(&Change::Found(other.key())), "{changes:?}");
    }
    assert!(here.directory.remembered(&honest.key()).is_some());
    let known = here.directory.nodes(here.now).count();
    assert!(known <= DIRECTORY_BYTES / NODE_CARDS_BYTES, "{known}");
}
