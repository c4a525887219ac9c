//! What a run whose network is confined reaches, and what it does not.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};

use mesh_agents_acp_bridge::platform_confinement;
use mesh_agents_core::agent::{AgentDefinition, Filesystem, Network};
use mesh_agents_core::confinement::{PlatformConfinement, RUN_ADDRESS};
use mesh_agents_core::run::{Runner as _, ToolsGrant};

use super::support::{World, program};
use super::trees::is_alive;

fn confined(world: &World, network: Network) -> AgentDefinition {
    let stage = Path::new(env!("CARGO_BIN_EXE_harness-stage"));
    assert_eq!(
        platform_confinement(stage),
        PlatformConfinement::default(),
        "these tests need Linux 6.2 or later with Landlock, seccomp and user namespaces"
    );
    let mut agent = world.agent();
    agent.policy.filesystem = Filesystem::Workspace;
    agent.policy.filesystem_explicit = true;
    agent.policy.network = network;
    agent
}

/// A server that says `word` and what it read to everybody, and tells from where they came.
fn server(word: &'static str) -> (u16, Receiver<IpAddr>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, told) = channel();
    std::thread::spawn(move || {
        let serve = |mut stream: TcpStream| {
            let from = stream.peer_addr()?.ip();
            let mut heard = String::new();
            // To the end: the other side has closed its half only.
            stream.read_to_string(&mut heard)?;
            write!(stream, "{word} {}", heard.len())?;
            std::io::Result::Ok(from)
        };
        for stream in listener.incoming() {
            let from = stream.and_then(serve);
            if from.is_ok_and(|from| tell.send(from).is_err()) {
                break;
            }
        }
    });
    (port, told)
}

/// A step that sends `bytes` bytes to a port and prints the answer, or why there is none.
fn ask(port: u16, bytes: usize) -> String {
    format!(
        "script: sh python3 -c \"import socket; s = socket.create_connection((\\\"127.0.0.1\\\", {port}), 5); \
         s.sendall(b\\\"x\\\" * {bytes}); s.shutdown(1); print(s.makefile().read())\" 2>&1\n"
    )
}

#[tokio::test]
async fn a_loopback_of_its_own_leads_to_what_is_granted_and_nowhere_else() {
    let world = World::new();
    let (granted, from) = server("granted");
    let (other, untouched) = server("other");
    let mut agent = confined(&world, Network::Loopback);
    let url = format!("http://localhost:{granted}/x");
    agent.runtime.env.push(("SERVICE".to_owned(), url));
    // More than any buffer on the way, and a half-closed connection.
    let prompt = [ask(granted, 3_000_000), ask(other, 1), ask(granted, 7)].concat();
    let events = world.run_agent(agent, &prompt).await;
    events.answer();
    let text = events.text();
    assert!(
        text.contains("granted 3000000") && text.contains("granted 7"),
        "{text}"
    );
    assert!(
        !text.contains("other") && text.contains("refused"),
        "{text}"
    );
    assert_eq!(from.recv().unwrap(), IpAddr::from(RUN_ADDRESS));
    assert!(untouched.try_recv().is_err());
}

#[tokio::test]
async fn a_loopback_of_its_own_is_the_run_s_to_serve_on() {
    let world = World::new();
    let (taken, _from) = server("the owner's");
    let program = format!(
        "import socket; l = socket.create_server((\\\"127.0.0.1\\\", {taken})); \
         c = socket.create_connection((\\\"localhost\\\", {taken})); a, _ = l.accept(); \
         a.send(b\\\"served\\\"); print(c.recv(9)); print([n for _, n in socket.if_nameindex()])"
    );
    let prompt = format!("script: sh python3 -c \"{program}\" 2>&1");
    let agent = confined(&world, Network::Loopback);
    let events = world.run_agent(agent, &prompt).await;
    assert!(events.text().contains("b'served'"), "{}", events.text());
    assert!(events.text().contains("['lo']"), "{}", events.text());
}

