//! The task engine and its SQLite store: admit, run, persist, recover, expire (DESIGN §4).
//!
//! The unit of truth is an append-only event log. One transaction appends events and updates the
//! task row; then waiters are woken and read on. What is legal is decided by
//! [`mesh_agents_core::transition`]; what a run is, is hidden behind
//! [`mesh_agents_core::run::Runner`]. Nothing here knows ACP, MCP, HTTP or where agents are defined.
//!
//! Reading order: [`engine`] (the handle), `admit` (a message comes in), `answer` (to a question),
//! `schedule` (who runs next), `drive` (one run), `follow` (reading along), `recover` (after a kill),
//! `park` (asking without a run), [`push`] (telling others), `facts` (of the mesh), `store` (the database).

mod admit;
mod answer;
pub mod api;
mod backup;
mod blobs;
mod drive;
pub mod engine;
mod facts;
mod follow;
mod mint;
mod offline;
mod park;
mod prompt;
pub mod push;
mod recover;
mod retention;
mod schedule;
mod store;
mod wake;

/// What the engine decides from values alone, for a simulation that drives the rules without it.
pub mod decide {
    pub use crate::offline::rule::{
        Admitted, LOOK, Undelivered, admit, has_waited, holds, look, patience, still,
    };
    pub use crate::recover::plan::{AtStart, Cut, CutBy, Past, after, at_start, goes_on};
    pub use crate::schedule::{Room, Slots};
}

pub use api::{
    Agents, EngineConfig, Grants, ListTasks, Load, Minted, OpenError, StoredEvent, Submit,
    TaskPage, TaskView,
};
pub use backup::{BackedUp, Checked, check};
pub use engine::TaskEngine;
pub use facts::{Fact, FactKind};
pub use follow::Follow;
pub use push::{PushDelivery, PushFailure, PushFailureKind, PushPage};
pub use retention::{Prune, Pruned, Retention};
pub use store::{StoreError, Trouble};
