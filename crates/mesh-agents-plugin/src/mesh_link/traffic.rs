//! What went over the mesh since the engine's start, counted where it is read and written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

/// What went over the mesh since the engine's start. The bytes are ours: those of QUIC around them, and what the
/// hosts say to each other, are not in it; nor are pings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Streams to peers.
    pub streams_opened: u64,
    /// Streams from peers.
    pub streams_taken: u64,
    /// Bytes written on both.
    pub bytes_sent: u64,
    /// Bytes read on both.
    pub bytes_received: u64,
    /// Hints sent, each to all peers that are directly connected.
    pub hints_sent: u64,
    /// Hints received.
    pub hints_received: u64,
    /// Bytes of both, once each.
    pub hint_bytes: u64,
}

/// Counts it.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    streams_opened: AtomicU64,
    streams_taken: AtomicU64,
    bytes_sent: AtomicU64,
    bytes_received: AtomicU64,
    hints_sent: AtomicU64,
    hints_received: AtomicU64,
    hint_bytes: AtomicU64,
}

impl Counts {
    pub(super) fn opened(&self) {
        add(&self.0.streams_opened, 1);
    }

    /// A stream of a peer, of which so much was read already.
    pub(super) fn taken(&self, head: usize) {
        add(&self.0.streams_taken, 1);
        self.received(head);
    }

    pub(super) fn sent(&self, bytes: usize) {
        add(&self.0.bytes_sent, bytes);
    }

    pub(super) fn received(&self, bytes: usize) {
        add(&self.0.bytes_received, bytes);
    }

    pub(super) fn hint_sent(&self, bytes: usize) {
        add(&self.0.hints_sent, 1);
        add(&self.0.hint_bytes, bytes);
    }

    pub(super) fn hint_received(&self, bytes: usize) {
        add(&self.0.hints_received, 1);
        add(&self.0.hint_bytes, bytes);
    }

    /// So far.
    pub(super) fn traffic(&self) -> Traffic {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.0;
        Traffic {
            streams_opened: read(&counters.streams_opened),
            streams_taken: read(&counters.streams_taken),
            bytes_sent: read(&counters.bytes_sent),
            bytes_received: read(&counters.bytes_received),
            hints_sent: read(&counters.hints_sent),
            hints_received: read(&counters.hints_received),
            hint_bytes: read(&counters.hint_bytes),
        }
    }
}

fn add(counter: &AtomicU64, n: usize) {
    counter.fetch_add(u64::try_from(n).unwrap_or(u64::MAX), Ordering::Relaxed);
}
