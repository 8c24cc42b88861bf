//! `grep`: searches the text files of the workspace. `data` is `{mode, matches, files, truncated, next_offset, skipped}`; `matches`
//! counts the lines that were looked at.

mod pattern;
mod search;

use std::path::Path;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use self::search::{Query, Searched, Skipped, Window};
use super::blocking;
use crate::error::ToolError;
use crate::limits::{
    GREP_CONTEXT_MAX, GREP_LIMIT_DEFAULT, GREP_LIMIT_MAX, GREP_LINE_BYTES_MAX, GREP_OFFSET_MAX, GREP_TEXT_BYTES_MAX,
};
use crate::nearest::printable;
use crate::scope::ToolScope;
use crate::tool::{Effect, ToolOutput, TypedTool};
use crate::workspace::{Walked, Workspace, show_path, shown};

pub(crate) use pattern::Glob;

/// What is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum Mode {
    #[default]
    Matches,
    Files,
    Counts,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Regular expression (Rust syntax, as in ripgrep), matched against each line.
    #[schemars(length(min = 1))]
    pattern: String,
    /// File or directory to search, relative to the workspace.
    #[serde(default = "top")]
    path: String,
    /// Search only files that match this glob, such as `*.py` or `src/**/*.ts`; empty for all.
    #[serde(default)]
    glob: String,
    /// Search for the pattern as it is, not as a regular expression.
    #[serde(default)]
    literal: bool,
    /// Ignore the difference between upper and lower case.
    #[serde(default)]
    ignore_case: bool,
    /// Lines to show before and after each match.
    #[serde(default)]
    #[schemars(range(min = 0, max = GREP_CONTEXT_MAX))]
    context: usize,
    /// `matches` shows lines, `files` only the names of files, `counts` the number of matching lines of each file.
    #[serde(default)]
    mode: Mode,
    /// Maximum number of matching lines, or of files.
    #[serde(default = "limit")]
    #[schemars(range(min = 1, max = GREP_LIMIT_MAX))]
    limit: usize,
    /// How many of them to skip, to read on.
    #[serde(default)]
    #[schemars(range(min = 0, max = GREP_OFFSET_MAX))]
    offset: usize,
}

fn top() -> String {
    ".".to_owned()
}

fn limit() -> usize {
    GREP_LIMIT_DEFAULT
}

pub(crate) struct Grep;

#[async_trait]
impl TypedTool for Grep {
    type Arguments = Arguments;
    const NAME: &'static str = "grep";
    const DESCRIPTION: &'static str = "Search the text files of the workspace with a regular expression. Files ignored by .gitignore and \
        binary files are left out. A long answer is cut, and says at which offset to continue.";
    const EFFECT: Effect = Effect::ReadOnly;

    async fn call(&self, scope: &ToolScope, arguments: Arguments) -> Result<ToolOutput, ToolError> {
        let workspace = scope.workspace().clone();
        blocking(move || {
            let matcher = pattern::regex(&arguments.pattern, arguments.literal, arguments.ignore_case);
            let matcher = matcher.map_err(ToolError::Refused)?;
            let glob = (!arguments.glob.is_empty()).then(|| Glob::new(&arguments.glob)).transpose();
            let glob = glob.map_err(ToolError::Refused)?;
            // One more than is shown says that there are more.
            let wanted = arguments.offset.saturating_add(arguments.limit).saturating_add(1);
            let (lines_max, files_max) = match arguments.mode {
                Mode::Matches => (wanted, usize::MAX),
                Mode::Files | Mode::Counts => (usize::MAX, wanted),
            };
            let query = Query { matcher, crlf: pattern::is_crlf(&arguments.pattern), lines_max, files_max };
            let walked = workspace.walk(&arguments.path)?;
            let is_wanted = |path: &Path| glob.as_ref().is_none_or(|glob| glob.selects(&walked.start, path));
            let (found, cut) = search::search(&workspace, &walked, &query, is_wanted);
            Ok(Answer::new(&arguments, &workspace, &query, &walked, cut).of(&found))
        })
        .await
    }

    fn limits(&self) -> Vec<String> {
        vec![
            format!("a line is cut at {GREP_LINE_BYTES_MAX} bytes and an answer at {} KiB", GREP_TEXT_BYTES_MAX / 1024),
            super::walk_limits(),
        ]
    }
}

/// The text of an answer as it grows.
struct Answer<'a> {
    arguments: &'a Arguments,
    workspace: &'a Workspace,
    query: &'a Query,
    text: String,
    notes: Vec<String>,
    /// Matching lines, or files, that were passed over or shown.
    seen: usize,
    /// Whether there are more.
    is_full: bool,
}

