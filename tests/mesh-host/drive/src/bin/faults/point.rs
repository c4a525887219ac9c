//! One point from its first message to the last task's end: sends, kills, brings the rest on again, waits.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use futures::future::join_all;
use mesh_host_drive::{Process, eventually};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use crate::calls::Sent;
use crate::census;
use crate::schedule::{Job, Phase, Point, Victim, Way};
use crate::witness::Witness;
use crate::world::World;

/// The longest a phase may take to begin, or a victim to show up.
const BEGIN_LIMIT: Duration = Duration::from_secs(60);
/// The longest a task may take to its end, once nothing holds it back: far beyond any promise, so that a
/// stuck one is told from a slow machine.
const END_LIMIT: Duration = Duration::from_secs(90);
/// Without an engine for so long, somebody calls: a person would, and it starts one.
const WAKE_AFTER: Duration = Duration::from_secs(2);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(5);

/// What a job's caller knows so far.
#[derive(Debug)]
pub(crate) struct Course {
    /// What it does.
    pub(crate) job: Job,
    /// What its runs say.
    pub(crate) witness: Witness,
    /// The message it sent.
    pub(crate) message: String,
    /// Whether it began to send.
    sending: Cell<bool>,
    /// Whether it began to cancel.
    cancelling: Cell<bool>,
    /// What became of the message.
    pub(crate) sent: RefCell<Option<Sent>>,
    /// What became of the same message under the same key, once more.
    pub(crate) again: RefCell<Option<Sent>>,
    /// What the cancel was answered.
    pub(crate) canceled: RefCell<Option<Result<String, String>>>,
    /// The state in which the task ended, as it was seen.
    pub(crate) ended: RefCell<Option<Result<String, String>>>,
}

impl Course {
    fn new(world: &World<'_>, point: &Point, number: usize, job: Job) -> Self {
        let key = format!("f{}-{}-{number}", point.seed, point.index);
        let witness = Witness::new(&world.witness, key);
        Self {
            job,
            message: witness.message(job.work),
            witness,
            sending: Cell::default(),
            cancelling: Cell::default(),
            sent: RefCell::default(),
            again: RefCell::default(),
            canceled: RefCell::default(),
            ended: RefCell::default(),
        }
    }

    /// The task, if the message was acknowledged.
    pub(crate) fn task(&self) -> Option<String> {
        match &*self.sent.borrow() {
            Some(Sent::As(task)) => Some(task.clone()),
            _ => None,
        }
    }

    fn has_ended(&self) -> bool {
        self.ended.borrow().is_some()
    }
}

/// A kill that was done.
#[derive(Clone, Debug)]
pub(crate) struct Kill {
    /// What it was.
    pub(crate) victim: Victim,
    /// When, in milliseconds since the epoch.
    pub(crate) at: u64,
    /// Its process.
    pub(crate) process: Process,
    /// The mark of the run it was part of, for a guard or a harness; `None` when that bore none yet.
    pub(crate) mark: Option<u64>,
}

/// What happened at a point.
#[derive(Debug)]
pub(crate) struct Happened {
    /// The kills, the first one first.
    pub(crate) kills: Vec<Kill>,
    /// The callers.
    pub(crate) courses: Vec<Course>,
}

/// Runs a point.
pub(crate) async fn run(world: &World<'_>, point: &Point) -> Result<Happened> {
    let numbered = point.jobs.iter().enumerate();
    let courses: Vec<_> = numbered
        .map(|(number, job)| Course::new(world, point, number, *job))
        .collect();
    let killed = Cell::new(false);
    let callers = join_all(courses.iter().map(|course| call(world, course, &killed)));
    let killing = kill_and_bring_on(world, point, &courses, &killed);
    let kills = tokio::try_join!(killing, async { Ok(callers.await) });
    if kills.is_err() {
        // So that what waits can end all the same.
        for course in &courses {
            course.witness.let_go()?;
        }
    }
    let (kills, _) = kills?;
    Ok(Happened { kills, courses })
}

