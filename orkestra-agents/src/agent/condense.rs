//! Condenses a conversation before the model's window is full. Pure: the same history condenses to the same messages after a
//! crash.
//!
//! It keeps the agent's role, its goal (the first user message), the files it wrote, the last failures, and the newest turns.
//! Nothing is lost: every message is a step result in the run's journal.

use crate::model::Message;

/// Characters per token; a careful estimate for code.
const CHARACTERS_PER_TOKEN: usize = 3;
/// The part of the window that a conversation may fill. The rest is for tools and the answer.
const FILL_PERCENT: u64 = 60;
/// The part of the window for the newest turns after condensing, so that the next turn does not condense again.
const KEEP_PERCENT: u64 = 30;
/// Failures that the note lists, and the characters of each.
const FAILURES_MAX: usize = 3;
const FAILURE_CHARACTERS: usize = 600;
/// Tool results longer than this are cut when a conversation is condensed.
const RESULT_CHARACTERS: usize = 2_000;

/// What the note of a condensed conversation lists.
#[derive(Debug, Clone, Copy)]
pub(super) struct Memory<'a> {
    pub(super) written: &'a [String],
    pub(super) failures: &'a [String],
}

/// Returns the conversation to send: `history` itself if it fits into a window of `window_tokens`, else a condensed one.
/// `times` is how often the provider has refused it as too long: each time halves what is kept.
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
    // NOTE: the real window may be smaller than `window_tokens`, so the halving starts from the actual size.
    let turns: usize = history[head..].iter().map(Message::size).sum();
    let kept_from = newest_turns(history, head, characters(KEEP_PERCENT).min(turns) >> times.min(16));
    let mut condensed = history[..head].to_vec();
    condensed.push(Message::user(note(memory, kept_from - head)));
    condensed.extend(history[kept_from..].iter().map(shortened));
    condensed
}

/// The position where the newest turns begin that together stay below `characters`; at least the last turn is kept. It is
/// always a model's message: every provider refuses a tool result without its call.
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

/// The head and the tail of a long text: the request stands at the beginning, errors at the end.
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
    fn a_conversation_that_fits_is_unchanged() {
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
    fn less_is_kept_each_time_the_conversation_was_too_long() {
        let history = history(40, 1_000);
        let sizes: Vec<usize> = (0..4).map(|times| condense(&history, &MEMORY, 8_000, times).len()).collect();
        assert!(sizes.windows(2).all(|pair| pair[1] < pair[0] || pair[1] == 5), "{sizes:?}");
        assert!(condense(&history, &MEMORY, 8_000, 16).len() >= 5, "the last turn is always kept");
    }

    #[test]
    fn cutting_never_splits_a_character() {
        assert_eq!(cut("short", 100), "short");
        let text = cut(&"ä".repeat(1_000), 101);
        assert!(text.contains("left out"), "{text}");
    }
}
