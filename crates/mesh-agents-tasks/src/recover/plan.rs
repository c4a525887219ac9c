//! What is to become of a task, decided from values alone (DESIGN §4, "Recovery").
//!
//! Two questions. What an engine does at its start with each task that has not ended: [`at_start`].
//! And what becomes of a task whose run is gone before its end, whoever noticed: [`after`].

use mesh_agents_core::clock::UnixMillis;
use mesh_agents_core::limits::RESUMES_PER_TASK;
use mesh_agents_core::run::{Resume, ResumeReason};
use mesh_agents_core::task::{Failure, TaskState};
use mesh_agents_core::transition::{Again, Happening, Standing};

/// What an engine does at its start with a task that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtStart {
    /// It waits for a slot.
    Queue,
    /// It waits for an answer, without a run.
    Park,
    /// It had a run: see that nothing of it is left, then decide by [`after`].
    Clear,
    /// Nothing: it has ended.
    Leave,
}

/// Decides what an engine does at its start with a task that stands so.
#[must_use]
pub fn at_start(standing: Standing) -> AtStart {
    match standing.state {
        TaskState::Submitted => AtStart::Queue,
        // Followed again at once: what it asks may be answered or withdrawn where it runs.
        _ if standing.parked() && standing.elsewhere => AtStart::Queue,
        _ if standing.parked() => AtStart::Park,
        _ if standing.runs() => AtStart::Clear,
        _ => AtStart::Leave,
    }
}

/// How a run came to be gone.
#[derive(Debug, Clone)]
pub struct Cut {
    /// Who cut it off.
    pub by: CutBy,
    /// What happened, for a person, without a full stop.
    pub why: String,
    /// When nothing of it ran any more, where that is known better than by its last event.
    pub at: Option<UnixMillis>,
    /// Whether its session turned out to be one that cannot be taken up.
    pub session_lost: bool,
    /// Whether the directory of its agent is there.
    pub agent_known: bool,
    /// Processes of it that would not die.
    pub undead: u32,
}

/// Who cut a run off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CutBy {
    /// Its engine was killed.
    Kill,
    /// It was interrupted under a living engine, which was told so.
    Interruption,
    /// It vanished under a living engine.
    Loss,
}

/// What a task has behind it.
#[derive(Debug, Clone, Copy)]
pub struct Past {
    /// Whether a question waits for its answer.
    pub asks: bool,
    /// Whether its newest attempt has a session that can be taken up.
    pub session: bool,
    /// Attempts so far.
    pub attempts: u32,
    /// Those of them that went on in a session.
    pub resumes: u32,
    /// `runtime.max_attempts` of the definition it was started with.
    pub max_attempts: u32,
    /// Whether that definition says `on_interrupt = "retry"`.
    pub retry: bool,
    /// Whether the work is done on another node, and a run here follows it.
    pub elsewhere: bool,
}

/// Decides what becomes of a task whose run is gone. One that was being stopped has its end, which
/// the transition sees to.
///
/// A session is taken up again first: after a kill of the engine up to [`RESUMES_PER_TASK`] times;
/// after anything else only while there were fewer attempts than `max_attempts`, since what ended
/// the run may be its own work. Starting over comes second, and only where the owner said so.
///
/// Work on another node is followed again however often this engine is started anew: it brings nothing down here,
/// and a task that is called failed while it goes on there would be wrong.
#[must_use]
pub fn after(past: &Past, cut: &Cut) -> Happening {
    let why = &cut.why;
    let lost = |code: &str, rest: &str| Happening::Lost(Failure::new(code, format!("{why}{rest}")));
    if cut.undead > 0 {
        let rest = format!(
            ". {} of its processes would not die and may still do something",
            cut.undead
        );
        return lost(code(cut.by), &rest);
    }
    if !cut.agent_known {
        return lost(
            "agent_removed",
            ", and its agent's directory was removed, so that nothing goes on with it; put it back and send the message again",
        );
    }
    let session = past.session && !cut.session_lost;
    let may_resume = match cut.by {
        CutBy::Kill => past.elsewhere || past.resumes < RESUMES_PER_TASK,
        CutBy::Interruption | CutBy::Loss => past.attempts < past.max_attempts,
    };
    match (past.asks, session && may_resume) {
        (true, true) => return Happening::Parked,
        (true, false) => {
            return lost(
                "question_lost",
                ", while it asked a question that no other session can ask; send the message again",
            );
        }
        (false, true) => return Happening::Again(Again::Resume),
        (false, false) => {}
    }
    let starts = past.attempts.saturating_sub(past.resumes);
    if past.retry && starts < past.max_attempts {
        return Happening::Again(Again::Retry);
    }
    let reason = if session {
        format!(
            "; it has had {} attempts, and no more are made",
            past.attempts
        )
    } else if past.retry {
        format!("; it was started {starts} times (runtime.max_attempts)")
    } else {
        String::new()
    };
    lost(
        code(cut.by),
        &format!("{reason}; send the message again, or read the artifacts it left"),
    )
}

