//! `grep`, `glob` and `list_files` over generated source files, beside `rg` of the same run. Without `rg` it says so.
//!
//! Figures of 50,000 files with 211 MB in memory, ripgrep 13 of Debian, 2 cores shared with builds, so read the ratios:
//!
//! | tool | median | `rg` | median ratio | target |
//! |---|---|---|---|---|
//! | grep, a rare word | 972 ms | 1158 ms | 0.98 | 2 |
//! | grep, a rare regex | 1095 ms | 1248 ms | 0.89 | 2 |
//! | grep, a regex without a literal | 947 ms | 2272 ms | 0.51 | 2 |
//! | grep, ignoring case | 799 ms | 680 ms | 0.91 | 2 |
//! | grep in one file in ten | 122 ms | 100 ms | 1.33 | 2 |
//! | glob, one file in ten | 93 ms | 72 ms | 1.25 | |
//! | list_files, which stops after 2,000 files | 8 ms | 99 ms for all | 0.08 | |

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use orkestra_tools::{LocalOptions, LocalSandbox, ToolScope, ToolSet, Unobserved, Workspace};
use serde_json::{Value, json};
use tokio::runtime::Runtime;

use crate::figure::Figure;
use crate::{BenchResult, Scale};

/// Files in one directory.
const IN_FOLDER: u32 = 50;

/// One file in this many has the rare line.
const RARE: u32 = 500;

const WORDS: [&str; 16] = [
    "let", "value", "return", "self", "match", "request", "index", "result", "error", "fn", "handle", "buffer", "next",
    "state", "config", "writer",
];

/// What is measured, our call, the arguments of `rg`, and the largest ratio that is good enough.
type Case<'a> = (&'a str, (&'a str, Value), &'a [&'a str], Option<f64>);

pub(crate) fn measure(runtime: &Runtime, place: &Path, scale: Scale) -> BenchResult {
    let root = place.join("workspace");
    let bytes = generate(&root, scale.files)?;
    println!("{} files, {:.0} MB, in memory; medians of {} rounds", scale.files, bytes as f64 / 1e6, scale.rounds);
    if Command::new("rg").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!("SKIPPED: rg is not installed (on Debian: ripgrep); nothing to compare with");
        return Ok(());
    }
    let workspace = Workspace::open(&root)?;
    let sandbox = runtime.block_on(LocalSandbox::start(LocalOptions::default(), workspace.path()))?;
    let scope = ToolScope::new(workspace, Arc::new(sandbox), place.join("artifacts"), Arc::new(Unobserved));
    let tools = ToolSet::builtin();
    let grep = |pattern: &str| ("grep", json!({"pattern": pattern, "limit": 1000}));
    let cases: [Case<'_>; 7] = [
        ("grep, a rare word", grep("rare_word_here"), &["-n", "rare_word_here"], Some(2.0)),
        ("grep, a rare regex", grep(r"rare_\w+_here\s+\d+"), &["-n", r"rare_\w+_here\s+\d+"], Some(2.0)),
        ("grep, a regex without a literal", grep(r"\b[xyz]{3}\d{4}\b"), &["-n", r"\b[xyz]{3}\d{4}\b"], Some(2.0)),
        (
            "grep, ignoring case",
            ("grep", json!({"pattern": "RARE_WORD", "ignore_case": true, "limit": 1000})),
            &["-n", "-i", "RARE_WORD"],
            Some(2.0),
        ),
        (
            "grep in one file in ten",
            ("grep", json!({"pattern": "rare_word", "glob": "*.py"})),
            &["-n", "-g", "*.py", "rare_word"],
            Some(2.0),
        ),
        ("glob, one file in ten", ("glob", json!({"pattern": "*.py"})), &["--files", "-g", "*.py"], None),
        ("list_files, which stops at its limit", ("list_files", json!({})), &["--files"], None),
    ];
    for (what, (tool, arguments), rg, most) in cases {
        let mut figure = Figure::new(what, "rg", most);
        for _ in 0..scale.rounds {
            let (reference, lines) = ripgrep(&root, rg)?;
            let started = now();
            let output = runtime.block_on(tools.call(&scope, tool, arguments.clone()))?;
            figure.add(started.elapsed(), reference);
            if output.data.get("matches").is_some_and(|matches| *matches != lines) {
                return Err(format!("{what}: rg found {lines} lines and grep {}", output.data).into());
            }
        }
        println!("  {figure}");
    }
    Ok(())
}

/// Runs `rg` as it runs by default, on all files that our tools look at, and reads its output, of which it returns the number of lines.
fn ripgrep(root: &Path, arguments: &[&str]) -> BenchResult<(Duration, usize)> {
    let mut command = Command::new("rg");
    command.args(["--no-config", "--hidden", "--no-require-git"]).args(arguments).arg("./").current_dir(root);
    let started = now();
    let output = command.stdin(Stdio::null()).output()?;
    let took = started.elapsed();
    // 1: no match.
    if !matches!(output.status.code(), Some(0 | 1)) {
        return Err(format!("rg failed: {}", String::from_utf8_lossy(&output.stderr)).into());
    }
    Ok((took, output.stdout.iter().filter(|byte| **byte == b'\n').count()))
}

#[expect(clippy::disallowed_methods, reason = "a benchmark measures time")]
fn now() -> Instant {
    Instant::now()
}

/// Writes files of 20 to 120 lines, the same in every run; returns their size.
fn generate(root: &Path, files: u32) -> BenchResult<u64> {
    let (mut bytes, mut seed) = (0, 1_u64);
    let mut next = |below: u64| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) % below
    };
    std::fs::create_dir_all(root)?;
    std::fs::write(root.join(".gitignore"), "*.log\n/target/\n*.tmp\n")?;
    for file in 0..files {
        let mut text = String::new();
        for _ in 0..20 + next(100) {
            for _ in 0..4 + next(5) {
                let word = WORDS[usize::try_from(next(16))?];
                let _ = write!(text, "{word}_{} ", next(1000));
            }
            text.push('\n');
        }
        if file % RARE == 0 {
            let _ = writeln!(text, "rare_word_here {file}");
        }
        let folder = root.join(format!("part{}/module{}", file / IN_FOLDER / 20, file / IN_FOLDER));
        if file % IN_FOLDER == 0 {
            std::fs::create_dir_all(&folder)?;
        }
        let extension = if file % 10 == 0 { "py" } else { "rs" };
        std::fs::write(folder.join(format!("file{file}.{extension}")), &text)?;
        bytes += text.len() as u64;
    }
    Ok(bytes)
}
