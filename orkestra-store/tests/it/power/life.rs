//! One writer on one image, and what it has acknowledged.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use orkestra_testkit::Chance;

use crate::support::child::parse_report;

use super::disk::{Disks, Image};
use super::moment::{self, Moment};

/// How often to check whether the store is open, and the most checks.
const LOOK: Duration = Duration::from_millis(1);
const LOOKS_MAX: usize = 30_000;

/// What a power failure leaves.
pub(super) struct Remains {
    pub(super) image: Image,
    /// What was reported on this image and its predecessors. The last reports only say what was about to happen.
    pub(super) lines: Vec<String>,
}

/// A running writer, killed on drop.
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
    /// Starts a writer on an image that must stay mounted while it lives.
    pub(super) fn start(mut command: Command, left: Remains, disks: &Disks) -> Result<Self, String> {
        // Into a file: the writer never waits for a reader, and everything reported so far can be read without waiting.
        let [reports, errors] = ["reports", "errors"].map(|name| disks.place(name));
        let [to, errors_to] = [&reports, &errors].map(|path| File::create(path).map_err(|error| error.to_string()));
        let child = command.stdin(Stdio::null()).stdout(to?).stderr(errors_to?).spawn().map_err(|e| e.to_string())?;
        let output = File::open(&reports).map_err(|error| error.to_string())?;
        let old = left.lines.len();
        Ok(Self { child, output, errors, unheard: Vec::new(), lines: left.lines, old, image: left.image })
    }

    /// Waits for a moment to cut the power. `store` is where the backend writes.
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

    /// Waits until the writer has opened its store or has ended.
    pub(super) fn wait_until_open(&mut self) {
        for _ in 0..LOOKS_MAX {
            self.hear();
            if self.is_open() || self.death().is_some() {
                return;
            }
            thread::park_timeout(LOOK);
        }
    }

    /// Suspends or resumes the writer: while a copy is judged it would only use the processor.
    pub(super) fn signal(&self, signal: &str) -> Result<(), String> {
        let status = Command::new("kill").args([signal, &self.child.id().to_string()]).status();
        // It may have ended, which is detected elsewhere.
        status.map(drop).map_err(|error| format!("kill: {error}"))
    }

    /// What a power failure at this moment leaves. The writer is suspended until [`wait`](Self::wait).
    pub(super) fn cut(&mut self, disks: &Disks, name: &str) -> Result<Remains, String> {
        self.hear();
        self.cut_since(self.lines.len(), disks, name)
    }

    /// The same, but only the first `heard` reports must be in the store.
    pub(super) fn cut_since(&mut self, heard: usize, disks: &Disks, name: &str) -> Result<Remains, String> {
        let mut lines = self.lines[..heard].to_vec();
        let image = disks.copy(&self.image, name)?;
        self.signal("-STOP")?;
        // Reports made meanwhile may be too late for the copy; what they announced may be in it.
        self.hear();
        lines.extend(self.lines[heard..].iter().filter_map(|line| announced(line)));
        Ok(Remains { image, lines })
    }

    /// Number of reports so far, on this image and its predecessors.
    #[cfg(feature = "postgres")]
    pub(super) fn heard(&mut self) -> usize {
        self.hear();
        self.lines.len()
    }

    /// Number of reports of this writer.
    pub(super) fn reports(&self) -> usize {
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
        self.reports() > 0
    }

    fn hear(&mut self) {
        self.output.read_to_end(&mut self.unheard).expect("what it says can be read");
        let Some(end) = self.unheard.iter().rposition(|byte| *byte == b'\n') else { return };
        let whole: Vec<_> = self.unheard.drain(..=end).collect();
        self.lines.extend(String::from_utf8_lossy(&whole).lines().filter_map(parse_report));
    }
}

/// What a report means when the copy may be older.
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
