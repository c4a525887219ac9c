//! When a peer is asked for its advert next.

use super::pace::Pace;
use crate::bulletin::Known;
use crate::hint::SEQUENCE_MAX;
use crate::peer::MeshPeerId;

/// A peer is asked this often when nothing else makes us.
const INTERVAL: u64 = 60_000;
/// New peers are asked within this time, spread so that a large mesh does not ask all at once.
const SPREAD: u64 = 500;
/// First wait after a pull that got no answer; doubled with each further one.
const BACKOFF: u64 = 2_000;
/// Longest wait after failures. A new `PEER_UP` after a `PEER_DOWN`, and a hint, end it.
const BACKOFF_MOST: u64 = 300_000;
/// First wait for a peer that has no agents at all, as most nodes of a mesh: it may install them.
const NOT_HERE: u64 = 60_000;
/// Longest wait for such a peer.
const NOT_HERE_MOST: u64 = 900_000;
/// Hints of one peer are followed this often at the most; doubled with each that came to nothing, since
/// anybody can send hints in another's name.
const HINT_GAP: u64 = 1_000;
/// Longest gap between hints that are followed.
const HINT_GAP_MOST: u64 = 60_000;
/// So many changes of one peer are asked for as soon as its hints tell of them: more than anybody makes who edits
/// agents by hand …
const CHANGES: u64 = 12;
/// … and of one that goes on changing one each so many milliseconds, unless this node has to do with it. What it
/// tells is taken whole each time.
const CHANGES_EVERY: u64 = 15_000;
/// A pull nobody ended is over after this time. Streams have shorter limits of their own.
const LOST: u64 = 60_000;

/// One pull; its outcome is told with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub(super) u64);

/// A peer to ask now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pull {
    /// To be given back with the outcome.
    pub ticket: Ticket,
    /// Whom to open a stream to.
    pub peer: MeshPeerId,
    /// What to ask with.
    pub known: Known,
}

/// Why a pull came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullFailure {
    /// The stream ended at once: nobody there takes it. Most nodes of a mesh have no agents.
    NotHere,
    /// No answer, or none in time.
    NoAnswer,
    /// An answer that is not believed, with the reason.
    Refused(String),
}

/// Spreads things in time: numbers that follow from a seed (splitmix64).
#[derive(Debug)]
pub(super) struct Chance(u64);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below `most`.
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % most.max(1)
    }

    /// `millis`, up to an eighth more or less.
    fn around(&mut self, millis: u64) -> u64 {
        millis - millis / 8 + self.below(millis / 4 + 1)
    }
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// It is asked then.
    Waits(u64),
    /// It has been asked then.
    Runs(u64),
}

/// When one peer is asked.
#[derive(Debug)]
pub(super) struct Schedule {
    state: State,
    /// Pulls without success since the last one.
    failures: u32,
    /// The highest sequence a hint claimed and no answer has settled.
    hinted: Option<u64>,
    /// When a hint may next be followed.
    hint_from: u64,
    /// Hints in a row that came to nothing.
    idle_hints: u32,
    /// How often changes are asked for.
    changes: Pace,
    /// Ask again as soon as the pull that runs is over.
    again: bool,
}

impl Schedule {
    pub(super) fn new(now: u64, chance: &mut Chance) -> Self {
        Self {
            state: State::Waits(now + chance.below(SPREAD)),
            failures: 0,
            hinted: None,
            hint_from: 0,
            idle_hints: 0,
            changes: Pace::new(CHANGES, CHANGES_EVERY),
            again: false,
        }
    }

    /// Since when the peer should have been asked, when it should.
    pub(super) fn due(&self, now: u64) -> Option<u64> {
        match self.state {
            State::Waits(at) if at <= now => Some(at),
            State::Waits(_) | State::Runs(_) => None,
        }
    }

    pub(super) fn next_wake(&self) -> Option<u64> {
        match self.state {
            State::Waits(at) => Some(at),
            State::Runs(since) => Some(since.saturating_add(LOST)),
        }
    }

