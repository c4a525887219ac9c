//! Local sockets: the engine's own, and those by which a host hands out the streams of a mesh.
//!
//! One module for each kind of system, with the same names; nothing else in the crate is conditional. Where there
//! are none, their types have no values: what would use a socket compiles, and opening one says what is missing.

#[cfg(unix)]
mod unix;
#[cfg(unix)]
pub use unix::*;

#[cfg(not(unix))]
mod absent;
#[cfg(not(unix))]
pub use absent::*;
