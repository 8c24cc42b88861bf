//! Puts streamed text together into pieces worth an event: one per token would flood the journal.

use std::time::Duration;

use tokio::time::Instant;

const CHARACTERS: usize = 64;
const INTERVAL: Duration = Duration::from_millis(100);

/// Gathers text and says when a piece is ready.
#[derive(Debug, Default)]
pub(super) struct Chunks {
    held: String,
    since: Option<Instant>,
}

impl Chunks {
    /// Takes `text` that came at `now`; answers the piece to emit, if one is ready.
    pub(super) fn push(&mut self, text: &str, now: Instant) -> Option<String> {
        self.held.push_str(text);
        let since = *self.since.get_or_insert(now);
        if self.held.len() >= CHARACTERS || now.duration_since(since) >= INTERVAL { self.take() } else { None }
    }

    /// What is still held, at the end.
    pub(super) fn take(&mut self) -> Option<String> {
        self.since = None;
        let held = std::mem::take(&mut self.held);
        (!held.is_empty()).then_some(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_ready_by_size_or_by_time_and_nothing_is_lost() {
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
