//! What the caller does about one task of a remote agent: a machine without I/O, clock or runtime.
//!
//! It is told what happened ([`Input`], with the time as a value) and says what to do ([`Do`]): the
//! next request, what belongs in the caller's own log, and when to wake it ([`Mirror::wake`]). One
//! request or stream is under way at a time; a new one takes its place. `job` performs what it says;
//! a test may drive it without a byte sent.
//!
//! What it holds to, however often contact is lost:
//! - the message that makes the task has one id, `<task>:1`, in every attempt; a node that has taken
//!   it answers a repeat with the same task;
//! - what the owner says is applied once and in order: a node numbers it ([`SEQ`]), and what is not
//!   newer than the newest applied is left alone; what was missed is asked for by that number, and a node
//!   that cannot go on there tells the whole task;
//! - text goes on from what was passed on, never back;
//! - the end is said once, and nothing after it;
//! - with a node of the mesh loss of contact decides nothing: not the end, not even of a cancel, which
//!   is told as soon as the node is there. An HTTP server is given up after a while;
//! - a message of which a node does not say what it made of it is sent again for as long as one waits for a
//!   node that is away, and given up then with what is known: that it may have arrived, or that it has not.

mod ask;
mod backoff;
mod cancel;
mod close;
mod follow;
mod hear;
mod open;
mod phase;
mod place;

use std::collections::VecDeque;
use std::time::Duration;

use a2a::{Message, StreamResponse, Task, TaskStatus};
use mesh_agents_core::ids::{ArtifactId, QuestionId, RunId, TaskId};
use mesh_agents_core::question::Question;
use mesh_agents_core::run::{self, Before, Outcome, Resume, RunEvent};

use self::backoff::Backoff;
use self::open::Said;
use self::phase::{Asking, Look, Phase};
pub use self::place::Place;
use super::RemoteTimeouts;
use super::fault::Fault;
use super::results::Results;
pub use crate::peer::SEQ;

/// How long a cancel waits for an HTTP server to name a task it was only just sent: without its id
/// nothing can be canceled over there.
const NAMING: Duration = Duration::from_millis(500);

/// A moment, as the time since any fixed one.
pub type Now = Duration;

/// What a mirror starts from.
#[derive(Debug, Clone)]
pub struct Terms {
    /// The caller's task.
    pub task: TaskId,
    /// Which attempt of it, 1 for the first.
    pub attempt: u32,
    /// The run; its questions are named after it.
    pub run: RunId,
    /// The message that makes the task.
    pub prompt: String,
    /// The remote task to go on with, or the earlier one of the same context.
    pub resume: Option<Resume>,
    /// What the caller's own log has of the task already.
    pub before: Before,
    /// How far an earlier engine followed the task, as was kept of it.
    pub place: Option<Place>,
    /// Artifacts the result must hold (`result.require`).
    pub require: Vec<ArtifactId>,
    /// Whether the remote is a node of the mesh: it knows a repeated message, numbers what it says,
    /// and is waited for as long as it takes.
    pub on_mesh: bool,
    /// Whether it streams, as far as is known.
    pub streaming: bool,
    /// What it is called in messages for people.
    pub url: String,
    /// The variable that names its token, for the message when it refuses the token.
    pub bearer_env: Option<String>,
    /// How long things may take.
    pub timeouts: RemoteTimeouts,
}

/// What happened.
#[derive(Debug)]
pub enum Input {
    /// The request under way was answered.
    Answered(Answered),
    /// The request under way failed.
    Failed(Fault),
    /// The stream said something.
    Event(Box<StreamResponse>),
    /// The stream ended, with the fault that ended it or without a word.
    Closed(Option<Fault>),
    /// The time of [`Mirror::wake`] has come.
    Tick,
    /// There is another way to the remote than there was when contact broke.
    Back,
    /// The caller's user answers a question.
    Answer(QuestionId, run::Answer),
    /// The caller's user wants the end.
    Cancel,
}

/// A good answer to a request.
#[derive(Debug)]
pub enum Answered {
    /// The task as it stands.
    Task(Box<Task>),
    /// A message instead of a task.
    Message(Box<Message>),
    /// A stream, which [`Input::Event`] and [`Input::Closed`] tell of.
    Stream,
}

