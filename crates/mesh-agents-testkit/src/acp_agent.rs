//! A deterministic ACP agent over stdio, driven by the text of the prompt: the program `scripted-acp-agent`.
//!
//! # The language
//!
//! Anywhere in a prompt's text blocks, each line `script: <line>` is a step; steps run in order, then the turn ends with
//! `end_turn`. `<line>` is words (`write a.txt hello`), a JSON object `{"verb": argument}`, or a JSON array of lines. A
//! prompt without script lines may contain one of the `tck-` words below; with neither, the agent echoes its last text
//! block as two chunks: `echo: ` and the text. A line that cannot be parsed or done is answered as error -32602 naming it.
//!
//! The variable `SCRIPTED_ACP` holds lines too (one per line, or a JSON array; `script:` is optional there). They run at
//! every prompt, before the prompt's own, unless they begin with a phase: `start:` (before anything is read),
//! `initialize:`, `new_session:`, `load_session:`. Further: `hang_initialize`, `hang_new_session`, `protocol N` (the version
//! answered), `caps` with `load`, `resume` (offer `session/load`, `session/resume`; without these words neither is),
//! `nologin` (no login is advertised), `terminal` (a login that needs a terminal is advertised besides), `nomcp` (no HTTP
//! MCP). Every line received, `eof` and `sigterm` are appended to the file `SCRIPTED_ACP_LOG`, if set, as
//! `{"pid", "message" | "text" | "event"}`.
//!
//! With `caps load` or `caps resume`, every session is kept in a file below `SCRIPTED_ACP_SESSIONS`, or else below
//! `$HOME/.scripted-acp-agent`, so that another process with the same HOME takes it up and `recall` says what it was told;
//! a session without its file is refused with -32002. A directory that cannot be written fails `session/new`.
//! `session/load` replays the history, a tool call and a plan. `load_session: error -32002 gone` refuses every session.
//!
//! Paths are relative to the session's directory; `$NAME` and `${NAME}` in them come from the agent's environment. `\n`,
//! `\t` and `\\` are escapes in the words of `text`, `thought`, `write`, `stderr` and `raw`.
//!
//! | Words | Does |
//! |---|---|
//! | `text T`, `thought T` | one chunk of answer or thought |
//! | `chunks COUNT BYTES [DELAY_MS]` | numbered chunks of that size |
//! | `burst COUNT` | that many short chunks at once, `1\n`, `2\n`, … |
//! | `tool TITLE` | tool_call and tool_call_update (completed); object: `{"tool": {"call": {…}, "update": {…} or false}}` |
//! | `{"update": {…}}`, `unknown_update` | any session/update as given; one of a kind that does not exist |
//! | `plan A \| B`, `usage USED SIZE` | plan and usage_update |
//! | `raw T`, `junk COUNT`, `bigline BYTES` | a stdout line as it is; lines that are no JSON; a valid chunk line of that length |
//! | `sleep MS`, `wait_file PATH`, `work SECONDS` | waits; for a file to appear; with a chunk every 500 ms |
//! | `write PATH CONTENT`, `fill PATH BYTES` | writes a file, silently; a failure is streamed. Object: `{"write": {"path", "content": text or JSON}}` |
//! | `copy FROM TO`, `read PATH` | copies; streams the content or the error |
//! | `sh COMMAND`, `env NAME`, `pid PATH` | streams `exit N` and the output; streams `NAME=value`; appends the agent's pid |
//! | `ask [KIND…]` | session/request_permission with those option kinds in that order (default allow_once allow_always reject_once); streams `permission: selected ID` or `permission: cancelled`. Object: `{"ask": {"options": [kind or {…}], "tool_call": {…}, "end_on_reject": bool}}` |
//! | `elicit MESSAGE` | a form with one text field `answer`; streams `elicitation: ACTION {content}`. Object: `{"elicit": {"message", "schema", "until": word}}` |
//! | `mcp TOOL [JSON]`, `mcp_tools` | calls a tool of the first HTTP MCP server of the session and streams its text; streams the tools' names |
//! | `daemon KIND PIDFILE` | a child that stays, ignores polite signals and appends its pid: `plain` (own group), `nohup` (orphan, same group), `setsid`, `double` (orphan in a new session), `clearenv` (own group, no environment), `hidden` (`double` without environment); streams `daemon PID` |
//! | `hang` | never ends; obeys cancel, EOF and SIGTERM |
//! | `deaf` | never ends; ignores all three |
//! | `ignore [cancel] [eof] [term]` | ignores these from now on, and goes on |
//! | `exit CODE`, `die` | ends the process; by SIGKILL |
//! | `stderr T`, `flood MIB` | a line, or that many MiB, on stderr |
//! | `stop REASON` | ends the turn with any stop reason, known or not |
//! | `error CODE MESSAGE`, `auth_required` | answers an error; -32000 until `authenticate` was called |
//! | `need-login [PATH]` | -32000 until `authenticate` was called, or that file exists: a login done elsewhere |
//! | `recall` | streams `recall: ` and the texts of all earlier prompts of this session, `[1] first [2] second` |
//!
//! | Word | Does |
//! |---|---|
//! | `tck-complete-task`, `tck-message-response` | a short answer |
//! | `tck-long-running` | works until cancelled, at most 30 s |
//! | `tck-multi-turn` | asks for input until the answer is `done` |
//! | `tck-task-failure` | error -32603 |
//! | `tck-auth-required` | error -32000 until `authenticate` (`scripted-login` is advertised) was called, then a short answer |
//! | `tck-stream-chunked` | five chunks |
//! | `tck-artifact-data` | writes `$TASK_ARTIFACTS_DIR/data.json` |
//! | `tck-burst` | 400 chunks |

