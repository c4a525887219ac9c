//! A machine for the points: a home with agents, a host with our plugin in it, and the ways to reach the engine.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use mesh_host_drive::{Client, Home, Host, HostSpec, Process, acp_bin, agents_bin};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::schedule::{Agent, Victim, Way};
use crate::witness::Witness;

/// How many tasks of an agent may wait: more than are ever under way here, so that none is refused.
const PENDING: u32 = 64;

/// A machine. Everything of it runs on one thread.
pub(crate) struct World<'home> {
    /// Its home.
    pub(crate) home: &'home Home,
    /// Its host; taken while it is restarted.
    pub(crate) host: tokio::sync::Mutex<Host<'home>>,
    /// Where the host answers MCP, the same over restarts.
    pub(crate) host_mcp: String,
    /// Where runs leave their notes.
    pub(crate) witness: PathBuf,
    /// Who was killed last: a call that was under way then may never be answered.
    pub(crate) kills: watch::Sender<Option<Victim>>,
    /// Agents whose lost runs are tried again, which this build may not do yet.
    pub(crate) retries: bool,
    /// Open MCP sessions.
    pub(crate) sessions: RefCell<BTreeMap<Way, Rc<Client>>>,
    /// HTTP over the engine's socket.
    pub(crate) socket: reqwest::Client,
    /// HTTP over TCP.
    http: reqwest::Client,
    /// Whether this build serves A2A's methods; what is meant for them goes by the engine's `/mcp` otherwise.
    pub(crate) serves_a2a: bool,
}

impl<'home> World<'home> {
    /// Sets it up and starts it.
    pub(crate) async fn start(home: &'home Home, name: &str) -> Result<Self> {
        let witness = home.shared("witness")?;
        let retries = write_agents(home, &witness)?;
        let host = Host::start(home, HostSpec::new(name)).await?;
        let path = home.data_dir().join("a2a/engine.sock");
        let socket = reqwest::Client::builder()
            .unix_socket(path)
            .pool_max_idle_per_host(0)
            .build()?;
        let http = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()?;
        let mut world = Self {
            home,
            host_mcp: host.url("/mcp"),
            host: tokio::sync::Mutex::new(host),
            witness,
            kills: watch::Sender::new(None),
            retries,
            sessions: RefCell::default(),
            socket,
            http,
            serves_a2a: false,
        };
        world.wake().await?;
        let asked = json!({ "id": "task-01ARZ3NDEKTSV4RRFFQ69G5FAV" });
        let refused = world.a2a(Agent::Plain.id(), "GetTask", &asked).await;
        // A server that knows the method says that the task is not there.
        world.serves_a2a = refused.is_err_and(|error| error.to_string().contains("-32001"));
        Ok(world)
    }

    /// Whether a lost run of that agent is tried again.
    pub(crate) fn retries(&self, agent: Agent) -> bool {
        agent == Agent::Again && self.retries
    }

    /// The engine's process, by its lock.
    pub(crate) fn engine(&self) -> Option<Process> {
        let process = Process::of(i32::try_from(self.lock()?["pid"].as_i64()?).ok()?)?;
        let is_engine = process
            .arguments()
            .get(1)
            .is_some_and(|word| word == "engine");
        is_engine.then_some(process)
    }

    /// Where the engine listens for HTTP.
    pub(crate) fn base_url(&self) -> Option<String> {
        Some(self.lock()?["base_url"].as_str()?.to_owned())
    }

    fn lock(&self) -> Option<Value> {
        let path = self.home.data_dir().join("a2a/engine.lock");
        serde_json::from_slice(&fs::read(path).ok()?).ok()
    }

    /// The guards there are, youngest last.
    pub(crate) fn guards(&self) -> Vec<Process> {
        let mut guards = self
            .engine()
            .map(|engine| engine.children())
            .unwrap_or_default();
        guards.retain(|child| child.arguments().get(2).is_some_and(|word| word == "guard"));
        guards.sort_by_key(Process::started);
        guards
    }

    /// Calls a tool over the engine's socket, as a front-end does.
    pub(crate) async fn socket_tool(&self, tool: &str, args: &Value) -> Result<Value> {
        let url = format!("http://engine/engine/v1/tools/{tool}");
        let request = self.socket.post(url).header("x-agents-surface", "cli");
        let request = request.header("content-type", "application/json");
        read(request.body(args.to_string()).send().await?).await
    }

    /// Asks the engine for something over its socket.
    pub(crate) async fn socket_get(&self, path: &str) -> Result<Value> {
        let url = format!("http://engine{path}");
        read(self.socket.get(url).send().await?).await
    }

    /// Calls a method of an agent's A2A endpoint: its result, or its error as text.
    pub(crate) async fn a2a(&self, agent: &str, method: &str, params: &Value) -> Result<Value> {
        let base = self.base_url().context("no engine to ask")?;
        let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
        let request = self.http.post(format!("{base}/a2a/agents/{agent}"));
        let request = request.header("a2a-version", "1.0");
        let request = request.header("content-type", "application/json");
        let mut answer = read(request.body(body.to_string()).send().await?).await?;
        let error = &answer["error"];
        ensure!(error.is_null(), "the error {error}");
        Ok(answer["result"].take())
    }