/// The session a further attempt goes on in, when the one before it had it, and why.
#[must_use]
pub fn goes_on(again: Option<Again>, session: Option<String>) -> Option<Resume> {
    let why = match again? {
        Again::Resume => ResumeReason::Interrupted,
        Again::Answer => ResumeReason::Answered,
        Again::Retry => return None,
    };
    let session_id = session?;
    Some(Resume { session_id, why })
}

fn code(by: CutBy) -> &'static str {
    match by {
        CutBy::Kill | CutBy::Interruption => "interrupted",
        CutBy::Loss => "runner_lost",
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    #[test]
    fn at_its_start_an_engine_queues_parks_or_clears() {
        let standing = |state, again| Standing {
            state,
            again,
            ..Standing::NEW
        };
        use TaskState::{AuthRequired, InputRequired, Submitted, Working};
        for (state, again, what) in [
            (Submitted, None, AtStart::Queue),
            (Submitted, Some(Again::Resume), AtStart::Queue),
            (Submitted, Some(Again::Retry), AtStart::Queue),
            (Working, None, AtStart::Clear),
            (InputRequired, None, AtStart::Clear),
            (AuthRequired, None, AtStart::Clear),
            (InputRequired, Some(Again::Answer), AtStart::Park),
            (AuthRequired, Some(Again::Answer), AtStart::Park),
            (TaskState::Failed, None, AtStart::Leave),
        ] {
            assert_eq!(at_start(standing(state, again)), what, "{state} {again:?}");
        }
        for again in [Again::Answer, Again::Resume] {
            let there = Standing {
                elsewhere: true,
                ..standing(InputRequired, Some(again))
            };
            assert_eq!(at_start(there), AtStart::Queue);
        }
    }

    /// The whole plan, reviewed as a snapshot: what it rests on, and what it says.
    #[test]
    fn the_whole_plan() {
        let mut table = String::new();
        for by in [CutBy::Kill, CutBy::Interruption, CutBy::Loss] {
            for (asks, session, retry) in [
                (false, true, false),
                (false, true, true),
                (false, false, false),
                (false, false, true),
                (true, true, false),
                (true, false, true),
            ] {
                for (attempts, resumes) in [(1, 0), (2, 0), (2, 1), (9, 8), (11, 10), (12, 10)] {
                    let past = Past {
                        asks,
                        session,
                        attempts,
                        resumes,
                        max_attempts: 2,
                        retry,
                        elsewhere: false,
                    };
                    let cut = Cut {
                        by,
                        why: "W".into(),
                        at: None,
                        session_lost: false,
                        agent_known: true,
                        undead: 0,
                    };
                    let then = match after(&past, &cut) {
                        Happening::Lost(failure) => failure.code,
                        other => format!("{other:?}"),
                    };
                    let flag = |on: bool, name: &'static str| if on { name } else { "" };
                    writeln!(
                        table,
                        "{by:?} attempts {attempts} resumed {resumes}{}{}{} -> {then}",
                        flag(asks, " asks"),
                        flag(session, " session"),
                        flag(retry, " retry"),
                    )
                    .unwrap();
                }
            }
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn what_forbids_another_attempt_is_told() {
        let past = Past {
            asks: false,
            session: true,
            attempts: 1,
            resumes: 0,
            max_attempts: 2,
            retry: true,
            elsewhere: false,
        };
        let cut = Cut {
            by: CutBy::Kill,
            why: "the engine was killed".into(),
            at: None,
            session_lost: false,
            agent_known: true,
            undead: 0,
        };
        let failure = |past: &Past, cut: &Cut| match after(past, cut) {
            Happening::Lost(failure) => failure,
            other => panic!("{other:?}"),
        };
        let undead = failure(
            &past,
            &Cut {
                undead: 3,
                ..cut.clone()
            },
        );
        assert!(undead.message.contains("3 of its processes would not die"));
        let removed = failure(
            &past,
            &Cut {
                agent_known: false,
                ..cut.clone()
            },
        );
        assert_eq!(removed.code, "agent_removed");
        let spent = failure(
            &Past {
                attempts: 12,
                resumes: 10,
                ..past
            },
            &cut,
        );
        assert!(spent.message.contains("12 attempts"), "{}", spent.message);
        // A session that could not be taken up is none.
        let refused = Cut {
            session_lost: true,
            by: CutBy::Interruption,
            ..cut
        };
        assert_eq!(after(&past, &refused), Happening::Again(Again::Retry));
        let twice = Past {
            attempts: 2,
            ..past
        };
        let started = failure(&twice, &refused);
        assert!(
            started.message.contains("started 2 times"),
            "{}",
            started.message
        );
    }
}
