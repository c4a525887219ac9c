//! A mirror, its owner and a bad line between them, all values: every seed is one history.

mod contact;
mod places;
mod questions;

use std::collections::BTreeMap;

use a2a::{
    Artifact, Part, Role, StreamResponse, TaskArtifactUpdateEvent, TaskState, TaskStatusUpdateEvent,
};
use mesh_agents_core::run::{Answer, QuestionKind, ResumeReason};
use serde_json::{Value, json};
use ulid::Ulid;

use super::*;
use crate::remote::fault::Stage;

/// Numbers that look random; the same seed gives the same.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// One event of the owner's log.
#[derive(Clone)]
enum Said {
    Text(String),
    State(TaskState, Option<Message>),
}

/// The owner: one task for each message id, and a log of it.
#[derive(Default)]
struct Owner {
    tasks: BTreeMap<String, Vec<Said>>,
    answers: Vec<String>,
    cancels: u32,
}

const ID: &str = "task-there";

impl Owner {
    fn log(&self) -> &[Said] {
        self.tasks.values().next().map_or(&[], Vec::as_slice)
    }

    fn say(&mut self, said: Said) {
        if let Some(log) = self.tasks.values_mut().next() {
            log.push(said);
        }
    }

    fn status(&self) -> TaskStatus {
        let last = self.log().iter().rev().find_map(|said| match said {
            Said::State(state, message) => Some((state.clone(), message.clone())),
            Said::Text(_) => None,
        });
        let (state, message) = last.unwrap_or((TaskState::Submitted, None));
        TaskStatus {
            state,
            message,
            timestamp: None,
        }
    }

    fn text(&self) -> String {
        let texts = self.log().iter().filter_map(|said| match said {
            Said::Text(text) => Some(text.as_str()),
            Said::State(..) => None,
        });
        texts.collect()
    }

    fn task(&self) -> Task {
        let text = self.text();
        Task {
            id: ID.to_owned(),
            context_id: "there".to_owned(),
            status: self.status(),
            artifacts: (!text.is_empty()).then(|| vec![response(text)]),
            history: None,
            metadata: Some(HashMapOf::from([(SEQ.to_owned(), json!(self.log().len()))])),
        }
    }

    /// The event of that number, as a stream tells it.
    fn event(&self, seq: usize) -> StreamResponse {
        let metadata = Some(HashMapOf::from([(SEQ.to_owned(), json!(seq))]));
        match self.log()[seq - 1].clone() {
            Said::Text(text) => StreamResponse::ArtifactUpdate(TaskArtifactUpdateEvent {
                task_id: ID.to_owned(),
                context_id: "there".to_owned(),
                artifact: response(text),
                append: Some(true),
                last_chunk: None,
                metadata,
            }),
            Said::State(state, message) => StreamResponse::StatusUpdate(TaskStatusUpdateEvent {
                task_id: ID.to_owned(),
                context_id: "there".to_owned(),
                status: TaskStatus {
                    state,
                    message,
                    timestamp: None,
                },
                metadata,
            }),
        }
    }

    fn over(&self) -> bool {
        self.status().state.is_terminal()
    }

    fn take(&mut self, message: &Message) {
        if message.task_id.is_some() {
            if self.status().state == TaskState::InputRequired
                && !self.answers.contains(&message.message_id)
            {
                self.answers.push(message.message_id.clone());
                self.say(Said::State(TaskState::Working, None));
            }
        } else {
            let new = vec![Said::State(TaskState::Working, None)];
            self.tasks.entry(message.message_id.clone()).or_insert(new);
        }
    }

    /// Works a little.
    fn work(&mut self, dice: &mut Dice, n: usize) {
        if self.log().is_empty() || self.over() {
            return;
        }
        if self.status().state == TaskState::InputRequired {
            return;
        }
        match dice.roll(12) {
            0 => self.say(Said::State(
                TaskState::InputRequired,
                Some(question(n, &format!("q{n}"))),
            )),
            1 => self.say(Said::State(TaskState::Completed, None)),
            _ => self.say(Said::Text(format!("{n} "))),
        }
    }
}

type HashMapOf = std::collections::HashMap<String, Value>;

fn response(text: String) -> Artifact {
    Artifact {
        artifact_id: "response".to_owned(),
        name: None,
        description: None,
        parts: vec![Part::text(text)],
        metadata: None,
        extensions: None,
    }
}

fn question(n: usize, id: &str) -> Message {
    let parts = json!([{"text": "Which?"}, {"data": {"question_id": id, "kind": "elicitation",
        "options": [{"id": "a", "name": "A", "kind": "choice"}]}}]);
    Message {
        message_id: format!("m{n}"),
        context_id: None,
        task_id: Some(ID.to_owned()),
        role: Role::Agent,
        parts: serde_json::from_value(parts).unwrap(),
        metadata: None,
        extensions: None,
        reference_task_ids: None,
    }
}