/// One caller: sends, cancels, sends again, and looks how it ends.
async fn call(world: &World<'_>, course: &Course, killed: &Cell<bool>) {
    sleep(course.job.after).await;
    let (agent, key) = (course.job.agent.id(), course.witness.key());
    course.sending.set(true);
    let (way, parked) = (course.job.way, course.job.parked);
    let sent = world.send(way, agent, &course.message, key, parked).await;
    let task = match &sent {
        Sent::As(task) => Some(task.clone()),
        Sent::Unknown(_) | Sent::Refused(_) => None,
    };
    course.sent.replace(Some(sent));
    let Some(task) = task else { return };
    let cancel = async {
        let Some(way) = course.job.cancel else { return };
        while !course.witness.started() && !course.has_ended() {
            sleep(LOOK).await;
        }
        course.cancelling.set(true);
        let canceled = world.cancel(way, &task).await;
        course
            .canceled
            .replace(Some(canceled.map_err(|error| format!("{error:#}"))));
    };
    let again = async {
        let Some(way) = course.job.again else { return };
        while !killed.get() {
            sleep(LOOK).await;
        }
        let sent = world.send(way, agent, &course.message, key, false).await;
        course.again.replace(Some(sent));
    };
    let end = async {
        let ended = until_ended(world, &task, killed).await;
        course
            .ended
            .replace(Some(ended.map_err(|error| format!("{error:#}"))));
    };
    tokio::join!(cancel, again, end, answer(world, course, &task, killed));
}

/// Answers what the task asks, every question under a key of its own.
async fn answer(world: &World<'_>, course: &Course, task: &str, killed: &Cell<bool>) {
    let Some((way, late)) = course.job.answer else {
        return;
    };
    let args = json!({ "task_id": task });
    while !course.has_ended() {
        sleep(LOOK * 4).await;
        let Ok(seen) = world.socket_tool("get_task", &args).await else {
            continue;
        };
        let parts = seen["task"]["status"]["message"]["parts"].as_array();
        let mut ids = parts
            .into_iter()
            .flatten()
            .filter_map(|part| part["data"]["question_id"].as_str());
        let Some(question) = ids
            .next_back()
            .filter(|_| seen["state"] == "input_required")
        else {
            continue;
        };
        if killed.get() || !late {
            let key = format!("{}-{question}", course.witness.key());
            world.answer(way, course.job.agent.id(), task, &key).await;
        }
    }
}

/// Looks until the task has ended. The time it may take counts from the kill.
async fn until_ended(world: &World<'_>, task: &str, killed: &Cell<bool>) -> Result<String> {
    let args = json!({ "task_id": task, "wait_seconds": 1 });
    let mut since = Instant::now();
    let mut silent: Option<Instant> = None;
    let mut last;
    loop {
        if !killed.get() {
            since = Instant::now();
        }
        match world.socket_tool("get_task", &args).await {
            Ok(answer) => {
                silent = None;
                let state = answer["state"].as_str().unwrap_or_default().to_owned();
                if matches!(&*state, "completed" | "failed" | "canceled" | "rejected") {
                    return Ok(state);
                }
                last = state;
                if last == "input_required" {
                    // Waiting ends at once while it asks.
                    sleep(LOOK * 4).await;
                }
            }
            Err(error) => {
                let since = silent.get_or_insert_with(Instant::now);
                if since.elapsed() > WAKE_AFTER {
                    silent = None;
                    // Whoever else calls wakes it as well.
                    let _woken = world.wake().await;
                }
                last = format!("{error:#}");
                sleep(LOOK * 4).await;
            }
        }
        if since.elapsed() > END_LIMIT {
            bail!(
                "not at its end {} s after the kill: {last}",
                END_LIMIT.as_secs()
            );
        }
    }
}

async fn kill_and_bring_on(
    world: &World<'_>,
    point: &Point,
    courses: &[Course],
    killed: &Cell<bool>,
) -> Result<Vec<Kill>> {
    let target = courses.first().context("a target")?;
    until_phase(point.phase, target).await?;
    sleep(point.delay).await;
    let mut kills = vec![kill(world, point.victim, target).await?];
    killed.set(true);
    world.killed(point.victim);
    let (second, restart) = tokio::join!(kill_second(world, point, target), async {
        if point.victim == Victim::Host {
            world.host.lock().await.restart().await?;
        }
        anyhow::Ok(())
    });
    kills.extend(second?);
    restart?;
    sleep(point.release).await;
    for course in courses {
        course.witness.let_go()?;
    }
    if kills
        .iter()
        .any(|kill| matches!(kill.victim, Victim::Host | Victim::Plugin))
    {
        // A plugin that died while nobody called is only started by the next call (host-contract T8).
        world.host_answers().await?;
    }
    Ok(kills)
}