/// What to do now, in order.
#[derive(Debug)]
pub enum Do {
    /// Make this request; one that is under way, or a stream, is dropped.
    Request(Request),
    /// Drop the stream or request that is under way.
    HangUp,
    /// Write this in the caller's own log. [`RunEvent::Ended`] is the last of all.
    Log(RunEvent),
    /// Keep this artifact.
    Keep(Kept),
}

/// An artifact to be kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kept {
    /// Its id here.
    pub id: ArtifactId,
    /// Its media type.
    pub media_type: String,
    /// Its content.
    pub content: Content,
    /// False when the task did not complete.
    pub complete: bool,
}

/// Where the content of an artifact is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// It came.
    Here(Vec<u8>),
    /// It stayed with its node.
    There {
        /// What it is called there.
        name: String,
        /// Its digest, as the node says: SHA-256, hex.
        sha256: String,
        /// Its length in bytes, as the node says.
        bytes: u64,
    },
}

/// A request to the remote.
#[derive(Debug, Clone, PartialEq)]
pub enum Request {
    /// Send this message, and follow what comes of it if `stream`.
    Send {
        /// The message, whose id is the same in every repeat.
        message: Box<Message>,
        /// Whether to ask for a stream.
        stream: bool,
        /// The newest event applied of the task the message is for; a node begins the stream behind it, as that
        /// of [`Request::Subscribe`]. 0 for none.
        after: u64,
    },
    /// Ask how a task stands.
    Get {
        /// The remote's id for it.
        task: String,
    },
    /// Follow a task. A node begins its stream behind the event `after`; one that cannot, and any other
    /// server, begins with the whole task. An event is applied once either way.
    Subscribe {
        /// The remote's id for it.
        task: String,
        /// The newest event applied; 0 for none.
        after: u64,
        /// How long to leave the stream unread: a server that takes subscribers and drops them must
        /// not be flooded.
        rest: Duration,
    },
    /// Ask for the end of a task.
    Cancel {
        /// The remote's id for it.
        task: String,
    },
}

/// The machine.
#[derive(Debug)]
pub struct Mirror {
    terms: Terms,
    now: Now,
    /// When it began.
    begun: Now,
    phase: Phase,
    /// When the phase is over by itself.
    timer: Option<Now>,
    /// When a stream that lives gives its next sign of life.
    alive: Now,
    out: VecDeque<Do>,
    /// The remote's id for the task, once it is known.
    remote: Option<String>,
    /// Whether the caller's log has it.
    announced: bool,
    /// The newest event of the owner's log that was applied.
    seq: u64,
    /// Nothing was heard yet, and `seq` is what was kept of an earlier run.
    remembers: bool,
    /// Where a later engine can go on.
    place: Option<Place>,
    results: Results,
    /// The agent's last message in the history.
    last_words: Option<String>,
    /// What the last status at work said, so that it is told once.
    told: Option<String>,
    /// The message that makes the task, once it is known what it says.
    first: Option<Box<Message>>,
    /// Whether the remote may have it.
    said: Said,
    /// When the last one was.
    sent_at: Now,
    /// Messages sent in this run.
    sent: u32,
    /// Questions asked in this run.
    asked: u32,
    /// What an earlier run asked the caller's user, and nobody has answered or taken back yet.
    open: Option<Question>,
    /// The answer that came while no run was there to pass it on.
    late: Option<run::Answer>,
    /// What was answered last, and which question.
    answered: Option<(QuestionId, run::Answer)>,
    /// What the remote said to an answer it did not take.
    refused: Option<String>,
    /// When the remote was last heard.
    contact: Now,
    /// Whether contact is lost now, and was told to be.
    lost: bool,
    /// Whether it was told that the remote asks to come again later.
    busy: bool,
    /// Whether the log may say of an earlier run that contact is lost.
    unsure: bool,
    /// When the end was asked for.
    cancel: Option<Now>,
    /// Whether the end was said.
    ended: bool,
    retry: Backoff,
    poll: Backoff,
}

/// How the remote ended.
#[derive(Debug)]
enum End {
    /// The task reached its end; `whole` when all of it was just seen.
    Task { status: TaskStatus, whole: bool },
    /// The remote answered without making a task.
    Message(Message),
    /// Otherwise.
    Other(Outcome),
}

