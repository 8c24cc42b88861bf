//! What an agent changed, as unified diffs. Pure: two listings of files in, diffs out.

use std::collections::{BTreeMap, BTreeSet};

use similar::TextDiff;

use super::Change;
use super::text::{counted, cut, cut_note, one_line};

/// The largest file, in bytes, that is compared by lines. Larger ones are data, and comparing them takes long.
pub const COMPARED_BYTES_MAX: usize = 512 * 1024;
/// The most lines, of both versions together, that are compared. Two files of which each line differs take time by the square of it;
/// half a megabyte of lines of one character took more than a minute.
pub const COMPARED_LINES_MAX: usize = 10_000;
/// The longest diff of one file, bytes: some 1,000 lines, more than anybody reads of a task's solution.
pub const DIFF_BYTES_MAX: usize = 48 * 1024;
/// The length of all diffs of a trial, bytes. A result of 100 trials stays below 20 MB.
pub const ALL_DIFFS_BYTES_MAX: usize = 192 * 1024;
/// The number of changed files that are listed. More is a directory of dependencies that the agent left.
pub const CHANGES_MAX: usize = 200;

/// The characters of a path in the head of a diff.
const PATH_CHARS_MAX: usize = 500;
/// The unchanged lines around a change.
const CONTEXT_LINES: usize = 3;

/// The files that differ between `start` and `end`, by path, with unified diffs.
///
/// Diffs are cut after [`DIFF_BYTES_MAX`] bytes each and [`ALL_DIFFS_BYTES_MAX`] in sum; what is cut says so, and so do files that
/// are not text or too large. After [`CHANGES_MAX`] files a last entry with an empty path says how many more there are.
#[must_use]
pub fn changes_between(start: &[(String, Vec<u8>)], end: &[(String, Vec<u8>)]) -> Vec<Change> {
    let old: BTreeMap<&str, &[u8]> = start.iter().map(|(path, content)| (path.as_str(), content.as_slice())).collect();
    let new: BTreeMap<&str, &[u8]> = end.iter().map(|(path, content)| (path.as_str(), content.as_slice())).collect();
    let paths: BTreeSet<&str> = old.keys().chain(new.keys()).copied().collect();
    let mut changed = paths.into_iter().filter(|path| old.get(path) != new.get(path));
    let mut left = ALL_DIFFS_BYTES_MAX;
    let mut changes = Vec::new();
    for path in changed.by_ref().take(CHANGES_MAX) {
        let (old, new) = (old.get(path).copied(), new.get(path).copied());
        let diff = match left {
            // Not compared either: an agent could have left many large files.
            0 => format!("[not shown, the diffs before are long: {}]", sizes(old, new)),
            _ => limited(describe(path, old, new), left.min(DIFF_BYTES_MAX)),
        };
        left = left.saturating_sub(diff.len());
        changes.push(Change { path: path.to_owned(), diff });
    }
    let more = changed.count() as u64;
    if more > 0 {
        changes
            .push(Change { path: String::new(), diff: format!("[{} changed, not shown]", counted(more, "more file")) });
    }
    changes
}

fn describe(path: &str, old: Option<&[u8]>, new: Option<&[u8]>) -> String {
    if old.into_iter().chain(new).any(|content| content.len() > COMPARED_BYTES_MAX) {
        return format!("[too large to show: {}]", sizes(old, new));
    }
    let (Some(before), Some(after)) = (text(old), text(new)) else {
        return format!("[not text: {}]", sizes(old, new));
    };
    if before.is_empty() && after.is_empty() {
        return format!("[empty file: {}]", sizes(old, new));
    }
    // A file that was added or deleted has nothing to be compared with.
    let both = before.lines().count() + after.lines().count();
    if !before.is_empty() && !after.is_empty() && both > COMPARED_LINES_MAX {
        return format!("[too many lines to compare: {}]", sizes(old, new));
    }
    let path = one_line(path, PATH_CHARS_MAX);
    let name = |side: &str, content: Option<&[u8]>| match content {
        Some(_) => format!("{side}/{path}"),
        None => "/dev/null".to_owned(),
    };
    TextDiff::from_lines(before, after)
        .unified_diff()
        .context_radius(CONTEXT_LINES)
        .header(&name("a", old), &name("b", new))
        .to_string()
}

