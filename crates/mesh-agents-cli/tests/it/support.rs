//! A world of its own for each test: HOME, data, agents and temporary directory in one place that
//! goes with the test, and the proof that no process of it stays.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use mesh_agents_testkit::AgentDir;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The longest anything may take before the test fails; no measure of speed.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// Between two looks at a condition.
const POLL: Duration = Duration::from_millis(2);

/// A world of its own.
pub(crate) struct World {
    root: TempDir,
    env: Vec<(String, String)>,
}

impl World {
    /// A world with every directory but the agents' one.
    pub(crate) fn bare() -> Self {
        let root = tempfile::tempdir().unwrap();
        for name in ["home", "data/a2a", "tmp"] {
            fs::create_dir_all(root.path().join(name)).unwrap();
        }
        let world = Self {
            root,
            env: Vec::new(),
        };
        world.settings("");
        world
    }

    /// A world with an empty agents directory.
    pub(crate) fn new() -> Self {
        let world = Self::bare();
        fs::create_dir(world.path("agents")).unwrap();
        world
    }

    /// A world with the scripted agent `tester`, which does what messages say.
    pub(crate) fn with_tester() -> Self {
        let world = Self::new();
        world.agent("tester").write().unwrap();
        world
    }

    /// Adds a variable to the environment of everything started from now on.
    pub(crate) fn set_env(&mut self, name: &str, value: &str) {
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// A place in this world.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Writes the settings: these lines, and a free port to listen on, as worlds share a machine.
    pub(crate) fn settings(&self, lines: &str) {
        let text = format!("listen = \"127.0.0.1:0\"\n{lines}");
        fs::write(self.path("data/a2a/agents.toml"), text).unwrap();
    }

    /// The directory of a scripted agent, to be changed and written.
    pub(crate) fn agent(&self, id: &str) -> AgentDir {
        let program = mesh_agents_testkit::bin("scripted-acp-agent");
        AgentDir::new(self.path("agents"), id).scripted_acp(program)
    }

    /// The program with this command line, in an environment of this world alone.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_agents"));
        command
            .args(args)
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("LANG", "C.UTF-8")
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .env("MESH_AGENTS_DIR", self.path("agents"))
            .env("MESH_AGENTS_DATA_DIR", self.path("data"))
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.path("home"))
            .stdin(Stdio::null());
        command
    }

    /// Runs it to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        self.run_with(args, b"")
    }

    /// Runs it with `input` on its standard input.
    pub(crate) fn run_with(&self, args: &[&str], input: &[u8]) -> Said {
        let mut command = self.command(args);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let pid = child.id();
        let (ended, end) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            // A verb that never ends must fail its test and not hold all the others.
            scope.spawn(move || {
                if end.recv_timeout(DEADLINE) == Err(RecvTimeoutError::Timeout) {
                    kill(pid);
                }
            });
            // A verb that does not read its input to the end is a case, too.
            let _closed = child.stdin.take().unwrap().write_all(input);
            let output = child.wait_with_output().unwrap();
            drop(ended);
            Said::of(args, &output)
        })
    }

    /// Runs it with `--json` and reads the one document it must print.
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let said = self.run(&[args, &["--json"]].concat());
        let document = said.document();
        assert_ne!(document["schema"], "agents.error/1", "{said}");
        document
    }

    /// Sends a message without waiting; returns the task's id.
    pub(crate) fn send(&self, agent: &str, message: &str) -> String {
        let sent = self.json(&["send", agent, message, "--no-wait"]);
        sent["task_id"].as_str().unwrap().to_owned()
    }

    /// The task, once it is in this state.
    pub(crate) fn until_state(&self, task: &str, state: &str) -> Value {
        until(&format!("{task} is {state}"), || {
            let shown = self.json(&["task", task]);
            (shown["state"] == state).then_some(shown)
        })
    }

    /// Cancels a task; the answer that says that it is canceled. A call waits five seconds for that, and a machine
    /// that does much else may take longer.
    pub(crate) fn canceled(&self, task: &str) -> Value {
        until(&format!("{task} is canceled"), || {
            let began = Instant::now();
            let told = self.json(&["cancel", task]);
            if told["state"] == "canceled" {
                return Some(told);
            }
            let waited = began.elapsed() >= Duration::from_secs(5);
            assert!(waited && told["cancel_requested"] == true, "{told}");
            None
        })
    }

    /// Where a task's results come to lie while it runs.
    pub(crate) fn artifacts(&self, agent: &str, task: &str) -> PathBuf {
        self.path(&format!("data/a2a/agents/{agent}/runtime/{task}/artifacts"))
    }

    /// What `agents status` says of the engine; null when none runs.
    pub(crate) fn engine(&self) -> Value {
        self.json(&["status"])["engine"].clone()
    }

    /// The engine's process.
    pub(crate) fn engine_pid(&self) -> u32 {
        u32::try_from(self.engine()["pid"].as_u64().unwrap()).unwrap()
    }

    /// The guards of this world, which are the engine's children or were.
    pub(crate) fn guards(&self) -> Vec<u32> {
        let guard = |pid: &u32| cmdline(*pid).contains("harness guard");
        self.processes().into_iter().filter(guard).collect()
    }

    /// Every process of this world that lives: it names the world in its command line, its
    /// environment or its directory. Programs that a run starts inherit the last, whatever they
    /// clear; the programs the test itself waits for are not among them.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let root = self.root.path().to_str().unwrap();
        let named = |pid: &u32| {
            let at = |file: &str| PathBuf::from(format!("/proc/{pid}/{file}"));
            let environment = fs::read(at("environ")).unwrap_or_default();
            let place = fs::read_link(at("cwd")).unwrap_or_default();
            String::from_utf8_lossy(&environment).contains(root)
                || place.starts_with(root)
                || cmdline(*pid).contains(root)
        };
        let entries = fs::read_dir("/proc").unwrap();
        entries
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid| named(pid) && alive(*pid))
            .collect()
    }

    /// Compares what was said with the stored snapshot, what differs from run to run replaced.
    pub(crate) fn check(&self, name: &str, said: &[Said]) {
        let all: Vec<String> = said.iter().map(ToString::to_string).collect();
        let literal = |path: &Path| path.to_str().unwrap().replace('.', "\\.");
        let programs = mesh_agents_testkit::bin("scripted-acp-agent");
        let mut settings = insta::Settings::clone_current();
        settings.set_snapshot_path("snapshots");
        settings.set_prepend_module_to_snapshot(false);
        settings.add_filter(&literal(self.root.path()), "[ROOT]");
        settings.add_filter(&literal(programs.parent().unwrap()), "[BIN]");
        settings.add_filter(
            r"\b(task|run|ctx|msg|q)-[0-9A-HJKMNP-TV-Z]{26}",
            "$1-[ULID]",
        );
        settings.add_filter(r"\bpid \d+", "pid [PID]");
        settings.add_filter(r"127\.0\.0\.1:\d+", "127.0.0.1:[PORT]");
        settings.add_filter(r"\d{4}-\d\d-\d\dT[\d:.]+Z", "[TIME]");
        settings.bind(|| insta::assert_snapshot!(name, all.join("\n")));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // A test may have made the settings unreadable on purpose.
        self.settings("");
        let stopped = self.run(&["stop", "--now"]);
        let start = Instant::now();
        let mut left = self.processes();
        while !left.is_empty() && start.elapsed() < DEADLINE {
            std::thread::sleep(POLL);
            left = self.processes();
        }
        let named: BTreeMap<u32, String> = left.iter().map(|pid| (*pid, cmdline(*pid))).collect();
        left.into_iter().for_each(kill);
        if !std::thread::panicking() {
            assert_eq!(stopped.code, 0, "{stopped}");
            assert!(named.is_empty(), "still alive at the end: {named:?}");
        }
    }
}

