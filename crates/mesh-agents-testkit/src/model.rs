//! A scripted model server: speaks OpenAI's chat completions, says what its script tells it to. In process as
//! [`ScriptedModel`], or as the program `scripted-model`.
//!
//! It stands in for a language model so that real harnesses can be driven offline. It serves `/v1/models` and
//! `/v1/chat/completions` (event stream or JSON) on loopback.
//!
//! # The script
//!
//! ```json
//! {
//!   "vars": { "WHO": "me" },
//!   "models": ["scripted-model"],
//!   "rules": [{ "when": "regex or text in the last user text", "steps": [] }],
//!   "steps": [
//!     { "tools": [{ "names": ["read"], "arguments": { "filePath": "NONCE.txt" } }] },
//!     { "tools": [{ "names": ["write_file", "write"],
//!                   "arguments": { "path": "out.txt" },
//!                   "arguments_by_name": { "write": { "filePath": "${prompt:artifacts in (\\S+)}/out.txt",
//!                                                     "content": "${tool_result:nonce=(\\w+)} by ${WHO}" } } }] },
//!     { "text": "Done." }
//!   ],
//!   "aux": { "text": "A title" }
//! }
//! ```
//!
//! The first rule whose `when` matches the last user text gives the steps, else the top-level ones. The step is the one at
//! the number of tool-result rounds since that text, so repeated requests and parallel sessions do not disturb each other;
//! past the last step the answer is `done`. `aux` answers requests that offer no tools, such as those for a title.
//!
//! | Key of a step | Means |
//! |---|---|
//! | `text`, `thought` | what is said |
//! | `tools[{names, arguments, arguments_by_name}]` | calls the first name that the request offers; `*suffix` matches a prefixed name |
//! | `latency_ms`, `chunk_delay_ms` | before anything is sent; before every piece of a stream |
//! | `hang` | the stream stays open after what there is to say; without streaming there is no answer |
//! | `error{status, body, headers}` | an HTTP error instead |
//! | `finish_reason` | instead of `stop` or `tool_calls` |
//!
//! In texts and arguments `${tool_result:REGEX}` is the first capture group (or the match) in the latest tool result that
//! matches, `${prompt:REGEX}` the same in the latest user text, then the system text, and `${NAME}` one of `vars`; other
//! `${…}` stay. One that matches nothing, or tools that are not offered, are answered with status 400 and logged.
//!
//! # Administration
//!
//! `GET /__log` is the list of [`LogEntry`], `POST /__script` replaces the script, `POST /__reset` empties the log.
//!
//! Each further API (Responses, Messages, Gemini) is one more module like `chat`: read a conversation, render an answer.

mod answer;
mod chat;
mod conversation;
mod log;
mod script;
mod server;

use std::ffi::OsString;
use std::io::{self, Write as _};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

pub use log::LogEntry;

use script::Script;
use server::Server;

/// Exit code for arguments that make no sense.
const EXIT_USAGE: u8 = 2;

/// A running model server. Dropping it ends it roughly; [`ScriptedModel::stop`] ends it and waits.
#[derive(Debug)]
pub struct ScriptedModel {
    address: SocketAddr,
    server: Arc<Server>,
    stop: watch::Sender<bool>,
    task: JoinSet<io::Result<()>>,
}

impl ScriptedModel {
    /// Starts a server for `script` (see the module) on a free loopback port. Needs a tokio runtime.
    ///
    /// # Errors
    /// `InvalidInput` when `script` is none, else what binding says.
    pub async fn start(script: Value) -> io::Result<Self> {
        Self::start_on(script, 0).await
    }

