//! The task engine and its SQLite store: admit, run, persist, recover, expire.
