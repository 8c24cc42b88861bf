//! Disks that can be copied at an instant while they are written to: image files on an xfs in memory, mounted as loop
//! devices.
//!
//! Used in a process with its own mount namespace: when it ends, in whatever way, the kernel unmounts everything.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// Both are sparse. Memory is used only for what is written.
const OUTER_BYTES: u64 = 3 << 30;
const IMAGE_BYTES: u64 = 512 << 20;

/// The file system of an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FileSystem {
    Ext4,
    Xfs,
}

impl FileSystem {
    pub(super) fn name(self) -> String {
        format!("{self:?}").to_lowercase()
    }

    pub(super) fn named(name: &str) -> Self {
        *[Self::Ext4, Self::Xfs].iter().find(|one| one.name() == name).expect("a file system")
    }

    fn make(self, image: &Path) -> Result<(), String> {
        run(Command::new(format!("mkfs.{}", self.name())).arg("-q").arg(image))
    }

    /// ext4 commits its journal every 5 s by default, which on a slow machine hides missing syncs. Two copies of an xfs
    /// have the same UUID, and it refuses to mount the second without `nouuid`.
    fn options(self) -> &'static str {
        match self {
            Self::Ext4 => "loop,commit=60",
            Self::Xfs => "loop,nouuid",
        }
    }
}

/// The directory of the images. Unmounted on drop.
pub(super) struct Disks {
    file_system: FileSystem,
    images: PathBuf,
    // Dropped in this order.
    _outer: Mounted,
    _memory: Mounted,
    _directory: TempDir,
}

impl Disks {
    pub(super) fn new(file_system: FileSystem) -> Result<Self, String> {
        let directory = tempfile::tempdir().map_err(|error| error.to_string())?;
        let path = directory.path();
        let memory = Mounted::new(&["-t", "tmpfs", "-o", &format!("size={OUTER_BYTES}"), "none"], path.into())?;
        let (outer, images) = (path.join("outer"), path.join("images"));
        sparse(&outer, OUTER_BYTES)?;
        FileSystem::Xfs.make(&outer)?;
        std::fs::create_dir(&images).map_err(|error| error.to_string())?;
        let outer = Mounted::new(&["-o", FileSystem::Xfs.options(), text(&outer)], images.clone())?;
        let disks = Self { file_system, images, _outer: outer, _memory: memory, _directory: directory };
        sparse(&disks.template(), IMAGE_BYTES)?;
        file_system.make(&disks.template())?;
        Ok(disks)
    }

    /// A path for a file outside of the images.
    pub(super) fn place(&self, name: &str) -> PathBuf {
        self.images.join(name)
    }

    /// A new, empty image.
    pub(super) fn empty(&self, name: &str) -> Result<Image, String> {
        self.clone_of(&self.template(), name)
    }

    /// A copy of an image at this instant, whatever writes to it. Nothing of the mounted file system is synced before.
    pub(super) fn copy(&self, image: &Image, name: &str) -> Result<Image, String> {
        self.clone_of(&image.0, name)
    }

    pub(super) fn mount(&self, image: &Image) -> Result<Mounted, String> {
        let place = image.0.with_extension("mounted");
        std::fs::create_dir_all(&place).map_err(|error| error.to_string())?;
        Mounted::new(&["-o", self.file_system.options(), text(&image.0)], place)
    }

    /// Syncs the file system, as setting up a machine would.
    #[cfg(feature = "postgres")]
    pub(super) fn sync(&self, mounted: &Mounted) -> Result<(), String> {
        run(Command::new("sync").arg("--file-system").arg(&mounted.0))
    }

    fn clone_of(&self, image: &Path, name: &str) -> Result<Image, String> {
        let path = self.place(name);
        run(Command::new("cp").arg("--reflink=always").arg(image).arg(&path))?;
        Ok(Image(path))
    }

    fn template(&self) -> PathBuf {
        self.place("template")
    }
}

/// An image file, removed on drop.
pub(super) struct Image(PathBuf);

impl Image {
    /// Copies the image to a permanent place.
    pub(super) fn keep(&self, path: &Path) -> Result<(), String> {
        run(Command::new("cp").arg("--sparse=always").arg(&self.0).arg(path))
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // In the end the outer file system is removed as a whole.
        let _ = std::fs::remove_file(&self.0);
    }
}

/// A mounted file system, unmounted on drop.
pub(super) struct Mounted(PathBuf);

impl Mounted {
    fn new(words: &[&str], place: PathBuf) -> Result<Self, String> {
        run(Command::new("mount").args(words).arg(&place))?;
        Ok(Self(place))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let given_back = run(Command::new("umount").arg(&self.0));
        // A second panic would hide why the test failed. What is left is removed with the namespace.
        assert!(given_back.is_ok() || std::thread::panicking(), "{given_back:?}");
    }
}

pub(super) fn text(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

fn sparse(path: &Path, bytes: u64) -> Result<(), String> {
    let file = std::fs::File::create(path).map_err(|error| error.to_string())?;
    file.set_len(bytes).map_err(|error| error.to_string())
}

fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}
