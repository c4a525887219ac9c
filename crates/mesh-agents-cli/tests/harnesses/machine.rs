//! A machine of its own for one test: a home, agents, data, `agents serve`, a scripted model and a real harness.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use mesh_agents_testkit::ScriptedModel;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::JoinHandle;

/// The longest anything may take before the test fails: far more than it needs on a busy machine.
const DEADLINE: Duration = Duration::from_secs(180);

/// The machine. Dropped without [`Machine::stop`], its node is killed, and the guards end what it ran.
pub(crate) struct Machine {
    root: TempDir,
    base: Vec<(&'static str, String)>,
    node: Child,
    log: JoinHandle<String>,
}

/// What a verb of `agents` answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) ok: bool,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A harness to test with: what its preset calls it, and where it is.
#[derive(Debug)]
pub(crate) struct Harness {
    pub(crate) name: &'static str,
    program: PathBuf,
}

impl Harness {
    /// The program in `<NAME>_BIN`; says so when there is none.
    #[expect(
        clippy::disallowed_methods,
        clippy::print_stderr,
        reason = "a test has nobody to read its environment for it, and says what it leaves out"
    )]
    pub(crate) fn find(name: &'static str) -> Option<Self> {
        let variable = format!("{}_BIN", name.to_uppercase());
        let named = std::env::var_os(&variable).filter(|path| !path.is_empty());
        if named.is_none() {
            eprintln!("skipped: {variable} is not set; run scripts/test-{name}.sh");
        }
        let program = PathBuf::from(named?);
        Some(Self { name, program })
    }
}

/// A model server for `steps`.
pub(crate) async fn model(steps: Value) -> ScriptedModel {
    // Goose asks for titles, in requests without tools.
    let script = serde_json::json!({ "steps": steps, "aux": { "text": "A title" } });
    ScriptedModel::start(script).await.unwrap()
}

/// The results of the harness's tools as the model was given them, in order.
pub(crate) fn tool_results(model: &ScriptedModel) -> Vec<String> {
    let log = model.log();
    for entry in &log {
        assert_eq!(
            entry.problem, None,
            "the script could not go on: {entry:#?}"
        );
    }
    let asked = log.iter().rfind(|entry| !entry.tools.is_empty());
    let last = asked.expect("the model was never asked");
    let messages = last.body["messages"].as_array().unwrap();
    let results = messages.iter().filter(|message| message["role"] == "tool");
    results
        .map(|result| match &result["content"] {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        })
        .collect()
}

impl Machine {
    /// Starts a node whose agents are the examples, `pr-review` on `harness`, with `policy` added to the end of `pr-review`'s, which is its
    /// table `[policy]`.
    pub(crate) async fn start(harness: &Harness, openai_url: &str, policy: &str) -> Self {
        Self::start_edited(harness, openai_url, |text| format!("{text}{policy}\n")).await
    }

    /// The same with `pr-review`'s `runtime.toml` as `edit` makes it.
    pub(crate) async fn start_edited(
        harness: &Harness,
        openai_url: &str,
        edit: impl FnOnce(&str) -> String,
    ) -> Self {
        let root = tempfile::tempdir().unwrap();
        let at = |name: &str| root.path().join(name);
        for dir in ["home", "tmp", "bin", "agents"] {
            std::fs::create_dir(at(dir)).unwrap();
        }
        // Whatever the program is called, the preset looks for its name.
        let name = at("bin").join(harness.name);
        std::os::unix::fs::symlink(&harness.program, name).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples");
        for agent in ["pr-review", "test-runner"] {
            copy(&source.join(agent), &at("agents").join(agent));
        }
        let runtime = at("agents/pr-review/runtime.toml");
        let text = std::fs::read_to_string(&runtime).unwrap();
        let kind = format!("type = \"{}\"", harness.name);
        let text = text.replace("type = \"opencode\"", &kind);
        std::fs::write(&runtime, edit(&text)).unwrap();
        let text = |name: &str| at(name).to_str().unwrap().to_owned();
        let base = vec![
            ("HOME", text("home")),
            ("TMPDIR", text("tmp")),
            (
                "PATH",
                format!("{}:/usr/local/bin:/usr/bin:/bin", text("bin")),
            ),
            ("LANG", "C.UTF-8".to_owned()),
            ("MESH_AGENTS_DIR", text("agents")),
            ("MESH_AGENTS_DATA_DIR", text("data")),
            ("MESH_LLM_OPENAI_URL", openai_url.to_owned()),
        ];
        let (node, log) = serve(&base).await;
        Self {
            root,
            base,
            node,
            log,
        }
    }

