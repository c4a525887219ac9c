//! Whose key it is: two nodes with one, one place with two, ours elsewhere, another's word.

use super::*;

#[test]
fn two_nodes_with_one_key_are_both_shown_and_not_called_until_one_goes() {
    let (mut here, first) = (Here::new(), Other::new(1, &["a"]));
    here.meet(&first);
    let mut twin = Other::new(1, &["a"]);
    twin.peer = peer(88);
    twin.publish(here.now.later(1));
    here.meet(&twin);
    for _ in 0..20 {
        here.wait(12_000);
        for node in [&first, &twin] {
            if here.open.iter().any(|pull| pull.peer == node.peer) {
                here.hear(node);
            }
        }
        assert!(matches!(
            here.directory.route(&first.key()),
            Err(NoRoute::KeyTwice { .. })
        ));
    }
    let both = vec![first.peer.clone(), twin.peer.clone()];
    assert_eq!(warnings(&here, &first), [Warning::KeyTwice { peers: both }]);
    assert_eq!(here.down(&first), [Change::KeyOnce(first.key())]);
    assert_eq!(here.directory.route(&first.key()), Ok(&twin.peer));
}

#[test]
fn another_key_at_a_known_peer_is_another_node_and_both_are_told_apart() {
    let (mut here, old) = (Here::new(), Other::new(1, &["a"]));
    here.meet(&old);
    let mut new = Other::new(2, &["a"]);
    new.peer = old.peer.clone();
    new.name = " NODE  1".to_owned();
    new.publish(here.now);
    here.wait(70_000);
    let changes = here.hear(&new);
    assert_eq!(
        changes,
        [
            Change::Away(old.key()),
            Change::OtherKey {
                peer: old.peer.clone(),
                old: old.key(),
                new: new.key()
            },
            Change::Found(new.key()),
        ]
    );
    assert_eq!(
        warnings(&here, &new),
        [
            Warning::SameName { first: old.key() },
            Warning::OtherKey { old: old.key() }
        ]
    );
    assert_eq!(warnings(&here, &old), []);
    // Its owner says that this is right.
    assert_eq!(
        here.apply(Happening::Forget(old.key())),
        [Change::Gone(old.key())]
    );
    assert_eq!(warnings(&here, &new), []);
}

#[test]
fn a_swapped_key_that_first_says_nothing_new_is_told_all_the_same() {
    let (mut here, old) = (Here::new(), Other::new(1, &["a"]));
    here.meet(&old);
    let mut new = Other::new(2, &["a"]);
    new.peer = old.peer.clone();
    new.publish(here.now);
    here.wait(70_000);
    let pull = here.take(&new.peer).unwrap();
    here.apply(Happening::Answered {
        ticket: pull.ticket,
        key: new.key(),
        answer: Pulled::NotModified(pull.known.sequence.unwrap()),
    });
    here.wait(5_000);
    here.hear(&new);
    let told = Warning::OtherKey { old: old.key() };
    assert!(warnings(&here, &new).contains(&told));
}

#[test]
fn our_own_key_elsewhere_is_no_node_of_ours_and_said() {
    let (mut here, copy) = (Here::new(), Other::new(0, &["a"]));
    assert_eq!(here.meet(&copy), [Change::OwnKey(copy.peer.clone())]);
    assert_eq!(here.directory.nodes(here.now).count(), 0);
    here.down(&copy);

    // Where another node was, it is not any more.
    let mut before = Other::new(1, &["a"]);
    before.peer = copy.peer.clone();
    before.publish(here.now);
    here.meet(&before);
    here.wait(70_000);
    assert_eq!(
        here.hear(&copy),
        [
            Change::Away(before.key()),
            Change::OwnKey(copy.peer.clone())
        ]
    );
}

#[test]
fn an_advert_of_another_stream_ties_no_key_to_this_one() {
    let (mut here, one, two) = (Here::new(), Other::new(1, &["a"]), Other::new(2, &["a"]));
    here.up(&one);
    here.wait(500);
    for (key, answer) in [
        (one.key(), two.advert(START)),
        (two.key(), one.advert(START)),
        (two.key(), two.advert(START)),
    ] {
        let pull = here.take(&one.peer).unwrap();
        let changes = here.apply(Happening::Answered {
            ticket: pull.ticket,
            key,
            answer,
        });
        let refused = Change::Refused {
            peer: one.peer.clone(),
            reason: Refused::Elsewhere,
        };
        assert_eq!(changes, [refused]);
        assert_eq!(here.directory.proved_at(&one.peer), None);
        here.wait(20_000);
    }
}
