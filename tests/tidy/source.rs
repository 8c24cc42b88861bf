//! One Rust file as the rules see it: its code with comments and literals blanked out, so that no rule mistakes a word in a
//! sentence for code. A scanner, not a parser: it knows enough of Rust to keep line numbers and braces correct.

use std::fs;
use std::ops::Range;
use std::path::Path;

/// A file of the repository.
pub(crate) struct Source {
    /// From the repository's root, with `/`.
    pub(crate) path: String,
    /// As written.
    pub(crate) text: String,
    /// The same lines with every comment and every literal's content replaced by blanks.
    pub(crate) code: Vec<char>,
    test_blocks: Vec<Range<usize>>,
}

impl Source {
    pub(crate) fn new(path: &str, text: &str) -> Self {
        let code = blank_out(text);
        let test_blocks = test_blocks(&code);
        Self { path: path.to_owned(), text: text.to_owned(), code, test_blocks }
    }

    /// The line, counted from 1, that holds the given position of `code`.
    pub(crate) fn line_of(&self, position: usize) -> usize {
        1 + self.code[..position].iter().filter(|c| **c == '\n').count()
    }

    /// Whether the position is test code: a whole file of tests, or a `#[cfg(test)]` item.
    pub(crate) fn is_test(&self, position: usize) -> bool {
        self.is_test_file() || self.test_blocks.iter().any(|block| block.contains(&position))
    }

    /// Whether the file holds nothing but tests or benchmarks.
    pub(crate) fn is_test_file(&self) -> bool {
        let mut folders: Vec<&str> = self.path.split('/').collect();
        let name = folders.pop().unwrap_or_default();
        name == "tests.rs" || folders.iter().any(|folder| *folder == "tests" || *folder == "benches")
    }

    /// How many lines are not test code. Comments and blank lines count: they are read too.
    pub(crate) fn lines_without_tests(&self) -> usize {
        if self.is_test_file() {
            return 0;
        }
        let in_tests: usize = self.test_blocks.iter().map(|block| newlines(&self.code[block.clone()])).sum();
        self.text.lines().count() - in_tests
    }

    /// Whether the word (letters, digits, underscores) stands at the position.
    pub(crate) fn word_at(&self, position: usize) -> &[char] {
        let length = self.code[position..].iter().take_while(|c| is_word(**c)).count();
        &self.code[position..position + length]
    }

    /// The first position from here on that is not white space.
    pub(crate) fn skip_blanks(&self, position: usize) -> usize {
        position + self.code[position..].iter().take_while(|c| c.is_whitespace()).count()
    }

    pub(crate) fn starts_with(&self, position: usize, what: &str) -> bool {
        what.chars().enumerate().all(|(offset, c)| self.code.get(position + offset) == Some(&c))
    }
}

pub(crate) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn newlines(code: &[char]) -> usize {
    code.iter().filter(|c| **c == '\n').count()
}