    /// Runs a verb of our binary and reads what it prints.
    pub(crate) async fn cli(&self, args: &[&str]) -> Result<Value> {
        let output = tokio::process::Command::new(agents_bin())
            .args(args)
            .arg("--json")
            .env_clear()
            .envs(self.home.environment())
            .current_dir(self.home.path())
            .stdin(std::process::Stdio::null())
            .kill_on_drop(true)
            .output()
            .await
            .with_context(|| format!("run agents {args:?}"))?;
        let answer: Value = serde_json::from_slice(&output.stdout)
            .with_context(|| format!("agents {args:?}: {output:?}"))?;
        ensure!(answer["error"].is_null(), "agents {args:?}: {answer}");
        Ok(answer)
    }

    /// Has an engine started where none runs, as any caller would.
    pub(crate) async fn wake(&self) -> Result<()> {
        self.cli(&["tasks", "--limit", "1"]).await.map(drop)
    }

    /// Closes all sessions; what they started leaves.
    pub(crate) fn hang_up(&self) {
        self.sessions.borrow_mut().clear();
    }

    /// Tells the callers of a kill.
    pub(crate) fn killed(&self, victim: Victim) {
        self.kills.send_replace(Some(victim));
    }

    /// Ends when somebody is killed after now and the patience that goes with it is over.
    pub(crate) fn cut_off<P>(&self, patience: P) -> impl Future<Output = ()> + use<P>
    where
        P: Fn(Victim) -> Duration,
    {
        let mut kills = self.kills.subscribe();
        async move {
            let victim = match kills.changed().await {
                Ok(()) => *kills.borrow(),
                Err(_) => None,
            };
            match victim {
                Some(victim) => tokio::time::sleep(patience(victim)).await,
                None => std::future::pending().await,
            }
        }
    }
}

async fn read(answer: reqwest::Response) -> Result<Value> {
    let status = answer.status();
    let body = answer.bytes().await?;
    let text = String::from_utf8_lossy(&body);
    ensure!(status.is_success(), "{status}: {text}");
    serde_json::from_slice(&body).with_context(|| format!("no JSON: {text}"))
}

/// Writes the agents. Says whether lost runs can be tried again.
fn write_agents(home: &Home, witness: &std::path::Path) -> Result<bool> {
    let acp = json!(acp_bin().display().to_string());
    let may_write = json!([witness.display().to_string()]);
    let card = |id: &str| {
        json!({
            "name": id,
            "description": "Does what a fault point wants.",
            "version": "0.1.0",
            "supportedInterfaces": [{
                "url": format!("http://127.0.0.1:3131/a2a/agents/{id}"),
                "protocolBinding": "JSONRPC",
                "protocolVersion": "1.0"
            }],
            "capabilities": { "streaming": true },
            "defaultInputModes": ["text/plain"],
            "defaultOutputModes": ["text/markdown"],
            "skills": [{ "id": "do", "name": "Do", "description": "Does it.", "tags": ["test"] }]
        })
    };
    for agent in Agent::ALL {
        let dir = home.agents_dir().join(agent.id());
        fs::create_dir_all(&dir)?;
        let command = match agent {
            Agent::Shell => {
                "type = \"command\"\ncommand = \"/bin/sh\"\nargs = [\"{{ agent.dir }}/run.sh\"]"
                    .to_owned()
            }
            _ => format!("type = \"acp\"\ncommand = {acp}"),
        };
        let (at_once, lost) = match agent {
            Agent::Narrow => (1, "fail"),
            Agent::Again => (4, "retry"),
            Agent::Plain | Agent::Keeper | Agent::Shell => (4, "fail"),
        };
        let kept = json!(witness.join("sessions").display().to_string());
        let sessions = match agent {
            Agent::Keeper => format!(
                "[runtime.env]\nSCRIPTED_ACP = \"caps load resume\"\nSCRIPTED_ACP_SESSIONS = {kept}\n"
            ),
            _ => String::new(),
        };
        let runtime = format!(
            "[runtime]\n{command}\nmax_concurrent_tasks = {at_once}\non_interrupt = \"{lost}\"\n\
             {sessions}[runtime.queue]\nmax_pending_tasks = {PENDING}\n[policy]\nwrite = {may_write}\n"
        );
        fs::write(
            dir.join("agent-card.json"),
            format!("{:#}", card(agent.id())),
        )?;
        fs::write(dir.join("instructions.md"), "Do what the message says.\n")?;
        fs::write(dir.join("run.sh"), Witness::shell_script(witness))?;
        fs::write(dir.join("runtime.toml"), runtime)?;
    }
    let again = Agent::Again.id();
    if home.agents(&["validate", again])?.status.success() {
        return Ok(true);
    }
    // A build that cannot try again says so here; then a lost run fails there as well.
    let path = home.agents_dir().join(again).join("runtime.toml");
    let text = fs::read_to_string(&path)?.replace("\"retry\"", "\"fail\"");
    fs::write(&path, text)?;
    for agent in Agent::ALL {
        let valid = home.agents(&["validate", agent.id()])?;
        ensure!(
            valid.status.success(),
            "the agent {} is not valid: {valid:?}",
            agent.id()
        );
    }
    Ok(false)
}
