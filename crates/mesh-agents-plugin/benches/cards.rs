//! `get_agents` over 5,000 cards, with the real bridge looking for every harness on PATH (DESIGN §8).
#![expect(
    clippy::unwrap_used,
    reason = "a bench ends where its setting fails, and says where"
)]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mesh_agents_acp_bridge::{AcpBridge, BridgeConfig};
use mesh_agents_core::agent::testing::definition;
use mesh_agents_core::agent::{AgentDefinition, RuntimeKind, Skill};
use mesh_agents_core::clock::{Clock, UnixMillis};
use mesh_agents_core::json::JsonText;
use mesh_agents_core::layout::Layout;
use mesh_agents_core::run::MeshEndpoints;
use mesh_agents_plugin::backend::{CallMeta, Surface, ToolBackend as _};
use mesh_agents_plugin::engine_tools::EngineTools;
use mesh_agents_tasks::{Agents, EngineConfig, TaskEngine};
use mesh_agents_testkit::bench::{Memory, Row, Samples};
use serde_json::{Value, json};

/// Cards on the node.
const CARDS: usize = 5_000;
/// Calls of each kind.
const CALLS: usize = 500;
/// Directories on PATH; the harness there is lies in the last.
const PATH_DIRS: usize = 12;

#[derive(Debug)]
struct Noon;

impl Clock for Noon {
    fn now(&self) -> UnixMillis {
        UnixMillis(1_700_000_000_000)
    }
}

fn main() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(rows());
}

async fn rows() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let before = Memory::of(std::process::id());
    let agents: BTreeMap<_, _> = (0..CARDS)
        .map(card)
        .map(|agent| (agent.id.clone(), Arc::new(agent)))
        .collect();
    let after = Memory::of(std::process::id());
    let kib = after.rss.saturating_sub(before.rss);
    Row::new(
        format!("memory of {CARDS} definitions"),
        format!("{:.1} MiB", kib as f64 / 1024.0),
    )
    .print();
    let tools = tools(dir.path(), agents).await;
    let middle = format!("agent-{:04}", CARDS / 2);
    // A page of one card is what a call costs besides its agents.
    let least = time(&tools, json!({ "limit": 1 })).await;
    for (what, arguments) in [
        ("first page of 20", json!({})),
        ("page of 100", json!({ "limit": 100 })),
        ("page in the middle", json!({ "cursor": middle })),
        ("by tag, few", json!({ "tags": ["rare"] })),
        ("by query, few", json!({ "query": "numbered 4999" })),
        ("by query, none", json!({ "query": "no such words" })),
        (
            "by query and tags",
            json!({ "query": "reviews changes", "tags": ["git", "rare"] }),
        ),
    ] {
        let times = time(&tools, arguments).await;
        Row::new(format!("get_agents over {CARDS} cards: {what}"), &times)
            .baseline(
                format!("page of one: {least}"),
                times.p50().as_secs_f64() / least.p50().as_secs_f64(),
            )
            .budget("p99 ≤ 10 ms", times.p99() <= Duration::from_millis(10))
            .print();
    }
    tools.engine.shutdown(true).await;
}

async fn time(tools: &EngineTools, arguments: Value) -> Samples {
    let mut times = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let meta = CallMeta::local(Surface::Http);
        let arguments = JsonText::of(&arguments).unwrap();
        let start = Instant::now();
        tools.call(meta, "get_agents", arguments).await.unwrap();
        times.push(start.elapsed());
    }
    Samples::of(times)
}

async fn tools(
    dir: &Path,
    agents: BTreeMap<mesh_agents_core::ids::AgentId, Arc<AgentDefinition>>,
) -> EngineTools {
    let layout = Layout::new(dir);
    let config = BridgeConfig::new(
        BTreeMap::from([("PATH".to_owned(), path(dir))]),
        "/nonexistent/agents".into(),
        dir.to_owned(),
        layout.root().to_owned(),
    );
    let engine = TaskEngine::open(EngineConfig {
        layout,
        clock: Arc::new(Noon),
        runner: Arc::new(AcpBridge::new(config)),
        agents: Agents {
            ready: Arc::new(agents),
            broken: Arc::default(),
        },
        mesh: MeshEndpoints::default(),
        tools_url: None,
    });
    EngineTools {
        engine: engine.await.unwrap(),
        problems: Arc::new(Vec::new),
        place: mesh_agents_a2a::card::Place {
            base: "http://127.0.0.1:3131".to_owned(),
            tokens: mesh_agents_a2a::card::AccessTokens::None,
            seal: None,
        },
        clock: Arc::new(Noon),
        mesh: None,
    }
}

/// A PATH like a developer's: many directories, the harness in the last.
fn path(dir: &Path) -> String {
    let dirs: Vec<_> = (0..PATH_DIRS)
        .map(|n| dir.join(format!("bin-{n}")))
        .collect();
    for dir in &dirs {
        fs::create_dir(dir).unwrap();
    }
    let harness = dirs.last().unwrap().join("opencode");
    fs::write(&harness, "").unwrap();
    fs::set_permissions(&harness, fs::Permissions::from_mode(0o755)).unwrap();
    let texts: Vec<_> = dirs.iter().map(|dir| dir.display().to_string()).collect();
    texts.join(":")
}

/// A card as people write them; the harness of every third is installed.
fn card(n: usize) -> AgentDefinition {
    let mut agent = definition(&format!("agent-{n:04}"));
    (agent.runtime.kind, agent.runtime.command) = match n % 3 {
        0 => (RuntimeKind::Opencode, None),
        1 => (RuntimeKind::Goose, None),
        _ => (RuntimeKind::Acp, Some(format!("harness-{n}"))),
    };
    let card = &mut agent.card;
    card.name = format!("Reviewer {n}");
    card.description = format!(
        "Reviews changes of the part numbered {n} of the shop: reads the diff, runs its tests, looks at what its \
         callers expect, and reports what is wrong with file and line, the worst first."
    );
    card.skills = ["review", "explain", "test"]
        .iter()
        .map(|word| Skill {
            id: format!("{word}-{n}"),
            name: format!("{word} a change"),
            description: format!(
                "Can {word} a change of any size, given as a branch or as a diff."
            ),
            tags: vec![
                "git".into(),
                (*word).into(),
                if n.is_multiple_of(500) {
                    "rare"
                } else {
                    "usual"
                }
                .into(),
            ],
        })
        .collect();
    card.json = JsonText::of(&json!({
        "name": card.name, "description": card.description, "version": card.version,
        "supportedInterfaces": [{ "url": "http://127.0.0.1:3131/a2a/agents/x", "protocolBinding": "JSONRPC", "protocolVersion": "1.0" }],
        "capabilities": { "streaming": true },
        "defaultInputModes": ["text/plain"], "defaultOutputModes": ["text/markdown"],
        "skills": card.skills.iter().map(|skill| json!({
            "id": skill.id, "name": skill.name, "description": skill.description, "tags": skill.tags,
        })).collect::<Vec<_>>(),
    }))
    .unwrap();
    agent.instructions.text = "Read the diff. Run the tests. Report what is wrong.\n".repeat(20);
    agent
}