fn terms(on_mesh: bool) -> Terms {
    Terms {
        task: TaskId::from_ulid(Ulid::from_parts(7, 7)),
        attempt: 1,
        run: RunId::from_ulid(Ulid::from_parts(7, 8)),
        prompt: "Do it.".to_owned(),
        resume: None,
        before: Before::default(),
        place: None,
        require: Vec::new(),
        on_mesh,
        streaming: true,
        url: "mesh://there/a2a/agents/x".to_owned(),
        bearer_env: None,
        timeouts: RemoteTimeouts::default(),
    }
}

/// What the caller's engine has stored.
#[derive(Default)]
struct Stored {
    text: String,
    session: Option<String>,
    place: Option<Place>,
    open: Option<Question>,
    ended: Option<Outcome>,
}

impl Stored {
    fn write(&mut self, event: RunEvent) {
        assert!(self.ended.is_none(), "said after the end: {event:?}");
        match event {
            RunEvent::Text(text) => self.text.push_str(&text),
            RunEvent::Started { session_id, .. } => self.session = Some(session_id),
            RunEvent::Question {
                id,
                kind,
                text,
                options,
            } => {
                assert_eq!(kind, QuestionKind::Elicitation);
                assert!(self.open.is_none(), "two questions at once");
                self.open = Some(Question {
                    id,
                    kind,
                    text,
                    options,
                });
            }
            RunEvent::QuestionGone(id) => {
                assert_eq!(self.open.take().map(|open| open.id), Some(id));
            }
            RunEvent::Ended(outcome) => self.ended = Some(outcome),
            _ => {}
        }
    }
}

/// One history, to its end.
struct World {
    dice: Dice,
    owner: Owner,
    stored: Stored,
    mirror: Mirror,
    now: Now,
    attempt: u32,
    request: Option<Request>,
    /// The next event of the stream that is open.
    stream: Option<usize>,
    whole: bool,
    bad: u64,
}

impl World {
    fn new(seed: u64) -> Self {
        Self {
            dice: Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            owner: Owner::default(),
            stored: Stored::default(),
            mirror: Mirror::new(terms(true), Now::ZERO),
            now: Now::ZERO,
            attempt: 1,
            request: None,
            stream: None,
            whole: false,
            bad: 3,
        }
    }

    fn perform(&mut self) {
        while let Some(next) = self.mirror.next() {
            match next {
                Do::Request(request) => {
                    self.stream = None;
                    self.request = Some(request);
                }
                Do::HangUp => (self.request, self.stream) = (None, None),
                Do::Log(event) => self.stored.write(event),
                Do::Keep(_) => {}
            }
        }
        // Kept now and then, and forgotten at once.
        let place = self.mirror.place().cloned();
        if place.is_none() || self.dice.roll(3) == 0 {
            self.stored.place = place;
        }
    }

    fn tell(&mut self, input: Input) {
        self.mirror.take(input, self.now);
        self.perform();
    }

    fn fault(&mut self, arrived: bool) -> Fault {
        if arrived || self.dice.roll(3) == 0 {
            return Fault::Broken {
                cause: "the line".to_owned(),
            };
        }
        Fault::Unconnected {
            stage: Stage::Refused,
            cause: "nobody there".to_owned(),
        }
    }

    /// The request under way gets its answer, or the line swallows it or the answer.
    fn exchange(&mut self, request: &Request) {
        let lost = self.dice.roll(10) < self.bad;
        if lost && self.dice.roll(2) == 0 {
            let fault = self.fault(false);
            return self.tell(Input::Failed(fault));
        }
        let told = |owner: &Owner| Input::Answered(Answered::Task(Box::new(owner.task())));
        let answer = match request {
            Request::Send { message, .. } => {
                self.owner.take(message);
                None
            }
            Request::Get { .. } => Some(told(&self.owner)),
            Request::Cancel { .. } => {
                self.owner.cancels += 1;
                if !self.owner.over() {
                    self.owner.say(Said::State(TaskState::Canceled, None));
                }
                Some(told(&self.owner))
            }
            Request::Subscribe { .. } if self.owner.over() => Some(Input::Failed(Fault::Told {
                code: a2a::error_code::UNSUPPORTED_OPERATION,
                words: "it has ended".to_owned(),
            })),
            Request::Subscribe { .. } => None,
        };
        if lost {
            let fault = self.fault(true);
            return self.tell(Input::Failed(fault));
        }
        match answer {
            Some(answer) => self.tell(answer),
            None => {
                // Some owners go on behind what was applied, others tell the whole task.
                let behind = match request {
                    Request::Subscribe { after, .. } | Request::Send { after, .. }
                        if *after > 0 =>
                    {
                        (self.dice.roll(3) > 0).then(|| usize::try_from(*after).unwrap())
                    }
                    _ => None,
                };
                self.whole = behind.is_none();
                self.stream = Some(behind.unwrap_or(self.owner.log().len()));
                self.tell(Input::Answered(Answered::Stream));
            }
        }
    }

