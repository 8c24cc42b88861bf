//! Tables: what the default policy and small ones decide, ways around them, and what cannot be loaded.

use serde_json::{Value, json};

use super::*;

mod limits;

fn command(policy: &Policy, line: &str) -> Decision {
    policy.decide(&PolicyRequest::call("run_command", &json!({"command": line})))
}

#[test]
fn the_built_in_policy_is_valid_and_decides_as_its_table_says() {
    let policy = Policy::default();
    for (line, expected) in [
        ("python3 -m pytest -q", Action::Allow),
        ("npm install && npm test", Action::Allow),
        ("for f in *.py; do python3 -m py_compile \"$f\"; done", Action::Allow),
        ("cat > app.py <<'EOF'\nimport os\nos.remove('rm -rf /')\nEOF\npython3 app.py", Action::Allow),
        ("mkdir -p src && cd src && echo \"$(date)\" > out.txt 2>&1", Action::Allow),
        ("rm -rf build dist *.egg-info", Action::Allow),
        ("git add -A && git commit -m 'git push later'", Action::Allow),
        ("export PYTHONDONTWRITEBYTECODE=1; python3 -m unittest", Action::Allow),
        ("if [ -f package.json ]; then npm ci; fi", Action::Allow),
        ("timeout 60 python3 server.py &\nsleep 1; curl -s localhost:8000 | python3 -m json.tool", Action::Allow),
        ("git push", Action::Ask),
        ("cd app; git push --force", Action::Ask),
        ("git -C app -c x=y push", Action::Ask),
        ("GIT_DIR=x /usr/bin/git push", Action::Ask),
        ("tar c . | ssh host tar x", Action::Deny),
        ("rm -rf /", Action::Deny),
        ("git push && rm -rf .", Action::Deny),
    ] {
        let decision = command(&policy, line);
        assert_eq!(decision.action, expected, "{line}: {decision}");
    }
    let tool = |name: &str| policy.decide(&PolicyRequest::call(name, &json!({}))).action;
    assert_eq!(tool("github_create_pr"), Action::Ask);
    assert_eq!(tool("files__read"), Action::AskOnce, "tools of MCP servers");
    assert_eq!(tool("write_file"), Action::Allow);
}

