//! One running host, with our plugin in its configuration.

use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::{Client, Home, PLUGIN, Process, agents_bin, eventually, host_bin};

/// Limit for a host to answer. It takes half a second alone; an unoptimised one on a busy machine, longer.
const BOOT_LIMIT: Duration = Duration::from_secs(60);

/// Limit for a plugin to be there again. The host allows 10 s to connect and 30 s to initialise, and looks for one
/// that is gone every 15 s.
const PLUGIN_LIMIT: Duration = Duration::from_secs(90);

/// Limit for a host to leave after SIGTERM, which takes it up to 2 s alone.
const STOP_LIMIT: Duration = Duration::from_secs(60);

/// Tries with other ports, when somebody took one between our asking for it and the host's binding it.
const PORT_TRIES: usize = 3;

/// What the host writes when the connection to a plugin broke. Each such line is a plugin lost.
const LOST_PLUGIN: [&str; 2] = ["Plugin connection closed", "Plugin frame too large"];

/// How a host is to be started.
#[derive(Clone, Debug)]
pub struct HostSpec {
    /// The host program.
    pub host_bin: PathBuf,
    /// Our plugin's binary.
    pub agents_bin: PathBuf,
    /// Arguments of the plugin process, before none.
    pub plugin_args: Vec<String>,
    /// The node's name.
    pub name: String,
    /// Invite tokens of the mesh to join.
    pub join: Vec<String>,
    /// UDP port of its mesh socket; any free one without it.
    pub bind_port: Option<u16>,
    /// Another plugin beside ours: its id, its program and its arguments.
    pub beside: Option<(String, PathBuf, Vec<String>)>,
    /// A serve-role node, which keeps its peer id when it starts again; a client-role node without it.
    pub keeps_id: bool,
    /// Whether the host is given a configuration that names the plugin. Without one it has none at all, and
    /// starts what is installed.
    pub configured: bool,
}

impl HostSpec {
    /// A lone node with the programs of the environment.
    ///
    /// # Panics
    /// As [`host_bin`] and [`agents_bin`].
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            host_bin: host_bin(),
            agents_bin: agents_bin(),
            plugin_args: Vec::new(),
            name: name.to_owned(),
            join: Vec::new(),
            bind_port: None,
            beside: None,
            keeps_id: false,
            configured: true,
        }
    }

    /// A lone node of a user who configured nothing and has installed the plugin, which lies there.
    ///
    /// # Panics
    /// As [`host_bin`].
    #[must_use]
    pub fn installed(name: &str, plugin: PathBuf) -> Self {
        Self {
            host_bin: host_bin(),
            agents_bin: plugin,
            plugin_args: Vec::new(),
            name: name.to_owned(),
            join: Vec::new(),
            bind_port: None,
            beside: None,
            keeps_id: false,
            configured: false,
        }
    }

    /// The same, joining the mesh of this invite token.
    #[must_use]
    pub fn joining(mut self, token: &str) -> Self {
        self.join = vec![token.to_owned()];
        self
    }

    /// The same on a mesh port of its own that it finds again after a restart.
    ///
    /// # Errors
    /// When no port is free.
    pub fn on_fixed_port(mut self) -> Result<Self> {
        let free = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
        self.bind_port = Some(free.local_addr()?.port());
        Ok(self)
    }
}

/// A host process. Dropping it kills it; the engine stays, see [`Home`].
#[derive(Debug)]
pub struct Host<'home> {
    home: &'home Home,
    spec: HostSpec,
    ports: Ports,
    child: Child,
    stderr: PathBuf,
    http: reqwest::Client,
    boot: Duration,
}

/// The two TCP ports of a host.
#[derive(Clone, Copy, Debug)]
struct Ports {
    api: u16,
    console: u16,
}

impl Ports {
    fn free() -> Result<Self> {
        // Both are held until both are known, so that they differ.
        let api = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let console = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok(Self {
            api: api.local_addr()?.port(),
            console: console.local_addr()?.port(),
        })
    }
}

