//! Agent directories on disk, turned into a validated, immutable, hot-reloaded snapshot.
