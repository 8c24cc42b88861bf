//! Draws the timeline for a terminal: one bar per attempt, `█` for work, `░` for waiting, `·` for the queue of slots.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

use crate::kernel::SkipReason;
use crate::model::{Amount, Name, Timestamp, printable};
use crate::projection::word::word;

use super::{AttemptOutcome, AttemptTimeline, MarkKind, NodeEnd, NodeTimeline, Span, Timeline};

/// The width of the time scale, in cells.
const CELLS: usize = 48;

/// Further lines are only counted.
const LINES_MAX: usize = 200;

/// Longer labels do not widen the label column.
const LABEL_COLUMN_MAX: usize = 32;

const REMARK_CHARS_MAX: usize = 100;

pub(super) fn draw(timeline: &Timeline) -> String {
    let scale = Scale { from: timeline.created_at, until: timeline.updated_at };
    let lines: Vec<_> = timeline.nodes.iter().flat_map(|node| lines(node, &scale)).collect();
    let column = lines.iter().map(|line| line.label.len()).filter(|length| *length <= LABEL_COLUMN_MAX).max();
    let column = column.unwrap_or(0);
    let whole = show(scale.until.since(scale.from));
    let mut text = format!("{} · run {} · {}", timeline.workflow, timeline.run, word(timeline.status));
    let _ = writeln!(text, " · from {}{}", timeline.created_at, spent(&timeline.spent));
    let _ = writeln!(text, "\n{:column$}  0{whole:>width$}", "", width = CELLS - 1);
    for line in lines.iter().take(LINES_MAX) {
        let _ = writeln!(text, "{:column$}  {}  {}", line.label, line.bar, line.remark);
    }
    if lines.len() > LINES_MAX {
        let _ = writeln!(text, "… {} more", lines.len() - LINES_MAX);
    }
    let marks = timeline.marks.iter().map(|mark| (mark.at, describe(&mark.kind)));
    for (place, (at, what)) in marks.take(LINES_MAX).enumerate() {
        text.push_str(if place == 0 { "\n" } else { "" });
        let _ = writeln!(text, "+{}  {what}", show(at.since(scale.from)));
    }
    if timeline.marks.len() > LINES_MAX {
        let _ = writeln!(text, "… {} more", timeline.marks.len() - LINES_MAX);
    }
    text
}

struct Line {
    label: String,
    bar: String,
    remark: String,
}

/// The time scale, divided into cells.
struct Scale {
    from: Timestamp,
    until: Timestamp,
}

impl Scale {
    /// The cells that the span touches, at least one.
    fn touched(&self, span: Span) -> std::ops::Range<usize> {
        let begin = self.cell(span.from, 0).min(CELLS - 1);
        let end = self.cell(span.until.unwrap_or(self.until), self.millis() - 1);
        begin..end.max(begin + 1)
    }

    /// The cells that the span fills.
    fn filled(&self, span: Span) -> std::ops::Range<usize> {
        let begin = self.cell(span.from, self.millis() - 1);
        begin..self.cell(span.until.unwrap_or(self.until), 0).max(begin)
    }

    fn millis(&self) -> u128 {
        self.until.since(self.from).as_millis().max(1)
    }

    /// The cell of a point in time, rounded up by `up` parts of a cell.
    fn cell(&self, at: Timestamp, up: u128) -> usize {
        let cells = (at.since(self.from).as_millis() * CELLS as u128 + up) / self.millis();
        usize::try_from(cells).unwrap_or(CELLS).min(CELLS)
    }

    /// A bar with these spans, later ones painted over earlier ones.
    fn bar(&self, work: Option<Span>, waits: impl Iterator<Item = Span>, queued: &[Span]) -> String {
        let mut cells = [' '; CELLS];
        queued.iter().for_each(|span| cells[self.touched(*span)].fill('·'));
        if let Some(work) = work {
            cells[self.touched(work)].fill('█');
        }
        waits.for_each(|span| cells[self.filled(span)].fill('░'));
        cells.iter().collect()
    }
}

