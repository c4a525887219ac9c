//! Whole runs against the scripted ACP agent: real processes, real pipes, a real guard.

mod command;
mod confined;
mod ends;
mod happy;
mod places;
mod support;
mod talk;
mod trees;
