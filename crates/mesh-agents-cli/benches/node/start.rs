//! From the start of the engine's process to its first answer.

use std::time::Duration;

use mesh_agents_testkit::bench::{Row, Samples};

use super::place::Place;

/// Starts.
const STARTS: usize = 30;

pub(crate) fn rows() {
    let place = Place::new();
    for id in ["reviewer", "tester", "writer"] {
        place.agent(id).write().unwrap();
    }
    let bare = Samples::taken(STARTS, |_| {
        place.agents(&["--version"]).status().unwrap();
    });
    let again = (0..STARTS).map(|_| place.engine().1).collect();
    let fresh = (0..STARTS).map(|_| Place::new().engine().1).collect();
    for (what, times) in [
        ("a data directory that is there", again),
        ("a new one", fresh),
    ] {
        let times = Samples::of(times);
        Row::new(
            format!("start of the engine to its first answer, {what}"),
            &times,
        )
        .baseline(
            format!("agents --version: {bare}"),
            times.p50().as_secs_f64() / bare.p50().as_secs_f64(),
        )
        .budget("≤ 150 ms", times.p50() <= Duration::from_millis(150))
        .print();
    }
}
