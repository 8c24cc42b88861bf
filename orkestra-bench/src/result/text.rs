//! Makes values and untrusted text fit to be shown: what a model wrote must not control a terminal or imitate our output.

use super::Ending;
use crate::task::Difficulty;

/// What stands for a sum that is not known. It must never look like 0.
pub(super) const UNKNOWN: &str = "unknown";

/// `text` on one line with at most `chars_max` characters. Control characters, escape codes and characters that change the
/// direction of others are shown by their numbers.
pub(super) fn one_line(text: &str, chars_max: usize) -> String {
    let mut line = String::new();
    for (count, c) in text.chars().enumerate() {
        match c {
            _ if count == chars_max => {
                line.push('…');
                return line;
            }
            '\n' | '\r' | '\t' => line.push(' '),
            c => push_visible(&mut line, c),
        }
    }
    line
}

/// `text` with its lines and tabs, but with at most `bytes_max` bytes; everything else as in [`one_line`].
pub(super) fn lines(text: &str, bytes_max: usize) -> String {
    let (kept, cut) = cut(text, bytes_max);
    let mut shown = String::with_capacity(kept.len());
    for c in kept.chars() {
        match c {
            '\n' | '\t' => shown.push(c),
            // The end of a line in files of Windows.
            '\r' => {}
            c => push_visible(&mut shown, c),
        }
    }
    if cut > 0 {
        shown.push_str(&cut_note(cut));
    }
    shown
}

/// The start of `text`, at most `bytes_max` bytes, and how many bytes were cut off.
pub(super) fn cut(text: &str, bytes_max: usize) -> (&str, usize) {
    let end = text.floor_char_boundary(bytes_max);
    (&text[..end], text.len() - end)
}

/// The line that ends a text of which `bytes` bytes were cut off.
pub(super) fn cut_note(bytes: usize) -> String {
    format!("\n[{bytes} more bytes are not shown]")
}

fn push_visible(shown: &mut String, c: char) {
    if c.is_control() || is_format(c) {
        shown.extend(c.escape_unicode());
    } else {
        shown.push(c);
    }
}

/// Characters that change how others are shown or cannot be seen: direction marks and overrides, zero-width spaces, line
/// separators, tags, and those that are not characters at all.
const fn is_format(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}'
        | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{fffe}' | '\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

/// `count` of a thing: `1 trial`, `2 trials`.
pub(super) fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

/// A whole number, or that it is unknown.
pub(super) fn number(value: Option<u64>) -> String {
    value.map_or_else(|| UNKNOWN.to_owned(), |value| value.to_string())
}

/// A number of tokens, short: `9800`, `12.3k`, `1.2M`.
pub(super) fn tokens(value: Option<u64>) -> String {
    match value {
        None => UNKNOWN.to_owned(),
        Some(value @ 0..10_000) => value.to_string(),
        Some(value @ 10_000..1_000_000) => format!("{:.1}k", value as f64 / 1e3),
        Some(value) => format!("{:.1}M", value as f64 / 1e6),
    }
}

/// An amount of dollars; small ones with four decimals, because one trial may cost less than a cent.
pub(super) fn dollars(value: Option<f64>) -> String {
    match value {
        None => UNKNOWN.to_owned(),
        Some(0.0) => "$0".to_owned(),
        Some(value) if value < 0.0001 => "<$0.0001".to_owned(),
        Some(value) if value < 1.0 => format!("${value:.4}"),
        Some(value) => format!("${value:.2}"),
    }
}

/// A time: `3.4 s`, `2m05s`, `1h02m`; `-` when nothing was measured.
pub(super) fn duration(seconds: Option<f64>) -> String {
    let Some(seconds) = seconds else { return "-".to_owned() };
    if seconds < 59.95 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds.round();
    if whole < 3600.0 {
        return format!("{:.0}m{:02.0}s", (whole / 60.0).floor(), whole % 60.0);
    }
    let minutes = (whole / 60.0).floor();
    format!("{:.0}h{:02.0}m", (minutes / 60.0).floor(), minutes % 60.0)
}

