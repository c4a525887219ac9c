//! A temporary home: everything a host, our plugin, its engine and its runs write or are told by.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::process::{self, Process};
use crate::{AgentFiles, PLUGIN, agents_bin, eventually};

/// Limit for the last process of a home to be gone. Two seconds are promised; the machine may be busy.
const GONE_LIMIT: Duration = Duration::from_secs(60);

/// Passes over the processes of a home when all of them are killed: a fork may run ahead of one pass.
const KILL_PASSES: usize = 20;

/// Lines of each log shown when a test fails.
const TAIL_LINES: usize = 40;

/// A home directory of its own. Dropping it kills every process that belongs to it.
#[derive(Debug)]
pub struct Home {
    dir: TempDir,
    /// Where our binary lies, when it is not the one of the environment: where an installer put it.
    installed: OnceLock<PathBuf>,
}

impl Home {
    fn new() -> Result<Self> {
        // Short: the sockets below it must fit the 107 bytes of a socket address.
        let dir = tempfile::Builder::new()
            .prefix("mh-")
            .tempdir()
            .context("make a home")?;
        let home = Self {
            dir,
            installed: OnceLock::new(),
        };
        for directory in [
            home.agents_dir(),
            home.data_dir().join("a2a"),
            home.temp_dir(),
        ] {
            fs::create_dir_all(&directory)
                .with_context(|| format!("create {}", directory.display()))?;
        }
        // Any free port: the default is one fixed port, and other homes may be in use beside this one.
        home.set("listen", "127.0.0.1:0")?;
        Ok(home)
    }

    /// Adds a setting to `a2a/agents.toml`, which an engine reads when it starts.
    ///
    /// # Errors
    /// What the file system refuses.
    pub fn set(&self, key: &str, value: &str) -> Result<()> {
        let path = self.data_dir().join("a2a/agents.toml");
        let settings = OpenOptions::new().create(true).append(true).open(&path);
        settings
            // A JSON string is a TOML basic string for what a test sets.
            .and_then(|mut file| writeln!(file, "{key} = {}", json!(value)))
            .with_context(|| format!("write {}", path.display()))
    }

    /// Uses the plugin that a host's installer put into this home, and returns where it lies.
    ///
    /// # Errors
    /// When there is none.
    pub fn use_installed(&self) -> Result<PathBuf> {
        let path = self
            .data_dir()
            .join("plugins/installed")
            .join(PLUGIN)
            .join(PLUGIN);
        let path = fs::canonicalize(&path)
            .with_context(|| format!("the installer left no {}", path.display()))?;
        Ok(self.installed.get_or_init(|| path).clone())
    }

    /// Our binary: the installed one, else the one of the environment.
    fn program(&self) -> PathBuf {
        self.installed.get().cloned().unwrap_or_else(agents_bin)
    }

    /// The home directory.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Where agents are defined, by default: `~/.mesh-llm/agents`.
    #[must_use]
    pub fn agents_dir(&self) -> PathBuf {
        self.data_dir().join("agents")
    }

    /// The data directory, by default: `~/.mesh-llm`.
    #[must_use]
    pub fn data_dir(&self) -> PathBuf {
        self.path().join(".mesh-llm")
    }

    fn temp_dir(&self) -> PathBuf {
        self.path().join("tmp")
    }

    /// Writes an agent's directory and returns it.
    ///
    /// # Errors
    /// What the file system refuses.
    pub fn agent(&self, agent: &AgentFiles) -> Result<PathBuf> {
        agent.write(&self.agents_dir())
    }

    /// Copies an agent of the repository's `examples/`, under an id of its own, and returns its directory.
    ///
    /// # Errors
    /// What the file system refuses.
    pub fn example(&self, example: &str, id: &str) -> Result<PathBuf> {
        let from = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../../../examples")
            .join(example);
        let to = self.agents_dir().join(id);
        fs::create_dir_all(&to).with_context(|| format!("create {}", to.display()))?;
        for entry in fs::read_dir(&from).with_context(|| format!("read {}", from.display()))? {
            let entry = entry?;
            fs::copy(entry.path(), to.join(entry.file_name()))
                .with_context(|| format!("copy {}", entry.path().display()))?;
        }
        Ok(to)
    }

    /// Makes a directory that a test shares with the runs of its agents.
    ///
    /// # Errors
    /// What the file system refuses.
    pub fn shared(&self, name: &str) -> Result<PathBuf> {
        let directory = self.path().join(name);
        fs::create_dir_all(&directory)
            .with_context(|| format!("create {}", directory.display()))?;
        Ok(directory)
    }

    /// The whole environment of the programs of this home.
    #[must_use]
    pub fn environment(&self) -> Vec<(OsString, OsString)> {
        let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
        [
            ("HOME", self.path().into()),
            ("TMPDIR", self.temp_dir().into()),
            ("PATH", path),
            ("LANG", "C.UTF-8".into()),
            ("USER", "tester".into()),
            // The host asks the internet for a newer release at every start; nobody answers here.
            ("HTTPS_PROXY", "http://127.0.0.1:1".into()),
            ("MESH_LLM_NO_DEFAULT_PLUGINS", "1".into()),
            // Without it the host keeps its warnings, a plugin's lost connection among them, to itself.
            ("RUST_LOG", "warn".into()),
        ]
        .map(|(name, value)| (name.into(), value))
        .into()
    }

    /// Runs our binary directly in this home, as a user without a host would.
    ///
    /// # Errors
    /// When it cannot be started; what it answers, exit code included, is the caller's to judge.
    pub fn agents(&self, args: &[&str]) -> Result<Output> {
        let program = self.program();
        Command::new(&program)
            .args(args)
            .env_clear()
            .envs(self.environment())
            .current_dir(self.path())
            .output()
            .with_context(|| format!("run {} {args:?}", program.display()))
    }

