//! Compiles what a model searches for. Errors say where a pattern is wrong and what to write instead. Pure.

use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use grep_regex::{RegexMatcher, RegexMatcherBuilder};
use regex_syntax::ParserBuilder;

use crate::limits::{PATTERN_BYTES_MAX, PATTERN_SIZE_MAX};
use crate::nearest::printable;

/// Compiles a regular expression, or a literal text.
pub(super) fn regex(pattern: &str, literal: bool, ignore_case: bool) -> Result<RegexMatcher, String> {
    if pattern.is_empty() {
        return Err("the pattern is empty; give a text or a regular expression to search for".to_owned());
    }
    if pattern.len() > PATTERN_BYTES_MAX {
        return Err(format!(
            "the pattern has {} bytes, and the limit is {PATTERN_BYTES_MAX}; search for a part of it",
            pattern.len()
        ));
    }
    if !literal {
        place_of_error(pattern)?;
    }
    let mut builder = RegexMatcherBuilder::new();
    builder.fixed_strings(literal).case_insensitive(ignore_case).multi_line(true);
    builder.size_limit(PATTERN_SIZE_MAX).dfa_size_limit(PATTERN_SIZE_MAX);
    if is_crlf(pattern) {
        builder.crlf(true)
    } else {
        builder.line_terminator(Some(b'\n'))
    };
    builder.build(pattern).map_err(|error| match error.kind() {
        grep_regex::ErrorKind::NotAllowed(_) | grep_regex::ErrorKind::Banned(_) => {
            "the pattern contains a newline, and each line is searched on its own; search for one of the lines, with context".to_owned()
        }
        _ => format!("the pattern cannot be compiled: {}; use a simpler one with smaller repetitions", printable(&error.to_string())),
    })
}

/// Whether `$` has to match before the carriage return at the end of a line, which makes other patterns slower.
pub(super) fn is_crlf(pattern: &str) -> bool {
    pattern.contains('$')
}

/// An error with the column when the pattern does not parse.
fn place_of_error(pattern: &str) -> Result<(), String> {
    let parsed = ParserBuilder::new().utf8(false).build().parse(pattern);
    let (column, problem) = match parsed {
        Ok(_) => return Ok(()),
        Err(regex_syntax::Error::Parse(error)) => (error.span().start.column, error.kind().to_string()),
        Err(regex_syntax::Error::Translate(error)) => (error.span().start.column, error.kind().to_string()),
        Err(error) => (1, error.to_string()),
    };
    let hint = if problem.contains("look-around") {
        "look-around does not exist here; search for a simpler pattern and look at the matches".to_owned()
    } else if problem.contains("backreferences") {
        "backreferences do not exist here; write the text out".to_owned()
    } else if problem.contains("size limit") || problem.contains("exceeds") {
        "use smaller repetitions".to_owned()
    } else {
        "write `\\` before a character that stands for itself, or set literal to true to search for the text as it is"
            .to_owned()
    };
    let near: String = pattern.chars().skip(column.saturating_sub(1)).take(20).collect();
    Err(format!(
        "the pattern is not a valid regular expression: {problem}, at column {column} (`{}`); {hint}",
        printable(&near)
    ))
}

/// A hint for a pattern that matches nothing because it is written for another kind of grep.
pub(super) fn hint(pattern: &str, literal: bool) -> &'static str {
    if literal {
        return "";
    }
    if pattern.contains("\\|") {
        return " In this pattern `\\|` is a literal bar; write `|` for alternatives.";
    }
    if pattern.contains("\\(") && pattern.contains("\\)") {
        return " In this pattern `\\(` is a literal parenthesis; write `(` for a group.";
    }
    ""
}

/// Which files a glob selects. Without a slash it is matched against the names of files, otherwise against whole paths.
pub(crate) struct Glob {
    matcher: GlobSet,
    names: bool,
}

