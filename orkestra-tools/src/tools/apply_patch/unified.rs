//! Unified diffs, as `diff -u` and git write them, and as models do: without counts, with wrong ones, inside other text. Pure.

use super::form::{Action, FilePatch, Hunk, HunkHeader, trim_blank_end, unmarked};

/// The prefixes that git puts before the old and the new path.
const PREFIXES: [(&str, &str); 5] = [("a/", "b/"), ("i/", "w/"), ("c/", "i/"), ("c/", "w/"), ("o/", "w/")];

const NOTHING: &str = "/dev/null";

/// What the lines before the first hunk of a file say.
#[derive(Default)]
struct Header {
    /// The paths of `diff --git`, of `---` and `+++`, and of `rename` or `copy`, without prefixes.
    git: Option<String>,
    old: Option<String>,
    new: Option<String>,
    from: Option<String>,
    to: Option<String>,
    is_new: bool,
    is_deleted: bool,
    is_copy: bool,
    executable: Option<bool>,
    hunks: Vec<Hunk>,
}

pub(super) fn parse(lines: &[&str]) -> Result<Vec<FilePatch>, String> {
    let mut files = Vec::new();
    let mut current: Option<Header> = None;
    let mut at = 0;
    while at < lines.len() {
        let line = lines[at];
        if let Some(names) = line.strip_prefix("diff --git ") {
            finish(&mut files, current.take(), at)?;
            current = Some(Header { git: git_path(names), ..Header::default() });
        } else if is_names(lines, at) {
            // They belong to the `diff --git` before them, or begin another file.
            if current.as_ref().is_none_or(|header| header.old.is_some() || !header.hunks.is_empty()) {
                finish(&mut files, current.take(), at)?;
            }
            let header = current.get_or_insert_default();
            (header.old, header.new) = names(&lines[at][4..], &lines[at + 1][4..]);
            at += 1;
        } else if line.starts_with("@@") {
            let Some(header) = &mut current else {
                return Err(format!(
                    "patch line {}: a hunk without a file; write `--- a/path` and `+++ b/path` before it",
                    at + 1
                ));
            };
            let (hunk, after) = hunk(lines, at)?;
            header.hunks.push(hunk);
            at = after;
            continue;
        } else if let Some(header) = current.as_mut().filter(|header| header.hunks.is_empty()) {
            extended(header, line, at + 1)?;
        }
        at += 1;
    }
    finish(&mut files, current, lines.len())?;
    Ok(files)
}

fn is_names(lines: &[&str], at: usize) -> bool {
    lines[at].starts_with("--- ") && lines.get(at + 1).is_some_and(|next| next.starts_with("+++ "))
}

/// A line of git's extended header; other text is passed over.
fn extended(header: &mut Header, line: &str, number: usize) -> Result<(), String> {
    let path = |text: &str| Some(text.trim_end().to_owned());
    let mode = |text: &str| match text.trim() {
        "100755" => Ok(Some(true)),
        "100644" | "100664" | "100600" => Ok(Some(false)),
        other => Err(format!(
            "patch line {number}: the mode {} is not possible; patches change regular files only, and run_command makes links",
            other.chars().take(20).collect::<String>().escape_debug()
        )),
    };
    if let Some(text) = line.strip_prefix("rename from ").or_else(|| line.strip_prefix("copy from ")) {
        (header.from, header.is_copy) = (path(text), line.starts_with("copy"));
    } else if let Some(text) = line.strip_prefix("rename to ").or_else(|| line.strip_prefix("copy to ")) {
        header.to = path(text);
    } else if let Some(text) = line.strip_prefix("new file mode ") {
        (header.is_new, header.executable) = (true, mode(text)?.filter(|executable| *executable));
    } else if line.starts_with("deleted file mode ") {
        header.is_deleted = true;
    } else if let Some(text) = line.strip_prefix("new mode ") {
        header.executable = mode(text)?;
    } else if line.starts_with("GIT binary patch") || (line.starts_with("Binary files ") && line.ends_with(" differ")) {
        return Err(format!("patch line {number}: binary patches are not supported; write the file with run_command"));
    }
    Ok(())
}

fn finish(files: &mut Vec<FilePatch>, header: Option<Header>, number: usize) -> Result<(), String> {
    let Some(header) = header else { return Ok(()) };
    let named = |path: &Option<String>| path.clone().filter(|path| path != NOTHING);
    let is = |path: &Option<String>| path.as_deref() == Some(NOTHING);
    let (is_new, is_deleted) = (header.is_new || is(&header.old), header.is_deleted || is(&header.new));
    let (old, new) = (named(&header.old), named(&header.new));
    let (old, new) = (header.from.clone().or(old), header.to.clone().or(new));
    let (Some(path), false) = (new.clone().or_else(|| old.clone()).or(header.git), is_new && is_deleted) else {
        return Err(format!("the file before patch line {number} has no path; write `--- a/path` and `+++ b/path`"));
    };
    let action = match (is_new, is_deleted, old.filter(|old| *old != path)) {
        (true, ..) => Action::Add,
        (_, true, _) => Action::Delete,
        (_, _, Some(old)) if header.is_copy => Action::Copy(old),
        (_, _, Some(old)) => Action::Rename(old),
        _ => Action::Update,
    };
    files.push(FilePatch { path, action, hunks: header.hunks, executable: header.executable });
    Ok(())
}

