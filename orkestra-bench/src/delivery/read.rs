//! Reads a directory without following links, also while a program changes it.

use std::ffi::CString;
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use rustix::io::Errno;

use super::{Delivery, File};
use crate::limits::{DELIVERY_BYTES_MAX, DELIVERY_DEPTH_MAX, DELIVERY_FILE_BYTES_MAX, DELIVERY_FILES_MAX};

/// How a directory is opened.
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

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
    let root = match rustix::fs::open(directory, DIRECTORY, Mode::empty()) {
        Ok(root) => root,
        Err(Errno::NOENT) => return Ok(delivery),
        Err(error) => return Err(failed(directory, error.into())),
    };
    let mut left = vec![(String::new(), 0)];
    while let Some((prefix, depth)) = left.pop() {
        let (at, entries) = match entries(&root, &prefix) {
            Ok(read) => read,
            Err(error) if depth == 0 => return Err(failed(directory, error)),
            Err(error) => {
                delivery.left_out.push(format!("{prefix} cannot be read: {error}"));
                continue;
            }
        };
        for (name, kind) in entries {
            let Ok(name) = name.into_string() else {
                delivery.left_out.push(format!("{prefix}: the name of a file in it is not UTF-8"));
                continue;
            };
            let shown = format!("{prefix}{name}");
            if kind == FileType::Directory {
                if depth >= DELIVERY_DEPTH_MAX {
                    delivery.left_out.push(format!("{shown}: more than {DELIVERY_DEPTH_MAX} directories deep"));
                } else if !is_of_tools(&at, &name) {
                    left.push((format!("{shown}/"), depth + 1));
                }
                continue;
            }
            match read(&at, &name, kind, delivery.files.len(), bytes) {
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

/// Opens the directory at this place, component by component, and lists it.
fn entries(root: &OwnedFd, prefix: &str) -> io::Result<(OwnedFd, Vec<(CString, FileType)>)> {
    let mut at = root.try_clone()?;
    for name in prefix.split_terminator('/') {
        at = openat(&at, name, DIRECTORY | OFlags::NOFOLLOW, Mode::empty())?;
    }
    let mut entries = Vec::new();
    for entry in Dir::read_from(&at)? {
        let entry = entry?;
        let name = entry.file_name();
        if name == c"." || name == c".." {
            continue;
        }
        let kind = match entry.file_type() {
            // Some file systems do not say it here.
            FileType::Unknown => match statat(&at, name, AtFlags::SYMLINK_NOFOLLOW) {
                Ok(found) => FileType::from_raw_mode(found.st_mode),
                Err(_) => continue,
            },
            kind => kind,
        };
        entries.push((name.to_owned(), kind));
    }
    Ok((at, entries))
}

fn is_of_tools(at: &OwnedFd, name: &str) -> bool {
    TOOLS.contains(&name)
        || name.starts_with(".orkestra-")
        || statat(at, format!("{name}/pyvenv.cfg"), AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::RegularFile)
}

/// Reads a file, or says why it is left out.
///
/// IMPORTANT: a program may put a link, a pipe or a larger file into its place meanwhile: what is opened counts, not what was listed.
fn read(at: &OwnedFd, name: &str, kind: FileType, files: usize, bytes: u64) -> Result<Vec<u8>, String> {
    if kind == FileType::Symlink {
        return Err("a link".to_owned());
    }
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let opened = match kind {
        FileType::RegularFile => openat(at, name, flags, Mode::empty()).map_err(|error| error.to_string()),
        _ => Err("neither a file nor a directory".to_owned()),
    };
    let mut file = std::fs::File::from(opened?);
    let found = file.metadata().map_err(|error| error.to_string())?;
    if !found.is_file() {
        return Err("neither a file nor a directory".to_owned());
    }
    let size = found.len();
    if size > DELIVERY_FILE_BYTES_MAX {
        return Err(format!("{size} bytes, more than {DELIVERY_FILE_BYTES_MAX}"));
    }
    if files >= DELIVERY_FILES_MAX || bytes + size > DELIVERY_BYTES_MAX {
        return Err(format!("the files before it are {files}, with {bytes} bytes: no more are graded"));
    }
    let mut content = Vec::new();
    (&mut file).take(DELIVERY_FILE_BYTES_MAX).read_to_end(&mut content).map_err(|error| error.to_string())?;
    Ok(content)
}

fn failed(path: &Path, source: io::Error) -> DeliveryError {
    DeliveryError { path: path.display().to_string(), source }
}