    /// Kills the node in whatever it does and starts it again.
    pub(crate) async fn kill_and_restart(&mut self) {
        self.node.kill().await.unwrap();
        (self.node, self.log) = serve(&self.base).await;
    }

    /// A path below the machine's directory: `home`, `tmp`, `agents`, `data`, or one of the test's own.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The node's process id.
    pub(crate) fn pid(&self) -> u32 {
        self.node.id().unwrap()
    }

    /// Runs a verb to its end.
    pub(crate) async fn agents<S: AsRef<OsStr>>(&self, args: &[S]) -> Answer {
        let output = within(program(&self.base).args(args).output())
            .await
            .unwrap();
        Answer {
            ok: output.status.success(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Sends a message and waits for the task's end: what `agents send --json` answers.
    pub(crate) async fn send(&self, agent: &str, message: &str) -> Value {
        self.agents(&["--json", "send", agent, message])
            .await
            .json()
    }

    /// Sends a message, waits for the end, which has to be good, and returns the task's id.
    pub(crate) async fn complete(&self, agent: &str, message: &str) -> String {
        let ended = self.send(agent, message).await;
        assert_eq!(ended["state"], "completed", "{ended:#}");
        ended["task_id"].as_str().unwrap().to_owned()
    }

    /// An artifact's text, as `agents artifacts` prints it.
    pub(crate) async fn artifact(&self, task: &str, artifact: &str) -> String {
        let answer = self.agents(&["artifacts", task, artifact]).await;
        assert!(answer.ok, "{answer:?}");
        answer.stdout
    }

    /// Makes a git repository `name` with one commit.
    pub(crate) async fn repository(
        &self,
        name: &str,
        subject: &str,
        files: &[(&str, &str)],
    ) -> PathBuf {
        let dir = self.path(name);
        std::fs::create_dir(&dir).unwrap();
        for (file, text) in files {
            std::fs::write(dir.join(file), text).unwrap();
        }
        let who = ["-c", "user.name=t", "-c", "user.email=t@localhost"];
        for words in [
            &["init", "-q"][..],
            &["add", "."],
            &["commit", "-qm", subject],
        ] {
            let mut git = Command::new("git");
            git.args(who).args(words).current_dir(&dir);
            let done = within(git.env("HOME", self.path("home")).status()).await;
            assert!(done.unwrap().success(), "git {words:?}");
        }
        dir
    }

    /// Ends the node as its owner would; returns what it logged.
    pub(crate) async fn stop(mut self) -> String {
        let pid = Pid::from_raw(i32::try_from(self.pid()).unwrap()).unwrap();
        kill_process(pid, Signal::TERM).unwrap();
        let status = within(self.node.wait()).await.unwrap();
        let log = within(self.log).await.unwrap();
        assert!(status.success(), "{status}: {log}");
        log
    }
}

impl Answer {
    /// The document it printed.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Fails the test when `future` does not come to its end.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(DEADLINE, future).await;
    done.expect("it did not end in time")
}

/// Starts the node and waits until it is ready; beside it, what it logs.
async fn serve(base: &[(&'static str, String)]) -> (Child, JoinHandle<String>) {
    let mut node = program(base);
    node.args(["serve", "--listen", "127.0.0.1:0"]);
    let mut node = node.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(node.stderr.take().unwrap()).lines();
    let mut said = String::new();
    loop {
        let line = within(lines.next_line()).await.unwrap();
        let line = line.unwrap_or_else(|| panic!("the node did not start: {said}"));
        if line.starts_with("ready ") {
            break;
        }
        said += &line;
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "the handle is kept and waited for"
    )]
    let log = tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            said += &line;
            said.push('\n');
        }
        said
    });
    (node, log)
}

fn program(env: &[(&'static str, String)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_agents"));
    command
        .env_clear()
        .envs(env.iter().map(|(name, value)| (name, value)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
    }
}
