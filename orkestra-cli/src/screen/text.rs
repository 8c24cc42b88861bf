//! Makes untrusted text (from models and commands) safe for a terminal: it must not move the cursor or imitate our output.

/// `text` as one line: line breaks become `\n`, control sequences and other control characters are removed.
pub(super) fn one_line(text: &str) -> String {
    clean(text).replace('\n', "\\n")
}

/// `text` without control sequences and control characters; line breaks are kept. Of a line that was overwritten with
/// carriage returns, only the last version is kept.
pub(super) fn clean(text: &str) -> String {
    let plain = without_sequences(text).replace("\r\n", "\n");
    let lines = plain.split('\n').map(|line| line.trim_end_matches('\r').rsplit('\r').next().unwrap_or_default());
    let fit = lines.map(|line| {
        let shown = line.replace('\t', "    ");
        shown.chars().filter(|one| !one.is_control()).collect::<String>()
    });
    fit.collect::<Vec<_>>().join("\n")
}

/// Removes escape sequences: `ESC [ … letter` as a whole, of others the escape and the next character.
fn without_sequences(text: &str) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut characters = text.chars();
    while let Some(one) = characters.next() {
        if one != '\u{1b}' {
            kept.push(one);
        } else if characters.next() == Some('[') {
            let _ = characters.find(|end| ('@'..='~').contains(end));
        }
    }
    kept
}

/// At most `count` characters of `text`, with an ellipsis for the rest.
pub(super) fn cut(text: &str, count: usize) -> String {
    if text.chars().count() <= count {
        return text.to_owned();
    }
    let kept: String = text.chars().take(count.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// The last `count` characters of `text`.
pub(super) fn tail(text: &str, count: usize) -> &str {
    match text.char_indices().rev().nth(count.saturating_sub(1)) {
        Some((at, _)) if count > 0 => &text[at..],
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn untrusted_text_cannot_control_the_terminal() {
        for (given, shown) in [
            ("plain", "plain"),
            ("\u{1b}[31mred\u{1b}[0m", "red"),
            ("a\u{1b}]0;title\u{7}b", "a0;titleb"),
            ("10%\r20%\r100%\r", "100%"),
            ("one\r\ntwo", "one\\ntwo"),
            ("a\tb\u{8}\u{0}", "a    b"),
            ("\u{1b}[", ""),
        ] {
            assert_eq!(one_line(given), shown, "{given:?}");
        }
    }

    #[test]
    fn cutting_counts_characters() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
        assert_eq!(tail("äöüß", 2), "üß");
        assert_eq!(tail("ä", 2), "ä");
        assert_eq!(tail("ä", 0), "ä");
    }
}
