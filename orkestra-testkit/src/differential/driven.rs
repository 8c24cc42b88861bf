//! The runs that a differential test drives.

use orkestra_core::model::Timestamp;
use orkestra_core::store::{Append, RunRecord};

use crate::chance::Chance;
use crate::sample::SampleRun;

/// A run with all commits made of it, including those that no store has accepted.
pub(super) struct Driven {
    pub(super) sample: SampleRun,
    pub(super) made: Vec<Append>,
    ended: bool,
}

impl Driven {
    pub(super) fn new(number: usize, at: u64, chance: &mut Chance) -> Self {
        let sample = SampleRun::new(&format!("r{number}")).at(at);
        let sample = sample.with_label("shard", ["x", "y"][chance.below(2)]);
        Self { sample, made: Vec::new(), ended: false }
    }

    /// The next commit; `None` when the run has ended.
    pub(super) fn next(&mut self, chance: &mut Chance) -> Option<Append> {
        let append = match chance.below(12) {
            _ if self.ended => return None,
            _ if self.made.is_empty() => self.sample.create(),
            0 => {
                self.ended = true;
                self.sample.complete()
            }
            1 => {
                let mut append = self.sample.report(1);
                let at = (!chance.one_in(3)).then(|| Timestamp::from_millis(chance.next_u64() % 5_000));
                append.record = Some(RunRecord { wake_at: at, ..self.sample.record() });
                append
            }
            2 => self.sample.report(chance.below(20_000)),
            _ => self.sample.report(chance.below(100)),
        };
        self.made.push(append.clone());
        Some(append)
    }
}
