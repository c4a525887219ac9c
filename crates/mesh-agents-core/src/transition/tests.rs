//! The whole table of changes, and what holds whatever happens.

use std::fmt::Write;

use proptest::prelude::*;

use super::*;

fn happenings() -> Vec<(String, Happening)> {
    let outcomes = [
        (
            "completed",
            Outcome::Completed {
                answer: "done".into(),
            },
        ),
        (
            "failed",
            Outcome::Failed(Failure::new("harness_exited", "it left")),
        ),
        ("refused", Outcome::Refused("no".into())),
        ("canceled", Outcome::Canceled),
        ("interrupted", Outcome::Interrupted("power".into())),
    ];
    let mut all = vec![("start".to_owned(), Happening::Start)];
    for kind in [
        QuestionKind::Permission,
        QuestionKind::Elicitation,
        QuestionKind::Auth,
    ] {
        all.push((format!("asked {kind:?}"), Happening::Asked(kind)));
    }
    all.push(("settled".to_owned(), Happening::Settled));
    for cause in StopCause::ALL {
        all.push((format!("stop {cause:?}"), Happening::Stop(cause)));
    }
    for (name, outcome) in outcomes {
        all.push((format!("ended {name}"), Happening::Ended(outcome)));
    }
    let lost = Failure::new("question_lost", "the engine was killed");
    all.push(("lost".to_owned(), Happening::Lost(lost)));
    all.push(("parked".to_owned(), Happening::Parked));
    for again in Again::ALL {
        all.push((format!("again {again:?}"), Happening::Again(again)));
    }
    all.push(("agent removed".to_owned(), Happening::AgentRemoved));
    all
}

fn standings() -> Vec<Standing> {
    let mut all = Vec::new();
    for state in TaskState::ALL {
        let standing = Standing {
            state,
            ..Standing::NEW
        };
        all.push(standing);
        if standing.runs() {
            all.extend(StopCause::ALL.map(|cause| Standing {
                stopping: Some(cause),
                ..standing
            }));
        }
        if state == TaskState::Submitted || state.is_interrupted() {
            all.push(Standing {
                again: Some(Again::Answer),
                ..standing
            });
        }
    }
    // Where it matters that the work is done elsewhere: a wish to end it that has not been told, and what
    // it asks.
    let there = |standing: &Standing| {
        let canceled = standing.stopping == Some(StopCause::Canceled);
        let asks = standing.state.is_interrupted() && standing.stopping.is_none();
        (canceled || asks || standing.again.is_some()).then_some(Standing {
            elsewhere: true,
            ..*standing
        })
    };
    let elsewhere: Vec<_> = all.iter().filter_map(there).collect();
    all.extend(elsewhere);
    all.push(Standing {
        stopping: Some(StopCause::Canceled),
        again: Some(Again::Resume),
        elsewhere: true,
        ..Standing::NEW
    });
    all
}

fn shown(standing: Standing) -> String {
    let stopping = standing.stopping.map(|c| format!(" (stopping: {c:?})"));
    let again = standing.again.map(|again| format!(" (again: {again:?})"));
    let elsewhere = standing.elsewhere.then(|| " (elsewhere)".to_owned());
    let marks = [stopping, again, elsewhere].map(Option::unwrap_or_default);
    let marks = marks.concat();
    format!("{}{marks}", standing.state)
}

#[test]
fn the_whole_table() {
    let mut table = String::new();
    for standing in standings() {
        writeln!(table, "{}", shown(standing)).unwrap();
        for (name, happening) in happenings() {
            match next(standing, &happening) {
                Err(_) => writeln!(table, "  {name:<20} illegal").unwrap(),
                Ok(to) => {
                    let failure = to
                        .failure
                        .map(|f| format!(" [{}]", f.code))
                        .unwrap_or_default();
                    writeln!(
                        table,
                        "  {name:<20} -> {}{failure} {:?}",
                        shown(to.standing),
                        to.effects
                    )
                    .unwrap();
                }
            }
        }
    }
    insta::assert_snapshot!(table);
}

proptest! {
    /// Whatever happens in whatever order: a terminal state is never left, a slot is held
    /// exactly while there is a run, a place in the queue exactly while the task waits for one,
    /// and a task that is being stopped never starts again.
    #[test]
    fn slots_balance_and_ends_are_final(
        elsewhere: bool,
        picks in prop::collection::vec(0_usize..21, 0..60),
    ) {
        let all = happenings();
        prop_assert_eq!(all.len(), 21);
        let begun = Standing { elsewhere, ..Standing::NEW };
        let (mut standing, mut slots, mut places) = (begun, 0, 1);
        for pick in picks {
            let before = standing;
            let to = match next(standing, &all[pick].1) {
                Ok(to) => to,
                Err(illegal) => {
                    prop_assert_eq!(illegal.state, before.state);
                    continue;
                }
            };
            prop_assert!(!before.state.is_terminal());
            for effect in &to.effects {
                match effect {
                    Effect::StartRun => (slots, places) = (slots + 1, places - 1),
                    Effect::FreeSlot => slots -= 1,
                    Effect::Enqueue => places += 1,
                    Effect::LeaveQueue => places -= 1,
                    _ => {}
                }
            }
            standing = to.standing;
            prop_assert_eq!(slots, i32::from(standing.runs()));
            let waits = standing.state == TaskState::Submitted || (elsewhere && standing.parked());
            prop_assert_eq!(places, i32::from(waits));
            let told_later = elsewhere && standing.stopping == Some(StopCause::Canceled);
            prop_assert!(before.stopping.is_none() || standing.runs()
                || standing.state.is_terminal() || told_later);
            prop_assert_eq!(to.failure.is_some(),
                matches!(standing.state, TaskState::Failed | TaskState::Rejected));
        }
    }
}
