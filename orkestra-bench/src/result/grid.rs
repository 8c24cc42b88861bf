//! Columns of plain text: what tables on a terminal are made of.

use std::fmt;

/// The width that lines are wrapped at, and that tables of usual names fit in.
pub(super) const WIDTH: usize = 100;

/// How a column is aligned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Left,
    Right,
}

/// Writes rows with two spaces between columns. The first row is the head.
pub(super) fn write_rows<const N: usize>(
    f: &mut fmt::Formatter<'_>,
    columns: &[(&str, Side); N],
    rows: &[[String; N]],
) -> fmt::Result {
    let head = columns.map(|(name, _)| name.to_owned());
    let mut widths = head.clone().map(|cell| cell.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let rule = widths.map(|width| "-".repeat(width));
    for row in [&head, &rule].into_iter().chain(rows) {
        let cells = row.iter().zip(widths).zip(columns).map(|((cell, width), (_, side))| match side {
            Side::Left => format!("{cell:<width$}"),
            Side::Right => format!("{cell:>width$}"),
        });
        writeln!(f, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// Writes `name` and its text beside it, wrapped between words.
pub(super) fn write_field(f: &mut fmt::Formatter<'_>, name: &str, text: &str) -> fmt::Result {
    const INDENT: usize = 9;
    let mut line = format!("{name:<INDENT$}");
    let mut is_empty = true;
    for word in text.split_whitespace() {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            writeln!(f, "{}", line.trim_end())?;
            line = " ".repeat(INDENT);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    writeln!(f, "{}", line.trim_end())
}
