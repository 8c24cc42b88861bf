//! One writer on one image, and what it has acknowledged.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use orkestra_testkit::Chance;

use crate::support::child::said;

use super::disk::{Ground, Image};
use super::moment::{self, Moment};

/// How often it is looked whether the store is open, and how often at most.
const LOOK: Duration = Duration::from_millis(1);
const LOOKS_MAX: usize = 30_000;

/// What a power failure leaves.
pub(super) struct Left {
    pub(super) image: Image,
    /// What was told on this image and on those that it came from, the last of it weakened to what was about to be done.
    pub(super) lines: Vec<String>,
}

/// A writer under way. Killed on dropping.
pub(super) struct Life {
    child: Child,
    output: File,
    errors: PathBuf,
    unheard: Vec<u8>,
    lines: Vec<String>,
    /// How many of the lines are older than this life.
    old: usize,
    image: Image,
}

impl Life {
    /// Starts a writer on an image that is mounted for as long as it lives.
    pub(super) fn start(mut command: Command, left: Left, ground: &Ground) -> Result<Self, String> {
        // Into a file: a writer never waits for who listens, and all that was said by now can be read without waiting.
        let [told, errors] = ["told", "errors"].map(|name| ground.place(name));
        let [to, errors_to] = [&told, &errors].map(|path| File::create(path).map_err(|error| error.to_string()));
        let child = command.stdin(Stdio::null()).stdout(to?).stderr(errors_to?).spawn().map_err(|e| e.to_string())?;
        let output = File::open(&told).map_err(|error| error.to_string())?;
        let old = left.lines.len();
        Ok(Self { child, output, errors, unheard: Vec::new(), lines: left.lines, old, image: left.image })
    }

    /// Waits for a moment to be cut in. `store` is where the backend writes.
    pub(super) fn wait(&mut self, store: &Path, chance: &mut Chance, is_first: bool) -> Result<Moment, String> {
        self.signal("-CONT")?;
        if is_first && chance.one_in(2) {
            moment::pass(chance, Duration::from_millis(120));
            self.hear();
            return Ok(if self.is_open() { Moment::Any } else { Moment::Opening });
        }
        self.wait_until_open();
        if !chance.one_in(8) && moment::background(store, chance) {
            return Ok(Moment::Background);
        }
        moment::pass(chance, Duration::from_millis(80));
        Ok(Moment::Any)
    }

    /// Waits until the writer has opened its store, or has ended.
    pub(super) fn wait_until_open(&mut self) {
        for _ in 0..LOOKS_MAX {
            self.hear();
            if self.is_open() || self.death().is_some() {
                return;
            }
            thread::park_timeout(LOOK);
        }
    }

    /// Holds the writer, or lets it go on: while a copy is judged it would take the processor and gain nothing.
    pub(super) fn signal(&self, signal: &str) -> Result<(), String> {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        // It may have ended, which is found out elsewhere.
        status.map(drop).map_err(|error| format!("kill: {error}"))
    }

    /// What the power leaves if it fails now. The writer is held until the next moment is waited for.
    pub(super) fn cut(&mut self, ground: &Ground, name: &str) -> Result<Left, String> {
        self.hear();
        self.cut_since(self.lines.len(), ground, name)
    }

    /// The same, where only the first `heard` things that were told have to be there.
    pub(super) fn cut_since(&mut self, heard: usize, ground: &Ground, name: &str) -> Result<Left, String> {
        let mut lines = self.lines[..heard].to_vec();
        let image = ground.copy(&self.image, name)?;
        self.signal("-STOP")?;
        // What was said meanwhile may be too late to be in the copy; what was announced may be done in it.
        self.hear();
        lines.extend(self.lines[heard..].iter().filter_map(|line| announced(line)));
        Ok(Left { image, lines })
    }

    /// How many things were told by now, on this image and on those that it came from.
    #[cfg(feature = "postgres")]
    pub(super) fn heard(&mut self) -> usize {
        self.hear();
        self.lines.len()
    }

    /// How many things this writer has told.
    pub(super) fn told(&self) -> usize {
        self.lines.len() - self.old
    }

    /// Why it has ended by itself, if it has.
    pub(super) fn death(&mut self) -> Option<String> {
        let status = self.child.try_wait().expect("a child can be asked")?;
        let errors = std::fs::read_to_string(&self.errors).unwrap_or_default();
        let lines: Vec<_> = errors.lines().filter(|line| !line.trim().is_empty()).take(6).collect();
        Some(format!("the writer has ended, {status}: {}", lines.join(" | ")))
    }

    fn is_open(&self) -> bool {
        self.told() > 0
    }

    fn hear(&mut self) {
        self.output.read_to_end(&mut self.unheard).expect("what it says can be read");
        let Some(end) = self.unheard.iter().rposition(|byte| *byte == b'\n') else { return };
        let whole: Vec<_> = self.unheard.drain(..=end).collect();
        self.lines.extend(String::from_utf8_lossy(&whole).lines().filter_map(said));
    }
}

/// What has to be heard of a line that a copy may be older than.
fn announced(line: &str) -> Option<String> {
    match line.split(' ').collect::<Vec<_>>()[..] {
        ["creating", run, _] => Some(format!("creating {run}")),
        ["deleting" | "taking", ..] => Some(line.to_owned()),
        _ => None,
    }
}

impl Drop for Life {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