impl Mirror {
    /// A mirror that begins at `now`. What to do first is in [`Self::next`].
    #[must_use]
    pub fn new(terms: Terms, now: Now) -> Self {
        let times = &terms.timeouts;
        let place = terms
            .place
            .clone()
            .filter(|place| terms.on_mesh && place.fits(terms.resume.as_ref(), &terms.before));
        let said = terms.before.said.clone();
        // What the log has behind the place comes again.
        let again = place.as_ref().map_or(0, |place| said.len() - place.said);
        let mut mirror = Self {
            now,
            begun: now,
            phase: Phase::Over,
            timer: None,
            alive: now,
            out: VecDeque::new(),
            remote: None,
            announced: false,
            seq: place.as_ref().map_or(0, |place| place.seq),
            remembers: place.is_some(),
            place,
            results: Results::going_on(said, again, terms.on_mesh),
            last_words: None,
            told: None,
            first: None,
            // What an earlier attempt sent may have arrived.
            said: if terms.attempt > 1 {
                Said::Perhaps
            } else {
                Said::No
            },
            sent_at: now,
            sent: 0,
            asked: 0,
            open: terms.before.open.clone(),
            late: None,
            answered: None,
            refused: None,
            contact: now,
            lost: false,
            busy: false,
            unsure: terms.attempt > 1,
            cancel: None,
            ended: false,
            retry: Backoff::new(times.retry_first, times.retry_most),
            poll: Backoff::new(times.retry_first, times.poll_most),
            terms,
        };
        mirror.first();
        mirror
    }

    /// Takes what happened at `now`. After the end nothing is taken, and what does not fit what it
    /// waits for is left alone.
    pub fn take(&mut self, input: Input, now: Now) {
        if self.is_over() {
            return;
        }
        self.now = self.now.max(now);
        match input {
            Input::Answered(answered) => self.answered(answered),
            Input::Failed(fault) => self.failed(&fault),
            Input::Event(event) => self.event(*event),
            Input::Closed(fault) => self.closed(fault),
            Input::Answer(id, answer) => self.answer(&id, &answer),
            Input::Cancel => self.cancel = self.cancel.or(Some(self.now)),
            Input::Tick => self.tick(),
            Input::Back => self.back(),
        }
        self.heed_cancel();
    }

    /// What to do now; `None` when all is said.
    // Not an iterator: more comes after the next input.
    #[expect(
        clippy::should_implement_trait,
        reason = "it is asked again after each input, which an iterator that said None is not"
    )]
    pub fn next(&mut self) -> Option<Do> {
        self.out.pop_front()
    }

    /// When to say [`Input::Tick`]; `None` while nothing is due by itself.
    #[must_use]
    pub fn wake(&self) -> Option<Now> {
        let alive = matches!(self.phase, Phase::Reading { .. }).then_some(self.alive);
        let naming = self.naming();
        [self.timer, alive, naming].into_iter().flatten().min()
    }

    /// Whether the end was said.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.ended
    }

    /// Waits for so long, and then does what the phase says.
    fn after(&mut self, pause: Duration, phase: Phase) {
        self.timer = Some(self.now.saturating_add(pause));
        self.phase = phase;
    }

    fn request(&mut self, request: Request, phase: Phase) {
        self.timer = None;
        self.phase = phase;
        self.out.push_back(Do::Request(request));
    }

    fn log(&mut self, event: RunEvent) {
        self.out.push_back(Do::Log(event));
    }

    fn note(&mut self, code: &str, text: String) {
        let code = code.to_owned();
        self.log(RunEvent::Note { code, text });
    }

    /// The last word.
    fn over(&mut self, outcome: Outcome) {
        self.timer = None;
        self.phase = Phase::Over;
        self.ended = true;
        self.out.push_back(Do::HangUp);
        self.log(RunEvent::Ended(outcome));
    }

    /// The task over there, for a person.
    fn remote_name(&self) -> String {
        let url = &self.terms.url;
        match &self.remote {
            Some(id) => format!("task {id} at {url}"),
            None => format!("the message sent to {url}"),
        }
    }

    fn failure_of(&self, fault: &Fault) -> Outcome {
        let bearer_env = self.terms.bearer_env.as_deref();
        Outcome::Failed(fault.failure(&self.terms.url, bearer_env))
    }
}

#[cfg(test)]
mod tests;
