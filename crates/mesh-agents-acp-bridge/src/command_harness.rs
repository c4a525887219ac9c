//! The harness of `runtime.type = "command"`: a small ACP agent without a model (DESIGN §2.5).
//!
//! A prompt runs one fixed command in the session's directory. The message itself is in the file
//! `$TASK_PROMPT_PATH`, which the command may read; it never becomes part of a command line. The
//! output is streamed as the answer, and `summary.md` and `findings.json` are left in
//! `$TASK_ARTIFACTS_DIR`. Our bridge drives it like any other harness.

mod findings;
mod output;
mod process;
mod report;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use agent_client_protocol::schema::ProtocolVersion;
use agent_client_protocol::v1::schema::{
    CancelNotification, ContentBlock, ContentChunk, Implementation, InitializeRequest,
    InitializeResponse, NewSessionRequest, NewSessionResponse, PromptRequest, PromptResponse,
    SessionId, SessionNotification, SessionUpdate, StopReason,
};
use agent_client_protocol::v1::{ConnectionTo, Responder};
use agent_client_protocol::{
    Agent, Client, Error, Lines, on_receive_notification, on_receive_request,
};
use futures::{SinkExt, StreamExt, TryStreamExt, stream};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::codec::{FramedRead, FramedWrite, LinesCodec};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use process::{CommandLine, End};

/// Longest line read: a prompt is at most 1 MiB, and JSON may double it several times over.
const LINE_BYTES: usize = 16 * 1024 * 1024;
/// Sessions of one connection; our bridge opens one.
const SESSIONS: usize = 64;

/// `agents harness command [--] CMD ARGS…`: serves ACP on standard input and output until the
/// input ends or SIGTERM or SIGINT comes. `args` is what follows the word `command`.
///
/// Reads `TASK_ARTIFACTS_DIR`; the command inherits the whole environment. The exit code is 0 after
/// an orderly end, 1 when the connection broke, 2 when no command is given.
pub fn command_main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let mut args = args.into_iter().peekable();
    args.next_if(|arg| arg == "--");
    let Some(program) = args.next() else {
        return complain(
            "no command is given; use: agents harness command -- CMD ARGS…",
            2,
        );
    };
    let command = CommandLine {
        program,
        args: args.collect(),
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => return complain(&format!("cannot start: {error}"), 1),
    };
    let served = runtime.block_on(serve(Harness::new(command, artifacts_dir())));
    // A thread may still wait for standard input, which nobody will write any more.
    runtime.shutdown_background();
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => complain(&format!("the connection broke: {error}"), 1),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is the entry point of a process of its own, whose settings are its environment"
)]
fn artifacts_dir() -> Option<PathBuf> {
    let dir = std::env::var_os("TASK_ARTIFACTS_DIR").map(PathBuf::from);
    dir.filter(|dir| dir.is_absolute())
}

fn complain(text: &str, code: u8) -> ExitCode {
    // Nobody is left to tell when standard error is closed.
    let _closed = writeln!(io::stderr(), "agents harness command: {text}");
    ExitCode::from(code)
}

/// The agent on one connection.
struct Harness {
    command: CommandLine,
    artifacts_dir: Option<PathBuf>,
    sessions: Mutex<HashMap<SessionId, Session>>,
    /// The prompts at work.
    runs: TaskTracker,
    /// Ends them all.
    stop: CancellationToken,
}

struct Session {
    cwd: PathBuf,
    /// Ends the prompt at work, if one is.
    running: Option<CancellationToken>,
}

async fn serve(harness: Arc<Harness>) -> Result<(), Error> {
    let mut term = signal(SignalKind::terminate()).map_err(Error::into_internal_error)?;
    // A person tries it out in a terminal: the command's group does not hear the keyboard.
    let mut int = signal(SignalKind::interrupt()).map_err(Error::into_internal_error)?;
    let result = tokio::select! {
        result = connection(&harness) => result,
        _ = term.recv() => Ok(()),
        _ = int.recv() => Ok(()),
    };
    harness.stop.cancel();
    harness.runs.close();
    harness.runs.wait().await;
    result
}

async fn connection(harness: &Arc<Harness>) -> Result<(), Error> {
    let at_end = harness.stop.clone();
    let codec = || LinesCodec::new_with_max_length(LINE_BYTES);
    let incoming = FramedRead::new(tokio::io::stdin(), codec())
        .map_err(io::Error::other)
        // The end of the input is the end of every run, at once.
        .chain(stream::poll_fn(move |_| {
            at_end.cancel();
            Poll::Ready(None)
        }));
    let outgoing = FramedWrite::new(tokio::io::stdout(), codec());
    let outgoing = SinkExt::<String>::sink_map_err(outgoing, io::Error::other);
    let (for_session, for_prompt, for_cancel) = (harness.clone(), harness.clone(), harness.clone());
    Agent
        .v1()
        .name("command")
        .on_receive_request(
            async move |_: InitializeRequest, responder: Responder<InitializeResponse>, _| {
                responder.respond(initialized())
            },
            on_receive_request!(),
        )
        .on_receive_request(
            async move |request: NewSessionRequest, responder: Responder<NewSessionResponse>, _| {
                responder.respond_with_result(for_session.open(request))
            },
            on_receive_request!(),
        )
        .on_receive_request(
            async move |request: PromptRequest,
                        responder: Responder<PromptResponse>,
                        to_client: ConnectionTo<Client>| {
                for_prompt.prompt(&request.session_id, responder, to_client)
            },
            on_receive_request!(),
        )
        .on_receive_notification(
            async move |cancel: CancelNotification, _| {
                for_cancel.cancel(&cancel.session_id);
                Ok(())
            },
            on_receive_notification!(),
        )
        .connect_to(Lines::new(outgoing, incoming))
        .await
}

