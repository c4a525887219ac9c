//! Two versions on one data directory: an update of the binary meets the engine of the one before. The older
//! engine is played by a few lines here, on the real socket and with the real lock.

use std::fs::OpenOptions;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use serde_json::{Value, json};

use crate::support::{World, until};

/// What the engine of another version says of itself.
#[derive(Clone, Copy)]
struct Other {
    version: &'static str,
    protocol: u32,
    running: u32,
    /// Whether it leaves when it is asked to stop; one with work to do does not, yet.
    leaves: bool,
}

/// What an engine and its test tell each other.
struct Shared {
    /// What it was asked so far: path and body.
    asked: Mutex<Vec<(String, Value)>>,
    /// What it says of itself.
    status: Mutex<Value>,
    leaves: bool,
    gone: AtomicBool,
}

/// An engine of another version. Leaves when dropped.
struct OtherEngine {
    socket: PathBuf,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl OtherEngine {
    fn start(world: &World, other: Other) -> Self {
        let socket = world.path("data/a2a/engine.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let path = world.path("data/a2a/engine.lock");
        let open = OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .open(path);
        let lock = open.unwrap();
        lock.try_lock().unwrap();
        let shared = Arc::new(Shared {
            asked: Mutex::default(),
            status: Mutex::new(status(world, other)),
            leaves: other.leaves,
            gone: AtomicBool::new(false),
        });
        let (told, at) = (Arc::clone(&shared), socket.clone());
        let thread = std::thread::spawn(move || {
            serve(&listener, &told);
            // As an engine does: first nobody can connect, then the lock is free.
            let _removed = std::fs::remove_file(at);
            drop(lock);
        });
        Self {
            socket,
            shared,
            thread: Some(thread),
        }
    }

    /// Its work is done.
    fn finish(&self) {
        self.shared.status.lock().unwrap()["running"] = json!(0);
    }

    /// The bodies of the requests to stop.
    fn stops(&self) -> Vec<Value> {
        self.bodies("/engine/v1/stop")
    }

    fn bodies(&self, path: &str) -> Vec<Value> {
        let asked = self.shared.asked.lock().unwrap();
        let these = asked.iter().filter(|(to, _)| to == path);
        these.map(|(_, body)| body.clone()).collect()
    }
}

impl Drop for OtherEngine {
    fn drop(&mut self) {
        self.shared.gone.store(true, Ordering::Release);
        // So that it looks; gone already is as good.
        let _woken = UnixStream::connect(&self.socket);
        let ended = self.thread.take().map(JoinHandle::join);
        assert!(matches!(ended, Some(Ok(()))), "the other engine broke");
    }
}

fn status(world: &World, other: Other) -> Value {
    json!({
        "version": other.version,
        "protocol": other.protocol,
        "pid": std::process::id(),
        "base_url": "http://127.0.0.1:1",
        "data_dir": world.path("data"),
        "agents_dir": world.path("agents"),
        "running": other.running,
        "queued": 0,
        "frontends": 0,
        "stopping": false,
    })
}

fn serve(listener: &UnixListener, shared: &Shared) {
    // Front-ends that stay, for as long as it does.
    let mut attached = Vec::new();
    for stream in listener.incoming() {
        if shared.gone.load(Ordering::Acquire) {
            return;
        }
        let mut stream = stream.unwrap();
        // A caller that only looks whether somebody listens asks nothing.
        let Some((path, body)) = request(&stream) else {
            continue;
        };
        shared.asked.lock().unwrap().push((path.clone(), body));
        if path == "/engine/v1/attach" {
            write!(
                stream,
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\n\n\r\n"
            )
            .unwrap();
            attached.push(stream);
            continue;
        }
        let answer = match &*path {
            "/engine/v1/status" => shared.status.lock().unwrap().clone(),
            "/engine/v1/tools/list_tasks" => json!({ "tasks": [] }),
            _ => json!({}),
        };
        let answer = answer.to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}",
            answer.len()
        );
        write!(stream, "{head}\r\n\r\n{answer}").unwrap();
        if shared.leaves && path == "/engine/v1/stop" {
            return;
        }
    }
}

