//! Attempts whose other half is the host: its tools read what a command has made, or it passes on what a model asked for.

use std::sync::Arc;
use std::time::Duration;

use orkestra_tools::{Command, ToolScope, ToolSet, Unobserved, Workspace, limits};
use serde_json::json;

use super::Scene;

pub(super) async fn attempts(scene: &Scene) {
    a_symlink_swapped_between_check_and_use(scene).await;
    what_is_no_file_answers(scene).await;
    a_large_argument_is_refused(scene).await;
    a_gigabyte_of_output_ends(scene).await;
    many_files_do_not_stop_a_listing(scene).await;
}

pub(super) fn scope(scene: &Scene) -> ToolScope {
    let workspace = Workspace::open(&scene.workspace()).expect("opened");
    let artifacts = scene.root.path().join("artifacts");
    ToolScope::new(workspace, Arc::clone(&scene.sandbox), artifacts, Arc::new(Unobserved))
}

pub(super) async fn run(scene: &Scene, line: &str, seconds: u64) -> String {
    let command = Command::new(line).with_timeout(Duration::from_secs(seconds));
    scene.sandbox.execute(command, &Unobserved).await.expect(line).output
}

/// A command exchanges a directory and a symlink to the outside all the time, while the host writes and reads below it.
async fn a_symlink_swapped_between_check_and_use(scene: &Scene) {
    let (tools, scope) = (ToolSet::builtin(), scope(scene));
    let outside = scene.outside().display().to_string();
    let swap = format!(
        "mkdir -p real swapped; while :; do rm -rf swapped; ln -sfn '{outside}' swapped; rm -f swapped; mkdir -p swapped; done"
    );
    let command = Command::new(swap).with_timeout(Duration::from_secs(2));
    let race = async {
        for _ in 0..400 {
            let written = json!({"path": "swapped/planted", "content": "x"});
            let _ = tools.call(&scope, "write_file", written).await;
            if let Ok(read) = tools.call(&scope, "read_file", json!({"path": "swapped/secret"})).await {
                panic!("read outside: {}", read.text);
            }
        }
    };
    let (swapped, ()) = tokio::join!(scene.sandbox.execute(command, &Unobserved), race);
    swapped.expect("run");
    assert_eq!(scene.changed(), None);
    run(scene, "rm -rf swapped", 10).await;
}

/// FIFOs, devices, sockets and loops answer the model at once, and do not end its attempt.
async fn what_is_no_file_answers(scene: &Scene) {
    let (tools, scope) = (ToolSet::builtin(), scope(scene));
    run(scene, "mkfifo fifo; ln -sf loop-b loop-a; ln -sf loop-a loop-b; ln -sf /dev/zero zero; ln -sf /proc/self/environ environ", 10).await;
    for path in ["fifo", "loop-a", "zero", "environ", "loop-a/x", "fifo/x"] {
        for (tool, arguments) in
            [("read_file", json!({"path": path})), ("edit_file", json!({"path": path, "search": "a", "replace": "b"}))]
        {
            let answer = tokio::time::timeout(Duration::from_secs(5), tools.call(&scope, tool, arguments)).await;
            answer.unwrap_or_else(|_| panic!("{tool} hangs on {path}")).expect_err(path);
        }
    }
    tools.call(&scope, "list_files", json!({})).await.expect("listed");
    run(scene, "rm -f fifo loop-a loop-b zero environ", 10).await;
}

async fn a_large_argument_is_refused(scene: &Scene) {
    let (tools, scope) = (ToolSet::builtin(), scope(scene));
    let huge = "a".repeat(10 * 1024 * 1024);
    for (tool, arguments) in [
        ("run_command", json!({"command": huge})),
        ("start_process", json!({"command": huge})),
        ("start_process", json!({"command": "true", "name": huge})),
        ("read_process", json!({"id": huge})),
        ("write_file", json!({"path": huge, "content": "x"})),
        ("write_file", json!({"path": "x", "content": huge})),
    ] {
        let refused = tools.call(&scope, tool, arguments).await.expect_err(tool);
        assert!(
            refused.is_for_model() && refused.to_string().len() < 4096,
            "{tool}: {} bytes",
            refused.to_string().len()
        );
    }
}

async fn a_gigabyte_of_output_ends(scene: &Scene) {
    let whole = scene.root.path().join("whole");
    let command = Command::new("head -c 1000000000 /dev/zero").with_whole(&whole).with_timeout(Duration::from_secs(30));
    let result = scene.sandbox.execute(command, &Unobserved).await.expect("run");
    assert!(result.output.len() < limits::OUTPUT_HEAD_BYTES + limits::OUTPUT_TAIL_BYTES + 200);
    assert!(std::fs::metadata(&whole).expect("kept").len() < limits::OUTPUT_WHOLE_BYTES_MAX + 100);
}

async fn many_files_do_not_stop_a_listing(scene: &Scene) {
    let make =
        "python3 -c 'import os; os.makedirs(\"many\"); [open(f\"many/{n}\", \"w\").close() for n in range(20000)]'";
    run(scene, make, 30).await;
    let listed = ToolSet::builtin().call(&scope(scene), "list_files", json!({})).await.expect("listed");
    assert!(listed.text.len() < 200_000, "{} bytes", listed.text.len());
    run(scene, "rm -rf many", 30).await;
}
