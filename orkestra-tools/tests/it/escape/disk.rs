//! Attempts to fill the host's disk. Each must be stopped and told, must not leave much more than the limit, and must leave a sandbox
//! that works.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use orkestra_tools::{Command, LocalOptions, ProcessStart, ToolSet, Unobserved};
use serde_json::json;

use super::host::{run, scope};
use super::{Scene, docker_scene, local_scene};
use crate::support::docker_options;

const DISK_BYTES: u64 = 300_000_000;
const DISK_FILES: u64 = 3000;
/// What a busy machine may write between a look and the end of the command.
const BETWEEN_LOOKS: u64 = 900_000_000;

const FILL: &str = "for n in 1 2 3 4; do dd if=/dev/zero of=fill/$n bs=1M count=900; done; echo ESCAPED";

/// What is run, after `mkdir -p fill`.
const FILLERS: &[(&str, &str)] = &[
    ("one after the other", FILL),
    (
        "in a session of its own",
        "setsid sh -c 'exec dd if=/dev/zero of=fill/daemon bs=1M count=900' & sleep 60; echo ESCAPED",
    ),
    (
        "files that were removed and are still open",
        r#"python3 -c '
import os
for n in range(4):
    f = os.open(f"fill/{n}", os.O_CREAT | os.O_WRONLY)
    os.unlink(f"fill/{n}")
    for _ in range(900): os.write(f, b"x" * 1000000)
'; echo ESCAPED"#,
    ),
    (
        "in a directory that cannot be listed",
        "mkdir fill/d; chmod 300 fill/d; for n in 1 2 3 4; do dd if=/dev/zero of=fill/d/$n bs=1M count=900; done; echo ESCAPED",
    ),
    ("empty files", r#"python3 -c 'for n in range(10**9): open(f"fill/{n}", "w").close()'; echo ESCAPED"#),
    (
        "directories",
        r#"python3 -c '
import os
for n in range(10**9): os.mkdir(f"fill/{n}")
'; echo ESCAPED"#,
    ),
    (
        "directories in each other",
        r#"python3 -c '
import os
os.chdir("fill")
for n in range(10**9): os.mkdir("d" * 100); os.chdir("d" * 100)
'; echo ESCAPED"#,
    ),
];

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_is_not_filled_through_the_local_sandbox() {
    let mut options = LocalOptions::default();
    (options.workspace_bytes_max, options.workspace_files_max) = (DISK_BYTES, DISK_FILES);
    attempts(&local_scene(options).await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_disk_is_not_filled_through_docker() {
    let Some(mut options) = docker_options().await else { return };
    (options.workspace_bytes_max, options.workspace_files_max) = (DISK_BYTES, DISK_FILES);
    attempts(&docker_scene("disk", None, options).await).await;
}

async fn attempts(scene: &Scene) {
    let gaps = scene.sandbox.confinement().gaps;
    let is_told = |words: &str| gaps.iter().any(|gap| gap.contains(words));
    assert!(is_told("watched every"), "{gaps:?}");
    for (name, line) in FILLERS {
        if name.contains("removed") && is_told("removed and are still open") {
            continue;
        }
        let command = Command::new(format!("mkdir -p fill; {line}")).with_timeout(Duration::from_secs(60));
        let result = scene.sandbox.execute(command, &Unobserved).await.expect(name);
        let is_stopped = result.output.contains("[disk]") && result.output.contains("remove what is not needed");
        assert!(is_stopped && !result.output.contains("ESCAPED"), "{name}: {}", result.output);
        assert_eq!((result.exit_code, result.timed_out), (137, false), "{name}");
        let files = std::fs::read_dir(scene.workspace().join("fill")).map_or(0, Iterator::count);
        // Measuring hundreds of thousands of files takes longer than making them.
        let taken = if files < 1000 { bytes(&scene.workspace()) } else { 0 };
        println!(
            "{name}: {} MB of at most {}, {files} files after {} ms",
            taken / 1_000_000,
            DISK_BYTES / 1_000_000,
            result.duration_ms
        );
        assert!(taken < DISK_BYTES + BETWEEN_LOOKS, "{name}: {taken} bytes");
        a_full_workspace_can_be_emptied(scene, name).await;
    }
    a_process_that_fills_the_disk_is_stopped(scene).await;
    what_runs_on_after_its_command_writes_nothing(scene).await;
    what_takes_no_space_is_allowed(scene).await;
    scene.sandbox.close().await.expect("closed");
}

async fn a_full_workspace_can_be_emptied(scene: &Scene, name: &str) {
    let emptied = run(scene, "chmod -Rf u+rwx fill; rm -rf fill && echo emptied", 60).await;
    assert_eq!(emptied, "emptied\n", "{name}");
    let written = json!({"path": "fits", "content": "x"});
    ToolSet::builtin().call(&scope(scene), "write_file", written).await.expect(name);
}

async fn a_process_that_fills_the_disk_is_stopped(scene: &Scene) {
    let start = ProcessStart::new("escape", format!("mkdir -p fill; {FILL}")).with_name("filler");
    scene.sandbox.start_process(start).await.expect("started");
    let ends = async {
        loop {
            let state = scene.sandbox.read_process("escape", "filler").await.expect("known");
            if !state.running {
                return state;
            }
            tokio::task::yield_now().await;
        }
    };
    let state = tokio::time::timeout(Duration::from_secs(60), ends).await.expect("it is stopped");
    assert!(state.output.contains("[disk]") && !state.output.contains("ESCAPED"), "{}", state.output);
    // Until there is space, tools say what to do.
    let written = json!({"path": "tool", "content": "x"});
    let refused = ToolSet::builtin().call(&scope(scene), "write_file", written).await.expect_err("it is full");
    assert!(refused.is_for_model() && refused.to_string().contains("remove"), "{refused}");
    a_full_workspace_can_be_emptied(scene, "process").await;
}

async fn what_runs_on_after_its_command_writes_nothing(scene: &Scene) {
    let late = "mkdir -p fill; setsid env -i sh -c 'dd if=/dev/zero of=fill/late bs=1M count=900' & sleep 0.05";
    run(scene, late, 30).await;
    let before = bytes(&scene.workspace());
    run(scene, "sleep 0.5", 30).await;
    let after = bytes(&scene.workspace());
    assert!(after <= before, "{before} bytes became {after}");
    run(scene, "rm -rf fill", 30).await;
}

async fn what_takes_no_space_is_allowed(scene: &Scene) {
    let line =
        "truncate -s 1000M sparse && cp --sparse=always sparse again && sleep 0.3 && echo kept; rm -f sparse again";
    assert_eq!(run(scene, line, 60).await, "kept\n");
}

/// The blocks of all files.
fn bytes(directory: &Path) -> u64 {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let blocks = entries.filter_map(|entry| {
        let metadata = std::fs::symlink_metadata(entry.path()).ok()?;
        let below = if metadata.is_dir() { bytes(&entry.path()) } else { 0 };
        Some(metadata.blocks() * 512 + below)
    });
    blocks.sum()
}
