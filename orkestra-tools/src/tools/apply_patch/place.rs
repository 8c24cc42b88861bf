//! Finds the place of each hunk in a file, and builds the new file. Pure.
//!
//! The lines of a hunk must be in the file; only blanks at the ends of lines may differ. Line numbers are a hint. A hunk that fits
//! in several places, none of which is the line that it names, is an error.

use super::form::{Hunk, Side};
use crate::lines::{Numbers, find_all};
use crate::nearest::nearest;

/// The file with all hunks applied. An error has one text for each hunk that does not apply; `details` counts down those that show
/// the nearest lines, which take a while to find.
pub(super) fn apply(content: &str, hunks: &[Hunk], details: &mut usize) -> Result<String, Vec<(usize, String)>> {
    let mut file = OldFile::new(content);
    let (mut places, mut problems, mut cursor) = (Vec::new(), Vec::new(), 0);
    for (index, hunk) in hunks.iter().enumerate() {
        match file.place(hunk, cursor, *details > 0) {
            Ok(place) => {
                cursor = place + hunk.before().len();
                places.push((place, hunk));
            }
            Err(problem) => {
                *details = details.saturating_sub(1);
                problems.push((index, problem));
            }
        }
    }
    if problems.is_empty() { Ok(file.with(&places)) } else { Err(problems) }
}

/// A file whose lines are numbered by their text, so that searching takes linear time also in files with equal lines.
struct OldFile<'a> {
    content: &'a str,
    /// Each line, and its newline.
    lines: Vec<(&'a str, &'a str)>,
    numbers: Numbers,
    exact: Vec<usize>,
    /// The same without the blanks at the ends of lines.
    loose: Vec<usize>,
}

impl<'a> OldFile<'a> {
    fn new(content: &'a str) -> Self {
        let lines: Vec<(&str, &str)> = content.split_inclusive('\n').map(split_newline).collect();
        let mut file = Self { content, lines, numbers: Numbers::default(), exact: Vec::new(), loose: Vec::new() };
        for index in 0..file.lines.len() {
            let line = file.lines[index].0;
            let (exact, loose) = (file.numbers.of(line), file.numbers.of(line.trim_end()));
            file.exact.push(exact);
            file.loose.push(loose);
        }
        file
    }

    /// Where the hunk begins, counted from 0, at `cursor` or later.
    fn place(&mut self, hunk: &Hunk, cursor: usize, in_detail: bool) -> Result<usize, String> {
        let old: Vec<String> = hunk.before().into_iter().map(str::to_owned).collect();
        if old.is_empty() {
            return self.insertion(hunk, cursor);
        }
        let mut places = self.occurrences(&old, hunk, cursor);
        let named = hunk.start.and_then(|start| start.checked_sub(1));
        if let Some(named) = named.filter(|named| places.contains(named)) {
            return Ok(named);
        }
        if places.len() != 1 && !hunk.headings.is_empty() {
            let below = self.below_headings(hunk, &places, cursor)?;
            // With line numbers the heading is only a comment, and may be cut.
            if hunk.start.is_none() || !below.is_empty() {
                places = below;
            }
        }
        match places[..] {
            [place] => Ok(place),
            [] if !in_detail => Err("its unchanged and removed lines are not in the file".to_owned()),
            [] => Err(self.not_found(&old, hunk, cursor)),
            _ => {
                let shown: Vec<String> = places.iter().take(5).map(|place| (place + 1).to_string()).collect();
                Err(format!(
                    "its lines are in {} places (lines {}{}); add unchanged lines around the change until they are in one place only",
                    places.len(),
                    shown.join(", "),
                    if places.len() > shown.len() { ", …" } else { "" }
                ))
            }
        }
    }

    /// All places of these lines from `cursor` on: the exact ones, else those that differ in blanks at the ends of lines.
    fn occurrences(&mut self, old: &[String], hunk: &Hunk, cursor: usize) -> Vec<usize> {
        let exact: Vec<usize> = old.iter().map(|line| self.numbers.of(line)).collect();
        let loose: Vec<usize> = old.iter().map(|line| self.numbers.of(line.trim_end())).collect();
        let fits = |place: &usize| !hunk.at_end || place + old.len() == self.lines.len();
        let find = |lines: &[usize], wanted: &[usize]| -> Vec<usize> {
            let found = find_all(&lines[cursor..], wanted);
            found.into_iter().map(|place| place + cursor).filter(fits).collect()
        };
        let found = find(&self.exact, &exact);
        if found.is_empty() { find(&self.loose, &loose) } else { found }
    }

    /// For each place of the headings the first place of the lines below it.
    fn below_headings(&mut self, hunk: &Hunk, places: &[usize], cursor: usize) -> Result<Vec<usize>, String> {
        let mut below: Vec<usize> = Vec::new();
        for heading in self.ends_of_headings(hunk, cursor)? {
            below.extend(places.get(places.partition_point(|place| *place < heading)));
        }
        below.dedup();
        Ok(below)
    }

