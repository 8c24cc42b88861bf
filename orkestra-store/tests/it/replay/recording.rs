//! Records what a store does to its files: a child process writes to it under strace, and the log becomes a trace.
//!
//! The first line of a log names the scenario, the rest is strace's. So a log contains everything needed to judge it
//! later.

use std::fmt;
use std::fs;
use std::path::Path;

use orkestra_testkit::Chance;

use super::content::Image;
use super::crash::{Data, Names, Way, crash};
use super::follow::{CALLS, CUT, follow};
use super::model::{Disk, Model};
use super::trace::{Trace, What};
use crate::support::backend::{Backend, Options};
use crate::support::child::{command, run};
use crate::support::history::History;

/// What is recorded.
#[derive(Clone, Debug)]
pub(super) struct Scenario {
    pub(super) backend: Backend,
    pub(super) name: String,
    /// `fsync` or `process`.
    pub(super) durability: String,
    /// The write-ahead bytes of sled, or the memtable bytes of fjall.
    pub(super) gathered_bytes: u64,
    pub(super) seed: u64,
}

/// A scenario and its trace.
pub(super) struct Recording {
    pub(super) scenario: Scenario,
    pub(super) trace: Trace,
}

impl Scenario {
    pub(super) fn options(&self) -> Options {
        Options { gathered_bytes: self.gathered_bytes, ..Options::of(&self.durability) }
    }

    fn parse(line: &str) -> Option<(Self, &str)> {
        let words: Vec<_> = line.strip_prefix("# ")?.split(' ').collect();
        let [backend, name, durability, gathered_bytes, seed, root] = words[..] else { return None };
        let scenario = Self {
            backend: Backend::named(backend),
            name: name.to_owned(),
            durability: durability.to_owned(),
            gathered_bytes: gathered_bytes.parse().ok()?,
            seed: seed.parse().ok()?,
        };
        Some((scenario, root))
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { backend, name, durability, gathered_bytes, seed } = self;
        write!(f, "{} {name} {durability} {gathered_bytes} {seed}", backend.name())
    }
}

/// One process that writes: the number of rounds, and whether it closes the store at the end.
pub(super) type Life = (usize, bool);

/// Runs a scenario in the directory `root`, which is recreated, and writes the log to the file `log`.
pub(super) fn record(scenario: &Scenario, lives: &[Life], root: &Path, log: &Path) -> Recording {
    const TRIES: usize = 10;
    for _ in 0..TRIES {
        if root.exists() {
            fs::remove_dir_all(root).expect("it is ours to remove");
        }
        fs::create_dir(root).expect("its parent is there");
        fs::write(log, format!("# {scenario} {}\n", root.display())).expect("there is room for a log");
        for (number, life) in lives.iter().enumerate() {
            live(scenario, number, *life, root, log);
        }
        match Recording::load(log) {
            Ok(recording) => {
                recording.must_make(root);
                return recording;
            }
            Err(why) => assert!(why.contains(CUT), "{scenario}: {why}"),
        }
    }
    panic!("{scenario}: a process ended during a change in each of {TRIES} recordings");
}

fn live(scenario: &Scenario, number: usize, (rounds, closes): Life, root: &Path, log: &Path) {
    // Longer than any write. strace truncates longer ones, which is an error.
    const DATA_BYTES: &str = "16777216";
    let log = log.to_str().expect("a plain path");
    let strace =
        ["strace", "-f", "--seccomp-bpf", "-y", "-s", DATA_BYTES, "-e", "raw=read,readv", "-e", CALLS, "-A", "-o", log];
    let store = root.join("store");
    let name = scenario.backend.name();
    let (seed, end) = (scenario.seed * 100 + number as u64, if closes { "close" } else { "leave" });
    let words = [
        name.as_str(),
        store.to_str().expect("a plain path"),
        &scenario.durability,
        &seed.to_string(),
        &scenario.gathered_bytes.to_string(),
        &rounds.to_string(),
        end,
    ];
    run(command(&strace, "rounds", &words));
}

impl Recording {
    /// Reads a log. Does not compare it with a directory.
    pub(super) fn load(log: &Path) -> Result<Self, String> {
        let text = fs::read_to_string(log).map_err(|error| format!("{}: {error}", log.display()))?;
        let (head, lines) = text.split_once('\n').unwrap_or_default();
        let (scenario, root) = Scenario::parse(head).ok_or("its first line does not name a scenario")?;
        Ok(Self { scenario, trace: follow(lines, 2, root)? })
    }

    /// Panics unless the records produce the recorded directory, byte by byte. This proves that no change is missing.
    fn must_make(&self, root: &Path) {
        let mut disk = Disk::new(&self.trace, Model::Posix);
        disk.go_to(self.trace.records.len());
        let made = crash(&disk, Way { data: Data::All, names: Names::All }, &mut Chance::new(0));
        let there = Image::read(root).expect("the directory is readable");
        assert_eq!(made.differs(&there), None, "{}: the trace does not produce the directory", self.scenario);
    }

    /// The process's reports before the record `point`.
    pub(super) fn history(&self, point: usize) -> History {
        let said = self.trace.records[..point].iter().filter_map(|record| match &record.what {
            What::Output(text) => Some(text.as_str()),
            _ => None,
        });
        let said: String = said.collect();
        let mut history = History::default();
        let parse = |line: &str| Some(line.split_once("> ")?.1.strip_suffix(" <")?.to_owned());
        said.lines().filter_map(parse).for_each(|line| history.hear(&line));
        history
    }
}
