//! What must be true after a point, whoever was killed.

use std::collections::BTreeMap;

use anyhow::Result;

use crate::calls::Sent;
use crate::census::{self, Census, Life};
use crate::point::{Course, Happened, Kill};
use crate::record::{Record, State};
use crate::schedule::{Agent, Point, Victim, Work};
use crate::world::World;

/// No task is at work longer than this after its run is gone, while an engine runs.
const STUCK_MS: u64 = 15_000;
/// No run lives longer than this after its engine.
const RUN_MS: u64 = 2_000;
/// Runs of one task, the first included, where a lost run is tried again (`runtime.max_attempts`).
const ATTEMPTS: usize = 2;

/// What a point brought.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// What must not be, each with what there is to know about it.
    pub(crate) violations: Vec<String>,
    /// The longest a run lived on after its engine.
    pub(crate) outlived_ms: u64,
    /// The longest a task waited for its end after its run was gone, while an engine ran.
    pub(crate) waited_ms: u64,
    /// How tasks ended: `failed interrupted`, `completed`, ….
    pub(crate) ends: BTreeMap<String, usize>,
    /// Tasks that are known, with the state they ended in.
    pub(crate) ledger: Vec<Entry>,
}

/// A task and its end.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// The point it is of.
    pub(crate) point: usize,
    /// The task.
    pub(crate) task: String,
    /// The state it ended in.
    pub(crate) state: String,
}

/// One task of a point under examination.
struct Case<'a, 'home> {
    world: &'a World<'home>,
    census: &'a Census,
    point: &'a Point,
    happened: &'a Happened,
    course: &'a Course,
    record: Record,
    wrong: Vec<String>,
}

/// Examines a point.
pub(crate) async fn examine(
    world: &World<'_>,
    census: &Census,
    point: &Point,
    happened: &Happened,
) -> Result<Findings> {
    until_looked(census).await;
    let mut findings = Findings::default();
    for course in &happened.courses {
        let record = match course.task() {
            Some(task) => Record::read(world, &task).await?,
            None => Record::default(),
        };
        let mut case = Case {
            world,
            census,
            point,
            happened,
            course,
            record,
            wrong: Vec::new(),
        };
        case.answers();
        if let Some(task) = course.task() {
            case.identity();
            case.runs();
            case.end(&mut findings);
            if let Some(Ok(state)) = &*course.ended.borrow() {
                let (point, state) = (point.index, state.clone());
                findings.ledger.push(Entry { point, task, state });
            }
        }
        let story = (!case.wrong.is_empty()).then(|| case.story());
        if let Some(story) = story {
            let wrong = case.wrong.join("\n  ");
            findings.violations.push(format!("{wrong}\n{story}"));
        }
    }
    Ok(findings)
}

/// Waits for one whole look at all processes that began after this.
async fn until_looked(census: &Census) {
    let asked = census::now();
    while census.looked() <= asked {
        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
    }
}

impl Case<'_, '_> {
    fn wrong(&mut self, what: String) {
        self.wrong.push(what);
    }

    fn life(&self, run: &str) -> Option<Life> {
        self.census.run(run)
    }

    /// Everybody was answered, and the same key was answered with the same task.
    fn answers(&mut self) {
        let course = self.course;
        match &*course.sent.borrow() {
            Some(Sent::As(_) | Sent::Unknown(_)) => {}
            other => self.wrong(format!("the message was never acknowledged: {other:?}")),
        }
        let first = course.task();
        match &*course.again.borrow() {
            None => {}
            Some(Sent::As(task)) if Some(task) == first.as_ref() => {}
            other => self.wrong(format!("the same key again: {other:?}, not {first:?}")),
        }
        match &*course.canceled.borrow() {
            None | Some(Ok(_)) => {}
            Some(Err(error)) => self.wrong(format!("the cancel was never answered: {error}")),
        }
    }

    /// The task is there, with the message it was given.
    fn identity(&mut self) {
        if self.record.message != self.course.message {
            let said = self.record.message.clone();
            self.wrong(format!("the task's message is another: {said:?}"));
        }
    }

