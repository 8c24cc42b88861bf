//! YAML with positions. The only file that uses the YAML parser.
//!
//! Builds a tree of JSON types from the parser's events, by the core schema of YAML 1.2: `no` is a string, `0x10` a
//! number. Aliases are copied and their size is counted, so that a short text cannot expand into a huge one.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, ScanError, Span, Tag};

use crate::model::limits::{DATA_DEPTH_MAX, DATA_EXPANDED_MAX};

use super::error::{Mistake, SpecErrorKind};
use super::located::{Key, Located, Shape};

pub(super) fn read(text: &str) -> Result<Located<'_>, Mistake> {
    let options = granit_parser::options! { flow_nesting_limit: DATA_DEPTH_MAX, block_nesting_limit: DATA_DEPTH_MAX };
    let mut builder = Builder::default();
    for next in Parser::new_from_str_with_options(text, options) {
        let (event, span) = next.map_err(|error| refused(text, &error))?;
        builder.add(event, &span)?;
    }
    builder.root.ok_or_else(|| syntax("the text contains no document", 0))
}

fn refused(text: &str, error: &ScanError) -> Mistake {
    let at = error.marker().byte_offset().unwrap_or(text.len()).min(text.len());
    match error.kind() {
        ErrorKind::RecursionLimitExceeded => too_deep(at),
        _ => syntax(format!("invalid YAML: {}", error.info()), at),
    }
}

fn syntax(what: impl Into<String>, at: usize) -> Mistake {
    Mistake::new(SpecErrorKind::Syntax, what, at)
}

#[derive(Default)]
struct Builder<'t> {
    open: Vec<Open<'t>>,
    anchors: HashMap<usize, Located<'t>>,
    /// The total size of anchored values and expanded aliases, in bytes.
    expanded: usize,
    root: Option<Located<'t>>,
}

/// A collection that is still open.
struct Open<'t> {
    at: usize,
    anchor: usize,
    items: Vec<Located<'t>>,
    /// For a mapping: its entries, and the key whose value comes next.
    mapping: Option<Mapping<'t>>,
}

#[derive(Default)]
struct Mapping<'t> {
    entries: Vec<(Key<'t>, Located<'t>)>,
    keys: HashSet<Cow<'t, str>>,
    key: Option<Key<'t>>,
}

impl<'t> Builder<'t> {
    fn add(&mut self, event: Event<'t>, span: &Span) -> Result<(), Mistake> {
        let at = span.start.byte_offset().unwrap_or(0);
        match event {
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(syntax("the text contains a second document; only one is read", at))
            }
            Event::Scalar(text, style, anchor, tag) => {
                let shape = scalar(text, style, tag.as_deref(), at)?;
                self.put(Located { at, shape, json: None }, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => self.begin(at, anchor, tag.as_deref(), None),
            Event::MappingStart(_, anchor, tag) => self.begin(at, anchor, tag.as_deref(), Some(Mapping::default())),
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(open) = self.open.pop() else {
                    return Err(syntax("a collection ends that was not opened", at));
                };
                let shape = match open.mapping {
                    Some(mapping) => Shape::Object(mapping.entries),
                    None => Shape::List(open.items),
                };
                self.put(Located { at: open.at, shape, json: None }, open.anchor)
            }
            Event::Alias(anchor) => {
                let Some(kept) = self.anchors.get(&anchor) else {
                    return Err(syntax("the alias refers to a value that contains it", at));
                };
                let copy = Located { at, ..kept.clone() };
                self.charge(&copy, at)?;
                self.put(copy, 0)
            }
            _ => Ok(()),
        }
    }

    fn begin(
        &mut self,
        at: usize,
        anchor: usize,
        tag: Option<&Tag>,
        mapping: Option<Mapping<'t>>,
    ) -> Result<(), Mistake> {
        let own = if mapping.is_some() { "map" } else { "seq" };
        if let Some(tag) = tag.filter(|tag| tag.core_suffix() != Some(own)) {
            return Err(unknown_tag(tag, at));
        }
        if self.open.len() >= DATA_DEPTH_MAX {
            return Err(too_deep(at));
        }
        self.open.push(Open { at, anchor, items: Vec::new(), mapping });
        Ok(())
    }

    /// Adds a complete value to the open collection.
    fn put(&mut self, value: Located<'t>, anchor: usize) -> Result<(), Mistake> {
        if anchor != 0 {
            self.charge(&value, value.at)?;
            self.anchors.insert(anchor, value.clone());
        }
        match self.open.last_mut() {
            Some(Open { mapping: Some(mapping), .. }) => mapping.put(value),
            Some(open) => {
                open.items.push(value);
                Ok(())
            }
            None => {
                self.root = Some(value);
                Ok(())
            }
        }
    }

    fn charge(&mut self, value: &Located<'t>, at: usize) -> Result<(), Mistake> {
        let (size, depth) = measure(value);
        self.expanded += size;
        if self.expanded > DATA_EXPANDED_MAX {
            let what = format!("the expanded aliases have more than {DATA_EXPANDED_MAX} bytes");
            return Err(Mistake::new(SpecErrorKind::TooLarge, what, at));
        }
        if self.open.len() + depth > DATA_DEPTH_MAX + 1 { Err(too_deep(at)) } else { Ok(()) }
    }
}

