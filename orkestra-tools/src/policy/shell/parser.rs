//! From text to simple commands: words, separators, compound commands, redirections. It needs no tree: it only has to know
//! where a command begins.

use super::{DEPTH_MAX, Part, Unclear, Word};

/// Words before a command that are not part of it.
pub(super) const OPENING: [&str; 9] = ["if", "then", "elif", "else", "while", "until", "do", "{", "!"];
/// Words after which a compound command is over.
const CLOSING: [&str; 3] = ["fi", "done", "}"];
/// Where shells differ, or where words are not commands in a way that this parser does not follow.
const UNKNOWN: [&str; 5] = ["case", "esac", "function", "select", "coproc"];

pub(super) struct Parser<'parts> {
    pub(super) text: Vec<char>,
    pub(super) at: usize,
    pub(super) depth: usize,
    pub(super) parts: &'parts mut Vec<Part>,
    /// Here-documents whose bodies begin at the next line.
    pub(super) pending: Vec<Here>,
    /// The position of the last `]`.
    pub(super) last_bracket: Option<usize>,
}

/// A here-document.
pub(super) struct Here {
    pub(super) delimiter: String,
    pub(super) is_quoted: bool,
    pub(super) strips_tabs: bool,
}

/// The command that is being read.
#[derive(Default)]
struct Current {
    words: Vec<Word>,
    assigned: Vec<String>,
    writes: Vec<Word>,
    /// After `fi`, `done`, `}` or `)`: only redirections may follow.
    is_closed: bool,
    /// After `&> file`, which dash reads as the end of a command and bash does not.
    is_ambiguous: bool,
}

impl<'parts> Parser<'parts> {
    pub(super) fn new(text: &str, depth: usize, parts: &'parts mut Vec<Part>) -> Self {
        let text: Vec<char> = text.chars().collect();
        let last_bracket = text.iter().rposition(|one| *one == ']');
        Self { text, at: 0, depth, parts, pending: Vec::new(), last_bracket }
    }

    pub(super) fn script(&mut self) -> Result<(), Unclear> {
        if self.text.contains(&'\0') {
            return Err("it contains a NUL character".to_owned());
        }
        self.list(None)
    }

    /// Reads commands up to `end` or the end of the text.
    pub(super) fn list(&mut self, end: Option<char>) -> Result<(), Unclear> {
        if self.depth > DEPTH_MAX {
            return Err("it is nested too deeply".to_owned());
        }
        let mut current = Current::default();
        loop {
            self.skip_blanks();
            let Some(one) = self.peek(0) else { break };
            match one {
                '#' => self.skip_comment(),
                '\n' => {
                    self.finish(&mut current);
                    self.at += 1;
                    self.here_documents()?;
                }
                '&' if self.peek(1) == Some('>') => {
                    self.at += 1;
                    self.redirection(&mut current)?;
                    current.is_ambiguous = true;
                }
                ';' | '&' | '|' => {
                    if one == ';' && matches!(self.peek(1), Some(';' | '&')) {
                        return Err("`;;` belongs to `case`, which is not followed".to_owned());
                    }
                    self.finish(&mut current);
                    let is_double = one != ';' && self.peek(1) == Some(one);
                    self.at += if is_double { 2 } else { 1 };
                }
                '<' | '>' => self.redirection(&mut current)?,
                '(' => self.parenthesis(&mut current)?,
                ')' if end == Some(')') => break,
                ')' => return Err("a `)` without its `(`".to_owned()),
                _ => self.next_word(&mut current)?,
            }
        }
        self.finish(&mut current);
        match end {
            None if !self.pending.is_empty() => Err("a here-document without its end".to_owned()),
            None => Ok(()),
            Some(_) if self.peek(0).is_none() => Err("a `(` without its `)`".to_owned()),
            Some(_) if !self.pending.is_empty() => Err("a here-document that goes on after its command".to_owned()),
            Some(_) => {
                self.at += 1;
                Ok(())
            }
        }
    }