    /// No message ran twice, and no run began before the one before it was gone.
    fn runs(&mut self) {
        let attempts = self.record.attempts.clone();
        let agent = self.course.job.agent;
        let resumes = agent == Agent::Keeper;
        let again = resumes || self.world.retries(agent);
        let allowed = match agent {
            // A session is taken up after every kill.
            Agent::Keeper => 1 + self.happened.kills.len(),
            _ if again => ATTEMPTS,
            _ => 1,
        };
        if attempts.len() > allowed {
            let count = attempts.len();
            self.wrong(format!("{count} runs, and {allowed} are allowed"));
        }
        let mut starts: BTreeMap<String, usize> = BTreeMap::new();
        for note in self.course.witness.notes() {
            *starts.entry(note.run).or_default() += usize::from(note.what == "start");
        }
        // One that had said nothing yet may never have been told its task, so it is told again.
        if resumes && starts.len() > 1 && self.record.spoke_before_it_went_on() {
            self.wrong(format!("a session that goes on began anew: {starts:?}"));
        }
        for (run, count) in starts {
            if count > 1 {
                self.wrong(format!("{run} began the work {count} times"));
            }
            if !attempts.iter().any(|attempt| attempt.run == run) {
                self.wrong(format!("{run} worked and is no run of this task"));
            }
        }
        for pair in attempts.windows(2) {
            let (before, after) = (&pair[0], &pair[1]);
            let Some(life) = self.life(&before.run) else {
                continue;
            };
            if life.last > after.at {
                let late = life.last - after.at;
                self.wrong(format!("{} lived {late} ms into {}", before.run, after.run));
            }
        }
    }

    /// It ended once, as it should, in time, and with nothing of it alive.
    fn end(&mut self, findings: &mut Findings) {
        let seen = match &*self.course.ended.borrow() {
            Some(Ok(state)) => state.clone(),
            other => {
                self.wrong(format!("stuck: {other:?}"));
                return;
            }
        };
        let Some(end) = self.record.end().cloned() else {
            self.wrong(format!("seen {seen}, and its log knows no end"));
            return;
        };
        let after = self.record.states.last();
        if end.name != seen || after.is_none_or(|last| last.at != end.at) {
            let states = self.record.states.clone();
            self.wrong(format!("seen {seen}, and its log says {states:?}"));
        }
        let code = end.code.clone().unwrap_or_default();
        let word = format!("{} {code}", end.name);
        *findings.ends.entry(word.trim().to_owned()).or_default() += 1;
        self.nothing_lives(&end);
        self.in_time(&end, findings);
        self.as_it_should(&end);
    }

    fn nothing_lives(&mut self, end: &State) {
        for attempt in self.record.attempts.clone() {
            let Some(life) = self.life(&attempt.run) else {
                continue;
            };
            if life.last > end.at {
                let late = life.last - end.at;
                self.wrong(format!(
                    "{} lived {late} ms longer than {}",
                    attempt.run, end.name
                ));
            }
        }
    }

    fn in_time(&mut self, end: &State, findings: &mut Findings) {
        let Some(last) = self.record.attempts.last().cloned() else {
            return;
        };
        let gone = self.life(&last.run).map_or(last.at, |life| life.last);
        let waited = self.engine_time(gone, end.at);
        findings.waited_ms = findings.waited_ms.max(waited);
        if waited > STUCK_MS {
            self.wrong(format!("at work {waited} ms after its run was gone"));
        }
        for kill in &self.happened.kills {
            if kill.victim == Victim::Engine {
                self.gone_with_engine(kill.at, findings);
            }
        }
    }

    /// What a killed engine ran is dead soon.
    fn gone_with_engine(&mut self, killed: u64, findings: &mut Findings) {
        for attempt in self.record.attempts.clone() {
            // Only runs of that engine.
            let theirs = |life: &Life| attempt.at <= killed && life.first <= killed;
            let Some(life) = self.life(&attempt.run).filter(theirs) else {
                continue;
            };
            let outlived = life.last.saturating_sub(killed);
            findings.outlived_ms = findings.outlived_ms.max(outlived);
            if outlived > RUN_MS {
                self.wrong(format!(
                    "{} lived {outlived} ms after its engine",
                    attempt.run
                ));
            }
        }
    }

    /// How long an engine ran between two moments.
    fn engine_time(&self, from: u64, to: u64) -> u64 {
        let engines = self.census.engines(&self.world.home.data_dir());
        let overlap = |life: Life| life.last.min(to).saturating_sub(life.first.max(from));
        engines.iter().map(|engine| overlap(engine.life)).sum()
    }

