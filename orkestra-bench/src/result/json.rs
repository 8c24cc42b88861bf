//! Reads and writes the files of a result. A file is replaced as a whole: after a crash it has its old or its new content.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::{BenchmarkResult, RESULT_FORMAT};

/// Why a file of a result could not be written or read. It says what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResultError {
    /// The file could not be written; its old content is unchanged.
    #[error("cannot write {}: {source}; check that its directory exists, is writable and has space", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file could not be read.
    #[error("cannot read {}: {source}; give the result.json of a benchmark", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        source: io::Error,
    },
    /// The file holds something else.
    #[error("{} is not the result of a benchmark: {reason}; give the result.json of a benchmark", path.display())]
    NotAResult {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The file was written by a newer version.
    #[error(
        "{} has format {format}, and this version reads up to format {RESULT_FORMAT}: it was written by a newer version; \
         read it with that one",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        format: u64,
    },
}

/// What every format of a result has.
#[derive(Deserialize)]
struct Head {
    format: u64,
}

impl BenchmarkResult {
    /// Writes the result as `result.json`.
    ///
    /// # Errors
    /// [`ResultError::Write`]; the old file is then unchanged.
    pub fn write(&self, path: &Path) -> Result<(), ResultError> {
        let json = serde_json::to_vec_pretty(self).map_err(|error| write_error(path, io::Error::other(error)))?;
        write_file(path, &json)
    }

    /// Reads a `result.json`.
    ///
    /// # Errors
    /// [`ResultError`] when the file cannot be read, is not a result or is of a newer format.
    pub fn read(path: &Path) -> Result<Self, ResultError> {
        let json = fs::read(path).map_err(|source| ResultError::Read { path: path.to_owned(), source })?;
        let not_a_result =
            |error: serde_json::Error| ResultError::NotAResult { path: path.to_owned(), reason: error.to_string() };
        // The format first: a newer one may differ in everything else.
        let head: Head = serde_json::from_slice(&json).map_err(not_a_result)?;
        if head.format > u64::from(RESULT_FORMAT) {
            return Err(ResultError::Newer { path: path.to_owned(), format: head.format });
        }
        if head.format == 0 {
            let reason = "format 0 does not exist".to_owned();
            return Err(ResultError::NotAResult { path: path.to_owned(), reason });
        }
        serde_json::from_slice(&json).map_err(not_a_result)
    }
}

/// Writes a file of a result, such as its report, and replaces an old one as a whole.
///
/// # Errors
/// [`ResultError::Write`]; the old file is then unchanged.
pub fn write_file(path: &Path, contents: &[u8]) -> Result<(), ResultError> {
    replace(path, contents).map_err(|error| write_error(path, error))
}

fn write_error(path: &Path, source: io::Error) -> ResultError {
    ResultError::Write { path: path.to_owned(), source }
}

fn replace(path: &Path, contents: &[u8]) -> io::Result<()> {
    // In the same directory: a file can be renamed within one file system only.
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // As any other new file, less what the umask forbids; a temporary file is only for its owner otherwise.
        builder.permissions(fs::Permissions::from_mode(0o666));
    }
    let mut file = builder.prefix(".result-").suffix(".tmp").tempfile_in(directory)?;
    file.write_all(contents)?;
    // IMPORTANT: before the rename. Otherwise the new name may have no content after a loss of power.
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    if cfg!(unix) {
        File::open(directory)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::result::sample::{benchmark, task, trial};

    #[test]
    fn a_result_is_read_as_it_was_written_and_replaced_as_a_whole() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("result.json");
        let mut result = benchmark(2, vec![task("one", vec![trial(1, [1, 3], [2, 3])])]);
        result.write(&path).expect("written");
        assert_eq!(BenchmarkResult::read(&path).expect("read"), result);
        result.tasks[0].trials[0].cost_usd = None;
        result.ended_at = Some("2026-11-27T11:00:00Z".to_owned());
        result.write(&path).expect("replaced");
        assert_eq!(BenchmarkResult::read(&path).expect("read again"), result);
        let names: Vec<_> =
            fs::read_dir(directory.path()).expect("listed").map(|entry| entry.expect("entry").file_name()).collect();
        assert_eq!(names, ["result.json"]);
    }

    #[test]
    fn other_files_are_refused_with_what_to_do() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("result.json");
        for (content, said) in [
            ("", "is not the result of a benchmark"),
            ("[]", "is not the result of a benchmark"),
            ("{}", "missing field `format`"),
            (r#"{"format": 1}"#, "missing field `id`"),
            (r#"{"format": 0, "id": "a"}"#, "format 0 does not exist"),
            (r#"{"format": "1"}"#, "invalid type"),
            (r#"{"format": 2, "everything": "else"}"#, "format 2, and this version reads up to format 1"),
            (r#"{"format": 99999999999}"#, "read it with that one"),
        ] {
            fs::write(&path, content).expect("written");
            let error = BenchmarkResult::read(&path).expect_err(content).to_string();
            assert!(error.contains(said) && error.contains("result.json"), "{content}: {error}");
        }
        let error = BenchmarkResult::read(&directory.path().join("none")).expect_err("missing").to_string();
        assert!(error.contains("cannot read") && error.contains("give the result.json"), "{error}");
        let error = write_file(&directory.path().join("none/report.html"), b"").expect_err("no directory").to_string();
        assert!(error.contains("check that its directory exists"), "{error}");
    }
}
