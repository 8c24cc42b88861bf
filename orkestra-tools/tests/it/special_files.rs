//! What a command can leave in a workspace: each tool answers the model about each of them, and none ends the attempt.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;

use rustix::thread::{CapabilitySet, CapabilitySets, set_capabilities};
use serde_json::{Value, json};

use crate::tools::Agent;

/// Fills a workspace with everything that is not an ordinary file.
fn fill(root: &Path) {
    fs::create_dir(root.join("dir")).expect("created");
    fs::write(root.join("file"), "needle\n").expect("written");
    symlink("loop-b", root.join("loop-a")).expect("linked");
    symlink("loop-a", root.join("loop-b")).expect("linked");
    symlink("self", root.join("self")).expect("linked");
    symlink("nowhere", root.join("dangling")).expect("linked");
    symlink("/etc/passwd", root.join("outside")).expect("linked");
    symlink("/dev/zero", root.join("zero")).expect("linked");
    symlink("/proc/self/root", root.join("magic")).expect("linked");
    symlink("..", root.join("up")).expect("linked");
    drop(UnixListener::bind(root.join("socket")).expect("bound"));
    let made = std::process::Command::new("mkfifo").arg(root.join("fifo")).status();
    assert!(made.expect("mkfifo runs").success());
    fs::write(root.join("setuid"), "needle\n").expect("written");
    fs::set_permissions(root.join("setuid"), fs::Permissions::from_mode(0o6755)).expect("set");
    fs::create_dir(root.join("locked")).expect("created");
    fs::write(root.join("locked/file"), "needle\n").expect("written");
    fs::set_permissions(root.join("locked"), fs::Permissions::from_mode(0o000)).expect("set");
    fs::write(root.join("unreadable"), "needle\n").expect("written");
    fs::set_permissions(root.join("unreadable"), fs::Permissions::from_mode(0o000)).expect("set");
}

/// Runs in a thread without capabilities, so that root too is refused what it may not read.
fn as_ordinary_user<F: Future<Output = ()>>(work: impl FnOnce() -> F + Send) {
    std::thread::scope(|scope| {
        let run = || {
            let none = CapabilitySet::empty();
            set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })
                .expect("dropped");
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(work());
        };
        scope.spawn(run).join().expect("the thread ends well");
    });
}

