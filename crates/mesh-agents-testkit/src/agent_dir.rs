//! [`AgentDir`]: writes an agent directory for a test.
//!
//! The defaults are valid in every file, so a test states only what it is about: a broken card, one runtime key, a
//! script. Files are written as text on purpose: the registry's parser is what is under test.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

/// Builder of `<root>/<id>/{agent-card.json, runtime.toml, instructions.md}`.
///
/// ```
/// # fn main() -> std::io::Result<()> {
/// # let root = tempfile::tempdir()?;
/// let dir = mesh_agents_testkit::AgentDir::new(root.path(), "reviewer")
///     .scripted_acp("/path/to/scripted-acp-agent")
///     .script("write $TASK_ARTIFACTS_DIR/summary.md all good")
///     .runtime_key("max_concurrent_tasks = 2")
///     .write()?;
/// assert!(dir.join("agent-card.json").is_file());
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct AgentDir {
    dir: PathBuf,
    card: String,
    instructions: Option<String>,
    runtime: Runtime,
}

/// How `runtime.toml` comes about: given whole, or put together from parts in the order TOML needs.
#[derive(Debug, Clone)]
enum Runtime {
    Whole(String),
    Parts {
        top: Vec<String>,
        runtime: Vec<String>,
        env: Vec<(String, String)>,
        tables: Vec<String>,
    },
}

impl AgentDir {
    /// An agent `id` below `root` (the agents directory), with a valid card, `type = "opencode"` and short instructions.
    #[must_use]
    pub fn new(root: impl AsRef<Path>, id: &str) -> Self {
        let parts = Runtime::Parts {
            top: Vec::new(),
            runtime: vec!["type = \"opencode\"".to_owned()],
            env: Vec::new(),
            tables: Vec::new(),
        };
        Self {
            dir: root.as_ref().join(id),
            card: pretty(&default_card(id)),
            instructions: Some(format!("You are {id}. Do what the message says.\n")),
            runtime: parts,
        }
    }

    /// The valid A2A v1 card that [`Self::new`] starts from, for tests that build their own.
    #[must_use]
    pub fn default_card(id: &str) -> Value {
        default_card(id)
    }

    /// Edits the card's JSON. Call it before [`Self::card_text`]; after it, the edit applies only to text that is JSON.
    #[must_use]
    pub fn card(mut self, edit: impl FnOnce(&mut Value)) -> Self {
        if let Ok(mut card) = serde_json::from_str(&self.card) {
            edit(&mut card);
            self.card = pretty(&card);
        }
        self
    }

    /// Replaces the card by this text, which need not be JSON.
    #[must_use]
    pub fn card_text(mut self, text: impl Into<String>) -> Self {
        self.card = text.into();
        self
    }

    /// Replaces `instructions.md`.
    #[must_use]
    pub fn instructions(mut self, text: impl Into<String>) -> Self {
        self.instructions = Some(text.into());
        self
    }

    /// Leaves `instructions.md` out.
    #[must_use]
    pub fn without_instructions(mut self) -> Self {
        self.instructions = None;
        self
    }

    /// Replaces the whole of `runtime.toml`; the methods that add to it have no effect afterwards.
    #[must_use]
    pub fn runtime_toml(mut self, text: impl Into<String>) -> Self {
        self.runtime = Runtime::Whole(text.into());
        self
    }

    /// `type = "acp"` with the scripted agent at `bin_path` as its command (see [`crate::bin()`]).
    #[must_use]
    pub fn scripted_acp(mut self, bin_path: impl AsRef<Path>) -> Self {
        if let Runtime::Parts { runtime, .. } = &mut self.runtime {
            runtime.retain(|line| !line.starts_with("type =") && !line.starts_with("command ="));
            runtime.push("type = \"acp\"".to_owned());
            runtime.push(format!(
                "command = {}",
                quoted(&bin_path.as_ref().to_string_lossy())
            ));
        }
        self
    }

