//! Condenses a conversation before the model's window is full. Pure: after a crash the same history condenses alike.
//!
//! Kept are who the agent is, its goal (the first user message), the files it wrote, the last failures, and the newest
//! turns. What is left out stays readable: every message is a step result in the run's journal.

use crate::model::Message;

/// Characters per token, on the careful side for code.
const CHARACTERS_PER_TOKEN: usize = 3;
/// The part of the window that a conversation may fill; the rest is for tools and the answer.
const FILL_PERCENT: u64 = 60;
/// The part that is kept of the newest turns when condensing, so that the next condensing is not one turn away.
const KEEP_PERCENT: u64 = 30;
/// Failures that the note keeps, and characters of each.
const FAILURES_MAX: usize = 3;
const FAILURE_CHARACTERS: usize = 600;
/// The newest tool results are kept whole up to this size, older or larger ones are cut.
const RESULT_CHARACTERS: usize = 2_000;

/// What the note of a condensed conversation says besides the messages themselves.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory<'a> {
    pub(super) written: &'a [String],
    pub(super) failures: &'a [String],
}

/// Answers the conversation to send: `history` itself while it fits into a window of `window_tokens`, else a condensed
/// one. `times` is how often the provider has already said that it was too long: each time halves what is kept.
pub(super) fn condense(history: &[Message], memory: &Memory<'_>, window_tokens: u64, times: u32) -> Vec<Message> {
    let characters = |percent: u64| {
        let tokens = window_tokens.saturating_mul(percent) / 100;
        usize::try_from(tokens).unwrap_or(usize::MAX).saturating_mul(CHARACTERS_PER_TOKEN)
    };
    let size: usize = history.iter().map(Message::size).sum();
    if times == 0 && size <= characters(FILL_PERCENT) {
        return history.to_vec();
    }
    let head = history.iter().take_while(|message| !matches!(message, Message::Assistant(_))).count();
    // NOTE: the window may be smaller than we believe, so the halving begins with what there is.
    let turns: usize = history[head..].iter().map(Message::size).sum();
    let kept_from = newest_turns(history, head, characters(KEEP_PERCENT).min(turns) >> times.min(16));
    let mut condensed = history[..head].to_vec();
    condensed.push(Message::user(note(memory, kept_from - head)));
    condensed.extend(history[kept_from..].iter().map(shortened));
    condensed
}

/// Where the newest turns begin that together stay below `characters`; at least the last turn is kept. It is always a
/// model's message: a tool's result without the call that it answers is refused by every provider.
fn newest_turns(history: &[Message], head: usize, characters: usize) -> usize {
    let mut kept_from = history.len();
    let mut size = 0;
    for (position, message) in history.iter().enumerate().skip(head).rev() {
        size += message.size().min(RESULT_CHARACTERS);
        if matches!(message, Message::Assistant(_)) {
            if size > characters && kept_from < history.len() {
                break;
            }
            kept_from = position;
        }
    }
    kept_from
}

fn note(memory: &Memory<'_>, left_out: usize) -> String {
    let mut text =
        format!("Earlier messages were left out to save space ({left_out} of them). What matters of them:\n");
    let files = if memory.written.is_empty() { "none".to_owned() } else { memory.written.join(", ") };
    text.push_str(&format!("Files you wrote so far: {files}\n"));
    for failure in memory.failures.iter().rev().take(FAILURES_MAX).rev() {
        text.push_str(&format!("A failure you met: {}\n", cut(failure, FAILURE_CHARACTERS)));
    }
    text.push_str("Read files again when you need their content. Go on with the objective.");
    text
}

fn shortened(message: &Message) -> Message {
    match message {
        Message::Tool(result) if result.text.len() > RESULT_CHARACTERS => {
            let mut result = result.clone();
            result.text = cut(&result.text, RESULT_CHARACTERS);
            Message::Tool(result)
        }
        other => other.clone(),
    }
}

/// Head and tail of a long text: errors stand at the end, what was asked at the beginning.
pub(crate) fn cut(text: &str, characters: usize) -> String {
    if text.len() <= characters {
        return text.to_owned();
    }
    let half = characters / 2;
    let head = (0..=half).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    let tail = (text.len() - half..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
    format!("{}\n[… {} characters left out …]\n{}", &text[..head], tail - head, &text[tail..])
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::{ToolMessage, call};

    fn history(turns: usize, result_characters: usize) -> Vec<Message> {
        let mut history = vec![Message::system("who"), Message::user("goal")];
        for turn in 0..turns {
            let mut said = call("read_file", json!({"path": format!("file_{turn}")}));
            said.tool_calls[0].id = format!("call_{turn}");
            history.push(Message::Assistant(said));
            history.push(Message::Tool(ToolMessage {
                call_id: format!("call_{turn}"),
                name: "read_file".to_owned(),
                text: "x".repeat(result_characters),
            }));
        }
        history
    }

    const MEMORY: Memory<'_> = Memory { written: &[], failures: &[] };

    #[test]
    fn what_fits_is_left_alone() {
        let history = history(5, 100);
        assert_eq!(condense(&history, &MEMORY, 8_000, 0), history);
    }

    #[test]
    fn goal_files_failures_and_the_newest_turns_are_kept() {
        let history = history(40, 1_000);
        let (written, failures) = (["a.py".to_owned()], ["exit code 1".to_owned()]);
        let condensed = condense(&history, &Memory { written: &written, failures: &failures }, 8_000, 0);
        assert_eq!(condensed[..2], history[..2]);
        let Message::User { text } = &condensed[2] else { panic!("a note") };
        assert!(text.contains("a.py") && text.contains("exit code 1"), "{text}");
        assert_eq!(condensed.last(), history.last());
        assert!(matches!(condensed[3], Message::Assistant(_)), "{:?}", condensed[3]);
        assert!(condensed.iter().map(Message::size).sum::<usize>() < 8_000 * 2);
    }

    #[test]
    fn each_time_that_it_was_still_too_long_less_is_kept() {
        let history = history(40, 1_000);
        let sizes: Vec<usize> = (0..4).map(|times| condense(&history, &MEMORY, 8_000, times).len()).collect();
        assert!(sizes.windows(2).all(|pair| pair[1] < pair[0] || pair[1] == 5), "{sizes:?}");
        assert!(condense(&history, &MEMORY, 8_000, 16).len() >= 5, "the last turn is always there");
    }

    #[test]
    fn cutting_respects_characters() {
        assert_eq!(cut("short", 100), "short");
        let text = cut(&"ä".repeat(1_000), 101);
        assert!(text.contains("left out"), "{text}");
    }
}