/// Ways to write `rm -rf /` so that it does not look like it.
const WAYS: &[&str] = &[
    "rm -rf /",
    "\\rm -rf /",
    "r\\m -rf /",
    "'r'\"m\" -rf /",
    "r''m /",
    "r\"\"m /",
    "r\\\nm /",
    "/bin/rm /",
    "/bin/../bin/rm /",
    "\"$X\"/bin/rm /",
    "$X/bin/rm /",
    "$RM /",
    "${RM} /",
    "\"$RM\" /",
    "r$X /",
    "r${X}m /",
    "$(echo rm) /",
    "`echo rm` /",
    "$'rm' /",
    "$\"rm\" /",
    "{rm,-rf,/}",
    "r{m,} /",
    "/bin/r? /",
    "/bin/r* /",
    "/bin/[r]m /",
    "/bin/[r\"x y\"]m /",
    "rm$IFS-rf$IFS/",
    "rm${IFS}/",
    "X=1 rm /",
    "X= rm /",
    ">f rm /",
    "<f rm /",
    "2>&1 rm /",
    "! rm /",
    "(rm /)",
    "{ rm /; }",
    "if rm /; then :; fi",
    "while rm /; do :; done",
    "for x in y; do rm /; done",
    "f() { rm /; }; f",
    "f() { \"$@\"; }; f rm /",
    "ls;rm /",
    "ls&rm /",
    "ls|rm /",
    "ls||rm /",
    "ls&&rm /",
    "ls\nrm /",
    "ls #\nrm /",
    "ls # \\\nrm /",
    "ls <<E\nE\nrm /",
    "ls <<E\n$(rm /)\nE",
    "ls <<-E\n\tE\nrm /",
    "ls <<'E'\nE\nrm /",
    "ls <<E\\\nE\nEE\nrm /",
    "echo $(rm /)",
    "echo \"`rm /`\"",
    "echo ${X:-$(rm /)}",
    "echo \"${X:-`rm /`}\"",
    "cat <(rm /)",
    "sh -c 'rm /'",
    "sh -c \"r\"'m /'",
    "bash -xc 'rm /'",
    "bash -o errexit -c 'rm /'",
    "sh -c \"$X\"",
    "echo rm / | sh",
    "sh <<< 'rm /'",
    "sh <<E\nrm /\nE",
    "eval rm /",
    "eval 'rm' /",
    "eval \"$X\"",
    "eval r'm' /",
    "env rm /",
    "env -i X=1 rm /",
    "env -S'rm /'",
    "sudo rm /",
    "sudo -u x rm /",
    "doas rm /",
    "nohup rm /",
    "nice -n1 rm /",
    "timeout 1 rm /",
    "time rm /",
    "time -p rm /",
    "command rm /",
    "command -p rm /",
    "builtin rm",
    "exec rm /",
    "exec -a ls rm /",
    "setsid rm /",
    "stdbuf -oL rm /",
    "xargs rm < f",
    "xargs -n 1 rm",
    "xargs -I{} sh -c {}",
    "xargs",
    "find . -exec rm {} +",
    "find . -exec sh -c 'rm /' \\;",
    "find . -name x -ok rm {} \\;",
    "busybox rm /",
    "busybox sh -c 'rm /'",
    "trap 'rm /' EXIT",
    "alias x=rm; x /",
    "hash -p /bin/rm x; x",
    "a[0]=1 rm /",
    "X=(1) rm /",
    "case x in x) rm /;; esac",
    "su -c 'rm /'",
    "parallel rm ::: /",
    "watch rm /",
    "script -c 'rm /'",
    "flock f rm /",
    "echo &>f rm /",
    "coproc rm /",
    "time { rm /; }",
    "echo ${X@P}",
    "$((rm /) )",
    "!(x) rm",
    "rm",
    "rm\t/",
    "rm>f",
    "rm</dev/null",
    "rm;",
    "rm&",
    "((0)) || rm /",
    "[[ a ]] && rm /",
    "cd x && { (rm /) }",
    "nohup sh -c 'exec rm /' &",
    "env sh -c 'eval \"rm /\"'",
    "xargs env rm",
];

/// None of them is allowed.
#[test]
fn no_way_of_writing_hides_a_command() {
    let policy = Policy::from_toml(
        "[[rules]]\nname = \"rm\"\naction = \"deny\"\ncommand = \"rm\"\nexamples = [\"rm x\"]\ncounterexamples = [\"ls rm\"]",
    )
    .expect("it is valid");
    for line in WAYS {
        let decision = command(&policy, line);
        // `xargs` alone echoes, and `builtin rm` is no builtin: neither is a way to run it.
        let expected = if *line == "xargs" { Action::Allow } else { Action::Deny };
        assert_eq!(decision.action, expected, "{line:?}: {decision}");
    }
    for line in [
        "ls rm",
        "echo 'rm /'",
        "echo rm /",
        "rmdir x",
        "./rm.sh",
        "ｒｍ /",
        "гm /",
        "RM /",
        "# rm /",
        "cat <<'E'\nrm /\nE",
        "x=rm",
    ] {
        assert_eq!(command(&policy, line).action, Action::Allow, "{line:?}");
    }
}