fn lines(node: &NodeTimeline, scale: &Scale) -> Vec<Line> {
    let attempts = node.attempts.iter().enumerate().map(|(place, attempt)| {
        let number = if attempt.attempt > 1 { format!(" #{}", attempt.attempt) } else { String::new() };
        let waits = attempt.waits.iter().map(|wait| wait.span);
        // A time in the queue belongs to the attempt that ended it.
        let since = place.checked_sub(1).map_or(Timestamp::ZERO, |before| node.attempts[before].span.from);
        let queued = |span: &&Span| span.from >= since && span.from <= attempt.span.from;
        let queued: Vec<_> = node.queued.iter().filter(queued).copied().collect();
        Line {
            label: format!("{}{number}", node.name),
            bar: scale.bar(Some(attempt.span), waits, &queued),
            remark: printable(&remark(attempt, scale), REMARK_CHARS_MAX),
        }
    });
    let mut lines: Vec<_> = attempts.collect();
    if let Some(last) = node.ended.as_ref().map(end).or_else(|| lines.is_empty().then(|| "queued".to_owned())) {
        let bar = scale.bar(None, std::iter::empty(), if lines.is_empty() { &node.queued } else { &[] });
        lines.push(Line { label: node.name.to_string(), bar, remark: printable(&last, REMARK_CHARS_MAX) });
    }
    lines
}

fn end(end: &NodeEnd) -> String {
    match end {
        NodeEnd::Skipped { reason: SkipReason::Condition, .. } => "skipped: its condition does not hold".to_owned(),
        NodeEnd::Skipped { .. } => "skipped: a node it depends on failed or was skipped".to_owned(),
        NodeEnd::Failed { failure, .. } => format!("failed: {failure}"),
        NodeEnd::Cancelled { .. } => "cancelled".to_owned(),
    }
}

fn remark(attempt: &AttemptTimeline, scale: &Scale) -> String {
    let took = show(attempt.span.until.unwrap_or(scale.until).since(attempt.span.from));
    let mut remark = match &attempt.outcome {
        None => format!("running for {took}"),
        Some(AttemptOutcome::Completed) => format!("completed in {took}"),
        Some(AttemptOutcome::Failed { failure, .. }) => format!("failed after {took}: {failure}"),
        Some(AttemptOutcome::Cancelled) => format!("cancelled after {took}"),
    };
    let counts = [(attempt.steps.len(), "step"), (attempt.reports, "report"), (attempt.interruptions, "interruption")];
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        let _ = write!(remark, " · {count} {what}{}", if count == 1 { "" } else { "s" });
    }
    remark + &spent(&attempt.charges)
}

fn spent(charges: &BTreeMap<Name, Amount>) -> String {
    charges.iter().map(|(meter, amount)| format!(" · {meter} {amount}")).collect()
}

fn describe(kind: &MarkKind) -> String {
    match kind {
        MarkKind::Recovered => "taken over by another process".to_owned(),
        MarkKind::Paused(reason) => printable(&format!("paused: {reason}"), REMARK_CHARS_MAX),
        MarkKind::Resumed => "resumed".to_owned(),
        MarkKind::Stopping => "stopping".to_owned(),
        MarkKind::Compensating => "compensating".to_owned(),
        MarkKind::Reopened => "reopened".to_owned(),
        MarkKind::Ended(status) => word(*status),
    }
}

/// A duration in its two largest units.
fn show(duration: Duration) -> String {
    let millis = duration.as_millis();
    let (seconds, minutes, hours) = (millis / 1000, millis / 60_000, millis / 3_600_000);
    match () {
        () if seconds == 0 => format!("{millis} ms"),
        () if minutes == 0 => format!("{seconds}.{} s", millis % 1000 / 100),
        () if hours == 0 => format!("{minutes} min {} s", seconds % 60),
        () if hours < 24 => format!("{hours} h {} min", minutes % 60),
        () => format!("{} d {} h", hours / 24, hours % 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_show_two_units() {
        for (millis, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1250, "1.2 s"),
            (59_999, "59.9 s"),
            (61_000, "1 min 1 s"),
            (3_600_000, "1 h 0 min"),
            (90_000_000, "1 d 1 h"),
        ] {
            assert_eq!(show(Duration::from_millis(millis)), text);
        }
    }

    #[test]
    fn spans_have_cells() {
        let at = Timestamp::from_millis;
        let scale = Scale { from: at(1000), until: at(1480) };
        let span = |from, until| Span { from: at(from), until: Some(at(until)) };
        assert_eq!(scale.touched(span(1000, 1000)), 0..1);
        assert_eq!(scale.touched(span(1480, 1480)), 47..48);
        assert_eq!(scale.touched(span(1011, 1021)), 1..3);
        assert_eq!(scale.filled(span(1011, 1029)), 2..2);
        assert_eq!(scale.filled(span(1010, 1030)), 1..3);
        assert_eq!(scale.touched(span(1200, 900)), 20..21, "a clock that jumped back");
        let nothing = Scale { from: at(5), until: at(5) };
        assert_eq!(nothing.touched(span(5, 5)), 0..1);
    }
}
