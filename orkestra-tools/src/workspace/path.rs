//! Which paths a tool may use. Pure: it checks only the text, to give hints; the confinement itself is enforced by the
//! directory handle in `workspace/mod.rs`, which does not depend on this check.

use std::path::{Component, Path, PathBuf};

use super::WorkspaceError;
use crate::limits::PATH_BYTES_MAX;

/// Turns a model's path into a normalised relative path, `.` for the workspace itself.
pub(crate) fn relative(path: &str) -> Result<PathBuf, WorkspaceError> {
    let refuse = |reason: &str| Err(WorkspaceError::Path { path: shorten(path), reason: reason.to_owned() });
    if path.is_empty() {
        return refuse("it is empty; give a path relative to the workspace, such as `src/main.py`");
    }
    if path.len() > PATH_BYTES_MAX {
        return refuse("it is longer than 4096 bytes; use a shorter path");
    }
    if path.contains('\0') {
        return refuse("it contains a NUL character; remove it");
    }
    if let Some(inside) = path.strip_prefix("/workspace/") {
        return refuse(&format!("paths are relative to the workspace; write `{}`", shorten(inside)));
    }
    let mut clean = PathBuf::new();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            Component::ParentDir => return refuse("`..` is not allowed; give the path from the top of the workspace"),
            Component::RootDir | Component::Prefix(_) => {
                return refuse(
                    "absolute paths are not allowed; give a path relative to the workspace, such as `src/main.py`",
                );
            }
        }
    }
    if clean.as_os_str().is_empty() {
        clean.push(".");
    }
    Ok(clean)
}

/// As [`relative`], for a file to write.
///
/// IMPORTANT: nothing in `.git` may be written. Its hooks and configuration are executed when somebody runs git on the host.
pub(crate) fn writable(path: &str) -> Result<PathBuf, WorkspaceError> {
    let clean = relative(path)?;
    let refuse = |reason: &str| Err(WorkspaceError::Path { path: shorten(path), reason: reason.to_owned() });
    if clean == Path::new(".") || path.ends_with('/') {
        return refuse("it names a directory; give the path of a file");
    }
    let git = |component: Component<'_>| {
        component.as_os_str().to_string_lossy().trim_end_matches(['.', ' ']).eq_ignore_ascii_case(".git")
    };
    if clean.components().any(git) {
        return refuse("files inside `.git` are not written directly; use git commands");
    }
    Ok(clean)
}

fn shorten(path: &str) -> String {
    if path.chars().count() <= 120 {
        return path.to_owned();
    }
    path.chars().take(120).chain("…".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(path: &str, expected: Result<&str, &str>) {
        match (relative(path), expected) {
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
        check("..", Err("`..`"));
        check("a/../../b", Err("`..`"));
        check("a/../b", Err("`..`"));
        check("/etc/passwd", Err("absolute"));
        check("/workspace/app.py", Err("write `app.py`"));
        check("a\0b", Err("NUL"));
        check(&"x".repeat(5000), Err("4096"));
    }

    #[test]
    fn git_internals_and_directories_are_not_writable() {
        for path in [".git/hooks/pre-commit", "sub/.git/config", ".GIT/config", ".git./config", ".git"] {
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