/// What a rule that allows does not cover.
#[test]
fn an_allowed_command_allows_nothing_else() {
    let policy = Policy::from_toml(
        r#"
        default = "ask"
        [[rules]]
        name = "tests"
        action = "allow"
        command = ["pytest", "git status", "npm run -s test"]
        examples = ["pytest -q", "git status", "npm run -s test"]
        counterexamples = ["git push", "pytest; ls"]
        "#,
    )
    .expect("it is valid");
    for line in [
        "pytest",
        "pytest -q tests/",
        "git status --short",
        "pytest && git status",
        "pytest 2>&1",
        "timeout 60 pytest",
        "(pytest)",
        "pytest \"$X\"",
        "pytest > /dev/null",
        "npm run -s test -- x",
    ] {
        assert_eq!(command(&policy, line).action, Action::Allow, "{line}");
    }
    for line in [
        "pytest; ls",
        "pytest & ls",
        "pytest | tee x",
        "pytest $(ls)",
        "pytest `ls`",
        "pytest > out",
        "pytest >> ~/.bashrc",
        "X=1 pytest",
        "PATH=. pytest",
        "PATH=.; pytest",
        "export PATH=.; pytest",
        "LD_PRELOAD=x pytest",
        "env LD_PRELOAD=x pytest",
        "./pytest",
        "bin/pytest",
        "git $X",
        "git -c alias.status='!ls' status",
        "$X pytest",
        "py*",
        "alias pytest=ls",
        "sudo pytest",
        "pytest <<E\n$(ls)\nE",
        "eval pytest",
        "sh -c pytest",
        "git",
        "",
        "#",
    ] {
        assert_eq!(command(&policy, line).action, Action::Ask, "{line}");
    }
}

#[test]
fn asking_once_is_for_tools_and_weaker_than_asking() {
    let text = r#"
        [[rules]]
        name = "once"
        action = "ask_once"
        tool = ["files__*", "run_command"]
        examples = ["files__read"]
        [[rules]]
        name = "each"
        action = "ask"
        tool = "files__delete_*"
        examples = ["files__delete_all"]
        [[rules]]
        name = "push"
        action = "ask"
        command = "git push"
        examples = ["git push"]
    "#;
    let policy = Policy::from_toml(text).expect("it is valid");
    let decide = |tool: &str, arguments: Value| policy.decide(&PolicyRequest::call(tool, &arguments));
    let decision = decide("files__read", json!({}));
    assert_eq!(decision.action, Action::AskOnce);
    assert_eq!(decision.to_string(), "the rule `once` asks once about `files__read`");
    assert_eq!(decide("files__delete_all", json!({})).action, Action::Ask);
    assert_eq!(decide("run_command", json!({"command": "ls; rm a"})).action, Action::AskOnce);
    assert_eq!(decide("run_command", json!({"command": "ls; git push"})).action, Action::Ask);
    assert_eq!(decide("write_file", json!({"path": "a"})).action, Action::Allow);
    let wrong = text.replace("action = \"ask\"\n        command", "action = \"ask_once\"\n        command");
    let error = Policy::from_toml(&wrong).expect_err("a rule about a command");
    assert!(error.to_string().contains("`ask_once` is for rules with a `tool` alone"), "{error}");
}

