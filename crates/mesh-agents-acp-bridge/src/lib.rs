//! A Runner that drives one ACP harness process under a guard.

#![cfg_attr(
    not(test),
    expect(
        dead_code,
        reason = "the runner that calls the planner is the next step"
    )
)]

mod command_harness;
mod model;
mod plan;
mod preset;

pub use command_harness::command_main;
