//! Recovery from the write-ahead files: which records are valid, and the overlay they make.
//!
//! A record is valid if it follows, without a gap, the last group commit in sled. All other records are left from an
//! earlier use of the file, or follow something that was lost.

use std::sync::Arc;

use super::overlay::{Layer, Overlay};
use super::wal::Record;

/// The result of recovery.
#[derive(Debug, Default)]
pub(super) struct Recovered {
    /// What is not in sled yet.
    pub(super) overlay: Overlay,
    /// The number of the last group commit.
    pub(super) last: u64,
    /// The number of the last group commit in the frozen layer.
    pub(super) frozen: u64,
    /// The highest boot number.
    pub(super) boot: u32,
    /// The index of the file to continue in.
    pub(super) current: usize,
    /// Whether that file has valid records.
    pub(super) keep_current: bool,
    /// Whether the other file has valid records.
    pub(super) keep_other: bool,
}

/// Recovers the group commits after `applied`, the last one in sled.
pub(super) fn recover(records: [Vec<Record>; 2], applied: u64) -> Recovered {
    let mut recovered = Recovered { last: applied, ..Recovered::default() };
    let mut files: Vec<_> = records
        .into_iter()
        .map(|records| records.into_iter().filter(|record| record.number > applied).collect::<Vec<_>>())
        .enumerate()
        .filter_map(|(file, records)| Some((records.first()?.number, file, records)))
        .collect();
    files.sort_unstable_by_key(|(first, _, _)| *first);
    for (first, file, records) in files {
        let boot = records.first().map_or(0, |record| record.boot);
        if first != recovered.last + 1 || boot < recovered.boot {
            break;
        }
        if recovered.keep_current {
            recovered.overlay.freeze();
            recovered.frozen = recovered.last;
            recovered.keep_other = true;
        }
        (recovered.current, recovered.keep_current) = (file, true);
        let mut layer = Layer::default();
        for record in records {
            (recovered.last, recovered.boot) = (record.number, record.boot);
            layer.add(record.changes, record.boot);
        }
        recovered.overlay.active = layer;
    }
    recovered
}

impl Recovered {
    /// The layer that a checkpoint must write into sled, with the number of its last group commit.
    pub(super) fn unfinished_checkpoint(&self) -> Option<(Arc<Layer>, u64)> {
        self.overlay.frozen.clone().map(|layer| (layer, self.frozen))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::changes::Changes;

    fn records(numbers: &[(u64, u32)]) -> Vec<Record> {
        let record = |(number, boot): &(u64, u32)| {
            let mut changes = Changes::default();
            changes.insert(&b"k"[..], number.to_string().as_bytes());
            Record { number: *number, boot: *boot, changes }
        };
        numbers.iter().map(record).collect()
    }

    #[test]
    fn only_records_without_a_gap_are_recovered() {
        type Numbers<'a> = &'a [(u64, u32)];
        // The two files, the last commit in sled; then: the last valid record, what is kept, the top value.
        let cases: [(Numbers<'_>, Numbers<'_>, u64, &str); 9] = [
            (&[], &[], 0, "0: nothing, none"),
            (&[(1, 1), (2, 1)], &[], 0, "2: file 0, 2"),
            (&[(3, 1)], &[(1, 1), (2, 1)], 0, "3: both, file 0 is written to, 3"),
            (&[(3, 1)], &[(1, 1), (2, 1)], 2, "3: file 0, 3"),
            (&[(1, 1), (2, 1)], &[(3, 1), (4, 2)], 2, "4: file 1, 4"),
            (&[(1, 1), (2, 1)], &[], 2, "2: nothing, none"),
            // The end of sled's log is lost, or that of one file.
            (&[(3, 1)], &[(5, 1)], 1, "1: nothing, none"),
            (&[(1, 1)], &[(3, 1)], 0, "1: file 0, 1"),
            // Records that follow an accepted loss.
            (&[(1, 1), (2, 2)], &[(3, 1)], 0, "2: file 0, 2"),
        ];
        for (number, (first, second, applied, wanted)) in cases.into_iter().enumerate() {
            let found = recover([records(first), records(second)], applied);
            let top = found.overlay.layers().find_map(|layer| layer.get(b"k")).flatten();
            let top = top.map(|value| String::from_utf8_lossy(value).into_owned());
            let kept = match (found.keep_current, found.keep_other) {
                (false, _) => "nothing".into(),
                (true, false) => format!("file {}", found.current),
                (true, true) => format!("both, file {} is written to", found.current),
            };
            let seen = format!("{}: {kept}, {}", found.last, top.as_deref().unwrap_or("none"));
            assert_eq!(seen, wanted, "case {number}");
        }
    }
}
