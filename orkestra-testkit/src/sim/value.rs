//! The values that go through a world. Each says what it is, so that one that was lost, swapped or changed on its way is
//! seen; and some are of a kind that is easily mistaken for something else.

use orkestra_core::model::RunId;
use serde_json::{Value, json};

use crate::chance::Chance;

/// The letters of a value that is too long for a journal.
const HUGE: usize = 300_000;
/// The digest of such a value, which is its key beside a journal.
const HUGE_KEY: &str = "aec3d6ca3eb715292101031ee9753a80a1bf8b4d50ccec2a399e883bc690666e";

/// The first whole number that a 64-bit float cannot hold.
pub(super) const BIG: u64 = (1 << 53) + 1;

/// A kind of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Odd {
    Plain,
    Null,
    Big,
    /// Arrays within arrays.
    Deep,
    /// What the engine of an older version wrote for a value that is kept beside the journal.
    Marker,
    /// Such a marker within a list: what several nodes give to the next one.
    Markers,
    /// Other forms that the engine's own words may have.
    Own,
    Huge,
}

const ODDS: [Odd; 7] = [Odd::Null, Odd::Big, Odd::Deep, Odd::Marker, Odd::Markers, Odd::Own, Odd::Plain];

impl Odd {
    pub(super) fn random(chance: &mut Chance) -> Self {
        // It costs as much as a hundred others.
        if chance.one_in(40) { Self::Huge } else { *chance.pick(&ODDS) }
    }

    pub(super) fn value(self) -> Value {
        let marker = |run: &str| json!({ "$orkestra.blob": { "run": run, "key": HUGE_KEY, "bytes": HUGE + 2 } });
        match self {
            Self::Plain => json!(7),
            Self::Null => Value::Null,
            Self::Big => json!(BIG),
            Self::Deep => (0..100).fold(json!(1), |inner, _| json!([inner])),
            Self::Marker => marker("r0"),
            Self::Markers => json!([marker("r1"), 1, marker("r0")]),
            Self::Own => json!({ "$orkestra.json": { "$orkestra.blob": { "key": HUGE_KEY, "bytes": HUGE + 2 } } }),
            Self::Huge => Value::String("h".repeat(HUGE)),
        }
    }
}

/// The odd part of the value that this number stands for, in worlds that have odd values.
pub(super) fn odd(seed: u64, odd_ones: bool, number: u64) -> Value {
    let mut chance = Chance::new(seed ^ number.wrapping_mul(0x9e37_79b9));
    if odd_ones && chance.one_in(3) { Odd::random(&mut chance).value() } else { Odd::Plain.value() }
}

/// A signal or an answer: which one it is, and for whom.
pub(super) fn message(seed: u64, odd_ones: bool, number: u64, run: &RunId, what: &str) -> Value {
    // Now and then nothing but the odd value: what stands at the very beginning may be looked at.
    json!({ "no": number, "run": run, "what": what, "v": odd(seed, odd_ones, number) })
}

/// The number of a message or a result of ours.
pub(super) fn number_of(value: &Value) -> Option<u64> {
    value.get("no")?.as_u64()
}
