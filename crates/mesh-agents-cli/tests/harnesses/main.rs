//! Real harnesses under `agents serve`, with a scripted model: what only the real programs can show.
//!
//! `scripts/test-opencode.sh` and `scripts/test-goose.sh` install the programs and set OPENCODE_BIN and GOOSE_BIN; without
//! them every test here says that it is skipped.
#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking, its helpers too"
)]

mod asks;
mod cancel;
mod confined;
mod machine;
mod resume;
mod review;
mod tools;

/// One test for each thing the harness `$name` has to show.
macro_rules! tests {
    ($name:ident: $($test:ident is $path:path),+ $(,)?) => {
        mod $name {
            $(
                #[tokio::test]
                async fn $test() {
                    if let Some(harness) = crate::machine::Harness::find(stringify!($name)) {
                        $path(&harness).await;
                    }
                }
            )+
        }
    };
}

tests! { opencode:
    what_it_reads_in_the_repository_reaches_the_artifacts is crate::review::arrives,
    without_a_model_the_task_fails_and_names_both_ways_out is crate::review::without_a_model,
    its_shell_reaches_nothing_that_was_not_granted is crate::confined::holds,
    on_its_own_loopback_its_shell_reaches_no_port_of_the_owner is crate::confined::holds_on_its_own_loopback,
    it_finds_another_agent_gives_it_work_and_sees_only_that is crate::tools::delegate,
    on_its_own_loopback_it_has_its_model_and_our_tools is crate::tools::delegate_on_its_own_loopback,
    a_cancel_ends_every_process_while_the_model_is_silent is crate::cancel::ends_all,
    what_it_may_not_do_by_itself_it_asks_and_the_answer_decides is crate::asks::reads_a_secret,
    a_task_of_a_killed_node_goes_on_in_its_session is crate::resume::after_a_kill,
    tasks_of_one_context_are_one_conversation is crate::resume::next_task,
}

tests! { goose:
    what_it_reads_in_the_repository_reaches_the_artifacts is crate::review::arrives,
    its_shell_reaches_nothing_that_was_not_granted is crate::confined::holds,
    on_its_own_loopback_its_shell_reaches_no_port_of_the_owner is crate::confined::holds_on_its_own_loopback,
    it_finds_another_agent_gives_it_work_and_sees_only_that is crate::tools::delegate,
    on_its_own_loopback_it_has_its_model_and_our_tools is crate::tools::delegate_on_its_own_loopback,
    a_cancel_ends_every_process_while_the_model_is_silent is crate::cancel::ends_all,
    what_it_may_not_do_by_itself_it_asks_and_the_answer_decides is crate::asks::runs_a_command,
    a_task_of_a_killed_node_goes_on_in_its_session is crate::resume::after_a_kill,
    tasks_of_one_context_are_one_conversation is crate::resume::next_task,
}
