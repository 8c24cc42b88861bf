//! The part of a process that repeatedly cuts the power and has the result judged.

use std::collections::BTreeMap;
use std::path::PathBuf;

use orkestra_testkit::Chance;

use crate::support::backend::Backend;
use crate::support::child::{command, report_line};

use super::disk::{Disks, FileSystem, text};
use super::judge::{Verdict, judged};
use super::life::{Life, Remains};
use super::moment::Moment;

/// Bytes collected before a checkpoint or flush. Mostly large, so that a checkpoint takes a while.
const GATHERED_BYTES: [u64; 8] = [64 << 10, 256 << 10, 1 << 20, 1 << 20, 2 << 20, 2 << 20, 2 << 20, 4 << 20];
/// The most cuts in one life, and the most lives of a store.
const CUTS_OF_A_LIFE_MAX: usize = 6;
const LIVES_MAX: usize = 3;
/// Cuts until the disks are recreated, which frees the memory used by copies.
const CUTS_PER_DISKS: usize = 50;

/// `cut <backend> <file system> <cuts> <seed> <true: count losses, false: stop at the first>`: reports `impossible` and
/// why, where this machine cannot create such disks; `found` with details for each loss; `sum`.
pub(super) fn cut(words: &[&str]) {
    let cuts: usize = words[2].parse().expect("a number of cuts");
    let seed: u64 = words[3].parse().expect("a seed");
    let mut course = Course {
        backend: Backend::named(words[0]),
        file_system: FileSystem::named(words[1]),
        seed,
        goes_on: words[4] == "true",
        chance: Chance::new(seed),
        cuts,
        moments: BTreeMap::new(),
        verdicts: BTreeMap::new(),
        done: 0,
        reports: 0,
    };
    // Checks whether it is possible at all; later failures have other causes.
    if let Err(why) = Disks::new(course.file_system) {
        return report_line(format!("impossible {}", why.replace('\n', " ")));
    }
    while !course.is_over() {
        course.on_new_disks().expect("the disks work");
    }
    course.sum();
}

struct Course {
    backend: Backend,
    file_system: FileSystem,
    seed: u64,
    goes_on: bool,
    chance: Chance,
    cuts: usize,
    moments: BTreeMap<Moment, usize>,
    verdicts: BTreeMap<Verdict, usize>,
    done: usize,
    /// Number of reports in all.
    reports: usize,
}

impl Course {
    fn is_over(&self) -> bool {
        let found = self.done > self.verdicts.get(&Verdict::Whole).copied().unwrap_or(0);
        self.done >= self.cuts || (found && !self.goes_on)
    }

    fn on_new_disks(&mut self) -> Result<(), String> {
        let disks = Disks::new(self.file_system)?;
        let until = self.done + CUTS_PER_DISKS;
        while self.done < until && !self.is_over() {
            self.store(&disks)?;
        }
        Ok(())
    }

    /// Creates a store and runs it through repeated power failures.
    fn store(&mut self, disks: &Disks) -> Result<(), String> {
        let mut left = Remains { image: disks.empty("live-0")?, lines: Vec::new() };
        for number in 1..=1 + self.chance.below(LIVES_MAX) {
            let Some(last) = self.life(left, number, disks)? else { break };
            left = last;
        }
        Ok(())
    }

    /// Runs one life with its cuts. Returns what the last cut left; `None` when there is nothing to continue with.
    fn life(&mut self, left: Remains, number: usize, disks: &Disks) -> Result<Option<Remains>, String> {
        let gathered_bytes = *self.chance.pick(&GATHERED_BYTES);
        let mounted = disks.mount(&left.image)?;
        let (name, store, seed) = (self.backend.name(), mounted.path().join("store"), self.chance.next_u64());
        let words = [&name, text(&store), &gathered_bytes.to_string(), &seed.to_string(), &number.to_string()];
        let mut life = Life::start(command(&[], "churn", &words), left, disks)?;
        let mut last = None;
        for cut in 0..=self.chance.below(CUTS_OF_A_LIFE_MAX) {
            if self.is_over() {
                break;
            }
            let moment = life.wait(&store, &mut self.chance, cut == 0)?;
            // Drop the previous one first: it has the same name.
            drop(last.take());
            let left = life.cut(disks, &format!("live-{number}"))?;
            let reports = left.lines.len();
            let of_it = format!(
                "life {number}, cut {cut} of it at {moment:?}, {gathered_bytes} bytes gathered, {reports} reports"
            );
            let (verdict, why) = match life.death() {
                Some(why) => (Verdict::Died, why),
                None => self.judge(disks, &left)?,
            };
            self.done += 1;
            *self.moments.entry(moment).or_default() += 1;
            *self.verdicts.entry(verdict).or_default() += 1;
            if verdict != Verdict::Whole {
                self.reports += life.reports();
                self.found(verdict, &format!("{of_it}: {why}"), &left)?;
                return Ok(None);
            }
            last = Some(left);
        }
        self.reports += life.reports();
        Ok(last)
    }

    fn judge(&mut self, disks: &Disks, left: &Remains) -> Result<(Verdict, String), String> {
        // Opening changes the image, so judge another copy.
        let image = disks.copy(&left.image, "judged")?;
        let mounted = disks.mount(&image)?;
        let reports = disks.place("judged-reports");
        std::fs::write(&reports, left.lines.join("\n")).map_err(|error| error.to_string())?;
        Ok(judged(self.backend, &mounted.path().join("store"), &reports, self.chance.one_in(4)))
    }

    fn found(&mut self, verdict: Verdict, what: &str, left: &Remains) -> Result<(), String> {
        let Self { backend, file_system, seed, done, .. } = self;
        let kept = format!("orkestra-power-{}-{}-{seed}-{done}", backend.name(), file_system.name());
        let path = std::env::temp_dir().join(kept);
        let (image, reports) = (path.with_extension("image"), path.with_extension("reports"));
        if !self.goes_on {
            left.image.keep(&image)?;
            std::fs::write(&reports, left.lines.join("\n")).map_err(|error| error.to_string())?;
        }
        let kept = if self.goes_on { PathBuf::from("not kept") } else { image };
        let (name, of) = (self.backend.name(), self.file_system.name());
        let head = format!("{name} on {of}, seed {}, cut {}, {verdict:?}", self.seed, self.done);
        report_line(format!("found {head}: {what}; the image: {}", kept.display()).replace('\n', " "));
        Ok(())
    }

    fn sum(&self) {
        let verdict = |verdict| self.verdicts.get(&verdict).copied().unwrap_or(0);
        let moment = |moment| self.moments.get(&moment).copied().unwrap_or(0);
        report_line(format!(
            "sum power: {} on {}: {} cuts, {} lost, {} refused, {} died; {} during a checkpoint or flush, {} during an opening; \
             {} reports",
            self.backend.name(),
            self.file_system.name(),
            self.done,
            verdict(Verdict::Lost),
            verdict(Verdict::Refused),
            verdict(Verdict::Died),
            moment(Moment::Background),
            moment(Moment::Opening),
            self.reports,
        ));
    }
}
