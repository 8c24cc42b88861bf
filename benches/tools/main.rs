//! The speed of the tools beside the programs that do the same, measured in the same round: files beside ripgrep, commands
//! beside `docker`.
//!
//! `cargo bench --bench tools` measures; with `-- --quick` it only checks that everything works, in a few seconds; with the name of
//! a section it measures only that one. A timing is never asserted: machines differ, so read the ratios.
//!
//! Figures are written down in `benches/tools/files.rs` and `commands.rs`.

mod commands;
mod figure;
mod files;

use std::path::{Path, PathBuf};

use tokio::runtime::Runtime;

/// Any error ends the benchmark.
type BenchResult<T = ()> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How much to measure.
#[derive(Clone, Copy)]
struct Scale {
    rounds: u32,
    files: u32,
}

const FULL: Scale = Scale { rounds: 15, files: 50_000 };
const QUICK: Scale = Scale { rounds: 1, files: 500 };

type Section = fn(&Runtime, &Path, Scale) -> BenchResult;

const SECTIONS: &[(&str, Section)] = &[("files", files::measure), ("commands", commands::measure)];

/// A directory inside the build directory: temporary directories may be in memory.
fn directory() -> std::io::Result<tempfile::TempDir> {
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| PathBuf::from("target"), PathBuf::from);
    std::fs::create_dir_all(&target)?;
    tempfile::Builder::new().prefix("bench-").tempdir_in(target)
}

fn main() -> BenchResult {
    let arguments: Vec<_> = std::env::args().skip(1).collect();
    let quick = arguments.iter().any(|argument| argument == "--quick" || argument == "--test");
    let scale = if quick { QUICK } else { FULL };
    let only = arguments.iter().find(|argument| !argument.starts_with('-'));
    if let Some(unknown) = only.filter(|only| SECTIONS.iter().all(|(name, _)| name != only)) {
        let names: Vec<_> = SECTIONS.iter().map(|(name, _)| *name).collect();
        return Err(format!("unknown section `{unknown}`; use one of: {}", names.join(", ")).into());
    }
    let place = directory()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    for (name, section) in SECTIONS {
        if only.is_none_or(|only| only == *name) {
            section(&runtime, place.path(), scale)?;
        }
    }
    Ok(())
}
