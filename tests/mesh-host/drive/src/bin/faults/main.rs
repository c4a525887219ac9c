//! Kills -9 at seeded points of submit, start, stream, finish and cancel: the host, our plugin in it, the
//! engine, a guard, a harness, on a real mesh-llm host, with several callers at work. After every point it
//! checks that nothing acknowledged was lost, nothing ran twice, nothing is stuck, and nothing is called ended
//! that still runs. `scripts/test-faults.sh` builds what it needs and starts it.
//!
//! A point is made by its seed and number alone ([`schedule`]), so `--seed N --only I` repeats one: the same
//! messages by the same ways, the same victim, the same delay. Real processes and real time are involved, so
//! it is the same schedule and not the same interleaving; a rare one may need `--repeat`.

mod audit;
mod calls;
mod census;
mod check;
mod point;
mod record;
mod report;
mod rng;
mod schedule;
mod witness;
mod world;

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use mesh_host_drive::Home;
use serde_json::json;
use tokio::time::{Duration, sleep};

use census::Census;
use check::{Entry, Findings};
use report::Report;
use schedule::Point;
use world::World;

/// Points in one world before its database is audited and another one is set up.
const ROTATE: usize = 100;
/// Points that broke something after which the rest is not worth waiting for.
const ENOUGH: usize = 10;
/// Lines of the engine's log shown with a violation.
const LOG_LINES: usize = 20;
/// What runs without `--seed`, in CI above all: one that fails there fails here.
const SEED: u64 = 20_261_120;

/// What is to be done.
#[derive(Clone, Debug)]
struct Wanted {
    points: Vec<usize>,
    seed: u64,
    worlds: usize,
    /// Points in one world; one point that is repeated has the same keys, so each time is a world's only one.
    rotate: usize,
}

/// What all worlds share.
struct Run {
    wanted: Wanted,
    next: AtomicUsize,
    census: Census,
    report: Mutex<Report>,
    started: Instant,
}

fn main() -> ExitCode {
    let wanted = match wanted() {
        Ok(wanted) => wanted,
        Err(error) => {
            say(&format!("faults: {error:#}"));
            return ExitCode::from(2);
        }
    };
    let run = Run {
        next: AtomicUsize::new(0),
        census: Census::start(),
        report: Mutex::default(),
        started: Instant::now(),
        wanted,
    };
    std::thread::scope(|scope| {
        for number in 0..run.wanted.worlds {
            let run = &run;
            scope.spawn(move || worlds(run, number));
        }
    });
    let report = run.report();
    say(&report.table());
    say(&format!(
        "seed {}, {} worlds, {:.0} s, processes looked at every {:?} at the slowest",
        run.wanted.seed,
        run.wanted.worlds,
        run.started.elapsed().as_secs_f64(),
        run.census.slowest()
    ));
    if report.is_clean() {
        return ExitCode::SUCCESS;
    }
    for index in &report.broken {
        say(&format!(
            "again: scripts/test-faults.sh --seed {} --only {index}",
            run.wanted.seed
        ));
    }
    ExitCode::FAILURE
}

fn wanted() -> Result<Wanted> {
    let mut words = std::env::args().skip(1);
    let (mut points, mut seed, mut only, mut worlds, mut repeat) = (1000, SEED, None, 1, 1);
    while let Some(word) = words.next() {
        let mut number = || -> Result<u64> {
            let value = words
                .next()
                .with_context(|| format!("{word} needs a number"))?;
            value.parse().with_context(|| format!("{word} {value}"))
        };
        match &*word {
            "--seed" => seed = number()?,
            "--only" => only = Some(usize::try_from(number()?)?),
            "--worlds" => worlds = usize::try_from(number()?)?.max(1),
            "--repeat" => repeat = usize::try_from(number()?)?.max(1),
            count => points = count.parse().with_context(|| {
                format!("{count} is no number of points; [POINTS] [--seed N] [--only I [--repeat N]] [--worlds N]")
            })?,
        }
    }
    let (points, rotate) = match only {
        Some(index) => (vec![index; repeat], 1),
        None => ((0..points).collect(), ROTATE),
    };
    Ok(Wanted {
        points,
        seed,
        worlds,
        rotate,
    })
}

