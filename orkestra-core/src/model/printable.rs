//! Makes text from outside safe to show in one line.

/// Cuts the text to `chars_max` characters and puts it on one line, with control and format characters escaped.
pub(crate) fn printable(text: &str, chars_max: usize) -> String {
    let mut shown = String::new();
    for (count, c) in text.chars().enumerate() {
        match c {
            _ if count == chars_max => {
                shown.push('…');
                return shown;
            }
            '\n' | '\r' | '\t' => shown.push(' '),
            c if c.is_control() || is_format(c) => shown.extend(c.escape_unicode()),
            c => shown.push(c),
        }
    }
    shown
}

/// Characters that change how others are shown: direction marks and overrides, zero-width spaces, line separators.
const fn is_format(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_shown_as_one_short_line() {
        assert_eq!(printable("a\nb\u{1b}[2Jc", 99), "a b\\u{1b}[2Jc");
        assert_eq!(printable("abc\u{202e}def", 99), "abc\\u{202e}def");
        assert_eq!(printable("äöü", 2), "äö…");
        assert_eq!(printable("äö", 2), "äö");
    }
}
