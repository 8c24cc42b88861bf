//! The form that some families of models are trained on. Pure.
//!
//! ```text
//! *** Begin Patch
//! *** Update File: src/a.py
//! *** Move to: src/b.py            (optional)
//! @@ class A                       (optional: a line before the change, several to narrow it further)
//!  unchanged
//! -removed
//! +added
//! *** End of File                  (optional: the hunk ends at the end of the file)
//! *** Add File: c.py
//! +its content
//! *** Delete File: d.py
//! *** End Patch
//! ```

use super::form::{Action, FilePatch, Hunk, HunkHeader, Side, trim_blank_end, unmarked};

pub(super) const BEGIN: &str = "*** Begin Patch";
const END: &str = "*** End Patch";
const ADD: &str = "*** Add File:";
const DELETE: &str = "*** Delete File:";
const UPDATE: &str = "*** Update File:";
const MOVE: &str = "*** Move to:";
const END_OF_FILE: &str = "*** End of File";

/// Whether the line begins the change of a file.
pub(super) fn is_file(line: &str) -> bool {
    [ADD, DELETE, UPDATE].iter().any(|start| line.starts_with(start))
}

/// Reads the lines from `at` on.
pub(super) fn parse(lines: &[&str], mut at: usize) -> Result<Vec<FilePatch>, String> {
    let mut files = Vec::new();
    while at < lines.len() && lines[at].trim_end() != END {
        let line = lines[at];
        let file = |start: &str| line.strip_prefix(start).map(|path| path.trim().to_owned());
        at += 1;
        let mut patch = match (file(ADD), file(DELETE), file(UPDATE)) {
            (Some(path), ..) => FilePatch { path, action: Action::Add, hunks: Vec::new(), executable: None },
            (_, Some(path), _) => FilePatch { path, action: Action::Delete, hunks: Vec::new(), executable: None },
            (_, _, Some(path)) => FilePatch { path, action: Action::Update, hunks: Vec::new(), executable: None },
            _ if line.trim().is_empty() || files.is_empty() && !line.starts_with("***") => continue,
            _ => return Err(unexpected(at, line)),
        };
        if patch.path.is_empty() {
            return Err(format!("patch line {at}, {line:?}, has no path; write it after the colon"));
        }
        let begin = at;
        while at < lines.len() && !is_file(lines[at]) && lines[at].trim_end() != END {
            at += 1;
        }
        let body = &lines[begin..at];
        match patch.action {
            Action::Add => patch.hunks = vec![added(body, begin + 1)?],
            Action::Delete if body.iter().any(|line| !line.trim().is_empty()) => {
                return Err(format!("patch line {}: nothing may follow `{DELETE}`", begin + 1));
            }
            Action::Delete => {}
            _ => update(&mut patch, body, begin + 1)?,
        }
        files.push(patch);
    }
    Ok(files)
}

fn unexpected(number: usize, line: &str) -> String {
    let begin: String = line.chars().take(60).collect();
    format!(
        "patch line {number}, {begin:?}, is not expected here; begin with `{UPDATE} path`, `{ADD} path` or `{DELETE} path`"
    )
}

/// The content of a new file: each line begins with `+`.
fn added(body: &[&str], first: usize) -> Result<Hunk, String> {
    let mut hunk = Hunk { patch_line: first, inserts: true, at_end: true, ..Hunk::default() };
    for (index, line) in body.iter().enumerate() {
        match line.strip_prefix('+') {
            Some(text) => hunk.lines.push((Side::New, text.to_owned())),
            None if line.is_empty() => hunk.lines.push((Side::New, String::new())),
            None if index == 0 && line.starts_with("@@") => {}
            None => {
                let begin: String = line.chars().take(60).collect();
                return Err(format!("patch line {}, {begin:?}: begin each line of a new file with `+`", first + index));
            }
        }
    }
    trim_blank_end(&mut hunk, body);
    Ok(hunk)
}

fn update(patch: &mut FilePatch, body: &[&str], first: usize) -> Result<(), String> {
    let mut from = 0;
    if let Some(to) = body.first().and_then(|line| line.strip_prefix(MOVE)) {
        let old = std::mem::replace(&mut patch.path, to.trim().to_owned());
        patch.action = Action::Rename(old);
        from = 1;
    }
    let mut begin = from;
    let mut hunk: Option<Hunk> = None;
    for index in from..body.len() {
        let (line, number) = (body[index], first + index);
        if let Some(header) = HunkHeader::of(line) {
            // Several headings in a row narrow the place of one hunk.
            let mut next = match hunk.take() {
                Some(before) if before.lines.is_empty() => before,
                before => {
                    patch.hunks.extend(before.map(|before| ended(before, &body[begin..index])));
                    Hunk { patch_line: number, ..Hunk::default() }
                }
            };
            next.start = header.start.or(next.start);
            next.inserts = header.counts.is_some_and(|(old, _)| old == 0);
            next.headings.extend(header.heading);
            hunk = Some(next);
            begin = index + 1;
        } else if line.trim_end() == END_OF_FILE {
            if let Some(hunk) = &mut hunk {
                hunk.at_end = true;
            }
        } else if line.starts_with("***") {
            return Err(unexpected(number, line));
        } else {
            let hunk = hunk.get_or_insert_with(|| Hunk { patch_line: number, ..Hunk::default() });
            if !hunk.push(line) {
                return Err(unmarked(number, line));
            }
        }
    }
    patch.hunks.extend(hunk.map(|hunk| ended(hunk, &body[begin.min(body.len())..])));
    patch.hunks.retain(|hunk| !hunk.lines.is_empty());
    Ok(())
}

fn ended(mut hunk: Hunk, raw: &[&str]) -> Hunk {
    if !hunk.at_end {
        trim_blank_end(&mut hunk, raw);
    }
    // Without a place, lines are added at the end.
    if hunk.before().is_empty() && hunk.headings.is_empty() && hunk.start.is_none() {
        (hunk.at_end, hunk.inserts) = (true, true);
    }
    hunk
}