    /// The lines after each place of the headings. The first heading may be in several places, each further one is the next below.
    fn ends_of_headings(&self, hunk: &Hunk, cursor: usize) -> Result<Vec<usize>, String> {
        let is = |line: usize, heading: &str| self.lines[line].0.trim() == heading.trim();
        let Some((first, others)) = hunk.headings.split_first() else { return Ok(Vec::new()) };
        let mut ends = Vec::new();
        let mut missing = first;
        // Where each further heading was found last: it is still the next one for a later line before it.
        let mut last: Vec<usize> = vec![0; others.len()];
        for begin in (cursor..self.lines.len()).filter(|line| is(*line, first)) {
            let mut end = Some(begin + 1);
            for (heading, last) in others.iter().zip(&mut last) {
                let Some(from) = end else { break };
                if *last < from {
                    match (from..self.lines.len()).find(|line| is(*line, heading)) {
                        Some(line) => *last = line,
                        None => (end, missing) = (None, heading),
                    }
                }
                end = end.map(|_| *last + 1);
            }
            match end {
                Some(end) => ends.push(end),
                // Further down there is even less of the file.
                None => break,
            }
        }
        if ends.is_empty() && hunk.start.is_none() {
            let near = nearest(self.content, &[missing]);
            return Err(format!(
                "the line {:?} after `@@` is not in the file; copy a line of the file, or leave it out. {near}",
                cut(missing)
            ));
        }
        Ok(ends)
    }

    fn insertion(&self, hunk: &Hunk, cursor: usize) -> Result<usize, String> {
        let end = self.lines.len();
        if let (true, Some(start)) = (hunk.inserts, hunk.start) {
            return if (cursor..=end).contains(&start) {
                Ok(start)
            } else {
                Err(format!(
                    "it adds lines after line {start}, and the file has {end} lines; correct the number or add unchanged lines"
                ))
            };
        }
        if hunk.at_end || end == 0 {
            return Ok(end);
        }
        match self.ends_of_headings(hunk, cursor)?[..] {
            [place] => Ok(place),
            [] => {
                Err("it only adds lines and does not say where; add the unchanged lines before and after them"
                    .to_owned())
            }
            _ => Err("the line after `@@` is in several places; add unchanged lines around the change".to_owned()),
        }
    }

    fn not_found(&mut self, old: &[String], hunk: &Hunk, cursor: usize) -> String {
        let anywhere = Hunk { at_end: false, ..hunk.clone() };
        if let Some(place) = self.occurrences(old, &anywhere, 0).first() {
            let place = place + 1;
            return if hunk.at_end {
                format!("its lines are at line {place} and not at the end of the file; leave out `*** End of File`")
            } else {
                let why =
                    if place <= cursor { "above the end of the hunk before it" } else { "above the line after `@@`" };
                format!("its lines are at line {place}, {why}; put the hunks in the order of the file")
            };
        }
        let new: Vec<String> = hunk.after().into_iter().map(str::to_owned).collect();
        let is_done = new.len() > 1 && !self.occurrences(&new, &anywhere, 0).is_empty();
        let done = if is_done { " The file already has its new lines: perhaps it was applied before." } else { "" };
        let old: Vec<&str> = old.iter().map(String::as_str).collect();
        let near = nearest(self.content, &old);
        let near = if near.is_empty() { "Nothing in the file resembles them".to_owned() } else { near };
        format!(
            "its unchanged and removed lines are not in the file; copy them from the current text, which read_file shows.{done} {near}"
        )
    }

    /// The new file.
    fn with(&self, places: &[(usize, &Hunk)]) -> String {
        let newline = if self.lines.first().is_some_and(|(_, newline)| *newline == "\r\n") { "\r\n" } else { "\n" };
        let mut lines: Vec<(&str, &str)> = Vec::new();
        let (mut next, mut last) = (0, self.lines.last().map_or(newline, |(_, newline)| newline));
        for (place, hunk) in places {
            lines.extend(&self.lines[next..*place]);
            next = *place;
            for (side, line) in &hunk.lines {
                if *side != Side::New {
                    next += 1;
                }
                match side {
                    // Unchanged lines stay as the file has them.
                    Side::Both => lines.push(self.lines[next - 1]),
                    Side::New => lines.push((line, newline)),
                    Side::Old => {}
                }
            }
            if let (true, Some((_, has_none))) = (next == self.lines.len(), hunk.no_newline) {
                last = if has_none { "" } else { newline };
            }
        }
        lines.extend(&self.lines[next..]);
        let count = lines.len();
        let mut content = String::with_capacity(self.content.len());
        for (index, (line, own)) in lines.into_iter().enumerate() {
            content.push_str(line);
            content.push_str(match own {
                _ if index + 1 == count => last,
                "" => newline,
                own => own,
            });
        }
        content
    }
}

fn split_newline(line: &str) -> (&str, &str) {
    let text = line.strip_suffix('\n').unwrap_or(line);
    let text = if text.len() < line.len() { text.strip_suffix('\r').unwrap_or(text) } else { text };
    line.split_at(text.len())
}

fn cut(text: &str) -> String {
    text.chars().take(100).collect()
}
