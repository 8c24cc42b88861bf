//! What is read of a workspace, and what is copied for the hidden tests.

use std::fs;
use std::os::unix::fs::symlink;

use super::planted::is_planted;
use super::*;

#[test]
fn links_special_files_and_packages_are_not_delivered() {
    let root = tempfile::tempdir().expect("a directory");
    let outside = tempfile::tempdir().expect("a directory");
    fs::write(outside.path().join("secret"), "s").expect("written");
    let at = |path: &str| root.path().join(path);
    for directory in ["src", "node_modules/react", ".git/hooks", "env/bin", "src/__pycache__"] {
        fs::create_dir_all(at(directory)).expect("made");
    }
    for file in [
        "main.py",
        "src/a.py",
        "node_modules/react/index.js",
        ".git/hooks/pre-commit",
        "env/pyvenv.cfg",
        "env/bin/python",
        "src/__pycache__/a.pyc",
    ] {
        fs::write(at(file), file).expect("written");
    }
    symlink(outside.path().join("secret"), at("link")).expect("linked");
    symlink(outside.path(), at("directory")).expect("linked");
    rustix::fs::mkfifoat(rustix::fs::CWD, at("pipe"), rustix::fs::Mode::RWXU).expect("made");
    let large = fs::File::create(at("large")).expect("made");
    large.set_len(crate::limits::DELIVERY_FILE_BYTES_MAX + 1).expect("grown");

    let delivery = Delivery::read(root.path()).expect("readable");
    let paths: Vec<&str> = delivery.files().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["main.py", "src/a.py"]);
    let mut left_out = delivery.left_out().to_vec();
    left_out.sort();
    let begins: Vec<&str> = left_out.iter().filter_map(|text| text.split(':').next()).collect();
    assert_eq!(begins, ["directory", "large", "link", "pipe"]);
    assert_eq!(Delivery::read(&root.path().join("missing")).expect("empty"), Delivery::default());
}

#[test]
fn a_file_that_is_swapped_while_it_is_read_neither_blocks_nor_leads_outside() {
    use std::sync::atomic::{AtomicBool, Ordering};

    use rustix::fs::{CWD, RenameFlags, renameat_with};

    let (root, outside) = (tempfile::tempdir().expect("a directory"), tempfile::tempdir().expect("a directory"));
    fs::write(outside.path().join("a"), "secret").expect("written");
    for name in ["a", "b", "c"] {
        fs::create_dir(root.path().join(name)).expect("made");
        fs::write(root.path().join(name).join("a"), "mine").expect("written");
    }
    let elsewhere = tempfile::tempdir().expect("a directory");
    let other = |name: &str| elsewhere.path().join(name);
    symlink(outside.path().join("a"), other("link")).expect("linked");
    symlink(outside.path(), other("directory")).expect("linked");
    rustix::fs::mkfifoat(CWD, other("pipe"), rustix::fs::Mode::RWXU).expect("made");
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                for (name, other_name) in [("a/a", "link"), ("b/a", "pipe"), ("c", "directory")] {
                    for _ in 0..2 {
                        renameat_with(CWD, root.path().join(name), CWD, other(other_name), RenameFlags::EXCHANGE)
                            .expect("swapped");
                    }
                }
            }
        });
        let read: Vec<Delivery> = (0..2000).map(|_| Delivery::read(root.path()).expect("readable")).collect();
        done.store(true, Ordering::Relaxed);
        let strange = read.iter().flat_map(Delivery::files).find(|file| file.content != b"mine");
        assert!(strange.is_none(), "{strange:?}");
    });
}

#[test]
fn what_could_be_planted_for_a_grader_is_not_copied() {
    for path in [
        "conftest.py",
        "tests/conftest.py",
        "sitecustomize.py",
        "lib/UserCustomize.py",
        "x.pth",
        "junit.xml",
        "out/test-report.xml",
        "grader.py",
        "pytest.ini",
    ] {
        assert!(is_planted(path), "{path}");
    }
    for path in ["main.py", "tests/test_main.py", "data.xml", "package.json", "tsconfig.json", "report.py", "path.py"] {
        assert!(!is_planted(path), "{path}");
    }
    let root = tempfile::tempdir().expect("a directory");
    let delivery = Delivery::of([File::new("a/b.py", "x"), File::new("conftest.py", "y")]);
    delivery.write_copy(root.path()).expect("written");
    assert!(root.path().join("a/b.py").is_file() && !root.path().join("conftest.py").exists());
}

#[test]
fn a_file_is_not_written_outside_its_directory() {
    let root = tempfile::tempdir().expect("a directory");
    for path in ["../x", "/x", "a/../../x", ""] {
        let written = write(root.path(), &File::new(path, "x"));
        assert!(written.is_err() || path.is_empty(), "{path}");
    }
}
