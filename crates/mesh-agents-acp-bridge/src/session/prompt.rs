//! The text of a prompt: the agent's brief, where results go, and the caller's message.

use std::fmt::Write as _;

use mesh_agents_core::agent::Delivery;
use mesh_agents_core::run::RunSpec;

/// The prompt of a run. A session that was taken up has had its brief; the directory for results is
/// named in every prompt, since another task's is another one.
pub(super) fn text(spec: &RunSpec, resumed: bool) -> String {
    let mut text = String::new();
    let brief = match spec.agent.instructions.delivery {
        Delivery::FirstPrompt => !resumed,
        Delivery::EveryPrompt => true,
        Delivery::None => false,
    };
    let instructions = spec.agent.instructions.text.trim();
    if brief && !instructions.is_empty() {
        text.push_str(instructions);
        text.push_str("\n\n---\n\n");
    }
    text.push_str(&frame(spec));
    text.push_str("\n---\n\n");
    text.push_str(&spec.prompt);
    text
}

fn frame(spec: &RunSpec) -> String {
    let mut frame = format!(
        "Results: every file written to the directory {} (also in the variable TASK_ARTIFACTS_DIR) becomes a result of this task; other files do not. If it holds no summary.md at the end, the final answer becomes it.\n",
        spec.dirs.artifacts().display()
    );
    if !spec.agent.require.is_empty() {
        let names: Vec<_> = spec.agent.require.iter().map(AsRef::as_ref).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            frame,
            "The task counts as done only if that directory holds: {}.",
            names.join(", ")
        );
    }
    frame
}
