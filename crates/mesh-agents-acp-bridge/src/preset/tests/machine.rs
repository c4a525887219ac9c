//! The machine the presets are tried on.

use std::fs;
use std::sync::Arc;

use mesh_agents_core::agent::Filesystem;
use mesh_agents_core::agent::testing::definition;
use mesh_agents_core::layout::Layout;
use mesh_agents_core::run::{Before, MeshEndpoints};
use tempfile::TempDir;

use crate::preset::*;

/// A machine: a root directory with `bin` (on PATH), `owner` (HOME), `ws`, `data`.
pub(super) struct Machine {
    root: TempDir,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) agent: AgentDefinition,
    pub(super) model: Option<&'static str>,
    pub(super) mesh: MeshEndpoints,
}

impl Machine {
    /// An agent of type `kind` on a machine that has every harness.
    pub(super) fn new(kind: RuntimeKind) -> Self {
        let root = tempfile::tempdir().unwrap();
        // Granted paths are real ones; on some systems the temporary directory is a link.
        let path = |name: &str| root.path().canonicalize().unwrap().join(name);
        for dir in ["bin", "owner", "ws"] {
            fs::create_dir(path(dir)).unwrap();
        }
        let mut agent = definition("reviewer");
        agent.runtime.kind = kind;
        agent.runtime.command = None;
        agent.policy.filesystem = Filesystem::Workspace;
        agent.dir = path("agents/reviewer");
        agent.instructions.file = path("agents/reviewer/instructions.md");
        let text = |name: &str| path(name).to_str().unwrap().to_owned();
        let machine = Self {
            environment: BTreeMap::from([
                ("PATH".to_owned(), format!("relative:{}", text("bin"))),
                ("HOME".to_owned(), text("owner")),
            ]),
            agent,
            model: Some("org/model:q4"),
            mesh: MeshEndpoints {
                mcp_url: Some("http://127.0.0.1:3131/mcp".to_owned()),
                api_url: Some("http://127.0.0.1:3131".to_owned()),
                openai_url: Some("http://127.0.0.1:9337/v1".to_owned()),
                data_dir: path("data"),
            },
            root,
        };
        for program in [
            "opencode", "goose", "pi-acp", "pi", "agents", "my-acp", "make",
        ] {
            machine.program(&format!("bin/{program}"), "");
        }
        machine
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.root.path().canonicalize().unwrap().join(name)
    }

    /// Puts an executable at `name`.
    pub(super) fn program(&self, name: &str, text: &str) -> PathBuf {
        use std::os::unix::fs::PermissionsExt;
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    pub(super) fn spec(&self) -> RunSpec {
        let layout = Layout::new(&self.path("data"));
        let task = "task-01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        RunSpec {
            run_id: "run-01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap(),
            dirs: layout.run(&self.agent.id, &task),
            home: layout.agent_home(&self.agent.id),
            task_id: task,
            context_id: "ctx".parse().unwrap(),
            attempt: 1,
            agent: Arc::new(self.agent.clone()),
            prompt: "Review it.".to_owned(),
            resume: None,
            before: Before::default(),
            patience: None,
            skill: None,
            mesh: self.mesh.clone(),
            tools: None,
        }
    }

    pub(super) fn plan(&self) -> Result<LaunchPlan, Failure> {
        plan(&PlanContext {
            spec: &self.spec(),
            workspace: &self.path("ws"),
            environment: &self.environment,
            agents_exe: &self.path("bin/agents"),
            model: self.model,
        })
    }

    /// `text` with what differs from run to run replaced.
    pub(super) fn normal(&self, text: &str) -> String {
        text.replace(self.path("").to_str().unwrap(), "/ROOT/")
    }

    /// The plan for a reader.
    pub(super) fn shown(&self) -> String {
        let plan = match self.plan() {
            Ok(plan) => plan,
            Err(failure) => return self.normal(&format!("{}: {}", failure.code, failure.message)),
        };
        let mut text = format!("{} {:?}\n", plan.program.display(), plan.args);
        text += &format!("HOME {:?}, MCP {:?}\n", plan.home, plan.mcp);
        for (name, value) in &plan.env {
            let value = match name.as_str() {
                "OPENCODE_SERVER_PASSWORD" => format!("({} characters)", value.len()),
                "OPENCODE_CONFIG_CONTENT" => {
                    let json: Value = serde_json::from_str(value).unwrap();
                    format!("{json:#}")
                }
                _ => value.clone(),
            };
            text += &format!("env {name}={value}\n");
        }
        for file in &plan.files {
            text += &format!("file {}\n{}", file.path.display(), file.text);
        }
        for path in &plan.read {
            text += &format!("read {}\n", path.display());
        }
        for path in &plan.write {
            text += &format!("write {}\n", path.display());
        }
        self.normal(&text)
    }

    pub(super) fn failure(&self) -> String {
        let failure = self.plan().unwrap_err();
        self.normal(&format!("{}: {}", failure.code, failure.message))
    }
}
