//! The `FORMAT` file: what the directory holds, readable before anything is opened.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use orkestra_core::store::{StoreError, StoreErrorKind};

use super::error::refused;
use crate::sled::sync::sync_directory;

/// The version of what is in a directory that this library writes. It reads those before as well: 1 had no write-ahead
/// files.
pub(crate) const VERSION: u32 = 2;

const FILE: &str = "FORMAT";
const WORDS: &str = "orkestra-store sled";

/// What a directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No store.
    Nothing,
    /// A store whose creation was interrupted: nothing was acknowledged yet.
    Unfinished,
    /// A store of a version before this one.
    Older,
    /// A store.
    Store,
}

/// Looks at `directory`.
pub(crate) fn read(directory: &Path) -> Result<Found, StoreError> {
    let place = directory.display();
    let text = match fs::read(directory.join(FILE)) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return if directory.join("db").exists() { Err(foreign(directory)) } else { Ok(Found::Nothing) };
        }
        Err(error) => return Err(refused(&format!("{place}/{FILE} cannot be read"), &error)),
    };
    let damaged = || {
        let message = format!("{place} is damaged: the file `{FILE}` should say `{WORDS} {VERSION}`");
        StoreError::new(StoreErrorKind::Damaged, message)
    };
    let rest = text.trim_end().strip_prefix(WORDS).ok_or_else(damaged)?;
    let mut words = rest.split_ascii_whitespace();
    let version: u32 = words.next().and_then(|word| word.parse().ok()).ok_or_else(damaged)?;
    match (version, words.next()) {
        (1..VERSION, None) => Ok(Found::Older),
        (VERSION, None) => Ok(Found::Store),
        (1..=VERSION, Some("unfinished")) => Ok(Found::Unfinished),
        (0..=VERSION, _) => Err(damaged()),
        (newer, _) => Err(newer_version(directory, newer)),
    }
}

/// Writes what `directory` holds from now on, durably.
pub(crate) fn write(directory: &Path, found: Found) -> Result<(), StoreError> {
    let text = match found {
        Found::Nothing | Found::Older => return Ok(()),
        Found::Unfinished => format!("{WORDS} {VERSION} unfinished\n"),
        Found::Store => format!("{WORDS} {VERSION}\n"),
    };
    let replace = || -> io::Result<()> {
        let new = directory.join("FORMAT.new");
        let mut file = fs::File::create(&new)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&new, directory.join(FILE))?;
        sync_directory(directory)
    };
    replace().map_err(|error| refused(&format!("{}/{FILE} cannot be written", directory.display()), &error))
}

pub(crate) fn newer_version(directory: &Path, found: u32) -> StoreError {
    let message = format!(
        "{} is a store of format {found}, this version reads up to {VERSION}; use a newer version",
        directory.display()
    );
    StoreError::new(StoreErrorKind::Version, message)
}

fn foreign(directory: &Path) -> StoreError {
    let message =
        format!("{} holds a database that is not a store of Orkestra; choose another directory", directory.display());
    StoreError::new(StoreErrorKind::Invalid, message)
}
