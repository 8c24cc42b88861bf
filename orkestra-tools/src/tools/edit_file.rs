//! `edit_file`: replaces a passage of a file. `data` is `{path, bytes, replaced}`.
//!
//! A passage that occurs more than once is an error unless `all` is set: a wrong edit costs more than a second call. If the
//! exact text is not found, lines are compared without trailing blanks, which is what models most often get wrong. There is no
//! fuzzier matching, so an edit never lands in an unintended place.

use std::ops::Range;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::blocking;
use crate::error::ToolError;
use crate::limits::WRITE_BYTES_MAX;
use crate::lines::{Numbers, find_all};
use crate::nearest::nearest;
use crate::scope::{Happening, ToolScope};
use crate::tool::{Effect, ToolOutput, TypedTool};
use crate::workspace::{escaped, shown};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// Path of the file, relative to the workspace.
    path: String,
    /// The passage to replace, exactly as it stands in the file, with enough lines around it to occur only once.
    #[schemars(length(min = 1))]
    search: String,
    /// What to put in its place; empty to delete it.
    replace: String,
    /// Replace every occurrence.
    #[serde(default)]
    all: bool,
}

pub(crate) struct EditFile;

#[async_trait]
impl TypedTool for EditFile {
    type Arguments = Arguments;
    const NAME: &'static str = "edit_file";
    const DESCRIPTION: &'static str =
        "Replace one passage of a text file in the workspace. The passage must occur exactly once, unless all is true.";
    const EFFECT: Effect = Effect::Mutating;

    async fn call(&self, scope: &ToolScope, arguments: Arguments) -> Result<ToolOutput, ToolError> {
        let workspace = scope.workspace().clone();
        let (path, bytes, replaced) = blocking(move || {
            let content = workspace.read_capped(&arguments.path, WRITE_BYTES_MAX)?;
            let content = String::from_utf8(content).map_err(|_| {
                ToolError::Refused(format!(
                    "`{}` is not a text file; change it with run_command",
                    shown(&arguments.path)
                ))
            })?;
            let (edited, replaced) = edit(&content, &arguments).map_err(ToolError::Refused)?;
            let bytes = workspace.write(&arguments.path, edited.as_bytes())?;
            Ok((arguments.path, bytes, replaced))
        })
        .await?;
        scope.observer().observe(Happening::FileWritten { path: escaped(&path), bytes });
        let text = format!("Replaced {replaced} passage(s) in {}, which now has {bytes} bytes.", shown(&path));
        Ok(ToolOutput::new(text, json!({ "path": path, "bytes": bytes, "replaced": replaced })))
    }

    fn limits(&self) -> Vec<String> {
        vec![format!("a file has at most {} MiB", WRITE_BYTES_MAX >> 20)]
    }
}

fn edit(content: &str, arguments: &Arguments) -> Result<(String, usize), String> {
    let Arguments { path, search, replace, all } = arguments;
    if search.is_empty() {
        return Err("search is empty; use write_file to write a whole file".to_owned());
    }
    if search == replace {
        return Err("search and replace are the same, so nothing would change; give another replacement".to_owned());
    }
    let mut places: Vec<Range<usize>> =
        content.match_indices(search.as_str()).map(|(at, found)| at..at + found.len()).collect();
    if places.is_empty() {
        places = places_without_trailing_blanks(content, search);
    }
    match places.len() {
        0 => {
            let near = nearest(content, &search.lines().collect::<Vec<_>>());
            let near = if near.is_empty() { near } else { format!(".\n{near}") };
            return Err(format!(
                "the passage is not in `{}`; copy it from the current text, which read_file shows{near}",
                shown(path)
            ));
        }
        1 => {}
        count if !all => {
            let lines: Vec<String> =
                places.iter().take(5).map(|place| line_of(content, place.start).to_string()).collect();
            return Err(format!(
                "the passage occurs {count} times in `{}` (lines {}{}); add lines around it until it is unique, or set all to true",
                shown(path),
                lines.join(", "),
                if count > lines.len() { ", …" } else { "" }
            ));
        }
        _ => {}
    }
    let removed: usize = places.iter().map(ExactSizeIterator::len).sum();
    let bytes = (content.len() - removed).saturating_add(places.len().saturating_mul(replace.len()));
    if bytes as u64 > WRITE_BYTES_MAX {
        return Err(format!(
            "`{}` would have {bytes} bytes, and the limit is {WRITE_BYTES_MAX}; nothing was changed",
            shown(path)
        ));
    }
    let (mut edited, mut end) = (String::with_capacity(bytes), 0);
    for place in &places {
        edited.push_str(&content[end..place.start]);
        edited.push_str(replace);
        end = place.end;
    }
    edited.push_str(&content[end..]);
    Ok((edited, places.len()))
}

