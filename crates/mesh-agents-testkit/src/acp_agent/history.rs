//! What a session was told, in memory and, where sessions outlive their process, in a file of one JSON string a line.

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::environment::Environment;

/// The prompts of one session; clones are the same history.
#[derive(Debug, Clone, Default)]
pub(super) struct History(Arc<Mutex<Told>>);

#[derive(Debug, Default)]
struct Told {
    prompts: Vec<String>,
    file: Option<File>,
}

/// Where sessions are kept.
#[derive(Debug)]
pub(super) struct Shelf(PathBuf);

impl Shelf {
    /// The shelf of an agent with this environment; `None` without a HOME.
    pub(super) fn of(env: &Environment) -> Option<Self> {
        let named = env.get("SCRIPTED_ACP_SESSIONS").map(PathBuf::from);
        let home = || Some(Path::new(env.get("HOME")?).join(".scripted-acp-agent"));
        named.or_else(home).map(Self)
    }

    /// Begins the history of session `id`; `None` when there is one of that name already.
    pub(super) fn begin(&self, id: &str) -> Result<Option<History>, String> {
        fs::create_dir_all(&self.0).map_err(|error| self.cannot(&error))?;
        let mut options = OpenOptions::new();
        match options.append(true).create_new(true).open(self.file(id)) {
            Ok(file) => Ok(Some(History::kept(Vec::new(), file))),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(None),
            Err(error) => Err(self.cannot(&error)),
        }
    }

    /// The history of session `id` as an earlier process left it; `None` when there is none.
    pub(super) fn find(&self, id: &str) -> Option<History> {
        // The id becomes a file name, so it has to be one.
        if !id.chars().all(|c| c.is_ascii_alphanumeric() || c == '-') {
            return None;
        }
        let text = fs::read_to_string(self.file(id)).ok()?;
        let file = OpenOptions::new().append(true).open(self.file(id)).ok()?;
        // A line cut off by a kill is no prompt.
        let prompts = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        Some(History::kept(prompts.collect(), file))
    }

    fn file(&self, id: &str) -> PathBuf {
        self.0.join(format!("{id}.jsonl"))
    }

    fn cannot(&self, error: &std::io::Error) -> String {
        format!(
            "sessions cannot be kept in {}: {error}; grant it, or set SCRIPTED_ACP_SESSIONS",
            self.0.display()
        )
    }
}

impl History {
    fn kept(prompts: Vec<String>, file: File) -> Self {
        let file = Some(file);
        Self(Arc::new(Mutex::new(Told { prompts, file })))
    }

    /// Adds the prompt of a turn that begins.
    pub(super) fn add(&self, prompt: &str) -> Result<(), String> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.prompts.push(prompt.to_owned());
        let Some(file) = &mut told.file else {
            return Ok(());
        };
        let line = format!("{}\n", serde_json::Value::from(prompt));
        let written = file.write_all(line.as_bytes());
        written.map_err(|error| format!("the session cannot be kept: {error}"))
    }

    /// All prompts.
    pub(super) fn all(&self) -> Vec<String> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.prompts.clone()
    }

    /// All prompts but the running turn's.
    pub(super) fn earlier(&self) -> Vec<String> {
        let mut prompts = self.all();
        prompts.pop();
        prompts
    }
}
