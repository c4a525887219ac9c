//! The engine as a process: one per data directory, started on demand, gone when nobody needs it.

pub(crate) mod launch;
pub(crate) mod lock;
pub(crate) mod node;
