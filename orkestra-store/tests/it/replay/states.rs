//! Draws the states that are judged: the point of the power failure, and the way in which data is lost.
//!
//! Each state depends only on the seed, the model and its number: the same trace gives the same states again.

use orkestra_testkit::Chance;

use super::crash::Way;
use super::model::Model;
use super::recording::Recording;
use super::trace::{Trace, What};

/// A state that a power failure may leave.
pub(super) struct State {
    pub(super) number: usize,
    /// How many records of the trace came before.
    pub(super) point: usize,
    pub(super) way: Way,
    /// Draws all choices that `way` leaves open.
    pub(super) chance: Chance,
}

/// The records after the start of a process that count as the opening of a store.
const OPENING: usize = 120;

/// Points of a trace by kind. Every kind is drawn equally often.
struct Points(Vec<Vec<usize>>);

impl Points {
    fn new(trace: &Trace) -> Self {
        let records = &trace.records;
        let find = |is: &dyn Fn(&What) -> bool, later: usize| -> Vec<usize> {
            let places = records.iter().enumerate().filter(|(_, record)| is(&record.what));
            places.map(|(at, _)| at + later).collect()
        };
        let anywhere = (0..=records.len()).collect();
        let before_sync_ends = find(&|what| matches!(what, What::Synced { .. }), 0);
        let after_range = find(&|what| matches!(what, What::Ranged { .. }), 1);
        let after_name = find(&|what| matches!(what, What::Named { .. }), 1);
        let starts = find(&|what| matches!(what, What::Started), 0);
        let opening = starts.iter().flat_map(|start| *start..(start + OPENING).min(records.len())).collect();
        // Stores most often fail at writes that are not yet synced: these are drawn three times as often.
        let ranges = [after_range.clone(), after_range.clone(), after_range];
        let kinds = [anywhere, before_sync_ends, after_name, opening].into_iter().chain(ranges);
        Self(kinds.filter(|points: &Vec<_>| !points.is_empty()).collect())
    }

    fn draw(&self, chance: &mut Chance) -> usize {
        let kind = chance.below(self.0.len());
        *chance.pick(&self.0[kind])
    }
}

/// Draws `count` states, sorted by their points.
pub(super) fn states(recording: &Recording, model: Model, count: usize) -> Vec<State> {
    let points = Points::new(&recording.trace);
    let seed = recording.scenario.seed * 1_000_003 + model as u64 * 100_000_007;
    let draw = |number: usize| {
        let mut chance = Chance::new(seed + number as u64);
        let (point, way) = (points.draw(&mut chance), Way::draw(&mut chance));
        State { number, point, way, chance }
    };
    let mut states: Vec<_> = (0..count).map(draw).collect();
    states.sort_by_key(|state| state.point);
    states
}
