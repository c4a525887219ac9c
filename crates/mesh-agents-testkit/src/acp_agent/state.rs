//! What the agent knows between messages: its sessions, what the client can do, what it ignores.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use super::environment::Environment;
use super::history::{History, Shelf};
use super::journal::Journal;
use super::script::{BadLine, Ignored, Startup};
use super::wire::Wire;

/// Shared by the handlers, the transport and the running turns.
#[derive(Debug)]
pub(super) struct State {
    pub(super) env: Environment,
    /// The agent's own program, re-executed for daemons.
    pub(super) exe: PathBuf,
    pub(super) startup: Result<Startup, BadLine>,
    pub(super) journal: Journal,
    pub(super) wire: Wire,
    pub(super) ignores: Ignores,
    pub(super) authenticated: AtomicBool,
    next_number: AtomicU32,
    client_capabilities: Mutex<Value>,
    sessions: Mutex<HashMap<String, Session>>,
}

/// One ACP session; cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Session {
    pub(super) id: String,
    pub(super) cwd: PathBuf,
    /// `mcpServers` as the client gave them.
    pub(super) mcp_servers: Value,
    /// What it was told.
    pub(super) history: History,
    /// True while a cancel of the running turn is asked for.
    pub(super) cancel: watch::Sender<bool>,
}

impl State {
    pub(super) fn new(
        env: Environment,
        exe: PathBuf,
        startup: Result<Startup, BadLine>,
        journal: Journal,
        wire: Wire,
    ) -> Self {
        Self {
            env,
            exe,
            startup,
            journal,
            wire,
            ignores: Ignores::default(),
            authenticated: AtomicBool::new(false),
            next_number: AtomicU32::new(1),
            client_capabilities: Mutex::new(Value::Null),
            sessions: Mutex::default(),
        }
    }

    /// A number no other id of this process has.
    pub(super) fn number(&self) -> u32 {
        self.next_number.fetch_add(1, Ordering::Relaxed)
    }

    /// Opens a new session with what `session/new` said.
    pub(super) fn new_session(&self, params: &Value) -> Result<Session, String> {
        let keeps = self.has_cap("load") || self.has_cap("resume");
        let shelf = Shelf::of(&self.env).filter(|_| keeps);
        loop {
            // An earlier process may have had this pid.
            let id = format!("scripted-{}-{}", std::process::id(), self.number());
            let history = match &shelf {
                Some(shelf) => shelf.begin(&id)?,
                None => Some(History::default()),
            };
            if let Some(history) = history {
                return Ok(self.open_session(id, history, params));
            }
        }
    }

    /// Takes up session `id` of this or an earlier process.
    pub(super) fn old_session(&self, id: &str, params: &Value) -> Option<Session> {
        let here = self.session(id).map(|session| session.history);
        let history = here.or_else(|| Shelf::of(&self.env)?.find(id))?;
        Some(self.open_session(id.to_owned(), history, params))
    }

    fn open_session(&self, id: String, history: History, params: &Value) -> Session {
        let session = Session {
            id: id.clone(),
            cwd: PathBuf::from(params["cwd"].as_str().unwrap_or(".")),
            mcp_servers: params["mcpServers"].clone(),
            history,
            cancel: watch::Sender::new(false),
        };
        held(&self.sessions).insert(id, session.clone());
        session
    }

    pub(super) fn session(&self, id: &str) -> Option<Session> {
        held(&self.sessions).get(id).cloned()
    }

    pub(super) fn set_client_capabilities(&self, capabilities: Value) {
        *held(&self.client_capabilities) = capabilities;
    }

    /// Whether the client shows forms to its user.
    pub(super) fn client_elicits(&self) -> bool {
        held(&self.client_capabilities)["elicitation"]["form"].is_object()
    }

    /// Whether `SCRIPTED_ACP` names this capability.
    pub(super) fn has_cap(&self, cap: &str) -> bool {
        self.startup
            .as_ref()
            .is_ok_and(|startup| startup.caps.iter().any(|one| one == cap))
    }
}

impl Session {
    /// Ends when the turn is to be cancelled, never while cancels are ignored.
    pub(super) async fn cancelled(&self, ignores: &Ignores) {
        // The sender lives in `self`, so waiting cannot fail.
        let _ = self.cancel.subscribe().wait_for(|asked| *asked).await;
        if ignores.cancel() {
            std::future::pending::<()>().await;
        }
    }
}

/// What the agent has been told to ignore so far.
#[derive(Debug, Default)]
pub(super) struct Ignores {
    cancel: AtomicBool,
    eof: AtomicBool,
    term: AtomicBool,
}

impl Ignores {
    pub(super) fn add(&self, what: Ignored) {
        let flag = match what {
            Ignored::Cancel => &self.cancel,
            Ignored::Eof => &self.eof,
            Ignored::Term => &self.term,
        };
        flag.store(true, Ordering::Release);
    }

    pub(super) fn cancel(&self) -> bool {
        self.cancel.load(Ordering::Acquire)
    }

    pub(super) fn eof(&self) -> bool {
        self.eof.load(Ordering::Acquire)
    }

    pub(super) fn term(&self) -> bool {
        self.term.load(Ordering::Acquire)
    }
}

/// A panic elsewhere leaves plain data behind, so a poisoned lock is as good as any.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
