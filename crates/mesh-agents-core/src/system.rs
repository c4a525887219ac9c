//! What to say where this system lacks what a run or an engine needs.

/// Why nothing runs on a system that is no Unix, for a person. Each crate that needs a Unix says it in its one
/// module for other systems.
pub const NO_RUNS: &str = "on Windows there is no guard of a run by a job object yet, and no local socket of an engine; run agents on Linux or macOS";

/// What works there nevertheless.
pub const FILES_WORK: &str = "What reads and writes files works here: agents init, validate, list, show, enable, disable, schema, settings, plugin-manifest, peers allow, peers deny.";
