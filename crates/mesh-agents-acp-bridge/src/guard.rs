//! The guard: a small process between the engine and one harness (DESIGN §5).
//!
//! ```text
//! engine ──control──► agents harness guard ──► agents harness exec ══exec══► the harness
//!    └─────────────── stdin, stdout, stderr ────────────────────────────────────┘
//! ```
//!
//! - The **engine** holds one end of a socket pair. [`client`] is its side.
//! - The **guard** ([`main`]) holds the other as its stdin, is the parent of the harness and, on
//!   Linux, the subreaper of everything below. When the socket closes or says so, it ends the whole
//!   tree. It has one thread and no runtime, so it stays small and there is little that can fail;
//!   only for a run with a network of its own a second one leads connections out of it ([`forward`]).
//! - The **stage** ([`stage`]) becomes the harness: it moves into a network of its own where it is
//!   to have one, ties its life to the guard's, puts on the run's mark, confines itself, and execs.
//!
//! File descriptors travel over the sockets ([`fds`]); everything else is one JSON value per line
//! ([`wire`]).

pub(crate) mod client;
mod fds;
mod forward;
mod main;
mod stage;
pub(crate) mod wire;

pub use main::guard_main;
pub use stage::{probe_main, stage_main};