/// Every Rust file below `root`, build products and hidden folders excepted, in a stable order.
pub(crate) fn read_tree(root: &Path) -> Vec<Source> {
    let mut folders = vec![root.to_path_buf()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the repository can be listed") {
            let path = entry.expect("a folder of the repository can be listed").path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if path.is_dir() && !path.is_symlink() && name != "target" && !name.starts_with('.') {
                folders.push(path);
            } else if path.is_file() && name.ends_with(".rs") {
                let text = fs::read_to_string(&path).expect("a source file is readable UTF-8");
                let relative = path.strip_prefix(root).expect("the walk began at the root");
                sources.push(Source::new(&relative.to_string_lossy().replace('\\', "/"), &text));
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

/// The position after the bracket that closes the one at `open`.
pub(crate) fn end_of_block(code: &[char], open: usize) -> usize {
    let mut depth = 0_usize;
    for (offset, c) in code[open..].iter().enumerate() {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return open + offset + 1;
        }
    }
    code.len()
}

/// The items behind `#[cfg(test)]` and `#[cfg(all(test, ...))]`, attribute included.
fn test_blocks(code: &[char]) -> Vec<Range<usize>> {
    let text: String = code.iter().collect();
    let mut blocks = Vec::new();
    // NOTE: positions are those of characters, and `find` gives bytes; the code is searched as characters instead.
    for start in 0..code.len() {
        let marked = ["#[cfg(test)]", "#[cfg(all(test,"].iter().any(|mark| matches_at(code, start, mark));
        if marked {
            let body = code[start..].iter().position(|c| *c == '{' || *c == ';').map(|offset| start + offset);
            let end = match body {
                Some(open) if code[open] == '{' => end_of_block(code, open),
                Some(semicolon) => semicolon + 1,
                None => text.chars().count(),
            };
            blocks.push(start..end);
        }
    }
    blocks
}

fn matches_at(code: &[char], position: usize, what: &str) -> bool {
    what.chars().enumerate().all(|(offset, c)| code.get(position + offset) == Some(&c))
}

fn blank_out(text: &str) -> Vec<char> {
    let mut code: Vec<char> = text.chars().collect();
    for region in regions(&code) {
        for c in &mut code[region] {
            if *c != '\n' {
                *c = ' ';
            }
        }
    }
    code
}

/// The comments and literals of a file.
fn regions(code: &[char]) -> Vec<Range<usize>> {
    let mut regions = Vec::new();
    let mut position = 0;
    while position < code.len() {
        let end = match code[position] {
            '/' if matches_at(code, position, "//") => end_of_line(code, position),
            '/' if matches_at(code, position, "/*") => end_of_comment(code, position),
            '"' => end_of_string(code, position + 1),
            '\'' => end_of_character(code, position),
            'r' | 'b' | 'c' if position == 0 || !is_word(code[position - 1]) => end_of_raw_string(code, position),
            _ => position,
        };
        if end > position {
            regions.push(position..end);
        }
        position = end.max(position + 1);
    }
    regions
}

/// What people read in a Rust file: a literal, or a comment with the comments on the lines after it.
pub(crate) struct Prose {
    /// Where it begins, in characters.
    pub(crate) position: usize,
    pub(crate) is_comment: bool,
    pub(crate) text: String,
}

pub(crate) fn prose(text: &str) -> Vec<Prose> {
    let code: Vec<char> = text.chars().collect();
    let mut pieces: Vec<Prose> = Vec::new();
    let mut end_of_last = 0;
    for region in regions(&code) {
        let is_comment = code[region.start] == '/';
        let gap = &code[end_of_last..region.start];
        let goes_on = is_comment && gap.iter().all(|c| c.is_whitespace()) && newlines(gap) == 1;
        let read = code[region.clone()].iter().map(|c| if matches!(c, '/' | '!') { &' ' } else { c });
        match pieces.last_mut().filter(|last| goes_on && last.is_comment) {
            Some(last) => last.text.extend(gap.iter().chain(read)),
            None => pieces.push(Prose { position: region.start, is_comment, text: read.collect() }),
        }
        end_of_last = region.end;
    }
    pieces
}

fn end_of_line(code: &[char], start: usize) -> usize {
    code[start..].iter().position(|c| *c == '\n').map_or(code.len(), |offset| start + offset)
}

fn end_of_comment(code: &[char], start: usize) -> usize {
    let (mut depth, mut position) = (0_usize, start);
    while position < code.len() {
        if matches_at(code, position, "/*") {
            depth += 1;
            position += 2;
        } else if matches_at(code, position, "*/") {
            depth -= 1;
            position += 2;
        } else {
            position += 1;
        }
        if depth == 0 {
            return position;
        }
    }
    code.len()
}

fn end_of_string(code: &[char], mut position: usize) -> usize {
    while position < code.len() {
        match code[position] {
            '\\' => position += 2,
            '"' => return position + 1,
            _ => position += 1,
        }
    }
    code.len()
}

/// A character literal's end, or `start` for a lifetime.
fn end_of_character(code: &[char], start: usize) -> usize {
    if code.get(start + 1) == Some(&'\\') {
        let closing = code.iter().skip(start + 3).position(|c| *c == '\'');
        closing.map_or(code.len(), |offset| start + 3 + offset + 1)
    } else if code.get(start + 2) == Some(&'\'') {
        start + 3
    } else {
        start
    }
}

/// The end of `r"..."`, `br#"..."#` and the like, or `start` where no raw string begins.
fn end_of_raw_string(code: &[char], start: usize) -> usize {
    let prefix = code[start..].iter().take_while(|c| matches!(c, 'r' | 'b' | 'c')).count();
    let raw = code[start..start + prefix].ends_with(&['r']);
    let hashes = code[start + prefix..].iter().take_while(|c| **c == '#').count();
    if !raw || code.get(start + prefix + hashes) != Some(&'"') {
        return start;
    }
    let closing: String = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let first = start + prefix + hashes + 1;
    (first..code.len()).find(|at| matches_at(code, *at, &closing)).map_or(code.len(), |at| at + 1 + hashes)
}

#[test]
fn comments_and_literals_are_blank_and_code_is_not() {
    let cases = [
        ("a // use tokio::x\nb", "a                \nb"),
        ("a /* b /* c */ d */ e", "a                   e"),
        (r#"f("tokio::spawn \" {"); g"#, "f(                   ); g"),
        ("f(r#\"a \" {\"#); g", "f(          ); g"),
        ("x('{', '\\'', '\\u{7d}'); &'a str", "x(   ,     ,         ); &'a str"),
        ("r#type; b(r, c); br\"a{\"", "r#type; b(r, c);       "),
    ];
    for (text, expected) in cases {
        assert_eq!(blank_out(text).iter().collect::<String>(), expected, "of {text}");
    }
}

#[test]
fn test_items_are_told_from_the_rest() {
    let source = Source::new("a/src/b.rs", "one\n#[cfg(test)]\nmod tests {\n    two { }\n}\nthree\n");
    assert_eq!(source.lines_without_tests(), 3);
    let position = |word: &str| source.text.find(word).expect("the text is ASCII and holds the word");
    assert!(source.is_test(position("two")));
    assert!(!source.is_test(position("three")));
    assert!(Source::new("a/tests/it/b.rs", "").is_test_file());
    assert!(!Source::new("a/src/contests.rs", "").is_test_file());
}
