//! Files and index pages of registries on disk, shared by the runs of one namespace. Blocking; called through `spawn_blocking`.
//!
//! ```text
//! DIRECTORY/<hash of the namespace>/<hash of address and variant>   content, description (JSON), its length, a magic number
//! ```
//!
//! An entry is written to a temporary file, synced and renamed, so it is whole or absent, also after a crash and with several
//! processes. One that does not have the length that it states is ignored. It must never hold an answer that was not complete.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};
use sha2::Digest as _;
use tempfile::NamedTempFile;

use crate::limits::EGRESS_CACHE_BYTES_MAX;

const MAGIC: &[u8; 8] = b"orkcach1";
const TEMPORARY: &str = ".new-";
/// The longest description of an entry, bytes: an address and a few headers.
const DESCRIPTION_BYTES_MAX: u64 = 64 * 1024;

/// Where answers of registries are kept between runs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct CachePlace {
    /// A directory of the embedder, created if missing. Not in a workspace: what is in it is trusted.
    pub directory: PathBuf,
    /// Runs with the same namespace share answers, private packages included: name a tenant or a user, not a run.
    pub namespace: String,
    /// The most that one namespace keeps, bytes; the least recently used goes first.
    pub bytes_max: u64,
}

impl CachePlace {
    /// A cache of at most [`EGRESS_CACHE_BYTES_MAX`] bytes.
    #[must_use]
    pub fn new(directory: impl Into<PathBuf>, namespace: impl Into<String>) -> Self {
        Self { directory: directory.into(), namespace: namespace.into(), bytes_max: EGRESS_CACHE_BYTES_MAX }
    }

    /// Sets the most that is kept, bytes.
    #[must_use]
    pub fn with_bytes_max(mut self, bytes_max: u64) -> Self {
        self.bytes_max = bytes_max;
        self
    }
}

/// What is known about an answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Description {
    /// Where the content came from, after redirects. For people who look.
    pub(super) url: String,
    pub(super) content_type: Option<String>,
    pub(super) etag: Option<String>,
    pub(super) last_modified: Option<String>,
    /// How long an index page may be used without asking, seconds.
    pub(super) fresh_s: u64,
    pub(super) bytes: u64,
}

/// An entry that was found, its file at the beginning of the content.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) file: File,
    pub(super) description: Description,
    /// The time since it was received or last confirmed.
    pub(super) age: Duration,
}

impl Entry {
    pub(super) fn is_fresh(&self) -> bool {
        self.age.as_secs() < self.description.fresh_s
    }

    pub(super) fn content(mut self) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        (&mut self.file).take(self.description.bytes).read_to_end(&mut content)?;
        Ok(content)
    }
}

/// The cache of one namespace.
#[derive(Debug)]
pub(super) struct Cache {
    directory: PathBuf,
    bytes_max: u64,
    /// An estimate: other processes write too. Corrected whenever the directory is searched.
    bytes: AtomicU64,
}

impl Cache {
    pub(super) fn open(place: &CachePlace) -> io::Result<Self> {
        let directory = place.directory.join(&key(&[&place.namespace])[..32]);
        let mut builder = DirBuilder::new();
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(&directory)?;
        let cache = Self { directory, bytes_max: place.bytes_max, bytes: AtomicU64::new(0) };
        cache.evict()?;
        Ok(cache)
    }

    /// A file of the cache that is not an entry.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn get(&self, key: &str) -> Option<Entry> {
        let path = self.directory.join(key);
        let mut file = File::open(&path).ok()?;
        let metadata = file.metadata().ok()?;
        match describe(&mut file, metadata.len()) {
            Ok(description) => {
                let age = now().duration_since(metadata.modified().ok()?).unwrap_or_default();
                Some(Entry { file, description, age })
            }
            Err(error) => {
                tracing::warn!(path = %path.display(), %error, "removing a damaged file of the package cache");
                let _ = fs::remove_file(&path);
                None
            }
        }
    }

    /// Marks an entry as used, or its content as confirmed, now.
    pub(super) fn touch(&self, entry: &Entry) {
        let _ = entry.file.set_modified(now());
    }

    pub(super) fn begin(&self) -> io::Result<NamedTempFile> {
        tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(&self.directory)
    }

    /// Adds an entry whose content is in the file and complete.
    pub(super) fn commit(&self, key: &str, mut file: NamedTempFile, description: &Description) -> io::Result<()> {
        let text = serde_json::to_vec(description).map_err(io::Error::other)?;
        let length = text.len() as u64;
        let size = file.as_file_mut().seek(SeekFrom::End(0))?;
        if size != description.bytes || length > DESCRIPTION_BYTES_MAX {
            return Err(io::Error::other("the content does not have the stated length"));
        }
        if size > self.bytes_max {
            return Ok(());
        }
        file.write_all(&text)?;
        file.write_all(&length.to_be_bytes())?;
        file.write_all(MAGIC)?;
        file.as_file().sync_data()?;
        file.persist(self.directory.join(key)).map_err(|error| error.error)?;
        if self.bytes.fetch_add(size, Ordering::Relaxed) + size > self.bytes_max {
            self.evict()?;
        }
        Ok(())
    }

    /// Counts what is there, and removes the least recently used when it is too much, down to nine tenths of the limit.
    fn evict(&self) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(&self.directory)?.flatten() {
            let (Ok(metadata), name) = (entry.metadata(), entry.file_name()) else { continue };
            let modified = metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH);
            let name = name.to_string_lossy();
            let is_left = now().duration_since(modified).is_ok_and(|age| age > Duration::from_secs(24 * 3600));
            if name.starts_with(TEMPORARY) && is_left {
                let _ = fs::remove_file(entry.path());
            } else if !name.starts_with('.') {
                entries.push((modified, metadata.len(), entry.path()));
            }
        }
        let mut bytes: u64 = entries.iter().map(|(_, bytes, _)| bytes).sum();
        if bytes > self.bytes_max {
            entries.sort();
            for (_, size, path) in entries {
                if bytes <= self.bytes_max / 10 * 9 {
                    break;
                }
                if fs::remove_file(path).is_ok() {
                    bytes -= size;
                }
            }
        }
        self.bytes.store(bytes, Ordering::Relaxed);
        Ok(())
    }
}