fn places_without_trailing_blanks(content: &str, search: &str) -> Vec<Range<usize>> {
    let mut numbers = Numbers::default();
    let wanted: Vec<usize> = search.lines().map(|line| numbers.of(line.trim_end())).collect();
    let (mut lines, mut own, mut start) = (Vec::new(), Vec::new(), 0);
    for line in content.split_inclusive('\n') {
        lines.push((start, line));
        own.push(numbers.of(line.trim_end()));
        start += line.len();
    }
    let mut places: Vec<Range<usize>> = Vec::new();
    for first in find_all(&own, &wanted) {
        let begin = lines[first].0;
        if places.last().is_none_or(|place| place.end <= begin) {
            let (last_start, last) = lines[first + wanted.len() - 1];
            // The newline is replaced only when the passage had one.
            let end = if search.ends_with('\n') { last.len() } else { last.trim_end().len() };
            places.push(begin..last_start + end);
        }
    }
    places
}

fn line_of(content: &str, at: usize) -> usize {
    content[..at].matches('\n').count() + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content: &str, search: &str, replace: &str, all: bool, expected: Result<&str, &str>) {
        let arguments = Arguments { path: "f".into(), search: search.into(), replace: replace.into(), all };
        match (edit(content, &arguments), expected) {
            (Ok((edited, _)), Ok(want)) => assert_eq!(edited, want),
            (Err(error), Err(want)) => assert!(error.contains(want), "{error}"),
            (got, want) => panic!("got {got:?}, expected {want:?}"),
        }
    }

    #[test]
    fn one_passage_is_replaced_and_ambiguity_is_an_error() {
        check("a\nb\nc\n", "b", "B", false, Ok("a\nB\nc\n"));
        check("a\nb\nc\n", "b\n", "", false, Ok("a\nc\n"));
        check("x\nx\n", "x", "y", false, Err("occurs 2 times in `f` (lines 1, 2)"));
        check("x\nx\n", "x", "y", true, Ok("y\ny\n"));
        check("a\n", "b", "c", false, Err("not in `f`"));
        check("one\nvalue = 1\n", "value = 2", "c", false, Err("2| value = 1\nLine 2 differs"));
        check("a\n", "", "c", false, Err("empty"));
        check("a\n", "a", "a", false, Err("the same"));
    }

    #[test]
    fn large_files_take_linear_time_and_memory() {
        let file = "x".repeat(2 << 20);
        check(&file, "x", &"y".repeat(1 << 20), true, Err("the limit is 2097152; nothing was changed"));
        check(&file, "x", "y", true, Ok(&"y".repeat(2 << 20)));
        let file = "x \n".repeat(500_000);
        let passage = format!("{}y", "x\n".repeat(300_000));
        check(&file, &passage, "z", false, Err("not in `f`"));
    }

    #[test]
    fn trailing_blanks_do_not_matter_when_the_exact_text_is_missing() {
        check("if x:  \n    y\nend\n", "if x:\n    y", "z", false, Ok("z\nend\n"));
        check("if x:\r\n    y\r\nend\r\n", "if x:\n    y\n", "z\n", false, Ok("z\nend\r\n"));
        check("  y\n", "y\nz", "w", false, Err("not in"));
    }
}
