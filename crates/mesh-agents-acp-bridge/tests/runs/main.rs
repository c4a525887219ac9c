//! Whole runs against the scripted ACP agent: real processes, real pipes, a real guard.

mod ends;
mod happy;
mod support;
