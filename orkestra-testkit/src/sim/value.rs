//! The values in a world. Each identifies itself, so that a lost, swapped or changed value is detected. Some are easily mistaken
//! for something else.

use orkestra_core::model::RunId;
use serde_json::{Value, json};

use crate::chance::Chance;

/// The length of a value that is too long for a journal, in characters.
const HUGE: usize = 300_000;
/// The digest of that value, under which it is kept beside the journal.
const HUGE_KEY: &str = "aec3d6ca3eb715292101031ee9753a80a1bf8b4d50ccec2a399e883bc690666e";

/// The first whole number that a 64-bit float cannot represent.
pub(super) const BIG: u64 = (1 << 53) + 1;

/// An unusual kind of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Odd {
    Plain,
    Null,
    Big,
    /// Nested arrays.
    Deep,
    /// The marker that an older version of the engine wrote for a value kept beside the journal.
    Marker,
    /// Such markers in a list, as several nodes pass to the next one.
    Markers,
    /// Another form of the engine's own markers.
    Own,
    Huge,
}

const ODDS: [Odd; 7] = [Odd::Null, Odd::Big, Odd::Deep, Odd::Marker, Odd::Markers, Odd::Own, Odd::Plain];

impl Odd {
    pub(super) fn random(chance: &mut Chance) -> Self {
        // It is a hundred times as expensive as the others.
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

/// The unusual part of the value with this number, in worlds that have such values.
pub(super) fn odd(seed: u64, odd_ones: bool, number: u64) -> Value {
    let mut chance = Chance::new(seed ^ number.wrapping_mul(0x9e37_79b9));
    if odd_ones && chance.one_in(3) { Odd::random(&mut chance).value() } else { Odd::Plain.value() }
}

/// The value of a signal or an answer, which says which one it is and for which run.
pub(super) fn message(seed: u64, odd_ones: bool, number: u64, run: &RunId, what: &str) -> Value {
    json!({ "no": number, "run": run, "what": what, "v": odd(seed, odd_ones, number) })
}

/// The number in a [`message`] or in the result of a step.
pub(super) fn number_of(value: &Value) -> Option<u64> {
    value.get("no")?.as_u64()
}
