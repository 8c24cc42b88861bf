//! `grep` and `glob` as a model uses them.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use serde_json::json;

use crate::tools::Agent;

async fn project() -> Agent {
    let agent = Agent::new().await;
    let files = [
        (".gitignore", "*.log\n/build/\n"),
        ("src/a.py", "import os\n\ndef first():\n    return 1\n\ndef second():\n    return 22\n"),
        ("src/b.py", "def third():\r\n    return 3\r\n"),
        ("src/deep/c.js", "function first() {}\n"),
        ("README.md", "first (of all)\n"),
        ("debug.log", "first\n"),
        ("build/out.py", "first\n"),
        ("node_modules/x/index.js", "first\n"),
    ];
    for (path, content) in files {
        agent.scope.workspace().write(path, content.as_bytes()).expect("written");
    }
    agent
}

#[tokio::test]
async fn grep_finds_lines_files_and_counts() {
    let agent = project().await;
    let table = [
        (
            json!({"pattern": "first"}),
            "README.md:1:first (of all)\nsrc/a.py:3:def first():\nsrc/deep/c.js:1:function first() {}",
        ),
        (json!({"pattern": "FIRST", "ignore_case": true, "mode": "files"}), "README.md\nsrc/a.py\nsrc/deep/c.js"),
        (json!({"pattern": "^def ", "mode": "counts"}), "src/a.py: 2\nsrc/b.py: 1"),
        (json!({"pattern": "return \\d$"}), "src/a.py:4:    return 1\nsrc/b.py:2:    return 3"),
        (json!({"pattern": "first", "glob": "*.py"}), "src/a.py:3:def first():"),
        (json!({"pattern": "first", "glob": "src/**/*.{js,ts}"}), "src/deep/c.js:1:function first() {}"),
        (json!({"pattern": "first", "path": "src/deep"}), "src/deep/c.js:1:function first() {}"),
        (json!({"pattern": "first", "path": "src/a.py"}), "src/a.py:3:def first():"),
        // A file or directory that is named is searched, also if it is ignored.
        (json!({"pattern": "first", "path": "debug.log"}), "debug.log:1:first"),
        (json!({"pattern": "first", "path": "node_modules"}), "node_modules/x/index.js:1:first"),
        (json!({"pattern": "(of all)", "literal": true}), "README.md:1:first (of all)"),
        (json!({"pattern": "second", "context": 1}), "src/a.py-5-\nsrc/a.py:6:def second():\nsrc/a.py-7-    return 22"),
        (
            json!({"pattern": "import|second|third", "context": 1}),
            "src/a.py:1:import os\nsrc/a.py-2-\n--\nsrc/a.py-5-\nsrc/a.py:6:def second():\nsrc/a.py-7-    return 22\n--\n\
             src/b.py:1:def third():\nsrc/b.py-2-    return 3",
        ),
        (json!({"pattern": "nothing"}), "No matches in `.`."),
        (
            json!({"pattern": "first\\|second"}),
            "No matches in `.`. In this pattern `\\|` is a literal bar; write `|` for alternatives.",
        ),
    ];
    for (arguments, expected) in table {
        assert_eq!(agent.text("grep", arguments.clone()).await, expected, "{arguments}");
    }
    let refused = agent.refusal("grep", json!({"pattern": "first ("})).await;
    assert!(refused.contains("unclosed group, at column 7 (`(`)") && refused.contains("literal"), "{refused}");
    let refused = agent.refusal("grep", json!({"pattern": "x", "glob": "[a"})).await;
    assert!(refused.contains("at column 1"), "{refused}");
    let refused = agent.refusal("grep", json!({"pattern": "x", "path": "missing"})).await;
    assert!(refused.contains("there is no file `missing`"), "{refused}");
}

