//! A value in each group commit that says what was synced and acknowledged when it was written, and which group commit
//! precedes it in the journal. If an earlier one is incomplete, this tells damage from a write torn by a power failure.
//!
//! The file `mark` says the same, but is never synced and may be old after a power failure. This key is read only from
//! the journal, never from the database. Older versions of this library ignore it, and a store without it opens.

use crate::kv::mark::Marked;
use crate::kv::report::Durability;

/// The key of the value in each group commit.
pub(super) const KEY: &[u8] = b"mpromised";

const NUMBER: usize = size_of::<u64>();
const VALUE: usize = 3 * NUMBER;

/// The beginning of its item in a journal, from the lengths of key, value and stored value to the end of the key: see
/// `journal/batch.rs`.
const ITEM: [u8; 19] = *b"\x09\x00\x18\x00\x00\x00\x18\x00\x00\x00mpromised";

/// How many bytes of a piece must be searched again together with the next piece.
pub(super) const OVERLAP: usize = ITEM.len() + VALUE - 1;

/// Numbers of group commits. Zero means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Promises {
    /// The last one synced in the journal. It must exist, whatever the durability.
    pub(super) synced: u64,
    /// The last one acknowledged. A power failure may lose it if it was not synced.
    pub(super) acknowledged: u64,
    /// The preceding one in the journal. Its number is not always one less: see [`super::journal`].
    pub(super) previous: u64,
}

impl Promises {
    pub(super) fn encode(self) -> [u8; VALUE] {
        let mut bytes = [0; VALUE];
        for (part, number) in bytes.chunks_exact_mut(NUMBER).zip([self.synced, self.acknowledged, self.previous]) {
            part.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    /// `None` if the bytes are invalid.
    pub(super) fn decode(value: &[u8]) -> Option<Self> {
        let value: [u8; VALUE] = value.try_into().ok()?;
        let mut numbers =
            value.chunks_exact(NUMBER).map(|part| part.iter().fold(0, |all, byte| all << 8 | u64::from(*byte)));
        Some(Self { synced: numbers.next()?, acknowledged: numbers.next()?, previous: numbers.next()? })
    }

    /// The highest numbers in `bytes`, which may be torn anywhere.
    ///
    /// A lost sector makes a number smaller, so that it demands too little, never too much.
    pub(super) fn find(bytes: &[u8]) -> Self {
        let mut most = Self::default();
        for window in bytes.windows(ITEM.len() + VALUE).filter(|window| window.starts_with(&ITEM)) {
            most = Self::decode(&window[ITEM.len()..]).map_or(most, |found| most.max(found));
        }
        most
    }

    /// The higher of each number.
    pub(super) fn max(self, other: Self) -> Self {
        Self {
            synced: self.synced.max(other.synced),
            acknowledged: self.acknowledged.max(other.acknowledged),
            previous: self.previous.max(other.previous),
        }
    }

    /// The same as a mark. What was acknowledged but not synced was written under [`Durability::Process`].
    pub(super) fn marked(self) -> Marked {
        Marked { number: self.acknowledged, durability: Durability::Process }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_highest_promises_are_found() {
        let item = |synced, acknowledged| {
            let mut bytes = ITEM.to_vec();
            bytes.extend(Promises { synced, acknowledged, previous: 1 }.encode());
            bytes
        };
        let bytes = [b"noise".to_vec(), item(7, 8), vec![0; 99], item(3, 12), ITEM.to_vec()].concat();
        assert_eq!(Promises::find(&bytes), Promises { synced: 7, acknowledged: 12, previous: 1 });
        assert_eq!(Promises::find(&[]), Promises::default());
    }

    #[test]
    fn the_searched_item_has_the_right_lengths_and_key() {
        assert_eq!(usize::from(u16::from_le_bytes([ITEM[0], ITEM[1]])), KEY.len());
        assert_eq!(ITEM[2..6], u32::try_from(VALUE).expect("it is small").to_le_bytes());
        assert_eq!(ITEM[6..10], ITEM[2..6]);
        assert_eq!(&ITEM[10..], KEY);
    }
}