impl<'home> Host<'home> {
    /// Starts a host and returns once its management API answers and our plugin runs.
    ///
    /// # Errors
    /// When the host leaves or does not answer in time, with the end of what it wrote.
    pub async fn start(home: &'home Home, spec: HostSpec) -> Result<Self> {
        if spec.configured {
            write_config(home, &spec)?;
        }
        let stderr = home.path().join(format!("{}.stderr", spec.name));
        // Loopback only, whatever proxy the machine has; and no connection twice: the host closes each after
        // one answer, and a kept one would be found dead.
        let http = reqwest::Client::builder()
            .no_proxy()
            .pool_max_idle_per_host(0)
            .build()?;
        for attempt in 1.. {
            let ports = Ports::free()?;
            let child = spawn(home, &spec, ports, &stderr)?;
            let boot = Duration::ZERO;
            let (spec, stderr, http) = (spec.clone(), stderr.clone(), http.clone());
            let mut host = Self {
                home,
                spec,
                ports,
                child,
                stderr,
                http,
                boot,
            };
            match host.ready().await {
                Ok(()) => return Ok(host),
                Err(_) if attempt < PORT_TRIES && host.lost_its_port() => {}
                Err(error) => return Err(error),
            }
        }
        unreachable!("the last attempt returns")
    }

    /// Starts the host anew with the same home, ports and configuration, as a supervisor would.
    ///
    /// # Errors
    /// As [`Host::start`]; and when the host still runs.
    pub async fn restart(&mut self) -> Result<()> {
        ensure!(
            self.child.try_wait()?.is_some(),
            "the host still runs; stop or kill it first"
        );
        self.child = spawn(self.home, &self.spec, self.ports, &self.stderr)?;
        self.ready().await
    }

    /// The invite token of the mesh this host is in, which names this host.
    ///
    /// # Errors
    /// When the host does not answer.
    pub async fn token(&self) -> Result<String> {
        let status = self.get("/api/status").await?;
        Ok(status["token"].as_str().context("a token")?.to_owned())
    }

    /// Names the mesh to join when this host starts again. A client-role host has another peer id then, which
    /// the tokens that name it know nothing of: it must join by one of a host that is still there.
    pub fn join_next(&mut self, token: &str) {
        self.spec.join = vec![token.to_owned()];
    }

    async fn ready(&mut self) -> Result<()> {
        let start = Instant::now();
        let url = self.url("/api/status");
        let ready = eventually("the host's /api/status to answer", BOOT_LIMIT, async || {
            if let Some(status) = self.child.try_wait()? {
                bail!("the host left while starting: {status}");
            }
            let answer = self.http.get(&url).send().await;
            Ok(answer
                .is_ok_and(|answer| answer.status().is_success())
                .then(|| start.elapsed()))
        });
        self.boot = ready.await.with_context(|| self.stderr_tail())?;
        self.plugin().await.map(drop)
    }

    fn lost_its_port(&self) -> bool {
        self.stderr_text().contains("Address already in use")
    }

    /// Time from starting the host to the first answer of its management API.
    #[must_use]
    pub fn boot(&self) -> Duration {
        self.boot
    }

    /// The host's own process.
    ///
    /// # Errors
    /// When it is gone.
    pub fn process(&self) -> Result<Process> {
        i32::try_from(self.child.id())
            .ok()
            .and_then(Process::of)
            .with_context(|| format!("the host is gone\n{}", self.stderr_tail()))
    }

