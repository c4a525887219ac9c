//! A run of the caller: one attempt, from its slot to its end.

use std::num::NonZeroU32;
use std::time::Duration;

use mesh_agents_a2a::remote::RemoteTimeouts;
use mesh_agents_a2a::remote::mirror::{Content, Do, Input, Mirror, Request, Terms};
use mesh_agents_core::ids::RunId;
use mesh_agents_core::question::Question;
use mesh_agents_core::run::{Answer, Before, Outcome, ResumeReason, RunEvent};
use mesh_agents_core::transition::Happening;
use mesh_agents_mesh::Moment;
use mesh_agents_tasks::decide::{Cut, CutBy, Past, after, goes_on, patience, still};
use ulid::Ulid;

use super::super::counts::Rare;
use super::{Attempt, Sent};

/// As definitions of other nodes' agents say.
const ATTEMPTS: NonZeroU32 = NonZeroU32::new(100).unwrap();

impl Sent {
    /// It has a slot, and an attempt begins; what it wants is returned. `away`, if its node is.
    pub(crate) fn starts(&mut self, now: Moment, away: bool) -> Vec<Request> {
        self.now = now.mono;
        let waits = self.task.deliver_until.is_some() && self.task.attempt == 0;
        assert!(!(waits && away), "{} leaves for nobody", self.task.id);
        let session = self.attempts.last().and_then(|last| last.session.clone());
        let resume = goes_on(self.standing.again, session);
        let wanted = self.standing.cancel_requested();
        self.task.attempt += 1;
        self.attempts.push(Attempt {
            session: resume.as_ref().map(|resume| resume.session_id.clone()),
            resumed: resume.is_some(),
        });
        self.happens(&Happening::Start);
        self.saw_start(resume.as_ref().map(|resume| resume.why));
        let mut before = Before::default();
        if resume.is_some() {
            before.said = self.text.clone();
            (before.question, before.answer) = self.answered.clone().unzip();
            before.open = self.open.clone();
            if before.open.is_some() {
                self.seen.insert(Rare::StillOpen);
            }
        } else {
            self.text.clear();
            self.answered = None;
        }
        let mut timeouts = RemoteTimeouts::default();
        let attempt = self.task.attempt;
        let sent_at = self.task.created_at;
        if let Some(patience) = patience(self.task.deliver_until, attempt, sent_at, now.wall) {
            timeouts.opening = timeouts.opening.max(patience);
            timeouts.delivery = patience;
        }
        let sent_again = timeouts.delivery.max(timeouts.opening).as_millis();
        self.limit = now.mono + u64::try_from(sent_again).unwrap();
        let terms = Terms {
            task: self.task.id.clone(),
            attempt,
            run: RunId::from_ulid(Ulid::from_parts(now.mono, u128::from(attempt))),
            prompt: "Do it.".to_owned(),
            resume,
            before,
            place: self.place.clone(),
            require: Vec::new(),
            on_mesh: true,
            streaming: true,
            url: "mesh://there/a2a/agents/x".to_owned(),
            bearer_env: None,
            timeouts,
        };
        self.opened = false;
        self.mirror = Some(Mirror::new(terms, Duration::from_millis(now.mono)));
        let mut wants = self.perform();
        if wanted {
            wants.extend(self.tell(Input::Cancel, now.mono));
        }
        wants
    }

    fn saw_start(&mut self, why: Option<ResumeReason>) {
        let first = self.task.attempt == 1;
        match why {
            None if first && self.task.deliver_until.is_some() => {
                self.seen.insert(Rare::Delivered);
            }
            None if first => {}
            None => {
                self.seen.insert(Rare::Resent);
                if self.task.deliver_until.is_some() {
                    self.seen.insert(Rare::Unsure);
                }
            }
            Some(_) => {
                self.seen.insert(Rare::Resumed);
            }
        }
    }

    /// Tells the mirror; the requests it wants made now.
    pub(crate) fn tell(&mut self, input: Input, now: u64) -> Vec<Request> {
        self.now = now;
        if let Some(mirror) = &mut self.mirror {
            mirror.take(input, Duration::from_millis(now));
        }
        let wants = self.perform();
        // Kept now and then, and forgotten at once.
        let place = self.mirror.as_ref().and_then(Mirror::place);
        if place.is_none() || now.is_multiple_of(3) {
            self.place = place.cloned();
        }
        wants
    }

