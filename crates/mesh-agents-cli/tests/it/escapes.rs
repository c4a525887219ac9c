//! What a caller's task tries with a shell, and does not get. Each way out of a run is a row of a
//! table ([`table`]); the whole table is tried in one task of a confined agent, by the real engine,
//! beside secrets, listeners and processes that tell when they were reached ([`scene`]). The same
//! rows are tried by an agent that nothing confines: one that fails there would show nothing.

mod scene;
mod table;

use std::collections::BTreeMap;

use scene::{Confined, Scene};
use table::{Control, Needs, Probe, probes};

/// Tries every row that `confined` is to hold, and gives those that got what they wanted, with what they said.
fn tried(confined: Confined) -> (usize, BTreeMap<&'static str, String>) {
    let all = probes();
    let tried: Vec<&Probe> = all
        .iter()
        .filter(|probe| match (confined, probe.needs) {
            (Confined::Not, _) => !matches!(probe.control, Control::Never(_)),
            // Held by what confines the network, so not held here; README says so.
            (Confined::Files, Needs::Network) => false,
            _ => true,
        })
        .collect();
    let scene = Scene::set(confined);
    let mut said = scene.perform(&tried);
    for probe in &tried {
        if !scene.has_got(probe, &said[probe.name]) {
            said.remove(probe.name);
        }
    }
    scene.stands();
    (tried.len(), said)
}

/// All of them are stopped.
#[expect(clippy::print_stderr, reason = "the figures are the result")]
fn holds(confined: Confined) {
    let (tried, got) = tried(confined);
    eprintln!("{confined:?}: {tried} tried, {} stopped", tried - got.len());
    assert!(
        got.is_empty(),
        "{confined:?}: of {tried} these got out: {got:#?}"
    );
}

#[test]
fn forty_ways_out_of_a_run_with_a_loopback_of_its_own() {
    holds(Confined::Loopback);
}

#[test]
fn forty_ways_out_of_a_run_without_a_network() {
    holds(Confined::NoNetwork);
}

#[test]
fn the_ways_out_through_files_and_processes_of_a_run_in_its_workspace() {
    holds(Confined::Files);
}

#[test]
fn without_confinement_the_same_ways_lead_out() {
    let (_, got) = tried(Confined::Not);
    let expected = probes()
        .into_iter()
        .filter(|probe| probe.control.leads_out());
    let held: Vec<&str> = expected
        .map(|probe| probe.name)
        .filter(|name| !got.contains_key(name))
        .collect();
    assert!(
        held.is_empty(),
        "these show nothing when they are stopped: {held:#?}"
    );
}

#[test]
fn the_table_has_forty_different_rows_and_most_can_fail() {
    let all = probes();
    let names: std::collections::BTreeSet<_> = all.iter().map(|probe| probe.name).collect();
    assert_eq!(names.len(), all.len());
    let network = all.iter().filter(|probe| probe.needs == Needs::Network);
    assert!(all.len() - network.count() >= 40, "{}", all.len());
    let never: Vec<_> = all
        .iter()
        .filter_map(|probe| match probe.control {
            Control::Never(why) => Some((probe.name, why)),
            _ => None,
        })
        .collect();
    assert!(never.len() * 5 <= all.len(), "{never:#?}");
}
