//! `type = "remote"`: nothing of the agent runs on this machine, so the keys about how a harness
//! runs here decide nothing.

use mesh_agents_core::agent::RuntimeKind;

use crate::code;
use crate::report::Report;
use crate::runtime_toml::RuntimeFile;

/// The keys that decide how a harness is started, what it is told and what it may do.
const OF_A_HARNESS: &[&str] = &[
    "runtime.command",
    "runtime.args",
    "runtime.model",
    "runtime.config",
    "runtime.inherit_env",
    "runtime.env",
    "runtime.workspace",
    "instructions.file",
    "instructions.delivery",
    "tools.mesh",
    "policy.approval",
    "policy.filesystem",
    "policy.read",
    "policy.write",
    "policy.network",
];

/// Warns of every key that decides nothing about a remote agent.
pub(super) fn without_effect(file: &RuntimeFile<'_>, report: &mut Report<'_>) {
    if file.runtime.kind != Some(RuntimeKind::Remote) {
        return;
    }
    for key in &file.written {
        if OF_A_HARNESS.contains(&key.value.as_str()) {
            report.warning(
                code::NO_EFFECT,
                Some(key.span.clone()),
                &key.value,
                "has no effect when type is \"remote\": nothing of the agent runs on this machine",
                "remove it; what the agent works with and may do is decided where it runs",
            );
        }
    }
}
