//! `aios benchmark`: works on tasks and grades the results. Each benchmark has a directory of its own.
//!
//! ```text
//! DIR/settings.json   what it was started with, for `resume`
//! DIR/store/          the journal          DIR/workspace/  what the agents made
//! DIR/result.json, junit.xml, report.html  written after every trial
//! ```

mod check;
mod compare;
mod contestant;
mod progress;
mod results;
mod session;
mod settings;

use std::path::{Path, PathBuf};

use orkestra_bench::grade::GradingPlace;
use orkestra_bench::task::{Suite, TaskError};

use self::settings::Settings;
use super::print;
use crate::args::{
    BenchmarkArguments, BenchmarkCommand, Grading, ResumeBenchmarkArguments, StartArguments, TaskChoice,
};
use crate::exit::{Exit, Failure};

/// Where benchmarks are that were started without `--out`.
const BENCHMARKS: &str = ".orkestra/benchmark";

pub(super) async fn perform(arguments: BenchmarkArguments) -> Result<Exit, Failure> {
    match arguments.command {
        None if arguments.start.list => list(&arguments.start.tasks),
        None => start(arguments.start).await,
        Some(BenchmarkCommand::Resume(arguments)) => resume(arguments).await,
        Some(BenchmarkCommand::Compare(arguments)) => compare::perform(&arguments),
        Some(BenchmarkCommand::Check(arguments)) => check::perform(&arguments).await,
        Some(BenchmarkCommand::Report(arguments)) => results::perform(&arguments),
    }
}

fn list(tasks: &TaskChoice) -> Result<Exit, Failure> {
    let suite = suite(tasks.tasks_dir.as_deref(), &tasks.names)?;
    let width = suite.list().map(|(name, ..)| name.len()).max().unwrap_or(0);
    let line = |(name, difficulty, title): (&str, orkestra_bench::task::Difficulty, &str)| {
        format!("{name:width$}  {:7}  {title}\n", difficulty.name())
    };
    print(&suite.list().map(line).collect::<String>())
}

async fn start(arguments: StartArguments) -> Result<Exit, Failure> {
    let json = arguments.json;
    let settings = Settings::of(&arguments)?;
    // Before anything is created: what is wrong with the tasks, and what this machine lacks.
    let suite = settings.suite()?;
    settings.request().check(&suite).map_err(session::failed)?;
    let place = place(settings.grading()).await?;
    let directory = match &arguments.out {
        Some(out) => out.clone(),
        None => next(Path::new(BENCHMARKS))?,
    };
    settings.create(&directory)?;
    session::perform(&directory, settings, suite, place, json).await
}

async fn resume(arguments: ResumeBenchmarkArguments) -> Result<Exit, Failure> {
    let directory = match arguments.directory {
        Some(directory) => directory,
        None => newest(Path::new(BENCHMARKS))?,
    };
    let settings = Settings::read(&directory)?;
    let suite = settings.suite()?;
    let place = place(settings.grading()).await?;
    session::perform(&directory, settings, suite, place, arguments.json).await
}

/// The tasks of a choice.
fn suite(directory: Option<&Path>, names: &[String]) -> Result<Suite, Failure> {
    let suite = directory.map_or_else(Suite::built_in, Suite::in_directory).map_err(|error| invalid(&error))?;
    suite.select(names).map_err(|error| invalid(&error))
}

fn invalid(error: &TaskError) -> Failure {
    Failure::usage(error.to_string())
}

/// Where results are graded, which must be usable now.
async fn place(grading: Grading) -> Result<GradingPlace, Failure> {
    let place = if grading.grade_locally { GradingPlace::Local } else { GradingPlace::default() };
    if grading.grade_locally {
        crate::host::need_python(" or grade in Docker")?;
    }
    place.check().await.map_err(|error| {
        Failure::failed(format!(
            "cannot grade in Docker: {error}; or grade on this machine, which is weaker (--grade-locally)"
        ))
    })?;
    Ok(place)
}

/// The numbers of the directories below this one.
fn numbers(directory: &Path) -> Vec<u32> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// The next numbered directory, which it creates.
fn next(directory: &Path) -> Result<PathBuf, Failure> {
    let failed = |error: std::io::Error| {
        Failure::failed(format!("cannot create a directory in {}: {error}", directory.display()))
    };
    std::fs::create_dir_all(directory).map_err(failed)?;
    let mut number = numbers(directory).into_iter().max().unwrap_or(0);
    loop {
        number += 1;
        match std::fs::create_dir(directory.join(number.to_string())) {
            Ok(()) => return Ok(directory.join(number.to_string())),
            // Another process took it at the same moment.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed(error)),
        }
    }
}

fn newest(directory: &Path) -> Result<PathBuf, Failure> {
    let number = numbers(directory).into_iter().max();
    let number = number.ok_or_else(|| {
        Failure::usage(format!("no benchmark was found in {}; name its directory", directory.display()))
    })?;
    Ok(directory.join(number.to_string()))
}
