//! Which commands a command line runs, as far as its text says so. Pure.
//!
//! ```text
//! text --parser--> simple commands --wrappers--> those and the commands inside `sh -c`, `env`, `xargs`, `find -exec` ...
//! ```
//! `sh` is dash, bash or busybox, which disagree about much. This parser knows what they agree on. Everything else makes the
//! script *unclear*, with a reason, and a policy then assumes the worst. It never guesses.
//!
//! It does not follow the state of a shell: values of variables, functions and files are unknown text. brush-parser was not
//! used: it parses bash alone, keeps words unparsed, brings 77 crates, and `(` repeated 10,000 times overflows its stack, which
//! would end the host process. yash-syntax is under the GPL.

mod expansion;
mod parser;
mod wrappers;

#[cfg(test)]
mod tests;

use crate::limits::COMMAND_BYTES_MAX;

/// Nesting of subshells, substitutions and wrappers. Deeper scripts are unclear; the parser is recursive.
const DEPTH_MAX: usize = 16;

/// Why a script is unclear, to show.
pub(super) type Unclear = String;

/// The commands of a script.
#[derive(Debug, Default)]
pub(super) struct Script {
    pub(super) parts: Vec<Part>,
    /// Why not all of it is known.
    pub(super) unclear: Option<Unclear>,
}

/// One simple command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Part {
    /// The command's words as text, for explanations.
    pub(super) text: String,
    pub(super) words: Vec<Word>,
    /// The names of variables that are set for it, or by it.
    pub(super) assigned: Vec<String>,
    /// The files that its redirections write.
    pub(super) writes: Vec<Word>,
    /// Whether it only runs the command that follows it as a part of its own.
    pub(super) is_wrapper: bool,
    /// Why it may run commands that are not known.
    pub(super) opaque: Option<Unclear>,
}

/// One word, after quotes are removed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) pieces: Vec<Piece>,
    /// Whether a value in it may become several words, or none.
    pub(super) splits: bool,
    /// Whether it is a pattern of file names, which may become several words of its form.
    pub(super) is_pattern: bool,
    /// Whether a part of it was quoted.
    pub(super) is_quoted: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(String),
    /// Unknown text: the value of a variable, the output of a command, names of files.
    Any,
}

impl Word {
    /// Its text, if it is known.
    pub(super) fn literal(&self) -> Option<&str> {
        match self.pieces.as_slice() {
            [] => Some(""),
            [Piece::Text(text)] => Some(text),
            _ => None,
        }
    }

    /// The known text at its beginning.
    pub(super) fn leading(&self) -> &str {
        match self.pieces.first() {
            Some(Piece::Text(text)) => text,
            _ => "",
        }
    }

    /// A word that may be anything.
    pub(super) fn unknown() -> Self {
        Self { pieces: vec![Piece::Any], splits: true, ..Self::default() }
    }

    fn push(&mut self, one: char) {
        match self.pieces.last_mut() {
            Some(Piece::Text(text)) => text.push(one),
            _ => self.pieces.push(Piece::Text(one.to_string())),
        }
    }

    fn push_any(&mut self, splits: bool) {
        if self.pieces.last() != Some(&Piece::Any) {
            self.pieces.push(Piece::Any);
        }
        self.splits |= splits;
    }

    /// As it is shown in explanations: unknown text is `…`.
    pub(super) fn show(&self) -> String {
        self.pieces
            .iter()
            .map(|piece| match piece {
                Piece::Text(text) => text.as_str(),
                Piece::Any => "…",
            })
            .collect()
    }
}

impl Part {
    fn new(words: Vec<Word>) -> Self {
        let text = words.iter().map(Word::show).collect::<Vec<_>>().join(" ");
        Self { text, words, ..Self::default() }
    }

    /// The name of its command without the directory, if it is known.
    pub(super) fn name(&self) -> Option<&str> {
        let text = self.words.first()?.literal()?;
        Some(text.rsplit('/').next().unwrap_or(text))
    }
}

/// Whether the variable decides where programs are found or what is loaded into them.
pub(super) fn is_special(name: &str) -> bool {
    const NAMES: [&str; 6] = ["PATH", "IFS", "ENV", "BASH_ENV", "CDPATH", "SHELLOPTS"];
    NAMES.contains(&name) || name.starts_with("LD_")
}

/// The commands that `text` runs. One that is longer than a command may be is unclear.
pub(super) fn parse(text: &str) -> Script {
    let mut script = Script::default();
    if text.len() > COMMAND_BYTES_MAX {
        script.unclear = Some(format!("it is longer than {COMMAND_BYTES_MAX} bytes"));
        return script;
    }
    if let Err(reason) = into(text, 0, &mut script.parts) {
        script.unclear = Some(reason);
    }
    script
}

/// Adds the commands of `text` to `parts`, with those inside wrappers.
fn into(text: &str, depth: usize, parts: &mut Vec<Part>) -> Result<(), Unclear> {
    let mut simple = Vec::new();
    let parsed = parser::Parser::new(text, depth, &mut simple).script();
    for part in simple {
        wrappers::unwrap(part, depth, parts)?;
    }
    parsed
}
