//! Runs under the real bridge, from spec to end.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures::StreamExt as _;
use mesh_agents_acp_bridge::{AcpBridge, BridgeConfig};
use mesh_agents_core::agent::{AgentDefinition, Filesystem, testing};
use mesh_agents_core::ids::{ContextId, RunId, TaskId};
use mesh_agents_core::layout::Layout;
use mesh_agents_core::run::{Before, MeshEndpoints, Outcome, RunEvent, RunSpec, Runner as _};
use tempfile::TempDir;
use ulid::Ulid;

/// A place for runs, gone with it.
pub(crate) struct World {
    root: TempDir,
    bridge: AcpBridge,
}

impl World {
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let at = |name: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(&path).unwrap();
            path
        };
        let environment = BTreeMap::from([
            ("PATH".to_owned(), "/usr/bin:/bin".to_owned()),
            ("HOME".to_owned(), at("owner").to_str().unwrap().to_owned()),
        ]);
        at("agents/tester");
        at("bare");
        let config = BridgeConfig::new(environment, agents_exe(), at("tmp"), at("data/a2a"));
        Self {
            root,
            bridge: AcpBridge::new(config),
        }
    }

    /// Where the bare client works.
    pub(crate) fn workspace(&self) -> PathBuf {
        self.root.path().join("bare")
    }

    /// Runs the prompt to its end; returns how many events came.
    pub(crate) async fn run(&self, filesystem: Filesystem, prompt: &str) -> usize {
        let run = self.bridge.start(self.spec(filesystem, prompt));
        let events = run.events.collect::<Vec<_>>().await;
        let ended = events.last();
        assert!(
            matches!(ended, Some(RunEvent::Ended(Outcome::Completed { .. }))),
            "{ended:?}"
        );
        events.len()
    }

    fn spec(&self, filesystem: Filesystem, prompt: &str) -> RunSpec {
        let data = self.root.path().join("data");
        let layout = Layout::new(&data);
        let agent = self.agent(filesystem);
        let task_id = TaskId::from_ulid(Ulid::new());
        RunSpec {
            run_id: RunId::from_ulid(Ulid::new()),
            context_id: ContextId::from_ulid(Ulid::new()),
            attempt: 1,
            prompt: prompt.to_owned(),
            resume: None,
            before: Before::default(),
            patience: None,
            dirs: layout.run(&agent.id, &task_id),
            home: layout.agent_home(&agent.id),
            mesh: MeshEndpoints {
                data_dir: data,
                ..MeshEndpoints::default()
            },
            tools: None,
            task_id,
            agent: Arc::new(agent),
        }
    }

    fn agent(&self, filesystem: Filesystem) -> AgentDefinition {
        let mut agent = testing::definition("tester");
        agent.dir = self.root.path().join("agents/tester");
        let program = mesh_agents_testkit::bin("scripted-acp-agent");
        agent.runtime.command = Some(program.to_str().unwrap().to_owned());
        agent.policy.filesystem = filesystem;
        agent.policy.filesystem_explicit = true;
        agent
    }
}

/// The binary `agents`, or what stands in for it in this crate's tests.
fn agents_exe() -> PathBuf {
    let stage = Path::new(env!("CARGO_BIN_EXE_harness-stage"));
    let agents = stage.with_file_name("agents");
    if agents.is_file() {
        agents
    } else {
        stage.to_owned()
    }
}