impl<'t> Mapping<'t> {
    fn put(&mut self, value: Located<'t>) -> Result<(), Mistake> {
        let at = value.at;
        if let Some(key) = self.key.take() {
            self.entries.push((key, value));
            return Ok(());
        }
        let text = match value.shape {
            Shape::Text(text) | Shape::Number(text) => text,
            Shape::Bool(value) => value.to_string().into(),
            Shape::Null => "null".into(),
            Shape::List(_) | Shape::Object(_) => {
                return Err(syntax("a key must be a string, not a list or a mapping", at));
            }
        };
        if !self.keys.insert(text.clone()) {
            return Err(syntax(format!("duplicate key `{text}`"), at));
        }
        self.key = Some(Key { at, text });
        Ok(())
    }
}

/// The approximate size of the value in bytes, and the number of its levels.
fn measure(value: &Located<'_>) -> (usize, usize) {
    match &value.shape {
        Shape::Null | Shape::Bool(_) => (4, 1),
        Shape::Number(text) | Shape::Text(text) => (text.len() + 2, 1),
        Shape::List(items) => within(items.iter().map(measure)),
        Shape::Object(entries) => within(entries.iter().map(|(key, value)| {
            let (size, depth) = measure(value);
            (size + key.text.len() + 3, depth)
        })),
    }
}

fn within(members: impl Iterator<Item = (usize, usize)>) -> (usize, usize) {
    let (size, depth) = members.fold((2, 0), |(size, depth), (own, below)| (size + own + 1, depth.max(below)));
    (size, depth + 1)
}

fn too_deep(at: usize) -> Mistake {
    Mistake::new(SpecErrorKind::TooLarge, format!("the value nests deeper than {DATA_DEPTH_MAX} levels"), at)
}

fn unknown_tag(tag: &Tag, at: usize) -> Mistake {
    syntax(format!("unsupported tag `{}`", tag.original()), at)
}

fn scalar<'t>(text: Cow<'t, str>, style: ScalarStyle, tag: Option<&Tag>, at: usize) -> Result<Shape<'t>, Mistake> {
    let Some(tag) = tag else {
        return if style == ScalarStyle::Plain { plain(text, at) } else { Ok(Shape::Text(text)) };
    };
    let shape = match tag.core_suffix() {
        Some("str") => return Ok(Shape::Text(text)),
        // A bare `!` means a string, whatever it looks like.
        None if tag.handle().is_empty() && tag.suffix() == "!" => return Ok(Shape::Text(text)),
        Some("null" | "bool" | "int" | "float") => plain(text, at)?,
        _ => return Err(unknown_tag(tag, at)),
    };
    match (&shape, tag.core_suffix()) {
        (Shape::Null, Some("null")) | (Shape::Bool(_), Some("bool")) | (Shape::Number(_), Some("float")) => Ok(shape),
        (Shape::Number(number), Some("int")) if !number.contains(['.', 'e', 'E']) => Ok(shape),
        _ => Err(syntax(format!("the value does not match the tag `{}`", tag.original()), at)),
    }
}

/// Resolves an unquoted scalar.
fn plain(text: Cow<'_, str>, at: usize) -> Result<Shape<'_>, Mistake> {
    match &*text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Shape::Null),
        "true" | "True" | "TRUE" => return Ok(Shape::Bool(true)),
        "false" | "False" | "FALSE" => return Ok(Shape::Bool(false)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" | "-.inf" | "-.Inf" | "-.INF" | ".nan" | ".NaN"
        | ".NAN" => return Err(syntax(format!("JSON has no number `{text}`; quote it to use it as a string"), at)),
        _ => {}
    }
    Ok(match number(&text) {
        Some(number) => Shape::Number(Cow::Owned(number)),
        None => Shape::Text(text),
    })
}

/// The number that the text denotes, in JSON notation.
fn number(text: &str) -> Option<String> {
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(digits, 16);
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(digits, 8);
    }
    let (sign, rest) = match text.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (mantissa, exponent) = match rest.find(['e', 'E']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let (whole, fraction) = mantissa.split_once('.').map_or((mantissa, None), |(whole, rest)| (whole, Some(rest)));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let some = !whole.is_empty() || fraction.is_some_and(|fraction| !fraction.is_empty());
    if !some || !digits(whole) || !fraction.is_none_or(digits) {
        return None;
    }
    if let Some(exponent) = exponent.get(1..) {
        let power = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
        if power.is_empty() || !digits(power) {
            return None;
        }
    }
    let whole = Some(whole.trim_start_matches('0')).filter(|whole| !whole.is_empty()).unwrap_or("0");
    let fraction = fraction.map(|fraction| format!(".{}", if fraction.is_empty() { "0" } else { fraction }));
    let fraction = fraction.unwrap_or_default();
    let sign = if whole == "0" && fraction.is_empty() && exponent.is_empty() { "" } else { sign };
    Some(format!("{sign}{whole}{fraction}{exponent}"))
}

fn radix(digits: &str, base: u32) -> Option<String> {
    let plain = digits.bytes().all(|byte| byte.is_ascii_alphanumeric());
    u64::from_str_radix(digits, base).ok().filter(|_| plain).map(|number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_core_schema() {
        for (text, expected) in [
            ("0", Some("0")),
            ("-0", Some("0")),
            ("+12", Some("12")),
            ("007", Some("7")),
            ("0x1F", Some("31")),
            ("0o17", Some("15")),
            ("1.", Some("1.0")),
            (".5", Some("0.5")),
            ("-1.50e+03", Some("-1.50e+03")),
            ("1_000", None),
            ("1.2.3", None),
            ("e5", None),
            (".", None),
            ("-", None),
            ("0x", None),
            ("0x+1", None),
            ("1e", None),
            ("12:30", None),
        ] {
            let found = number(text);
            assert_eq!(found.as_deref(), expected, "{text}");
            let parsed = found.map(|number| number.parse::<serde_json::Number>());
            assert!(parsed.is_none_or(|number| number.is_ok()), "{text}");
        }
    }
}