/// The key of an entry: a hash of these texts.
pub(super) fn key(parts: &[&str]) -> String {
    let mut hasher = sha2::Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    super::digest::hex(&hasher.finalize())
}

fn describe(file: &mut File, length: u64) -> io::Result<Description> {
    let damaged = || io::Error::other("it is not complete");
    let tail = length.checked_sub(16).ok_or_else(damaged)?;
    file.seek(SeekFrom::Start(tail))?;
    let (mut size, mut magic) = ([0; 8], [0; 8]);
    file.read_exact(&mut size)?;
    file.read_exact(&mut magic)?;
    let size = u64::from_be_bytes(size);
    if &magic != MAGIC || size > DESCRIPTION_BYTES_MAX {
        return Err(damaged());
    }
    let content = tail.checked_sub(size).ok_or_else(damaged)?;
    file.seek(SeekFrom::Start(content))?;
    let description: Description = serde_json::from_reader(file.take(size)).map_err(io::Error::other)?;
    if description.bytes != content {
        return Err(damaged());
    }
    file.seek(SeekFrom::Start(0))?;
    Ok(description)
}

fn now() -> SystemTime {
    #[expect(
        clippy::disallowed_methods,
        reason = "the age of a file, as the file system tells it; no run depends on it"
    )]
    SystemTime::now()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(cache: &Cache, name: &str, content: &[u8]) -> io::Result<()> {
        let mut file = cache.begin()?;
        file.write_all(content)?;
        let description = Description { bytes: content.len() as u64, fresh_s: 60, ..Description::default() };
        cache.commit(&key(&[name]), file, &description)
    }

    fn get(cache: &Cache, name: &str) -> Option<Vec<u8>> {
        cache.get(&key(&[name])).map(|entry| entry.content().expect("readable"))
    }

    #[test]
    fn an_entry_is_whole_or_absent() {
        let root = tempfile::tempdir().expect("a directory");
        let cache = Cache::open(&CachePlace::new(root.path(), "n")).expect("opened");
        put(&cache, "a", b"content").expect("written");
        assert_eq!(get(&cache, "a").as_deref(), Some(&b"content"[..]));
        assert!(cache.get(&key(&["a"])).is_some_and(|entry| entry.is_fresh()));
        let path = cache.directory().join(key(&["a"]));
        let whole = fs::read(&path).expect("read");
        for length in 0..whole.len() {
            fs::write(&path, &whole[..length]).expect("written");
            assert_eq!(get(&cache, "a"), None, "{length} bytes of {}", whole.len());
        }
        fs::write(&path, [&b"x"[..], &whole].concat()).expect("written");
        assert_eq!(get(&cache, "a"), None, "one byte more");
        let mut short = cache.begin().expect("begun");
        short.write_all(b"half").expect("written");
        let description = Description { bytes: 8, ..Description::default() };
        cache.commit(&key(&["b"]), short, &description).expect_err("not the stated length");
        assert_eq!(get(&cache, "b"), None);
        let other = Cache::open(&CachePlace::new(root.path(), "other")).expect("opened");
        put(&cache, "a", b"content").expect("written");
        assert_eq!(get(&other, "a"), None, "another namespace");
    }

    #[test]
    fn it_is_bounded_and_the_least_recently_used_goes_first() {
        let root = tempfile::tempdir().expect("a directory");
        let place = CachePlace::new(root.path(), "n").with_bytes_max(20_000);
        let cache = Cache::open(&place).expect("opened");
        for number in 0..50_u64 {
            put(&cache, &format!("f{number}"), &[1; 1000]).expect("written");
            let entry = cache.get(&key(&[&format!("f{number}")])).expect("there");
            entry.file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(number)).expect("set");
            if let Some(first) = cache.get(&key(&["f0"])) {
                cache.touch(&first);
            }
        }
        let kept = (0..50).filter(|number| get(&cache, &format!("f{number}")).is_some()).collect::<Vec<_>>();
        assert!(kept.len() <= 20 && kept.len() >= 10 && kept[0] == 0, "{kept:?}");
        put(&cache, "huge", &[1; 30_000]).expect("ignored");
        assert_eq!(get(&cache, "huge"), None);
        let modes = std::os::unix::fs::MetadataExt::mode(&fs::metadata(cache.directory()).expect("there"));
        assert_eq!(modes & 0o777, 0o700);
    }
}
