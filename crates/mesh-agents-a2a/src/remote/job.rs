//! One run: does what its mirror says, and tells it what came of it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt as _;
use mesh_agents_core::ids::{ArtifactId, QuestionId};
use mesh_agents_core::run::{Answer, ArtifactSource, Outcome, RunEvent, RunSpec};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::call::{Caller, Stream};
use super::fault::Fault;
use super::mirror::{Answered, Content, Do, Input, Kept, Mirror, Now, Place, Request, Terms};
use super::outbox::Outbox;
use super::pipe::Pipe;
use super::target::{Target, misconfigured};
use super::wire::Patience;

/// How far a task was followed is kept this often at the most: what comes again after a kill is left out.
const PLACE_EVERY: Duration = Duration::from_secs(2);

/// One run to be done.
pub(super) struct Job {
    pub(super) shared: Arc<Shared>,
    pub(super) spec: RunSpec,
    pub(super) events: Outbox,
    pub(super) answers: mpsc::Receiver<(QuestionId, Answer)>,
    pub(super) cancel: CancellationToken,
}

impl Job {
    /// Does it, to the last event.
    pub(super) async fn run(self) {
        let events = self.events.clone();
        tokio::select! {
            () = self.hold() => {}
            // Nobody listens any more, which ends the run by force; the remote may go on.
            () = events.closed() => {}
        }
    }

    async fn hold(self) {
        let events = self.events.clone();
        let failure = match self.set_up().await {
            Ok(talk) => return talk.hold().await,
            Err(failure) => failure,
        };
        // A reader that is gone is noticed by `run`.
        events.say(RunEvent::Ended(Outcome::Failed(failure))).await;
    }

    async fn set_up(self) -> Result<Talk, mesh_agents_core::task::Failure> {
        let target = Target::of(&self.spec.agent, &self.shared.lookup)?;
        let pipe = self.shared.pipe(&target);
        let pipe = pipe.map_err(|error| misconfigured(error.to_string()))?;
        let mut timeouts = self.shared.timeouts;
        if let Some(patience) = self.spec.patience {
            timeouts.opening = timeouts.opening.max(patience);
            timeouts.delivery = patience;
        }
        let patience = Patience {
            first_byte: timeouts.first_byte,
        };
        let skill = self.spec.skill.as_deref();
        // What a result must hold is looked at when the task ends, so that comes whole.
        let by_reference = self.spec.agent.require.is_empty();
        let way = Arc::clone(&pipe);
        let caller = Caller::new(&target, skill, by_reference, way, patience).await?;
        let spec = self.spec;
        let kept = spec.dirs.logs().join("followed.json");
        // One that begins anew is told the whole.
        let place = match spec.resume {
            Some(_) => read_place(&kept).await,
            None => None,
        };
        let terms = Terms {
            task: spec.task_id,
            attempt: spec.attempt,
            run: spec.run_id,
            prompt: spec.prompt,
            resume: spec.resume,
            before: spec.before,
            place,
            require: spec.agent.require.clone(),
            on_mesh: target.node.is_some(),
            streaming: target.streaming,
            url: target.url,
            bearer_env: target.bearer_env,
            timeouts,
        };
        let started = Instant::now();
        let kept_at = terms.place.as_ref().map(|place| (started, place.seq));
        Ok(Talk {
            caller,
            pipe,
            started,
            mirror: Mirror::new(terms, Now::ZERO),
            artifacts: spec.dirs.artifacts(),
            kept,
            kept_at,
            events: self.events,
            answers: self.answers,
            cancel: self.cancel,
        })
    }
}

/// A run under way.
struct Talk {
    caller: Caller,
    /// What `caller` calls over.
    pipe: Arc<dyn Pipe>,
    started: Instant,
    mirror: Mirror,
    /// Where content that is no text lies until the engine has it.
    artifacts: PathBuf,
    /// Where it is kept how far the task was followed.
    kept: PathBuf,
    /// When that was, and which event of its owner's log it was.
    kept_at: Option<(Instant, u64)>,
    events: Outbox,
    answers: mpsc::Receiver<(QuestionId, Answer)>,
    cancel: CancellationToken,
}

/// What is under way with the remote.
enum Line {
    /// Nothing.
    Free,
    /// A request.
    Busy(futures::future::BoxFuture<'static, Result<Heard, Fault>>),
    /// A stream.
    Open(Stream),
}

/// A good answer.
enum Heard {
    Whole(Answered),
    Stream(Stream),
}

impl Talk {
    async fn hold(mut self) {
        let mut line = Line::Free;
        let mut canceled = false;
        let mut back = self.pipe.back();
        loop {
            while let Some(next) = self.mirror.next() {
                match next {
                    Do::Request(request) => {
                        // From before the try on: a way that opens while it fails counts.
                        back = self.pipe.back();
                        line = Line::Busy(self.start(request));
                    }
                    Do::HangUp => line = Line::Free,
                    Do::Log(event) => self.emit(event).await,
                    Do::Keep(kept) => self.keep(kept).await,
                }
            }
            if self.mirror.is_over() {
                return self.forget_place().await;
            }
            self.keep_place().await;
            let wake = self.mirror.wake();
            let due = wake.and_then(|at| self.started.checked_add(at));
            let input = tokio::select! {
                biased;
                () = self.cancel.cancelled(), if !canceled => {
                    canceled = true;
                    Input::Cancel
                }
                Some((question, answer)) = self.answers.recv() => Input::Answer(question, answer),
                input = heard(&mut line) => input,
                () = sleep_until(due.unwrap_or(self.started)), if due.is_some() => Input::Tick,
                () = &mut back, if self.mirror.waits() => {
                    back = self.pipe.back();
                    Input::Back
                }
            };
            let now = self.started.elapsed();
            self.mirror.take(input, now);
        }
    }