    pub(super) fn is_lost(&self, now: u64) -> bool {
        matches!(self.state, State::Runs(since) if now >= since.saturating_add(LOST))
    }

    /// Whether the last pull got what it asked for.
    pub(super) fn is_well(&self) -> bool {
        self.failures == 0
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures
    }

    pub(super) fn started(&mut self, now: u64) {
        self.state = State::Runs(now);
        self.again = false;
    }

    /// The pull that runs will not be heard of.
    pub(super) fn interrupted(&mut self) {
        if let State::Runs(since) = self.state {
            self.state = State::Waits(since);
        }
    }

    pub(super) fn soon(&mut self, now: u64, chance: &mut Chance) {
        self.failures = 0;
        self.no_later_than(now + chance.below(SPREAD));
    }

    /// A hint claims that there is something new.
    pub(super) fn hinted(&mut self, sequence: u64, now: u64) {
        let sequence = sequence.min(SEQUENCE_MAX);
        if self.hinted.is_some_and(|known| known >= sequence) {
            return;
        }
        self.hinted = Some(sequence);
        if matches!(self.state, State::Runs(_)) {
            // The answer under way may have been made before the change.
            self.again = true;
        }
        self.no_later_than(now.max(self.hints_from()));
    }

    /// When a hint may next be followed, as what came of the last ones has it and as often as changes are asked for.
    fn hints_from(&self) -> u64 {
        self.hint_from.max(self.changes.next())
    }

    /// An answer that is being taken has news, and its node is nobody this one has to do with.
    pub(super) fn changed(&mut self, now: u64) {
        // One that is not hinted at is heard of when it is; then there may be no place, and none is taken.
        self.changes.take(now);
    }

    /// The peer answered: its advert has this sequence, and says `news` or what was known.
    pub(super) fn succeeded(&mut self, sequence: u64, news: bool, now: u64, chance: &mut Chance) {
        self.failures = 0;
        self.state = State::Waits(now + chance.around(INTERVAL));
        let is_true = news || self.hinted.is_some_and(|hinted| sequence >= hinted);
        self.judge_hint(is_true, now);
        self.hinted.take_if(|hinted| sequence >= *hinted);
        self.follow_hint();
    }

    pub(super) fn failed(&mut self, failure: &PullFailure, now: u64, chance: &mut Chance) {
        let (first, most) = match failure {
            PullFailure::NotHere => (NOT_HERE, NOT_HERE_MOST),
            PullFailure::NoAnswer | PullFailure::Refused(_) => (BACKOFF, BACKOFF_MOST),
        };
        let wait = first.saturating_mul(1 << self.failures.min(20)).min(most);
        self.failures = self.failures.saturating_add(1);
        self.state = State::Waits(now + chance.around(wait));
        self.judge_hint(false, now);
        self.follow_hint();
    }

    /// What came of the hint that was followed decides how soon the next one is.
    fn judge_hint(&mut self, is_true: bool, now: u64) {
        if self.hinted.is_none() {
            return;
        }
        if is_true {
            self.idle_hints = 0;
        }
        let gap = HINT_GAP.saturating_mul(1 << self.idle_hints.min(20));
        self.hint_from = now + gap.min(HINT_GAP_MOST);
        // Whether or not more came meanwhile: who sends many sends them while a pull runs, too.
        if !is_true {
            self.idle_hints = self.idle_hints.saturating_add(1);
        }
    }

    /// A hint that came while the pull ran is still to be followed; any other is settled.
    fn follow_hint(&mut self) {
        if std::mem::take(&mut self.again) && self.hinted.is_some() {
            self.no_later_than(self.hints_from());
        } else {
            self.hinted = None;
        }
    }

    /// Brings the next pull forward, unless one runs.
    pub(super) fn no_later_than(&mut self, at: u64) {
        if let State::Waits(then) = self.state {
            self.state = State::Waits(then.min(at));
        }
    }
}
