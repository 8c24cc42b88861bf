//! Mutates bytes, for tests without a fuzzer.

use crate::Chance;

/// Tokens of the formats under test.
const WORDS: &[&str] = &[
    "null",
    "true",
    "-1",
    "0",
    "1e999",
    "18446744073709551616",
    "\"\"",
    "{",
    "}",
    "[",
    "]",
    ",",
    ":",
    "\\",
    "\"",
    "\\ud800",
    "\u{0}",
    "\u{fffd}",
    "n0",
    "n1",
    "\"name\"",
    "\"task\"",
    "\"after\"",
    "\"when\"",
    "\"is\"",
    "\"not\"",
    "\"events\"",
    "\"v\":2",
    "\"Recovered\"",
    "\"ParentTold\"",
    "\"RunResumed\"",
    "\n",
    "- ",
    "? ",
    "&a ",
    "*a",
    "!!str ",
    "|\n",
    "<<: ",
    "#",
    "\t",
];

/// Changes the bytes in one to four places; `other` is input of the same kind, from which parts are inserted.
pub fn mutate(chance: &mut Chance, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=chance.below(4) {
        let at = chance.below(bytes.len() + 1);
        match chance.below(8) {
            0 if at < bytes.len() => bytes[at] ^= 1 << chance.below(8),
            1 if at < bytes.len() => bytes[at] = byte(chance),
            2 => bytes.insert(at, byte(chance)),
            3 => drop(bytes.drain(at..at + chance.below(bytes.len() - at + 1).min(64))),
            4 => {
                let word = chance.pick(WORDS).bytes().collect::<Vec<_>>();
                bytes.splice(at..at, word);
            }
            5 => {
                let part = part(chance, bytes);
                bytes.splice(at..at, part);
            }
            6 => {
                let part = part(chance, other);
                bytes.splice(at..at, part);
            }
            _ => bytes.truncate(bytes.len().max(1) - chance.below(bytes.len().max(1)).min(16)),
        }
    }
}

fn byte(chance: &mut Chance) -> u8 {
    u8::try_from(chance.below(256)).expect("it is below 256")
}

fn part(chance: &mut Chance, bytes: &[u8]) -> Vec<u8> {
    let from = chance.below(bytes.len() + 1);
    let length = chance.below(bytes.len() - from + 1).min(200);
    bytes[from..from + length].to_vec()
}
