//! Words: quotes, expansions, substitutions, and the bodies of here-documents.

use super::parser::{Here, Parser};
use super::{Unclear, Word};

/// Where an expansion stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Bare,
    /// Between double quotes, or in a here-document.
    Quoted,
}

impl Parser<'_> {
    /// Reads one word; empty where none begins.
    pub(super) fn word(&mut self) -> Result<Word, Unclear> {
        let mut word = Word::default();
        while let Some(one) = self.peek(0) {
            match one {
                ' ' | '\t' | '\n' | ';' | '&' | '|' | '<' | '>' | '(' | ')' => break,
                _ if self.is_continuation() => self.at += 2,
                '\\' => {
                    let Some(escaped) = self.peek(1) else { return Err("it ends with a backslash".to_owned()) };
                    word.is_quoted = true;
                    word.push(escaped);
                    self.at += 2;
                }
                '\'' => {
                    self.at += 1;
                    let text = self.until_single_quote()?;
                    word.is_quoted = true;
                    text.chars().for_each(|one| word.push(one));
                }
                '"' => {
                    self.at += 1;
                    word.is_quoted = true;
                    self.double_quoted(&mut word)?;
                }
                '$' => self.dollar(&mut word, Place::Bare)?,
                '`' => {
                    self.backquoted()?;
                    word.push_any(true);
                }
                '*' | '?' => {
                    self.at += 1;
                    word.push_any(false);
                    word.is_pattern = true;
                }
                '[' if self.is_pattern() => {
                    // Where it ends depends on quotes within it.
                    self.at += 1;
                    word.push_any(true);
                }
                // Brace expansion, where the shell has it.
                '{' if self.peek(1).is_some_and(|next| !matches!(next, '}' | ' ' | '\t' | '\n' | ';')) => {
                    self.at += 1;
                    word = Word { pieces: Vec::new(), ..word };
                    word.push_any(true);
                }
                _ => {
                    word.push(one);
                    self.at += 1;
                }
            }
        }
        Ok(word)
    }

    /// Whether the `[` here may begin a pattern: not the command `[`, nor `[[`.
    fn is_pattern(&self) -> bool {
        let is_blank = |one: Option<char>| matches!(one, None | Some(' ' | '\t' | '\n'));
        let is_command = is_blank(self.peek(1)) || (self.peek(1) == Some('[') && is_blank(self.peek(2)));
        !is_command && self.last_bracket.is_some_and(|last| last > self.at)
    }

    fn until_single_quote(&mut self) -> Result<String, Unclear> {
        let rest = &self.text[self.at..];
        let end = rest.iter().position(|one| *one == '\'').ok_or("a quote without its end")?;
        self.at += end + 1;
        Ok(rest[..end].iter().collect())
    }

    fn double_quoted(&mut self, word: &mut Word) -> Result<(), Unclear> {
        loop {
            match self.peek(0).ok_or("a quote without its end")? {
                '"' => {
                    self.at += 1;
                    return Ok(());
                }
                _ => self.quoted_one(word)?,
            }
        }
    }

    /// One character between double quotes or in a here-document.
    fn quoted_one(&mut self, word: &mut Word) -> Result<(), Unclear> {
        match (self.peek(0), self.peek(1)) {
            (Some('\\'), Some('\n')) => self.at += 2,
            (Some('\\'), Some(escaped @ ('$' | '`' | '"' | '\\'))) => {
                word.push(escaped);
                self.at += 2;
            }
            (Some('$'), _) => self.dollar(word, Place::Quoted)?,
            (Some('`'), _) => {
                self.backquoted()?;
                word.push_any(false);
            }
            (Some(one), _) => {
                word.push(one);
                self.at += 1;
            }
            (None, _) => {}
        }
        Ok(())
    }

    /// What begins with `$`.
    fn dollar(&mut self, word: &mut Word, place: Place) -> Result<(), Unclear> {
        self.at += 1;
        if self.is_continuation() {
            return Err("a line break within an expansion".to_owned());
        }
        let is_bare = place == Place::Bare;
        match self.peek(0) {
            Some('(') => {
                self.at += 1;
                if self.peek(0) == Some('(') {
                    self.arithmetic()?;
                } else {
                    self.nested(|parser| parser.list(Some(')')))?;
                }
                word.push_any(is_bare);
            }
            Some('{') => {
                self.at += 1;
                let is_list = self.nested_parameter(place)?;
                word.push_any(is_bare || is_list);
            }
            Some('\'') if is_bare => {
                // `$'…'`: escapes in bash, a `$` and quoted text in others.
                self.at += 1;
                if self.until_single_quote()?.contains('\\') {
                    return Err("`$'…'` with escapes has several meanings".to_owned());
                }
                word.push_any(true);
            }
            Some('"') if is_bare => word.push_any(true),
            Some('[') => return Err("`$[` has several meanings".to_owned()),
            Some(one) if one.is_ascii_alphanumeric() || "_@*#?-$!".contains(one) => {
                self.at += 1;
                if one.is_ascii_alphabetic() || one == '_' {
                    while self.peek(0).is_some_and(|one| one.is_ascii_alphanumeric() || one == '_') {
                        self.at += 1;
                    }
                }
                if self.is_continuation() {
                    return Err("a line break within an expansion".to_owned());
                }
                word.push_any(is_bare || one == '@');
            }
            _ => word.push('$'),
        }
        Ok(())
    }

    /// `$((…))` of names, numbers and operators; `self.at` is at the second parenthesis.
    fn arithmetic(&mut self) -> Result<(), Unclear> {
        self.at += 1;
        let mut open = 0_usize;
        while let Some(one) = self.peek(0) {
            self.at += 1;
            match one {
                '(' => open += 1,
                ')' if open > 0 => open -= 1,
                ')' if self.peek(0) == Some(')') => {
                    self.at += 1;
                    return Ok(());
                }
                _ if one.is_ascii_alphanumeric() || " _+-*/%<>=!&|^~?:,$".contains(one) => {}
                _ => break,
            }
        }
        Err("arithmetic that may be a command".to_owned())
    }

    fn nested_parameter(&mut self, place: Place) -> Result<bool, Unclear> {
        let mut is_list = false;
        self.nested(|parser| {
            is_list = parser.parameter(place)?;
            Ok(())
        })?;
        Ok(is_list)
    }

    /// `${…}`; `self.at` is after its brace. Returns whether it may be several words although it is quoted.
    fn parameter(&mut self, place: Place) -> Result<bool, Unclear> {
        if self.depth > super::DEPTH_MAX {
            return Err("it is nested too deeply".to_owned());
        }
        let start = self.at;
        let mut inner = Word::default();
        loop {
            match self.peek(0).ok_or("`${` without its `}`")? {
                '}' => break,
                '\'' if place == Place::Quoted => {
                    return Err("a quote within `\"${…}\"` has several meanings".to_owned());
                }
                '\'' => {
                    self.at += 1;
                    self.until_single_quote()?;
                }
                '"' if place == Place::Quoted => {
                    return Err("a quote within `\"${…}\"` has several meanings".to_owned());
                }
                '"' => {
                    self.at += 1;
                    self.double_quoted(&mut inner)?;
                }
                '{' => return Err("a brace within `${…}`".to_owned()),
                '\\' => self.at += 2,
                _ => self.quoted_one(&mut inner)?,
            }
        }
        let text: String = self.text[start..self.at.min(self.text.len())].iter().collect();
        self.at += 1;
        // bash: `${x@P}` runs commands that the value holds.
        let transforms = text.rsplit_once('@').is_some_and(|(_, last)| last.len() == 1 && last != "]");
        if transforms {
            return Err("`${…@…}` may run what a value holds".to_owned());
        }
        Ok(text.contains('@'))
    }

    /// A substitution between backquotes; its text is parsed on its own.
    fn backquoted(&mut self) -> Result<(), Unclear> {
        self.at += 1;
        let mut text = String::new();
        loop {
            match (self.peek(0), self.peek(1)) {
                (None, _) => return Err("a backquote without its end".to_owned()),
                (Some('`'), _) => break,
                (Some('\\'), Some(escaped @ ('`' | '\\' | '$'))) => {
                    text.push(escaped);
                    self.at += 2;
                }
                // Within double quotes `\"` is `"` in some shells and `\"` in others.
                (Some('\\'), Some('"')) => return Err("an escaped quote within backquotes".to_owned()),
                (Some(one), _) => {
                    text.push(one);
                    self.at += 1;
                }
            }
        }
        self.at += 1;
        self.nested(|parser| Parser::new(&text, parser.depth, &mut *parser.parts).script())
    }

    /// The bodies of the here-documents of the line that has ended.
    pub(super) fn here_documents(&mut self) -> Result<(), Unclear> {
        for here in std::mem::take(&mut self.pending) {
            let body = self.here_body(&here)?;
            if !here.is_quoted {
                self.nested(|parser| {
                    let mut inner = Parser::new(&body, parser.depth, &mut *parser.parts);
                    let mut word = Word::default();
                    while inner.peek(0).is_some() {
                        inner.quoted_one(&mut word)?;
                    }
                    Ok(())
                })?;
            }
        }
        Ok(())
    }

    fn here_body(&mut self, here: &Here) -> Result<String, Unclear> {
        let mut body = String::new();
        while self.at < self.text.len() {
            let rest = &self.text[self.at..];
            let end = rest.iter().position(|one| *one == '\n').unwrap_or(rest.len());
            let line: String = rest[..end].iter().collect();
            self.at = (self.at + end + 1).min(self.text.len());
            let compared = if here.strips_tabs { line.trim_start_matches('\t') } else { &line };
            if compared == here.delimiter {
                return Ok(body);
            }
            let backslashes = line.len() - line.trim_end_matches('\\').len();
            if !here.is_quoted && backslashes % 2 == 1 {
                return Err("a here-document with a continued line".to_owned());
            }
            body.push_str(&line);
            body.push('\n');
        }
        Err("a here-document without its end".to_owned())
    }
}