    /// What our binary answers to `--json`, whatever its exit code says.
    ///
    /// # Errors
    /// When it cannot be started, or answers no JSON.
    pub fn agents_json(&self, args: &[&str]) -> Result<Value> {
        let output = self.agents(&[args, &["--json"]].concat())?;
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("agents {args:?}: {output:?}"))
    }

    /// The key of this home's node, `did:key:…`.
    ///
    /// # Errors
    /// As [`Home::agents_json`].
    pub fn key(&self) -> Result<String> {
        let shown = self.agents_json(&["identity", "show"])?;
        Ok(shown["peer_id"].as_str().context("a key")?.to_owned())
    }

    /// What `agents status` says of the engine of this home.
    ///
    /// # Errors
    /// When none runs.
    pub fn status(&self) -> Result<Value> {
        let output = self.agents(&["status", "--json"])?;
        let mut status: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("agents status: {output:?}"))?;
        ensure!(status["engine"].is_object(), "no engine: {status}");
        Ok(status["engine"].take())
    }

    /// The engine of this home, if one runs.
    ///
    /// # Errors
    /// When there is more than one.
    pub fn engine(&self) -> Result<Option<Process>> {
        let program = self.program();
        let mut engines = self.processes();
        engines.retain(|process| {
            process.executable().as_deref() == Some(&program)
                && process
                    .arguments()
                    .iter()
                    .skip(1)
                    .any(|word| word == "engine")
        });
        // What an engine starts is a copy of it until it executes its own program.
        let pids: Vec<i32> = engines.iter().map(Process::pid).collect();
        engines.retain(|engine| engine.parent().is_none_or(|parent| !pids.contains(&parent)));
        ensure!(
            engines.len() <= 1,
            "two engines on one data directory: {engines:?}"
        );
        Ok(engines.pop())
    }

    /// Every process that was started for this home and is alive.
    #[must_use]
    pub fn processes(&self) -> Vec<Process> {
        process::of_directory(self.path())
    }

    /// Stops the engine the way a user does and waits until nothing of this home runs any more.
    ///
    /// # Errors
    /// When the engine refuses, or anything is left.
    async fn finish(&self) -> Result<()> {
        if self.engine()?.is_some() {
            let stop = self.agents(&["stop", "--now"])?;
            ensure!(stop.status.success(), "agents stop --now: {stop:?}");
        }
        let mut left = Vec::new();
        eventually(
            "every process of the home to be gone",
            GONE_LIMIT,
            async || {
                left = self.processes();
                Ok(left.is_empty().then_some(()))
            },
        )
        .await
        .with_context(|| {
            let named: Vec<_> = left.iter().map(|p| (p.pid(), p.arguments())).collect();
            format!("left behind: {named:?}")
        })
    }

    fn kill_all(&self) {
        for _ in 0..KILL_PASSES {
            let processes = self.processes();
            if processes.is_empty() {
                return;
            }
            for process in processes {
                process.kill9();
            }
        }
    }

    /// The ends of the logs below the home, for whoever has to find out why a test failed.
    fn logs(&self) -> String {
        let mut text = String::new();
        let mut paths = vec![self.data_dir().join("a2a/engine.log")];
        let entries = fs::read_dir(self.path()).into_iter().flatten().flatten();
        paths.extend(
            entries
                .map(|entry| entry.path())
                .filter(|p| p.extension().is_some_and(|e| e == "stderr")),
        );
        for path in paths {
            if let Ok(log) = fs::read(&path) {
                let log = String::from_utf8_lossy(&log);
                let lines: Vec<_> = log.lines().collect();
                let tail = &lines[lines.len().saturating_sub(TAIL_LINES)..];
                text += &format!("--- the end of {}\n{}\n", path.display(), tail.join("\n"));
            }
        }
        text
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        if std::thread::panicking() {
            show(&self.logs());
        }
        self.kill_all();
    }
}

#[expect(
    clippy::print_stderr,
    reason = "a failed test shows the logs that its home takes away"
)]
fn show(text: &str) {
    eprintln!("{text}");
}

/// Runs one test in a home of its own, ends the engine afterwards, and fails if anything is left.
///
/// # Panics
/// As [`run_in`].
pub async fn run(test: impl AsyncFnOnce(&Home) -> Result<()>) {
    run_in(async |[home]: [&Home; 1]| test(home).await).await;
}

/// Runs one test in several homes, which know nothing of each other; otherwise as [`run`].
///
/// # Panics
/// When the test fails, with its whole chain of causes, after showing the logs; and when a process of a home
/// is still alive at the end.
pub async fn run_in<const N: usize>(test: impl AsyncFnOnce([&Home; N]) -> Result<()>) {
    if let Err(error) = within(test).await {
        panic!("{error:#}");
    }
}

/// As [`run_in`], for a program rather than a test.
///
/// # Errors
/// When `test` fails, after showing the logs; and when a process of a home is still alive at the end.
pub async fn within<const N: usize>(
    test: impl AsyncFnOnce([&Home; N]) -> Result<()>,
) -> Result<()> {
    let homes: Vec<Home> = (0..N).map(|_| Home::new()).collect::<Result<_>>()?;
    let homes_of_test = std::array::from_fn(|number| &homes[number]);
    let mut outcome = test(homes_of_test).await;
    for home in &homes {
        if outcome.is_ok() {
            outcome = home.finish().await;
        }
    }
    if outcome.is_err() {
        homes.iter().for_each(|home| show(&home.logs()));
    }
    outcome
}
