//! What an advert looks like, and what is no advert.

use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::ids::AgentId;
use mesh_agents_mesh::{
    ADVERT_AGENTS, ADVERT_BYTES, Advert, AdvertError, Expect, Known, LIFETIME_MILLIS, Moment,
    Pulled, SKEW_MILLIS, Withheld,
};
use proptest::prelude::*;

use super::support::*;

/// `advert`, signed with the secret `n` and read as from `other`.
fn read_signed(advert: &Advert, n: u8, other: &Other) -> Result<Pulled, AdvertError> {
    other.read(&advert.sign(&secret(n)).unwrap(), START)
}

fn clock_off(millis: i64) -> Moment {
    Moment {
        wall: UnixMillis(START.wall.0 + millis),
        ..START
    }
}

#[test]
fn the_wire_form() {
    let other = Other::new(1, &["pr-review"]);
    let bytes = other.answer(Known::default(), START);
    insta::assert_snapshot!(String::from_utf8(bytes).unwrap());
    let known = Known {
        sequence: Some(other.plain(START).sequence),
    };
    insta::assert_snapshot!(serde_json::to_string(&known).unwrap(), @r#"{"sequence":1790000000000}"#);
    insta::assert_snapshot!(String::from_utf8(other.answer(known, START)).unwrap(), @r#"{"not_modified":1790000000000}"#);
    insta::assert_snapshot!(serde_json::to_string(&Known::default()).unwrap(), @"{}");
}

#[test]
fn what_its_node_signs_is_believed_and_fields_of_tomorrow_are_passed_over() {
    let other = Other::new(1, &["a", "b"]);
    let advert = other.plain(START);
    assert_eq!(advert.agents.len(), 2);

    // A later version adds members anywhere; it is signed as it stands.
    let mut tomorrow = serde_json::to_value(&advert).unwrap();
    tomorrow["mood"] = "good".into();
    tomorrow["agents"][0]["price"] = 3.into();
    tomorrow["agents"][0]["visibility"] = "friends".into();
    let bytes = signed_by_hand(&tomorrow.to_string(), 1);
    let Pulled::Advert(verified) = other.read(&bytes, START).unwrap() else {
        panic!("an advert was sent");
    };
    assert_eq!(verified.advert().agents.len(), 2);
}

/// Signs any text as an advert, as a node with a broken or hostile program would.
fn signed_by_hand(text: &str, n: u8) -> Vec<u8> {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let did = key(n).to_string();
    let method = did.rsplit(':').next().unwrap();
    let header = format!(r#"{{"alg":"EdDSA","kid":"{did}#{method}","typ":"mesh-agents-advert"}}"#);
    let protected = URL_SAFE_NO_PAD.encode(header);
    let input = format!("{protected}.{}", URL_SAFE_NO_PAD.encode(text));
    let signature = URL_SAFE_NO_PAD.encode(secret(n).sign(input.as_bytes()));
    format!(r#"{{"advert":{text},"protected":"{protected}","signature":"{signature}"}}"#)
        .into_bytes()
}

#[test]
fn each_lie_has_its_own_answer() {
    let other = Other::new(1, &["a"]);
    let good = other.plain(START);
    let check = |advert: &Advert, n: u8, wanted: fn(&AdvertError) -> bool| {
        let error = read_signed(advert, n, &other).unwrap_err();
        assert!(wanted(&error), "{error:?}");
        error.to_string()
    };

    // Another key's signature under this key's name, and the other way round.
    check(&good, 2, |e| matches!(e, AdvertError::Forged { .. }));
    let swapped = Advert {
        key: key(2),
        ..good.clone()
    };
    check(&swapped, 2, |e| matches!(e, AdvertError::Key { .. }));

    let elsewhere = Advert {
        mesh_id: Some("mesh-2".to_owned()),
        ..good.clone()
    };
    let said = check(&elsewhere, 1, |e| matches!(e, AdvertError::Mesh { .. }));
    assert!(said.contains("mesh-2") && said.contains("mesh-1"), "{said}");

    let moved = Advert {
        mesh_peer_id: peer(9),
        ..good.clone()
    };
    check(&moved, 1, |e| matches!(e, AdvertError::Peer { .. }));

    let newer = Advert {
        version: 2,
        ..good.clone()
    };
    let said = check(&newer, 1, |e| {
        matches!(e, AdvertError::Version { found: 2 })
    });
    assert!(said.contains("update"), "{said}");

    let eternal = Advert {
        expires_at: UnixMillis(good.issued_at.0 + LIFETIME_MILLIS + 1),
        ..good.clone()
    };
    check(&eternal, 1, |e| matches!(e, AdvertError::Lifetime { .. }));
    let instant = Advert {
        expires_at: good.issued_at,
        ..good.clone()
    };
    check(&instant, 1, |e| matches!(e, AdvertError::Lifetime { .. }));

    let twice = Advert {
        agents: vec![good.agents[0].clone(), good.agents[0].clone()],
        ..good.clone()
    };
    check(&twice, 1, |e| matches!(e, AdvertError::Form(_)));
    let mut foreign = good.clone();
    let name = &foreign.agents[0].id;
    foreign.agents[0].id = AgentId::on_node(name, &key(2).to_string()).unwrap();
    check(&foreign, 1, |e| e.to_string().contains("of another node"));
    let endless = Advert {
        sequence: u64::MAX,
        ..good.clone()
    };
    check(&endless, 1, |e| matches!(e, AdvertError::Form(_)));
}

#[test]
fn a_mesh_that_is_not_known_yet_keeps_nobody_out() {
    let other = Other::new(1, &["a"]);
    let unknown = Advert {
        mesh_id: None,
        ..other.plain(START)
    };
    assert!(read_signed(&unknown, 1, &other).is_ok());
    let expect = Expect {
        key: &other.key(),
        mesh_id: None,
        mesh_peer_id: &other.peer,
    };
    let bytes = other.answer(Known::default(), START);
    assert!(Advert::open(&bytes, expect, START.wall).is_ok());
}

#[test]
fn a_clock_an_hour_off_is_refused_with_the_difference_and_five_minutes_are_nothing() {
    let hour = 3_600_000;
    let other = Other::new(1, &["a"]);
    let bytes = |off| other.answer(Known::default(), clock_off(off));
    for off in [-SKEW_MILLIS, -60_000, 60_000, SKEW_MILLIS] {
        assert!(other.read(&bytes(off), START).is_ok(), "{off}");
    }
    let ahead = other.read(&bytes(hour), START).unwrap_err();
    assert!(matches!(ahead, AdvertError::Future { .. }), "{ahead}");
    let behind = other.read(&bytes(-hour), START).unwrap_err();
    assert!(matches!(behind, AdvertError::Expired { .. }), "{behind}");
    insta::assert_snapshot!(format!("{ahead}\n{behind}"), @r"
    the advert was signed 60 min in the future: one of the two clocks is wrong; set both by NTP
    the advert was over 57 min ago: it is an old one sent again, or one of the two clocks is wrong; set both by NTP
    ");
    // Clocks at the ends of time do not overflow.
    for off in [i64::MIN / 2, i64::MAX / 2 - START.wall.0] {
        assert!(other.read(&bytes(off), START).is_err(), "{off}");
    }
}

#[test]
fn an_advert_sent_again_later_is_over() {
    let other = Other::new(1, &["a"]);
    let recorded = other.answer(Known::default(), START);
    let later = START.later(LIFETIME_MILLIS.unsigned_abs() + SKEW_MILLIS.unsigned_abs() + 1);
    let error = other.read(&recorded, later).unwrap_err();
    assert!(matches!(error, AdvertError::Expired { .. }), "{error}");
}

#[test]
fn what_is_too_large_is_not_read() {
    let other = Other::new(1, &["a"]);
    let error = other
        .read(&vec![b'{'; ADVERT_BYTES + 1], START)
        .unwrap_err();
    assert_eq!(
        error,
        AdvertError::Size {
            bytes: ADVERT_BYTES + 1
        }
    );
    let mut many = other.plain(START);
    let agent = many.agents[0].clone();
    many.agents = (0..=ADVERT_AGENTS)
        .map(|n| {
            let mut agent = agent.clone();
            agent.id = format!("a{n}").parse().unwrap();
            agent.skills.clear();
            agent
        })
        .collect();
    assert!(matches!(
        many.sign(&other.secret),
        Err(AdvertError::Agents { count: 201 })
    ));
    let bytes = signed_by_hand(&serde_json::to_string(&many).unwrap(), 1);
    assert!(matches!(
        other.read(&bytes, START),
        Err(AdvertError::Agents { count: 201 })
    ));
    // A member of ten thousand open brackets neither fits nor overflows the stack.
    for text in [
        "[".repeat(100_000),
        format!("{{\"advert\":{}", "[".repeat(100_000)),
    ] {
        assert!(matches!(
            other.read(text.as_bytes(), START),
            Err(AdvertError::Form(_))
        ));
    }
}

#[test]
fn texts_of_others_are_clean_and_short_whatever_they_sign() {
    let other = Other::new(1, &["a"]);
    let mut dirty = other.plain(START);
    dirty.name = "safe\u{202e}live\u{1b}[2J".to_owned();
    dirty.agents[0].description = "x".repeat(10_000);
    dirty.agents[0].skills[0].tags = vec!["\u{200b}tag\n".repeat(50); 50];
    let Pulled::Advert(read) = read_signed(&dirty, 1, &other).unwrap() else {
        panic!("an advert was sent");
    };
    let read = read.into_advert();
    assert_eq!(read.name, "safelive[2J");
    assert_eq!(read.agents[0].description.chars().count(), 500);
    assert_eq!(read.agents[0].skills[0].tags.len(), 12);
    assert_eq!(read.agents[0].skills[0].tags[0].chars().count(), 80);
}

#[test]
fn a_node_with_more_agents_than_fit_says_which_stay_and_signs_the_others() {
    let mut other = Other::new(1, &[]);
    other.agents = (0..300)
        .map(|n| {
            let mut agent = advertised(&format!("a{n:03}"));
            agent.card.description = "ä".repeat(800);
            agent
        })
        .collect();
    let standing = other.standing();
    let published = other
        .bulletin
        .publish(&standing, &other.agents, &other.secret, START.wall);
    let told = other.plain(START).agents.len();
    assert!((100..=ADVERT_AGENTS).contains(&told), "{told}");
    assert_eq!(told + published.withheld.len(), 300);
    assert!(
        published
            .withheld
            .iter()
            .all(|(_, why)| matches!(why, Withheld::NoRoom))
    );
    assert_eq!(published.withheld[0].0.as_str(), format!("a{told:03}"));
}

#[test]
fn a_sequence_grows_with_every_change_and_only_then_and_never_goes_back() {
    let mut other = Other::new(1, &["a"]);
    let first = other.plain(START).sequence;
    assert_eq!(other.publish(START.later(60_000)), first);
    other.agents[0].card.description = "Other words".to_owned();
    let second = other.publish(START.later(60_000));
    assert!(second > first);
    // The owner's clock goes back a year.
    other.agents.clear();
    let third = other.publish(clock_off(-31_536_000_000));
    assert!(third > second);
    // Its database is lost: the time makes up for it.
    let mut again = Other::new(1, &["a"]);
    assert!(again.publish(START.later(120_000)) >= first);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever byte of it is changed, removed or added: it is not believed.
    #[test]
    fn a_tampered_advert_is_never_believed(at in 0_usize..10_000, byte in any::<u8>(), how in 0..3) {
        let other = Other::new(1, &["a"]);
        let good = other.answer(Known::default(), START);
        let mut bad = good.clone();
        let at = at % good.len();
        match how {
            0 => bad[at] = byte,
            1 => { bad.remove(at); }
            _ => bad.insert(at, byte),
        }
        let white_space_or_same = bad == good || serde_json::from_slice::<serde_json::Value>(&bad).ok()
            == serde_json::from_slice(&good).ok();
        prop_assert!(white_space_or_same || other.read(&bad, START).is_err());
    }

    /// Bytes of any kind are an error, not a panic.
    #[test]
    fn any_bytes_are_read_without_harm(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let other = Other::new(1, &["a"]);
        prop_assert!(other.read(&bytes, START).is_err());
    }
}
