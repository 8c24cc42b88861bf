//! Turns an error of the operating system about a model's path into one that says which component is wrong and what to do.
//!
//! Everything that a command can leave in a workspace (loops of symlinks, sockets, unreadable directories, …) must answer the
//! model. Only the errors in [`HOST_FAULTS`] are for the operator.

use std::io;
use std::path::{Component, Path, PathBuf};

use cap_std::fs::Dir;
use rustix::io::Errno;

use super::path::{refused, shorten, shown};
use super::{WorkspaceError, name};

/// Errors that no other path would avoid: the disk, or a limit of this process.
const HOST_FAULTS: [Errno; 8] =
    [Errno::IO, Errno::NOSPC, Errno::DQUOT, Errno::ROFS, Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::STALE];

/// What opening something that is not a file answers: a socket, a device without a driver.
const NOT_A_FILE: [Errno; 4] = [Errno::NXIO, Errno::NODEV, Errno::OPNOTSUPP, Errno::ISDIR];

/// Whether the error is one of the host, not one of the path.
pub(super) fn is_host_fault(error: &io::Error) -> bool {
    match errno(error) {
        Some(errno) => HOST_FAULTS.contains(&errno),
        None => !matches!(
            error.kind(),
            io::ErrorKind::PermissionDenied | io::ErrorKind::InvalidInput | io::ErrorKind::NotFound
        ),
    }
}

fn errno(error: &io::Error) -> Option<Errno> {
    error.raw_os_error().map(Errno::from_raw_os_error)
}

/// Whether the error is cap-std's for a component that leads outside.
fn is_escape(error: &io::Error) -> bool {
    match errno(error) {
        Some(errno) => errno == Errno::XDEV,
        None => error.kind() == io::ErrorKind::PermissionDenied,
    }
}

/// The error about `path`, whose normalised form is `clean`.
pub(super) fn diagnose(dir: &Dir, path: &str, clean: &Path, source: io::Error) -> WorkspaceError {
    if is_host_fault(&source) {
        return WorkspaceError::Io { path: shown(path), source };
    }
    if source.kind() == io::ErrorKind::NotFound {
        return match culprit(dir, clean, |dir, prefix| dir.metadata(prefix).is_err()) {
            Some(Culprit { text, target: Some(target), .. }) => refused(
                path,
                format!(
                    "{text} is a symbolic link to `{target}`, which does not exist; create the target or remove the link"
                ),
            ),
            _ => WorkspaceError::NotFound(shown(path)),
        };
    }
    if errno(&source).is_some_and(|errno| NOT_A_FILE.contains(&errno)) {
        return WorkspaceError::NotAFile(shown(path));
    }
    refused(path, reason(dir, clean, &source))
}

fn reason(dir: &Dir, clean: &Path, source: &io::Error) -> String {
    let fails = |dir: &Dir, prefix: &Path| dir.metadata(prefix).is_err();
    if is_escape(source) {
        let escapes = |dir: &Dir, prefix: &Path| dir.metadata(prefix).is_err_and(|error| is_escape(&error));
        return match culprit(dir, clean, escapes) {
            Some(Culprit { text, target: Some(target), .. }) => format!(
                "{text} is a symbolic link to `{target}`, which leaves the workspace; give a path that does not go through it"
            ),
            Some(Culprit { text, .. }) => format!("{text} leaves the workspace; give another path"),
            None => "it leaves the workspace; give another path".to_owned(),
        };
    }
    match errno(source) {
        Some(Errno::LOOP) => match culprit(dir, clean, fails) {
            Some(Culprit { text, target: Some(target), .. }) => format!(
                "{text} is a symbolic link to `{target}` in a loop of links; remove it with run_command, or give another path"
            ),
            _ => "it goes through a loop of symbolic links; give another path".to_owned(),
        },
        Some(Errno::NOTDIR | Errno::EXIST) => {
            let is_no_directory =
                |dir: &Dir, prefix: &Path| dir.metadata(prefix).is_ok_and(|metadata| !metadata.is_dir());
            match culprit(dir, clean, is_no_directory) {
                Some(Culprit { text, .. }) => {
                    format!("{text} is not a directory; give another path, or move that file")
                }
                None => format!("{source}; give another path"),
            }
        }
        Some(Errno::ACCESS | Errno::PERM) => {
            let at = culprit(dir, clean, fails)
                .map_or_else(String::new, |culprit| format!(" below the directory of {}", culprit.text));
            format!("permission denied{at}; change the mode with run_command and chmod, or give another path")
        }
        Some(Errno::NAMETOOLONG) => "one of its names is longer than 255 bytes; use a shorter name".to_owned(),
        _ => format!("{source}; give another path"),
    }
}

struct Culprit {
    /// "its component 2, `dir`,", or "`dir`" when the path has only one.
    text: String,
    /// Where it points, if it is a symlink.
    target: Option<String>,
}

/// The first component for which `is_wrong` holds. Read after the fact: if the tree changed meanwhile, there may be none.
fn culprit(dir: &Dir, clean: &Path, is_wrong: impl Fn(&Dir, &Path) -> bool) -> Option<Culprit> {
    let mut prefix = PathBuf::new();
    let count = clean.components().count();
    for (index, component) in clean.components().enumerate() {
        let Component::Normal(one) = component else { continue };
        prefix.push(one);
        if !is_wrong(dir, &prefix) {
            continue;
        }
        let shown = shorten(&name::show(Path::new(one)));
        let text = if count == 1 { format!("`{shown}`") } else { format!("its component {}, `{shown}`,", index + 1) };
        let target = dir.read_link_contents(&prefix).ok().map(|target| shorten(&name::show(&target)));
        return Some(Culprit { text, target });
    }
    None
}