/// The path and the body of one request.
fn request(stream: &UnixStream) -> Option<(String, Value)> {
    let mut lines = BufReader::new(stream);
    let mut line = String::new();
    lines.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut length = 0;
    loop {
        let mut line = String::new();
        lines.read_line(&mut line).ok()?;
        if line.trim().is_empty() {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    lines.read_exact(&mut body).ok()?;
    Some((path, serde_json::from_slice(&body).unwrap_or_default()))
}

const OLD: Other = Other {
    version: "0.0.1",
    protocol: 1,
    running: 0,
    leaves: true,
};

#[test]
fn an_older_engine_without_work_is_replaced_by_the_first_call() {
    let world = World::with_tester();
    let old = OtherEngine::start(&world, OLD);
    let sent = world.send("tester", "script: text done by the new one");
    assert_eq!(
        old.stops(),
        [json!({ "now": false })],
        "asked to drain, once"
    );
    assert_eq!(
        old.bodies("/engine/v1/tools/send_message"),
        [] as [Value; 0]
    );
    let engine = world.engine();
    assert_eq!(engine["version"], env!("CARGO_PKG_VERSION"));
    assert_ne!(engine["pid"], std::process::id());
    world.until_state(&sent, "completed");
}

#[test]
fn an_older_engine_at_work_is_left_to_its_work_while_it_understands_us() {
    let world = World::with_tester();
    let busy = Other { running: 1, ..OLD };
    let old = OtherEngine::start(&world, busy);
    let said = world.run(&["tasks", "--json"]);
    assert_eq!(said.code, 0, "{said}");
    assert_eq!(
        old.stops(),
        [] as [Value; 0],
        "its run would have been cut off"
    );
    assert_eq!(
        old.bodies("/engine/v1/tools/list_tasks").len(),
        1,
        "the old one answered"
    );
    // Its work is over, and it leaves: the next call has an engine of its own version.
    drop(old);
    world.json(&["tasks"]);
    assert_eq!(world.engine()["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_front_end_that_stays_replaces_an_older_engine_when_its_work_is_done() {
    let world = World::with_tester();
    let busy = Other { running: 1, ..OLD };
    let old = OtherEngine::start(&world, busy);
    let mcp = crate::support::Mcp::start(&world);
    until("the front-end is attached", || {
        (!old.bodies("/engine/v1/attach").is_empty()).then_some(())
    });
    assert_eq!(old.stops(), [] as [Value; 0]);
    old.finish();
    until("it is asked to stop", || {
        (old.stops() == [json!({ "now": false })]).then_some(())
    });
    let version = until(
        "an engine of our version, and the front-end with it",
        || {
            let engine = world.engine();
            (engine["frontends"] == 1).then(|| engine["version"].clone())
        },
    );
    assert_eq!(version, env!("CARGO_PKG_VERSION"));
    drop(mcp);
}

#[test]
fn an_engine_of_an_older_protocol_is_asked_to_drain_and_replaced_when_it_has() {
    let world = World::with_tester();
    let busy = Other {
        protocol: 0,
        running: 1,
        leaves: false,
        ..OLD
    };
    let old = OtherEngine::start(&world, busy);
    let said = world.run(&["tasks", "--json"]);
    assert_eq!(said.code, 0, "it answers reads meanwhile: {said}");
    assert_eq!(old.stops(), [json!({ "now": false })]);
    drop(old);
    world.json(&["tasks"]);
    let engine = until("the new engine", || {
        let engine = world.engine();
        engine.is_object().then_some(engine)
    });
    assert_eq!(engine["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn an_engine_of_a_newer_protocol_is_left_alone_and_named() {
    let world = World::with_tester();
    let newer = Other {
        version: "99.0.0",
        protocol: 99,
        ..OLD
    };
    let other = OtherEngine::start(&world, newer);
    let said = world.run(&["tasks"]);
    assert_eq!(said.code, 1, "{said}");
    assert!(
        said.err.contains("99.0.0") && said.err.contains("too old"),
        "{said}"
    );
    assert_eq!(other.stops(), [] as [Value; 0]);
    drop(other);
}