/// How an invocation ended and what it said.
pub(crate) struct Said {
    args: String,
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    fn of(args: &[&str], output: &Output) -> Self {
        Self {
            args: args.join(" "),
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8_lossy(&output.stdout).into_owned(),
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The one JSON document on standard output.
    pub(crate) fn document(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}\n{self}"))
    }
}

impl std::fmt::Display for Said {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "$ agents {}\nexit {}", self.args, self.code)?;
        for (stream, text) in [("out", &self.out), ("err", &self.err)] {
            for line in text.lines() {
                writeln!(f, "{stream}| {line}")?;
            }
        }
        Ok(())
    }
}

/// A client of `agents mcp`.
pub(crate) struct Mcp {
    child: Child,
    to: Option<ChildStdin>,
    from: BufReader<ChildStdout>,
    last: u64,
}

impl Mcp {
    pub(crate) fn start(world: &World) -> Self {
        let mut command = world.command(&["mcp"]);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (to, from) = (child.stdin.take(), child.stdout.take().unwrap());
        let mut client = Self {
            child,
            to,
            from: BufReader::new(from),
            last: 0,
        };
        client.request(
            "initialize",
            &json!({
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": { "name": "test", "version": "1" },
            }),
        );
        client.write(&json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }));
        client
    }

    /// Calls a tool; an error of the tool is its text.
    pub(crate) fn call(&mut self, tool: &str, args: &Value) -> Result<Value, String> {
        let answer = self.request("tools/call", &json!({ "name": tool, "arguments": args }));
        let result = &answer["result"];
        if result["isError"] == true {
            return Err(result["content"][0]["text"].as_str().unwrap().to_owned());
        }
        Ok(result["structuredContent"].clone())
    }

    fn request(&mut self, method: &str, params: &Value) -> Value {
        self.last += 1;
        let id = self.last;
        self.write(&json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params }));
        loop {
            let mut line = String::new();
            assert_ne!(self.from.read_line(&mut line).unwrap(), 0, "it hung up");
            let message: Value = serde_json::from_str(&line).unwrap();
            if message["id"] == id {
                return message;
            }
        }
    }

    fn write(&mut self, message: &Value) {
        writeln!(self.to.as_mut().unwrap(), "{message}").unwrap();
    }
}

