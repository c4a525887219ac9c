//! The caller's side of a task: what its engine has stored, and the real mirror while one is at work.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use mesh_agents_a2a::remote::RemoteTimeouts;
use mesh_agents_a2a::remote::mirror::{Do, Input, Mirror, Request, Terms};
use mesh_agents_core::ids::{AgentId, QuestionId, RunId, TaskId};
use mesh_agents_core::run::{Answer, Before, Outcome, Resume, ResumeReason, RunEvent};
use mesh_agents_core::task::TaskState;
use mesh_agents_core::transition::{Again, Happening, Standing, StopCause, next};
use mesh_agents_mesh::NodeKey;
use ulid::Ulid;

/// One task sent to another node.
pub(crate) struct Sent {
    pub(crate) id: TaskId,
    pub(crate) agent: AgentId,
    pub(crate) owner: NodeKey,
    pub(crate) standing: Standing,
    attempt: u32,
    // What is stored.
    pub(crate) text: String,
    session: Option<String>,
    pub(crate) open: Option<QuestionId>,
    pub(crate) files: BTreeMap<String, Vec<u8>>,
    pub(crate) ended: Option<Outcome>,
    pub(crate) wish: bool,
    // What ends with the engine.
    mirror: Option<Mirror>,
    /// The request that waits for its answer.
    pub(crate) request: Option<u64>,
    /// The stream that is read.
    pub(crate) stream: Option<u64>,
    // For whoever checks.
    pub(crate) denied: bool,
    pub(crate) notes: BTreeSet<String>,
}

impl Sent {
    pub(crate) fn new(n: u64, agent: AgentId, owner: NodeKey) -> Self {
        Self {
            id: TaskId::from_ulid(Ulid::from_parts(n, u128::from(n))),
            agent,
            owner,
            standing: Standing::NEW,
            attempt: 0,
            text: String::new(),
            session: None,
            open: None,
            files: BTreeMap::new(),
            ended: None,
            wish: false,
            mirror: None,
            request: None,
            stream: None,
            denied: false,
            notes: BTreeSet::new(),
        }
    }

    /// The id of the message that makes the task, at its owner.
    pub(crate) fn message(&self) -> String {
        format!("{}:1", self.id)
    }

    fn happens(&mut self, happening: &Happening) {
        let next = next(self.standing, happening);
        assert!(
            next.is_ok() || !self.standing.state.is_terminal(),
            "{happening:?} after the end of {}",
            self.id
        );
        if let Ok(next) = next {
            self.standing = next.standing;
        }
    }

    /// An attempt begins; what it wants is returned.
    pub(crate) fn starts(&mut self, now: u64) -> Vec<Request> {
        self.happens(&Happening::Start);
        self.begins(now)
    }

    fn begins(&mut self, now: u64) -> Vec<Request> {
        self.attempt += 1;
        let why = ResumeReason::Interrupted;
        let resume = self
            .session
            .clone()
            .map(|session_id| Resume { session_id, why });
        if resume.is_none() {
            self.text.clear();
        }
        let terms = Terms {
            task: self.id.clone(),
            attempt: self.attempt,
            run: RunId::from_ulid(Ulid::from_parts(now, u128::from(self.attempt))),
            prompt: "Do it.".to_owned(),
            resume,
            before: Before {
                said: self.text.clone(),
                ..Before::default()
            },
            require: Vec::new(),
            on_mesh: true,
            streaming: true,
            url: "mesh://there/a2a/agents/x".to_owned(),
            bearer_env: None,
            timeouts: RemoteTimeouts::default(),
        };
        self.mirror = Some(Mirror::new(terms, Duration::from_millis(now)));
        let mut wants = self.perform();
        if self.wish {
            wants.extend(self.tell(Input::Cancel, now));
        }
        wants
    }

    /// Tells the mirror; the requests it wants made now.
    pub(crate) fn tell(&mut self, input: Input, now: u64) -> Vec<Request> {
        if let Some(mirror) = &mut self.mirror {
            mirror.take(input, Duration::from_millis(now));
        }
        self.perform()
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
                Do::Log(event) => self.write(event),
                Do::Keep(kept) => {
                    assert!(self.ended.is_none(), "kept after the end");
                    self.files.insert(kept.id.to_string(), kept.content);
                }
            }
        }
        wants
    }

    fn write(&mut self, event: RunEvent) {
        assert!(self.ended.is_none(), "said after the end: {event:?}");
        match event {
            RunEvent::Text(text) => self.text.push_str(&text),
            RunEvent::Started { session_id, .. } => {
                let known = self.session.get_or_insert_with(|| session_id.clone());
                assert_eq!(*known, session_id, "two tasks of one message");
            }
            RunEvent::Question { id, kind, .. } => {
                self.open = Some(id);
                self.happens(&Happening::Asked(kind));
            }
            RunEvent::QuestionGone(_) => {
                self.open = None;
                self.happens(&Happening::Settled);
            }
            RunEvent::Note { code, .. } => {
                self.notes.insert(code);
            }
            RunEvent::Ended(outcome) => {
                self.happens(&Happening::Ended(outcome.clone()));
                self.mirror = None;
                self.open = None;
                self.ended = Some(outcome);
            }
            _ => {}
        }
    }

    /// Its user answers.
    pub(crate) fn answers(&mut self, now: u64) -> Vec<Request> {
        let Some(id) = self.open.take() else {
            return Vec::new();
        };
        self.happens(&Happening::Settled);
        self.tell(Input::Answer(id, Answer::Option("a".to_owned())), now)
    }

    /// Its user wants the end.
    pub(crate) fn cancels(&mut self, now: u64) -> Vec<Request> {
        self.wish = true;
        let waits = self.standing.state == TaskState::Submitted;
        self.happens(&Happening::Stop(StopCause::Canceled));
        if waits {
            // Nothing of it left this node.
            self.ended = Some(Outcome::Canceled);
            return Vec::new();
        }
        self.tell(Input::Cancel, now)
    }

    /// The engine was killed, and another takes up what is stored.
    pub(crate) fn taken_up(&mut self, now: u64) -> Vec<Request> {
        (self.mirror, self.request, self.stream) = (None, None, None);
        if self.standing.state.is_terminal() || !self.standing.runs() {
            return Vec::new();
        }
        if self.open.take().is_some() {
            self.happens(&Happening::Settled);
        }
        if self.wish {
            // A wish is stored: the next attempt says it again.
            return self.begins(now);
        }
        let again = match self.session {
            Some(_) => Again::Resume,
            None => Again::Retry,
        };
        self.happens(&Happening::Again(again));
        self.starts(now)
    }

    /// Whether it has not left yet: its owner was away.
    pub(crate) fn waits(&self) -> bool {
        self.standing.state == TaskState::Submitted
    }

    /// When its mirror wants to be woken.
    pub(crate) fn wake(&self) -> Option<u64> {
        let at = self.mirror.as_ref()?.wake()?;
        Some(u64::try_from(at.as_millis()).unwrap_or(u64::MAX) + 1)
    }
}
