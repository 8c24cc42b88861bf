//! Operations on JSON text: pointers, equality, canonical form. Values are read level by level and numbers stay text,
//! so that no digit is lost.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::number::Decimal;

/// How deep two texts are compared. serde_json reads no deeper value, and neither can a task.
const COMPARED_DEPTH_MAX: usize = 128;

/// How deep `text` nests: 0 for a scalar.
pub(super) fn depth(text: &str) -> usize {
    let (mut depth, mut deepest, mut quoted, mut escaped) = (0_usize, 0, false, false);
    for byte in text.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'[' | b'{' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Why `pointer` is not a JSON pointer (RFC 6901).
pub(super) fn pointer_mistake(pointer: &str) -> Option<String> {
    if let Some(mistake) = pointer_start_mistake(pointer) {
        return Some(mistake);
    }
    let bare = |part: &str| !part.starts_with(['0', '1']);
    let mistaken = pointer.split('~').skip(1).any(bare);
    mistaken.then(|| format!("invalid JSON pointer `{pointer}`: write `~` as `~0`, and `/` within a name as `~1`"))
}

/// The part of the check that every journal format has enforced.
pub(super) fn pointer_start_mistake(pointer: &str) -> Option<String> {
    let good = pointer.is_empty() || pointer.starts_with('/');
    (!good).then(|| format!("invalid JSON pointer `{pointer}`: it must be empty or begin with `/`"))
}

/// The text at `pointer`, if there is any.
pub(super) fn at<'a>(text: &'a str, pointer: &str) -> Option<&'a str> {
    if pointer.is_empty() {
        return Some(text);
    }
    let steps = pointer.strip_prefix('/')?.split('/');
    steps.map(|step| step.replace("~1", "/").replace("~0", "~")).try_fold(text, |text, step| member(text, &step))
}

fn member<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    match text.as_bytes().first()? {
        b'{' => fields(text)?.remove(name),
        b'[' => items(text)?.get(index(name)?).copied(),
        _ => None,
    }
}

fn index(name: &str) -> Option<usize> {
    let written = name == "0" || !name.starts_with(['0', '+']);
    name.parse().ok().filter(|_| written)
}

/// [`at`] for each pointer, reading each part of the text once: there may be thousands of pointers and a long text.
pub(super) fn at_each<'a>(text: &'a str, pointers: &[&str]) -> Vec<Option<&'a str>> {
    let mut found = vec![None; pointers.len()];
    spread(text, pointers.iter().copied().enumerate().collect(), &mut found);
    found
}

fn spread<'a>(text: &'a str, wanted: Vec<(usize, &str)>, found: &mut [Option<&'a str>]) {
    let mut inside: BTreeMap<String, Vec<(usize, &str)>> = BTreeMap::new();
    for (place, pointer) in wanted {
        if pointer.is_empty() {
            found[place] = Some(text);
        } else if let Some(rest) = pointer.strip_prefix('/') {
            let (step, rest) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            inside.entry(step.replace("~1", "/").replace("~0", "~")).or_default().push((place, rest));
        }
    }
    if inside.is_empty() {
        return;
    }
    let members: Vec<Option<&str>> = match text.as_bytes().first() {
        Some(b'{') => {
            let Some(fields) = fields(text) else { return };
            inside.keys().map(|name| fields.get(name).copied()).collect()
        }
        Some(b'[') => {
            let Some(items) = items(text) else { return };
            inside.keys().map(|name| items.get(index(name)?).copied()).collect()
        }
        _ => return,
    };
    for (member, wanted) in members.into_iter().zip(inside.into_values()) {
        if let Some(member) = member {
            spread(member, wanted, found);
        }
    }
}

fn fields(text: &str) -> Option<BTreeMap<String, &str>> {
    let fields: BTreeMap<String, &RawValue> = read(text)?;
    Some(fields.into_iter().map(|(name, value)| (name, value.get())).collect())
}

fn items(text: &str) -> Option<Vec<&str>> {
    let items: Vec<&RawValue> = read(text)?;
    Some(items.into_iter().map(RawValue::get).collect())
}

fn read<'a, T: Deserialize<'a>>(text: &'a str) -> Option<T> {
    serde_json::from_str(text).ok()
}

/// Whether both texts denote the same value: numbers compare by value, strings by character, objects whatever the order
/// of their fields.
pub(super) fn equal(one: &str, other: &str) -> bool {
    same(one, other, COMPARED_DEPTH_MAX)
}

fn same(one: &str, other: &str, depth: usize) -> bool {
    if one == other {
        return true;
    }
    let Some(deeper) = depth.checked_sub(1) else { return false };
    match (one.as_bytes().first(), other.as_bytes().first()) {
        (Some(b'{'), Some(b'{')) => {
            let (Some(one), Some(other)) = (fields(one), fields(other)) else { return false };
            let pair = |((name, value), (also, its)): ((&String, &&str), (&String, &&str))| {
                name == also && same(value, its, deeper)
            };
            one.len() == other.len() && one.iter().zip(&other).all(pair)
        }
        (Some(b'['), Some(b'[')) => {
            let (Some(one), Some(other)) = (items(one), items(other)) else { return false };
            one.len() == other.len() && one.iter().zip(&other).all(|(one, other)| same(one, other, deeper))
        }
        (Some(b'"'), Some(b'"')) => {
            read::<String>(one).is_some_and(|one| read(other).is_some_and(|other: String| one == other))
        }
        _ => Decimal::parse(one).is_some_and(|one| Decimal::parse(other).is_some_and(|other| one == other)),
    }
}

