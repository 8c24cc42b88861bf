//! Writes and shows results.

use std::path::{Path, PathBuf};

use orkestra_bench::result::{BenchmarkResult, ResultError, write_file};

use super::print;
use crate::args::ReportArguments;
use crate::exit::{Exit, Failure};

const RESULT: &str = "result.json";
const JUNIT: &str = "junit.xml";
const REPORT: &str = "report.html";

/// Writes the reports of a benchmark into its directory.
pub(super) fn write(directory: &Path, result: &BenchmarkResult) -> Result<(), Failure> {
    let failed = |error: ResultError| Failure::failed(error.to_string());
    let xml = result.junit().map_err(|error| Failure::failed(format!("cannot write {JUNIT}: {error}")))?;
    write_file(&directory.join(JUNIT), xml.as_bytes()).map_err(failed)?;
    write_file(&directory.join(REPORT), result.html().as_bytes()).map_err(failed)?;
    result.write(&directory.join(RESULT)).map_err(failed)
}

/// Prints a result: the table and where the reports are, or JSON.
pub(super) fn show(result: &BenchmarkResult, directory: &Path, json: bool) -> Result<Exit, Failure> {
    if json {
        let text = serde_json::to_string(result).map_err(|error| Failure::failed(error.to_string()))?;
        return print(&format!("{text}\n"));
    }
    let place = directory.display();
    print(&format!("\n{}\nreport: {place}/{REPORT}, {place}/{RESULT}, {place}/{JUNIT}\n", result.table()))
}

/// Reads a result: `result.json`, or that of a directory.
pub(super) fn read(path: &Path) -> Result<BenchmarkResult, Failure> {
    let path = if path.is_dir() { path.join(RESULT) } else { path.to_owned() };
    BenchmarkResult::read(&path).map_err(|error| Failure::usage(error.to_string()))
}

pub(super) fn perform(arguments: &ReportArguments) -> Result<Exit, Failure> {
    let result = read(&arguments.result)?;
    let directory = if arguments.result.is_dir() {
        arguments.result.clone()
    } else {
        arguments.result.parent().map_or_else(PathBuf::new, Path::to_owned)
    };
    write(&directory, &result)?;
    show(&result, &directory, arguments.json)
}
