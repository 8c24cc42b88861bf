//! Reads `git status --porcelain=v2` and the lines of our `git log`. Pure.

use serde::Serialize;

use crate::limits::GIT_STATUS_ENTRIES_MAX;
use crate::web::one_line;
use crate::workspace::{parse_path, show_path};

/// Longest author and subject that are shown, bytes.
const AUTHOR_BYTES_MAX: usize = 60;
const SUBJECT_BYTES_MAX: usize = 120;

/// The state of a repository.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct State {
    /// `None` when HEAD is detached.
    pub(super) branch: Option<String>,
    /// `None` before the first commit.
    pub(super) commit: Option<String>,
    pub(super) upstream: Option<String>,
    pub(super) ahead: u64,
    pub(super) behind: u64,
    pub(super) changes: Vec<Change>,
    /// At least so many, when the list is cut.
    pub(super) changes_total: usize,
    pub(super) commits: Vec<Commit>,
}

/// A file that differs from the last commit.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Change {
    /// Two letters as of `git status --short`.
    pub(super) state: String,
    pub(super) path: String,
}

/// A commit.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Commit {
    pub(super) id: String,
    pub(super) date: String,
    pub(super) author: String,
    pub(super) subject: String,
}

/// Reads the lines; those of an unknown form are ignored.
pub(super) fn read<'a>(lines: impl IntoIterator<Item = &'a str>) -> State {
    let mut state = State::default();
    for line in lines {
        let Some((kind, rest)) = line.split_once(' ') else { continue };
        match kind {
            "#" => head(&mut state, rest),
            "L" => state.commits.extend(commit(rest)),
            _ => {
                let Some(change) = change(kind, rest) else { continue };
                state.changes_total += 1;
                if state.changes.len() < GIT_STATUS_ENTRIES_MAX {
                    state.changes.push(change);
                }
            }
        }
    }
    state
}

fn head(state: &mut State, rest: &str) {
    let Some((name, value)) = rest.split_once(' ') else { return };
    let text = || one_line(value, 250);
    match name {
        "branch.oid" if value != "(initial)" => state.commit = Some(text()),
        "branch.head" if value != "(detached)" => state.branch = Some(text()),
        "branch.upstream" => state.upstream = Some(text()),
        "branch.ab" => {
            let mut numbers = value.split(' ').filter_map(|number| number.get(1..)?.parse().ok());
            (state.ahead, state.behind) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        }
        _ => {}
    }
}

fn change(kind: &str, rest: &str) -> Option<Change> {
    // Fields before the path: the path is the rest, spaces included.
    let fields = match kind {
        "1" => 7,
        "2" => 8,
        "u" => 9,
        "?" => 0,
        _ => return None,
    };
    let mut parts = rest.splitn(fields + 1, ' ');
    let state = if fields == 0 { "??" } else { parts.next()? };
    let path = parts.nth(fields.saturating_sub(1))?;
    // A rename has its old path after a tab.
    let path = path.split('\t').next()?;
    Some(Change { state: one_line(&state.replace('.', "_"), 2).replace('_', " "), path: shown_path(path) })
}

/// A path that git printed, in the form of all tools.
pub(super) fn shown_path(printed: &str) -> String {
    match parse_path(printed) {
        Ok(path) => show_path(&path),
        Err(_) => one_line(printed, 200),
    }
}

fn commit(rest: &str) -> Option<Commit> {
    let mut fields = rest.splitn(4, '\t');
    let mut next = |bytes_max| fields.next().map(|text| one_line(text, bytes_max));
    Some(Commit { id: next(64)?, date: next(10)?, author: next(AUTHOR_BYTES_MAX)?, subject: next(SUBJECT_BYTES_MAX)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_status_is_read() {
        let hash = "0123456789012345678901234567890123456789";
        let table = [
            (format!("1 .M N... 100644 100644 100644 {hash} {hash} a b.py"), " M", "a b.py"),
            (format!("1 A. N... 000000 100644 100644 {hash} {hash} x"), "A ", "x"),
            (format!("2 R. N... 100644 100644 100644 {hash} {hash} R100 new\told"), "R ", "new"),
            (format!("u UU N... 100644 100644 100644 100644 {hash} {hash} {hash} c"), "UU", "c"),
            ("? dir/".to_owned(), "??", "dir/"),
            (r#"? "\033[31mred""#.to_owned(), "??", r#""\033[31mred""#),
            (r#"? "gr\303\266\303\237e""#.to_owned(), "??", "größe"),
            (r#"? "a\nb""#.to_owned(), "??", r#""a\nb""#),
            (r#"? "never ended \q"#.to_owned(), "??", r#""\"never ended \\q""#),
        ];
        for (line, state, path) in table {
            let read = read([line.as_str()]);
            assert_eq!(read.changes, [Change { state: state.to_owned(), path: path.to_owned() }], "{line}");
        }
        for line in ["", "1", "1 .M", "! ignored", "?", "7 x", "fatal: no", "#", "# branch.oid"] {
            assert_eq!(read([line]), State::default(), "{line}");
        }
    }

    #[test]
    fn the_head_and_the_commits_are_read() {
        let lines = [
            "# branch.oid 0123",
            "# branch.head main",
            "# branch.upstream origin/main",
            "# branch.ab +2 -1",
            "L abc\t2026-01-02T03:04:05Z\tA\tone\ttwo \u{1b}[2Jthree",
        ];
        let state = read(lines);
        assert_eq!((state.branch.as_deref(), state.commit.as_deref()), (Some("main"), Some("0123")));
        assert_eq!((state.upstream.as_deref(), state.ahead, state.behind), (Some("origin/main"), 2, 1));
        assert_eq!(state.commits[0].subject, "one two three");
        let unborn = read(["# branch.oid (initial)", "# branch.head (detached)", "# branch.ab x", "L short"]);
        assert_eq!(unborn, State::default());
    }

    #[test]
    fn many_changes_are_counted_and_the_first_are_kept() {
        let lines: Vec<String> = (0..500).map(|number| format!("? {number}")).collect();
        let state = read(lines.iter().map(String::as_str));
        assert_eq!((state.changes.len(), state.changes_total), (GIT_STATUS_ENTRIES_MAX, 500));
    }
}