impl Glob {
    /// Compiles a pattern such as `*.py`, `src/**/*.{js,ts}`.
    pub(crate) fn new(pattern: &str) -> Result<Self, String> {
        let refuse = |what: String| {
            Err(format!(
                "{what}; write for example `*.py`, `src/**/*.{{js,ts}}` or `[ab]?.txt`, and `[*]` for the character itself"
            ))
        };
        let trimmed = pattern.trim_start_matches("./");
        if trimmed.is_empty() {
            return refuse("the glob is empty".to_owned());
        }
        if trimmed.len() > PATTERN_BYTES_MAX {
            return refuse(format!("the glob has {} bytes, and the limit is {PATTERN_BYTES_MAX}", trimmed.len()));
        }
        if trimmed.starts_with('/') || trimmed.split('/').any(|part| part == "..") {
            return refuse(
                "the glob leaves the workspace: it is matched against paths relative to the workspace".to_owned(),
            );
        }
        let glob = GlobBuilder::new(trimmed).literal_separator(true).backslash_escape(true).build();
        match glob.and_then(|glob| GlobSetBuilder::new().add(glob).build()) {
            Ok(matcher) => Ok(Self { matcher, names: !trimmed.contains('/') }),
            Err(error) => refuse(format!(
                "the glob `{}` is not valid: {}{}",
                printable(&trimmed.chars().take(120).collect::<String>()),
                error.kind(),
                column(trimmed, error.kind())
            )),
        }
    }

    /// Whether it selects the file, by its path from the top or from `start`, which is the path that was searched.
    pub(crate) fn selects(&self, start: &Path, path: &Path) -> bool {
        match path.file_name() {
            Some(name) if self.names => self.matcher.is_match(name),
            _ => {
                self.matcher.is_match(path) || path.strip_prefix(start).is_ok_and(|below| self.matcher.is_match(below))
            }
        }
    }
}

/// Where the problem is; the crate does not say.
fn column(pattern: &str, kind: &globset::ErrorKind) -> String {
    let last = |one: char| pattern.rfind(one);
    let at = match kind {
        globset::ErrorKind::UnclosedClass => last('['),
        globset::ErrorKind::UnclosedAlternates => last('{'),
        globset::ErrorKind::UnopenedAlternates => last('}'),
        globset::ErrorKind::DanglingEscape => last('\\'),
        _ => None,
    };
    at.map_or_else(String::new, |at| format!(", at column {}", pattern[..at].chars().count() + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_pattern_is_reported_with_its_place_and_a_hint() {
        let table = [
            ("", false, "is empty"),
            ("fn (", false, "at column 4 (`(`)"),
            ("a**b)", false, "unopened group, at column 5"),
            ("*x", false, "at column 1"),
            ("[z-a]", false, "at column 2"),
            ("(?=x)", false, "look-around does not exist"),
            (r"(a)\1", false, "backreferences do not exist"),
            (r"\p{Nope}", false, "Unicode property not found"),
            ("a\nb", false, "each line is searched on its own"),
            ("a\nb", true, "each line is searched on its own"),
            (r"a\nb", false, "each line is searched on its own"),
            ("((a{1000}){1000}){1000}", false, "smaller repetitions"),
        ];
        for (pattern, literal, expected) in table {
            let error = regex(pattern, literal, false).expect_err(pattern);
            assert!(error.contains(expected) && !error.contains('\n'), "{pattern:?}: {error}");
        }
        assert!(regex(&"x".repeat(100_000), true, false).is_err());
        for pattern in ["fn (", "*x", "(?=", "\x1b"] {
            assert!(regex(pattern, true, true).is_ok(), "{pattern}");
        }
        assert!(regex(r"^\s*def \w+\(.*\):$", false, false).is_ok());
    }

    #[test]
    fn a_glob_without_a_slash_selects_names_and_others_whole_paths() {
        let table = [
            ("*.py", "src/a.py", true),
            ("*.py", "a.pyc", false),
            ("src/*.py", "src/a.py", true),
            ("src/*.py", "src/b/a.py", false),
            ("src/**/*.py", "src/b/c/a.py", true),
            ("src/**/*.py", "src/a.py", true),
            ("**/a.py", "a.py", true),
            ("./*.py", "x/a.py", true),
            ("*.{js,ts}", "x/a.ts", true),
            ("a[0-9]?", "a1b", true),
            ("deep/*.py", "x/deep/a.py", true),
            ("deep/*.py", "y/deep/a.py", false),
        ];
        for (pattern, path, expected) in table {
            assert_eq!(
                Glob::new(pattern).expect(pattern).selects(Path::new("x"), Path::new(path)),
                expected,
                "{pattern} {path}"
            );
        }
        let bad = [
            ("", "is empty"),
            ("[a", "column 1"),
            ("a{b", "column 2"),
            ("/etc/*", "leaves"),
            ("a/../../*", "leaves"),
            ("a\\", "column 2"),
        ];
        for (pattern, expected) in bad {
            let error = Glob::new(pattern).err().unwrap_or_default();
            assert!(error.contains(expected), "{pattern}: {error}");
        }
    }
}