    fn perform(&mut self) -> Vec<Request> {
        let mut wants = Vec::new();
        while let Some(next) = self.mirror.as_mut().and_then(Mirror::next) {
            match next {
                Do::Request(request) => {
                    (self.request, self.stream) = (None, None);
                    // One is under way at a time.
                    wants = vec![request];
                }
                Do::HangUp => {
                    (self.request, self.stream) = (None, None);
                    wants.clear();
                }
                Do::Log(event) => {
                    let declined = self.write(event);
                    if let (Some(input), Some(mirror)) = (declined, &mut self.mirror) {
                        mirror.take(input, Duration::from_millis(self.now));
                    }
                }
                Do::Keep(kept) => {
                    assert!(self.ended.is_none(), "kept after the end");
                    let Content::Here(content) = kept.content else {
                        panic!("nothing stays with its node here")
                    };
                    self.files.insert(kept.id.to_string(), content);
                }
            }
        }
        wants
    }

    /// Stores what the run says; what it is told at once.
    fn write(&mut self, event: RunEvent) -> Option<Input> {
        assert!(self.ended.is_none(), "said after the end: {event:?}");
        match event {
            RunEvent::Text(text) => self.text.push_str(&text),
            RunEvent::Started { session_id, .. } => self.opens(session_id),
            // Nobody answers a run that is being stopped.
            RunEvent::Question { id, .. } if self.standing.stopping.is_some() => {
                return Some(Input::Answer(id, Answer::Declined));
            }
            RunEvent::Question {
                id,
                kind,
                text,
                options,
            } => {
                assert!(self.open.is_none(), "{} asks twice", self.task.id);
                self.open = Some(Question {
                    id,
                    kind,
                    text,
                    options,
                });
                self.happens(&Happening::Asked(kind));
            }
            RunEvent::QuestionGone(id) if self.open.as_ref().is_some_and(|one| one.id == id) => {
                self.open = None;
                self.happens(&Happening::Settled);
            }
            RunEvent::Note { code, .. } => {
                self.notes.insert(code);
            }
            RunEvent::Ended(Outcome::Interrupted(why)) => {
                let resumed = self.attempts.last().is_some_and(|last| last.resumed);
                self.run_gone(CutBy::Interruption, &why, resumed && !self.opened);
            }
            RunEvent::Ended(outcome) => {
                self.happens(&Happening::Ended(outcome.clone()));
                self.mirror = None;
                self.slots.end(&self.task.agent_id, &self.task.id);
                self.ends(outcome);
            }
            _ => {}
        }
        None
    }

    /// The owner has named its task.
    fn opens(&mut self, session_id: String) {
        let known = self.remote.get_or_insert_with(|| session_id.clone());
        assert_eq!(*known, session_id, "two tasks of one message");
        self.opened = true;
        self.attempts.last_mut().unwrap().session = Some(session_id);
        self.task.deliver_until = still(self.task.deliver_until, self.task.state, true);
    }

    /// The run is gone before its end.
    pub(super) fn run_gone(&mut self, by: CutBy, why: &str, session_lost: bool) {
        self.mirror = None;
        if session_lost {
            self.attempts.iter_mut().for_each(|one| one.session = None);
        }
        let count = |attempts: usize| u32::try_from(attempts).unwrap();
        let past = Past {
            asks: self.standing.state.is_interrupted(),
            session: self.attempts.last().is_some_and(|a| a.session.is_some()),
            attempts: count(self.attempts.len()),
            resumes: count(self.attempts.iter().filter(|one| one.resumed).count()),
            max_attempts: ATTEMPTS.get(),
            retry: true,
            elsewhere: true,
        };
        let cut = Cut {
            by,
            why: why.to_owned(),
            at: None,
            session_lost,
            agent_known: true,
            undead: 0,
        };
        let happening = after(&past, &cut);
        self.happens(&happening);
        if self.standing.parked() {
            self.seen.insert(Rare::Parked);
        }
        self.slots.end(&self.task.agent_id, &self.task.id);
        if let (true, Happening::Lost(failure)) = (self.standing.state.is_terminal(), happening) {
            self.ends(Outcome::Failed(failure));
        }
    }

    /// When its mirror wants to be woken.
    pub(crate) fn wake(&self) -> Option<u64> {
        let at = self.mirror.as_ref()?.wake()?;
        Some(u64::try_from(at.as_millis()).unwrap_or(u64::MAX) + 1)
    }

    /// Whether its run waits for nothing but the time of its next try.
    pub(crate) fn tries_again(&self) -> bool {
        self.mirror.as_ref().is_some_and(Mirror::waits)
    }
}
