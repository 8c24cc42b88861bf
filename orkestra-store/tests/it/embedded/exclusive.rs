//! One process at a time, and who may use a directory.

use std::path::Path;

use orkestra_core::store::StoreErrorKind;

use crate::support::backend::{BACKENDS, Backend};
use crate::support::child::{ChildPart, command};

fn refused(backend: Backend, path: &Path) -> (StoreErrorKind, String) {
    match backend.open(path) {
        Ok(_) => panic!("{} should not open", path.display()),
        Err(error) => (error.kind(), error.to_string()),
    }
}

#[test]
fn a_second_process_gets_an_error_that_names_the_first() {
    for &backend in BACKENDS {
        let directory = tempfile::tempdir().expect("a directory for a test");
        let path = directory.path().to_str().expect("a plain path");
        let mut holder = ChildPart::start(command(&[], "hold", &[&backend.name(), path]));
        assert_eq!(holder.next().as_deref(), Some("opened"));
        let (kind, message) = refused(backend, directory.path());
        assert_eq!(kind, StoreErrorKind::Busy);
        let wanted = format!("cannot open the store in {path}: it is open in process {} (`it-", holder.child.id());
        assert!(message.starts_with(&wanted), "{message}");
        drop(holder.child.stdin.take());
        assert_eq!(holder.next(), None);
        assert!(holder.child.wait().expect("it has ended").success());
        let store = backend.open(directory.path()).expect("it is free again");
        assert!(!store.report().after_crash, "the previous owner closed it");
    }
}

#[test]
fn a_killed_owner_leaves_no_lock() {
    for &backend in BACKENDS {
        let directory = tempfile::tempdir().expect("a directory for a test");
        let mut holder = ChildPart::start(command(
            &[],
            "hold",
            &[&backend.name(), directory.path().to_str().expect("a plain path")],
        ));
        assert_eq!(holder.next().as_deref(), Some("opened"));
        holder.kill();
        holder.child.wait().expect("it has ended");
        let store = backend.open(directory.path()).expect("it is free again");
        assert!(store.report().after_crash);
    }
}

#[test]
fn a_process_can_open_a_store_only_once() {
    for &backend in BACKENDS {
        let directory = tempfile::tempdir().expect("a directory for a test");
        let store = backend.open(directory.path()).expect("the store opens");
        let (kind, message) = refused(backend, directory.path());
        assert_eq!(kind, StoreErrorKind::Busy);
        assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
        let clone = store.clone();
        drop(store);
        assert_eq!(refused(backend, directory.path()).0, StoreErrorKind::Busy, "a clone keeps it open");
        drop(clone);
        backend.open(directory.path()).expect("it is free again");
    }
}

#[test]
fn a_file_instead_of_a_directory_is_refused() {
    for &backend in BACKENDS {
        let directory = tempfile::tempdir().expect("a directory for a test");
        let path = directory.path().join("file");
        std::fs::write(&path, "text").expect("a file");
        let (kind, message) = refused(backend, &path);
        assert_eq!(
            (kind, message),
            (
                StoreErrorKind::Invalid,
                format!("cannot open a store in {}: it is a file; use a directory", path.display())
            )
        );
        let (kind, message) = refused(backend, &path.join("below"));
        assert_eq!(kind, StoreErrorKind::Io, "{message}");
        assert_eq!(std::fs::read(&path).expect("it is there"), b"text");
    }
}

#[test]
fn a_store_is_created_in_an_empty_or_missing_directory() {
    for &backend in BACKENDS {
        let directory = tempfile::tempdir().expect("a directory for a test");
        let deep = directory.path().join("a/b/c");
        for path in [directory.path(), &deep] {
            assert!(backend.open(path).expect("it opens").report().created);
            assert!(!backend.open(path).expect("it opens again").report().created);
        }
    }
}

/// Runs the part `open` as a user without rights, because root can open everything.
#[cfg(target_os = "linux")]
fn open_as_nobody(backend: Backend, path: &Path) -> Option<String> {
    use crate::support::child::{have, run};

    const NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    // The owner of a process owns its entry in `/proc`.
    let root = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata("/proc/self").expect("this is Linux")) == 0;
    if root && !have("setpriv") {
        return None;
    }
    let before: &[&str] = if root { &NOBODY } else { &[] };
    run(command(before, "open", &[&backend.name(), path.to_str().expect("a plain path")])).pop()
}

#[cfg(target_os = "linux")]
#[test]
fn a_read_only_directory_is_refused() {
    use std::os::unix::fs::PermissionsExt;

    let directory = tempfile::tempdir().expect("a directory for a test");
    let backend = BACKENDS[0];
    let allow = |mode| std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(mode));
    allow(0o555).expect("it can be closed to others");
    let message = open_as_nobody(backend, directory.path());
    let below = open_as_nobody(backend, &directory.path().join("new"));
    allow(0o755).expect("it can be opened to its owner");
    let (Some(message), Some(below)) = (message, below) else { return };
    assert!(message.starts_with("Io: cannot lock ") && message.contains("read and write access"), "{message}");
    assert!(
        below.starts_with("Io: cannot create the directory ") && below.contains("read and write access"),
        "{below}"
    );
    assert_eq!(std::fs::read_dir(directory.path()).expect("it is there").count(), 0, "nothing was left there");
}
