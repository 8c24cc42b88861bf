//! Attempts to escape from the workspace.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use orkestra_tools::{Workspace, WorkspaceError, limits};
use tempfile::TempDir;

struct Place {
    root: TempDir,
    workspace: Workspace,
}

/// A workspace beside a directory `outside` with a file `secret`.
fn place() -> Place {
    let root = TempDir::new().expect("a temporary directory");
    fs::create_dir(root.path().join("outside")).expect("created");
    fs::write(root.path().join("outside/secret"), "secret").expect("written");
    let workspace = Workspace::open(&root.path().join("inside")).expect("opened");
    Place { root, workspace }
}

#[test]
fn paths_that_lead_out_are_refused_for_reading_and_writing() {
    let Place { root, workspace } = place();
    let absolute = root.path().join("outside/secret").display().to_string();
    for path in ["../outside/secret", "a/../../outside/secret", absolute.as_str(), "/etc/passwd", ""] {
        assert!(matches!(workspace.read(path), Err(WorkspaceError::Path { .. })), "{path}");
        assert!(matches!(workspace.write(path, b"x"), Err(WorkspaceError::Path { .. })), "{path}");
    }
    assert_eq!(fs::read_to_string(root.path().join("outside/secret")).expect("read"), "secret");
}

#[test]
fn symlinks_that_lead_out_are_refused_or_replaced_never_followed() {
    let Place { root, workspace } = place();
    let outside = root.path().join("outside");
    symlink(outside.join("secret"), workspace.path().join("file")).expect("linked");
    symlink("../outside/secret", workspace.path().join("relative")).expect("linked");
    symlink(&outside, workspace.path().join("dir")).expect("linked");
    for path in ["file", "relative", "dir/secret"] {
        let refused = workspace.read(path).expect_err(path);
        assert!(refused.is_for_model(), "{path}: {refused}");
    }
    workspace.write("file", b"mine").expect("the link is replaced by a file");
    assert_eq!(workspace.read("file").expect("read"), b"mine");
    workspace.write("dir/new", b"x").expect_err("a directory outside");
    assert_eq!(fs::read_to_string(outside.join("secret")).expect("read"), "secret");
    assert_eq!(fs::read_dir(&outside).expect("listed").count(), 1);
    let listed: Vec<String> = workspace.list().expect("listed").files.into_iter().map(|file| file.path).collect();
    assert_eq!(listed, ["file"]);
}

#[test]
fn symlinks_inside_are_followed_for_reading() {
    let Place { workspace, root: _root } = place();
    workspace.write("real/file", b"x").expect("written");
    symlink("real", workspace.path().join("link")).expect("linked");
    assert_eq!(workspace.read("link/file").expect("read"), b"x");
}

#[test]
fn a_directory_swapped_for_a_symlink_never_leaks() {
    let Place { root, workspace } = place();
    let (inside, outside) = (workspace.path().to_owned(), root.path().join("outside"));
    fs::create_dir(inside.join("dir")).expect("created");
    fs::write(inside.join("dir/secret"), "mine").expect("written");
    symlink(&outside, inside.join("evil")).expect("linked");
    let stop = Arc::new(AtomicBool::new(false));
    let swapping = std::thread::spawn({
        let stop = Arc::clone(&stop);
        move || {
            let exchange = rustix::fs::RenameFlags::EXCHANGE;
            let (dir, evil) = (inside.join("dir"), inside.join("evil"));
            while !stop.load(Ordering::Relaxed) {
                rustix::fs::renameat_with(rustix::fs::CWD, &dir, rustix::fs::CWD, &evil, exchange).expect("exchanged");
            }
        }
    });
    let (mut read, mut refused) = (0, 0);
    // Both states must occur, or nothing was tested; when each occurs is up to the scheduler.
    for number in 0..3_000_000_u32 {
        match workspace.read("dir/secret") {
            Ok(bytes) => {
                assert_ne!(bytes, b"secret");
                read += 1;
            }
            Err(_) => refused += 1,
        }
        let _ = workspace.write("dir/planted", &number.to_be_bytes());
        if number % 100 == 0 {
            let listing = workspace.list().expect("listed");
            assert!(listing.files.iter().all(|file| file.bytes < 6), "{listing:?}");
        }
        if read >= 1000 && refused >= 1000 {
            break;
        }
    }
    stop.store(true, Ordering::Relaxed);
    swapping.join().expect("the swapping thread ends");
    assert!(read >= 1000 && refused >= 1000, "{read} reads, {refused} refusals");
    assert!(!outside.join("planted").exists());
}

