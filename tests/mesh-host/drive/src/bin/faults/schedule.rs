//! What a point does, decided by its seed and number alone: who is killed, in which phase of which task, how
//! long after the phase began, and what else is going on at that time.

use std::fmt;
use std::time::Duration;

use crate::rng::Rng;

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Victim {
    /// The mesh-llm host.
    Host,
    /// Our plugin's process below it.
    Plugin,
    /// The engine.
    Engine,
    /// The guard of a run.
    Guard,
    /// The harness of a run.
    Harness,
}

impl Victim {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [
        Self::Host,
        Self::Plugin,
        Self::Engine,
        Self::Guard,
        Self::Harness,
    ];
}

/// What the target is doing when it happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Its message has just been sent.
    Submit,
    /// It was acknowledged and is about to be started.
    Start,
    /// Its harness works and streams.
    Stream,
    /// Its harness has just been allowed to finish.
    Finish,
    /// Its cancel has just been sent.
    Cancel,
}

impl Phase {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [
        Self::Submit,
        Self::Start,
        Self::Stream,
        Self::Finish,
        Self::Cancel,
    ];
}

/// How a caller reaches the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Way {
    /// The host's `/mcp`, with a key of the caller's own.
    Host,
    /// The host's `/mcp` without any key: the host re-sends what its plugin did not answer.
    HostBare,
    /// The engine's own `/mcp`.
    Engine,
    /// `engine.sock`, as a front-end.
    Socket,
    /// `agents send`.
    Cli,
    /// `agents mcp`, over stdio.
    Stdio,
    /// The agent's A2A endpoint, by JSON-RPC.
    A2a,
}

/// Ways that carry a key of the caller's own, so that a repeat is the same task.
const KEYED: [Way; 6] = [
    Way::Host,
    Way::Engine,
    Way::Socket,
    Way::Cli,
    Way::Stdio,
    Way::A2a,
];

/// Which agent a message is for. They differ in their limits and in what a lost run becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Agent {
    /// Scripted ACP agent, four at once, a lost run fails.
    Plain,
    /// The same, one at a time: the others wait.
    Narrow,
    /// The same as plain, and a lost run is tried again.
    Again,
    /// The same as plain, with sessions that can be taken up after their process is gone.
    Keeper,
    /// A shell script behind our own harness, four at once.
    Shell,
}

impl Agent {
    /// All of them.
    pub(crate) const ALL: [Self; 5] = [
        Self::Plain,
        Self::Narrow,
        Self::Again,
        Self::Keeper,
        Self::Shell,
    ];

    /// Its directory.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Narrow => "narrow",
            Self::Again => "again",
            Self::Keeper => "keeper",
            Self::Shell => "shell",
        }
    }
}

/// What a message asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// An answer and a file, at once.
    Quick,
    /// Thirty pieces of text, ten milliseconds apart, then the same.
    Stream,
    /// Waits until it is let go.
    Gated,
    /// The same, with three children that got away from it: in a new session, orphaned, without environment.
    Brood,
    /// Asks its caller something, and goes on with the answer.
    Asks,
    /// Hears nothing and never ends: only for a task that is cancelled.
    Deaf,
}

/// One message of a point and what its caller does.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Job {
    /// How it is sent.
    pub(crate) way: Way,
    /// Whom to.
    pub(crate) agent: Agent,
    /// What for.
    pub(crate) work: Work,
    /// How long after the start of the point.
    pub(crate) after: Duration,
    /// How it is sent once more, under the same key, after the kill.
    pub(crate) again: Option<Way>,
    /// How its cancel is sent, once its harness works.
    pub(crate) cancel: Option<Way>,
    /// How what it asks is answered, and whether only after the kill.
    pub(crate) answer: Option<(Way, bool)>,
    /// Whether the call is parked until the task ends, and so unanswered when the kill comes.
    pub(crate) parked: bool,
}

/// One point.
#[derive(Clone, Debug)]
pub(crate) struct Point {
    /// The seed of the whole run.
    pub(crate) seed: u64,
    /// Its number.
    pub(crate) index: usize,
    /// Who is killed.
    pub(crate) victim: Victim,
    /// When, roughly.
    pub(crate) phase: Phase,
    /// How long after the phase began.
    pub(crate) delay: Duration,
    /// Who else is killed, and how long after the first: in the middle of the recovery, mostly.
    pub(crate) second: Option<(Victim, Duration)>,
    /// How long after the recovery what waits is let go.
    pub(crate) release: Duration,
    /// The messages; the first is the target.
    pub(crate) jobs: Vec<Job>,
}

