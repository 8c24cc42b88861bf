//! The content of files and directories in memory. It can be written to a directory and compared with one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

pub(super) const PAGE: u64 = 4096;
const PAGE_BYTES: usize = 4096;

/// A file: its length and its pages. A missing page is zeros. Clones share pages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Content {
    pub(super) length: u64,
    pages: BTreeMap<u64, Arc<[u8; PAGE_BYTES]>>,
}

impl Content {
    /// Writes bytes. Does not change the length.
    pub(super) fn put(&mut self, offset: u64, mut bytes: &[u8]) {
        let mut at = offset;
        while !bytes.is_empty() {
            let inside = usize::try_from(at % PAGE).expect("a page is small");
            let (now, later) = bytes.split_at(bytes.len().min(PAGE_BYTES - inside));
            let page = self.pages.entry(at / PAGE).or_insert_with(|| Arc::new([0; PAGE_BYTES]));
            Arc::make_mut(page)[inside..inside + now.len()].copy_from_slice(now);
            at += now.len() as u64;
            bytes = later;
        }
    }

    /// Writes zeros. Does not change the length.
    pub(super) fn clear(&mut self, from: u64, to: u64) {
        if from >= to {
            return;
        }
        let last = (to - 1) / PAGE;
        for (number, page) in self.pages.range_mut(from / PAGE..=last) {
            let inside =
                |offset: u64| usize::try_from(offset.saturating_sub(number * PAGE).min(PAGE)).expect("a page is small");
            let (from, to) = (inside(from), inside(to));
            if from < to {
                Arc::make_mut(page)[from..to].fill(0);
            }
        }
    }

    /// Truncates or extends the file. What was truncated reads as zeros when the file is extended again.
    pub(super) fn set_length(&mut self, length: u64) {
        self.pages.split_off(&length.div_ceil(PAGE));
        self.clear(length, length.next_multiple_of(PAGE));
        self.length = length;
    }

    /// The byte at `offset`.
    #[cfg(test)]
    pub(super) fn byte(&self, offset: u64) -> u8 {
        let inside = usize::try_from(offset % PAGE).expect("a page is small");
        self.pages.get(&(offset / PAGE)).map_or(0, |page| page[inside])
    }

    fn write(&self, path: &Path) -> io::Result<()> {
        let file = File::create(path)?;
        let mut run: (u64, Vec<u8>) = (0, Vec::new());
        for (number, page) in &self.pages {
            if run.0 + run.1.len() as u64 != number * PAGE {
                file.write_all_at(&run.1, run.0)?;
                run = (number * PAGE, Vec::new());
            }
            run.1.extend_from_slice(&page[..]);
        }
        file.write_all_at(&run.1, run.0)?;
        file.set_len(self.length)
    }

    fn read(path: &Path) -> io::Result<Self> {
        let bytes = fs::read(path)?;
        let mut content = Self { length: bytes.len() as u64, ..Self::default() };
        for (number, page) in (0..).zip(bytes.chunks(PAGE_BYTES)) {
            if page != &[0; PAGE_BYTES][..page.len()] {
                content.put(number * PAGE, page);
            }
        }
        Ok(content)
    }

    /// The number of the first page that differs.
    fn differs(&self, other: &Self) -> Option<u64> {
        let zeros = [0; PAGE_BYTES];
        let page = |content: &Self, number| content.pages.get(number).map_or(zeros, |page| **page);
        let numbers = self.pages.keys().chain(other.pages.keys());
        numbers.filter(|number| page(self, number) != page(other, number)).min().copied()
    }
}

/// A file, or a directory with all that is in it.
#[derive(Debug)]
pub(super) enum Image {
    File(Content),
    Directory(BTreeMap<String, Image>),
}

impl Image {
    /// Writes it to the file system.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        match self {
            Self::File(content) => content.write(path),
            Self::Directory(entries) => {
                fs::create_dir_all(path)?;
                entries.iter().try_for_each(|(name, entry)| entry.write(&path.join(name)))
            }
        }
    }

    /// Reads it from the file system.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        if !path.is_dir() {
            return Content::read(path).map(Self::File);
        }
        let entry = |entry: io::Result<fs::DirEntry>| {
            let entry = entry?;
            Ok((entry.file_name().to_string_lossy().into_owned(), Self::read(&entry.path())?))
        };
        fs::read_dir(path)?.map(entry).collect::<io::Result<_>>().map(Self::Directory)
    }

    /// The first difference between two of them.
    pub(super) fn differs(&self, other: &Self) -> Option<String> {
        match (self, other) {
            (Self::File(one), Self::File(two)) => {
                let length = (one.length != two.length).then(|| format!(": {} and {} bytes", one.length, two.length));
                length.or_else(|| one.differs(two).map(|page| format!(": page {page}")))
            }
            (Self::Directory(one), Self::Directory(two)) => {
                let names = one.keys().chain(two.keys());
                names.into_iter().find_map(|name| match (one.get(name), two.get(name)) {
                    (Some(one), Some(two)) => one.differs(two).map(|what| format!("/{name}{what}")),
                    _ => Some(format!("/{name}: only one has it")),
                })
            }
            _ => Some(": a file and a directory".into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_differs_in_one_byte_is_detected() {
        let directory = tempfile::tempdir().expect("a directory for a test");
        let mut content = Content::default();
        content.put(3 * PAGE - 1, b"abc");
        content.set_length(9 * PAGE + 7);
        let image = Image::Directory(BTreeMap::from([("f".to_owned(), Image::File(content))]));
        image.write(directory.path()).expect("there is room");
        let differs = || image.differs(&Image::read(directory.path()).expect("it is readable"));
        assert_eq!(differs(), None);
        let file = File::options().write(true).open(directory.path().join("f")).expect("it is there");
        file.write_all_at(b"x", 5 * PAGE).expect("there is room");
        assert_eq!(differs().as_deref(), Some("/f: page 5"));
        file.write_all_at(&[0], 5 * PAGE).expect("there is room");
        assert_eq!(differs(), None);
        file.set_len(9 * PAGE + 8).expect("it grows");
        assert_eq!(differs().as_deref(), Some("/f: 36871 and 36872 bytes"));
        fs::rename(directory.path().join("f"), directory.path().join("g")).expect("it is renamed");
        assert!(differs().is_some_and(|what| what.ends_with(": only one has it")));
    }

    #[test]
    fn what_was_truncated_reads_as_zeros() {
        let mut content = Content::default();
        content.put(0, &[b'a'; 8192]);
        content.set_length(100);
        content.set_length(8192);
        assert_eq!([99, 100, 4095, 4096].map(|offset| content.byte(offset)), [b'a', 0, 0, 0]);
    }
}
