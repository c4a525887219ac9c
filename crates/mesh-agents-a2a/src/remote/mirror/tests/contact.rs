//! Contact lost and found: what is sent again, what waits, what ends.

use mesh_agents_core::limits::OFFLINE_WAIT;

use super::*;

#[test]
fn a_node_that_may_have_the_message_is_sent_it_again_under_the_same_id_and_a_server_is_not() {
    for on_mesh in [true, false] {
        let mut mirror = Mirror::new(terms(on_mesh), Now::ZERO);
        let first = requests(&mut mirror);
        let lost = Fault::Broken {
            cause: "the line".to_owned(),
        };
        mirror.take(Input::Failed(lost), Duration::from_secs(60));
        assert_eq!(mirror.is_over(), !on_mesh);
        if on_mesh {
            let at = mirror.wake().unwrap();
            mirror.take(Input::Tick, at);
            assert_eq!(requests(&mut mirror), first);
        }
    }
}

#[test]
fn a_cancel_waits_for_a_node_and_not_for_a_server() {
    for on_mesh in [true, false] {
        let mut mirror = Mirror::new(terms(on_mesh), Now::ZERO);
        let mut owner = Owner::default();
        owner.tasks.insert("m".to_owned(), vec![]);
        mirror.take(Input::Answered(Answered::Stream), Now::ZERO);
        let task = StreamResponse::Task(owner.task());
        mirror.take(Input::Event(Box::new(task)), Now::ZERO);
        requests(&mut mirror);
        mirror.take(Input::Cancel, Now::ZERO);
        let mut now = Now::ZERO;
        for _ in 0..50 {
            for request in requests(&mut mirror) {
                assert!(matches!(request, Request::Cancel { .. }), "{request:?}");
                let away = Fault::Unconnected {
                    stage: Stage::Refused,
                    cause: "nobody there".to_owned(),
                };
                mirror.take(Input::Failed(away), now);
            }
            now = mirror.wake().unwrap_or(now);
            mirror.take(Input::Tick, now);
        }
        assert_eq!(mirror.is_over(), !on_mesh);
        if on_mesh {
            assert!(now > Duration::from_secs(300), "it gave up after {now:?}");
            owner.say(Said::State(TaskState::Canceled, None));
            let told = Answered::Task(Box::new(owner.task()));
            mirror.take(Input::Answered(told), now);
            assert!(mirror.is_over());
        }
    }
}

#[test]
fn a_node_that_is_there_again_is_tried_at_once() {
    let mut mirror = Mirror::new(terms(true), Now::ZERO);
    let first = requests(&mut mirror);
    let mut now = Now::ZERO;
    for _ in 0..8 {
        let lost = Fault::Broken {
            cause: "the line".to_owned(),
        };
        mirror.take(Input::Failed(lost), now);
        now = mirror.wake().unwrap();
        mirror.take(Input::Tick, now);
        assert_eq!(requests(&mut mirror), first);
        // A try is under way: it is left alone.
        assert!(!mirror.waits());
        mirror.take(Input::Back, now);
        assert!(requests(&mut mirror).is_empty());
    }
    let lost = Fault::Broken {
        cause: "the line".to_owned(),
    };
    mirror.take(Input::Failed(lost), now);
    assert!(mirror.waits() && mirror.wake().unwrap() > now + Duration::from_secs(10));
    mirror.take(Input::Back, now);
    assert_eq!(requests(&mut mirror), first);
}

