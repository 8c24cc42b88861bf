//! Joins streamed text into pieces that are worth an event: one event per token would flood the journal.

use std::time::Duration;

use tokio::time::Instant;

const CHARACTERS: usize = 64;
const INTERVAL: Duration = Duration::from_millis(100);

/// Collects text until a piece is ready.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    text: String,
    since: Option<Instant>,
}

impl Chunks {
    /// Adds `text`, received at `now`. Returns the piece to emit, if one is ready.
    pub(super) fn push(&mut self, text: &str, now: Instant) -> Option<String> {
        self.text.push_str(text);
        let since = *self.since.get_or_insert(now);
        if self.text.len() >= CHARACTERS || now.duration_since(since) >= INTERVAL { self.take() } else { None }
    }

    /// Returns the rest of the text, at the end.
    pub(super) fn take(&mut self) -> Option<String> {
        self.since = None;
        let text = std::mem::take(&mut self.text);
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_ready_by_size_or_by_time_and_no_text_is_lost() {
        let mut chunks = Chunks::default();
        let start = Instant::now();
        assert_eq!(chunks.push("Hello", start), None);
        assert_eq!(chunks.push(", ", start + Duration::from_millis(99)), None);
        assert_eq!(chunks.push("World", start + Duration::from_millis(100)), Some("Hello, World".to_owned()));
        let long = "x".repeat(64);
        assert_eq!(chunks.push(&long, start), Some(long.clone()));
        assert_eq!(chunks.push("rest", start), None);
        assert_eq!(chunks.take(), Some("rest".to_owned()));
        assert_eq!(chunks.take(), None);
    }
}
