//! JSON with positions. serde_json checks the syntax first, so this reader only has to find where each value begins.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use crate::model::limits::DATA_DEPTH_MAX;

use super::error::{Mistake, SpecErrorKind};
use super::located::{Key, Located, Shape};

pub(super) fn read(text: &str) -> Result<Located<'_>, Mistake> {
    if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
        return Err(syntax(text, &error));
    }
    Reader { text, at: 0 }.value(0)
}

fn syntax(text: &str, error: &serde_json::Error) -> Mistake {
    let shown = error.to_string();
    let position = format!(" at line {} column {}", error.line(), error.column());
    let what = shown.strip_suffix(&position).unwrap_or(&shown);
    // serde_json counts columns in bytes from 1; 0 stands for the end of the line before.
    let line_start: usize = text.split_inclusive('\n').take(error.line().saturating_sub(1)).map(str::len).sum();
    let at = (line_start + error.column().saturating_sub(1)).min(text.len());
    let at = (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    Mistake::new(SpecErrorKind::Syntax, format!("invalid JSON: {what}"), at)
}

/// Walks a text that is known to be valid JSON.
struct Reader<'t> {
    text: &'t str,
    at: usize,
}

impl<'t> Reader<'t> {
    fn value(&mut self, depth: usize) -> Result<Located<'t>, Mistake> {
        self.skip_blanks();
        let start = self.at;
        if depth > DATA_DEPTH_MAX {
            let what = format!("the value nests deeper than {DATA_DEPTH_MAX} levels");
            return Err(Mistake::new(SpecErrorKind::TooLarge, what, start));
        }
        let shape = match self.peek() {
            b'{' => self.object(depth)?,
            b'[' => self.list(depth)?,
            b'"' => Shape::Text(self.quoted()?),
            _ => self.word(),
        };
        Ok(Located { at: start, shape, json: Some(&self.text[start..self.at]) })
    }

    fn list(&mut self, depth: usize) -> Result<Shape<'t>, Mistake> {
        let mut items = Vec::new();
        while self.next_member(b']') {
            items.push(self.value(depth + 1)?);
        }
        Ok(Shape::List(items))
    }

    fn object(&mut self, depth: usize) -> Result<Shape<'t>, Mistake> {
        let mut entries = Vec::new();
        while self.next_member(b'}') {
            let key = Key { at: self.at, text: self.quoted()? };
            self.skip_blanks();
            self.at += 1; // the colon
            entries.push((key, self.value(depth + 1)?));
        }
        Ok(Shape::Object(entries))
    }

    /// Moves to the next member of a list or an object. Returns false after the last one.
    fn next_member(&mut self, close: u8) -> bool {
        self.skip_blanks();
        if self.peek() != close {
            self.at += 1;
            self.skip_blanks();
        }
        let closes = self.peek() == close || self.at >= self.text.len();
        self.at += usize::from(closes);
        !closes
    }

    fn quoted(&mut self) -> Result<Cow<'t, str>, Mistake> {
        let start = self.at;
        let mut bytes = self.text.as_bytes()[start..].iter().enumerate().skip(1);
        let mut escaped = false;
        let closing = loop {
            match bytes.next() {
                Some((_, b'\\')) => {
                    escaped = true;
                    bytes.next();
                }
                Some((offset, b'"')) => break offset,
                Some(_) => {}
                None => break self.text.len() - start - 1,
            }
        };
        self.at = start + closing + 1;
        let quoted = &self.text[start..self.at];
        if escaped {
            // serde_json skips escapes in ignored values; half a surrogate pair shows up only here.
            let text = serde_json::from_str(quoted).map_err(|error| {
                let shown = error.to_string();
                let what = shown.split(" at line ").next().unwrap_or(&shown);
                Mistake::new(SpecErrorKind::Syntax, format!("invalid string: {what}"), start)
            })?;
            return Ok(Cow::Owned(text));
        }
        Ok(Cow::Borrowed(quoted.trim_matches('"')))
    }

    fn word(&mut self) -> Shape<'t> {
        let rest = &self.text[self.at..];
        let end = rest.find([',', ']', '}', ' ', '\t', '\r', '\n']).unwrap_or(rest.len());
        self.at += end;
        match &rest[..end] {
            "null" => Shape::Null,
            "true" => Shape::Bool(true),
            "false" => Shape::Bool(false),
            number => Shape::Number(Cow::Borrowed(number)),
        }
    }

    fn skip_blanks(&mut self) {
        let rest = &self.text.as_bytes()[self.at.min(self.text.len())..];
        self.at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
    }

    fn peek(&self) -> u8 {
        self.text.as_bytes().get(self.at).copied().unwrap_or(b' ')
    }
}
