//! The `FORMAT` file: what the directory holds, readable before anything is opened.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use orkestra_core::store::{StoreError, StoreErrorKind};

use super::directory;
use super::error::refused;

const FILE: &str = "FORMAT";
const WORDS: &str = "orkestra-store";

/// What a backend writes into a directory.
pub(crate) struct Format {
    /// Its name.
    pub(crate) backend: &'static str,
    /// The version that it writes. It reads those before as well.
    pub(crate) version: u32,
    /// A file or directory that is there when the database is, whoever made it.
    pub(crate) database: &'static str,
}

/// What a directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No store.
    Nothing,
    /// A store whose creation was interrupted: nothing was acknowledged yet.
    Unfinished,
    /// A store of this version or one before it.
    Store(u32),
}

impl Found {
    /// Whether something may have been acknowledged there.
    pub(crate) fn is_store(self) -> bool {
        matches!(self, Self::Store(_))
    }
}

impl Format {
    /// Looks at `directory`.
    pub(crate) fn read(&self, directory: &Path) -> Result<Found, StoreError> {
        let place = directory.display();
        let text = match fs::read(directory.join(FILE)) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let foreign = directory.join(self.database).exists();
                return if foreign { Err(Self::foreign(directory)) } else { Ok(Found::Nothing) };
            }
            Err(error) => return Err(refused(&format!("{place}/{FILE} cannot be read"), error)),
        };
        let damaged = || {
            let message =
                format!("{place} is damaged: the file `{FILE}` should say `{WORDS} {} {}`", self.backend, self.version);
            StoreError::new(StoreErrorKind::Damaged, message)
        };
        let words: Vec<&str> = text.split_ascii_whitespace().collect();
        let [WORDS, backend, rest @ ..] = &words[..] else { return Err(damaged()) };
        if *backend != self.backend {
            return if is_name(backend) { Err(self.other(directory, backend)) } else { Err(damaged()) };
        }
        let (version, rest) = rest.split_first().ok_or_else(damaged)?;
        match (version.parse::<u32>().map_err(|_| damaged())?, rest) {
            (version, []) if (1..=self.version).contains(&version) => Ok(Found::Store(version)),
            (version, ["unfinished"]) if (1..=self.version).contains(&version) => Ok(Found::Unfinished),
            (newer, _) if newer > self.version => Err(self.newer(directory, newer)),
            _ => Err(damaged()),
        }
    }

    /// Writes that a store is being made in `directory`, durably.
    pub(crate) fn begin(&self, directory: &Path) -> Result<(), StoreError> {
        self.write(directory, " unfinished")
    }

    /// Writes that `directory` holds a store of this version, durably.
    pub(crate) fn finish(&self, directory: &Path) -> Result<(), StoreError> {
        self.write(directory, "")
    }

    fn write(&self, directory: &Path, state: &str) -> Result<(), StoreError> {
        let text = format!("{WORDS} {} {}{state}\n", self.backend, self.version);
        let replace = || -> io::Result<()> {
            let new = directory.join("FORMAT.new");
            let mut file = fs::File::create(&new)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&new, directory.join(FILE))?;
            directory::sync(directory)
        };
        replace().map_err(|error| refused(&format!("{}/{FILE} cannot be written", directory.display()), error))
    }

    /// The error for a version that is `found` and newer than this one.
    pub(crate) fn newer(&self, directory: &Path, found: u32) -> StoreError {
        let (place, known) = (directory.display(), self.version);
        let message =
            format!("{place} is a store of format {found}, this version reads up to {known}; use a newer version");
        StoreError::new(StoreErrorKind::Version, message)
    }

    fn foreign(directory: &Path) -> StoreError {
        let place = directory.display();
        let message = format!("{place} holds a database that is not a store of Orkestra; choose another directory");
        StoreError::new(StoreErrorKind::Invalid, message)
    }

    fn other(&self, directory: &Path, backend: &str) -> StoreError {
        let (place, own) = (directory.display(), self.backend);
        let message = format!("{place} holds a store of the backend {backend}, not of {own}; choose another directory");
        StoreError::new(StoreErrorKind::Invalid, message)
    }
}

fn is_name(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_lowercase())
}