#[test]
fn a_silent_stream_behind_what_was_heard_is_contact_and_a_shorter_log_s_end_is_an_end() {
    let mut owner = Owner::default();
    owner.tasks.insert("m".to_owned(), vec![]);
    owner.say(Said::State(TaskState::Working, None));
    let mut mirror = Mirror::new(terms(true), Now::ZERO);
    let whole = |owner: &Owner| Box::new(StreamResponse::Task(owner.task()));
    mirror.take(Input::Answered(Answered::Stream), Now::ZERO);
    mirror.take(Input::Event(whole(&owner)), Now::ZERO);
    for n in 0..5 {
        owner.say(Said::Text(format!("{n} ")));
        let event = owner.event(owner.log().len());
        mirror.take(Input::Event(Box::new(event)), Now::ZERO);
    }
    mirror.take(Input::Closed(None), Now::ZERO);
    let away = Fault::Unconnected {
        stage: Stage::Refused,
        cause: "nobody there".to_owned(),
    };
    mirror.take(Input::Failed(away), Now::ZERO);
    let now = mirror.wake().unwrap();
    requests(&mut mirror);
    mirror.take(Input::Tick, now);
    let asked = requests(&mut mirror);
    assert!(
        matches!(asked.as_slice(), [Request::Subscribe { after: 6, .. }]),
        "{asked:?}"
    );
    mirror.take(Input::Answered(Answered::Stream), now);
    let reached = |next: Do| matches!(next, Do::Log(RunEvent::Reach { away: None }));
    assert!(std::iter::from_fn(|| mirror.next()).any(reached));

    // Restored from a backup, it has said less, and ended.
    let log = owner.tasks.values_mut().next().unwrap();
    log.truncate(2);
    log.push(Said::State(TaskState::Failed, None));
    mirror.take(Input::Closed(None), now);
    requests(&mut mirror);
    mirror.take(
        Input::Failed(Fault::Told {
            code: a2a::error_code::UNSUPPORTED_OPERATION,
            words: "it has ended".to_owned(),
        }),
        now,
    );
    let told = Answered::Task(Box::new(owner.task()));
    mirror.take(Input::Answered(told), now);
    assert!(mirror.is_over());
}

#[test]
fn a_node_that_takes_nothing_now_is_asked_again_and_is_not_out_of_reach() {
    let mut mirror = Mirror::new(terms(true), Now::ZERO);
    let first = requests(&mut mirror);
    let mut now = Now::ZERO;
    let mut notes = 0;
    for _ in 0..20 {
        mirror.take(Input::Failed(later()), now);
        for event in logged(&mut mirror) {
            match event {
                RunEvent::Note { code, .. } => {
                    assert_eq!(code, "remote_busy");
                    notes += 1;
                }
                other => panic!("{other:?}"),
            }
        }
        now = mirror.wake().unwrap();
        mirror.take(Input::Tick, now);
        assert_eq!(requests(&mut mirror), first);
    }
    assert_eq!(notes, 1);
    // It is canceled before it was taken; nothing of it is there.
    mirror.take(Input::Failed(later()), now);
    mirror.take(Input::Cancel, now);
    assert_eq!(logged(&mut mirror), [RunEvent::Ended(Outcome::Canceled)]);

    // A cancel that finds the same is told later, and is no end.
    let mut cut = terms(true);
    cut.resume = Some(Resume {
        session_id: ID.to_owned(),
        why: ResumeReason::Interrupted,
    });
    let mut mirror = Mirror::new(cut, Now::ZERO);
    mirror.take(Input::Cancel, Now::ZERO);
    mirror.take(Input::Failed(later()), Now::ZERO);
    assert!(!mirror.is_over());
}

#[test]
fn a_cancel_of_what_may_have_arrived_ends_when_its_node_never_comes_back() {
    let mut mirror = Mirror::new(terms(true), Now::ZERO);
    let cause = "the line".to_owned();
    mirror.take(Input::Failed(Fault::Broken { cause }), Now::ZERO);
    mirror.take(Input::Cancel, Now::ZERO);
    let mut now = Now::ZERO;
    while !mirror.is_over() {
        assert!(now < 2 * OFFLINE_WAIT, "{mirror:?}");
        let due = mirror.wake().expect("it waits for something");
        now = now.max(due);
        if requests(&mut mirror).is_empty() {
            mirror.take(Input::Tick, now);
        } else {
            now += Duration::from_secs(20);
            mirror.take(Input::Failed(away()), now);
        }
    }
    assert!(now >= OFFLINE_WAIT, "{now:?}");
    let told = logged(&mut mirror);
    assert!(
        told.iter()
            .any(|event| matches!(event, RunEvent::Note { code, .. } if code == "remote_not_told"))
    );
}