mod ask;
mod daemon;
mod environment;
mod files;
mod history;
mod journal;
mod mcp;
mod script;
mod serve;
mod state;
mod stream;
mod tck;
mod turn;
mod wire;
mod words;

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinSet;

pub use environment::Environment;

use journal::Journal;
use script::Startup;
use state::State;
use turn::{Halt, Turn};
use wire::Wire;

/// Exit code of a process that obeyed SIGTERM: 128 + 15, as a shell reports it.
const EXIT_SIGTERM: u8 = 143;

/// The program `scripted-acp-agent`. Arguments are ignored, so that any harness command line fits.
///
/// `arguments` are those after the program's name, `env` the whole environment.
#[must_use]
pub fn main(arguments: &[OsString], env: Environment) -> ExitCode {
    let result = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .and_then(|runtime| {
            let result = runtime.block_on(run(arguments, env));
            // A read of stdin that will never return must not keep the process.
            runtime.shutdown_background();
            result
        });
    match result {
        Ok(code) => code,
        Err(error) => {
            use io::Write as _;
            // With stderr closed there is nowhere left to say it.
            let _ = writeln!(io::stderr(), "scripted-acp-agent: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &[OsString], env: Environment) -> io::Result<ExitCode> {
    let exe = std::env::current_exe()?;
    if let [first, stage, pidfile] = arguments
        && first == daemon::LINGER
    {
        daemon::linger(&stage.to_string_lossy(), &exe, Path::new(pidfile)).await?;
        return Ok(ExitCode::SUCCESS);
    }
    agent(exe, env).await
}

async fn agent(exe: PathBuf, env: Environment) -> io::Result<ExitCode> {
    // First, so that whoever has seen `started` may send signals.
    let terms = signal(SignalKind::terminate())?;
    let mut tasks = JoinSet::new();
    let wire = Wire::start(&mut tasks);
    let journal = Journal::open(env.get("SCRIPTED_ACP_LOG"));
    let startup = Startup::parse(env.get("SCRIPTED_ACP").unwrap_or_default());
    let state = Arc::new(State::new(env, exe, startup, journal, wire));
    state.journal.event("started");
    tokio::select! {
        served = start_and_serve(state.clone()) => match served {
            Ok(()) => Ok(ExitCode::SUCCESS),
            Err(error) => Err(io::Error::other(error)),
        },
        () = sigterm(terms, &state) => Ok(ExitCode::from(EXIT_SIGTERM)),
    }
}

async fn start_and_serve(state: Arc<State>) -> Result<(), String> {
    // A broken SCRIPTED_ACP is told to the client, as the answer to its first request.
    let lines = state
        .startup
        .as_ref()
        .map(|startup| startup.start.clone())
        .unwrap_or_default();
    let turn = Turn {
        state: state.clone(),
        cx: None,
        session: None,
    };
    match turn.run(&lines).await {
        Ok(()) | Err(Halt::Stop(_)) => {}
        Err(Halt::Bad(bad)) => return Err(bad.to_string()),
        Err(Halt::Error(error)) => return Err(error.to_string()),
    }
    serve::serve(state).await.map_err(|error| error.to_string())
}

/// Ends at the first SIGTERM that is not ignored.
async fn sigterm(mut terms: Signal, state: &State) {
    while terms.recv().await.is_some() {
        state.journal.event("sigterm");
        if !state.ignores.term() {
            return;
        }
    }
}
