//! Everything a run could want to reach, in a world of its own, and what tells that it was reached.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, UdpSocket};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixListener};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use super::table::{Got, Probe};
use crate::support::{World, alive, cmdline, until};

/// Never in an answer, an artifact or a file of a run that is confined.
pub(super) const CANARY: &str = "canary-sings-91b7";
/// What a probe says that got what it wanted and has nothing to show.
pub(super) const OPEN: &str = "THE-WAY-IS-OPEN";
/// What a probe writes where it may not.
pub(super) const MARK: &str = "escaped-was-here";

/// How the run of a scene is confined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Confined {
    /// By nothing: the control.
    Not,
    /// `filesystem = "workspace"`.
    Files,
    /// And `network = "loopback"`.
    Loopback,
    /// And `network = "deny"`.
    NoNetwork,
}

impl Confined {
    fn policy(self) -> &'static str {
        match self {
            Self::Not => "filesystem = \"unconfined\"",
            Self::Files => "filesystem = \"workspace\"",
            Self::Loopback => "filesystem = \"workspace\"\nnetwork = \"loopback\"",
            Self::NoNetwork => "filesystem = \"workspace\"\nnetwork = \"deny\"",
        }
    }
}

/// A world with secrets, listeners, processes and another task at work.
pub(super) struct Scene {
    confined: Confined,
    world: World,
    values: BTreeMap<&'static str, String>,
    heard: Arc<Mutex<BTreeSet<&'static str>>>,
    victim: Mutex<Child>,
    engine: u32,
    /// The artifacts of the run that was tried, by name.
    delivered: Mutex<BTreeMap<String, String>>,
}

impl Scene {
    /// Sets it, with the agent `prober` confined so.
    pub(super) fn set(confined: Confined) -> Self {
        let mut world = World::new();
        world.set_env("OWNERS_TOKEN", CANARY);
        world
            .agent("tester")
            .env("OTHERS_SECRET", CANARY)
            .write()
            .unwrap();
        let scripts = world.path("probes");
        fs::create_dir(&scripts).unwrap();
        fs::write(scripts.join("p.py"), include_str!("p.py")).unwrap();
        world
            .agent("prober")
            .tables(&format!(
                "[policy]\n{}\nread = [{scripts:?}]",
                confined.policy()
            ))
            .write()
            .unwrap();
        let (victim, secret) = victim();
        let other = other_task(&world);
        let engine = world.engine();
        let base = engine["base_url"].as_str().unwrap().to_owned();
        let engine = world.engine_pid();
        secrets(&world);
        let heard = Arc::default();
        let mut values = listeners(&world, &heard);
        let path = |name: &str| world.path(name).to_str().unwrap().to_owned();
        let workspace = format!("tmp/mesh-a2a-tester-{other}");
        let guard = world.guards().into_iter().next().unwrap();
        let harness = harness_in(&world.path(&workspace));
        let results = world.artifacts("tester", &other);
        values.extend([
            ("home", path("home")),
            ("data", path("data")),
            ("tmp", path("tmp")),
            ("agents", path("agents")),
            ("scripts", path("probes")),
            ("other", path(&workspace)),
            ("results", results.to_str().unwrap().to_owned()),
            ("engine", engine.to_string()),
            ("guard", guard.to_string()),
            ("harness", harness.to_string()),
            ("victim", victim.id().to_string()),
            ("secret", secret),
            ("node", base.rsplit(':').next().unwrap().to_owned()),
            ("canary", CANARY.to_owned()),
            ("open", OPEN.to_owned()),
            ("mark", MARK.to_owned()),
        ]);
        Self {
            confined,
            world,
            values,
            heard,
            victim: Mutex::new(victim),
            engine,
            delivered: Mutex::default(),
        }
    }

