//! Who is alive when: a thread that looks at all processes every few milliseconds and keeps, for every run,
//! when anything of it was seen first and last. It knows runs by the two marks every process of theirs has, the
//! variable `MESH_AGENT_RUN` and the limit on real-time CPU, and asks neither the engine nor its database.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Between two looks.
const EVERY: Duration = Duration::from_millis(10);
/// A process this old has become what it is: before, it may still exec, and change its environment.
const SETTLED: Duration = Duration::from_secs(2);
/// What is known of processes is forgotten after so many looks, because pids are used again.
const FORGET: usize = 100;

/// When something was alive, in milliseconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Life {
    /// Seen first.
    pub(crate) first: u64,
    /// Seen last.
    pub(crate) last: u64,
}

/// An engine's life.
#[derive(Clone, Debug)]
pub(crate) struct EngineLife {
    /// Its process.
    pub(crate) pid: i32,
    /// Its data directory.
    pub(crate) data_dir: PathBuf,
    /// When.
    pub(crate) life: Life,
}

/// What was seen so far.
#[derive(Debug, Default)]
struct Seen {
    runs: HashMap<u64, Life>,
    engines: HashMap<(i32, u64), EngineLife>,
    /// When the last whole look began.
    looked: u64,
    /// The longest time between two looks: what the figures are good to.
    slowest: Duration,
}

/// The looking thread and what it saw.
#[derive(Debug)]
pub(crate) struct Census {
    seen: Arc<Mutex<Seen>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Census {
    /// Starts to look.
    pub(crate) fn start() -> Self {
        let (seen, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let (shared, told) = (Arc::clone(&seen), Arc::clone(&stop));
        let thread = std::thread::spawn(move || look_on(&shared, &told));
        Self {
            seen,
            stop,
            thread: Some(thread),
        }
    }

    /// When a run was alive, if anything of it was ever seen.
    pub(crate) fn run(&self, run: &str) -> Option<Life> {
        self.seen().runs.get(&mark_of(run)).copied()
    }

    /// The engines of a data directory.
    pub(crate) fn engines(&self, data_dir: &Path) -> Vec<EngineLife> {
        let seen = self.seen();
        let ours = seen.engines.values().filter(|e| e.data_dir == data_dir);
        ours.cloned().collect()
    }

    /// When the last look began.
    pub(crate) fn looked(&self) -> u64 {
        self.seen().looked
    }

    /// The longest time between two looks.
    pub(crate) fn slowest(&self) -> Duration {
        self.seen().slowest
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Census {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // It panics only where the test is broken, which shows elsewhere.
            let _ended = thread.join();
        }
    }
}

/// What a process is, as far as it matters here.
#[derive(Clone, Debug)]
enum Kind {
    /// Of no interest.
    Foreign,
    /// Of the run with this mark.
    Run(u64),
    /// The engine of this data directory.
    Engine(PathBuf),
}

#[derive(Debug)]
struct Known {
    started: u64,
    since: Instant,
    kind: Kind,
}

fn look_on(seen: &Mutex<Seen>, stop: &AtomicBool) {
    let mut known: HashMap<i32, Known> = HashMap::new();
    let mut before = Instant::now();
    for turn in 1_usize.. {
        if stop.load(Ordering::Acquire) {
            return;
        }
        if turn % FORGET == 0 {
            known.retain(|_, one| !matches!(one.kind, Kind::Foreign));
        }
        let began = now();
        look(seen, &mut known);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.looked = began;
        seen.slowest = seen.slowest.max(before.elapsed());
        drop(seen);
        before = Instant::now();
        std::thread::sleep(EVERY);
    }
}

fn look(seen: &Mutex<Seen>, known: &mut HashMap<i32, Known>) {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    for pid in pids {
        let settled =
            |one: &Known| matches!(one.kind, Kind::Foreign) && one.since.elapsed() > SETTLED;
        if known.get(&pid).is_some_and(settled) {
            continue;
        }
        // Before it is looked at: it was alive then, or the look finds nothing.
        let at = now();
        let Some(started) = alive_since(pid) else {
            known.remove(&pid);
            continue;
        };
        let same = known.get(&pid).is_some_and(|one| one.started == started);
        if !same {
            let fresh = Known {
                started,
                since: Instant::now(),
                kind: Kind::Foreign,
            };
            known.insert(pid, fresh);
        }
        let Some(one) = known.get_mut(&pid) else {
            continue;
        };
        if matches!(one.kind, Kind::Foreign) {
            one.kind = kind_of(pid);
        }
        note(seen, pid, one, at);
    }
}

fn note(seen: &Mutex<Seen>, pid: i32, one: &Known, at: u64) {
    let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
    let life = match &one.kind {
        Kind::Foreign => return,
        Kind::Run(mark) => seen.runs.entry(*mark).or_insert(Life {
            first: at,
            last: at,
        }),
        Kind::Engine(data_dir) => {
            let fresh = || EngineLife {
                pid,
                data_dir: data_dir.clone(),
                life: Life {
                    first: at,
                    last: at,
                },
            };
            let engines = seen.engines.entry((pid, one.started));
            &mut engines.or_insert_with(fresh).life
        }
    };
    life.last = life.last.max(at);
}

/// When it started, in ticks since boot, if it is there and no zombie.
fn alive_since(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
    let state = fields.next()?;
    let started = fields.nth(18)?.parse().ok()?;
    (!matches!(state, "Z" | "X" | "x")).then_some(started)
}

fn kind_of(pid: i32) -> Kind {
    let read = |file: &str| fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let words = |bytes: &[u8]| -> Vec<String> {
        let words = bytes.split(|byte| *byte == 0);
        words
            .map(|word| String::from_utf8_lossy(word).into_owned())
            .collect()
    };
    let line = words(&read("cmdline"));
    if line.get(1).is_some_and(|word| word == "engine") {
        let flag = line.iter().position(|word| word == "--data-dir");
        if let Some(dir) = flag.and_then(|at| line.get(at + 1)) {
            return Kind::Engine(dir.into());
        }
    }
    let environment = words(&read("environ"));
    let named = environment
        .iter()
        .find_map(|one| one.strip_prefix("MESH_AGENT_RUN="));
    if let Some(run) = named {
        return Kind::Run(mark_of(run));
    }
    let limits = String::from_utf8_lossy(&read("limits")).into_owned();
    let limit = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max realtime timeout"))
        .and_then(|line| line.split_ascii_whitespace().nth(1)?.parse::<u64>().ok());
    match limit {
        Some(mark) if mark >> 61 == 1 => Kind::Run(mark),
        _ => Kind::Foreign,
    }
}

/// The limit that processes of a run carry: FNV-1a of its id, with bit 61 set and the higher ones clear.
pub(crate) fn mark_of(run: &str) -> u64 {
    let hash = run.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash & ((1 << 61) - 1)) | (1 << 61)
}

/// Milliseconds since the epoch, as the engine's clock counts them.
pub(crate) fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}

/// The mark of the run a process belongs to, if it belongs to one.
pub(crate) fn mark_on(pid: i32) -> Option<u64> {
    match kind_of(pid) {
        Kind::Run(mark) => Some(mark),
        Kind::Foreign | Kind::Engine(_) => None,
    }
}
