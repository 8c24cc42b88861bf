//! What faults happen, and how often.

use crate::chance::Chance;

/// How often each fault happens: one time in this many, or never if 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FaultRates {
    /// A call is slow.
    slow_one_in: usize,
    /// The longest time that a slow call takes each way, in milliseconds.
    slow_ms_max: usize,
    /// A call fails and does nothing.
    fail_one_in: usize,
    /// A call is performed, and its answer is lost.
    lose_one_in: usize,
    /// A write has one of the faults of [`WriteFault`].
    write_fault_one_in: usize,
}

/// The fault of a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WriteFault {
    /// It is lost, and answered as unknown.
    Lost,
    /// It is written, and answered as unknown.
    AckLost,
    /// Only its first commits are written, and all are answered as unknown.
    Torn,
    /// It is answered as unknown, and written only later.
    Late,
    /// It is answered as a conflict although it follows.
    Conflict,
    /// It fails with an I/O error.
    Failed,
}

const WRITE_FAULTS: [WriteFault; 6] = [
    WriteFault::Lost,
    WriteFault::AckLost,
    WriteFault::Torn,
    WriteFault::Late,
    WriteFault::Conflict,
    WriteFault::Failed,
];

impl FaultRates {
    pub(super) const NONE: Self =
        Self { slow_one_in: 0, slow_ms_max: 0, fail_one_in: 0, lose_one_in: 0, write_fault_one_in: 0 };

    /// Only single calls fail.
    pub(super) const HICCUPS: Self =
        Self { slow_one_in: 0, slow_ms_max: 0, fail_one_in: 40, lose_one_in: 0, write_fault_one_in: 30 };

    /// Random rates, which differ between worlds: with every fault in every world, faults that show only when everything else
    /// works would be hidden.
    pub(super) fn random(chance: &mut Chance) -> Self {
        let mut rate = |rates: &[usize]| *chance.pick(rates);
        Self {
            slow_one_in: rate(&[0, 2, 4, 16]),
            slow_ms_max: rate(&[3, 30, 300, 3_000]),
            fail_one_in: rate(&[0, 0, 60, 15]),
            lose_one_in: rate(&[0, 0, 60, 15]),
            write_fault_one_in: rate(&[0, 40, 15, 6]),
        }
    }

    pub(super) fn delay_ms(self, chance: &mut Chance) -> u64 {
        if happens(self.slow_one_in, chance) { 1 + chance.below(self.slow_ms_max) as u64 } else { 0 }
    }

    pub(super) fn fails(self, chance: &mut Chance) -> bool {
        happens(self.fail_one_in, chance)
    }

    pub(super) fn loses_the_answer(self, chance: &mut Chance) -> bool {
        happens(self.lose_one_in, chance)
    }

    pub(super) fn write_fault(self, chance: &mut Chance) -> Option<WriteFault> {
        happens(self.write_fault_one_in, chance).then(|| *chance.pick(&WRITE_FAULTS))
    }
}

fn happens(one_in: usize, chance: &mut Chance) -> bool {
    one_in > 0 && chance.one_in(one_in)
}