/// Kills the second victim, where there is one: what the first kill left may have none.
async fn kill_second(world: &World<'_>, point: &Point, target: &Course) -> Result<Option<Kill>> {
    let Some((victim, after)) = point.second else {
        return Ok(None);
    };
    sleep(after).await;
    if victim == Victim::Plugin && point.victim == Victim::Host {
        // The host holds it while it comes up; it is not there yet.
        return Ok(None);
    }
    let kill = strike(world, victim, target).await?;
    if kill.is_some() {
        world.killed(victim);
    }
    Ok(kill)
}

async fn until_phase(phase: Phase, target: &Course) -> Result<()> {
    let started = || target.witness.started();
    let reached: &dyn Fn() -> bool = match phase {
        Phase::Submit => &|| target.sending.get(),
        Phase::Start => &|| target.sent.borrow().is_some(),
        Phase::Stream | Phase::Finish => &started,
        Phase::Cancel => &|| target.cancelling.get(),
    };
    let end = Instant::now() + BEGIN_LIMIT;
    while !reached() && !target.has_ended() {
        if Instant::now() > end {
            bail!("the phase {phase:?} did not begin: {target:?}");
        }
        sleep(Duration::from_millis(1)).await;
    }
    if phase == Phase::Finish {
        target.witness.let_go()?;
    }
    Ok(())
}

/// Kills the victim, and says what it was.
async fn kill(world: &World<'_>, victim: Victim, target: &Course) -> Result<Kill> {
    eventually("a victim", BEGIN_LIMIT, async || {
        strike(world, victim, target).await
    })
    .await
}

/// Kills the victim if it is there.
async fn strike(world: &World<'_>, victim: Victim, target: &Course) -> Result<Option<Kill>> {
    let mut host = world.host.lock().await;
    let found = match victim {
        Victim::Host => Some(host.process()?),
        Victim::Plugin => host.plugin_now()?,
        Victim::Engine => world.engine(),
        Victim::Guard => guard(world, target),
        // The oldest: what gets away from a harness becomes a child of the guard too, and is not it.
        Victim::Harness => {
            guard(world, target).and_then(|guard| guard.children().into_iter().next())
        }
    };
    let Some(process) = found else {
        return Ok(None);
    };
    let mark = match victim {
        Victim::Guard => process
            .children()
            .first()
            .and_then(|one| census::mark_on(one.pid())),
        Victim::Harness => census::mark_on(process.pid()),
        Victim::Host | Victim::Plugin | Victim::Engine => None,
    };
    let at = census::now();
    if !process.is_alive() {
        return Ok(None);
    }
    if victim == Victim::Host {
        host.kill9()?;
    } else {
        process.kill9();
    }
    Ok(Some(Kill {
        victim,
        at,
        process,
        mark,
    }))
}

/// The guard of the target's run, or the youngest one where the target is not known to run.
fn guard(world: &World<'_>, target: &Course) -> Option<Process> {
    let notes = target.witness.notes();
    let marks: Vec<_> = notes
        .iter()
        .map(|note| census::mark_of(&note.run))
        .collect();
    let guards = world.guards();
    let is_its = |guard: &&Process| {
        let harness = guard.children();
        let mark = harness.first().and_then(|one| census::mark_on(one.pid()));
        mark.is_some_and(|mark| marks.contains(&mark))
    };
    guards.iter().find(is_its).or(guards.last()).copied()
}

impl World<'_> {
    /// Waits until the host's tools answer again.
    async fn host_answers(&self) -> Result<()> {
        let limit = Duration::from_secs(60);
        eventually("the host's tools to answer", limit, async || {
            Ok(self.ask_host().await.ok())
        })
        .await
    }

    async fn ask_host(&self) -> Result<()> {
        let client = self.session(Way::Host).await?;
        let asked =
            tokio::time::timeout(Duration::from_secs(5), client.call("get_agents", json!({})));
        match asked.await {
            Ok(Ok(Value::Object(_))) => Ok(()),
            other => {
                self.sessions.borrow_mut().remove(&Way::Host);
                bail!("{other:?}")
            }
        }
    }
}
