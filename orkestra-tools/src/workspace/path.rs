//! Which paths a tool may use. Pure: it checks only the text, to give hints; the confinement itself is enforced by the
//! directory handle in `workspace/mod.rs`, which does not depend on this check.

use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use super::{WorkspaceError, name};
use crate::limits::PATH_BYTES_MAX;

/// Turns a model's path into a normalised relative path, `.` for the workspace itself.
pub(crate) fn relative(path: &str) -> Result<PathBuf, WorkspaceError> {
    relative_to(path, Path::new("/workspace"))
}

/// As [`relative`]; `top` is the absolute path of the workspace, for the hint about an absolute path inside it.
pub(super) fn relative_to(path: &str, top: &Path) -> Result<PathBuf, WorkspaceError> {
    let refuse = |reason: String| Err(refused(path, reason));
    if path.is_empty() {
        return refuse("it is empty; give a path relative to the workspace, such as `src/main.py`".to_owned());
    }
    if path.len() > PATH_BYTES_MAX {
        return refuse("it is longer than 4096 bytes; use a shorter path".to_owned());
    }
    let decoded = name::parse(path).map_err(|reason| refused(path, reason))?;
    if decoded.as_os_str().as_bytes().contains(&0) {
        return refuse("it contains a NUL character; remove it".to_owned());
    }
    if decoded.is_absolute() {
        let inside = [top, Path::new("/workspace")].iter().find_map(|top| decoded.strip_prefix(top).ok());
        let inside = inside.filter(|inside| inside.components().all(|one| matches!(one, Component::Normal(_))));
        return refuse(match inside {
            Some(inside) if inside.as_os_str().is_empty() => "it is absolute; write `.`".to_owned(),
            Some(inside) => {
                format!("it is absolute, and paths are relative to the workspace; write `{}`", shorten(&name::show(inside)))
            }
            None => "it is absolute, so its first component `/` leaves the workspace; give a path relative to the workspace, \
                     such as `src/main.py`"
                .to_owned(),
        });
    }
    let clean = without_dots(&decoded).map_err(|reason| refused(path, reason))?;
    Ok(if clean.as_os_str().is_empty() { PathBuf::from(".") } else { clean })
}

fn without_dots(decoded: &Path) -> Result<PathBuf, String> {
    let mut clean = PathBuf::new();
    let (mut number, mut has_parent) = (0, false);
    for component in decoded.components() {
        number += 1;
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir if clean.pop() => has_parent = true,
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => {
                return Err(format!(
                    "its component {number}, `..`, leaves the workspace; give a path from the top of the workspace"
                ));
            }
        }
    }
    if has_parent {
        // Through a symlink `a/..` is not the directory of `a`, so it is not resolved here.
        let shown = if clean.as_os_str().is_empty() { ".".to_owned() } else { shorten(&name::show(&clean)) };
        return Err(format!("`..` is not allowed; give the path from the top of the workspace: write `{shown}`"));
    }
    Ok(clean)
}

/// As [`relative_to`], for a file to write.
///
/// IMPORTANT: nothing in `.git` may be written. Its hooks and configuration are executed when somebody runs git on the host.
pub(super) fn writable(path: &str, top: &Path) -> Result<PathBuf, WorkspaceError> {
    let clean = relative_to(path, top)?;
    if clean == Path::new(".") || path.ends_with('/') {
        return Err(refused(path, "it names a directory; give the path of a file".to_owned()));
    }
    outside_git(&clean).map_err(|reason| refused(path, reason))?;
    Ok(clean)
}

/// Whether no component is `.git`; an error is the reason to refuse.
pub(super) fn outside_git(clean: &Path) -> Result<(), String> {
    let git = |component: Component<'_>| {
        component.as_os_str().to_string_lossy().trim_end_matches(['.', ' ']).eq_ignore_ascii_case(".git")
    };
    if clean.components().any(git) {
        return Err("files inside `.git` are not written directly; use git commands".to_owned());
    }
    Ok(())
}

pub(super) fn refused(path: &str, reason: String) -> WorkspaceError {
    WorkspaceError::Path { path: shown(path), reason }
}

/// A path that came from a model, for a message: escaped if it has to be, and shortened.
pub(crate) fn shown(path: &str) -> String {
    shorten(&escaped(path))
}

/// A path that came from a model in the form in which listings have it, so that programs can compare the two.
pub(crate) fn escaped(path: &str) -> String {
    match name::parse(path) {
        Ok(decoded) => name::show(&decoded),
        Err(_) => name::show(Path::new(path)),
    }
}

pub(super) fn shorten(path: &str) -> String {
    if path.chars().count() <= 120 {
        return path.to_owned();
    }
    path.chars().take(120).chain("…".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: Result<&str, &str>) {
        match (relative_to(path, Path::new("/data/run-1")), expected) {
            (Ok(clean), Ok(want)) => assert_eq!(clean, Path::new(want), "{path:?}"),
            (Err(error), Err(want)) => assert!(error.to_string().contains(want), "{path:?}: {error}"),
            (got, want) => panic!("{path:?}: got {got:?}, expected {want:?}"),
        }
    }

    #[test]
    fn only_relative_paths_without_parents_pass() {
        check("a/b.py", Ok("a/b.py"));
        check("./a//b.py", Ok("a/b.py"));
        check(".", Ok("."));
        check("./", Ok("."));
        check("", Err("empty"));
        check("..", Err("component 1, `..`, leaves the workspace"));
        check("a/../../b", Err("component 3, `..`, leaves the workspace"));
        check("a/../b", Err("write `b`"));
        check("a/..", Err("write `.`"));
        check("/etc/passwd", Err("its first component `/` leaves"));
        check("/workspace/app.py", Err("write `app.py`"));
        check("/workspace", Err("write `.`"));
        check("/workspaces/app.py", Err("leaves"));
        check("/data/run-1/src/app.py", Err("write `src/app.py`"));
        check("/data/run-1/../x", Err("leaves"));
        check("a\0b", Err("NUL"));
        check("\"a\\000b\"", Err("NUL"));
        check(&"x".repeat(5000), Err("4096"));
        check("\"a\\nb\"", Ok("a\nb"));
        check("\"../x\"", Err("leaves"));
        check("\"/etc/passwd\"", Err("leaves"));
        check("\"\\q\"", Err("unknown escape"));
    }

    #[test]
    fn errors_show_no_control_character() {
        for path in ["/a\x1b[2J", "../a\nb", "\"../\\033\""] {
            let error = relative(path).expect_err("refused").to_string();
            assert!(!error.chars().any(char::is_control), "{error:?}");
        }
    }

    #[test]
    fn git_internals_and_directories_are_not_writable() {
        let writable = |path: &str| writable(path, Path::new("/data"));
        for path in
            [".git/hooks/pre-commit", "sub/.git/config", ".GIT/config", ".git./config", ".git", "\".git/config\""]
        {
            assert!(writable(path).is_err(), "{path}");
        }
        for path in [".", "src/", "./"] {
            assert!(writable(path).is_err(), "{path}");
        }
        for path in [".gitignore", ".github/workflows/ci.yml", "git/config"] {
            assert!(writable(path).is_ok(), "{path}");
        }
    }
}