    /// Tries them all in one task; what each said, by its name.
    pub(super) fn perform(&self, probes: &[&Probe]) -> BTreeMap<&'static str, String> {
        let mut message = String::new();
        for (index, probe) in probes.iter().enumerate() {
            let ending = if probe.python { "py" } else { "sh" };
            let program = if probe.python {
                "/usr/bin/python3"
            } else {
                "/bin/bash"
            };
            let file = self.world.path(&format!("probes/{index}.{ending}"));
            let code = self.filled(probe.code);
            let code = if probe.python {
                format!("from p import *\n{code}")
            } else {
                code
            };
            fs::write(&file, code).unwrap();
            let file = file.display();
            message.push_str(&format!(
                "script: sh echo '<<{index}>>'; timeout 20 {program} {file} 2>&1 </dev/null\n"
            ));
        }
        let said = self.world.run(&["send", "prober", &message]);
        assert_eq!(said.code, 0, "{said}");
        let task = said.err.split_whitespace().next().unwrap().to_owned();
        let all = self.world.run(&["artifacts", &task, "response"]).out;
        let listed = self.world.json(&["artifacts", &task]);
        let mut delivered = self.delivered.lock().unwrap();
        for artifact in listed["artifacts"].as_array().unwrap() {
            let name = artifact["id"].as_str().unwrap();
            if name == "response" || name == "summary.md" {
                continue;
            }
            let content = self.world.run(&["artifacts", &task, name]).out;
            delivered.insert(name.to_owned(), content);
        }
        let mut answers = BTreeMap::new();
        for (index, probe) in probes.iter().enumerate() {
            let mark = format!("<<{index}>>\n");
            let (_, rest) = all
                .split_once(&mark)
                .unwrap_or_else(|| panic!("{mark} not in {all}"));
            let answer = rest.split("\n<<").next().unwrap();
            answers.insert(probe.name, answer.to_owned());
        }
        answers
    }

    /// Whether the probe, which said this, has what it wanted.
    pub(super) fn has_got(&self, probe: &Probe, said: &str) -> bool {
        let got = match probe.got {
            Got::Said(word) => said.contains(&self.filled(word)),
            Got::Wrote(file) => {
                let file = self.filled(file);
                fs::read(file).is_ok_and(|bytes| String::from_utf8_lossy(&bytes).contains(MARK))
            }
            // What has to arrive is waited for: it is noted by a thread of its own.
            Got::Heard(name) if self.confined == Confined::Not && probe.control.leads_out() => {
                let noted = || self.heard.lock().unwrap().contains(name).then_some(());
                until(&format!("{name} is heard"), noted);
                true
            }
            Got::Heard(name) => self.heard.lock().unwrap().contains(name),
            Got::Delivered(name) => {
                let delivered = self.delivered.lock().unwrap();
                delivered
                    .get(name)
                    .is_some_and(|content| content.contains(CANARY))
            }
            Got::Killed => !alive(self.victim.lock().unwrap().id()),
        };
        // Whatever it wanted, no secret may leave with its answer either.
        got || said.contains(CANARY)
    }

    /// The engine is the one that was there, and works.
    pub(super) fn stands(&self) {
        assert_eq!(self.world.engine_pid(), self.engine);
        assert_eq!(self.world.run(&["tasks"]).code, 0);
    }

    fn filled(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for (name, value) in &self.values {
            text = text.replace(&format!("@{name}@"), value);
        }
        text
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        let mut victim = self.victim.lock().unwrap();
        let _gone = victim.kill();
        let _reaped = victim.wait();
    }
}

/// A process of the owner's with the canary in its memory, and where.
fn victim() -> (Child, String) {
    let program = "import ctypes, time; room = ctypes.create_string_buffer(64); \
                   room.value = b'canary-' + b'sings-91b7'; \
                   print(ctypes.addressof(room), flush=True); time.sleep(3600)";
    let mut victim = Command::new("/usr/bin/python3")
        .args(["-c", program])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut place = String::new();
    let mut says = BufReader::new(victim.stdout.take().unwrap());
    says.read_line(&mut place).unwrap();
    (victim, place.trim().to_owned())
}

