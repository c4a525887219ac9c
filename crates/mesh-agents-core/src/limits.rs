//! The limits of the system in one place, each with the reason for its size (DESIGN §4).

use std::time::Duration;

/// Longest message a caller may send, in bytes of UTF-8. Long enough for any brief; inputs larger
/// than this belong in a file of the workspace.
pub const MESSAGE_BYTES: usize = 1024 * 1024;
/// Largest artifact kept from a run, in bytes. Larger results are not read back through a tool.
pub const ARTIFACT_BYTES: u64 = 16 * 1024 * 1024;
/// Most artifacts kept from one task; a run that leaves more is a mistake such as a build tree.
pub const ARTIFACTS_PER_TASK: usize = 256;
/// Most events in one task's log, after which the task fails with `too_much_output`.
pub const EVENTS_PER_TASK: u64 = 100_000;
/// Most bytes of event bodies in one task's log, after which the task fails with `too_much_output`.
pub const EVENT_BYTES_PER_TASK: u64 = 64 * 1024 * 1024;
/// Streamed text is stored when this much has gathered …
pub const TEXT_EVENT_BYTES: usize = 4 * 1024;
/// … or this long after what was stored before it, so that a reader sees the first piece at once and the
/// log stays small.
pub const TEXT_EVENT_DELAY: Duration = Duration::from_millis(100);
/// Largest encoded result of a tool call on any surface, in bytes: the host corrupts its plugin
/// connection above 32 KiB (host-contract T1); 4 KiB are left for the envelope.
pub const RESULT_BYTES: usize = 28 * 1024;
/// Largest Agent Card, in bytes, so that it fits one result with room for what surrounds it.
pub const CARD_BYTES: usize = 24 * 1024;
/// Deepest chain of tasks that start tasks, counted from the caller's own (depth 0).
pub const TASK_DEPTH: u8 = 3;
/// Days an ended task is kept, unless set otherwise: long enough to come back to last month's work.
pub const RETENTION_DAYS: u32 = 30;
/// Ended tasks kept, unless set otherwise: with their logs a database of some tens of MiB.
pub const RETENTION_TASKS: u64 = 10_000;
/// Bytes of artifacts kept, unless set otherwise: a small share of a developer's disk.
pub const RETENTION_BYTES: u64 = 10 * 1024 * 1024 * 1024;
/// Days the key of a submit is known, its task being kept or not: no client repeats later.
pub const KEY_DAYS: u32 = 90;
/// Longest a message waits for the node it is for. A laptop that is closed over a weekend is back by then,
/// and older wishes are mostly no wishes any more.
pub const OFFLINE_WAIT: Duration = Duration::from_secs(72 * 60 * 60);
/// Most messages that wait for one node: it works through as many in an hour or so once it is back.
pub const OFFLINE_PER_NODE: u64 = 100;
/// Longest park of a call on our own servers: MCP sessions end at 300 s (host-contract T4).
pub const WAIT_SECONDS: u64 = 240;
/// Longest park of a call through the mesh-llm host, which kills the plugin at 30 s (host-contract T3).
pub const WAIT_SECONDS_HOST: u64 = 25;
/// Most times one task goes on in its session after its engine was killed. Engines are killed by
/// power cuts and updates, which a long task may meet more often than `runtime.max_attempts`; but a
/// task whose own work brings the machine down must not do so for ever.
pub const RESUMES_PER_TASK: u32 = 10;
