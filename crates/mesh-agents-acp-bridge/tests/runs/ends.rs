//! How runs end.
