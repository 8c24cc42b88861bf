//! Files of at most 400 lines (tests beside the code not counted), functions of at most 70.
//!
//! The lists of exceptions may only shrink: each names its length today, and one that is no longer needed is a breach itself.

use super::Breach;
use super::source::{Source, end_of_block, is_word};

/// Longer, and a file holds more than one thing.
const FILE_LINES_MAX: usize = 400;

/// Longer, and a function does more than one thing. The same as in `clippy.toml`: lines of code between its braces.
const FUNCTION_LINES_MAX: usize = 70;

/// Files that are longer: path, lines today.
pub(crate) const LONG_FILES: &[(&str, usize)] = &[];

/// Functions that are longer: path, name, lines today.
pub(crate) const LONG_FUNCTIONS: &[(&str, &str, usize)] = &[];

pub(crate) fn files(sources: &[Source], exceptions: &[(&str, usize)]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for source in sources {
        let lines = source.lines_without_tests();
        let excepted = exceptions.iter().find(|(path, _)| *path == source.path).map(|(_, lines)| *lines);
        let limit = excepted.unwrap_or(FILE_LINES_MAX);
        if lines > limit {
            breaches.push(Breach::new(source, limit + 1, format!("the file has {lines} lines, of at most {limit}")));
        }
    }
    for (path, _) in exceptions {
        let lines = sources.iter().find(|source| source.path == *path).map_or(0, Source::lines_without_tests);
        if lines <= FILE_LINES_MAX {
            breaches.push(Breach::stale(path, format!("has {lines} lines: take it off LONG_FILES")));
        }
    }
    breaches
}

pub(crate) fn functions(sources: &[Source], exceptions: &[(&str, &str, usize)]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut needed = Vec::new();
    for source in sources {
        for function in functions_of(source) {
            let lines = function.lines;
            let excepted = exceptions.iter().find(|(path, name, _)| *path == source.path && *name == function.name);
            let limit = excepted.map_or(FUNCTION_LINES_MAX, |(_, _, lines)| *lines);
            if lines > FUNCTION_LINES_MAX {
                needed.push((source.path.clone(), function.name.clone()));
            }
            if lines > limit {
                let what = format!("`{}` has {lines} lines of code, of at most {limit}", function.name);
                breaches.push(Breach::new(source, function.line, what));
            }
        }
    }
    for (path, name, _) in exceptions {
        if !needed.iter().any(|(file, function)| file == path && function == name) {
            breaches.push(Breach::stale(path, format!("`{name}` is not too long: take it off LONG_FUNCTIONS")));
        }
    }
    breaches
}

struct Function {
    name: String,
    line: usize,
    /// Lines with code on them, between the braces.
    lines: usize,
}

fn functions_of(source: &Source) -> Vec<Function> {
    let code = &source.code;
    let mut found = Vec::new();
    for position in 0..code.len() {
        let begins = position == 0 || !is_word(code[position - 1]);
        if !begins || !source.word_at(position).iter().collect::<String>().eq("fn") {
            continue;
        }
        let name: String = source.word_at(source.skip_blanks(position + 2)).iter().collect();
        // NOTE: a type `fn(A) -> B` has no name, a trait's method may have no body.
        if let Some(open) = body(source, position).filter(|_| !name.is_empty()) {
            let body: String = code[open..end_of_block(code, open)].iter().collect();
            let lines = body.lines().filter(|line| !line.trim().is_empty()).count().saturating_sub(2);
            found.push(Function { name, line: source.line_of(position), lines });
        }
    }
    found
}

/// The opening brace of the function whose `fn` is at `position`.
fn body(source: &Source, position: usize) -> Option<usize> {
    let mut at = position;
    while let Some(c) = source.code.get(at) {
        match c {
            '{' => return Some(at),
            ';' | '}' => return None,
            '(' | '[' => at = end_of_block(&source.code, at),
            _ => at += 1,
        }
    }
    None
}

#[test]
fn a_long_file_is_found_and_its_tests_do_not_count() {
    let long = Source::new("a/src/long.rs", &"x\n".repeat(401));
    let tested = Source::new(
        "a/src/tested.rs",
        &format!("{}#[cfg(test)]\nmod t {{\n{}}}\n", "x\n".repeat(390), "x\n".repeat(50)),
    );
    let tests = Source::new("a/tests/it/long.rs", &"x\n".repeat(2000));
    let sources = [long, tested, tests];
    let found = files(&sources, &[]);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].path.as_str(), found[0].line), ("a/src/long.rs", 401));
    assert!(files(&sources, &[("a/src/long.rs", 401)]).is_empty());
    assert_eq!(files(&sources, &[("a/src/long.rs", 400)]).len(), 1, "an exception is a ceiling");
    let stale = [("a/src/long.rs", 401), ("a/src/tested.rs", 500), ("a/src/gone.rs", 500)];
    assert_eq!(files(&sources, &stale).len(), 2, "an exception that nobody needs is a breach");
}

#[test]
fn a_long_function_is_found_and_comments_do_not_count() {
    let function = |lines: usize| {
        format!("impl A {{\n    fn f(x: [u8; 4]) -> fn() {{\n{}    }}\n}}\n", "        x();\n".repeat(lines))
    };
    let source = |text: &str| [Source::new("a/src/b.rs", text)];
    assert!(functions(&source(&function(70)), &[]).is_empty());
    let found = functions(&source(&function(71)), &[]);
    assert_eq!((found.len(), found[0].line), (1, 2));
    assert!(functions(&source(&format!("fn f() {{\n{}}}\n", "    // why\n".repeat(99))), &[]).is_empty());
    assert!(functions(&source(&function(71)), &[("a/src/b.rs", "f", 71)]).is_empty());
    assert_eq!(functions(&source(&function(70)), &[("a/src/b.rs", "f", 71)]).len(), 1, "stale");
    assert!(functions(&source("trait T { fn f(&self); }\nfn g() {}\n"), &[]).is_empty());
}