/// A percentage, rounded down to a tenth: 89.96 must not be shown as 90 beside the grade A.
pub(super) fn percentage(value: f64) -> String {
    format!("{:.1} %", ((value + super::grade::ROUNDING) * 10.0).floor() / 10.0)
}

/// A probability: `0.042`, `<0.0001`.
pub(super) fn probability(value: f64) -> String {
    if value < 0.0001 {
        "<0.0001".to_owned()
    } else if value < 0.1 {
        // Two digits that count, so that 0.049 is not shown as 0.05 beside "unlikely to be chance".
        let decimals = if value < 0.001 {
            5
        } else if value < 0.01 {
            4
        } else {
            3
        };
        format!("{value:.decimals$}")
    } else {
        format!("{value:.2}")
    }
}

/// How hard a task is, in a word.
pub(super) fn level(difficulty: Difficulty) -> &'static str {
    match difficulty {
        Difficulty::Trivial => "trivial",
        Difficulty::Easy => "easy",
        Difficulty::Medium => "medium",
        Difficulty::Hard => "hard",
    }
}

/// How work ended, in words.
pub(super) fn ending(ending: &Ending) -> String {
    match ending {
        Ending::Finished => "finished".to_owned(),
        Ending::Failed { reason } if reason.trim().is_empty() => "failed".to_owned(),
        Ending::Failed { reason } => format!("failed: {}", one_line(reason, 200)),
        Ending::OutOfTime => "out of time".to_owned(),
        Ending::OutOfTokens => "out of tokens".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_text_cannot_control_a_terminal() {
        for (given, shown) in [
            ("a\nb\tc", "a b c"),
            ("\u{1b}[31mred", "\\u{1b}[31mred"),
            ("\u{9b}2J", "\\u{9b}2J"),
            ("nul\0", "nul\\u{0}"),
            ("abc\u{202e}def\u{200f}", "abc\\u{202e}def\\u{200f}"),
            ("äöü", "äöü"),
        ] {
            assert_eq!(one_line(given, 50), shown, "{given:?}");
        }
        assert_eq!(one_line("äöüß", 2), "äö…");
        assert_eq!(lines("a\r\n\tb\u{1b}\n", 50), "a\n\tb\\u{1b}\n");
        assert_eq!(lines("ääää", 5), "ää\n[4 more bytes are not shown]");
    }

    #[test]
    fn values_are_short() {
        for (value, shown) in [
            (None, "unknown"),
            (Some(0), "0"),
            (Some(9_999), "9999"),
            (Some(12_345), "12.3k"),
            (Some(1_234_567), "1.2M"),
        ] {
            assert_eq!(tokens(value), shown);
        }
        for (value, shown) in [
            (None, "unknown"),
            (Some(0.0), "$0"),
            (Some(0.00001), "<$0.0001"),
            (Some(0.0123), "$0.0123"),
            (Some(2.5), "$2.50"),
        ] {
            assert_eq!(dollars(value), shown);
        }
        for (value, shown) in [
            (None, "-"),
            (Some(3.44), "3.4 s"),
            (Some(59.96), "1m00s"),
            (Some(125.0), "2m05s"),
            (Some(3599.7), "1h00m"),
            (Some(3725.0), "1h02m"),
        ] {
            assert_eq!(duration(value), shown);
        }
        for (value, shown) in [
            (0.000_001, "<0.0001"),
            (0.000_123, "0.00012"),
            (0.0049, "0.0049"),
            (0.0496, "0.050"),
            (0.0423, "0.042"),
            (1.0, "1.00"),
        ] {
            assert_eq!(probability(value), shown);
        }
        assert_eq!(percentage(89.96), "89.9 %");
        assert_eq!(percentage(90.0 - 1e-12), "90.0 %");
    }
}