#[test]
fn non_regular_files_are_refused_without_blocking() {
    let Place { workspace, root: _root } = place();
    let fifo = workspace.path().join("fifo");
    let made = std::process::Command::new("mkfifo").arg(&fifo).arg(workspace.path().join(".gitignore")).status();
    assert!(made.expect("mkfifo runs").success());
    fs::create_dir(workspace.path().join("dir")).expect("created");
    symlink("/dev/zero", workspace.path().join("zero")).expect("linked");
    assert!(matches!(workspace.read("fifo"), Err(WorkspaceError::NotAFile(_))));
    assert!(matches!(workspace.read("dir"), Err(WorkspaceError::NotAFile(_))));
    workspace.read("zero").expect_err("a device outside");
    assert!(matches!(workspace.write("dir", b""), Err(WorkspaceError::NotAFile(_))));
    assert_eq!(workspace.list().expect("a FIFO as .gitignore does not hang it").files, []);
}

#[test]
fn sizes_are_capped() {
    let Place { workspace, root: _root } = place();
    let over = usize::try_from(limits::WRITE_BYTES_MAX).expect("fits") + 1;
    let refused = workspace.write("big", &vec![0; over]).expect_err("too large");
    assert!(matches!(refused, WorkspaceError::TooLarge { .. }), "{refused}");
    assert!(!workspace.path().join("big").exists());
    // A sparse file: only its size matters.
    let huge = fs::File::create(workspace.path().join("huge")).expect("created");
    huge.set_len(limits::READ_BYTES_MAX + 1).expect("sized");
    assert!(matches!(workspace.read("huge"), Err(WorkspaceError::TooLarge { .. })));
}

#[test]
fn a_write_is_atomic_keeps_the_mode_and_leaves_no_temporary_file() {
    let Place { workspace, root: _root } = place();
    workspace.write("bin/run.sh", b"one").expect("written");
    let path = workspace.path().join("bin/run.sh");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o4755)).expect("set");
    assert_eq!(workspace.write("bin/run.sh", b"three").expect("written"), 5);
    assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o7777, 0o755);
    let names: Vec<_> = fs::read_dir(path.parent().expect("has one")).expect("listed").flatten().collect();
    assert_eq!(names.len(), 1);
}

#[test]
fn git_internals_are_not_written() {
    let Place { workspace, root: _root } = place();
    let refused = workspace.write(".git/hooks/pre-commit", b"#!/bin/sh").expect_err("refused");
    assert!(refused.to_string().contains("git commands"), "{refused}");
}

#[test]
fn gitignore_is_honoured_at_every_level() {
    let Place { workspace, root: _root } = place();
    for path in
        ["a.py", "a.log", "keep.log", "build/out", "src/b.py", "src/b.tmp", "src/deep/c.log", "node_modules/x/y.js"]
    {
        workspace.write(path, b"x").expect("written");
    }
    workspace.write(".gitignore", b"*.log\n!keep.log\n/build/\n").expect("written");
    workspace.write("src/.gitignore", b"*.tmp\n!deep/c.log\n").expect("written");
    let listed: Vec<String> = workspace.list().expect("listed").files.into_iter().map(|file| file.path).collect();
    assert_eq!(listed, [".gitignore", "a.py", "keep.log", "src/.gitignore", "src/b.py", "src/deep/c.log"]);
}

#[test]
fn a_listing_is_capped_in_number_and_depth() {
    let Place { workspace, root: _root } = place();
    for number in 0..limits::LIST_FILES_MAX + 1 {
        fs::write(workspace.path().join(format!("{number}")), "").expect("written");
    }
    let listing = workspace.list().expect("listed");
    assert_eq!((listing.files.len(), listing.truncated), (limits::LIST_FILES_MAX, true));

    let Place { workspace, root: _root } = place();
    let deep = vec!["d"; limits::LIST_DEPTH_MAX + 5].join("/");
    fs::create_dir_all(workspace.path().join(&deep)).expect("created");
    fs::write(workspace.path().join(&deep).join("file"), "").expect("written");
    let listing = workspace.list().expect("listed");
    assert_eq!((listing.files.len(), listing.truncated), (0, true));
}