    /// The end fits what was asked and what was killed.
    fn as_it_should(&mut self, end: &State) {
        let course = self.course;
        let ended_work = course.witness.notes().iter().any(|note| note.what == "end");
        let has_file = self.record.artifacts.iter().any(|id| id == "out.txt");
        // A session that is taken up is told to go on, and this agent has nothing more to do then.
        let went_on = course.job.agent == Agent::Keeper && self.record.attempts.len() > 1;
        match &*end.name {
            "completed" if went_on => {}
            "completed" if !ended_work || !has_file || course.job.work == Work::Deaf => {
                self.wrong(format!(
                    "completed, and its work was not done (file: {has_file})"
                ));
            }
            "completed" => {}
            "canceled" if course.job.cancel.is_none() => {
                self.wrong("canceled, and nobody asked for it".to_owned());
            }
            "canceled" => {}
            "failed" if self.may_fail() && self.is_cause(end.code.as_deref()) => {}
            _ if self.may_fail() => {
                let code = end.code.clone();
                self.wrong(format!(
                    "{} ({code:?}), which is not what happened",
                    end.name
                ));
            }
            _ => {
                let code = end.code.clone().unwrap_or_default();
                self.wrong(format!(
                    "{} ({code}), and nothing of it was killed",
                    end.name
                ));
            }
        }
        if let Some(Ok(state)) = &*course.canceled.borrow()
            && state == "canceled"
            && end.name != "canceled"
        {
            self.wrong(format!(
                "the cancel was answered with canceled, and it is {}",
                end.name
            ));
        }
    }

    /// Whether the kills may have ended this task: none of them, or one less than it is tried, reached its runs.
    fn may_fail(&self) -> bool {
        let tried = self.world.retries(self.course.job.agent);
        let reached = |kill: &&Kill| self.reached(kill);
        let mut reached = self.happened.kills.iter().filter(reached);
        match reached.next() {
            // What asks is not tried again where its session is gone: its caller may have answered.
            Some(kill) => {
                let asks = self.course.job.work == Work::Asks;
                !tried || asks || kill.victim == Victim::Harness || reached.next().is_some()
            }
            None => false,
        }
    }

    /// Whether a kill reached a run of this task.
    fn reached(&self, kill: &Kill) -> bool {
        let mut runs = self.record.attempts.iter();
        match (kill.victim, kill.mark) {
            (Victim::Host | Victim::Plugin, _) => false,
            (Victim::Guard | Victim::Harness, Some(mark)) => {
                runs.any(|attempt| census::mark_of(&attempt.run) == mark)
            }
            // It bore no mark yet, so it was just being started.
            (Victim::Engine | Victim::Guard | Victim::Harness, _) => {
                runs.any(|attempt| attempt.at <= kill.at)
            }
        }
    }

    /// Whether a failure with that code tells what a kill did.
    fn is_cause(&self, code: Option<&str>) -> bool {
        let codes = self.happened.kills.iter().map(|kill| match kill.victim {
            Victim::Host | Victim::Plugin => None,
            // A question nobody can be asked again, where the session is gone.
            Victim::Engine | Victim::Guard if code == Some("question_lost") => code,
            Victim::Engine | Victim::Guard => Some("interrupted"),
            Victim::Harness => Some("harness_exited"),
        });
        code.is_some() && codes.into_iter().any(|one| one == code)
    }

    fn killed(&self) -> String {
        let kills = self.happened.kills.iter().map(|kill| {
            let (pid, at) = (kill.process.pid(), kill.at);
            format!(
                "killed {:?}, pid {pid}, of run mark {:?}, at {at}",
                kill.victim, kill.mark
            )
        });
        kills.collect::<Vec<_>>().join("; ")
    }

    /// All there is to know.
    fn story(&self) -> String {
        use std::fmt::Write as _;
        let mut text = format!("  {}\n", self.point);
        let course = self.course;
        let parts = [
            self.killed(),
            format!("job {:?}", course.job),
            format!(
                "sent {:?}, again {:?}",
                course.sent.borrow(),
                course.again.borrow()
            ),
            format!(
                "cancel {:?}, end {:?}",
                course.canceled.borrow(),
                course.ended.borrow()
            ),
            format!("notes {:?}", course.witness.notes()),
        ];
        for part in parts {
            // A String takes every write.
            let _infallible = writeln!(text, "  {part}");
        }
        for attempt in &self.record.attempts {
            let life = self.life(&attempt.run);
            let _infallible = writeln!(
                text,
                "  {} started {}, alive {life:?}",
                attempt.run, attempt.at
            );
        }
        for engine in self.census.engines(&self.world.home.data_dir()) {
            let _infallible = writeln!(text, "  engine {} alive {:?}", engine.pid, engine.life);
        }
        for event in &self.record.events {
            let line: String = event.to_string().chars().take(600).collect();
            let _infallible = writeln!(text, "  event {line}");
        }
        text
    }
}
