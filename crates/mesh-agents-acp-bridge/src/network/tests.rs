//! Which addresses are granted, and which are not.

use std::path::PathBuf;
use std::sync::Arc;

use mesh_agents_core::agent::testing::definition;
use mesh_agents_core::ids::{ContextId, RunId, TaskId};
use mesh_agents_core::layout::Layout;
use mesh_agents_core::run::{Before, MeshEndpoints, ToolsGrant};
use ulid::Ulid;

use super::*;
use crate::plan::{HomeKind, no_text};

fn spec(env: &[(&str, &str)]) -> RunSpec {
    let mut agent = definition("a");
    agent.policy.network = Network::Loopback;
    let pair = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
    agent.runtime.env = env.iter().map(pair).collect();
    let layout = Layout::new(&PathBuf::from("/data"));
    let task_id = TaskId::from_ulid(Ulid::nil());
    RunSpec {
        run_id: RunId::from_ulid(Ulid::nil()),
        context_id: ContextId::from_ulid(Ulid::nil()),
        attempt: 1,
        prompt: String::new(),
        resume: None,
        before: Before::default(),
        patience: None,
        dirs: layout.run(&agent.id, &task_id),
        home: layout.agent_home(&agent.id),
        mesh: MeshEndpoints {
            mcp_url: Some("http://127.0.0.1:3131/mcp".into()),
            api_url: Some("http://127.0.0.1:3131".into()),
            openai_url: Some("http://localhost:9337/v1".into()),
            data_dir: "/data".into(),
        },
        tools: Some(ToolsGrant {
            url: "http://127.0.0.1:3132/mcp".into(),
            token: "t".into(),
        }),
        task_id,
        agent: Arc::new(agent),
    }
}

fn plan(spec: &RunSpec, args: &[&str]) -> LaunchPlan {
    LaunchPlan {
        program: "/bin/x".into(),
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        // A preset's own configuration is not the owner's word.
        env: [("PRESET".to_owned(), "http://127.0.0.1:1".to_owned())]
            .into_iter()
            .chain(spec.agent.runtime.env.clone())
            .collect(),
        files: Vec::new(),
        read: Vec::new(),
        write: Vec::new(),
        home: HomeKind::Private,
        mcp: McpSupport::Http,
        ignore_text: no_text,
    }
}

fn ports(granted: &Granted) -> Vec<u16> {
    match &granted.reach {
        Reach::Only(only) => only.iter().map(SocketAddrV4::port).collect(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_run_is_granted_what_it_needs_and_what_its_owner_names() {
    let spec = spec(&[
        ("DATABASE", "postgres://me:pw@localhost:5432/db"),
        ("OLLAMA_HOST", "127.0.0.1:11434"),
        ("ELSEWHERE", "http://198.51.100.7:80"),
        ("METADATA", "http://169.254.169.254/latest"),
        ("SIX", "http://[::1]:6000"),
        ("WORD", "localhost"),
        ("PATHS", "/usr/bin:/bin"),
        ("AGAIN", "http://127.0.0.1:9337"),
    ]);
    let plan = plan(
        &spec,
        &["--url=http://127.0.0.1:7000/x", "http://127.0.0.2"],
    );
    let granted = granted(&spec, &plan, true).unwrap();
    let mut expected = vec![3132, 5432, 7000, 9337, 11434, 80];
    let mut found = ports(&granted);
    found.sort_unstable();
    expected.sort_unstable();
    assert_eq!(found, expected);
    assert!(granted.withheld.is_empty());
    // What it does not need is not granted.
    let without = self::granted(&spec, &self::plan(&spec, &[]), false).unwrap();
    assert!(ports(&without).contains(&9337), "named in AGAIN");
    let none = self::spec(&[]);
    let none = self::granted(&none, &self::plan(&none, &[]), false).unwrap();
    assert_eq!(ports(&none), [3132]);
}

#[test]
fn where_a_run_would_be_its_owner_is_withheld() {
    let spec = spec(&[("MESH_LLM_MCP_URL", "http://127.0.0.1:3131/mcp")]);
    let granted = granted(&spec, &plan(&spec, &[]), true).unwrap();
    assert_eq!(ports(&granted), [3132, 9337]);
    let [withheld] = &granted.withheld[..] else {
        panic!("{granted:?}");
    };
    assert!(
        withheld.contains("runtime.env.MESH_LLM_MCP_URL") && withheld.contains("127.0.0.1:3131"),
        "{withheld}"
    );
}

#[test]
fn the_node_itself_may_be_named_since_it_knows_a_run() {
    let mut spec = spec(&[("MESH_LLM_MCP_URL", "http://127.0.0.1:3131/mcp")]);
    spec.tools.as_mut().unwrap().url = "http://127.0.0.1:3131/mcp".into();
    let granted = granted(&spec, &plan(&spec, &[]), false).unwrap();
    assert_eq!(ports(&granted), [3131]);
    assert!(granted.withheld.is_empty());
}

#[test]
fn what_it_needs_elsewhere_is_refused_by_name() {
    for url in [
        "http://192.0.2.1:9337/v1",
        "http://[::1]:9337/v1",
        "http://gpu-box:9337",
    ] {
        let mut spec = spec(&[]);
        spec.mesh.openai_url = Some(url.to_owned());
        let failure = granted(&spec, &plan(&spec, &[]), true).unwrap_err();
        assert_eq!(failure.code, "network_unreachable");
        assert!(failure.message.contains(url), "{failure:?}");
        assert!(granted(&spec, &plan(&spec, &[]), false).is_ok());
    }
    let mut spec = spec(&[]);
    spec.mesh.openai_url = Some("http://127.0.0.1:3131/v1".to_owned());
    let failure = granted(&spec, &plan(&spec, &[]), true).unwrap_err();
    assert_eq!(failure.code, "network_conflict");
}

#[test]
fn the_other_values_grant_all_or_nothing_and_never_in_vain() {
    let mut spec = spec(&[]);
    for (network, reach) in [
        (Network::Allow, Reach::All),
        (Network::Deny, Reach::Nothing),
    ] {
        Arc::make_mut(&mut spec.agent).policy.network = network;
        let granted = granted(&spec, &plan(&spec, &[]), true).unwrap();
        assert_eq!(granted.reach, reach);
    }
    let policy = &mut Arc::make_mut(&mut spec.agent).policy;
    policy.filesystem = Filesystem::Unconfined;
    let failure = granted(&spec, &plan(&spec, &[]), true).unwrap_err();
    assert_eq!(failure.code, "network_conflict");
}

#[test]
fn no_more_are_granted_than_travel_at_once() {
    let names: Vec<String> = (0..20)
        .map(|i| format!("http://127.0.0.1:{}", 4000 + i))
        .collect();
    let args: Vec<&str> = names.iter().map(String::as_str).collect();
    let spec = spec(&[]);
    let failure = granted(&spec, &plan(&spec, &args), true).unwrap_err();
    assert_eq!(failure.code, "network_conflict");
}
