//! Too much of everything: hints, peers, nodes, agents. What answered stays, and the work is bounded.

use mesh_agents_mesh::{
    ADVERT_AGENTS, Advert, Change, DIRECTORY_AGENTS, DIRECTORY_PEERS, Happening, Presence,
    PullFailure, Refused, SEQUENCE_MAX,
};

use super::support::*;

#[test]
fn hints_in_another_s_name_cost_few_pulls_and_true_ones_are_still_followed() {
    let (mut here, mut other) = (Here::new(), Other::new(1, &["a"]));
    here.meet(&other);
    let mut pulls = 0;
    for n in 0..6_000_u64 {
        here.apply(Happening::Hint(
            other.peer.clone(),
            SEQUENCE_MAX - 6_000 + n,
        ));
        here.wait(10);
        if !here.open.is_empty() {
            here.hear(&other);
            pulls += 1;
        }
    }
    // A minute of 100 lies a second: the gap doubles from one second.
    assert!((2..=8).contains(&pulls), "{pulls}");
    assert_eq!(here.presence(&other), Presence::Live);

    other.agents = vec![advertised("b")];
    let sequence = other.publish(here.now);
    here.apply(Happening::Hint(other.peer.clone(), sequence));
    here.wait(60_000);
    here.hear(&other);
    assert_eq!(here.agents(&other), ["b"]);
    // One that came true: the next is followed within a second again.
    other.agents = vec![advertised("c")];
    let sequence = other.publish(here.now.later(10));
    here.apply(Happening::Hint(other.peer.clone(), sequence));
    here.wait(1_000);
    here.hear(&other);
    assert_eq!(here.agents(&other), ["c"]);
}

#[test]
fn hints_that_come_while_pulls_run_cost_no_more() {
    let (mut here, other) = (Here::new(), Other::new(1, &["a"]));
    here.meet(&other);
    let (mut pulls, mut since) = (0, 0);
    for n in 0..6_000_u64 {
        let lie = SEQUENCE_MAX - 6_000 + n;
        here.apply(Happening::Hint(other.peer.clone(), lie));
        here.wait(10);
        // An answer takes 50 ms, and five lies come in that time.
        since = if here.open.is_empty() { n } else { since };
        if n >= since + 5 {
            here.hear(&other);
            pulls += 1;
        }
    }
    assert!((2..=8).contains(&pulls), "{pulls}");
}

#[test]
fn a_hint_while_an_answer_is_under_way_is_not_lost() {
    let (mut here, mut other) = (Here::new(), Other::new(1, &["a"]));
    here.meet(&other);
    here.wait(70_000);
    let pull = here.take(&other.peer).unwrap();
    let made_before = other.read(&other.answer(pull.known, here.now), here.now);
    other.agents = vec![advertised("b")];
    let sequence = other.publish(here.now);
    here.apply(Happening::Hint(other.peer.clone(), sequence));
    here.apply(Happening::Answered {
        ticket: pull.ticket,
        key: other.key(),
        answer: made_before.unwrap(),
    });
    here.wait(1_000);
    here.hear(&other);
    assert_eq!(here.agents(&other), ["b"]);
}

#[test]
fn invented_peers_push_out_no_node_and_make_room_for_true_ones_once_they_failed() {
    let (mut here, other) = (Here::new(), Other::new(1, &["a"]));
    here.meet(&other);
    let full = (1_000..4_000)
        .flat_map(|n| here.apply(Happening::PeerUp(peer(n))))
        .filter(|change| matches!(change, Change::Full(_)))
        .count();
    assert_eq!(full, 3_000 - (DIRECTORY_PEERS - 1));
    here.wait(500);
    assert_eq!(here.open.len(), DIRECTORY_PEERS - 1);
    for pull in std::mem::take(&mut here.open) {
        here.fail(&pull, PullFailure::NotHere);
    }
    let late = Other::new(2, &["b"]);
    assert_eq!(here.meet(&late), [Change::Found(late.key())]);
    assert_eq!(here.presence(&other), Presence::Live);
    // Peers without agents are left alone: of these about none in the first half minute.
    here.wait(30_000);
    assert!(here.open.len() < 10, "{}", here.open.len());
}

#[test]
fn pulls_are_handed_out_a_few_at_a_time_the_longest_due_first() {
    let mut here = Here::new();
    for n in 0..100 {
        here.apply(Happening::PeerUp(peer(n)));
    }
    let later = here.now.later(500);
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..10 {
        let some = here.directory.due(10, later);
        assert_eq!(some.len(), 10);
        seen.extend(some.into_iter().map(|pull| pull.peer));
    }
    assert_eq!(seen.len(), 100);
    assert_eq!(here.directory.due(10, later), []);
}