    /// Keeps how far the task was followed, if it is time.
    async fn keep_place(&mut self) {
        let Some(place) = self.mirror.place() else {
            return self.forget_place().await;
        };
        let (now, seq) = (Instant::now(), place.seq);
        let is_time = self
            .kept_at
            .is_none_or(|(at, kept)| kept != seq && now.duration_since(at) >= PLACE_EVERY);
        if !is_time {
            return;
        }
        let place = place.clone();
        self.kept_at = Some((now, seq));
        if let Err(error) = write_place(&self.kept, &place).await {
            tracing::debug!(%error, "how far a task was followed is not kept; after a restart it comes whole");
        }
    }

    /// Nobody goes on there.
    async fn forget_place(&mut self) {
        if self.kept_at.take().is_some()
            && let Err(error) = tokio::fs::remove_file(&self.kept).await
        {
            tracing::debug!(%error, "how far a task was followed is not forgotten");
        }
    }

    /// Starts a request.
    fn start(&self, request: Request) -> futures::future::BoxFuture<'static, Result<Heard, Fault>> {
        let caller = self.caller.clone();
        Box::pin(async move {
            Ok(match request {
                Request::Send {
                    message,
                    stream: true,
                    after,
                } => Heard::Stream(caller.stream(*message, after).await?),
                Request::Send { message, .. } => Heard::Whole(caller.send(*message).await?),
                Request::Get { task } => {
                    Heard::Whole(Answered::Task(Box::new(caller.get(&task).await?)))
                }
                Request::Cancel { task } => {
                    Heard::Whole(Answered::Task(Box::new(caller.cancel(&task).await?)))
                }
                Request::Subscribe { task, after, rest } => {
                    let stream = caller.subscribe(&task, after).await?;
                    sleep(rest).await;
                    Heard::Stream(stream)
                }
            })
        })
    }

    async fn emit(&self, event: RunEvent) {
        // A reader that is gone is noticed by `Job::run`.
        self.events.say(event).await;
    }

    async fn keep(&self, kept: Kept) {
        let Kept {
            id,
            media_type,
            content,
            complete,
        } = kept;
        let source = match content {
            Content::Here(bytes) => match self.here(&id, bytes).await {
                Ok(source) => source,
                Err(error) => {
                    let code = "artifact_skipped".to_owned();
                    let text = format!("\"{id}\" was not kept: {error}");
                    return self.emit(RunEvent::Note { code, text }).await;
                }
            },
            Content::There {
                name,
                sha256,
                bytes,
            } => ArtifactSource::Elsewhere {
                name,
                sha256,
                bytes,
            },
        };
        self.emit(RunEvent::Artifact {
            id,
            media_type,
            source,
            complete,
        })
        .await;
    }

    /// Bytes that are no text go to the engine as a file.
    async fn here(&self, id: &ArtifactId, bytes: Vec<u8>) -> std::io::Result<ArtifactSource> {
        let bytes = match String::from_utf8(bytes) {
            Ok(text) => return Ok(ArtifactSource::Text(text)),
            Err(no_text) => no_text.into_bytes(),
        };
        let path = self.artifacts.join(id.as_str());
        if let Some(parent) = path.parent() {
            tokio::fs::create_dir_all(parent).await?;
        }
        tokio::fs::write(&path, bytes).await?;
        Ok(ArtifactSource::File(path))
    }
}

/// What was kept of how far the task was followed. What cannot be read is as good as nothing.
async fn read_place(path: &Path) -> Option<Place> {
    serde_json::from_slice(&tokio::fs::read(path).await.ok()?).ok()
}

/// Replaces what was kept. It may be lost with the machine; then the task is told whole.
async fn write_place(path: &Path, place: &Place) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        tokio::fs::create_dir_all(parent).await?;
    }
    let new = path.with_extension("part");
    tokio::fs::write(&new, serde_json::to_vec(place)?).await?;
    tokio::fs::rename(&new, path).await
}

/// The next thing the remote says. What is lost when this is dropped was not said yet.
async fn heard(line: &mut Line) -> Input {
    match line {
        Line::Free => std::future::pending().await,
        Line::Busy(request) => {
            let answer = request.await;
            let (next, input) = match answer {
                Ok(Heard::Whole(answered)) => (Line::Free, Input::Answered(answered)),
                Ok(Heard::Stream(stream)) => {
                    (Line::Open(stream), Input::Answered(Answered::Stream))
                }
                Err(fault) => (Line::Free, Input::Failed(fault)),
            };
            *line = next;
            input
        }
        Line::Open(stream) => match stream.next().await {
            Some(Ok(event)) => Input::Event(Box::new(event)),
            ended => {
                *line = Line::Free;
                Input::Closed(ended.and_then(Result::err))
            }
        },
    }
}
