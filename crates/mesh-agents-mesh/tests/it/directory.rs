//! The directory meets nodes, loses them, and is lied to.

mod keys;

use mesh_agents_mesh::{
    Change, Directory, Happening, LIFETIME_MILLIS, NoRoute, Presence, PullFailure, Pulled, Refused,
    Warning,
};

use super::support::*;

/// The other keys a directory was warned of.
fn warnings(here: &Here, other: &Other) -> Vec<Warning> {
    let mut nodes = here.directory.nodes(here.now);
    nodes
        .find(|node| node.told.key == other.key())
        .unwrap()
        .warnings
}

#[test]
fn a_node_that_comes_is_asked_within_half_a_second_and_its_agents_are_there() {
    let (mut here, other) = (Here::new(), Other::new(1, &["a", "b"]));
    assert_eq!(here.directory.next_wake(), None);
    assert_eq!(here.up(&other), []);
    assert!(here.directory.next_wake().unwrap() <= here.now.mono + 500);
    here.wait(500);
    assert_eq!(here.hear(&other), [Change::Found(other.key())]);
    assert_eq!(here.presence(&other), Presence::Live);
    assert_eq!(here.agents(&other), ["a", "b"]);
    assert_eq!(here.directory.route(&other.key()), Ok(&other.peer));
    // The host says again and again that it is there: nobody is asked again for it.
    here.up(&other);
    here.wait(5_000);
    assert_eq!(here.open, []);
}

#[test]
fn a_change_is_there_as_soon_as_its_hint_is_followed() {
    let (mut here, mut other) = (Here::new(), Other::new(1, &["a"]));
    here.meet(&other);
    other.agents = vec![advertised("b")];
    let sequence = other.publish(here.now.later(1));
    here.apply(Happening::Hint(other.peer.clone(), sequence));
    here.wait(1);
    assert_eq!(here.hear(&other), [Change::Updated(other.key())]);
    assert_eq!(here.agents(&other), ["b"]);
    // The same hint again, late or twice, is no news.
    here.apply(Happening::Hint(other.peer.clone(), sequence));
    here.wait(10_000);
    assert_eq!(here.open, []);
}

#[test]
fn a_peer_that_was_not_there_yet_is_asked_again_when_it_opens_a_stream() {
    let (mut here, other) = (Here::new(), Other::new(1, &["a"]));
    here.up(&other);
    here.wait(500);
    let pull = here.take(&other.peer).unwrap();
    here.fail(&pull, PullFailure::NotHere);
    here.wait(2_000);
    assert_eq!(here.open, [], "it has no agents, as most nodes");
    here.apply(Happening::Met(other.peer.clone()));
    here.wait(1);
    assert_eq!(here.hear(&other), [Change::Found(other.key())]);
    // One that answers is asked in its turn, however many streams it opens.
    for _ in 0..10 {
        here.apply(Happening::Met(other.peer.clone()));
        here.wait(1_000);
    }
    assert_eq!(here.open, []);
    // Nor does one that claims to be another make it be asked without end.
    here.wait(60_000);
    here.silence(&other);
    let mut asked = 0;
    for _ in 0..600 {
        here.apply(Happening::Met(other.peer.clone()));
        here.wait(100);
        if let Some(pull) = here.take(&other.peer) {
            asked += 1;
            here.fail(&pull, PullFailure::NoAnswer);
        }
    }
    assert!(asked <= 8, "{asked} times in a minute");
}

#[test]
fn without_a_hint_a_node_is_asked_every_minute_and_not_modified_keeps_it_live() {
    let (mut here, other) = (Here::new(), Other::new(1, &["a"]));
    here.meet(&other);
    for _ in 0..10 {
        here.wait(70_000);
        let pull = here.open.first().unwrap();
        assert_eq!(pull.known.sequence, Some(other.plain(START).sequence));
        assert_eq!(here.hear(&other), []);
    }
    assert_eq!(here.presence(&other), Presence::Live);
}

#[test]
fn a_node_that_falls_silent_is_stale_then_too_old_then_away_and_then_back() {
    let (mut here, other) = (Here::new(), Other::new(1, &["a"]));
    here.meet(&other);
    here.wait(70_000);
    assert_eq!(here.silence(&other), []);
    assert_eq!(here.presence(&other), Presence::Stale);
    assert_eq!(
        here.wait(LIFETIME_MILLIS.unsigned_abs() - 70_000),
        [Change::Stale(other.key())]
    );
    here.silence(&other);
    assert_eq!(here.agents(&other), ["a"], "still shown, as stale");
    assert_eq!(here.down(&other), [Change::Away(other.key())]);
    let since = here.now.wall;
    here.wait(60_000);
    assert_eq!(here.presence(&other), Presence::Away { since });
    assert_eq!(
        here.directory.route(&other.key()),
        Err(NoRoute::Away {
            key: other.key(),
            since
        })
    );
    assert_eq!(here.meet(&other), [Change::Back(other.key())]);
    assert_eq!(here.presence(&other), Presence::Live);
}