    /// A URL on the management port.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.ports.console)
    }

    /// What a GET on the management port answers, as JSON.
    ///
    /// # Errors
    /// No answer, a status that is no success, or no JSON.
    pub async fn get(&self, path: &str) -> Result<Value> {
        let answer = self
            .http
            .get(self.url(path))
            .send()
            .await?
            .error_for_status()?;
        Ok(answer.json().await?)
    }

    /// Our plugin's process as the operating system sees it now; `/api/plugins` may be 15 s behind.
    ///
    /// # Errors
    /// When the host is gone.
    pub fn plugin_now(&self) -> Result<Option<Process>> {
        let mut children = self.process()?.children();
        children.retain(|child| child.executable().as_ref() == Some(&self.spec.agents_bin));
        Ok(children.pop())
    }

    /// Our plugin's process, once the host counts it as running.
    ///
    /// # Errors
    /// When it does not come up, with what the host says of it.
    pub async fn plugin(&self) -> Result<Process> {
        let mut last = Value::Null;
        eventually("the plugin to run", PLUGIN_LIMIT, async || {
            let plugins = self.get("/api/plugins").await?;
            last = plugins
                .as_array()
                .and_then(|plugins| plugins.iter().find(|plugin| plugin["name"] == PLUGIN))
                .cloned()
                .unwrap_or(plugins);
            Ok(if last["status"] == "running" {
                self.plugin_now()?
            } else {
                None
            })
        })
        .await
        .with_context(|| format!("the host says: {last}\n{}", self.stderr_tail()))
    }

    /// How many times the host lost its plugin, by its own log since the first start.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn lost_plugins(&self) -> Result<usize> {
        let text = fs::read(&self.stderr).context("read the host's stderr")?;
        let text = String::from_utf8_lossy(&text);
        Ok(text
            .lines()
            .filter(|line| LOST_PLUGIN.iter().any(|lost| line.contains(lost)))
            .count())
    }

    /// Connects a new MCP client to the host's `/mcp`.
    ///
    /// # Errors
    /// When the handshake fails.
    pub async fn mcp(&self) -> Result<Client> {
        Client::of_host(&self.url("/mcp")).await
    }

    /// Runs `mesh-llm agents <args…>`, a second copy of the plugin, beside the running node.
    ///
    /// # Errors
    /// When the program cannot be started; what it answers is the caller's to judge.
    pub fn cli(&self, args: &[&str]) -> Result<Output> {
        Command::new(&self.spec.host_bin)
            .arg(PLUGIN)
            .args(args)
            .env_clear()
            .envs(self.home.environment())
            .current_dir(self.home.path())
            .output()
            .with_context(|| format!("run {} {PLUGIN} {args:?}", self.spec.host_bin.display()))
    }

    /// Kills the host with SIGKILL and waits for its end.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill9(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Asks the host to leave, and waits until it and its plugin are gone.
    ///
    /// # Errors
    /// When it fails, or is still there after its time.
    pub async fn stop(mut self) -> Result<()> {
        let plugin = self.plugin_now()?;
        self.process()?.terminate();
        let status = eventually("the host to leave after SIGTERM", STOP_LIMIT, async || {
            Ok(self.child.try_wait()?)
        })
        .await?;
        ensure!(
            status.success(),
            "the host left with {status}\n{}",
            self.stderr_tail()
        );
        eventually(
            "the plugin to leave with its host",
            STOP_LIMIT,
            async || Ok(plugin.is_none_or(|plugin| !plugin.is_alive()).then_some(())),
        )
        .await
    }

    fn stderr_text(&self) -> String {
        let bytes = fs::read(&self.stderr).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    fn stderr_tail(&self) -> String {
        let text = self.stderr_text();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(15)..].join("\n")
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        // Both fail only when it is gone already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn write_config(home: &Home, spec: &HostSpec) -> Result<()> {
    let path = home.data_dir().join("config.toml");
    let beside = spec.beside.as_ref().map(|(id, program, args)| {
        format!(
            "\n[[plugin]]\nname = {}\ncommand = {}\nargs = {}\n",
            json!(id),
            json!(program.display().to_string()),
            json!(args)
        )
    });
    // A JSON string or array of strings is a TOML one for what a test writes.
    let text = format!(
        "version = 1\n\n[logging]\nenabled = false\n\n[[plugin]]\nname = \"blobstore\"\nenabled = false\n\n\
         [[plugin]]\nname = \"{PLUGIN}\"\ncommand = {}\nargs = {}\n\n[plugin.startup]\noptional = true\n",
        json!(spec.agents_bin.display().to_string()),
        json!(spec.plugin_args),
    ) + &beside.unwrap_or_default();
    fs::write(&path, text).with_context(|| format!("write {}", path.display()))
}

fn spawn(home: &Home, spec: &HostSpec, ports: Ports, stderr: &PathBuf) -> Result<Child> {
    let log: File = OpenOptions::new().create(true).append(true).open(stderr)?;
    let mut command = Command::new(&spec.host_bin);
    command
        // The released program's spelling, which `meshhost` knows as well.
        .arg(if spec.keeps_id { "serve" } else { "client" })
        .args(["--log-format", "json", "--name", &spec.name])
        .args([
            "--port",
            &ports.api.to_string(),
            "--console",
            &ports.console.to_string(),
        ])
        .args([
            "--bind-ip",
            "127.0.0.1",
            "--disable-iroh-relays",
            "--headless",
        ])
        .arg("--no-default-plugins")
        .args(spec.join.iter().flat_map(|token| ["--join", token]))
        .args(
            spec.bind_port
                .iter()
                .flat_map(|port| ["--bind-port".to_owned(), port.to_string()]),
        )
        .env_clear()
        .envs(home.environment())
        .current_dir(home.path())
        .stdin(Stdio::null())
        .stdout(log.try_clone()?)
        .stderr(log);
    command
        .spawn()
        .with_context(|| format!("start {}", spec.host_bin.display()))
}
