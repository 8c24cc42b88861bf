//! Simulates many worlds: `cargo run --release -p orkestra-testkit --example simulate -- --seeds 100000 --from 0`.
//!
//! `--bug ack-before-sync | no-fence-check | forgotten-timer` puts a bug into the store and stops at the first world that
//! shows it; `--without panics` (or another ability of worlds) disables that ability; `--show 100` prints up to that many
//! broken worlds; `--twice` simulates each world twice and checks that both are the same; `--log` prints one world step by
//! step.

use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};

use orkestra_testkit::sim::{Ability, Bug, Settings, Verdict, simulate, simulate_many};

/// How many broken worlds are printed, unless `--show` says otherwise.
const SHOWN_MAX: usize = 20;
/// Progress is printed after this many worlds.
const REPORT_EVERY: u64 = 10_000;

struct Arguments {
    seeds: u64,
    from: u64,
    twice: bool,
    log: bool,
    bug: Option<Bug>,
    without: Vec<Ability>,
    shown: usize,
}

fn arguments() -> Result<Arguments, String> {
    let mut found =
        Arguments { seeds: 1_000, from: 0, twice: false, log: false, bug: None, without: Vec::new(), shown: SHOWN_MAX };
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or(format!("{word} needs a value"));
        let number = |text: String| text.parse::<u64>().map_err(|error| format!("{text}: {error}"));
        match word.as_str() {
            "--seeds" => found.seeds = number(value()?)?,
            "--from" => found.from = number(value()?)?,
            "--twice" => found.twice = true,
            "--log" => found.log = true,
            "--show" => found.shown = usize::try_from(number(value()?)?).unwrap_or(usize::MAX),
            "--without" => {
                let name = value()?;
                found.without.push(Ability::named(&name).ok_or(format!("there is no ability {name}"))?);
            }
            "--bug" => found.bug = Some(bug(&value()?)?),
            _ => return Err(format!("unknown argument {word}; see the head of this file")),
        }
    }
    Ok(found)
}

fn bug(name: &str) -> Result<Bug, String> {
    match name {
        "ack-before-sync" => Ok(Bug::AckBeforeSync),
        "no-fence-check" => Ok(Bug::NoFenceCheck),
        "forgotten-timer" => Ok(Bug::ForgottenTimer),
        _ => Err(format!("there is no bug {name}")),
    }
}

fn show(verdict: &Verdict) {
    println!("seed {}: {}", verdict.seed, verdict.violation.as_deref().unwrap_or("sound"));
}

fn main() -> ExitCode {
    let Arguments { seeds, from, twice, log, bug, without, shown } = match arguments() {
        Ok(arguments) => arguments,
        Err(why) => {
            eprintln!("{why}");
            return ExitCode::from(2);
        }
    };
    let settings = Settings { bug, log, without };
    if log {
        let verdict = simulate(from, &settings);
        verdict.log.iter().flatten().for_each(|line| println!("{line}"));
        show(&verdict);
        return ExitCode::SUCCESS;
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let (done, unsteady) = (AtomicU64::new(0), AtomicU64::new(0));
    let summary = simulate_many(from..from + seeds, threads, &settings, |verdict| {
        let done = 1 + done.fetch_add(1, Ordering::Relaxed);
        if done.is_multiple_of(REPORT_EVERY) {
            println!("{done} worlds");
        }
        if twice && simulate(verdict.seed, &settings).trace != verdict.trace {
            println!("seed {} gave a different world the second time", verdict.seed);
            unsteady.fetch_add(1, Ordering::Relaxed);
        }
        bug.is_none() || verdict.violation.is_none()
    });
    summary.broken.iter().take(shown).for_each(show);
    println!("{} worlds, {} broken; events: {:?}", summary.seeds, summary.broken.len(), summary.events);
    let sound = summary.broken.is_empty() && unsteady.into_inner() == 0;
    if sound == bug.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