#[tokio::test]
async fn a_long_answer_is_read_on_by_offset_and_repeats_nothing() {
    let agent = Agent::new().await;
    for file in 0..40 {
        let text: String = (0..10).map(|line| format!("match {file:02} {line}\nother\n")).collect();
        agent.scope.workspace().write(&format!("d{}/f{file:02}", file % 3), text.as_bytes()).expect("written");
    }
    for context in [0, 1] {
        let (mut all, mut offset, mut calls) = (Vec::new(), 0, 0);
        loop {
            let arguments = json!({"pattern": "match", "limit": 37, "offset": offset, "context": context});
            let page = agent.call("grep", arguments).await.expect("a page");
            all.extend(page.text.lines().filter(|line| line.contains(":match")).map(str::to_owned));
            calls += 1;
            match page.data["next_offset"].as_u64() {
                Some(next) => {
                    assert!(
                        page.text.ends_with(&format!("there are more: continue with offset={next}]")),
                        "{}",
                        page.text
                    );
                    offset = next;
                }
                None => break,
            }
        }
        assert_eq!((all.len(), calls), (400, 11), "context {context}");
        let mut sorted = all.clone();
        sorted.sort();
        sorted.dedup();
        assert_eq!(sorted.len(), 400, "context {context}");
    }
    let files = agent
        .call("grep", json!({"pattern": "match", "mode": "files", "limit": 25, "offset": 25}))
        .await
        .expect("a page");
    assert_eq!((files.text.lines().count(), &files.data["truncated"]), (15, &json!(false)));
    let past = agent.text("grep", json!({"pattern": "match", "offset": 1000})).await;
    assert_eq!(past, "There are only 400 matching lines; give a smaller offset.");
}

#[tokio::test]
async fn binary_files_long_lines_and_escape_codes_do_not_reach_the_model() {
    let agent = Agent::new().await;
    let write = |path: &str, content: &[u8]| agent.scope.workspace().write(path, content).expect("written");
    write("binary", b"needle\0");
    // The NUL comes after the first buffer.
    write("late", format!("needle\n{}\0", "x".repeat(200_000)).as_bytes());
    write("long", format!("{}needle{}\n", "é".repeat(100_000), "y".repeat(100_000)).as_bytes());
    write("escape", b"\x1b[31mneedle\x07\n");
    write("latin", b"needle \xe4\n");
    let found = agent.call("grep", json!({"pattern": "needle"})).await.expect("found");
    let lines: Vec<&str> = found.text.lines().collect();
    assert_eq!(lines[0], "escape:1:\\u{1b}[31mneedle\\u{7}");
    assert_eq!(lines[1], "latin:1:needle \u{fffd}");
    assert!(lines[2].starts_with("long:1:…") && lines[2].contains("éneedley") && lines[2].len() < 600, "{}", lines[2]);
    assert_eq!(lines[3..], ["[2 binary files were left out, such as binary]"]);
    // Many hits in long lines: the text is bounded.
    write("many", "needle ".repeat(60).as_bytes());
    for number in 0..300 {
        write(&format!("m{number}"), format!("{}\n", "needle ".repeat(60)).as_bytes());
    }
    let found = agent.call("grep", json!({"pattern": "needle", "limit": 1000})).await.expect("found");
    assert!(found.text.len() < 33 * 1024 && found.data["truncated"] == json!(true), "{}", found.text.len());
}

#[tokio::test]
async fn glob_finds_files_sorted_by_time_or_name() {
    let agent = project().await;
    let root = agent.scope.workspace().path().to_owned();
    for (age, path) in ["src/b.py", "README.md", "src/a.py"].iter().enumerate() {
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000 - age as u64);
        fs::File::options().write(true).open(root.join(path)).and_then(|file| file.set_modified(time)).expect("set");
    }
    let table = [
        (json!({"pattern": "*.py"}), "src/b.py (28)\nsrc/a.py (66)"),
        (json!({"pattern": "*.py", "sort": "name"}), "src/a.py (66)\nsrc/b.py (28)"),
        (json!({"pattern": "src/*"}), "src/b.py (28)\nsrc/a.py (66)"),
        (json!({"pattern": "**/*.js"}), "src/deep/c.js (20)"),
        (json!({"pattern": "*.js", "path": "src/deep"}), "src/deep/c.js (20)"),
        (json!({"pattern": "*.rs"}), "No file in `.` matches `*.rs`."),
    ];
    for (arguments, expected) in table {
        assert_eq!(agent.text("glob", arguments.clone()).await, expected, "{arguments}");
    }
    let refused = agent.refusal("glob", json!({"pattern": "/etc/*"})).await;
    assert!(refused.contains("leaves the workspace"), "{refused}");
    for number in 0..600 {
        fs::write(root.join(format!("n{number}.txt")), "").expect("written");
    }
    let many = agent.call("glob", json!({"pattern": "*.txt"})).await.expect("found");
    assert!(many.text.ends_with("[500 of 600 files; use a narrower pattern or a path]"), "{}", many.text);
    assert_eq!(many.data["files"].as_array().map(Vec::len), Some(500));
}

