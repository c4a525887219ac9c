//! How often things happened, so that nobody believes a storm that never blew.

use std::collections::BTreeMap;

/// What happened, and how often.
#[derive(Default, Debug, Clone)]
pub(crate) struct Counts {
    pub(crate) tasks: u64,
    pub(crate) completed: u64,
    pub(crate) canceled: u64,
    pub(crate) refused: u64,
    pub(crate) thefts: u64,
    pub(crate) rare: BTreeMap<Rare, u64>,
}

impl Counts {
    /// One more of these.
    pub(crate) fn saw(&mut self, what: Rare) {
        *self.rare.entry(what).or_default() += 1;
    }

    pub(crate) fn add(&mut self, more: &Self) {
        self.tasks += more.tasks;
        self.completed += more.completed;
        self.canceled += more.canceled;
        self.refused += more.refused;
        self.thefts += more.thefts;
        for (what, count) in &more.rare {
            *self.rare.entry(*what).or_default() += count;
        }
    }
}

/// Declares what is rare, and the list of it.
macro_rules! rare {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What a thousand seeds must have seen, each of it.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub(crate) enum Rare {
            $($(#[$doc])* $name,)*
        }

        impl Rare {
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];
        }
    };
}

rare! {
    /// A message waits for a node that is away …
    Queued,
    /// … and leaves when it is there;
    Delivered,
    /// as many wait for one node as may, and one more is refused;
    Full,
    /// one has waited 72 hours and is given up;
    GivenUp,
    /// one is canceled before it left;
    Unsent,
    /// one waits over a restart of its engine.
    WaitedOver,
    /// Everybody sleeps for 73 hours.
    Slept,
    /// A clock goes on by 73 hours, or back.
    Days,
    /// A wish to cancel outlives an engine …
    WishKept,
    /// … and is given up after 72 hours.
    WishGivenUp,
    /// A question outlives an engine …
    Parked,
    /// … and is followed while it is open …
    StillOpen,
    /// … or is answered before its task is followed again.
    AnsweredLate,
    /// An engine is killed under a run that knows its task there …
    Resumed,
    /// … or does not know it yet, and sends its message again.
    Resent,
    /// A run that waits for a way to its node is told of one.
    Back,
    /// The same, after its engine was killed: nobody knows whether its message arrived.
    Unsure,
    /// A message is sent again until it has waited 72 hours, and nobody says what became of it.
    NeverNamed,
    /// A stream tells an event twice.
    Twice,
    /// A new list ends streams.
    Cut,
    /// A list has a mistake, and the last good one stays.
    BrokenList,
    /// A host comes back under another id.
    NewPeer,
    /// An answer to a pull is bent on its way.
    Bent,
    /// An answer to a pull is an old one.
    Replayed,
    /// Somebody says "not modified" of an advert it was not asked about.
    Unasked,
    /// A message is lost.
    Lost,
    /// A message comes twice.
    Doubled,
    /// The net is parted.
    Parted,
}