fn sizes(old: Option<&[u8]>, new: Option<&[u8]>) -> String {
    match (old, new) {
        (Some(old), Some(new)) => format!("{} before, {} after", bytes(old), bytes(new)),
        (Some(old), None) => format!("{}, deleted", bytes(old)),
        (None, Some(new)) => format!("{}, added", bytes(new)),
        (None, None) => String::new(),
    }
}

fn bytes(content: &[u8]) -> String {
    counted(content.len() as u64, "byte")
}

/// The text of a file, the empty one when it does not exist; `None` when it is not text.
fn text(content: Option<&[u8]>) -> Option<&str> {
    std::str::from_utf8(content.unwrap_or_default()).ok().filter(|text| !text.contains('\0'))
}

fn limited(diff: String, bytes_max: usize) -> String {
    let (kept, more) = cut(&diff, bytes_max);
    if more == 0 {
        return diff;
    }
    format!("{kept}{}", cut_note(more))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(given: &[(&str, &[u8])]) -> Vec<(String, Vec<u8>)> {
        given.iter().map(|(path, content)| ((*path).to_owned(), content.to_vec())).collect()
    }

    #[test]
    fn every_kind_of_change_has_its_diff_or_note() {
        let start = files(&[
            ("same.txt", b"same"),
            ("main.py", b"one\ntwo\nthree\n"),
            ("gone.py", b"x = 1\n"),
            ("logo.png", b"\x89PNG\0"),
            ("to_text", b"\xff\xfe"),
        ]);
        let end = files(&[
            ("same.txt", b"same"),
            ("new.py", b"print('hi')"),
            ("main.py", b"one\n2\nthree\n"),
            ("logo.png", b"\x89PNG\0\0"),
            ("empty", b""),
            ("to_text", b"text\n"),
            ("a\nb.txt", b"c\n"),
        ]);
        let expected = [
            ("a\nb.txt", "--- /dev/null\n+++ b/a b.txt\n@@ -0,0 +1 @@\n+c\n"),
            ("empty", "[empty file: 0 bytes, added]"),
            ("gone.py", "--- a/gone.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x = 1\n"),
            ("logo.png", "[not text: 5 bytes before, 6 bytes after]"),
            ("main.py", "--- a/main.py\n+++ b/main.py\n@@ -1,3 +1,3 @@\n one\n-two\n+2\n three\n"),
            ("new.py", "--- /dev/null\n+++ b/new.py\n@@ -0,0 +1 @@\n+print('hi')\n\\ No newline at end of file\n"),
            ("to_text", "[not text: 2 bytes before, 5 bytes after]"),
        ];
        let changes = changes_between(&start, &end);
        let found: Vec<_> = changes.iter().map(|change| (change.path.as_str(), change.diff.as_str())).collect();
        assert_eq!(found, expected);
        assert_eq!(changes_between(&start, &start), []);
    }

    #[test]
    fn diffs_have_limits() {
        let large = vec![b'a'; COMPARED_BYTES_MAX + 1];
        let changes = changes_between(&[], &files(&[("large", &large)]));
        assert_eq!(changes[0].diff, "[too large to show: 524289 bytes, added]");
        let lines = |line: &str| files(&[("lines", line.repeat(COMPARED_LINES_MAX / 2 + 1).as_bytes())]);
        let changes = changes_between(&lines("a\n"), &lines("b\n"));
        assert_eq!(changes[0].diff, "[too many lines to compare: 10002 bytes before, 10002 bytes after]");

        let lines = "ä\n".repeat(100_000);
        let many: Vec<_> =
            (0..CHANGES_MAX + 3).map(|index| (format!("{index:04}"), lines.clone().into_bytes())).collect();
        let changes = changes_between(&[], &many);
        assert_eq!(changes.len(), CHANGES_MAX + 1);
        assert!(
            changes[0].diff.ends_with(" more bytes are not shown]"),
            "{}",
            &changes[0].diff[changes[0].diff.len() - 90..]
        );
        assert_eq!(changes[CHANGES_MAX].diff, "[3 more files changed, not shown]");
        let sum: usize = changes.iter().map(|change| change.diff.len()).sum();
        let notes = (CHANGES_MAX + 1) * 80;
        assert!((ALL_DIFFS_BYTES_MAX..ALL_DIFFS_BYTES_MAX + notes).contains(&sum), "{sum}");
    }
}
