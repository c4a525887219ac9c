//! Two nodes of a private mesh: the owner of agents, and a caller that talks to its own host's `/mcp` alone.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

use crate::{Client, Home, Host, HostSpec, eventually};

/// Limit for what one node does to be seen at the other, after a kill too: a plugin that was killed is told of
/// its peers by the host's next event, which comes within a quarter of a minute; the machine may be busy.
pub const SEEN_LIMIT: Duration = Duration::from_secs(90);

/// The longest a call may be parked through a host, in seconds; the host's own limit is 30 s.
pub const PARK_SECONDS: u64 = 25;

/// How a task can end.
const ENDS: [&str; 4] = ["completed", "failed", "canceled", "rejected"];

/// Both nodes, in homes of their own. Dropping it kills both hosts.
#[derive(Debug)]
pub struct Pair<'home> {
    /// The home of the node that has agents.
    pub owner_home: &'home Home,
    /// The home of the node that calls them.
    pub caller_home: &'home Home,
    /// The owner's host.
    pub owner: Host<'home>,
    /// The caller's host.
    pub caller: Host<'home>,
    /// A client of the caller's host.
    pub mcp: Client,
    sent: AtomicUsize,
}

/// What is killed while the owner works for the caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    /// The plugin process of the owner's host.
    OwnersPlugin,
    /// The owner's host, with its plugin.
    OwnersHost,
    /// The engine on the owner's node, with its harnesses.
    OwnersEngine,
    /// The plugin process of the caller's host.
    CallersPlugin,
    /// The caller's host, with its plugin and its clients' sessions.
    CallersHost,
    /// The engine on the caller's node.
    CallersEngine,
}

impl Victim {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::OwnersPlugin,
        Self::OwnersHost,
        Self::OwnersEngine,
        Self::CallersPlugin,
        Self::CallersHost,
        Self::CallersEngine,
    ];

    /// Its name: on the command line of `e2e`, and as the end of an agent's id.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::OwnersPlugin => "owners-plugin",
            Self::OwnersHost => "owners-host",
            Self::OwnersEngine => "owners-engine",
            Self::CallersPlugin => "callers-plugin",
            Self::CallersHost => "callers-host",
            Self::CallersEngine => "callers-engine",
        }
    }
}

impl fmt::Display for Victim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl<'home> Pair<'home> {
    /// Starts both; the caller joins the owner's mesh by its invite token.
    ///
    /// # Errors
    /// As [`Host::start`].
    pub async fn start(owner_home: &'home Home, caller_home: &'home Home) -> Result<Self> {
        let owner = HostSpec::new("owner").on_fixed_port()?;
        let owner = Host::start(owner_home, owner).await?;
        Self::of(owner_home, caller_home, owner).await
    }

    /// As [`Pair::start`], for an owner that runs already.
    ///
    /// # Errors
    /// As [`Host::start`].
    pub async fn of(
        owner_home: &'home Home,
        caller_home: &'home Home,
        owner: Host<'home>,
    ) -> Result<Self> {
        let caller = HostSpec::new("caller").joining(&owner.token().await?);
        let caller = Host::start(caller_home, caller).await?;
        Self::with(owner_home, caller_home, owner, caller).await
    }

    /// As [`Pair::start`], for two hosts that run already, the caller's in the owner's mesh.
    ///
    /// # Errors
    /// When the caller's host takes no MCP client.
    pub async fn with(
        owner_home: &'home Home,
        caller_home: &'home Home,
        owner: Host<'home>,
        caller: Host<'home>,
    ) -> Result<Self> {
        let mcp = caller.mcp().await?;
        Ok(Self {
            owner_home,
            caller_home,
            owner,
            caller,
            mcp,
            sent: AtomicUsize::new(0),
        })
    }

    /// Waits until the caller is shown that many agents of other nodes, and returns them.
    ///
    /// # Errors
    /// When they are not listed in time.
    pub async fn listed(&self, agents: usize) -> Result<Vec<Value>> {
        let mut last = Value::Null;
        eventually(
            "the owner's agents to be listed at the caller",
            SEEN_LIMIT,
            async || {
                last = self
                    .mcp
                    .call("get_agents", json!({ "location": "remote" }))
                    .await?;
                let listed = last["agents"].as_array().context("agents")?;
                Ok((listed.len() >= agents).then(|| listed.clone()))
            },
        )
        .await
        .with_context(|| format!("the last list: {last}"))
    }

    /// Has the owner let the caller call that agent, or all for `*`. It counts within a second.
    ///
    /// # Errors
    /// When the owner's command line refuses.
    pub fn allow(&self, agent: &str) -> Result<()> {
        let key = self.caller_home.key()?;
        let allowed = self
            .owner_home
            .agents(&["peers", "allow", &key, agent, "--json"])?;
        ensure!(allowed.status.success(), "agents peers allow: {allowed:?}");
        Ok(())
    }

