//! The tests: each backend on each file system.

use crate::support::backend::Backend;
use crate::support::child::{ChildPart, command, have};

use super::disk::FileSystem;

/// All mounts and processes end with the test.
const ALONE: [&str; 6] = ["unshare", "--mount", "--propagation=private", "--pid", "--fork", "--kill-child"];

/// A setting from the environment.
fn given(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn cut_power(backend: Backend, file_system: FileSystem) {
    let cuts = cuts("25", "500");
    let words = [&*backend.name(), &file_system.name(), &cuts, &seed(), &counts().to_string()];
    play("cut", &words, file_system);
}

fn cuts(few: &str, many: &str) -> String {
    let cuts = if std::env::var_os("ORKESTRA_LONG").is_some() { many } else { few };
    given("ORKESTRA_POWER_CUTS").unwrap_or_else(|| cuts.to_owned())
}

fn seed() -> String {
    given("ORKESTRA_POWER_SEED").unwrap_or_else(|| "1".to_owned())
}

fn counts() -> bool {
    std::env::var_os("ORKESTRA_POWER_COUNT").is_some()
}

/// Runs a process that cuts the power. Fails with what it found.
fn play(part: &str, words: &[&str], file_system: FileSystem) {
    let make = format!("mkfs.{}", file_system.name());
    // The outer file system is always an xfs.
    if !["unshare", "mount", "mkfs.xfs", &make].into_iter().all(have) {
        return;
    }
    let mut playing = ChildPart::start(command(&ALONE, part, words));
    let (mut sum, mut found, mut impossible) = (None, Vec::new(), None);
    while let Some(line) = playing.next() {
        match line.split_once(' ') {
            Some(("sum", line)) => sum = Some(line.to_owned()),
            Some(("found", line)) => found.push(line.to_owned()),
            Some(("impossible", why)) => impossible = Some(why.to_owned()),
            _ => panic!("unknown report `{line}`"),
        }
    }
    let status = playing.child.wait().expect("it has ended");
    if let Some(why) = impossible.or_else(|| (status.code() == Some(1)).then(|| "cannot create a namespace".to_owned()))
    {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "cannot simulate power failures in CI: {why}");
        eprintln!(
            "\n=== SKIPPED: cannot simulate power failures, which needs root and loop devices: {why}; this test shows nothing ===\n"
        );
        return;
    }
    found.iter().for_each(|line| println!("{line}"));
    println!("{}", sum.as_deref().unwrap_or("the process ended early"));
    assert!(counts() || found.is_empty(), "{}", found.join("\n"));
    assert!(status.success() && sum.is_some(), "{words:?}: {status}");
}

#[cfg(feature = "sled")]
#[test]
fn power_cuts_lose_nothing_acknowledged_in_sled_on_ext4() {
    cut_power(Backend::Sled, FileSystem::Ext4);
}

#[cfg(feature = "sled")]
#[test]
fn power_cuts_lose_nothing_acknowledged_in_sled_on_xfs() {
    cut_power(Backend::Sled, FileSystem::Xfs);
}

#[cfg(feature = "fjall")]
#[test]
fn power_cuts_lose_nothing_acknowledged_in_fjall_on_ext4() {
    cut_power(Backend::Fjall, FileSystem::Ext4);
}

#[cfg(feature = "fjall")]
#[test]
fn power_cuts_lose_nothing_acknowledged_in_fjall_on_xfs() {
    cut_power(Backend::Fjall, FileSystem::Xfs);
}

#[cfg(feature = "postgres")]
#[test]
fn power_cuts_lose_nothing_acknowledged_in_postgres() {
    power_of_postgres("fsync");
}

#[cfg(feature = "postgres")]
#[test]
fn power_cuts_lose_only_the_newest_writes_in_postgres_under_engine_durability() {
    power_of_postgres("engine");
}

#[cfg(feature = "postgres")]
fn power_of_postgres(durability: &str) {
    play("cut-postgres", &["ext4", durability, &cuts("3", "50"), &seed()], FileSystem::Ext4);
}
