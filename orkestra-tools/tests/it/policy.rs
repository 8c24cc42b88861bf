//! The policy from outside: the page about it, and real shells, which must not run what it does not see.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use orkestra_tools::policy::{Action, Policy, PolicyRequest};
use orkestra_tools::{Effect, Tool, ToolError, ToolOutput, ToolScope, ToolSet, Workspace};
use serde_json::{Value, json};

const PAGE: &str = include_str!("../../../docs/policy.md");
const BUILT_IN: &str = include_str!("../../src/policy/default.toml");

#[test]
fn every_policy_on_the_page_can_be_loaded_and_the_last_is_the_built_in_one() {
    let blocks: Vec<&str> = PAGE.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 4);
    for block in &blocks {
        Policy::from_toml(block).unwrap_or_else(|error| panic!("{error}\n{block}"));
    }
    assert!(BUILT_IN.ends_with(blocks[3]), "docs/policy.md must quote src/policy/default.toml");
}

/// A tool of an embedder with arguments of its own names.
struct Odd {
    schema: Value,
    says: bool,
}

#[async_trait::async_trait]
impl Tool for Odd {
    fn name(&self) -> &str {
        "files__put"
    }
    fn description(&self) -> &str {
        "Puts a file."
    }
    fn schema(&self) -> &Value {
        &self.schema
    }
    fn effect(&self) -> Effect {
        Effect::Mutating
    }
    fn paths(&self, arguments: &Value) -> Option<Vec<String>> {
        self.says.then(|| arguments["where_to"].as_str().map(str::to_owned).into_iter().collect())
    }
    async fn call(&self, _: &ToolScope, _: Value) -> Result<ToolOutput, ToolError> {
        Err(ToolError::Refused("not called".to_owned()))
    }
}

#[test]
fn paths_are_found_in_every_tool_and_through_links() {
    let root = tempfile::tempdir().expect("a directory");
    let workspace = Workspace::open(root.path()).expect("opened");
    fs::create_dir(root.path().join(".github")).expect("created");
    std::os::unix::fs::symlink(".github", root.path().join("docs")).expect("linked");
    std::os::unix::fs::symlink(".github/new.yml", root.path().join("notes.txt")).expect("linked");
    let policy = Policy::from_toml(
        "default_mcp = \"allow\"\n[[rules]]\nname = \"ci\"\naction = \"deny\"\npath = \".github/**\"\nexamples = [\".github/a\"]\n\
         [[rules]]\nname = \"free\"\naction = \"allow\"\npath = \"docs/**\"\nexamples = [\"docs/a\"]",
    );
    let policy = policy.expect("it is valid");
    let odd = |says| -> Arc<dyn Tool> { Arc::new(Odd { schema: json!({"type": "object"}), says }) };
    let (silent, saying) = (ToolSet::builtin().with(odd(false)), ToolSet::builtin().with(odd(true)));
    let table = [
        (&silent, "write_file", json!({"path": "docs/a.yml", "content": "x"}), Action::Deny),
        (&silent, "write_file", json!({"path": "notes.txt", "content": "x"}), Action::Deny),
        (&silent, "write_file", json!({"path": "a.txt", "content": ".github/a"}), Action::Allow),
        (&silent, "files__put", json!({"where_to": ".github/a"}), Action::Deny),
        (&silent, "files__put", json!({"to": ["x", {"deep": "./docs/../docs/a"}]}), Action::Deny),
        (&silent, "files__put", json!({"uri": "file:///workspace/.github/a"}), Action::Deny),
        (&silent, "files__put", json!({"text": "see\n.github/a"}), Action::Allow),
        (&saying, "files__put", json!({"where_to": ".github/a"}), Action::Deny),
        (&saying, "files__put", json!({"where_to": "notes.txt"}), Action::Deny),
        (&saying, "files__put", json!({"where_to": "a", "text": ".github/a"}), Action::Allow),
        (&saying, "no_such_tool", json!({"x": ".github/a"}), Action::Deny),
    ];
    for (tools, name, arguments, expected) in table {
        let request = tools.policy_request(name, &arguments, Some(&workspace));
        assert_eq!(policy.decide(&request).action, expected, "{name} {arguments}: {request:?}");
    }
}