impl Point {
    /// The point with that number. Every 25 points, from the first, have every victim in every phase once.
    pub(crate) fn new(seed: u64, index: usize) -> Self {
        let pairs = Victim::ALL.len() * Phase::ALL.len();
        let block = u64::try_from(index / pairs).unwrap_or_default();
        let pair = Rng::new(seed, block << 32 | 1).order(pairs)[index % pairs];
        let victim = Victim::ALL[pair / Phase::ALL.len()];
        let phase = Phase::ALL[pair % Phase::ALL.len()];
        let number = u64::try_from(index).unwrap_or_default();
        let mut rng = Rng::new(seed, number << 32 | 2);
        // Most kills land within the call or the step itself, some in what it leads to.
        let delay = if rng.percent(70) {
            rng.span(50)
        } else {
            rng.span(500)
        };
        let second = rng.percent(20).then(|| {
            let victims = [
                Victim::Engine,
                Victim::Engine,
                Victim::Guard,
                Victim::Plugin,
            ];
            (rng.pick(&victims), rng.span(400))
        });
        let release = rng.span(100);
        // What a killed plugin leaves unanswered is re-sent by the host, if it came by the host.
        let bare = if victim == Victim::Plugin { 50 } else { 15 };
        let mut jobs = vec![target(&mut rng, phase, bare), lasting(&mut rng, bare)];
        for _ in 0..1 + rng.below(2) {
            let mut other = other(&mut rng, bare);
            if jobs[0].agent == Agent::Narrow && other.agent == Agent::Narrow {
                // The target would wait behind it, and it for the kill, which waits for the target.
                other.agent = Agent::Plain;
            }
            jobs.push(other);
        }
        Self {
            seed,
            index,
            victim,
            phase,
            delay,
            second,
            release,
            jobs,
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "point {} of seed {}: kill {:?} {:.1} ms into {:?}",
            self.index,
            self.seed,
            self.victim,
            self.delay.as_secs_f64() * 1000.0,
            self.phase,
        )?;
        match self.second {
            Some((victim, after)) => {
                let after = after.as_secs_f64() * 1000.0;
                write!(f, ", then {victim:?} {after:.1} ms later")
            }
            None => Ok(()),
        }
    }
}

fn target(rng: &mut Rng, phase: Phase, bare: usize) -> Job {
    let work = match phase {
        Phase::Submit | Phase::Start => rng.pick(&[Work::Quick, Work::Stream, Work::Gated]),
        Phase::Stream => Work::Stream,
        Phase::Finish => rng.pick(&[Work::Gated, Work::Brood]),
        Phase::Cancel => rng.pick(&[Work::Stream, Work::Gated, Work::Brood, Work::Deaf]),
    };
    let mut job = job(rng, work, bare);
    job.after = Duration::ZERO;
    if phase == Phase::Cancel {
        job.cancel = Some(rng.pick(&KEYED));
    }
    // Who starts or cancels it must know its id first.
    job.parked &= !matches!(phase, Phase::Start | Phase::Cancel);
    job
}

/// Something that is at work when the kill comes, for certain: there is a guard and a harness to kill.
fn lasting(rng: &mut Rng, bare: usize) -> Job {
    let work = rng.pick(&[Work::Gated, Work::Brood]);
    let mut job = job(rng, work, bare);
    if job.agent == Agent::Narrow {
        job.agent = Agent::Plain;
    }
    job
}

/// Something else that goes on: mostly something that is still at work when the kill comes.
fn other(rng: &mut Rng, bare: usize) -> Job {
    let work = rng.pick(&[
        Work::Quick,
        Work::Stream,
        Work::Gated,
        Work::Brood,
        Work::Asks,
    ]);
    let mut job = job(rng, work, bare);
    if rng.percent(10) {
        job.cancel = Some(rng.pick(&KEYED));
        job.parked = false;
    }
    job
}

fn job(rng: &mut Rng, work: Work, bare: usize) -> Job {
    let agent = match work {
        // The script knows nothing of children and of deafness.
        Work::Brood | Work::Deaf => {
            rng.pick(&[Agent::Plain, Agent::Narrow, Agent::Again, Agent::Keeper])
        }
        _ => rng.pick(&Agent::ALL),
    };
    let way = if rng.percent(bare) {
        Way::HostBare
    } else {
        rng.pick(&KEYED)
    };
    let again = (way != Way::HostBare && rng.percent(40)).then(|| rng.pick(&KEYED));
    let answers = [Way::Host, Way::Engine, Way::Socket, Way::Stdio];
    let answer = (work == Work::Asks).then(|| (rng.pick(&answers), rng.percent(60)));
    Job {
        way,
        agent,
        work,
        after: rng.span(60),
        again,
        cancel: None,
        answer,
        parked: rng.percent(40),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_25_points_have_every_victim_in_every_phase() {
        for block in 0..4 {
            let points = (block * 25..block * 25 + 25).map(|index| Point::new(3, index));
            let pairs: BTreeSet<_> = points.map(|point| (point.victim, point.phase)).collect();
            assert_eq!(pairs.len(), 25);
        }
    }

    #[test]
    fn a_point_is_the_same_whenever_it_is_asked_for() {
        let text = |index| format!("{:?}", Point::new(5, index));
        assert_eq!(text(17), text(17));
        assert_ne!(text(17), text(42));
    }
}
