//! `acp_lines` under libFuzzer.
#![no_main]
#![expect(
    dead_code,
    reason = "each program runs one of the targets and takes all of them"
)]

#[path = "../../../crates/mesh-agents-cli/tests/fuzz/grammar.rs"]
mod grammar;
#[path = "../../../crates/mesh-agents-cli/tests/fuzz/targets.rs"]
mod targets;

libfuzzer_sys::fuzz_target!(|data: &[u8]| targets::acp_lines::run(data));
