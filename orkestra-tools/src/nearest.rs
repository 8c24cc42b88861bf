//! Shows the lines of a file that resemble a passage which is not in it, so that a model can correct its next call. Pure.

use std::cmp::Ordering;
use std::collections::HashMap;

use crate::limits::{NEAREST_LINE_BYTES_MAX, NEAREST_LINES_MAX, NEAREST_SCAN_LINES_MAX};

/// Two lines resemble each other from this similarity on.
const SIMILAR: f64 = 0.5;

/// The lines of `content` that resemble `wanted` most, with numbers, and the first difference; empty when none does.
pub(crate) fn nearest(content: &str, wanted: &[&str]) -> String {
    let lines: Vec<&str> = content.lines().take(NEAREST_SCAN_LINES_MAX).collect();
    let wanted = &wanted[..wanted.len().min(NEAREST_SCAN_LINES_MAX)];
    let start = by_equal_lines(&lines, wanted).or_else(|| by_similar_line(&lines, wanted));
    let Some(start) = start else { return String::new() };
    let mut shown = format!("The nearest lines of the file:\n{}", numbered(&lines, start, wanted.len().max(1)));
    let differs = (0..wanted.len()).find(|index| {
        let line = lines.get(start + index);
        line.is_none_or(|line| line.trim_end() != wanted[*index].trim_end())
    });
    if let Some(index) = differs {
        let has = match lines.get(start + index) {
            Some(line) => format!("{:?}", cut(line)),
            None => "no such line".to_owned(),
        };
        let number = start + index + 1;
        shown.push_str(&format!("\nLine {number} differs: the file has {has}, you gave {:?}.", cut(wanted[index])));
    }
    shown
}

/// Lines from `start` (counted from 0) with their numbers, a few before and after.
pub(crate) fn numbered(lines: &[&str], start: usize, count: usize) -> String {
    let first = start.saturating_sub(2);
    let last = lines.len().min(start + count + 2).min(first + NEAREST_LINES_MAX);
    let width = last.to_string().len();
    let show = |number: usize| format!("{:>width$}| {}", number + 1, printable(&cut(lines[number])));
    (first..last).map(show).collect::<Vec<_>>().join("\n")
}

/// The place where most of the wanted lines are, apart from their indentation.
fn by_equal_lines(lines: &[&str], wanted: &[&str]) -> Option<usize> {
    let mut places: HashMap<&str, Vec<usize>> = HashMap::new();
    let shortest = if wanted.iter().any(|line| line.trim().len() > 3) { 4 } else { 1 };
    for (index, line) in wanted.iter().enumerate() {
        let line = line.trim();
        // Braces and the like are everywhere, and so are repeated lines.
        if line.len() >= shortest {
            let indices = places.entry(line).or_default();
            if indices.len() < 8 {
                indices.push(index);
            }
        }
    }
    let mut votes: HashMap<usize, usize> = HashMap::new();
    for (number, line) in lines.iter().enumerate() {
        for index in places.get(line.trim()).into_iter().flatten() {
            *votes.entry(number.saturating_sub(*index)).or_default() += 1;
        }
    }
    votes.into_iter().max_by_key(|(start, count)| (*count, std::cmp::Reverse(*start))).map(|(start, _)| start)
}

/// The place of the line that is most similar to one of the longest wanted lines.
fn by_similar_line(lines: &[&str], wanted: &[&str]) -> Option<usize> {
    let mut longest: Vec<usize> = (0..wanted.len()).filter(|index| wanted[*index].trim().len() > 3).collect();
    longest.sort_by_key(|index| std::cmp::Reverse(wanted[*index].trim().len()));
    longest.truncate(3);
    let sought: Vec<(usize, Vec<[u8; 2]>)> = longest.into_iter().map(|index| (index, pairs(wanted[index]))).collect();
    let mut best: Option<(f64, usize)> = None;
    for (number, line) in lines.iter().enumerate() {
        let own = if sought.is_empty() { Vec::new() } else { pairs(line) };
        for (index, wanted) in &sought {
            let alike = similarity(wanted, &own);
            if alike >= SIMILAR && best.is_none_or(|(most, _)| alike > most) {
                best = Some((alike, number.saturating_sub(*index)));
            }
        }
    }
    best.map(|(_, start)| start)
}

