//! The keys under which a task's steps and waits are remembered: what the user calls them, written so that no two of them
//! are alike.
//!
//! ```text
//! <scope>> … <kind and key> [place] #use        fetch   fetch#2   signal:go   child:item[3]   left>sleep
//!                                               publish[attempt]:phase
//! ```
//!
//! A character of the user's that means something here has a backslash before it, and a step whose key looks like one of
//! the other kinds begins with `step:`. Ordinary keys are written as they are. Runs that a version before began keep
//! its keys, which were glued together without that: see [`Naming`].

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// How the keys of a run are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Naming {
    /// As versions up to format 2 did: different things may have one key.
    Glued,
    /// Different things have different keys.
    Exact,
}

/// What a key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use<'a> {
    Step(&'a str),
    /// An item of a map.
    Item(&'a str, usize),
    Charge,
    /// A value published by this attempt.
    Publish(&'a str, u32),
    Sleep,
    Ask,
    Signal(&'a str),
    Child(&'a str),
    /// An item of a map over runs.
    ChildItem(&'a str, usize),
    Grow(&'a str),
    Race(&'a str),
    /// A part of a task with keys of its own.
    Scope(&'a str),
}

/// Kinds of keys that stand alone.
const ALONE: [&str; 3] = ["charge", "sleep", "ask"];
/// Kinds of keys that something follows.
const PREFIXES: [&str; 5] = ["step:", "signal:", "child:", "grow:", "race:"];

impl Naming {
    /// The key of the `nth` use, counted from 1, within a scope.
    pub(super) fn key(self, scope: &str, what: Use<'_>, nth: u32) -> String {
        let mut key = scope.to_owned();
        self.write(&mut key, what);
        if nth > 1 {
            write!(key, "#{nth}").expect("a text takes everything");
        }
        if matches!(what, Use::Scope(_)) {
            key.push('>');
        }
        key
    }

    fn write(self, key: &mut String, what: Use<'_>) {
        let user = |text: &str| match self {
            Self::Glued => text.to_owned(),
            Self::Exact => escaped(text),
        };
        let written = match what {
            Use::Step(text) | Use::Item(text, _) if self == Self::Exact && looks_like_another(text) => {
                format!("step:{}", user(text))
            }
            Use::Step(text) | Use::Item(text, _) => user(text),
            Use::Charge => "charge".to_owned(),
            // No key of a user's has anything but `#` or `>` behind a place.
            Use::Publish(key, attempt) => format!("publish[{attempt}]:{}", escaped(key)),
            Use::Sleep => "sleep".to_owned(),
            Use::Ask => "ask".to_owned(),
            Use::Signal(name) => format!("signal:{name}"),
            Use::Child(text) | Use::ChildItem(text, _) => format!("child:{}", user(text)),
            Use::Grow(text) => format!("grow:{}", user(text)),
            Use::Race(text) => format!("race:{}", user(text)),
            Use::Scope(text) => escaped(text),
        };
        key.push_str(&written);
        if let Use::Item(_, place) | Use::ChildItem(_, place) = what {
            write!(key, "[{place}]").expect("a text takes everything");
        }
    }
}

fn looks_like_another(text: &str) -> bool {
    ALONE.contains(&text) || PREFIXES.iter().any(|prefix| text.starts_with(prefix))
}

fn escaped(text: &str) -> String {
    if text.is_empty() {
        // A scope and nothing after it would be the scope itself.
        return "\\-".to_owned();
    }
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        if matches!(letter, '\\' | '#' | '[' | '>') {
            escaped.push('\\');
        }
        escaped.push(letter);
    }
    escaped
}

/// The number of the use, `#2` for instance, when `key` is a second or later use of the step `text`, or of the item of a map
/// that is written so.
pub(super) fn later_use<'a>(key: &'a str, scope: &str, text: &str) -> Option<&'a str> {
    let first = Naming::Exact.key(scope, Use::Step(text), 1);
    let number = key.strip_prefix(&*first).or_else(|| key.strip_prefix(scope)?.strip_prefix(text))?;
    number.strip_prefix('#').is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_digit())).then_some(number)
}

/// Whether the key is that of a race.
pub(in crate::runtime) fn is_race(key: &str) -> bool {
    last_segment(key).starts_with("race:")
}

/// Whether the key is that of a wait for a signal.
pub(super) fn is_signal(key: &str) -> bool {
    last_segment(key).starts_with("signal:")
}

/// The first use of a key, and the number of the use that it stands for.
pub(super) fn first_use(key: &str) -> (&str, u32) {
    let numbered = split_last(key, '#');
    numbered.and_then(|(first, nth)| Some((first, nth.parse().ok()?))).unwrap_or((key, 1))
}

/// What a key is for, without the scopes and sides that it stands in.
fn last_segment(key: &str) -> &str {
    split_last(key, '>').map_or(key, |(_, last)| last)
}

/// What stands before and after the last of these marks that is no character of the user's.
fn split_last(key: &str, mark: char) -> Option<(&str, &str)> {
    let is_ours = |place: &usize| {
        let before = &key[..*place];
        (before.len() - before.trim_end_matches('\\').len()).is_multiple_of(2)
    };
    let (place, found) = key.rmatch_indices(mark).find(|(place, _)| is_ours(place))?;
    Some((&key[..place], &key[place + found.len()..]))
}

/// What a key is without the sides of races that it stands on and the number of its use: all uses of one key have it.
pub(in crate::runtime) fn base(key: &str) -> String {
    let (mut base, mut segment) = (String::new(), String::new());
    let (mut is_place, mut number) = (false, None);
    let mut letters = key.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '>' => {
                let is_side = is_place && segment.starts_with("race:");
                if is_side {
                    base.clear();
                } else if !segment.is_empty() {
                    base.push_str(&segment);
                    base.push('>');
                }
                segment.clear();
                (is_place, number) = (false, None);
                continue;
            }
            '[' => is_place = true,
            '#' => number = Some(segment.len()),
            _ => {}
        }
        segment.push(letter);
        if letter == '\\' {
            segment.extend(letters.next());
        }
    }
    segment.truncate(number.unwrap_or(segment.len()));
    base + &segment
}

/// So many bytes in hexadecimal digits that no other list of parts has.
pub(super) fn digest(parts: &[&str], bytes: usize) -> String {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update((part.len() as u64).to_le_bytes());
        digest.update(part);
    }
    digest.finalize().iter().take(bytes).map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn ordinary_keys_are_written_as_they_are() {
        for naming in [Naming::Glued, Naming::Exact] {
            for (what, nth, written) in [
                (Use::Step("fetch/page 7"), 1, "fetch/page 7"),
                (Use::Step("fetch"), 2, "fetch#2"),
                (Use::Item("fetch", 3), 1, "fetch[3]"),
                (Use::Sleep, 2, "sleep#2"),
                (Use::Signal("go"), 1, "signal:go"),
                (Use::ChildItem("item", 3), 1, "child:item[3]"),
            ] {
                assert_eq!(naming.key("", what, nth), written);
            }
        }
        assert_eq!(Naming::Exact.key("left>", Use::Sleep, 1), "left>sleep");
    }

    #[test]
    fn all_uses_of_a_key_have_one_base() {
        for (key, written) in [
            ("pay", "pay"),
            ("pay#2", "pay"),
            ("race:r[0]>pay#12", "pay"),
            ("s>race:r#3[1]>>s>pay", "s>pay"),
            ("race:o[0]>race:i[1]>t#2>pay", "t#2>pay"),
            (r"a\#2#3", r"a\#2"),
            (r"race:r\[0]>pay", r"race:r\[0]>pay"),
            ("m[3]#2", "m[3]"),
        ] {
            assert_eq!(base(key), written, "{key}");
        }
    }

    #[test]
    fn a_key_is_known_by_its_last_part_whatever_the_user_wrote() {
        for text in ["a", r"a\", r"a\\", "a>b", "a#2", r"a\>b", r"\#7", ">"] {
            for scope in ["", "a", r"a\", "a>b", r">\", "race:a", "signal:a"] {
                let scope = if scope.is_empty() { String::new() } else { Naming::Exact.key("", Use::Scope(scope), 1) };
                for nth in [1, 2, 12] {
                    let [race, signal, step] = [Use::Race(text), Use::Signal("go"), Use::Step(text)]
                        .map(|what| Naming::Exact.key(&scope, what, nth));
                    assert_eq!((is_race(&race), is_signal(&race)), (true, false), "{race}");
                    assert_eq!((is_race(&signal), is_signal(&signal)), (false, true), "{signal}");
                    assert_eq!((is_race(&step), is_signal(&step)), (false, false), "{step}");
                    let first = Naming::Exact.key(&scope, Use::Step(text), 1);
                    assert_eq!(first_use(&step), (&*first, nth), "{step}");
                }
            }
        }
    }

    #[test]
    fn no_two_keys_are_alike() {
        let words = [
            "",
            "a",
            "a#2",
            "a[0]",
            "a\\",
            "\\",
            "#2",
            "[0]",
            "a>b",
            ">",
            "sleep",
            "sleep#2",
            "step:a",
            "step:",
            "child:a",
            "child:a[0]",
            "signal:a",
            "charge",
            "ask",
            "a#2#2",
            "a[0][0]",
            "a\\#2",
            "race:a",
            "grow:a",
            "a[0]#2",
            "step:step:a",
            "publish",
            "publish[1]:a",
            "publish[1]",
        ];
        let mut uses = vec![Use::Charge, Use::Sleep, Use::Ask, Use::Signal("a"), Use::Signal("signal:a")];
        for word in words {
            uses.extend([Use::Publish(word, 1), Use::Publish(word, 2)]);
            uses.extend([Use::Step(word), Use::Child(word), Use::Grow(word), Use::Race(word), Use::Scope(word)]);
            uses.extend([0, 1].map(|place| Use::Item(word, place)));
            uses.extend([0, 1].map(|place| Use::ChildItem(word, place)));
        }
        let scopes = ["a", "a>b", "", "#2", "sleep", "child:a"];
        let scopes = scopes.iter().flat_map(|scope| [1, 2].map(|nth| Naming::Exact.key("", Use::Scope(scope), nth)));
        let mut keys = BTreeMap::new();
        for scope in std::iter::once(String::new()).chain(scopes) {
            for what in &uses {
                for nth in [1, 2, 3] {
                    let key = Naming::Exact.key(&scope, *what, nth);
                    let other = keys.insert(key.clone(), (scope.clone(), *what, nth));
                    assert_eq!(other, None, "{key} is {what:?} of {scope:?}, use {nth}");
                }
            }
        }
    }
}
