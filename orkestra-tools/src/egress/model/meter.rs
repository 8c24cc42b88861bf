//! Finds the usage in the answers of models: JSON as a whole, or server-sent events. Pure; it never changes an answer.

use serde_json::Value;

use crate::limits::EGRESS_MODEL_ANSWER_BYTES_MAX;

/// Tokens of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tokens {
    pub(super) input: u64,
    pub(super) output: u64,
}

/// Reads one answer as it passes.
#[derive(Debug)]
pub(super) struct Meter {
    is_events: bool,
    /// The answer so far, or of events the line so far.
    kept: Vec<u8>,
    /// The line or the answer is too long to be read.
    is_too_long: bool,
    input: Option<u64>,
    output: Option<u64>,
}

impl Meter {
    pub(super) fn new(is_events: bool) -> Self {
        Self { is_events, kept: Vec::new(), is_too_long: false, input: None, output: None }
    }

    /// Takes the next piece.
    pub(super) fn push(&mut self, mut piece: &[u8]) {
        if self.is_events {
            while let Some(end) = piece.iter().position(|byte| *byte == b'\n') {
                self.keep(&piece[..end]);
                self.read_line();
                piece = &piece[end + 1..];
            }
        }
        self.keep(piece);
    }

    /// Ends the answer. What has no usage by then has none.
    pub(super) fn finish(&mut self) {
        if self.is_events {
            self.read_line();
        } else if !self.is_too_long {
            let answer = std::mem::take(&mut self.kept);
            self.read(&answer);
        }
    }

    /// What is known so far.
    pub(super) fn tokens(&self) -> Option<Tokens> {
        // Of embeddings only the input is counted.
        self.input.map(|input| Tokens { input, output: self.output.unwrap_or(0) })
    }

    fn keep(&mut self, bytes: &[u8]) {
        if self.kept.len() + bytes.len() > EGRESS_MODEL_ANSWER_BYTES_MAX {
            self.is_too_long = true;
            self.kept = Vec::new();
        } else if !self.is_too_long {
            self.kept.extend_from_slice(bytes);
        }
    }

    fn read_line(&mut self) {
        let line = std::mem::take(&mut self.kept);
        if std::mem::take(&mut self.is_too_long) {
            return;
        }
        let Some(data) = line.strip_prefix(b"data:") else { return };
        // Most events are pieces of text.
        if data.windows(7).any(|word| word == b"\"usage\"") {
            self.read(data);
        }
    }

    /// The usage is in the answer itself, in `response` of the end of OpenAI's responses, or in `message` of the beginning of
    /// Anthropic's. Where several events have one, each holds the sum so far.
    fn read(&mut self, json: &[u8]) {
        let Ok(answer) = serde_json::from_slice::<Value>(json) else { return };
        for holder in [Some(&answer), answer.get("response"), answer.get("message")].into_iter().flatten() {
            let Some(usage) = holder.get("usage") else { continue };
            let number = |name: &str| usage.get(name).and_then(Value::as_u64);
            // Anthropic counts what a cache held separately; OpenAI counts it in the sum.
            let cached =
                number("cache_creation_input_tokens").unwrap_or(0) + number("cache_read_input_tokens").unwrap_or(0);
            let input = number("prompt_tokens").or_else(|| number("input_tokens").map(|input| input + cached));
            self.input = input.or(self.input);
            self.output = number("completion_tokens").or_else(|| number("output_tokens")).or(self.output);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(is_events: bool, answer: &str) -> Option<(u64, u64)> {
        // Byte by byte, which splits everything.
        let mut meter = Meter::new(is_events);
        answer.as_bytes().chunks(1).for_each(|piece| meter.push(piece));
        meter.finish();
        meter.tokens().map(|tokens| (tokens.input, tokens.output))
    }

    #[test]
    fn the_usage_of_each_protocol_is_found_and_an_unknown_one_stays_unknown() {
        for (is_events, answer, expected) in [
            (false, r#"{"usage":{"prompt_tokens":7,"completion_tokens":3,"total_tokens":10}}"#, Some((7, 3))),
            (false, r#"{"usage":{"prompt_tokens":7,"total_tokens":7}}"#, Some((7, 0))),
            (false, r#"{"usage":{"input_tokens":5,"output_tokens":2,"cache_read_input_tokens":4}}"#, Some((9, 2))),
            (false, r#"{"choices":[]}"#, None),
            (false, r#"{"usage":null}"#, None),
            (false, r#"{"usage":{"prompt_tokens":7"#, None),
            (
                true,
                "data: {\"usage\":null}\n\ndata: {\"choices\":[],\"usage\":{\"prompt_tokens\":7,\"completion_tokens\":3}}\r\n\r\ndata: [DONE]\n\n",
                Some((7, 3)),
            ),
            (
                true,
                "event: response.completed\ndata: {\"response\":{\"usage\":{\"input_tokens\":8,\"output_tokens\":1}}}\n\n",
                Some((8, 1)),
            ),
            (
                true,
                "data: {\"message\":{\"usage\":{\"input_tokens\":8,\"output_tokens\":1}}}\n\ndata: {\"usage\":{\"output_tokens\":9}}",
                Some((8, 9)),
            ),
            (true, "data: {\"choices\":[{\"delta\":{\"content\":\"\\\"usage\\\"\"}}]}\n\ndata: [DONE]\n\n", None),
        ] {
            assert_eq!(read(is_events, answer), expected, "{answer}");
        }
    }

    #[test]
    fn an_answer_that_is_too_long_is_not_kept() {
        let mut meter = Meter::new(false);
        for _ in 0..9 {
            meter.push(&vec![b' '; 1024 * 1024]);
        }
        assert!(meter.kept.is_empty());
        meter.push(br#"{"usage":{"prompt_tokens":7}}"#);
        meter.finish();
        assert_eq!(meter.tokens(), None);
    }
}
