//! The end of what an agent printed, as moments of its trial.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::limits::{PEER_LINE_CHARACTERS_MAX, PEER_LINES_MAX};
use crate::result::Moment;

/// Bytes of a line that are kept before they are shortened: four for each character.
const LINE_BYTES_MAX: usize = 4 * PEER_LINE_CHARACTERS_MAX;

/// The last lines.
#[derive(Debug)]
pub(super) struct Tail {
    agent: String,
    begun: Instant,
    used: Duration,
    lines: VecDeque<Moment>,
    /// Lines that were dropped.
    dropped: u64,
    partial: Vec<u8>,
}

impl Tail {
    /// `used` is the time of the trial before `begun`.
    pub(super) fn new(agent: &str, begun: Instant, used: Duration) -> Self {
        let agent = agent.chars().take(40).collect();
        Self { agent, begun, used, lines: VecDeque::new(), dropped: 0, partial: Vec::new() }
    }

    /// Takes the next piece of output.
    pub(super) fn push(&mut self, mut piece: &[u8]) {
        while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
            self.keep(&piece[..end]);
            self.end_line();
            piece = &piece[end + 1..];
        }
        self.keep(piece);
    }

    /// The last line that is not empty.
    pub(super) fn last(&self) -> Option<String> {
        let partial = line(&self.partial);
        if partial.is_empty() { self.lines.back().map(|moment| moment.text.clone()) } else { Some(partial) }
    }

    /// All that is kept, oldest first.
    pub(super) fn into_moments(mut self) -> Vec<Moment> {
        self.end_line();
        let mut moments: Vec<Moment> = self.lines.into();
        if self.dropped > 0 {
            let at = moments.first().map_or(0.0, |first| first.at);
            let text = format!("{} lines of output before these are left out", self.dropped);
            moments.insert(0, Moment { at, agent: String::new(), text });
        }
        moments
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_BYTES_MAX.saturating_sub(self.partial.len());
        self.partial.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn end_line(&mut self) {
        let text = line(&std::mem::take(&mut self.partial));
        if text.is_empty() {
            return;
        }
        let at = (self.used + self.begun.elapsed()).as_secs_f64();
        self.lines.push_back(Moment { at, agent: self.agent.clone(), text });
        if self.lines.len() > PEER_LINES_MAX {
            self.lines.pop_front();
            self.dropped += 1;
        }
    }
}

/// One line of plain text, shortened. Of a line that was written over, the last version.
fn line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end().rsplit('\r').next().unwrap_or_default();
    text.chars().filter(|c| !c.is_control()).take(PEER_LINE_CHARACTERS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_last_lines_are_kept_and_shortened() {
        let mut tail = Tail::new("agent", Instant::now(), Duration::from_secs(10));
        for number in 0..PEER_LINES_MAX + 5 {
            tail.push(format!("line {number}\n\n10%\r100%\n").as_bytes());
        }
        tail.push(&[b'x'; 100_000]);
        assert_eq!(tail.last().map(|line| line.len()), Some(PEER_LINE_CHARACTERS_MAX));
        tail.push(b"\n\x1b[31mend");
        assert_eq!(tail.last().as_deref(), Some("[31mend"));
        let moments = tail.into_moments();
        assert_eq!(moments.len(), PEER_LINES_MAX + 1);
        assert!(moments[0].text.contains("lines of output before these are left out"), "{:?}", moments[0]);
        assert!(moments.iter().all(|moment| moment.at >= 10.0));
        let end: Vec<&str> =
            moments[moments.len() - 4..].iter().map(|moment| moment.text.get(..4).unwrap_or("")).collect();
        assert_eq!(end, ["line", "100%", "xxxx", "[31m"]);
    }
}
