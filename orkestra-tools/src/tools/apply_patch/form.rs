//! What a patch says, whatever form it is written in; and the choice of the parser. Pure.
//!
//! Both parsers accept what models write: text around the patch, missing or wrong line counts, blank lines without their leading
//! space. What remains unclear is an error with the line of the patch, never a guess.

use super::{envelope, unified};
use crate::limits::{PATCH_FILES_MAX, PATCH_HEADINGS_MAX, PATCH_HUNKS_MAX};

/// The change of one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FilePatch {
    /// The file as it is called afterwards; for a deletion, before.
    pub(super) path: String,
    pub(super) action: Action,
    pub(super) hunks: Vec<Hunk>,
    pub(super) executable: Option<bool>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Action {
    Add,
    Delete,
    Update,
    /// From this path.
    Rename(String),
    /// Of this path.
    Copy(String),
}

/// A passage to replace.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Hunk {
    /// Where it begins in the patch, counted from 1.
    pub(super) patch_line: usize,
    /// The line of the old file at which it begins, counted from 1, as the patch says.
    pub(super) start: Option<usize>,
    /// Whether the patch says that the old file has no lines here.
    pub(super) inserts: bool,
    /// Lines of the file that come before it, the outermost first.
    pub(super) headings: Vec<String>,
    pub(super) lines: Vec<(Side, String)>,
    /// Whether it ends where the file ends.
    pub(super) at_end: bool,
    /// Whether the last line of the old and the new file has no newline, if the patch says so.
    pub(super) no_newline: Option<(bool, bool)>,
}

/// Which of the two files has a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Both,
    Old,
    New,
}

impl Hunk {
    /// The lines of the old file.
    pub(super) fn before(&self) -> Vec<&str> {
        self.lines.iter().filter(|(side, _)| *side != Side::New).map(|(_, line)| line.as_str()).collect()
    }

    /// The lines of the new file.
    pub(super) fn after(&self) -> Vec<&str> {
        self.lines.iter().filter(|(side, _)| *side != Side::Old).map(|(_, line)| line.as_str()).collect()
    }

    /// Adds a line of the patch with its mark; an empty line is a blank line of both files. Whether the mark is known.
    pub(super) fn push(&mut self, line: &str) -> bool {
        let side = match line.as_bytes().first() {
            None | Some(b' ') => Side::Both,
            Some(b'-') => Side::Old,
            Some(b'+') => Side::New,
            Some(b'\\') if line.starts_with("\\ No newline") => {
                let (old, new) = self.no_newline.unwrap_or_default();
                self.no_newline = match self.lines.last() {
                    Some((Side::Old, _)) => Some((true, new)),
                    Some((Side::New, _)) => Some((old, true)),
                    _ => Some((true, true)),
                };
                return true;
            }
            Some(_) => return false,
        };
        self.lines.push((side, line.get(1..).unwrap_or_default().to_owned()));
        true
    }
}

/// The numbers and the heading of a line that begins a hunk: `@@ -1,2 +1,3 @@ fn main`, `@@ fn main`, `@@`.
pub(super) struct HunkHeader {
    pub(super) start: Option<usize>,
    pub(super) counts: Option<(usize, usize)>,
    pub(super) heading: Option<String>,
}

impl HunkHeader {
    pub(super) fn of(line: &str) -> Option<Self> {
        let rest = line.strip_prefix("@@")?;
        let (numbers, after) = rest.split_once("@@").unwrap_or((rest, ""));
        if let Some((start, old, new)) = ranges(numbers) {
            let heading = Some(after.trim()).filter(|text| !text.is_empty()).map(str::to_owned);
            return Some(Self { start: Some(start), counts: old.zip(new), heading });
        }
        // Without numbers the text is a line of the file. Only a last `@@` ends it.
        let text = rest.strip_suffix("@@").unwrap_or(rest);
        let text = text.strip_prefix(' ').unwrap_or(text).trim_end();
        let heading = Some(text).filter(|text| !matches!(text.trim(), "" | "..." | "…")).map(str::to_owned);
        Some(Self { start: None, counts: None, heading })
    }
}

/// `-1,2 +1,3`: the start and the two counts, which may be missing.
fn ranges(text: &str) -> Option<(usize, Option<usize>, Option<usize>)> {
    let (old, new) = text.trim().strip_prefix('-')?.split_once(" +")?;
    let range = |text: &str| -> Option<(usize, usize)> {
        let (start, count) = text.trim().split_once(',').unwrap_or((text.trim(), "1"));
        Some((start.trim().parse().ok()?, count.trim().parse().ok()?))
    };
    let (start, old_count) = range(old)?;
    Some((start, Some(old_count), range(new).map(|(_, count)| count)))
}

/// Reads a patch in either form.
pub(super) fn parse(patch: &str) -> Result<Vec<FilePatch>, String> {
    let lines: Vec<&str> = patch.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line)).collect();
    let begin = lines.iter().position(|line| line.trim_end() == envelope::BEGIN);
    let files = match begin {
        Some(begin) => envelope::parse(&lines, begin + 1)?,
        None if lines.iter().any(|line| envelope::is_file(line)) => envelope::parse(&lines, 0)?,
        None => unified::parse(&lines)?,
    };
    if files.is_empty() {
        return Err("the patch changes no file; write a unified diff (`--- a/path`, `+++ b/path`, `@@ -1,3 +1,4 @@`), or \
                    `*** Begin Patch`, `*** Update File: path`, `@@`, lines that begin with ` `, `-` or `+`, `*** End Patch`"
            .to_owned());
    }
    for hunk in files.iter().filter(|file| file.action != Action::Add).flat_map(|file| &file.hunks) {
        if hunk.lines.iter().all(|(side, _)| *side == Side::Both) {
            return Err(format!("patch line {}: the hunk changes nothing; leave it out", hunk.patch_line));
        }
    }
    let hunks = || files.iter().flat_map(|file| &file.hunks);
    if let Some(hunk) = hunks().find(|hunk| hunk.headings.len() > PATCH_HEADINGS_MAX) {
        return Err(format!(
            "patch line {}: more than {PATCH_HEADINGS_MAX} `@@` lines before a hunk; leave some out",
            hunk.patch_line
        ));
    }
    if hunks().count() > PATCH_HUNKS_MAX {
        return Err(format!("the patch has {} hunks, and the limit is {PATCH_HUNKS_MAX}; split it", hunks().count()));
    }
    if files.len() > PATCH_FILES_MAX {
        return Err(format!("the patch changes {} files, and the limit is {PATCH_FILES_MAX}; split it", files.len()));
    }
    Ok(files)
}

/// Refuses a line that has no mark.
pub(super) fn unmarked(number: usize, line: &str) -> String {
    let begin: String = line.chars().take(60).collect();
    format!(
        "patch line {number}, {begin:?}, has no mark; begin each line of a hunk with a space (unchanged), `-` (removed) or `+` (added)"
    )
}

/// Drops blank lines at the end, which are the end of the text around a patch and not lines of the file.
pub(super) fn trim_blank_end(hunk: &mut Hunk, raw: &[&str]) {
    for _ in raw.iter().rev().take_while(|line| line.is_empty()) {
        hunk.lines.pop();
    }
}
