//! Who owns the files of a workspace. When this process is root and the workspace belongs to another user, whose commands work
//! in it, what the process writes belongs to that user too.
//!
//! It must never follow a symlink, and never give away a file that has a second name, which may be outside.

use std::io;
use std::path::Path;

use cap_std::fs::{Dir, File, MetadataExt as _};
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid, chmodat, chownat, fchmod, fchown, fstat, openat};
use rustix::io::Errno;

use crate::limits::LIST_DEPTH_MAX;

/// A user and a group.
pub(crate) type Owner = (u32, u32);

/// The user that what we write in the directory is given to; `None` when it is ours anyway, or when we may not give files away.
pub(super) fn heir(dir: &Dir) -> Option<Owner> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let metadata = dir.dir_metadata().ok()?;
    Some((metadata.uid(), metadata.gid())).filter(|(uid, _)| *uid != 0)
}

/// Gives a new file away.
pub(super) fn give_file(file: &File, heir: Option<Owner>) -> io::Result<()> {
    let Some((uid, gid)) = heir else { return Ok(()) };
    Ok(fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))?)
}

/// Gives the directory and everything in it away that belongs to root: directories, symlinks (not where they lead), and files
/// with one name.
pub(super) fn give_all(dir: &Dir, heir: Owner) -> io::Result<()> {
    give_below(dir, heir, 0)?;
    // The directory itself comes last: until then nobody else can work in it.
    give(dir, Path::new(""), Some(heir))
}

fn give_below(dir: &Dir, heir: Owner, depth: usize) -> io::Result<()> {
    if depth > LIST_DEPTH_MAX {
        return Ok(());
    }
    for entry in dir.entries()? {
        let entry = entry?;
        let name = entry.file_name();
        let metadata = match dir.symlink_metadata(&name) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if metadata.is_dir() {
            give_below(&dir.open_dir(&name)?, heir, depth + 1)?;
        }
        let has_one_name = metadata.is_dir() || metadata.nlink() == 1;
        if metadata.uid() == 0 && has_one_name {
            give(dir, Path::new(&name), Some(heir))?;
        }
    }
    Ok(())
}

/// Takes set-user-id and set-group-id from every regular file that has one name. A file with more may be somebody else's.
pub(super) fn reset_modes(dir: &Dir) -> io::Result<()> {
    reset_below(dir, 0)
}

fn reset_below(dir: &Dir, depth: usize) -> io::Result<()> {
    if depth > LIST_DEPTH_MAX {
        return Ok(());
    }
    for entry in dir.entries()? {
        let name = entry?.file_name();
        let metadata = match dir.symlink_metadata(&name) {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        if metadata.is_dir() {
            reset_below(&dir.open_dir(&name)?, depth + 1)?;
        } else if metadata.is_file() && metadata.mode() & SET_ID != 0 && metadata.nlink() == 1 {
            reset(dir, Path::new(&name))?;
        }
    }
    Ok(())
}

const SET_ID: u32 = 0o6000;

fn reset(dir: &Dir, name: &Path) -> io::Result<()> {
    // Without waiting and without following: it may be something else by now.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::RDONLY | OFlags::CLOEXEC;
    let file = match openat(dir, name, flags, Mode::empty()) {
        // Its owner may have no right to read it. What it was is known; a race can only take bits from another file of the
        // workspace.
        Err(Errno::ACCESS) => return Ok(chmodat(dir, name, Mode::empty(), AtFlags::SYMLINK_NOFOLLOW)?),
        file => file?,
    };
    let metadata = fstat(&file)?;
    if FileType::from_raw_mode(metadata.st_mode) == FileType::RegularFile && metadata.st_nlink == 1 {
        fchmod(&file, Mode::from_raw_mode(metadata.st_mode & 0o777))?;
    }
    Ok(())
}

/// An empty name is the directory itself.
pub(super) fn give(dir: &Dir, name: &Path, heir: Option<Owner>) -> io::Result<()> {
    let Some((uid, gid)) = heir else { return Ok(()) };
    let flags = if name.as_os_str().is_empty() { AtFlags::EMPTY_PATH } else { AtFlags::SYMLINK_NOFOLLOW };
    Ok(chownat(dir, name, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)), flags)?)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};
    use std::path::PathBuf;

    use cap_std::ambient_authority;

    use super::super::Workspace;
    use super::*;

    #[test]
    fn set_user_id_is_taken_from_files_and_from_nothing_outside() {
        use std::os::unix::fs::PermissionsExt as _;
        let root = tempfile::tempdir().expect("a directory");
        let (outside, inside) = (root.path().join("outside"), root.path().join("inside"));
        std::fs::create_dir_all(inside.join("a/b")).expect("made");
        std::fs::create_dir(&outside).expect("made");
        let make = |path: PathBuf, mode: u32| {
            std::fs::write(&path, "x").expect("written");
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("set");
        };
        make(inside.join("a/b/program"), 0o6755);
        make(inside.join("a/unreadable"), 0o4000);
        make(outside.join("theirs"), 0o4755);
        std::fs::hard_link(outside.join("theirs"), inside.join("second-name")).expect("linked");
        symlink(&outside, inside.join("link")).expect("linked");
        symlink(outside.join("theirs"), inside.join("link-to-file")).expect("linked");
        Workspace::open(&inside).expect("opened").reset_modes().expect("reset");
        let mode = |path: PathBuf| std::fs::metadata(path).expect("there").mode() & 0o7777;
        assert_eq!(mode(inside.join("a/b/program")), 0o755);
        assert_eq!(mode(inside.join("a/unreadable")), 0);
        assert_eq!(mode(outside.join("theirs")), 0o4755);
    }

    #[test]
    fn root_gives_its_workspace_away_and_nothing_outside_of_it() {
        if !rustix::process::geteuid().is_root() {
            eprintln!("\n==== SKIPPED, only root can give files away ====\n");
            return;
        }
        let root = tempfile::tempdir().expect("a directory");
        let (outside, inside) = (root.path().join("outside"), root.path().join("inside"));
        std::fs::create_dir_all(inside.join("a/b")).expect("made");
        std::fs::create_dir(&outside).expect("made");
        std::fs::write(outside.join("secret"), "x").expect("written");
        std::fs::write(inside.join("a/b/file"), "x").expect("written");
        std::fs::hard_link(outside.join("secret"), inside.join("second-name")).expect("linked");
        symlink(&outside, inside.join("a/link")).expect("linked");
        let dir = Dir::open_ambient_dir(&inside, ambient_authority()).expect("opened");
        assert_eq!(heir(&dir), None, "root's own workspace");
        give_all(&dir, (4321, 4322)).expect("given");
        let owner = |path: PathBuf| std::fs::symlink_metadata(path).map(|metadata| metadata.uid()).expect("there");
        for mine in ["", "a", "a/b", "a/b/file", "a/link"] {
            assert_eq!(owner(inside.join(mine)), 4321, "{mine}");
        }
        for theirs in ["", "secret"] {
            assert_eq!(owner(outside.join(theirs)), 0, "{theirs}");
        }
        assert_eq!(heir(&dir), Some((4321, 4322)));
        let workspace = Workspace::open(&inside).expect("opened");
        workspace.write("a/new/er/file", b"x").expect("written");
        workspace.write("a/new/er/file", b"y").expect("written again");
        workspace.write("a/link/x", b"x").expect_err("leads out");
        for new in ["a/new", "a/new/er", "a/new/er/file"] {
            assert_eq!(owner(inside.join(new)), 4321, "{new}");
        }
    }
}
