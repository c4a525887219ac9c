//! How far a task was followed, and a restart of the caller's engine.

use super::*;

/// An owner that has said so much, and what a caller has of it: a place, and the text in its log.
fn followed(texts: &[&str]) -> (Owner, Option<Place>, String) {
    let mut owner = Owner::default();
    owner.tasks.insert("m".to_owned(), vec![]);
    owner.say(Said::State(TaskState::Working, None));
    let mut mirror = Mirror::new(terms(true), Now::ZERO);
    mirror.take(Input::Answered(Answered::Stream), Now::ZERO);
    let whole = StreamResponse::Task(owner.task());
    mirror.take(Input::Event(Box::new(whole)), Now::ZERO);
    assert_eq!(mirror.place(), None, "nothing was said");
    for text in texts {
        owner.say(Said::Text((*text).to_owned()));
        let event = owner.event(owner.log().len());
        mirror.take(Input::Event(Box::new(event)), Now::ZERO);
    }
    let text = owner.text();
    (owner, mirror.place().cloned(), text)
}

/// The mirror of the next engine, whose log has this text.
fn next(place: Option<Place>, said: &str) -> Mirror {
    let mut cut = terms(true);
    cut.attempt = 2;
    cut.resume = Some(Resume {
        session_id: ID.to_owned(),
        why: ResumeReason::Interrupted,
    });
    cut.before.said = said.to_owned();
    cut.place = place;
    Mirror::new(cut, Now::ZERO)
}

fn asked_behind(mirror: &mut Mirror) -> u64 {
    match requests(mirror).as_slice() {
        [Request::Subscribe { after, .. }] => *after,
        other => panic!("{other:?}"),
    }
}

fn said(mirror: &mut Mirror) -> String {
    let texts = logged(mirror).into_iter().filter_map(|event| match event {
        RunEvent::Text(text) => Some(text),
        _ => None,
    });
    texts.collect()
}

#[test]
fn after_a_restart_a_stream_goes_on_where_the_log_is_and_says_no_word_twice() {
    let (mut owner, place, text) = followed(&["one ", "two "]);
    let place = place.unwrap();
    assert_eq!((place.seq, place.said), (3, text.len()));
    for word in ["three ", "four "] {
        owner.say(Said::Text(word.to_owned()));
    }
    // The log may have more than was kept of how far it is.
    for has in ["one two ", "one two three ", "one two three four "] {
        let mut mirror = next(Some(place.clone()), has);
        assert_eq!(asked_behind(&mut mirror), 3);
        mirror.take(Input::Answered(Answered::Stream), Now::ZERO);
        let started = logged(&mut mirror);
        let named = |event: &RunEvent| matches!(event, RunEvent::Started { session_id, .. } if session_id == ID);
        assert!(started.iter().any(named), "{started:?}");
        for seq in [4, 5] {
            mirror.take(Input::Event(Box::new(owner.event(seq))), Now::ZERO);
        }
        assert_eq!(format!("{has}{}", said(&mut mirror)), owner.text());
        assert_eq!(
            mirror.place().unwrap().seq,
            if has.ends_with("four ") { 3 } else { 5 }
        );
    }
}

#[test]
fn an_owner_that_cannot_go_on_there_tells_the_whole_task_also_one_with_a_shorter_log() {
    let (mut owner, place, text) = followed(&["one ", "two ", "three "]);
    for shorter in [false, true] {
        if shorter {
            // Restored from a backup, and at work again.
            owner.tasks.values_mut().next().unwrap().truncate(2);
        }
        let mut mirror = next(place.clone(), &text);
        mirror.take(Input::Answered(Answered::Stream), Now::ZERO);
        let whole = StreamResponse::Task(owner.task());
        mirror.take(Input::Event(Box::new(whole)), Now::ZERO);
        owner.say(Said::Text("more ".to_owned()));
        let more = owner.event(owner.log().len());
        mirror.take(Input::Event(Box::new(more)), Now::ZERO);
        assert_eq!(said(&mut mirror), "more ", "{shorter}");
    }
}

#[test]
fn a_place_that_the_log_does_not_show_to_be_right_counts_for_nothing() {
    let (_, place, text) = followed(&["one ", "zwölf "]);
    let place = place.unwrap();
    assert_eq!(asked_behind(&mut next(Some(place.clone()), &text)), 3);
    let other = Place {
        task: "another".to_owned(),
        ..place.clone()
    };
    let within = Place {
        said: "one zw".len() + 1,
        ..place.clone()
    };
    for (place, has) in [
        // The log was not written to that far.
        (place, "one "),
        (other, text.as_str()),
        (within, text.as_str()),
    ] {
        assert_eq!(asked_behind(&mut next(Some(place), has)), 0);
    }
}

#[test]
fn no_place_is_behind_a_file_or_a_question() {
    let (mut owner, place, _) = followed(&["one "]);
    let mut mirror = next(place.clone(), "one ");
    mirror.take(Input::Answered(Answered::Stream), Now::ZERO);
    let numbered = |seq: u64| Some(HashMapOf::from([(SEQ.to_owned(), json!(seq))]));
    let file = StreamResponse::ArtifactUpdate(TaskArtifactUpdateEvent {
        task_id: ID.to_owned(),
        context_id: "there".to_owned(),
        artifact: Artifact {
            artifact_id: "a.txt".to_owned(),
            ..response("a file".to_owned())
        },
        append: Some(false),
        last_chunk: None,
        metadata: numbered(3),
    });
    mirror.take(Input::Event(Box::new(file)), Now::ZERO);
    owner.say(Said::Text("a file".to_owned()));
    owner.say(Said::Text("two ".to_owned()));
    mirror.take(Input::Event(Box::new(owner.event(4))), Now::ZERO);
    assert_eq!(said(&mut mirror), "two ");
    assert_eq!(
        mirror.place(),
        place.as_ref(),
        "files are held until the end"
    );

    let mut mirror = next(place, "one ");
    mirror.take(Input::Answered(Answered::Stream), Now::ZERO);
    let asks = Said::State(TaskState::InputRequired, Some(question(1, "q")));
    owner.say(asks);
    mirror.take(Input::Event(Box::new(owner.event(5))), Now::ZERO);
    assert_eq!(mirror.place(), None);
}