/// The same value without spaces, with sorted fields and normalised strings; numbers keep their digits. Text that nests
/// too deep to be read is returned unchanged.
pub(super) fn canonical(text: &str) -> String {
    let mut plain = String::new();
    let is_read = depth(text) <= COMPARED_DEPTH_MAX && add_canonical(text, &mut plain).is_some();
    if is_read { plain } else { text.to_owned() }
}

fn add_canonical(text: &str, plain: &mut String) -> Option<()> {
    match text.as_bytes().first()? {
        b'{' => {
            plain.push('{');
            for (place, (name, value)) in fields(text)?.into_iter().enumerate() {
                plain.push_str(if place == 0 { "" } else { "," });
                plain.push_str(&serde_json::to_string(&name).ok()?);
                plain.push(':');
                add_canonical(value, plain)?;
            }
            plain.push('}');
        }
        b'[' => {
            plain.push('[');
            for (place, item) in items(text)?.into_iter().enumerate() {
                plain.push_str(if place == 0 { "" } else { "," });
                add_canonical(item, plain)?;
            }
            plain.push(']');
        }
        b'"' => match read::<String>(text) {
            Some(said) => plain.push_str(&serde_json::to_string(&said).ok()?),
            None => plain.push_str(text),
        },
        _ => plain.push_str(text),
    }
    Some(())
}

/// False for `null`, `false`, `0`, `""`, `[]` and `{}`, true for every other value.
pub(super) fn is_truthy(text: &str) -> bool {
    match text.as_bytes() {
        b"null" | b"false" | b"\"\"" => false,
        [b'[' | b'{', inside @ .., _] => !inside.trim_ascii().is_empty(),
        _ => Decimal::parse(text).is_none_or(|number| !number.is_zero()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_with_the_same_value_are_equal() {
        for (one, other, expected) in [
            ("[9007199254740993]", "[9007199254740992]", false),
            (r#"{"a": {"b": 18446744073709551617}}"#, r#"{"a": {"b": 18446744073709551616}}"#, false),
            (r#"{"a":1,"b":[2.0]}"#, r#"{ "b" : [ 2e0 ], "a" : 1.00 }"#, true),
            (r#"{"a":1}"#, r#"{"a":1,"b":null}"#, false),
            (r#"{"a":1}"#, r#"{"b":1}"#, false),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#, true),
            (r#""é\n""#, r#""\u00e9\u000a""#, true),
            (r#""1""#, "1", false),
            ("[1]", r#"{"0":1}"#, false),
            ("[1,2]", "[1]", false),
            ("null", "false", false),
            ("true", "true", true),
            (r#""\ud800""#, r#""\ud801""#, false),
        ] {
            assert_eq!(equal(one, other), expected, "{one} and {other}");
            assert_eq!(equal(other, one), expected, "{other} and {one}");
        }
        let nested = |digit: &str| format!("{}{digit}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(
            !equal(&nested("1"), &nested("1.0")),
            "texts too deep to read are not compared, and the stack does not overflow"
        );
    }

    #[test]
    fn equal_values_have_one_canonical_text_and_no_digit_is_lost() {
        for (text, expected) in [
            (r#"{ "b" : [ 1.0, "\u00e9" ], "a":{} }"#, r#"{"a":{},"b":[1.0,"é"]}"#),
            (r#"{"id":18446744073709551617}"#, r#"{"id":18446744073709551617}"#),
            ("[0.1000000000000000055, [ ] ]", "[0.1000000000000000055,[]]"),
            (r#"["\ud800"]"#, r#"["\ud800"]"#),
            ("null", "null"),
        ] {
            assert_eq!(canonical(text), expected, "{text}");
        }
        let deep = format!("{}{}", "[ ".repeat(100_000), "]".repeat(100_000));
        assert_eq!(canonical(&deep), deep, "text too deep to read is unchanged, and the stack does not overflow");
    }

    #[test]
    fn pointers_find_their_values() {
        let text = r#"{"a": [10, {"b/c": "x", "m~n": 18446744073709551617}], "": 5, "0": 1}"#;
        for (pointer, found) in [
            ("", Some(text)),
            ("/a/0", Some("10")),
            ("/a/1/b~1c", Some(r#""x""#)),
            ("/a/1/m~0n", Some("18446744073709551617")),
            ("/", Some("5")),
            ("/0", Some("1")),
            ("/a/00", None),
            ("/a/+1", None),
            ("/a/2", None),
            ("/a/0/b", None),
            ("/x", None),
            ("a", None),
        ] {
            assert_eq!(at(text, pointer), found, "{pointer}");
            assert_eq!(at_each(text, &["/a/0", pointer, "/0"]), [Some("10"), found, Some("1")], "{pointer}");
        }
        for (pointer, good) in [("", true), ("/", true), ("/a~0b~1", true), ("a", false), ("/~2", false), ("/~", false)]
        {
            assert_eq!(pointer_mistake(pointer).is_none(), good, "{pointer}");
        }
    }

    #[test]
    fn depth_ignores_brackets_within_strings() {
        for (text, expected) in [("1", 0), (r#""[[""#, 0), (r#""\"[""#, 0), (r#"[{"a":"]"},[[]]]"#, 3), ("[[],[]]", 2)]
        {
            assert_eq!(depth(text), expected, "{text}");
        }
    }
}
