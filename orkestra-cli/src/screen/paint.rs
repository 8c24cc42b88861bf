//! Terminal colours, unless `NO_COLOR` is set.

use crate::is_set;

/// The colour of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Dim,
    Green,
    Red,
    Yellow,
    Cyan,
}

/// Colours text, or leaves it plain.
#[derive(Clone, Copy, Debug)]
pub(super) struct Paint {
    is_on: bool,
}

impl Paint {
    pub(super) fn new() -> Self {
        Self { is_on: !is_set("NO_COLOR") }
    }

    pub(super) fn text(self, colour: Colour, text: &str) -> String {
        let code = match colour {
            Colour::Dim => 2,
            Colour::Green => 32,
            Colour::Red => 31,
            Colour::Yellow => 33,
            Colour::Cyan => 36,
        };
        if self.is_on { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