fn initialized() -> InitializeResponse {
    let name = Implementation::new("mesh-agents-command", env!("CARGO_PKG_VERSION"));
    InitializeResponse::new(ProtocolVersion::V1).agent_info(name)
}

impl Harness {
    fn new(command: CommandLine, artifacts_dir: Option<PathBuf>) -> Arc<Self> {
        Arc::new(Self {
            command,
            artifacts_dir,
            sessions: Mutex::default(),
            runs: TaskTracker::new(),
            stop: CancellationToken::new(),
        })
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, Session>> {
        // Nothing here panics while it holds the lock, and a map has no half-done state.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self, request: NewSessionRequest) -> Result<NewSessionResponse, Error> {
        let cwd = request.cwd;
        if !cwd.is_absolute() || !cwd.is_dir() {
            let cause = format!(
                "cwd {} is not an existing absolute directory",
                cwd.display()
            );
            return Err(invalid(&cause));
        }
        let mut sessions = self.sessions();
        if sessions.len() == SESSIONS {
            return Err(invalid("too many sessions on one connection"));
        }
        let id = SessionId::new(format!("command-{}", sessions.len() + 1));
        let session = Session { cwd, running: None };
        sessions.insert(id.clone(), session);
        Ok(NewSessionResponse::new(id))
    }

    /// Starts a run and returns: the dispatch loop must stay free for the cancellation.
    fn prompt(
        self: &Arc<Self>,
        session: &SessionId,
        responder: Responder<PromptResponse>,
        to_client: ConnectionTo<Client>,
    ) -> Result<(), Error> {
        let (cwd, cancel) = match self.begin(session) {
            Ok(begun) => begun,
            Err(error) => return responder.respond_with_error(error),
        };
        let harness = self.clone();
        let session = session.clone();
        self.runs.spawn(async move {
            let said = session.clone();
            let say = move |text: String| {
                let chunk = ContentChunk::new(ContentBlock::from(text));
                let update = SessionUpdate::AgentMessageChunk(chunk);
                // A client that is gone ends the run through the end of the input.
                let _gone =
                    to_client.send_notification(SessionNotification::new(said.clone(), update));
            };
            let result = harness.run(&cwd, &cancel, &say).await;
            if let Some(session) = harness.sessions().get_mut(&session) {
                session.running = None;
            }
            let _gone = responder.respond_with_result(result);
        });
        Ok(())
    }

    fn begin(&self, id: &SessionId) -> Result<(PathBuf, CancellationToken), Error> {
        let mut sessions = self.sessions();
        let session = sessions
            .get_mut(id)
            .ok_or_else(|| invalid(&format!("there is no session {id}")))?;
        if session.running.is_some() {
            return Err(invalid(
                "the command is still running for the prompt before",
            ));
        }
        let cancel = self.stop.child_token();
        session.running = Some(cancel.clone());
        Ok((session.cwd.clone(), cancel))
    }

    fn cancel(&self, id: &SessionId) {
        if let Some(running) = self.sessions().get(id).and_then(|s| s.running.as_ref()) {
            running.cancel();
        }
    }

    async fn run(
        &self,
        cwd: &std::path::Path,
        cancel: &CancellationToken,
        say: &(dyn Fn(String) + Send + Sync),
    ) -> Result<PromptResponse, Error> {
        let artifacts = self.artifacts_dir.as_deref().ok_or_else(|| {
            failed("TASK_ARTIFACTS_DIR is not set to an absolute path; this harness is started by the engine of Mesh Agents")
        })?;
        let run = process::run(&self.command, cwd, cancel, say).await;
        let (end, gathered) =
            run.map_err(|error| failed(&format!("the command's output cannot be read: {error}")))?;
        if end == End::Canceled {
            return Ok(PromptResponse::new(StopReason::Cancelled));
        }
        let quiet = gathered.lines == 0;
        let report = report::report(&self.command.shown(), &end, gathered);
        report::write(&report, artifacts)
            .map_err(|error| failed(&format!("cannot write {error}")))?;
        if quiet {
            say(format!(
                "It printed nothing and ended with {}.\n",
                report.outcome
            ));
        }
        match report.failure {
            Some(failure) => Err(failed(&failure)),
            None => Ok(PromptResponse::new(StopReason::EndTurn)),
        }
    }
}

/// The caller's mistake.
fn invalid(cause: &str) -> Error {
    Error::new(Error::invalid_params().code, cause)
}

/// The run's end in an error; the message is what the task shows.
fn failed(cause: &str) -> Error {
    Error::new(Error::internal_error().code, cause)
}
