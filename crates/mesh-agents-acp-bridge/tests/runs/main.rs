//! Whole runs against the scripted ACP agent: real processes, real pipes, a real guard.

mod command;
mod ends;
mod happy;
mod support;