#[test]
fn a_jump_of_the_wall_clock_ages_nobody() {
    let (mut here, other) = (Here::new(), Other::new(1, &["a"]));
    here.meet(&other);
    here.now.wall.0 += 86_400_000;
    assert_eq!(here.wait(1_000), []);
    assert_eq!(here.presence(&other), Presence::Live);
    here.now.wall.0 -= 2 * 86_400_000;
    assert_eq!(here.wait(1_000), []);
    assert_eq!(here.presence(&other), Presence::Live);
}

#[test]
fn an_older_advert_and_one_that_contradicts_are_refused_and_change_nothing() {
    let (mut here, mut other) = (Here::new(), Other::new(1, &["a"]));
    let old = other.advert(here.now);
    let known = {
        other.agents = vec![advertised("b")];
        other.publish(here.now.later(10))
    };
    here.meet(&other);
    here.wait(70_000);
    let pull = here.take(&other.peer).unwrap();
    let changes = here.apply(Happening::Answered {
        ticket: pull.ticket,
        key: other.key(),
        answer: old,
    });
    let reason = Refused::Older {
        found: known - 10,
        known,
    };
    assert_eq!(
        changes,
        [Change::Refused {
            peer: other.peer.clone(),
            reason
        }]
    );
    assert_eq!(here.agents(&other), ["b"]);

    // The same sequence with other words: only a second holder of the key can say that.
    let mut twin = Other::new(1, &[]);
    twin.agents = vec![advertised("evil")];
    assert_eq!(twin.publish(START.later(10)), known);
    here.wait(5_000);
    let pull = here.take(&other.peer).unwrap();
    let changes = here.apply(Happening::Answered {
        ticket: pull.ticket,
        key: other.key(),
        answer: twin.advert(here.now),
    });
    assert_eq!(
        changes,
        [Change::Refused {
            peer: other.peer.clone(),
            reason: Refused::Contradicts(known)
        }]
    );
    assert_eq!(here.agents(&other), ["b"]);
    assert_eq!(here.presence(&other), Presence::Stale);
}

#[test]
fn not_modified_since_what_was_never_said_is_refused_and_everything_asked_for_again() {
    let (mut here, other) = (Here::new(), Other::new(1, &["a"]));
    here.meet(&other);
    here.wait(70_000);
    let pull = here.take(&other.peer).unwrap();
    let changes = here.apply(Happening::Answered {
        ticket: pull.ticket,
        key: other.key(),
        answer: mesh_agents_mesh::Pulled::NotModified(5),
    });
    assert_eq!(
        changes,
        [Change::Refused {
            peer: other.peer.clone(),
            reason: Refused::NotAsked(5)
        }]
    );
    here.wait(5_000);
    assert_eq!(here.open[0].known.sequence, None);
    here.hear(&other);
    assert_eq!(here.presence(&other), Presence::Live);
}

#[test]
fn a_client_that_starts_again_under_a_new_peer_id_is_called_there_once_the_old_one_is_silent() {
    let (mut here, mut other) = (Here::new(), Other::new(1, &["a"]));
    here.meet(&other);
    let before = other.peer.clone();
    // The host takes 40 s to see that the old one is gone (T14, T22).
    other.peer = peer(77);
    other.publish(here.now.later(1));
    let changes = here.meet(&other);
    assert_eq!(
        changes,
        [Change::KeyTwice(other.key()), Change::Updated(other.key())]
    );
    let both = [other.peer.clone(), before.clone()];
    let error = here.directory.route(&other.key()).unwrap_err();
    let NoRoute::KeyTwice { mut peers, .. } = error else {
        panic!("{error}");
    };
    peers.sort();
    assert_eq!(peers.len(), 2);
    assert!(both.iter().all(|peer| peers.contains(peer)));
    // The old one is asked at once, and does not answer.
    here.wait(0);
    let pull = here.take(&before).unwrap();
    assert_eq!(
        here.fail(&pull, PullFailure::NoAnswer),
        [Change::KeyOnce(other.key())]
    );
    assert_eq!(here.directory.route(&other.key()), Ok(&other.peer));
    assert_eq!(here.apply(Happening::PeerDown(before)), []);
    assert_eq!(here.presence(&other), Presence::Live);
}

