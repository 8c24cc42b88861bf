//! The trace of a world: a fingerprint of everything that happened, and optionally its text.

use std::fmt::{self, Write};

/// FNV-1a, 64 bits: http://www.isthe.com/chongo/tech/comp/fnv/
pub(super) struct Fnv(u64);

impl Fnv {
    pub(super) const fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    pub(super) fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    pub(super) const fn get(&self) -> u64 {
        self.0
    }
}

impl Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.add(text.as_bytes());
        Ok(())
    }
}

/// The name of an enum's variant: the first word of its `Debug` text, without formatting the rest.
pub(super) fn first_word(of: &impl fmt::Debug) -> String {
    struct FirstWord(String);
    impl Write for FirstWord {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            let word = text.split(|c: char| !c.is_alphanumeric()).next().unwrap_or_default();
            self.0.push_str(word);
            if word.len() == text.len() { Ok(()) } else { Err(fmt::Error) }
        }
    }
    let mut word = FirstWord(String::new());
    // The error means that the word is complete.
    write!(word, "{of:?}").unwrap_or_default();
    word.0
}

/// The trace of a world.
pub(super) struct Trace {
    hash: Fnv,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// A trace, which keeps its lines if `text` is set.
    pub(super) fn new(text: bool) -> Self {
        Self { hash: Fnv::new(), lines: text.then(Vec::new) }
    }

    pub(super) fn note(&mut self, at_ms: u64, what: fmt::Arguments<'_>) {
        writeln!(self.hash, "{at_ms} {what}").expect("a hash takes everything");
        if let Some(lines) = &mut self.lines {
            lines.push(format!("{:>9.3}s {what}", at_ms as f64 / 1000.0));
        }
    }

    /// The fingerprint, and the lines if they were kept.
    pub(super) fn close(&mut self) -> (u64, Option<Vec<String>>) {
        (self.hash.get(), self.lines.take())
    }
}