impl<'a> Answer<'a> {
    fn new(arguments: &'a Arguments, workspace: &'a Workspace, query: &'a Query, walked: &Walked, cut: bool) -> Self {
        let mut notes = super::walk_notes(walked);
        if cut {
            notes.push("the search ended at its limit of bytes; give a path or a glob".to_owned());
        }
        Self { arguments, workspace, query, text: String::new(), notes, seen: 0, is_full: false }
    }

    fn of(mut self, found: &[Searched]) -> ToolOutput {
        let hits: Vec<&Searched> = found.iter().filter(|file| file.count > 0).collect();
        for file in &hits {
            if self.is_full {
                break;
            }
            match self.arguments.mode {
                Mode::Matches if self.seen + file.count <= self.arguments.offset => self.seen += file.count,
                Mode::Matches => self.lines(file),
                Mode::Files | Mode::Counts if self.seen < self.arguments.offset => self.seen += 1,
                Mode::Files => self.line(&show_path(&file.path)),
                Mode::Counts => self.line(&format!("{}: {}", show_path(&file.path), file.count)),
            }
        }
        self.end(found, hits.len(), hits.iter().map(|file| file.count).sum())
    }

    /// One line that counts, if there is space for it.
    fn line(&mut self, line: &str) {
        let shown = self.seen - self.arguments.offset;
        if shown >= self.arguments.limit || self.text.len() + line.len() > GREP_TEXT_BYTES_MAX {
            self.is_full = true;
            return;
        }
        self.seen += 1;
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// The lines of a file, with the context of those that are shown.
    fn lines(&mut self, file: &Searched) {
        let Arguments { offset, limit, context, .. } = *self.arguments;
        let skip = offset.saturating_sub(self.seen);
        self.seen += skip;
        let window = Window {
            skip,
            // One more than is shown says that there are more.
            take: offset + limit - self.seen + 1,
            context,
            bytes_max: GREP_TEXT_BYTES_MAX - self.text.len().min(GREP_TEXT_BYTES_MAX),
        };
        let path = show_path(&file.path);
        let (mut last, mut last_match) = (None, None);
        // The end of what is kept when there is no space for the next match: its context goes too.
        let mut settled = self.text.len();
        for line in search::lines(self.workspace, &file.path, self.query, &window) {
            let mark = if line.is_match { ':' } else { '-' };
            let text = format!("{path}{mark}{}{mark}{}", line.number, printable(&line.text));
            let follows = last.is_some_and(|last| last + 1 == line.number);
            let gap = if context > 0 && !follows && !self.text.is_empty() { "--\n" } else { "" };
            self.text.push_str(gap);
            if line.is_match {
                self.line(&text);
                last_match = Some(line.number);
            } else {
                self.is_full = self.text.len() + text.len() > GREP_TEXT_BYTES_MAX;
                self.text.extend([text.as_str(), "\n"]);
            }
            if self.is_full {
                self.text.truncate(settled);
                return;
            }
            last = Some(line.number);
            if last_match.is_some_and(|at| line.number <= at + context as u64) {
                settled = self.text.len();
            }
        }
    }

    fn end(mut self, found: &[Searched], files: usize, matches: usize) -> ToolOutput {
        let Arguments { pattern, literal, mode, offset, path, .. } = self.arguments;
        let what = if *mode == Mode::Matches { "matching lines" } else { "files" };
        if files == 0 {
            self.text = format!("No matches in `{}`.{}\n", shown(path), pattern::hint(pattern, *literal));
        } else if self.seen < *offset || self.text.is_empty() {
            self.text = format!("There are only {} {what}; give a smaller offset.\n", self.seen);
        }
        let skipped = |kind: Skipped| found.iter().filter(|file| file.skipped == Some(kind)).collect::<Vec<_>>();
        let kinds = [
            (Skipped::Binary, "binary files were left out"),
            (Skipped::Unreadable, "files could not be read"),
            (Skipped::LongLine, "files have a line of more than 16 MiB and were left out"),
        ];
        for (kind, what) in kinds {
            let files = skipped(kind);
            if let Some(first) = files.first() {
                self.notes.push(format!("{} {what}, such as {}", files.len(), show_path(&first.path)));
            }
        }
        if self.is_full {
            self.notes.insert(
                0,
                format!("{what} {} to {}; there are more: continue with offset={}", offset + 1, self.seen, self.seen),
            );
        }
        let notes: String = self.notes.iter().map(|note| format!("[{note}]\n")).collect();
        let data = json!({
            "mode": mode, "matches": matches, "files": files, "truncated": self.is_full,
            "next_offset": self.is_full.then_some(self.seen), "skipped": found.len() - files,
        });
        ToolOutput::new(format!("{}{notes}", self.text).trim_end(), data)
    }
}
