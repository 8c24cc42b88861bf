//! The fuzz targets without a fuzzer: with seeds and mutations of them, a hundred times as many with `ORKESTRA_LONG=1`.
//!
//! The number of a failing case is printed; the same number gives the same bytes.

use std::path::Path;

use orkestra_testkit::{Chance, fuzz};

/// The seeds, which cargo-fuzz uses too.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let entries = std::fs::read_dir(folder).expect("every target has seeds");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("a seed").path()).collect();
    paths.sort();
    paths.iter().map(|path| std::fs::read(path).expect("a seed can be read")).collect()
}

fn cases(modest: u64) -> u64 {
    if std::env::var_os("ORKESTRA_LONG").is_some() { modest * 100 } else { modest }
}

fn random(chance: &mut Chance, length_max: usize) -> Vec<u8> {
    let length = chance.below(length_max);
    (0..length).map(|_| u8::try_from(chance.below(256)).expect("it is below 256")).collect()
}

/// Prints the case when the target panics.
struct Case<'a>(&'a str, u64);

impl Drop for Case<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the fuzz target {} failed in case {}", self.0, self.1);
        }
    }
}

/// Runs the target with the seeds, then with repeated mutations of them.
fn mutated(target: &str, count: u64, seeds: &[Vec<u8>], run: fn(&[u8])) {
    for (number, seed) in (0..).zip(seeds) {
        let _case = Case(target, number);
        run(seed);
    }
    for number in 0..count {
        let _case = Case(target, number);
        let mut chance = Chance::new(number);
        let mut bytes = chance.pick(seeds).clone();
        for _ in 0..=chance.below(3) {
            let other = chance.pick(seeds).clone();
            fuzz::mutate(&mut chance, &mut bytes, &other);
        }
        run(&bytes);
    }
}

#[test]
fn no_sequence_of_inputs_breaks_an_invariant() {
    mutated("decisions", cases(200), &seeds("decisions"), fuzz::decisions);
    for number in 0..cases(2000) {
        let _case = Case("decisions (random)", number);
        fuzz::decisions(&random(&mut Chance::new(number), 600));
    }
}

#[test]
fn any_bytes_as_a_journal_are_handled() {
    let mut journals = seeds("journal");
    journals.extend((0..20).map(|number| fuzz::journal_of(&random(&mut Chance::new(number), 200))));
    mutated("journal", cases(1500), &journals, fuzz::journal);
}

#[test]
fn any_bytes_as_json_are_handled() {
    mutated("workflow_json", cases(3000), &seeds("workflow_json"), fuzz::workflow_json);
}

#[cfg(feature = "yaml")]
#[test]
fn any_bytes_as_yaml_are_handled() {
    mutated("workflow_yaml", cases(3000), &seeds("workflow_yaml"), fuzz::workflow_yaml);
}

#[test]
fn the_seeds_are_accepted() {
    // If the seeds were rejected at once, their mutations would test nothing.
    let journal = fuzz::journal_of(&random(&mut Chance::new(1), 200));
    assert!(journal.split(|byte| *byte == b'\n').count() > 3, "{}", String::from_utf8_lossy(&journal));
    for seed in seeds("workflow_json") {
        let text = String::from_utf8(seed).expect("a text");
        orkestra_core::model::WorkflowSpec::from_json(&text).unwrap_or_else(|error| panic!("{error} in {text}"));
    }
}