    async fn start_on(script: Value, port: u16) -> io::Result<Self> {
        let script = parse(script)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let address = listener.local_addr()?;
        let (stop, mut stopped) = watch::channel(false);
        let server = Arc::new(Server::new(script, stopped.clone()));
        let router = server::router(server.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            axum::serve(listener, router)
                .with_graceful_shutdown(async move {
                    // An error means that the handle is gone, which is a stop too.
                    let _ = stopped.wait_for(|stop| *stop).await;
                })
                .await
        });
        Ok(Self {
            address,
            server,
            stop,
            task,
        })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `http://127.0.0.1:PORT/v1`, what harnesses want as the API's base.
    #[must_use]
    pub fn openai_url(&self) -> String {
        format!("{}/v1", self.base_url())
    }

    /// Replaces the script for all requests from now on.
    ///
    /// # Errors
    /// `InvalidInput` when `script` is none; the old one stays.
    pub fn set_script(&self, script: Value) -> io::Result<()> {
        self.server.set_script(parse(script)?);
        Ok(())
    }

    /// The requests so far, in order of arrival.
    #[must_use]
    pub fn log(&self) -> Vec<LogEntry> {
        self.server.log.entries()
    }

    /// Empties the log.
    pub fn reset(&self) {
        self.server.log.clear();
    }

    /// Waits until the log satisfies `condition` and returns it. Has no limit of its own.
    pub async fn wait_for(&self, mut condition: impl FnMut(&[LogEntry]) -> bool) -> Vec<LogEntry> {
        let mut log = self.server.log.watch();
        // The sender lives in `self.server`, so that waiting cannot fail; the log is right in any case.
        let _ = log.wait_for(|entries| condition(entries)).await;
        self.log()
    }

    /// Ends hanging answers, closes the listener and waits for the last connection.
    ///
    /// # Errors
    /// What the server ended with.
    pub async fn stop(mut self) -> io::Result<()> {
        self.stop.send_replace(true);
        match self.task.join_next().await {
            Some(ended) => ended.map_err(io::Error::other)?,
            None => Ok(()),
        }
    }
}

/// The program `scripted-model [--script FILE] [--port N]`: prints `ready http://127.0.0.1:PORT` and serves until SIGTERM
/// or SIGINT. Without a script every answer is `done` until `POST /__script` brings one.
#[must_use]
pub fn main(arguments: &[OsString]) -> ExitCode {
    let complain = |message: String| {
        // With stderr closed there is nowhere left to say it.
        let _ = writeln!(io::stderr(), "scripted-model: {message}");
    };
    let (script, port) = match options(arguments) {
        Ok(options) => options,
        Err(message) => {
            complain(format!(
                "{message}\nusage: scripted-model [--script FILE] [--port N]"
            ));
            return ExitCode::from(EXIT_USAGE);
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    match runtime.and_then(|runtime| runtime.block_on(serve(script, port))) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(error.to_string());
            ExitCode::FAILURE
        }
    }
}

async fn serve(script: Value, port: u16) -> io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let model = ScriptedModel::start_on(script, port).await?;
    writeln!(io::stdout(), "ready {}", model.base_url())?;
    tokio::select! {
        _ = term.recv() => {}
        _ = int.recv() => {}
    }
    model.stop().await
}

fn options(arguments: &[OsString]) -> Result<(Value, u16), String> {
    let (mut script, mut port) = (json!({}), 0);
    let mut arguments = arguments
        .iter()
        .map(|argument| argument.to_string_lossy().into_owned());
    while let Some(name) = arguments.next() {
        let value = arguments
            .next()
            .ok_or_else(|| format!("{name} takes a value"))?;
        match name.as_str() {
            "--script" => {
                let text =
                    std::fs::read_to_string(&value).map_err(|error| format!("{value}: {error}"))?;
                script =
                    serde_json::from_str(&text).map_err(|error| format!("{value}: {error}"))?;
            }
            "--port" => port = value.parse().map_err(|_| format!("{value} is no port"))?,
            _ => return Err(format!("no such option: {name}")),
        }
    }
    Ok((script, port))
}

fn parse(script: Value) -> io::Result<Script> {
    serde_json::from_value(script).map_err(|error| {
        io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("not a script: {error}"),
        )
    })
}