    /// The stream says its next, breaks, or says something again.
    fn read(&mut self, at: usize) {
        if self.dice.roll(20) < self.bad {
            self.stream = None;
            let fault = (self.dice.roll(2) == 0).then(|| self.fault(true));
            return self.tell(Input::Closed(fault));
        }
        if std::mem::take(&mut self.whole) {
            let task = StreamResponse::Task(self.owner.task());
            self.stream = Some(self.owner.log().len());
            return self.tell(Input::Event(Box::new(task)));
        }
        if at > 0 && self.dice.roll(4) == 0 {
            let again = 1 + usize::try_from(self.dice.roll(at as u64)).unwrap();
            let event = self.owner.event(again);
            return self.tell(Input::Event(Box::new(event)));
        }
        if at < self.owner.log().len() {
            self.stream = Some(at + 1);
            let event = self.owner.event(at + 1);
            self.tell(Input::Event(Box::new(event)));
        }
    }

    /// The caller's engine dies and another takes up what is stored.
    fn restart(&mut self) {
        self.attempt += 1;
        let why = ResumeReason::Interrupted;
        let resume = self
            .stored
            .session
            .clone()
            .map(|session_id| Resume { session_id, why });
        if resume.is_none() {
            self.stored.text.clear();
        }
        (self.request, self.stream, self.whole) = (None, None, false);
        let new = Terms {
            attempt: self.attempt,
            resume,
            place: self.stored.place.clone(),
            before: Before {
                said: self.stored.text.clone(),
                open: self.stored.open.clone(),
                ..Before::default()
            },
            ..terms(true)
        };
        self.mirror = Mirror::new(new, self.now);
        self.perform();
    }

    fn step(&mut self, n: usize) {
        self.now += Duration::from_millis(100);
        self.owner.work(&mut self.dice, n);
        if self.mirror.wake().is_some_and(|at| at <= self.now) {
            self.tell(Input::Tick);
        }
        if self.dice.roll(5) == 0
            && let Some(Question { id, .. }) = self.stored.open.take()
        {
            self.tell(Input::Answer(id, run::Answer::Option("a".to_owned())));
        }
        if self.dice.roll(60) < self.bad && self.stored.ended.is_none() {
            self.restart();
        }
        match (self.request.take(), self.stream) {
            (Some(request), _) => self.exchange(&request),
            (None, Some(at)) => self.read(at),
            (None, None) => {}
        }
    }
}

/// Whatever the line does: one task there, its text here to the letter, its end here.
#[test]
fn over_a_bad_line_the_mirror_ends_as_its_task_with_every_word_once() {
    for seed in 0..2000 {
        let mut world = World::new(seed);
        world.perform();
        let cancel_at = 20 + usize::try_from(world.dice.roll(200)).unwrap();
        let cancels = world.dice.roll(3) == 0;
        let mut canceled = false;
        for n in 0.. {
            assert!(n < 20_000, "seed {seed} never ends: {:?}", world.mirror);
            world.step(n);
            // A wish is stored: each engine says it again.
            if cancels && n >= cancel_at && !world.mirror.is_over() {
                canceled = true;
                world.tell(Input::Cancel);
            }
            if world.stored.ended.is_some() {
                break;
            }
        }
        let ended = world.stored.ended.clone().unwrap();
        let heard_nothing = world.owner.tasks.is_empty();
        match (&ended, world.owner.status().state) {
            // It could not be delivered at all, and that is what is said.
            (Outcome::Failed(failure), _) if heard_nothing => {
                assert_eq!(failure.code, "remote_unreachable", "seed {seed}");
                continue;
            }
            (Outcome::Canceled, _) if heard_nothing => {
                assert!(canceled, "seed {seed}");
                continue;
            }
            (Outcome::Completed { .. }, TaskState::Completed) => {}
            (Outcome::Canceled, TaskState::Canceled) => assert!(canceled, "seed {seed}"),
            other => panic!("seed {seed}: {other:?}"),
        }
        assert_eq!(world.owner.tasks.len(), 1, "seed {seed}");
        assert_eq!(world.stored.text, world.owner.text(), "seed {seed}");
    }
}

/// The requests a mirror has made since it was last asked.
fn requests(mirror: &mut Mirror) -> Vec<Request> {
    std::iter::from_fn(|| mirror.next())
        .filter_map(|next| match next {
            Do::Request(request) => Some(request),
            _ => None,
        })
        .collect()
}

fn later() -> Fault {
    Fault::Later {
        words: "the agent is full".to_owned(),
    }
}

fn away() -> Fault {
    Fault::Unconnected {
        stage: Stage::Refused,
        cause: "nobody there".to_owned(),
    }
}

fn logged(mirror: &mut Mirror) -> Vec<RunEvent> {
    std::iter::from_fn(|| mirror.next())
        .filter_map(|next| match next {
            Do::Log(event) => Some(event),
            _ => None,
        })
        .collect()
}