#[tokio::test]
async fn searches_never_leave_the_workspace() {
    let agent = Agent::new().await;
    let root = agent.scope.workspace().path().to_owned();
    let outside = tempfile::TempDir::new().expect("a temporary directory");
    fs::write(outside.path().join("secret"), "needle\n").expect("written");
    symlink(outside.path(), root.join("dir")).expect("linked");
    symlink(outside.path().join("secret"), root.join("file")).expect("linked");
    agent.scope.workspace().write("a/mine", b"needle\n").expect("written");
    symlink("../a", root.join("a/again")).expect("linked");
    symlink("mine", root.join("a/link")).expect("linked");
    symlink("../.gitignore-outside", root.join(".gitignore")).expect("linked");
    assert_eq!(agent.text("grep", json!({"pattern": "needle"})).await, "a/mine:1:needle");
    assert_eq!(agent.text("grep", json!({"pattern": "needle", "path": "a/link"})).await, "a/link:1:needle");
    assert_eq!(agent.text("grep", json!({"pattern": "needle", "path": "a/again"})).await, "a/again/mine:1:needle");
    assert_eq!(agent.text("glob", json!({"pattern": "**", "sort": "name"})).await, "a/link (7)\na/mine (7)");
    for path in ["dir", "file", "dir/secret", "..", "/etc"] {
        for tool in ["grep", "glob"] {
            let refused = agent.refusal(tool, json!({"pattern": "*", "literal": true, "path": path})).await;
            let without = agent.refusal(tool, json!({"pattern": "needle", "path": path})).await;
            let said = if tool == "grep" { refused } else { without };
            assert!(said.contains("leaves the workspace"), "{tool} {path}: {said}");
        }
    }
}

#[tokio::test]
async fn a_directory_swapped_for_a_link_is_never_searched_outside() {
    let agent = Agent::new().await;
    let root = agent.scope.workspace().path().to_owned();
    let outside = tempfile::TempDir::new().expect("a temporary directory");
    fs::create_dir(outside.path().join("deep")).expect("created");
    fs::write(outside.path().join("deep/secret"), "needle of others\n").expect("written");
    agent.scope.workspace().write("dir/deep/mine", b"needle\n").expect("written");
    symlink(outside.path(), root.join("evil")).expect("linked");
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (dir, evil) = (root.join("dir"), root.join("evil"));
            while !stop.load(Ordering::Relaxed) {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                rustix::fs::renameat_with(rustix::fs::CWD, &dir, rustix::fs::CWD, &evil, exchange).expect("exchanged");
            }
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let (agent, stop) = (&agent, &stop);
        scope.spawn(move || {
            let (mut found, mut leaked) = (0, false);
            // Both states must occur, or nothing was tested; when each occurs is up to the scheduler.
            for _ in 0..20_000 {
                for arguments in [json!({"pattern": "needle"}), json!({"pattern": "needle", "path": "dir/deep"})] {
                    let Ok(output) = runtime.block_on(agent.call("grep", arguments)) else { continue };
                    leaked |= output.text.contains("others");
                    found += usize::from(output.text.contains("mine"));
                }
                if found >= 50 || leaked {
                    break;
                }
            }
            stop.store(true, Ordering::Relaxed);
            assert!(found >= 50 && !leaked, "{found}, {leaked}");
        });
    });
}
