//! The words every test here uses.

pub(crate) use std::sync::Arc;
pub(crate) use std::sync::atomic::Ordering;
pub(crate) use std::time::Duration;

pub(crate) use mesh_agents_core::agent::testing::definition;
pub(crate) use mesh_agents_core::ids::{ArtifactId, TaskId};
pub(crate) use mesh_agents_core::json::JsonText;
pub(crate) use mesh_agents_core::policy::Caller;
pub(crate) use mesh_agents_core::principal::Principal;
pub(crate) use mesh_agents_core::refusal::Code;
pub(crate) use mesh_agents_core::run::{
    Answer, ArtifactSource, Outcome, ProcessRef, QuestionKind, RunEvent,
};
pub(crate) use mesh_agents_core::task::{Failure, Role, TaskState};
pub(crate) use mesh_agents_tasks::{ListTasks, Load, Minted};

pub(crate) use super::fake::{Bench, PATIENCE, agents, killed, submit, unique};

/// The person at this machine.
pub(crate) fn local() -> Caller {
    Caller::local()
}

/// Has the clock of runs under way show so many seconds more, whatever the machine does meanwhile.
pub(crate) async fn jump(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}