/// Tried for as long as it goes on, every try of it failing so: how long that was, and how it ended.
fn tried(mut mirror: Mirror, mut fault: impl FnMut(u32) -> Fault) -> (Duration, Outcome) {
    let (mut now, mut tries) = (Now::ZERO, 0);
    while !mirror.is_over() {
        assert!(now < 2 * OFFLINE_WAIT, "{mirror:?}");
        now = now.max(mirror.wake().unwrap_or(now));
        match requests(&mut mirror).is_empty() {
            true => mirror.take(Input::Tick, now),
            false => {
                now += Duration::from_secs(20);
                tries += 1;
                mirror.take(Input::Failed(fault(tries)), now);
            }
        }
    }
    match logged(&mut mirror).pop() {
        Some(RunEvent::Ended(outcome)) => (now, outcome),
        other => panic!("{other:?}"),
    }
}

fn failure(outcome: Outcome) -> (String, String) {
    match outcome {
        Outcome::Failed(failure) => (failure.code, failure.message),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_a_node_never_speaks_of_is_given_up_as_late_as_what_waits_and_never_called_unsent() {
    let lost = || Fault::Broken {
        cause: "the line".to_owned(),
    };
    let second = |left: Duration| {
        let mut terms = terms(true);
        terms.attempt = 2;
        terms.timeouts.delivery = left;
        Mirror::new(terms, Now::ZERO)
    };
    let minute = Duration::from_secs(60);
    let day = Duration::from_secs(24 * 3600);
    // The line broke once while it was sent; or its engine was killed meanwhile, a day before the end or long since.
    let cut = tried(Mirror::new(terms(true), Now::ZERO), |tries| match tries {
        1 => lost(),
        _ => away(),
    });
    for (limit, (now, outcome)) in [
        (OFFLINE_WAIT, cut),
        (day, tried(second(day), |_| away())),
        (Duration::ZERO, tried(second(Duration::ZERO), |_| away())),
    ] {
        assert!((limit..limit + minute).contains(&now), "{limit:?}: {now:?}");
        let (code, words) = failure(outcome);
        assert_eq!(code, "owner_offline");
        assert!(words.contains("may have arrived"), "{words}");
        assert!(!words.contains("nothing was started"), "{words}");
    }
    // It says each time that it takes nothing.
    let (now, outcome) = tried(Mirror::new(terms(true), Now::ZERO), |_| later());
    assert!(
        (OFFLINE_WAIT..OFFLINE_WAIT + minute).contains(&now),
        "{now:?}"
    );
    let (code, words) = failure(outcome);
    assert_eq!(code, "owner_offline");
    assert!(words.contains("nothing was started"), "{words}");
}

#[test]
fn a_message_that_follows_an_earlier_task_waits_no_longer_for_the_word_of_that_one() {
    let mut next = terms(true);
    next.resume = Some(Resume {
        session_id: "before".to_owned(),
        why: ResumeReason::NextTask,
    });
    let (now, outcome) = tried(Mirror::new(next, Now::ZERO), |_| away());
    let minute = Duration::from_secs(60);
    assert!(
        (OFFLINE_WAIT..OFFLINE_WAIT + minute).contains(&now),
        "{now:?}"
    );
    assert!(failure(outcome).1.contains("nothing was started"));
}

#[test]
fn that_nobody_knows_whether_a_message_arrived_is_said() {
    let mut mirror = Mirror::new(terms(true), Now::ZERO);
    let cause = "the line".to_owned();
    mirror.take(Input::Failed(Fault::Broken { cause }), Now::ZERO);
    let said = logged(&mut mirror);
    assert!(
        matches!(said[0], RunEvent::Reach { away: Some(_) }),
        "{said:?}"
    );
    let RunEvent::Note { text, .. } = &said[1] else {
        panic!("{said:?}");
    };
    assert!(
        text.contains("sent again under its id") && text.contains("72 hours"),
        "{text}"
    );
}