/// One world after the other, until no points are left.
fn worlds(run: &Run, number: usize) {
    for turn in 0.. {
        if !run.goes_on() {
            return;
        }
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let lived = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let runtime = runtime.unwrap_or_else(|error| panic!("{error}"));
            let name = format!("faults-{number}-{turn}");
            runtime.block_on(mesh_host_drive::run(async |home| {
                live(run, home, &name).await
            }));
        }));
        if lived.is_err() {
            // What was wrong has been shown by the panic.
            run.report().other += 1;
        }
    }
}

impl Run {
    fn report(&self) -> MutexGuard<'_, Report> {
        self.report.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn goes_on(&self) -> bool {
        let report = self.report();
        report.broken.len() + report.other < ENOUGH
            && self.next.load(Ordering::Relaxed) < self.wanted.points.len()
    }

    fn next(&self) -> Option<Point> {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        let index = self.wanted.points.get(next)?;
        Some(Point::new(self.wanted.seed, *index))
    }
}

/// One world: points, then the audit of its database.
async fn live(run: &Run, home: &Home, name: &str) -> Result<()> {
    let world = World::start(home, name).await?;
    let (retries, a2a) = (world.retries, world.serves_a2a);
    say(&format!(
        "{name}: lost runs are tried again: {retries}; A2A is served: {a2a}"
    ));
    let mut ledger = Vec::new();
    for _ in 0..run.wanted.rotate {
        if !run.goes_on() {
            break;
        }
        let Some(point) = run.next() else { break };
        let clean = one(run, &world, &point, &mut ledger).await;
        if !clean {
            // What is broken may break what comes after it: that gets a world of its own.
            break;
        }
    }
    until_idle(&world).await?;
    world.hang_up();
    world.host.into_inner().stop().await?;
    let stopped = home.agents(&["stop", "--now"])?;
    if !stopped.status.success() {
        bail!("agents stop: {stopped:?}");
    }
    while !home.processes().is_empty() && home.engine()?.is_some() {
        sleep(Duration::from_millis(20)).await;
    }
    let (wrong, tasks) = audit::audit(home, &ledger)?;
    let mut report = run.report();
    report.tasks += tasks;
    report.other += wrong.len();
    for what in wrong {
        say(&format!("AUDIT of {name}: {what}"));
    }
    Ok(())
}

/// One point; says whether nothing was wrong.
async fn one(run: &Run, world: &World<'_>, point: &Point, ledger: &mut Vec<Entry>) -> bool {
    let began = Instant::now();
    let mut findings = Findings::default();
    match point::run(world, point).await {
        Ok(happened) => match check::examine(world, &run.census, point, &happened).await {
            Ok(found) => findings = found,
            Err(error) => findings
                .violations
                .push(format!("cannot be examined: {error:#}\n  {point}")),
        },
        Err(error) => findings
            .violations
            .push(format!("went wrong: {error:#}\n  {point}\n  {point:?}")),
    }
    let took = began.elapsed();
    run.report().add(point, &findings, took);
    let verdict = if findings.violations.is_empty() {
        "ok"
    } else {
        "VIOLATION"
    };
    say(&format!("{point}: {verdict}, {:.2} s", took.as_secs_f64()));
    for violation in &findings.violations {
        say(&format!(
            "VIOLATION at {point}\n  {violation}\n  all of it: {point:?}"
        ));
    }
    if !findings.violations.is_empty() {
        let log = std::fs::read_to_string(world.home.data_dir().join("a2a/engine.log"));
        let log = log.unwrap_or_default();
        let tail: Vec<_> = log.lines().rev().take(LOG_LINES).collect();
        say("the end of engine.log, last line first:");
        say(&tail.join("\n"));
    }
    ledger.append(&mut findings.ledger);
    findings.violations.is_empty()
}

/// Waits for the tasks nobody was told of: their callers lost the answer.
async fn until_idle(world: &World<'_>) -> Result<()> {
    let limit = Duration::from_secs(60);
    mesh_host_drive::eventually("every task to end", limit, async || {
        for state in ["submitted", "working"] {
            let query = json!({ "state": state, "limit": 1 });
            let Ok(list) = world.socket_tool("list_tasks", &query).await else {
                world.wake().await?;
                return Ok(None);
            };
            if list["tasks"] != json!([]) {
                return Ok(None);
            }
        }
        Ok(Some(()))
    })
    .await
}

/// Prints a line.
fn say(text: &str) {
    // Nobody may read it; what counts is the exit code.
    let _told = writeln!(io::stdout(), "{text}");
}
