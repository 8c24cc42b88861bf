//! The `FORMAT` file: says what a directory holds, and is readable before any database is opened.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use orkestra_core::store::{StoreError, StoreErrorKind};

use super::directory;
use super::error::io_error;

const FILE: &str = "FORMAT";
const WORDS: &str = "orkestra-store";

/// The format of a backend.
pub(crate) struct Format {
    /// The name of the backend.
    pub(crate) backend: &'static str,
    /// The version it writes. Older versions are readable.
    pub(crate) version: u32,
    /// A file or directory that exists whenever the database does, regardless of which version created it.
    pub(crate) database: &'static str,
}

/// What a directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// No store.
    Nothing,
    /// A store whose creation was interrupted. Nothing in it was acknowledged.
    Unfinished,
    /// A store of this version or an older one.
    Store(u32),
}

impl Found {
    /// Whether the directory may hold acknowledged writes.
    pub(crate) fn is_store(self) -> bool {
        matches!(self, Self::Store(_))
    }
}

impl Format {
    /// Reads what `directory` holds.
    pub(crate) fn read(&self, directory: &Path) -> Result<Found, StoreError> {
        let place = directory.display();
        let text = match fs::read(directory.join(FILE)) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let foreign = directory.join(self.database).exists();
                return if foreign { Err(Self::foreign(directory)) } else { Ok(Found::Nothing) };
            }
            Err(error) => return Err(io_error(&format!("cannot read {place}/{FILE}"), error)),
        };
        let damaged = || {
            let message = format!(
                "the store in {place} is damaged: the file `{FILE}` should contain `{WORDS} {} {}`",
                self.backend, self.version
            );
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

    /// Durably marks `directory` as a store that is being created.
    pub(crate) fn begin(&self, directory: &Path) -> Result<(), StoreError> {
        self.write(directory, " unfinished")
    }

    /// Durably marks `directory` as a complete store of this version.
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
        replace().map_err(|error| io_error(&format!("cannot write {}/{FILE}", directory.display()), error))
    }

    /// The error for the version `found`, which is newer than this one.
    pub(crate) fn newer(&self, directory: &Path, found: u32) -> StoreError {
        let (place, known) = (directory.display(), self.version);
        let message = format!(
            "cannot open the store in {place}: it has format {found}, this version reads up to {known}; use a newer version"
        );
        StoreError::new(StoreErrorKind::Version, message)
    }

    fn foreign(directory: &Path) -> StoreError {
        let place = directory.display();
        let message = format!("cannot open a store in {place}: it holds another database; use another directory");
        StoreError::new(StoreErrorKind::Invalid, message)
    }

    fn other(&self, directory: &Path, backend: &str) -> StoreError {
        let (place, own) = (directory.display(), self.backend);
        let message = format!(
            "cannot open {place} with {own}: it holds a store of {backend}; open it with {backend} or use another directory"
        );
        StoreError::new(StoreErrorKind::Invalid, message)
    }
}

fn is_name(word: &str) -> bool {
    word.bytes().all(|byte| byte.is_ascii_lowercase())
}