    /// Lets the callers ask as often as they like.
    ///
    /// # Errors
    /// When the owner's list cannot be read or written.
    pub fn unhurried(&self) -> Result<()> {
        let list = self.owner_home.data_dir().join("a2a/acl.toml");
        let rules =
            std::fs::read_to_string(&list).with_context(|| format!("read {}", list.display()))?;
        let rate = "requests_per_minute = 1000000\nburst = 1000000\n";
        std::fs::write(&list, format!("[everyone]\n{rate}\n{rules}"))
            .with_context(|| format!("write {}", list.display()))
    }

    /// Kills one with SIGKILL, and starts it again if it is a host: that is nobody's work but its owner's. A
    /// host joins by a token of the other, since its own peer id is another one now.
    ///
    /// # Errors
    /// When it does not run, or does not come up again.
    pub async fn kill(&mut self, victim: Victim) -> Result<()> {
        match victim {
            Victim::OwnersPlugin => self.owner.plugin().await?.kill9(),
            Victim::CallersPlugin => self.caller.plugin().await?.kill9(),
            Victim::OwnersEngine => engine(self.owner_home)?.kill9(),
            Victim::CallersEngine => engine(self.caller_home)?.kill9(),
            Victim::OwnersHost => {
                self.owner.kill9()?;
                self.owner.join_next(&self.caller.token().await?);
                self.owner.restart().await?;
            }
            Victim::CallersHost => {
                self.caller.kill9()?;
                self.caller.join_next(&self.owner.token().await?);
                self.caller.restart().await?;
                self.mcp = self.caller.mcp().await?;
            }
        }
        Ok(())
    }

    /// Sends a message to an agent of the other node, under a key of its own; says which task it became. Without
    /// a key, what is sent again just after a plugin was killed is taken for the host's own repeat.
    ///
    /// # Errors
    /// As the tool says.
    pub async fn send(&self, agent: &str, message: &str) -> Result<String> {
        let message_id = format!("e2e-{}", self.sent.fetch_add(1, Ordering::Relaxed));
        let call = json!({ "agent_id": agent, "message": message, "message_id": message_id });
        let sent = self.mcp.call("send_message", call).await?;
        Ok(sent["task_id"].as_str().context("a task id")?.to_owned())
    }

    /// Waits for the end of a task as the caller sees it.
    ///
    /// # Errors
    /// When it does not end within `limit`.
    pub async fn ended(&self, task: &str, limit: Duration) -> Result<Value> {
        let query = json!({ "task_id": task, "wait_seconds": PARK_SECONDS });
        let mut last = String::new();
        eventually("the task to end at the caller", limit, async || {
            // The first calls after a kill may meet a front-end that looks for the next engine, or a host
            // that looks for its plugin.
            match self.mcp.call("get_task", query.clone()).await {
                Ok(shown) if ENDS.iter().any(|end| shown["state"] == *end) => Ok(Some(shown)),
                Ok(shown) => {
                    last = shown.to_string();
                    Ok(None)
                }
                Err(error) => {
                    last = error.to_string();
                    Ok(None)
                }
            }
        })
        .await
        .with_context(|| format!("the last answer: {last}"))
    }

    /// The ids of the tasks the owner has for an agent.
    ///
    /// # Errors
    /// As [`Home::agents_json`].
    pub fn owners_tasks(&self, agent: &str) -> Result<Vec<String>> {
        let listed = self
            .owner_home
            .agents_json(&["tasks", "--agent", agent, "--limit", "100"])?;
        let tasks = listed["tasks"].as_array().context("tasks")?;
        Ok(tasks
            .iter()
            .filter_map(|task| Some(task["task_id"].as_str()?.to_owned()))
            .collect())
    }

    /// What each node says of the mesh, for whoever has to find out why a test failed.
    #[must_use]
    pub fn views(&self) -> String {
        let view = |home: &Home| match home.agents_json(&["peers", "list"]) {
            Ok(view) => view.to_string(),
            Err(error) => format!("{error:#}"),
        };
        let (owner, caller) = (view(self.owner_home), view(self.caller_home));
        format!("the owner sees {owner}\nthe caller sees {caller}")
    }

    /// Ends the session and both hosts.
    ///
    /// # Errors
    /// As [`Host::stop`].
    pub async fn stop(self) -> Result<()> {
        self.mcp.close().await?;
        self.owner.stop().await?;
        self.caller.stop().await
    }
}

fn engine(home: &Home) -> Result<crate::Process> {
    home.engine()?.context("an engine runs")
}