    fn next_word(&mut self, current: &mut Current) -> Result<(), Unclear> {
        let word = self.word()?;
        let is_number =
            word.literal().is_some_and(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()));
        if is_number && !word.is_quoted && matches!(self.peek(0), Some('<' | '>')) {
            return self.redirection(current);
        }
        if current.is_closed || current.is_ambiguous {
            return Err(format!("`{}` where a separator is expected", word.show()));
        }
        let text = word.literal().filter(|_| !word.is_quoted).unwrap_or_default();
        if current.words.is_empty() && current.assigned.is_empty() {
            match text {
                "for" => return self.for_words(),
                _ if OPENING.contains(&text) => return Ok(()),
                _ if CLOSING.contains(&text) => {
                    current.is_closed = true;
                    return Ok(());
                }
                _ if UNKNOWN.contains(&text) => return Err(format!("`{text}` is not followed")),
                _ => {}
            }
        }
        match assignment(&word) {
            Some(name) if current.words.is_empty() => current.assigned.push(name?),
            _ => current.words.push(word),
        }
        Ok(())
    }

    /// `for NAME in WORDS`: its words are no commands.
    fn for_words(&mut self) -> Result<(), Unclear> {
        self.skip_blanks();
        let name = self.word()?;
        if !name.literal().is_some_and(is_name) {
            return Err("`for` without a name".to_owned());
        }
        self.skip_blanks();
        while self.peek(0).is_some_and(|one| !matches!(one, ';' | '\n' | '&' | '|' | '<' | '>' | '(' | ')' | '#')) {
            self.word()?;
            self.skip_blanks();
        }
        Ok(())
    }

    /// A subshell, or the `()` of a function.
    fn parenthesis(&mut self, current: &mut Current) -> Result<(), Unclear> {
        if current.is_closed || current.is_ambiguous || !current.assigned.is_empty() || !current.writes.is_empty() {
            return Err("a `(` where a separator is expected".to_owned());
        }
        self.at += 1;
        if current.words.is_empty() {
            if self.peek(0) == Some('(') {
                return Err("`((` has two meanings".to_owned());
            }
            self.nested(|parser| parser.list(Some(')')))?;
            current.is_closed = true;
            return Ok(());
        }
        self.skip_blanks();
        let is_function = current.words.len() == 1 && current.words[0].literal().is_some_and(is_name);
        if !is_function || self.peek(0) != Some(')') {
            return Err("a `(` within a command".to_owned());
        }
        self.at += 1;
        // The commands of its body follow; they count as if they ran.
        current.words.clear();
        Ok(())
    }

    /// Parses something inside something else.
    pub(super) fn nested(&mut self, read: impl FnOnce(&mut Self) -> Result<(), Unclear>) -> Result<(), Unclear> {
        if !self.pending.is_empty() {
            return Err("a here-document and a nested command in one line".to_owned());
        }
        self.depth += 1;
        let result = read(self);
        self.depth -= 1;
        result
    }

    /// A redirection; `self.at` is at its operator.
    fn redirection(&mut self, current: &mut Current) -> Result<(), Unclear> {
        let start = self.at;
        while matches!(self.peek(0), Some('<' | '>')) && self.at - start < 3 {
            self.at += 1;
        }
        if matches!(self.peek(0), Some('&' | '|')) && self.at - start == 1 {
            self.at += 1;
        }
        let mut operator: String = self.text[start..self.at].iter().collect();
        if operator == "<<" && self.peek(0) == Some('-') {
            self.at += 1;
            operator.push('-');
        }
        if !matches!(operator.as_str(), "<" | ">" | ">>" | "<<" | "<<-" | "<<<" | "<>" | "<&" | ">&" | ">|")
            || self.peek(0) == Some('(')
            || self.is_continuation()
        {
            return Err(format!("`{operator}` and what follows it are not followed"));
        }
        self.skip_blanks();
        let target = self.word()?;
        if target.pieces.is_empty() && !target.is_quoted {
            return Err(format!("`{operator}` without a target"));
        }
        match operator.as_str() {
            "<<" | "<<-" => {
                let delimiter = target.literal().filter(|text| !text.contains('\n'));
                let delimiter = delimiter.ok_or("a here-document whose end is not known")?.to_owned();
                self.pending.push(Here { delimiter, is_quoted: target.is_quoted, strips_tabs: operator == "<<-" });
            }
            ">&" if target
                .literal()
                .is_some_and(|text| text == "-" || text.bytes().all(|byte| byte.is_ascii_digit())) => {}
            "<" | "<&" | "<<<" => {}
            _ if target.literal().is_some_and(|text| matches!(text, "/dev/null" | "/dev/stdout" | "/dev/stderr")) => {}
            _ => current.writes.push(target),
        }
        Ok(())
    }

    fn finish(&mut self, current: &mut Current) {
        let Current { words, assigned, writes, .. } = std::mem::take(current);
        if words.is_empty() && assigned.is_empty() && writes.is_empty() {
            return;
        }
        let mut part = Part { assigned, writes, ..Part::new(words) };
        if part.text.is_empty() {
            part.text = match part.assigned.first() {
                Some(name) => format!("{name}=…"),
                None => format!("> {}", part.writes.first().map(Word::show).unwrap_or_default()),
            };
        }
        self.parts.push(part);
    }

    pub(super) fn peek(&self, ahead: usize) -> Option<char> {
        self.text.get(self.at + ahead).copied()
    }

    /// A backslash before a newline, which shells drop almost everywhere.
    pub(super) fn is_continuation(&self) -> bool {
        self.peek(0) == Some('\\') && self.peek(1) == Some('\n')
    }

    fn skip_blanks(&mut self) {
        loop {
            match self.peek(0) {
                Some(' ' | '\t') => self.at += 1,
                _ if self.is_continuation() => self.at += 2,
                _ => return,
            }
        }
    }

    fn skip_comment(&mut self) {
        while self.peek(0).is_some_and(|one| one != '\n') {
            self.at += 1;
        }
    }
}

/// The name that the word assigns to, if it is an assignment.
fn assignment(word: &Word) -> Option<Result<String, Unclear>> {
    let (name, _) = word.leading().split_once('=')?;
    let name = name.strip_suffix('+').unwrap_or(name);
    if is_name(name) {
        return Some(Ok(name.to_owned()));
    }
    let is_element = name.split_once('[').is_some_and(|(name, _)| is_name(name));
    is_element.then(|| Err("an element of an array".to_owned()))
}

fn is_name(text: &str) -> bool {
    let mut bytes = text.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}
