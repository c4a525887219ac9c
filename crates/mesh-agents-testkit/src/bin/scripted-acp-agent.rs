//! Placeholder until its helper lands.
fn main() {}