#[test]
fn rules_by_tool_path_and_host() {
    let policy = Policy::from_toml(
        r#"
        default_mcp = "deny"
        [[rules]]
        name = "workflows"
        action = "deny"
        path = [".github/**", "**/.env"]
        examples = [".github/workflows/ci.yml", "app/.env", ".env"]
        counterexamples = ["github/x", ".envrc"]
        [[rules]]
        name = "read-server"
        action = "allow"
        tool = "files__read_*"
        examples = ["files__read_text"]
        [[rules]]
        name = "hosts"
        action = "ask"
        host = ["*.example.com", "example.com"]
        examples = ["api.example.com", "example.com"]
        counterexamples = ["example.org"]
        [[rules]]
        name = "only-writing"
        action = "ask"
        tool = ["write_file", "edit_file"]
        path = "docs/*"
        examples = ["docs/a.md"]
        counterexamples = ["docs/a/b.md"]
        "#,
    )
    .expect("it is valid");
    let decide = |tool: &str, arguments: Value| policy.decide(&PolicyRequest::call(tool, &arguments)).action;
    assert_eq!(decide("write_file", json!({"path": ".github/workflows/a.yml"})), Action::Deny);
    assert_eq!(decide("write_file", json!({"path": "./x/../.github//a.yml"})), Action::Deny);
    assert_eq!(decide("read_file", json!({"path": "a/b/.env"})), Action::Deny);
    assert_eq!(decide("write_file", json!({"path": "docs/a.md"})), Action::Ask);
    assert_eq!(decide("read_file", json!({"path": "docs/a.md"})), Action::Allow);
    assert_eq!(decide("apply_patch", json!({"patch": "--- a/x\n+++ b/.github/a\n@@ -1 +1 @@\n"})), Action::Deny);
    assert_eq!(
        decide("apply_patch", json!({"patch": "*** Begin Patch\n*** Update File: x\n*** Move to: .github/y\n"})),
        Action::Deny
    );
    // As our tools read them: a path in double quotes is decoded, and a patch may name its files in other ways.
    for path in [r#"".github/a""#, r#""\056github/a""#, r#""./.github/a\n""#] {
        assert_eq!(decide("write_file", json!({ "path": path })), Action::Deny, "{path}");
    }
    for patch in [
        "--- \"a/.github/a\"\n+++ \"b/.github/a\"\n@@ -1 +1 @@\n-x\n+y\n",
        "diff --git a/.github/a b/.github/a\ndeleted file mode 100644\n",
        "diff --git a/.github/a b/.github/a\nold mode 100644\nnew mode 100755\n",
        "diff --git a/x b/.github/a\nsimilarity index 100%\nrename from x\nrename to .github/a\n",
        "*** Begin Patch\n*** Delete File: .github/a\n*** End Patch\n",
        "*** Begin Patch\n*** Update File: \"\\056github/a\"\n@@\n-x\n+y\n*** End Patch\n",
    ] {
        assert_eq!(decide("apply_patch", json!({ "patch": patch })), Action::Deny, "{patch}");
    }
    assert_eq!(decide("m__edit", json!({"edits": [{"path": "a"}, {"path": ".github/a"}]})), Action::Deny);
    assert_eq!(decide("files__read_text", json!({})), Action::Allow);
    assert_eq!(decide("files__write", json!({})), Action::Deny);
    for url in [
        "https://api.example.com/x",
        "http://user:pw@API.EXAMPLE.com.:8080/",
        "https://example.com?x",
        "https://example.com\\@y",
        "http:example.com",
        "https:/\\example.com",
        "ht\ntp://example.com",
        "HTTPS://ex%61mple.com",
    ] {
        assert_eq!(decide("browser_navigate", json!({"url": url})), Action::Ask, "{url}");
    }
    assert_eq!(decide("browser_navigate", json!({"url": "https://example.org/example.com"})), Action::Allow);
    assert_eq!(policy.decide(&PolicyRequest::host("www.example.com:443")).action, Action::Ask);
    for (line, expected) in [
        ("echo x > .github/a", Action::Deny),
        ("echo x > ./.github/../.github/a", Action::Deny),
        ("echo x > \"$F\"", Action::Deny),
        ("cd .github && echo x > a", Action::Deny),
        ("echo x > a", Action::Allow),
        ("echo x > docs/a.md", Action::Allow),
        ("cat .github/a", Action::Allow),
    ] {
        assert_eq!(command(&policy, line).action, expected, "{line}");
    }
    let request = PolicyRequest::call("run_command", &json!({"command": "echo > a", "cwd": ".github"}));
    assert_eq!(policy.decide(&request).action, Action::Deny);
}

