//! Questions over a line that breaks, and over a restart of the caller's engine.

use super::*;

#[test]
fn an_answer_lost_on_the_way_to_a_node_is_sent_again_and_nobody_is_asked_twice() {
    let mut owner = Owner::default();
    owner.tasks.insert("m".to_owned(), vec![]);
    owner.say(Said::State(
        TaskState::InputRequired,
        Some(question(1, "q")),
    ));
    let asks = || Input::Answered(Answered::Task(Box::new(owner.task())));
    // Cut off after the user had answered, and before or after the answer left.
    let mut cut = terms(true);
    cut.resume = Some(Resume {
        session_id: ID.to_owned(),
        why: ResumeReason::Interrupted,
    });
    let mut mirror = Mirror::new(terms(true), Now::ZERO);
    let mut now = Now::ZERO;
    mirror.take(asks(), now);
    let asked = std::iter::from_fn(|| mirror.next()).find_map(|next| match next {
        Do::Log(RunEvent::Question { id, .. }) => Some(id),
        _ => None,
    });
    let asked = asked.unwrap();
    let answer = Answer::Option("a".to_owned());
    mirror.take(Input::Answer(asked.clone(), answer.clone()), now);
    cut.before = Before {
        answer: Some(answer),
        question: Some(asked),
        ..Before::default()
    };
    for mut mirror in [mirror, Mirror::new(cut, Now::ZERO)] {
        let mut answers = 0;
        for _ in 0..20 {
            let Some(next) = mirror.next() else {
                now = mirror.wake().unwrap();
                mirror.take(Input::Tick, now);
                continue;
            };
            match next {
                Do::Request(Request::Send { message, .. }) => {
                    assert!(format!("{:?}", message.metadata).contains("\"q\""));
                    answers += 1;
                    let cause = "the line".to_owned();
                    mirror.take(Input::Failed(Fault::Broken { cause }), now);
                }
                Do::Request(Request::Subscribe { .. }) => {
                    mirror.take(Input::Answered(Answered::Stream), now);
                    let task = StreamResponse::Task(owner.task());
                    mirror.take(Input::Event(Box::new(task)), now);
                }
                Do::Request(_) => mirror.take(asks(), now),
                Do::Log(RunEvent::Question { .. }) => panic!("asked twice"),
                _ => {}
            }
        }
        assert!(answers > 1, "{answers}");
    }
}

/// What was open when its engine was killed, and what the owner says now: what is told of it.
#[test]
fn a_question_left_open_is_shown_as_long_as_it_is_asked_and_taken_back_when_it_is_not() {
    let asked = |id: &str| {
        let mut mirror = Mirror::new(terms(true), Now::ZERO);
        let mut owner = Owner::default();
        owner.tasks.insert("m".to_owned(), vec![]);
        let asks = Said::State(TaskState::InputRequired, Some(question(1, id)));
        owner.say(asks);
        let told = Answered::Task(Box::new(owner.task()));
        mirror.take(Input::Answered(told), Now::ZERO);
        let mut stored = Stored::default();
        while let Some(next) = mirror.next() {
            if let Do::Log(event) = next {
                stored.write(event);
            }
        }
        (stored.open.unwrap(), owner)
    };
    let (open, asks) = asked("q");
    let (other, asks_another) = asked("r");
    let mut works = asked("q").1;
    works.say(Said::State(TaskState::Working, None));
    let mut over = asked("q").1;
    over.say(Said::State(TaskState::Completed, None));
    let gone = Some(open.id.clone());
    for (owner, answers, gone, new) in [
        (&asks, false, None, None),
        (&asks, true, None, None),
        (&asks_another, false, gone.clone(), Some(&other.id)),
        // An answer is to the question it was given to.
        (&asks_another, true, None, Some(&other.id)),
        (&works, false, gone.clone(), None),
        (&works, true, None, None),
        (&over, true, None, None),
    ] {
        let mut cut = terms(true);
        cut.resume = Some(Resume {
            session_id: ID.to_owned(),
            why: ResumeReason::Interrupted,
        });
        cut.before.open = Some(open.clone());
        let mut mirror = Mirror::new(cut, Now::ZERO);
        if answers {
            // The owner is not in reach yet.
            let answer = Answer::Option("a".to_owned());
            mirror.take(Input::Answer(open.id.clone(), answer), Now::ZERO);
        }
        mirror.take(Input::Answered(Answered::Stream), Now::ZERO);
        let whole = StreamResponse::Task(owner.task());
        mirror.take(Input::Event(Box::new(whole)), Now::ZERO);
        let all: Vec<_> = std::iter::from_fn(|| mirror.next()).collect();
        let told_gone = all.iter().find_map(|next| match next {
            Do::Log(RunEvent::QuestionGone(id)) => Some(id.clone()),
            _ => None,
        });
        let told_new = all.iter().find_map(|next| match next {
            Do::Log(RunEvent::Question { id, .. }) => Some(id),
            _ => None,
        });
        let sent = all
            .iter()
            .any(|next| matches!(next, Do::Request(Request::Send { .. })));
        let state = owner.status().state;
        assert_eq!((told_gone, told_new), (gone, new), "{state:?} {answers}");
        let same = std::ptr::eq(owner, &raw const asks);
        assert_eq!(sent, answers && same, "{state:?} {answers}");
    }
}

#[test]
fn while_a_question_is_open_contact_lost_is_shown_found_again_and_a_denial_heard() {
    let mut owner = Owner::default();
    owner.tasks.insert("m".to_owned(), vec![]);
    let asks = Said::State(TaskState::InputRequired, Some(question(1, "q")));
    owner.say(asks);
    let told = || Input::Answered(Answered::Task(Box::new(owner.task())));
    let mut mirror = Mirror::new(terms(true), Now::ZERO);
    mirror.take(told(), Now::ZERO);
    let now = mirror.wake().unwrap();
    logged(&mut mirror);
    mirror.take(Input::Tick, now);
    mirror.take(Input::Failed(away()), now);
    let lost = |event: &RunEvent| matches!(event, RunEvent::Reach { away: Some(_) });
    assert!(logged(&mut mirror).iter().any(lost));
    // There is a way again: it is looked at now, not at the end of the pause.
    assert!(mirror.waits());
    mirror.take(Input::Back, now);
    assert!(matches!(
        requests(&mut mirror).as_slice(),
        [Request::Get { .. }]
    ));
    mirror.take(told(), now);
    let found = |event: &RunEvent| matches!(event, RunEvent::Reach { away: None });
    assert!(logged(&mut mirror).iter().any(found));
    assert!(!mirror.waits());
    mirror.take(Input::Tick, mirror.wake().unwrap());
    let denied = Fault::Status {
        status: 403,
        location: None,
        words: "no".to_owned(),
    };
    mirror.take(Input::Failed(denied), now);
    let end = logged(&mut mirror);
    assert!(
        matches!(end.as_slice(), [RunEvent::QuestionGone(_), .., RunEvent::Ended(Outcome::Failed(failure))] if failure.code == "remote_unauthorized"),
        "{end:?}"
    );
}
