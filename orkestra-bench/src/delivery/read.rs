//! Reads a directory without following links.

use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};

use super::{Delivery, File};
use crate::limits::{DELIVERY_BYTES_MAX, DELIVERY_DEPTH_MAX, DELIVERY_FILE_BYTES_MAX, DELIVERY_FILES_MAX};

/// Directories of tools: installed packages, caches, repositories. The grading image has the packages that a task allows.
const TOOLS: [&str; 8] =
    [".git", "node_modules", "__pycache__", ".pytest_cache", ".mypy_cache", ".ruff_cache", ".venv", ".tox"];

/// Why a directory cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read {path}: {source}")]
pub struct DeliveryError {
    path: String,
    source: io::Error,
}

/// Every file below a directory that its author wrote, such as that of a task.
///
/// # Errors
/// When something cannot be read.
pub fn read_all(directory: &Path) -> Result<Vec<File>, DeliveryError> {
    let delivery = delivery(directory)?;
    match delivery.left_out.first() {
        None => Ok(delivery.files.into_values().collect()),
        Some(what) => Err(failed(directory, io::Error::other(format!("not allowed in a task: {what}")))),
    }
}

pub(super) fn delivery(directory: &Path) -> Result<Delivery, DeliveryError> {
    let mut delivery = Delivery::default();
    let mut bytes = 0;
    let mut open = vec![(directory.to_owned(), String::new(), 0)];
    while let Some((path, prefix, depth)) = open.pop() {
        let entries = match fs::read_dir(&path) {
            Ok(entries) => entries,
            Err(error) if depth == 0 && error.kind() == io::ErrorKind::NotFound => return Ok(delivery),
            Err(error) if depth == 0 => return Err(failed(&path, error)),
            Err(error) => {
                delivery.left_out.push(format!("{prefix} cannot be read: {error}"));
                continue;
            }
        };
        for entry in entries {
            let entry = entry.map_err(|error| failed(&path, error))?;
            let Ok(name) = entry.file_name().into_string() else {
                delivery.left_out.push(format!("{prefix}{:?}: its name is not UTF-8", entry.file_name()));
                continue;
            };
            let shown = format!("{prefix}{name}");
            let kind = entry.file_type().map_err(|error| failed(&entry.path(), error))?;
            if kind.is_dir() {
                if depth >= DELIVERY_DEPTH_MAX {
                    delivery.left_out.push(format!("{shown}: more than {DELIVERY_DEPTH_MAX} directories deep"));
                } else if !is_of_tools(&entry.path(), &name) {
                    open.push((entry.path(), format!("{shown}/"), depth + 1));
                }
                continue;
            }
            match read(&entry.path(), kind, delivery.files.len(), bytes) {
                Ok(content) => {
                    bytes += content.len() as u64;
                    delivery.files.insert(shown.clone(), File::new(shown, content));
                }
                Err(reason) => delivery.left_out.push(format!("{shown}: {reason}")),
            }
        }
    }
    Ok(delivery)
}

fn is_of_tools(path: &Path, name: &str) -> bool {
    TOOLS.contains(&name) || name.starts_with(".orkestra-") || path.join("pyvenv.cfg").is_file()
}

/// Reads a file, or says why it is left out.
fn read(path: &PathBuf, kind: FileType, files: usize, bytes: u64) -> Result<Vec<u8>, String> {
    if kind.is_symlink() {
        return Err("a link".to_owned());
    }
    if !kind.is_file() {
        return Err("neither a file nor a directory".to_owned());
    }
    let size = fs::symlink_metadata(path).map_err(|error| error.to_string())?.len();
    if size > DELIVERY_FILE_BYTES_MAX {
        return Err(format!("{size} bytes, more than {DELIVERY_FILE_BYTES_MAX}"));
    }
    if files >= DELIVERY_FILES_MAX || bytes + size > DELIVERY_BYTES_MAX {
        return Err(format!("the files before it are {files}, with {bytes} bytes: no more are graded"));
    }
    fs::read(path).map_err(|error| error.to_string())
}

fn failed(path: &Path, source: io::Error) -> DeliveryError {
    DeliveryError { path: path.display().to_string(), source }
}