/// The two paths of `---` and `+++`, without prefixes and times.
fn names(old: &str, new: &str) -> (Option<String>, Option<String>) {
    let clean = |text: &str| match text.strip_prefix('"').and_then(|rest| rest.find('"')) {
        Some(_) => text.trim_end().to_owned(),
        None => text.split('\t').next().unwrap_or_default().trim_end().to_owned(),
    };
    let (old, new) = (clean(old), clean(new));
    for (before, after) in PREFIXES {
        match (stripped(&old, before), stripped(&new, after)) {
            (Some(old), Some(new)) => return (Some(old), Some(new)),
            // Only the usual prefixes: a directory may be called `c`.
            (Some(old), None) if before == "a/" && new == NOTHING => return (Some(old), Some(new)),
            (None, Some(new)) if after == "b/" && old == NOTHING => return (Some(old), Some(new)),
            _ => {}
        }
    }
    (Some(old), Some(new))
}

/// A path without its prefix, which stands inside the quotes of a quoted path.
fn stripped(path: &str, prefix: &str) -> Option<String> {
    match path.strip_prefix('"') {
        Some(quoted) => quoted.strip_prefix(prefix).map(|rest| format!("\"{rest}")),
        None => path.strip_prefix(prefix).map(str::to_owned),
    }
}

/// The path of `a/x b/x`, when both are the same.
fn git_path(names: &str) -> Option<String> {
    let names = names.trim_end();
    let (old, new) = (names.get(..names.len() / 2)?, names.get(names.len() / 2 + 1..)?);
    PREFIXES
        .iter()
        .find_map(|(before, after)| stripped(old, before).filter(|old| stripped(new, after).as_ref() == Some(old)))
}

/// Reads the hunk that begins at `at`; returns it and the line after it.
fn hunk(lines: &[&str], at: usize) -> Result<(Hunk, usize), String> {
    let header = HunkHeader::of(lines[at]).unwrap_or(HunkHeader { start: None, counts: None, heading: None });
    let empty = || Hunk {
        patch_line: at + 1,
        start: header.start,
        inserts: header.counts.is_some_and(|(old, _)| old == 0),
        headings: header.heading.clone().into_iter().collect(),
        ..Hunk::default()
    };
    if let Some(counted) = header.counts.and_then(|counts| by_counts(empty(), lines, at + 1, counts)) {
        return Ok(counted);
    }
    let mut hunk = empty();
    let mut next = at + 1;
    while next < lines.len() && !is_end(lines, next) {
        if !hunk.push(lines[next]) {
            return Err(unmarked(next + 1, lines[next]));
        }
        next += 1;
    }
    trim_blank_end(&mut hunk, &lines[at + 1..next]);
    Ok((hunk, next))
}

/// The hunk, if its counts are right: they end it before a line that is not part of a hunk.
fn by_counts(mut hunk: Hunk, lines: &[&str], first: usize, (old, new): (usize, usize)) -> Option<(Hunk, usize)> {
    let (mut old, mut new) = (old, new);
    let mut next = first;
    while old > 0 || new > 0 || lines.get(next).is_some_and(|line| line.starts_with("\\ No newline")) {
        let line = lines.get(next)?;
        match line.as_bytes().first() {
            None | Some(b' ') => (old, new) = (old.checked_sub(1)?, new.checked_sub(1)?),
            Some(b'-') => old = old.checked_sub(1)?,
            Some(b'+') => new = new.checked_sub(1)?,
            Some(b'\\') => {}
            Some(_) => return None,
        }
        if !hunk.push(line) {
            return None;
        }
        next += 1;
    }
    let follows =
        lines.get(next).is_none_or(|line| !line.starts_with([' ', '+', '-']) || *line == "-- ") || is_end(lines, next);
    (follows && !hunk.lines.is_empty()).then_some((hunk, next))
}

/// Whether a line ends a hunk whose counts are not known.
fn is_end(lines: &[&str], at: usize) -> bool {
    let line = lines[at];
    let is_signature = line == "-- " && lines.len() - at <= 3;
    line.starts_with("@@")
        || line.starts_with("diff --git ")
        || line.starts_with("```")
        || line.trim_end() == "*** End Patch"
        || is_names(lines, at)
        || is_signature
}
