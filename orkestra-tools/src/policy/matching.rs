//! Whether a part of a command line matches the command of a rule: yes, no, or maybe because a word is not known. Pure.

use globset::GlobMatcher;

use super::shell::{Part, Piece, Word};

/// Ordered: the best of several alternatives is the largest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Match {
    No,
    Maybe,
    Yes,
}

impl Match {
    pub(super) const fn of(is_match: bool) -> Self {
        if is_match { Self::Yes } else { Self::No }
    }
}

/// Whether `part` begins with the words of `prefix`, however its command is written: with a directory, or with options between
/// its words. For rules that ask or deny.
pub(super) fn begins(part: &Part, prefix: &[String], arguments: &[GlobMatcher]) -> Match {
    if part.opaque.is_some() {
        return Match::Maybe;
    }
    let Some((first, rest)) = prefix.split_first() else { return Match::No };
    let mut result = Match::Yes;
    match command_name(part) {
        Name::Known(name) if name == *first => {}
        Name::Known(_) | Name::None => return Match::No,
        Name::Unknown => return Match::Maybe,
    }
    let mut words = &part.words[1..];
    for (position, token) in rest.iter().enumerate() {
        let Some((word, after)) = words.split_first() else { return Match::No };
        match could_be(word, token) {
            Match::Yes => {}
            Match::Maybe if word.splits || word.is_pattern => return Match::Maybe,
            Match::Maybe => result = Match::Maybe,
            Match::No if word.leading().starts_with('-') => {
                // An option and perhaps its value stand between.
                return if is_subsequence(words, &rest[position..]) { Match::Maybe } else { Match::No };
            }
            Match::No => return Match::No,
        }
        words = after;
    }
    if arguments.is_empty() {
        return result;
    }
    words.iter().map(|word| argument(word, arguments)).max().unwrap_or(Match::No).min(result)
}

/// Whether `part` is exactly `prefix` and some arguments, and does nothing else. For rules that allow.
pub(super) fn is_exactly(part: &Part, prefix: &[String]) -> bool {
    let is_known = |(word, token): (&Word, &String)| !word.splits && word.literal() == Some(token);
    part.opaque.is_none()
        && part.assigned.is_empty()
        && part.writes.is_empty()
        && part.words.len() >= prefix.len()
        && part.words.iter().zip(prefix).all(is_known)
}

enum Name<'part> {
    Known(&'part str),
    Unknown,
    /// It only assigns or redirects.
    None,
}

/// The command's name without its directory.
fn command_name(part: &Part) -> Name<'_> {
    let Some(word) = part.words.first() else { return Name::None };
    if let Some(name) = part.name() {
        return Name::Known(name);
    }
    // `"$HOME"/bin/tool`: the name is known if what is not known cannot become several words.
    match word.pieces.last() {
        Some(Piece::Text(text)) if !word.splits => {
            text.rsplit_once('/').map_or(Name::Unknown, |(_, name)| Name::Known(name))
        }
        _ => Name::Unknown,
    }
}

fn is_subsequence(words: &[Word], tokens: &[String]) -> bool {
    let mut words = words.iter();
    tokens.iter().all(|token| words.by_ref().any(|word| could_be(word, token) != Match::No))
}

/// Whether the word is, or may become, `text`.
fn could_be(word: &Word, text: &str) -> Match {
    match word.literal() {
        Some(literal) => Match::of(literal == text),
        // Its first part may be the text, and the rest other words.
        None if word.splits => {
            if text.starts_with(word.leading()) {
                Match::Maybe
            } else {
                Match::No
            }
        }
        None => {
            if fits(&word.pieces, text) {
                Match::Maybe
            } else {
                Match::No
            }
        }
    }
}

/// Whether unknown pieces can be filled in so that the word is `text`.
fn fits(pieces: &[Piece], text: &str) -> bool {
    let mut left = text;
    let mut is_anchored = true;
    for (position, piece) in pieces.iter().enumerate() {
        let Piece::Text(known) = piece else {
            is_anchored = false;
            continue;
        };
        let is_last = position + 1 == pieces.len();
        // The first place that fits leaves most for the rest.
        let found = match (is_anchored, is_last) {
            (true, _) => left.starts_with(known.as_str()).then_some(0),
            (false, true) => left.ends_with(known.as_str()).then(|| left.len() - known.len()),
            (false, false) => left.find(known.as_str()),
        };
        let Some(at) = found else { return false };
        left = &left[at + known.len()..];
        is_anchored = true;
    }
    left.is_empty() || !is_anchored
}

/// Whether an argument matches one of the globs.
fn argument(word: &Word, globs: &[GlobMatcher]) -> Match {
    if let Some(text) = word.literal() {
        return Match::of(globs.iter().any(|glob| glob.is_match(text) || glob.is_match(cleaned(text))));
    }
    let may = |glob: &GlobMatcher| {
        let pattern = glob.glob().glob();
        let fixed = &pattern[..pattern.find(['*', '?', '[', '{', '\\']).unwrap_or(pattern.len())];
        let leading = word.leading();
        match fixed.len() == pattern.len() {
            true => could_be(word, pattern) != Match::No,
            false => fixed.starts_with(leading) || leading.starts_with(fixed),
        }
    };
    if globs.iter().any(may) { Match::Maybe } else { Match::No }
}

/// A path without `.` components, repeated and trailing slashes, and `..` where it can be resolved; other words unchanged.
pub(super) fn cleaned(path: &str) -> String {
    let is_absolute = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if is_absolute => {}
            part => parts.push(part),
        }
    }
    match (is_absolute, parts.is_empty()) {
        (true, _) => format!("/{}", parts.join("/")),
        (false, true) => ".".to_owned(),
        (false, false) => parts.join("/"),
    }
}