impl Drop for Mcp {
    fn drop(&mut self) {
        // The end of its input is its end.
        drop(self.to.take());
        let _ended = self.child.wait();
    }
}

/// Waits until `look` finds something.
pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < DEADLINE, "in vain: {what}");
        std::thread::sleep(POLL);
    }
}

/// Waits until none of these processes lives; says how long that took.
pub(crate) fn until_dead(what: &str, pids: &[u32]) -> Duration {
    let start = Instant::now();
    until(what, || pids.iter().all(|pid| !alive(*pid)).then_some(()));
    start.elapsed()
}

/// The pids in a file, once there are so many.
pub(crate) fn until_pids(file: &Path, count: usize) -> Vec<u32> {
    until(&format!("{count} pids in {}", file.display()), || {
        let text = fs::read_to_string(file).unwrap_or_default();
        let pids: Vec<u32> = text
            .split_inclusive('\n')
            .filter_map(|line| line.strip_suffix('\n')?.trim().parse().ok())
            .collect();
        (pids.len() >= count).then_some(pids)
    })
}

/// Whether a process can still do anything.
pub(crate) fn alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit(')').next().unwrap_or_default().trim_start();
    !stat.is_empty() && !state.starts_with(['Z', 'X'])
}

/// Its command line, for people.
pub(crate) fn cmdline(pid: u32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

/// Sends a signal to exactly this process; one that is gone already is as good.
pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
    let _gone = kill_process(pid, signal);
}

/// SIGKILL.
pub(crate) fn kill(pid: u32) {
    signal(pid, Signal::KILL);
}

/// `p50 / p99 / max` of these spans in milliseconds, as the figures are printed.
pub(crate) fn figures(mut spans: Vec<Duration>) -> String {
    spans.sort();
    let at = |share: usize| spans[(spans.len() * share).div_ceil(100).max(1) - 1];
    let ms = |span: Duration| format!("{:.1}", span.as_secs_f64() * 1000.0);
    format!(
        "n={} p50={} p99={} max={} ms",
        spans.len(),
        ms(at(50)),
        ms(at(99)),
        ms(at(100))
    )
}