/// The pairs of neighbouring bytes, sorted.
fn pairs(line: &str) -> Vec<[u8; 2]> {
    let line = line.trim().as_bytes();
    let mut pairs: Vec<[u8; 2]> =
        line[..line.len().min(NEAREST_LINE_BYTES_MAX)].windows(2).map(|pair| [pair[0], pair[1]]).collect();
    pairs.sort_unstable();
    pairs
}

/// The share of pairs that two lines have in common, 0 to 1.
fn similarity(left: &[[u8; 2]], right: &[[u8; 2]]) -> f64 {
    let (least, most) = (left.len().min(right.len()), left.len().max(right.len()));
    // The lengths alone already exclude most lines.
    if least * 3 < most {
        return 0.0;
    }
    let (mut at, mut other, mut common) = (0, 0, 0);
    while let (Some(one), Some(two)) = (left.get(at), right.get(other)) {
        match one.cmp(two) {
            Ordering::Less => at += 1,
            Ordering::Greater => other += 1,
            Ordering::Equal => (at, other, common) = (at + 1, other + 1, common + 1),
        }
    }
    2.0 * f64::from(common) / (left.len() + right.len()).max(1) as f64
}

fn cut(line: &str) -> String {
    if line.len() <= NEAREST_LINE_BYTES_MAX {
        return line.to_owned();
    }
    format!("{}…", &line[..line.floor_char_boundary(NEAREST_LINE_BYTES_MAX)])
}

/// A line of a file without escape codes.
pub(crate) fn printable(line: &str) -> String {
    let show =
        |one: char| if one.is_control() && one != '\t' { one.escape_default().to_string() } else { one.to_string() };
    if line.chars().any(|one| one.is_control() && one != '\t') {
        line.chars().map(show).collect()
    } else {
        line.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str =
        "import os\n\ndef first(a):\n    total = a + 1\n    return total\n\ndef second(b):\n    return b\n";

    fn check(wanted: &str, expected: &[&str]) {
        let shown = nearest(FILE, &wanted.lines().collect::<Vec<_>>());
        for part in expected {
            assert!(shown.contains(part), "{wanted:?}: {shown}");
        }
        assert_eq!(shown.is_empty(), expected.is_empty(), "{wanted:?}: {shown}");
    }

    #[test]
    fn the_nearest_lines_and_the_first_difference_are_shown() {
        check(
            "def first(a):\n    total = a + 2\n    return total",
            &[
                "3| def first(a):",
                "Line 4 differs: the file has \"    total = a + 1\", you gave \"    total = a + 2\".",
            ],
        );
        check("\treturn total", &["5|     return total", "Line 5 differs"]);
        check("def secnd(b):", &["7| def second(b):", "Line 7 differs"]);
        check("    return b\n    print(b)", &["Line 9 differs: the file has no such line"]);
        check("something else entirely", &[]);
        check("", &[]);
    }

    #[test]
    fn huge_files_and_passages_are_bounded_and_escape_codes_are_not_shown() {
        let file = format!("{}\x1b[31mred line\n", "x = 1\n".repeat(200_000));
        assert_eq!(nearest(&file, &["nothing like it at all"]), "");
        let long = "y".repeat(1_000_000);
        assert!(nearest(&long, &[&long[..999_999]]).len() < 2000);
        let shown = nearest("\x1b[31mred line\n", &["red line"]);
        assert!(shown.contains("red line") && !shown.contains('\x1b'), "{shown:?}");
        let wanted = vec!["x = 1 "; 100_000];
        assert!(nearest(&file, &wanted).len() < 4000);
    }
}
