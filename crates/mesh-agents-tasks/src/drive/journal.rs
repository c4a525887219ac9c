//! What a run says, gathered into few writes.
//!
//! A harness streams token by token; one write a token would cost an `fsync` each and fill the log.
//! Events wait for [`TEXT_EVENT_DELAY`] at most, and neighbouring text becomes one event.

use mesh_agents_core::event::TaskEvent;
use mesh_agents_core::limits::{ARTIFACT_BYTES, TEXT_EVENT_BYTES, TEXT_EVENT_DELAY};
use tokio::time::Instant;

/// Events in one write at most; also bounds what a kill of the engine can lose of a stream.
const EVENTS: usize = 64;

/// Events that wait to be stored, and all text so far.
#[derive(Debug, Default)]
pub(super) struct Journal {
    waiting: Vec<TaskEvent>,
    waiting_text: usize,
    since: Option<Instant>,
    response: String,
}

impl Journal {
    /// The journal of a run that goes on with the text an earlier one streamed.
    pub(super) fn going_on(said: String) -> Self {
        Self {
            response: said,
            ..Self::default()
        }
    }

    /// Adds a piece of the answer.
    pub(super) fn text(&mut self, piece: &str) {
        if piece.is_empty() {
            return;
        }
        // The artifact is bounded; the log has its own limit.
        let room = usize::try_from(ARTIFACT_BYTES)
            .unwrap_or(usize::MAX)
            .saturating_sub(self.response.len());
        self.response
            .push_str(&piece[..piece.floor_char_boundary(room.min(piece.len()))]);
        self.waiting_text += piece.len();
        self.since.get_or_insert_with(Instant::now);
        if let Some(TaskEvent::Text { text }) = self.waiting.last_mut() {
            text.push_str(piece);
        } else {
            self.waiting.push(TaskEvent::Text {
                text: piece.to_owned(),
            });
        }
    }

    /// Adds any other event.
    pub(super) fn push(&mut self, event: TaskEvent) {
        self.since.get_or_insert_with(Instant::now);
        self.waiting.push(event);
    }

    /// Whether it is time to store, whatever the clock says.
    pub(super) fn is_full(&self) -> bool {
        self.waiting_text >= TEXT_EVENT_BYTES || self.waiting.len() >= EVENTS
    }

    /// When to store; far away while nothing waits.
    pub(super) fn due(&self) -> Instant {
        const NEVER: std::time::Duration = std::time::Duration::from_secs(86_400);
        self.since
            .map_or_else(|| Instant::now() + NEVER, |since| since + TEXT_EVENT_DELAY)
    }

    /// Takes what waits.
    pub(super) fn drain(&mut self) -> Vec<TaskEvent> {
        self.since = None;
        self.waiting_text = 0;
        std::mem::take(&mut self.waiting)
    }

    /// Takes all text so far.
    pub(super) fn take_response(&mut self) -> String {
        std::mem::take(&mut self.response)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_text_is_one_event_and_order_is_kept() {
        let mut journal = Journal::default();
        for piece in ["a", "b"] {
            journal.text(piece);
        }
        journal.push(TaskEvent::Usage { used: 1, size: 2 });
        journal.text("c");
        assert!(
            journal.due() <= Instant::now() + TEXT_EVENT_DELAY,
            "waiting text is due soon"
        );
        let text = |text: &str| TaskEvent::Text { text: text.into() };
        assert_eq!(
            journal.drain(),
            [text("ab"), TaskEvent::Usage { used: 1, size: 2 }, text("c")]
        );
        assert!(journal.due() > Instant::now() + TEXT_EVENT_DELAY);
        assert_eq!(journal.take_response(), "abc");
    }
}