#[test]
fn what_is_remembered_pins_key_and_sequence_over_a_restart_and_its_last_peer_is_asked() {
    let (mut here, mut other) = (Here::new(), Other::new(1, &["a"]));
    let replayed = other.advert(START);
    other.agents = vec![advertised("b")];
    other.publish(START.later(5));
    here.meet(&other);
    let stored = serde_json::to_string(here.directory.remembered(&other.key()).unwrap()).unwrap();
    insta::assert_snapshot!(stored);

    here.directory = Directory::new(
        key(0),
        [serde_json::from_str(&stored).unwrap()],
        9,
        here.now,
    );
    here.open.clear();
    assert_eq!(
        here.presence(&other),
        Presence::Away {
            since: here.now.wall
        }
    );
    assert_eq!(here.agents(&other), ["b"]);
    here.wait(500);
    let pull = here.take(&other.peer).unwrap();
    assert_eq!(pull.known.sequence, None, "its route is not proved yet");
    let changes = here.apply(Happening::Answered {
        ticket: pull.ticket,
        key: other.key(),
        answer: replayed,
    });
    assert!(
        matches!(
            &changes[..],
            [Change::Refused {
                reason: Refused::Older { .. },
                ..
            }]
        ),
        "{changes:?}"
    );
    here.wait(5_000);
    assert_eq!(here.hear(&other), [Change::Back(other.key())]);
}

#[test]
fn a_peer_only_we_believe_in_is_given_up() {
    let (mut here, other) = (Here::new(), Other::new(1, &["a"]));
    here.meet(&other);
    let told = here.directory.remembered(&other.key()).unwrap().clone();
    here.directory = Directory::new(key(0), [told], 9, here.now);
    here.open.clear();
    let mut asked = 0;
    for _ in 0..600 {
        here.wait(1_000);
        if let Some(pull) = here.take(&other.peer) {
            here.fail(&pull, PullFailure::NoAnswer);
            asked += 1;
        }
    }
    assert_eq!(asked, 5);
    assert_eq!(here.directory.next_wake(), None);
    assert_eq!(here.agents(&other), ["a"], "still remembered");
}

#[test]
fn while_the_host_is_out_of_reach_nobody_is_asked_and_then_everybody() {
    let (mut here, other) = (Here::new(), Other::new(1, &["a"]));
    here.meet(&other);
    here.wait(70_000);
    let lost = here.take(&other.peer).unwrap();
    here.apply(Happening::LinkDown);
    // What was under way is over, whatever is heard of it.
    let late = Happening::Answered {
        ticket: lost.ticket,
        key: other.key(),
        answer: other.advert(here.now),
    };
    assert_eq!(here.apply(late), []);
    assert_eq!(here.wait(200_000), [Change::Stale(other.key())]);
    assert_eq!(here.open, []);
    here.apply(Happening::LinkUp);
    here.wait(500);
    assert_eq!(here.hear(&other), [Change::Back(other.key())]);
}

#[test]
fn a_pull_nobody_ends_is_over_after_a_minute_and_its_answer_not_heard() {
    let (mut here, other) = (Here::new(), Other::new(1, &["a"]));
    here.up(&other);
    here.wait(500);
    let lost = here.take(&other.peer).unwrap();
    here.wait(59_000);
    assert_eq!(here.open, []);
    here.wait(1_000);
    here.wait(3_000);
    assert_eq!(here.open.len(), 1, "asked again");
    let late = Happening::Answered {
        ticket: lost.ticket,
        key: other.key(),
        answer: other.advert(here.now),
    };
    assert_eq!(here.apply(late), []);
    assert_eq!(here.directory.nodes(here.now).count(), 0);
}

#[test]
fn an_answer_that_comes_after_its_peer_went_makes_no_route() {
    let (mut here, other) = (Here::new(), Other::new(1, &["a"]));
    here.up(&other);
    here.wait(500);
    here.down(&other);
    here.up(&other);
    assert_eq!(here.hear(&other), [], "that was asked in another life");
    here.wait(500);
    assert_eq!(here.hear(&other), [Change::Found(other.key())]);
}

#[test]
fn a_forgotten_node_that_is_there_is_met_anew() {
    let (mut here, other) = (Here::new(), Other::new(1, &["a"]));
    here.meet(&other);
    let key = other.key();
    assert_eq!(here.apply(Happening::Forget(key)), [Change::Gone(key)]);
    assert_eq!(here.directory.route(&key), Err(NoRoute::Unknown(key)));
    here.wait(500);
    assert_eq!(here.hear(&other), [Change::Found(key)]);
}
