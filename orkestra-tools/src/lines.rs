//! Compares and finds lines in linear time, also in files whose lines are all equal. Pure.

use std::collections::HashMap;

/// Gives equal lines the same number.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    known: HashMap<String, usize>,
}

impl Numbers {
    /// The number of a line.
    pub(crate) fn of(&mut self, line: &str) -> usize {
        let next = self.known.len();
        match self.known.get(line) {
            Some(number) => *number,
            None => *self.known.entry(line.to_owned()).or_insert(next),
        }
    }
}

/// All places where `wanted` occurs in `lines`, also overlapping ones (Knuth, Morris, Pratt).
pub(crate) fn find_all(lines: &[usize], wanted: &[usize]) -> Vec<usize> {
    let mut borders = vec![0; wanted.len()];
    let mut matched = 0;
    for at in 1..wanted.len() {
        while matched > 0 && wanted[at] != wanted[matched] {
            matched = borders[matched - 1];
        }
        matched += usize::from(wanted[at] == wanted[matched]);
        borders[at] = matched;
    }
    let (mut places, mut matched) = (Vec::new(), 0);
    for (at, line) in lines.iter().enumerate() {
        while matched > 0 && (matched == wanted.len() || *line != wanted[matched]) {
            matched = borders[matched - 1];
        }
        matched += usize::from(wanted.get(matched) == Some(line));
        if matched > 0 && matched == wanted.len() {
            places.push(at + 1 - matched);
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_places_are_found_also_overlapping_ones() {
        let table: [(&[usize], &[usize], &[usize]); 7] = [
            (&[1, 2, 1, 2, 1], &[1, 2, 1], &[0, 2]),
            (&[1, 1, 1, 1], &[1, 1], &[0, 1, 2]),
            (&[1, 1, 2, 1, 1, 1, 2], &[1, 1, 2], &[0, 4]),
            (&[1, 2, 3], &[3], &[2]),
            (&[1, 2], &[1, 2, 3], &[]),
            (&[], &[1], &[]),
            (&[1], &[], &[]),
        ];
        for (lines, wanted, expected) in table {
            assert_eq!(find_all(lines, wanted), expected, "{wanted:?} in {lines:?}");
        }
    }
}
