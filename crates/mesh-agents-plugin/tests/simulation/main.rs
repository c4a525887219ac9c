//! Nodes of a mesh in one thread, whole: they publish, hint and pull, let each other in, send tasks, follow
//! and cancel them; messages are lost, doubled, late and out of order; the net falls apart, engines and
//! hosts are killed and start again with what was stored, wall clocks jump by an hour or by days, everybody
//! sleeps for 73 hours, messages wait for nodes that are away, more than may; lists are rewritten and broken.
//! The last node lies while the storm lasts, and somebody tries to read what is another's.
//!
//! Real are: adverts, directory, routing, hints, the list and its last good reading, the policy function, the
//! transition of tasks on both sides, the mirror; at the caller, too, which message waits for its node, for how
//! long, and when it is given up, which of what waits is started, what becomes of a run whose engine was
//! killed, and of a wish to cancel that nobody could be told (`mesh_agents_tasks::decide`). Models are: the net,
//! a store that is durable at once, the SQL key of a submit and the SQL count of what waits for a node, the
//! order in which an engine calls the rules above, the run of an agent, and what an owner resumes after a kill.
//! It is in this crate because no other may use `mesh`, `a2a` and `tasks`.
//!
//! Held to, at every step: nobody is let in whom the owner's list did not allow within the last second; nobody
//! gets at another's task or gives work to an agent that is not offered; one message is one task; one attempt
//! is started once, and a new one only after a kill; nothing is logged after an end; the text here is the
//! beginning of the text there; what has not left is nowhere, and no more wait for a node than may. At the
//! end: everybody knows everything; every task is over here as it is there, with the same text and the same
//! files, unless its owner denied it, its message was given up after 72 hours, unsent or without a word of what its
//! owner made of it, or the wish to cancel it could not be told for as long.
//!
//! A failure prints its seed and how to play it again. A thousand seeds must have seen all that is rare
//! (`counts`). `breaks.toml` lists ways of breaking the code on purpose, and the first seed that saw each;
//! `scripts/simulate-mesh.sh --break` plays them again.
#![expect(clippy::unwrap_used, reason = "a test ends where its setting fails")]

mod caller;
mod counts;
mod node;
mod owner;
mod random;
mod truth;
mod world;

use std::ops::Range;

use counts::{Counts, Rare};
use world::{CALM, World};

/// Names the seeds: `FROM..TO`, without `TO` itself. `scripts/simulate-mesh.sh` sets it.
const SEEDS_VARIABLE: &str = "MESH_SIMULATION_SEEDS";
/// Seeds of each test when none are named; CI names 1,000 in all.
const SEEDS: u64 = 25;
/// So many seeds in all, and each part of them has seen everything that is rare.
const ENOUGH: u64 = 1_000;

fn run(seed: u64) -> Counts {
    let mut world = World::new(seed);
    while world.mono < world.storm_ends {
        world.weather();
        world.check();
    }
    world.calm();
    while world.mono < world.storm_ends + CALM {
        world.still();
    }
    world.check_end();
    world.counts
}

/// Says which seed it was, when a run fails.
struct Seed(u64);

impl Drop for Seed {
    #[expect(
        clippy::print_stderr,
        reason = "the seed is what a failed run is played again with"
    )]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let (seed, next) = (self.0, self.0 + 1);
            eprintln!("seed {seed} failed; again: scripts/simulate-mesh.sh {seed}..{next}");
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the script hands the seeds to a test, which has no arguments"
)]
fn seeds() -> Range<u64> {
    let Ok(named) = std::env::var(SEEDS_VARIABLE) else {
        return 0..4 * SEEDS;
    };
    let (from, to) = named.split_once("..").unwrap();
    from.parse().unwrap()..to.parse().unwrap()
}

/// One of four parts of the seeds, since tests run beside each other.
#[expect(
    clippy::print_stderr,
    reason = "what was played is a figure people ask for"
)]
fn quarter(n: u64) {
    let mut sum = Counts::default();
    let seeds = seeds();
    for seed in seeds.clone().filter(|seed| seed % 4 == n) {
        let _named = Seed(seed);
        let counts = run(seed);
        sum.add(&counts);
    }
    eprintln!("{seeds:?}, part {n}: {sum:?}");
    let count = seeds.end - seeds.start;
    if count >= ENOUGH {
        for rare in Rare::ALL {
            assert!(sum.rare.contains_key(rare), "{rare:?} never was: {sum:?}");
        }
    }
    if count >= 40 {
        // It is about something: work is done, and somebody is turned away.
        assert!(
            sum.completed > count / 4 && sum.refused > count / 4,
            "{sum:?}"
        );
    }
}

#[test]
fn nothing_is_lost_doubled_or_allowed_to_the_wrong_part_1() {
    quarter(0);
}

#[test]
fn nothing_is_lost_doubled_or_allowed_to_the_wrong_part_2() {
    quarter(1);
}

#[test]
fn nothing_is_lost_doubled_or_allowed_to_the_wrong_part_3() {
    quarter(2);
}

#[test]
fn nothing_is_lost_doubled_or_allowed_to_the_wrong_part_4() {
    quarter(3);
}

#[test]
fn one_seed_is_one_story() {
    let story = |seed| {
        let mut world = World::new(seed);
        let mut story = Vec::new();
        for _ in 0..60 {
            world.weather();
            let known: Vec<_> = world.nodes.iter().map(|node| node.seen.clone()).collect();
            story.push((world.mono, world.counts.tasks, known));
        }
        story
    };
    assert_eq!(story(1), story(1));
    assert_ne!(story(1), story(2));
}
