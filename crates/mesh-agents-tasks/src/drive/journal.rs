//! What a run says, gathered into few writes.
//!
//! A harness streams token by token; one write a token would cost an `fsync` each and fill the log.
//! So there is one write in [`TEXT_EVENT_DELAY`], and neighbouring text becomes one event. What comes
//! after a silence that long waits for nothing: a reader sees the first word at once. One write may come
//! early besides: what another node gathered already comes at that pace, now a little sooner and now a
//! little later, and is not gathered a second time.

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
    /// When what waits is to be stored.
    due: Option<Instant>,
    /// When the pace owes nothing to the writes so far.
    even_at: Option<Instant>,
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
        self.wait();
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
        self.wait();
        self.waiting.push(event);
    }

    /// Something waits to be stored.
    fn wait(&mut self) {
        let now = Instant::now();
        let early = |even_at: Instant| even_at.checked_sub(TEXT_EVENT_DELAY);
        let earliest = self.even_at.and_then(early).unwrap_or(now);
        self.due.get_or_insert(earliest.max(now));
    }

    /// Whether it is time to store, whatever the clock says.
    pub(super) fn is_full(&self) -> bool {
        self.waiting_text >= TEXT_EVENT_BYTES || self.waiting.len() >= EVENTS
    }

    /// When to store; far away while nothing waits.
    pub(super) fn due(&self) -> Instant {
        const NEVER: std::time::Duration = std::time::Duration::from_secs(86_400);
        self.due.unwrap_or_else(|| Instant::now() + NEVER)
    }

    /// Takes what waits.
    pub(super) fn drain(&mut self) -> Vec<TaskEvent> {
        if self.due.take().is_some() {
            let now = Instant::now();
            let from = self.even_at.map_or(now, |even_at| even_at.max(now));
            self.even_at = Some(from + TEXT_EVENT_DELAY);
        }
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

    #[tokio::test(start_paused = true)]
    async fn what_comes_after_a_silence_waits_for_nothing_and_what_follows_is_gathered() {
        let mut journal = Journal::default();
        let begun = Instant::now();
        for early in ["first", "second"] {
            journal.text(early);
            assert_eq!(journal.due(), Instant::now(), "{early}");
            journal.drain();
            tokio::time::advance(TEXT_EVENT_DELAY / 4).await;
        }
        journal.text("third");
        tokio::time::advance(TEXT_EVENT_DELAY / 4).await;
        journal.text(" fourth");
        assert_eq!(journal.due(), begun + TEXT_EVENT_DELAY);
        assert_eq!(journal.drain().len(), 1);
        tokio::time::advance(TEXT_EVENT_DELAY * 2).await;
        journal.text("fifth");
        assert_eq!(journal.due(), Instant::now());
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_gathered_elsewhere_waits_for_nothing_though_it_comes_unevenly() {
        let mut journal = Journal::default();
        for late in [0, 30, 0, 60, 10, 0, 90, 0] {
            let late = std::time::Duration::from_millis(late);
            tokio::time::advance(late).await;
            journal.text("word");
            assert_eq!(journal.due(), Instant::now(), "{late:?} late");
            journal.drain();
            tokio::time::advance(TEXT_EVENT_DELAY - late).await;
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_of_tokens_is_ten_writes_a_second() {
        let mut journal = Journal::default();
        let mut writes = 0;
        for _ in 0..1_000 {
            journal.text("token ");
            if journal.due() <= Instant::now() {
                journal.drain();
                writes += 1;
            }
            tokio::time::advance(TEXT_EVENT_DELAY / 10).await;
        }
        // One more at the beginning.
        assert_eq!(writes, 101);
    }

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