#[test]
fn agents_of_nodes_that_are_away_go_before_those_that_are_there() {
    let mut here = Here::new();
    // One full advert, signed by a hundred nodes.
    let mut full = Other::new(1, &["a"]).plain(START);
    let agent = full.agents[0].clone();
    full.agents = (0..ADVERT_AGENTS)
        .map(|n| {
            let mut agent = agent.clone();
            agent.id = format!("a{n}").parse().unwrap();
            agent
        })
        .collect();
    let meet = |here: &mut Here, other: &Other| {
        here.up(other);
        here.wait(500);
        let pull = here.take(&other.peer).unwrap();
        let advert = Advert {
            key: other.key(),
            mesh_peer_id: other.peer.clone(),
            ..full.clone()
        };
        let bytes = advert.sign(&other.secret).unwrap();
        here.apply(Happening::Answered {
            ticket: pull.ticket,
            key: other.key(),
            answer: other.read(&bytes, START).unwrap(),
        })
    };
    let nodes = u8::try_from(DIRECTORY_AGENTS / ADVERT_AGENTS).unwrap();
    for n in 1..=nodes {
        let other = Other::new(n, &[]);
        assert_eq!(meet(&mut here, &other), [Change::Found(other.key())]);
    }
    let late = Other::new(nodes + 1, &[]);
    let refused = Change::Refused {
        peer: late.peer.clone(),
        reason: Refused::NoRoom,
    };
    assert_eq!(meet(&mut here, &late), [refused], "all are there");
    let first = Other::new(1, &[]);
    here.down(&first);
    here.wait(5_000);
    assert_eq!(
        meet(&mut here, &late),
        [Change::Gone(first.key()), Change::Found(late.key())]
    );
}

/// The pulls of `other` in so many seconds, in each of which it changes what it tells and hints at it; and how
/// long the slowest change was not known here, in milliseconds.
fn changes_each_second(here: &mut Here, other: &mut Other, seconds: u64) -> (u32, u64) {
    let (mut pulls, mut slowest) = (0, 0);
    let mut unknown = None;
    for n in 0..seconds * 10 {
        if n % 10 == 0 {
            let name = format!("a{}", here.now.mono);
            other.agents = vec![advertised(&name)];
            let sequence = other.publish(here.now);
            here.apply(Happening::Hint(other.peer.clone(), sequence));
            unknown.get_or_insert(here.now.mono);
        }
        here.wait(100);
        if !here.open.is_empty() {
            here.hear(other);
            pulls += 1;
            slowest = slowest.max(here.now.mono - unknown.take().unwrap_or(here.now.mono));
        }
    }
    (pulls, slowest)
}

#[test]
fn who_changes_each_second_is_asked_a_few_times_at_once_and_then_each_quarter_minute() {
    let (mut here, mut other) = (Here::new(), Other::new(1, &["a"]));
    here.meet(&other);
    // One change each five seconds, ten in all, is somebody at work.
    for _ in 0..10 {
        let (pulls, slowest) = changes_each_second(&mut here, &mut other, 1);
        assert_eq!(pulls, 1);
        assert!(slowest <= 1_000, "{slowest}");
        here.wait(4_000);
    }
    let (pulls, slowest) = changes_each_second(&mut here, &mut other, 300);
    // Four a minute, and what was left of those at once.
    assert!((18..=30).contains(&pulls), "{pulls}");
    assert!((10_000..=16_000).contains(&slowest), "{slowest}");
    // It stays known, and what it said last is known in the end.
    assert_eq!(here.presence(&other), Presence::Live);
    here.wait(16_000);
    if !here.open.is_empty() {
        here.hear(&other);
    }
    assert_eq!(here.agents(&other), [other.agents[0].id.to_string()]);
    // After a while of peace it is as before.
    for _ in 0..5 {
        here.wait(70_000);
        here.hear(&other);
    }
    let (pulls, slowest) = changes_each_second(&mut here, &mut other, 5);
    assert!(pulls >= 4 && slowest <= 1_100, "{pulls} {slowest}");
}

#[test]
fn a_node_that_is_listed_or_called_is_asked_for_each_change_within_a_second() {
    let (mut here, mut other) = (Here::new(), Other::new(1, &["a"]));
    here.directory.favour(other.key(), true);
    here.meet(&other);
    let (pulls, slowest) = changes_each_second(&mut here, &mut other, 60);
    assert!(pulls >= 50, "{pulls}");
    assert!(slowest <= 1_200, "{slowest}");
    // It is not any more.
    here.directory.favour(other.key(), false);
    let (pulls, _) = changes_each_second(&mut here, &mut other, 60);
    assert!(pulls <= 18, "{pulls}");
}