    /// Adds lines to `SCRIPTED_ACP` in `[runtime.env]` (see [`crate::acp_agent`]). A `$` reaches the agent as a `$`: it is
    /// written as `$$`, because the runtime expands templates in environment values.
    #[must_use]
    pub fn script(mut self, lines: &str) -> Self {
        if let Runtime::Parts { env, .. } = &mut self.runtime {
            let lines = lines.replace('$', "$$");
            match env.iter_mut().find(|(name, _)| name == "SCRIPTED_ACP") {
                Some((_, script)) => {
                    script.push('\n');
                    script.push_str(&lines);
                }
                None => env.push(("SCRIPTED_ACP".to_owned(), lines)),
            }
        }
        self
    }

    /// Adds a variable to `[runtime.env]`, its value written as it is (so `$NAME` and `{{ name }}` are templates).
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        if let Runtime::Parts { env, .. } = &mut self.runtime {
            env.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    /// Adds a line to the top of the file, such as `enabled = false`.
    #[must_use]
    pub fn top_key(mut self, line: &str) -> Self {
        if let Runtime::Parts { top, .. } = &mut self.runtime {
            top.push(line.to_owned());
        }
        self
    }

    /// Adds a line to `[runtime]`, such as `max_concurrent_tasks = 2`. A line for a key that is there replaces it.
    #[must_use]
    pub fn runtime_key(mut self, line: &str) -> Self {
        if let Runtime::Parts { runtime, .. } = &mut self.runtime {
            let key = key_of(line).to_owned();
            runtime.retain(|old| key_of(old) != key);
            runtime.push(line.to_owned());
        }
        self
    }

    /// Adds whole tables after `[runtime]`, such as `"[policy]\napproval = \"auto\""`.
    #[must_use]
    pub fn tables(mut self, text: &str) -> Self {
        if let Runtime::Parts { tables, .. } = &mut self.runtime {
            tables.push(text.to_owned());
        }
        self
    }

    /// Writes the three files and returns the agent's directory. May be called again after further edits.
    ///
    /// # Errors
    /// Whatever the file system says.
    pub fn write(&self) -> io::Result<PathBuf> {
        std::fs::create_dir_all(&self.dir)?;
        std::fs::write(self.dir.join("agent-card.json"), &self.card)?;
        std::fs::write(self.dir.join("runtime.toml"), self.runtime.text())?;
        let instructions = self.dir.join("instructions.md");
        match &self.instructions {
            Some(text) => std::fs::write(instructions, text)?,
            None if instructions.exists() => std::fs::remove_file(instructions)?,
            None => {}
        }
        Ok(self.dir.clone())
    }
}

impl Runtime {
    fn text(&self) -> String {
        let (top, runtime, env, tables) = match self {
            Self::Whole(text) => return text.clone(),
            Self::Parts {
                top,
                runtime,
                env,
                tables,
            } => (top, runtime, env, tables),
        };
        let mut text = String::new();
        for line in top {
            text.push_str(line);
            text.push('\n');
        }
        text.push_str("[runtime]\n");
        for line in runtime {
            text.push_str(line);
            text.push('\n');
        }
        if !env.is_empty() {
            text.push_str("[runtime.env]\n");
            for (name, value) in env {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{name} = {}", quoted(value));
            }
        }
        for table in tables {
            text.push_str(table);
            text.push('\n');
        }
        text
    }
}

fn default_card(id: &str) -> Value {
    json!({
        "name": id,
        "description": format!("The test agent {id}."),
        "version": "0.1.0",
        "supportedInterfaces": [{
            "url": format!("http://127.0.0.1:3131/a2a/agents/{id}"),
            "protocolBinding": "JSONRPC",
            "protocolVersion": "1.0",
        }],
        "capabilities": { "streaming": true },
        "defaultInputModes": ["text/plain"],
        "defaultOutputModes": ["text/markdown"],
        "skills": [{
            "id": "test",
            "name": "Test",
            "description": "Does what the test's script says.",
            "tags": ["test"],
        }],
    })
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn key_of(line: &str) -> &str {
    line.split('=').next().unwrap_or_default().trim()
}

/// A TOML basic string. JSON's escapes are a subset of TOML's.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
