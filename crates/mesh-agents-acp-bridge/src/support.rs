//! Whether a machine confines harnesses: the answer, on every system.

/// Whether this machine can confine a harness.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConfinementSupport {
    /// Yes, by Landlock.
    Landlock,
    /// No; the reason, for a person.
    Missing(String),
}
