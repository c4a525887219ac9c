//! Runs lines: one after the other, each given up when the turn is cancelled.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use agent_client_protocol::{Client, ConnectionTo, Error};

use super::script::{BadLine, Ignored, Line, Step};
use super::state::{Session, State};

/// How often a condition outside the process (a file) is looked at.
pub(super) const POLL: Duration = Duration::from_millis(5);

/// The surroundings in which lines run; outside a session the verbs that stream are errors.
pub(super) struct Turn {
    pub(super) state: Arc<State>,
    pub(super) cx: Option<ConnectionTo<Client>>,
    pub(super) session: Option<Session>,
}

/// Why lines ended before their end.
#[derive(Debug)]
pub(super) enum Halt {
    /// The turn ends with this stop reason.
    Stop(String),
    /// The request is answered with this error.
    Error(Error),
    /// A line could not be done as written.
    Bad(BadLine),
}

/// What a single step may end in: `Err(Ended::Reason)` gets its line's text added.
pub(super) enum Ended {
    Halt(Halt),
    Reason(String),
}

impl From<String> for Ended {
    fn from(reason: String) -> Self {
        Self::Reason(reason)
    }
}

impl From<Halt> for Ended {
    fn from(halt: Halt) -> Self {
        Self::Halt(halt)
    }
}

impl Turn {
    /// Runs `lines` in order.
    pub(super) async fn run(&self, lines: &[Line]) -> Result<(), Halt> {
        for line in lines {
            self.run_line(line).await.map_err(|ended| match ended {
                Ended::Halt(halt) => halt,
                Ended::Reason(reason) => Halt::Bad(BadLine {
                    source: line.source.clone(),
                    reason,
                }),
            })?;
        }
        Ok(())
    }

    async fn run_line(&self, line: &Line) -> Result<(), Ended> {
        if matches!(line.step, Step::Ask(_) | Step::Elicit(_)) {
            // The client must answer these itself when it cancels; giving up early would send `$/cancel_request`.
            self.step(&line.step).await?;
            return self.stop_if_cancelled();
        }
        tokio::select! {
            biased;
            () = self.cancelled() => Err(cancelled_halt().into()),
            result = self.step(&line.step) => result,
        }
    }

    async fn step(&self, step: &Step) -> Result<(), Ended> {
        match step {
            Step::Text(text) => self.say(text).await?,
            Step::Thought(text) => self.think(text).await?,
            Step::Chunks {
                count,
                bytes,
                delay_ms,
            } => self.chunks(*count, *bytes, *delay_ms).await?,
            Step::Burst(count) => self.burst(*count).await?,
            Step::Tool { call, update } => self.tool(call, update).await?,
            Step::Update(update) => self.emit(update.clone()).await?,
            Step::Plan(entries) => self.plan(entries).await?,
            Step::Usage { used, size } => self.usage(*used, *size).await?,
            Step::Raw(line) => self.raw(line.clone()).await?,
            Step::Junk(count) => self.junk(*count).await?,
            Step::BigLine(bytes) => self.big_line(*bytes).await?,
            Step::Sleep(ms) => tokio::time::sleep(Duration::from_millis(*ms)).await,
            Step::WaitFile(path) => self.wait_file(path).await?,
            Step::Work { seconds } => self.work(*seconds).await?,
            Step::Write { path, content } => self.write(path, content.as_bytes()).await?,
            Step::Fill { path, bytes } => self.write(path, &vec![b'x'; *bytes]).await?,
            Step::Copy { from, to } => self.copy(from, to).await?,
            Step::Read(path) => self.read(path).await?,
            Step::Shell(command) => self.shell(command).await?,
            Step::Env(name) => self.show_env(name).await?,
            Step::Pid(path) => self.append_pid(path).await?,
            Step::Stderr(text) => self.stderr(text).await?,
            Step::Flood { mib } => self.flood(*mib).await?,
            Step::Daemon { kind, pidfile } => self.daemon(*kind, pidfile).await?,
            Step::Ask(ask) => self.ask(ask).await?,
            Step::Elicit(elicit) => self.elicit(elicit).await?,
            Step::Mcp { tool, arguments } => self.mcp_call(tool, arguments).await?,
            Step::McpTools => self.mcp_tools().await?,
            Step::Recall => self.recall().await?,
            ending => return self.ending(ending).await,
        }
        Ok(())
    }

    /// The steps after which nothing more may come.
    async fn ending(&self, step: &Step) -> Result<(), Ended> {
        match step {
            Step::Hang => std::future::pending::<()>().await,
            Step::Deaf => {
                self.ignore(&[Ignored::Cancel, Ignored::Eof, Ignored::Term]);
                std::future::pending::<()>().await;
            }
            Step::Ignore(what) => self.ignore(what),
            Step::Exit(code) => std::process::exit(*code),
            Step::Die => self.die()?,
            Step::Stop(reason) => return Err(Halt::Stop(reason.clone()).into()),
            Step::Error { code, message } => {
                return Err(Halt::Error(Error::new(*code, message)).into());
            }
            Step::AuthRequired | Step::NeedLogin(None) => self.require_auth()?,
            Step::NeedLogin(Some(path)) => {
                if !self.path(path)?.exists() {
                    self.require_auth()?;
                }
            }
            // `step` hands over only the kinds above.
            other => return Err(Ended::Reason(format!("{other:?} is not handled"))),
        }
        Ok(())
    }

    /// What this session was told before this turn.
    async fn recall(&self) -> Result<(), String> {
        let session = self.session.as_ref().ok_or("there is no session yet")?;
        let earlier = session.history.earlier();
        let told: Vec<String> = (1..)
            .zip(earlier)
            .map(|(number, prompt)| format!("[{number}] {prompt}"))
            .collect();
        self.say(&format!("recall: {}\n", told.join(" "))).await
    }

    fn ignore(&self, what: &[Ignored]) {
        for one in what {
            self.state.ignores.add(*one);
        }
        // A test that wants it deaf has to see that it is: words streamed before say nothing of it.
        self.state.journal.event("ignoring");
    }

    fn require_auth(&self) -> Result<(), Halt> {
        if self
            .state
            .authenticated
            .load(std::sync::atomic::Ordering::Acquire)
        {
            Ok(())
        } else {
            Err(Halt::Error(Error::auth_required()))
        }
    }

    async fn cancelled(&self) {
        match &self.session {
            Some(session) => session.cancelled(&self.state.ignores).await,
            None => std::future::pending().await,
        }
    }

    fn stop_if_cancelled(&self) -> Result<(), Ended> {
        let asked = self
            .session
            .as_ref()
            .is_some_and(|session| *session.cancel.borrow());
        if asked && !self.state.ignores.cancel() {
            Err(cancelled_halt().into())
        } else {
            Ok(())
        }
    }

    /// A script path: `$NAME` expanded, relative to the session's directory.
    pub(super) fn path(&self, path: &str) -> Result<PathBuf, String> {
        let path = self.state.env.expand(path)?;
        Ok(match &self.session {
            Some(session) => session.cwd.join(path),
            None => PathBuf::from(path),
        })
    }
}

fn cancelled_halt() -> Halt {
    Halt::Stop("cancelled".to_owned())
}