/// Pieces of scripts. `marker` is a program that leaves a trace; the variable X holds its name.
const PIECES: &[&str] = &[
    "marker",
    "marker",
    "marker ",
    "m",
    "arker",
    "'",
    "\"",
    "\\",
    "\n",
    " ",
    ";",
    "&",
    "|",
    "&&",
    "||",
    "(",
    ")",
    "{ ",
    "; }",
    "$(",
    "`",
    "<<E\n",
    "\nE\n",
    "<<'E'\n",
    "<<-E\n\t",
    "E",
    "#",
    "$X",
    "${X}",
    "${X:-",
    "}",
    "$'",
    "eval ",
    "echo ",
    "f(){ ",
    "f",
    "if ",
    "; then ",
    "; fi",
    "for x in a; do ",
    "; done",
    "X=",
    "a=b ",
    ">o ",
    "<i ",
    "&>o ",
    "2>&1",
    "\\\n",
    "case x in x) ",
    ";; esac",
    "! ",
    "[[ a ]] ",
    "((",
    "))",
    "{m,}",
    "*",
    "?",
    "exec ",
    "command ",
    "sh -c '",
    "trap ",
    " EXIT",
    "$((",
    "time ",
];

/// The next number of a fixed sequence.
fn next(state: &mut u64) -> usize {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    usize::try_from(*state >> 33).unwrap_or(0)
}

fn script(state: &mut u64) -> String {
    let length = 2 + next(state) % 9;
    (0..length).map(|_| PIECES[next(state) % PIECES.len()]).collect()
}

/// Runs `script` in `directory`, where `marker` is the only program.
fn run(shell: &str, script: &str, directory: &Path, trace: &Path) {
    let mut command = Command::new("/usr/bin/timeout");
    command.args(["2", shell, "-c", script]).current_dir(directory.join("work"));
    command.env_clear().env("PATH", directory.join("bin")).env("X", "marker").env("TRACE", trace);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.expect("timeout(1) is installed");
}

/// Whatever a shell makes of a script: if it ran `marker`, the policy that denies `marker` denied the script.
#[test]
fn no_shell_runs_what_the_policy_does_not_see() {
    let policy =
        Policy::from_toml("[[rules]]\nname = \"m\"\naction = \"deny\"\ncommand = \"marker\"\nexamples = [\"marker\"]");
    let policy = policy.expect("it is valid");
    let shells: Vec<&str> =
        ["/bin/dash", "/bin/bash", "/bin/sh"].into_iter().filter(|shell| Path::new(shell).exists()).collect();
    let scripts: usize = std::env::var("ORKESTRA_TEST_SCRIPTS").ok().and_then(|text| text.parse().ok()).unwrap_or(2000);
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path();
    for name in ["bin", "work", "traces"] {
        fs::create_dir(path.join(name)).expect("it is created");
    }
    let marker = path.join("bin/marker");
    fs::write(&marker, "#!/bin/sh\n: > \"$TRACE\"\n").expect("it is written");
    fs::set_permissions(&marker, fs::Permissions::from_mode(0o755)).expect("it may be run");
    std::os::unix::fs::symlink("/bin/sh", path.join("bin/sh")).expect("it is linked");
    let mut state = 11;
    let mut allowed = Vec::new();
    for number in 0..scripts {
        let script = script(&mut state);
        let decision = policy.decide(&PolicyRequest::call("run_command", &json!({"command": script})));
        if decision.action != Action::Allow {
            continue;
        }
        for shell in &shells[..shells.len().min(2)] {
            let trace = path.join(format!("traces/{number}-{}", shell.rsplit('/').next().unwrap_or_default()));
            run(shell, &script, path, &trace);
            allowed.push((trace, *shell, script.clone()));
        }
    }
    // NOTE: at the end, because a command in the background may still be running after its shell.
    let seen: Vec<String> = allowed
        .iter()
        .filter(|(trace, ..)| trace.exists())
        .map(|(_, shell, script)| format!("{shell}: {script:?}"))
        .collect();
    assert!(seen.is_empty(), "{} of {} ran `marker` unseen:\n{}", seen.len(), allowed.len(), seen.join("\n"));
    assert!(allowed.len() > scripts / 10, "enough scripts are allowed: {}", allowed.len());
}
