//! The simulator finds nothing in the engine, finds every bug that is put in, and does the same for the same seed.

use orkestra_testkit::sim::{Settings, simulate};

/// The world of `ORKESTRA_SIM_SEED`, step by step.
#[test]
fn one_seed() {
    let seed = std::env::var("ORKESTRA_SIM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0);
    let verdict = simulate(seed, &Settings { log: true, ..Settings::default() });
    for line in verdict.log.iter().flatten() {
        println!("{line}");
    }
    println!("{:?}", verdict.events);
    assert_eq!(verdict.violation, None, "{}", verdict.rerun());
}