/// The calls of all tools that take the path of a file.
fn calls(path: &str) -> [(&'static str, Value); 5] {
    let patch = format!("*** Begin Patch\n*** Update File: {path}\n@@\n-needle\n+x\n*** End Patch");
    [
        ("read_file", json!({"path": path})),
        ("edit_file", json!({"path": path, "search": "needle", "replace": "x"})),
        ("apply_patch", json!({"patch": patch})),
        ("grep", json!({"pattern": "needle", "path": path})),
        ("glob", json!({"pattern": "*", "path": path})),
    ]
}

#[test]
fn every_tool_answers_about_every_kind_of_file() {
    let table = [
        ("loop-a", "loop of links"),
        ("loop-a/x", "component 1, `loop-a`, is a symbolic link to `loop-b` in a loop of links"),
        ("self", "loop of links"),
        ("dangling", "`dangling` is a symbolic link to `nowhere`, which does not exist"),
        ("outside", "`outside` is a symbolic link to `/etc/passwd`, which leaves the workspace"),
        ("zero", "leaves the workspace"),
        ("magic/etc/passwd", "component 1, `magic`,"),
        ("up/x", "component 1, `up`, is a symbolic link to `..`, which leaves the workspace"),
        ("dir/../../x", "component 3, `..`, leaves the workspace"),
        ("socket", "a FIFO or a socket"),
        ("socket/x", "component 1, `socket`, is not a directory"),
        ("fifo", "a FIFO or a socket"),
        ("file/x", "component 1, `file`, is not a directory"),
        ("missing", "there is no file `missing`"),
        ("locked/file", "permission denied"),
        ("unreadable", "permission denied"),
    ];
    as_ordinary_user(|| async {
        let agent = Agent::new().await;
        fill(agent.scope.workspace().path());
        for (path, expected) in table {
            for (tool, arguments) in calls(path) {
                match agent.call(tool, arguments).await {
                    Ok(output) if path == "unreadable" && tool == "grep" => {
                        assert!(output.text.contains("1 files could not be read"), "{}", output.text);
                    }
                    Ok(output) if path == "unreadable" && tool == "glob" => assert_eq!(output.text, "unreadable (7)"),
                    Ok(output) => panic!("{tool} {path}: {output:?}"),
                    Err(error) => {
                        let text = error.to_string();
                        assert!(error.is_for_model() && text.contains(expected), "{tool} {path}: {text}");
                        assert!(!text.contains("os error") && !text.contains('\x1b'), "{tool} {path}: {text}");
                    }
                }
            }
        }
        fs::set_permissions(agent.scope.workspace().path().join("locked"), fs::Permissions::from_mode(0o755))
            .expect("set");
    });
}

#[test]
fn listing_and_searching_a_workspace_of_special_files_finds_the_ordinary_ones() {
    as_ordinary_user(|| async {
        let agent = Agent::new().await;
        let root = agent.scope.workspace().path().to_owned();
        fill(&root);
        let locked = "[1 directories cannot be read, such as locked]";
        let listed = agent.text("list_files", json!({})).await;
        assert_eq!(listed, format!("file (7)\nsetuid (7)\nunreadable (7)\n{locked}"));
        let found = agent.text("grep", json!({"pattern": "needle"})).await;
        assert_eq!(
            found,
            format!("file:1:needle\nsetuid:1:needle\n{locked}\n[1 files could not be read, such as unreadable]")
        );
        let found = agent.text("glob", json!({"pattern": "*", "sort": "name"})).await;
        assert_eq!(found, format!("file (7)\nsetuid (7)\nunreadable (7)\n{locked}"));
        // The workspace itself.
        fs::set_permissions(&root, fs::Permissions::from_mode(0o000)).expect("set");
        for (tool, arguments) in
            [("list_files", json!({})), ("grep", json!({"pattern": "x"})), ("glob", json!({"pattern": "*"}))]
        {
            let refused = agent.refusal(tool, arguments).await;
            assert!(refused.contains("permission denied"), "{tool}: {refused}");
        }
        let refused = agent.refusal("write_file", json!({"path": "new", "content": ""})).await;
        assert!(refused.contains("permission denied"), "{refused}");
        for path in [&root, &root.join("locked")] {
            fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("set");
        }
    });
}

#[test]
fn writing_over_special_files_is_refused_or_replaces_a_link_and_drops_special_modes() {
    let table = [
        ("loop-a", Ok(())),
        ("dangling", Ok(())),
        ("outside", Ok(())),
        ("setuid", Ok(())),
        ("unreadable", Ok(())),
        ("loop-a/x", Err("loop of links")),
        ("outside/x", Err("leaves the workspace")),
        ("magic/tmp/x", Err("component 1, `magic`,")),
        ("up/x", Err("leaves the workspace")),
        ("dir", Err("a directory")),
        ("socket", Err("a FIFO or a socket")),
        ("fifo", Err("a FIFO or a socket")),
        ("file/x", Err("component 1, `file`, is not a directory")),
        ("file/x/y", Err("component 1, `file`, is not a directory")),
        ("locked/new", Err("permission denied")),
        ("locked/sub/new", Err("permission denied")),
        ("dangling/x", Err("`dangling`, is a symbolic link to `nowhere`, which does not exist")),
    ];
    as_ordinary_user(|| async {
        for (path, expected) in table {
            let agent = Agent::new().await;
            let root = agent.scope.workspace().path().to_owned();
            fill(&root);
            match (agent.call("write_file", json!({"path": path, "content": "new"})).await, expected) {
                (Ok(_), Ok(())) => {
                    let metadata = fs::symlink_metadata(root.join(path)).expect("there");
                    assert!(metadata.is_file() && metadata.permissions().mode() & 0o7000 == 0, "{path}: {metadata:?}");
                }
                (Err(error), Err(want)) => {
                    assert!(error.is_for_model() && error.to_string().contains(want), "{path}: {error}");
                }
                (got, want) => panic!("{path}: got {got:?}, expected {want:?}"),
            }
            let left = fs::read_dir(&root).expect("listed").flatten();
            assert!(
                left.into_iter().all(|entry| !entry.file_name().to_string_lossy().contains(".orkestra-")),
                "{path}"
            );
            fs::set_permissions(root.join("locked"), fs::Permissions::from_mode(0o755)).expect("set");
        }
    });
}

#[tokio::test]
async fn a_link_to_git_is_no_way_into_it() {
    let agent = Agent::new().await;
    let root = agent.scope.workspace().path().to_owned();
    fs::create_dir_all(root.join(".git/hooks")).expect("created");
    symlink(".git", root.join("link")).expect("linked");
    fs::create_dir(root.join("deep")).expect("created");
    symlink("../.git/hooks", root.join("deep/hooks")).expect("linked");
    symlink("deep", root.join("way")).expect("linked");
    for path in ["link/hooks/pre-commit", "deep/hooks/pre-commit", "way/hooks/pre-commit", "link/config"] {
        let patch = format!("*** Begin Patch\n*** Add File: {path}\n+x\n*** End Patch");
        for (tool, arguments) in
            [("write_file", json!({"path": path, "content": "x"})), ("apply_patch", json!({"patch": patch}))]
        {
            let refused = agent.refusal(tool, arguments).await;
            assert!(refused.contains("use git commands"), "{tool} {path}: {refused}");
        }
    }
    assert_eq!(fs::read_dir(root.join(".git/hooks")).expect("listed").count(), 0);
    // Other links inside are followed.
    agent.text("write_file", json!({"path": "way/new/file", "content": "x"})).await;
    assert_eq!(fs::read_to_string(root.join("deep/new/file")).expect("read"), "x");
}

#[tokio::test]
async fn names_with_escape_codes_newlines_and_invalid_utf8_are_escaped_and_addressable() {
    let names: [(&[u8], &str); 6] = [
        (b"\x1b[31mred", r#""\033[31mred""#),
        (b"a\nb", r#""a\nb""#),
        (b"bad\xff\xfe", r#""bad\377\376""#),
        (b"d\rir/x", r#""d\rir/x""#),
        (b"quote\"back\\slash", r#""quote\"back\\slash""#),
        ("\u{202e}gpj".as_bytes(), r#""\342\200\256gpj""#),
    ];
    for (name, shown) in names {
        let agent = Agent::new().await;
        let path = agent.scope.workspace().path().join(OsStr::from_bytes(name));
        fs::create_dir_all(path.parent().expect("has one")).expect("created");
        fs::write(&path, "needle\n").expect("written");
        assert_eq!(agent.text("list_files", json!({})).await, format!("{shown} (7)"));
        assert_eq!(agent.text("glob", json!({"pattern": "**"})).await, format!("{shown} (7)"));
        assert_eq!(agent.text("grep", json!({"pattern": "needle"})).await, format!("{shown}:1:needle"));
        assert_eq!(agent.text("grep", json!({"pattern": "needle", "path": shown})).await, format!("{shown}:1:needle"));
        assert_eq!(agent.text("read_file", json!({"path": shown})).await, "needle\n");
        agent.text("edit_file", json!({"path": shown, "search": "needle", "replace": "pin"})).await;
        let patch = format!("--- {}\n+++ {}\n@@ -1 +1 @@\n-pin\n+nail\n", prefixed("a/", shown), prefixed("b/", shown));
        let done = agent.text("apply_patch", json!({"patch": patch})).await;
        assert_eq!(done, format!("Applied the patch to 1 file(s):\nM {shown} (+1 -1)"));
        assert_eq!(
            agent.text("write_file", json!({"path": shown, "content": "x"})).await,
            format!("Wrote 1 bytes to {shown}.")
        );
        assert_eq!(fs::read(&path).expect("read"), b"x");
        for happening in agent.seen.happenings() {
            let text = format!("{happening:?}");
            assert!(text.contains(&format!("{shown:?}")), "{text}");
        }
    }
}

/// A quoted path with a prefix, as git writes it.
fn prefixed(prefix: &str, shown: &str) -> String {
    format!("\"{prefix}{}", &shown[1..])
}

#[tokio::test]
async fn planted_names_do_not_stop_writes() {
    let agent = Agent::new().await;
    let root = agent.scope.workspace().path().to_owned();
    for number in 0..50 {
        // The names that an earlier version used.
        fs::create_dir(root.join(format!(".orkestra-write-{}-{number}", std::process::id()))).expect("created");
    }
    for _ in 0..10 {
        agent.text("write_file", json!({"path": "a", "content": "x"})).await;
    }
}