#[tokio::test]
async fn without_a_network_no_socket_is_made_and_the_work_is_done() {
    let world = World::new();
    let (port, untouched) = server("other");
    let mut agent = confined(&world, Network::Deny);
    let url = format!("http://127.0.0.1:{port}");
    agent.runtime.env.push(("SERVICE".to_owned(), url));
    let mut spec = world.spec(
        agent,
        &format!(
            "{}script: sh python3 -c \"import socket; a, b = socket.socketpair(); a.send(b\\\"pair\\\"); print(b.recv(4))\"\n\
             script: write $TASK_ARTIFACTS_DIR/a.md delivered",
            ask(port, 1)
        ),
    );
    spec.tools = Some(ToolsGrant {
        url: format!("http://127.0.0.1:{port}/mcp"),
        token: "secret".to_owned(),
    });
    let events = world.run_spec(spec).await;
    assert_eq!(events.artifacts()[0], ("a.md", true), "{}", events.answer());
    assert!(
        events.text().contains("Permission denied"),
        "{}",
        events.text()
    );
    assert!(events.text().contains("b'pair'"), "{}", events.text());
    assert!(untouched.try_recv().is_err());
    // Tools that cannot be reached are not offered: some harnesses wait a minute for them.
    let note = events.note("tools_unavailable").unwrap();
    assert!(note.contains("policy.network = \"deny\""), "{note}");
}

#[tokio::test]
async fn a_cancelled_run_with_a_network_of_its_own_leaves_nothing() {
    let world = World::new();
    let (port, _from) = server("granted");
    let mut agent = confined(&world, Network::Loopback);
    let url = format!("http://127.0.0.1:{port}");
    agent.runtime.env.push(("SERVICE".to_owned(), url));
    let bridge = world.bridge();
    let spec = world.spec(
        agent,
        "script: daemon double $TASK_ARTIFACTS_DIR/pid\nscript: hang",
    );
    let file = spec.dirs.artifacts().join("pid");
    let run = bridge.start(spec);
    let pid = super::support::until(|| {
        let text = fs::read_to_string(&file).ok()?;
        text.trim().parse::<u32>().ok()
    })
    .await;
    run.control.cancel();
    let events = super::support::Events::collect(run).await;
    assert_eq!(*events.outcome(), mesh_agents_core::run::Outcome::Canceled);
    assert!(!is_alive(pid), "{pid}");
}

#[tokio::test]
async fn a_machine_that_cannot_says_why_and_refuses() {
    let mut world = World::new();
    let agent = confined(&world, Network::Loopback);
    let without = world.path("agents-without");
    let text = "#!/bin/sh\necho 'no namespaces for you' >&2\nexit 1\n";
    program(&without, text);
    let machine = platform_confinement(&without);
    assert_eq!(machine.loopback.as_deref(), Some("no namespaces for you"));
    assert_eq!((machine.filesystem, machine.deny), (None, None));
    world.config.agents_exe = without;
    let why = world.bridge().unavailable(&agent).unwrap();
    assert!(
        why.contains("policy.network = \"loopback\"") && why.contains("no namespaces for you"),
        "{why}"
    );
    let deny = confined(&world, Network::Deny);
    assert_eq!(world.bridge().unavailable(&deny), None);
}

#[tokio::test]
async fn what_a_run_needs_out_of_reach_is_a_refused_run() {
    let world = World::new();
    let mut spec = world.spec(confined(&world, Network::Loopback), "script: text x");
    spec.tools = Some(ToolsGrant {
        url: "http://192.0.2.1:3132/mcp".to_owned(),
        token: "secret".to_owned(),
    });
    let events = world.run_spec(spec).await;
    assert_eq!(events.failure().code, "network_unreachable");
    assert!(events.failure().message.contains("192.0.2.1:3132"));
}
