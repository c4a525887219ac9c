//! The binary `agents`: flags, wiring, start, stop, error report.

fn main() {}
