//! Turns bytes into choices. Once the bytes run out, every choice is the first one.

use orkestra_core::model::Name;

pub(super) struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    pub(super) const fn new(data: &'a [u8]) -> Self {
        Self(data)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A number below `end`, which is at most 256.
    pub(super) fn below(&mut self, end: usize) -> usize {
        usize::from(self.byte()) % end.max(1)
    }

    /// True with a probability of one in `of`, and never once the bytes have run out.
    pub(super) fn one_in(&mut self, of: usize) -> bool {
        self.below(of) == of - 1
    }

    pub(super) fn maybe<T>(&mut self, of: usize, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        self.one_in(of).then(|| make(self))
    }

    pub(super) fn pick<'b, T>(&mut self, items: &'b [T]) -> Option<&'b T> {
        let index = self.below(items.len());
        items.get(index)
    }
}

pub(super) fn name(text: &str) -> Name {
    Name::new(text).expect("the fuzzer uses valid names")
}