/// A task of another agent that has written its secrets and works on.
fn other_task(world: &World) -> String {
    let other = world.send(
        "tester",
        &format!(
            "script: write canary {CANARY}\nscript: write $TASK_ARTIFACTS_DIR/canary {CANARY}\n\
             script: write $TASK_ARTIFACTS_DIR/done x\nscript: hang"
        ),
    );
    let results = world.artifacts("tester", &other);
    until("the other task has written", || {
        results.join("done").exists().then_some(())
    });
    other
}

/// The owner's secrets: in HOME, in the engine's directory, beside it.
fn secrets(world: &World) {
    let files = [
        "home/.ssh/id_ed25519",
        "home/.netrc",
        "data/token",
        "data/a2a/acl.toml",
        "data/a2a/identity.key",
    ];
    for name in files {
        let path = world.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // A key that the engine has made for itself stays.
        if !path.exists() {
            fs::write(&path, format!("# {CANARY}\n")).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
}

/// Listens everywhere a run should not get to; the values say where.
fn listeners(
    world: &World,
    heard: &Arc<Mutex<BTreeSet<&'static str>>>,
) -> BTreeMap<&'static str, String> {
    let mut values = BTreeMap::new();
    for (name, address) in [
        ("tcp", Ipv4Addr::LOCALHOST.into()),
        ("fastopen", Ipv4Addr::LOCALHOST.into()),
        ("mptcp", Ipv4Addr::LOCALHOST.into()),
        ("beyond", Ipv4Addr::UNSPECIFIED.into()),
        ("six", std::net::IpAddr::from(Ipv6Addr::LOCALHOST)),
    ] {
        // A machine without IPv6 has one place less to get to.
        let port = TcpListener::bind((address, 0)).map_or(1, |listener| {
            let port = listener.local_addr().unwrap().port();
            note(heard, name, move || listener.accept().is_ok());
            port
        });
        values.insert(name, port.to_string());
    }
    let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    values.insert("udp", udp.local_addr().unwrap().port().to_string());
    note(heard, "udp", move || udp.recv(&mut [0]).is_ok());
    let socket = world.path("tmp/owners.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    values.insert("unix", socket.to_str().unwrap().to_owned());
    note(heard, "unix", move || listener.accept().is_ok());
    let name = format!("mesh-agents-canary-{}", values["tcp"]);
    let address = UnixAddress::from_abstract_name(&name).unwrap();
    let listener = UnixListener::bind_addr(&address).unwrap();
    values.insert("abstract", name);
    note(heard, "abstract", move || {
        listener
            .accept()
            .is_ok_and(|(mut stream, _)| stream.read(&mut [0]).is_ok())
    });
    // An address of this machine that is not loopback, where it has one. Nothing is sent.
    let own = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let own = own
        .connect((Ipv4Addr::new(192, 0, 2, 1), 9))
        .and_then(|()| own.local_addr());
    let own = own.map_or("192.0.2.1".to_owned(), |address| address.ip().to_string());
    values.insert("self", own);
    values
}

/// Notes that `name` was reached once `wait` says so. The thread ends with the test's process.
fn note(
    heard: &Arc<Mutex<BTreeSet<&'static str>>>,
    name: &'static str,
    wait: impl FnOnce() -> bool + Send + 'static,
) {
    let heard = Arc::clone(heard);
    std::thread::spawn(move || {
        if wait() {
            heard.lock().unwrap().insert(name);
        }
    });
}

/// The harness that works in this directory.
fn harness_in(workspace: &PathBuf) -> u32 {
    until("the other task's harness", || {
        let entries = fs::read_dir("/proc").unwrap();
        let mut pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
        pids.find(|pid| {
            let place = fs::read_link(format!("/proc/{pid}/cwd"));
            place.is_ok_and(|place| place == *workspace) && cmdline(*pid).contains("scripted-acp")
        })
    })
}
