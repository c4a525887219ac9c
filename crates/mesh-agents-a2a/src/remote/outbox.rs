//! What a run says, on its way to the engine: few events ahead of their reader, and few bytes.

use std::sync::Arc;

use mesh_agents_core::run::{ArtifactSource, RunEvent};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Events a run may be ahead of its reader, as for a harness: a burst does not wait for the store's
/// next commit, and a flood waits at the remote and not in our memory.
const EVENTS: usize = 256;
/// KiB they may hold together. One alone may be as large as an answer may be, and 256 of those are more than
/// a machine has.
const KIB: u32 = 4 * 1024;

/// The run's end.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    events: mpsc::Sender<Said>,
    room: Arc<Semaphore>,
}

/// An event, and the room it takes until it is read.
#[derive(Debug)]
struct Said {
    event: RunEvent,
    _room: OwnedSemaphorePermit,
}

/// Both ends.
pub(super) fn outbox() -> (Outbox, impl futures::Stream<Item = RunEvent> + Send) {
    let (events, said) = mpsc::channel::<Said>(EVENTS);
    let room = Arc::new(Semaphore::new(usize::try_from(KIB).unwrap_or(usize::MAX)));
    let read = futures::stream::unfold(said, |mut said| async move {
        Some((said.recv().await?.event, said))
    });
    (Outbox { events, room }, read)
}

impl Outbox {
    /// Says it, as soon as there is room. A reader that is gone is noticed by [`Self::closed`].
    pub(super) async fn say(&self, event: RunEvent) {
        let room = Arc::clone(&self.room).acquire_many_owned(kib(&event)).await;
        // It is never closed.
        let Ok(room) = room else { return };
        let _gone = self.events.send(Said { event, _room: room }).await;
    }

    /// Waits until nobody listens any more.
    pub(super) async fn closed(&self) {
        self.events.closed().await;
    }
}

/// How much of the room an event takes: the whole of it at the most.
fn kib(event: &RunEvent) -> u32 {
    let bytes = match event {
        RunEvent::Text(text) | RunEvent::Note { text, .. } | RunEvent::Question { text, .. } => {
            text.len()
        }
        RunEvent::Artifact {
            source: ArtifactSource::Text(text),
            ..
        } => text.len(),
        _ => 0,
    };
    u32::try_from(bytes / 1024).unwrap_or(KIB).min(KIB)
}

#[cfg(test)]
mod tests {
    use futures::{FutureExt as _, StreamExt as _};

    use super::*;

    fn text(bytes: usize) -> RunEvent {
        RunEvent::Text("x".repeat(bytes))
    }

    #[tokio::test]
    async fn what_is_large_waits_for_its_reader_and_nothing_is_too_large_to_be_said() {
        let (outbox, read) = outbox();
        let mut read = Box::pin(read);
        let mebibyte = 1024 * 1024;
        for _ in 0..4 {
            assert!(outbox.say(text(mebibyte)).now_or_never().is_some());
        }
        assert!(outbox.say(text(mebibyte)).now_or_never().is_none(), "full");
        assert!(outbox.say(text(10)).now_or_never().is_some(), "small ones");
        for _ in 0..5 {
            read.next().await.unwrap();
        }
        let larger_than_all = outbox.say(text(64 * mebibyte)).now_or_never();
        assert!(larger_than_all.is_some());
        assert!(outbox.say(text(mebibyte)).now_or_never().is_none());
        let said = read.next().await.unwrap();
        assert!(matches!(said, RunEvent::Text(text) if text.len() == 64 * mebibyte));
    }
}