#[test]
fn a_decision_explains_itself() {
    let policy = Policy::default();
    for (line, expected) in [
        ("cd x && git push origin", "the rule `publish` asks about `git push origin`: it publishes something"),
        (
            "ls; rm -rf \"$DIR\"",
            "the rule `destroy-everything` denies `rm -rf …` (it may match: a part of it is not known before it runs): it removes the whole \
             workspace or its history; remove the files that you mean by their names",
        ),
        ("ls -l", "the policy allows `ls -l` because no rule matches"),
    ] {
        assert_eq!(command(&policy, line).to_string(), expected);
    }
    let unclear = command(&policy, "case x in x) ls;; esac");
    assert!(unclear.to_string().contains("(it may match: `case` is not followed)"), "{unclear}");
    let long = command(&policy, &format!("git push {}\u{1b}[2J", "x".repeat(5000)));
    assert!(long.to_string().len() < 400 && !long.to_string().contains('\u{1b}'), "{long}");
}

#[test]
fn a_wrong_policy_is_not_loaded_and_the_error_names_rule_and_example() {
    let rule = |rest: &str| format!("[[rules]]\nname = \"r\"\naction = \"ask\"\n{rest}");
    for (text, expected) in [
        (
            rule("command = \"git push\"\nexamples = [\"git pull\"]"),
            "the rule `r` of the policy does not match its example `git pull`; correct one of them",
        ),
        (
            rule("command = \"git\"\nexamples = [\"git x\"]\ncounterexamples = [\"ls; git x\"]"),
            "the rule `r` of the policy matches what must not match, its example `ls; git x`; correct one of them",
        ),
        (rule("command = \"git\"\nexamples = []"), "it has no examples"),
        (rule("examples = [\"x\"]"), "it has no `tool`, `command`, `path` or `host`"),
        (rule("command = \"a\"\npath = \"b\"\nexamples = [\"x\"]"), "more than one of"),
        (rule("command = \"rm -rf\"\nexamples = [\"rm -rf\"]"), "has an option"),
        (rule("command = \"/bin/rm\"\nexamples = [\"rm\"]"), "has a directory"),
        (rule("command = \"a; b\"\nexamples = [\"a\"]"), "is not the beginning of one simple command"),
        (rule("command = \"a $X\"\nexamples = [\"a\"]"), "is not the beginning of one simple command"),
        (rule("command = \"\"\nexamples = [\"a\"]"), "is not the beginning of one simple command"),
        (rule("path = \"a[\"\nexamples = [\"a\"]"), "is not a glob"),
        (rule("path = \"a\"\narguments = \"x\"\nexamples = [\"a\"]"), "`arguments` narrow"),
        (
            rule(
                "command = \"a\"\nexamples = [\"a\"]\n[[rules]]\nname = \"r\"\naction = \"deny\"\ncommand = \"b\"\nexamples = [\"b\"]",
            ),
            "another rule has this name",
        ),
        (rule("comand = \"a\"\nexamples = [\"a\"]"), "unknown field `comand`"),
        ("defualt = \"ask\"".to_owned(), "unknown field `defualt`"),
        ("default = \"maybe\"".to_owned(), "unknown variant"),
        (rule(&format!("command = \"{}\"\nexamples = [\"a\"]", "a".repeat(5000))), "longer than"),
    ] {
        let error = Policy::from_toml(&text).expect_err(&text).to_string();
        assert!(error.contains(expected), "{text}\n{error}");
    }
    let json = r#"{"rules": [{"name": "x", "action": "deny", "tool": "a*", "examples": ["ab"]}]}"#;
    assert_eq!(
        Policy::from_json(json).expect("it is valid").decide(&PolicyRequest::call("abc", &json!({}))).action,
        Action::Deny
    );
}

#[test]
fn hostile_command_lines_are_decided_quickly() {
    let policy = Policy::default();
    for unit in ["a;", "rm *a", "\"$x\"*", "rm -a ", "git -x push ", "find -exec x \\; ", "$x "] {
        let _ = command(&policy, &unit.repeat(64 * 1024 / unit.len()));
    }
}
