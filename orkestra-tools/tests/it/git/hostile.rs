//! Repositories that were made to do harm: none of their programs runs, none of them hangs a tool, and none hides what is there.

use orkestra_tools::{ToolSet, limits};
use serde_json::json;

use super::Agent;

/// Makes programs of every kind that a repository can name; each would leave a file `ran-NAME`.
const PROGRAMS: &str = r#"
mkdir -p evil .git/hooks .git/info
for name in fsmonitor filter process textconv diff pager editor askpass gpg alias sshcommand credential; do
  printf '#!/bin/sh\n: >ran-%s\ncat\n' "$name" >evil/"$name"; chmod +x evil/"$name"
done
for hook in pre-commit post-commit prepare-commit-msg commit-msg post-index-change reference-transaction pre-auto-gc post-checkout; do
  printf '#!/bin/sh\n: >ran-%s\nexit 1\n' "$hook" >.git/hooks/"$hook"; chmod +x .git/hooks/"$hook"
done
p=$PWD/evil
git config core.fsmonitor "$p/fsmonitor"
git config filter.a.clean "$p/filter"
git config filter.a.smudge "$p/filter"
git config filter.a.required true
git config 'filter.B c=d.process' "$p/process"
git config diff.a.textconv "$p/textconv"
git config diff.external "$p/diff"
git config core.pager "$p/pager"
git config pager.status "$p/pager"
git config pager.log "$p/pager"
git config core.editor "$p/editor"
git config core.askPass "$p/askpass"
git config gpg.program "$p/gpg"
git config commit.gpgSign true
git config log.showSignature true
git config core.sshCommand "$p/sshcommand"
git config credential.helper "!$p/credential"
git config alias.status "!$p/alias"
git config alias.add "!$p/alias"
git config alias.log "!$p/alias"
git config core.worktree /
git config status.showUntrackedFiles no
git config color.ui always
git config core.quotePath false
printf '*.txt filter=a diff=a\n*.md filter="B c=d"\n' >.gitattributes
printf '* filter=a\n' >.git/info/attributes
git config core.attributesFile "$PWD/.gitattributes"
"#;

async fn assert_nothing_ran(agent: &Agent, what: &str) {
    let ran = agent.shell("find . / -maxdepth 2 -name 'ran-*' 2>/dev/null; true").await;
    assert_eq!(ran, "", "{}: {what}", agent.kind());
}

#[tokio::test]
async fn no_program_that_a_repository_names_is_run() {
    for agent in Agent::each("git-programs", &ToolSet::builtin()).await {
        agent.shell(&format!("git init -q . && echo 1 >a.txt && echo 2 >b.md && {{ {PROGRAMS} }}")).await;
        let made = agent.ok("git_init", json!({})).await;
        assert_nothing_ran(&agent, "git_init").await;
        assert_eq!(
            agent.shell("env -u GIT_DIR git --work-tree=. -c core.fsmonitor=false cat-file blob HEAD:a.txt").await,
            "1",
            "{}",
            made.text
        );
        agent.shell("echo 3 >>a.txt; echo 4 >>b.md; echo 5 >c.txt; touch -d 2001-01-01 a.txt").await;
        let status = agent.status().await;
        assert_nothing_ran(&agent, "git_status").await;
        for line in [" M a.txt", " M b.md", "?? c.txt", "Initial commit"] {
            assert!(status.text.contains(line), "{line}: {}", status.text);
        }
        assert!(!status.text.contains('\u{1b}'), "no colours");
        // The trap is real.
        agent.shell("git --work-tree=. -c core.fsmonitor=false add a.txt; git --work-tree=. status >/dev/null").await;
        let ran = agent.shell("ls | grep ran-").await;
        assert!(ran.contains("ran-filter"), "{ran}");
        agent.scope.sandbox().close().await.expect("closed");
    }
}

#[tokio::test]
async fn no_program_of_a_repository_within_is_run() {
    for agent in Agent::each("git-nested", &ToolSet::builtin()).await {
        let make = "git init -q sub && cd sub && git -c user.name=a -c user.email=b commit -q --allow-empty -m x && \
                    git config core.fsmonitor 'touch ../ran-fsmonitor; false' && mkdir -p .git/hooks && \
                    printf '#!/bin/sh\n: >../ran-hook\n' >.git/hooks/post-index-change && chmod +x .git/hooks/post-index-change && \
                    echo 1 >new";
        agent.shell(make).await;
        agent.status().await;
        agent.ok("git_init", json!({})).await;
        agent
            .shell("cd sub && git -c core.fsmonitor=false -c user.name=a -c user.email=b commit -q --allow-empty -m y")
            .await;
        let status = agent.status().await;
        assert!(status.text.contains(" M sub"), "its commit is another: {}", status.text);
        assert_nothing_ran(&agent, "a repository within").await;
        agent.shell("cd sub && git status >/dev/null; true").await;
        let ran = agent.shell("ls | grep ran-").await;
        assert!(ran.contains("ran-fsmonitor"), "the trap is real: {ran}");
        agent.scope.sandbox().close().await.expect("closed");
    }
}

#[tokio::test]
async fn a_git_of_the_workspace_or_of_the_home_directory_is_not_used() {
    for agent in Agent::each("git-path", &ToolSet::builtin()).await {
        let plant = "for d in . \"$HOME/.local/bin\" \"$HOME/bin\"; do mkdir -p $d && printf '#!/bin/sh\\n: >ran-git\\n' >$d/git && chmod +x $d/git; done; \
                     printf '[core]\\n\\tfsmonitor = touch ran-global\\n' >$HOME/.gitconfig";
        agent.shell(plant).await;
        agent.ok("git_init", json!({})).await;
        agent.status().await;
        assert_nothing_ran(&agent, "a planted git").await;
        agent.scope.sandbox().close().await.expect("closed");
    }
}

#[tokio::test]
async fn what_is_not_a_repository_of_the_workspace_is_refused_or_named() {
    for agent in Agent::each("git-odd", &ToolSet::builtin()).await {
        let outside = tempfile::tempdir().expect("a directory");
        let made = std::process::Command::new("git").args(["init", "-q"]).arg(outside.path()).status();
        assert!(made.expect("git is installed").success());
        let outside = outside.path().display();
        let table = [
            (format!("ln -s {outside}/.git .git"), "a link or a file"),
            (format!("echo 'gitdir: {outside}/.git' >.git"), "a link or a file"),
            ("mkdir real && git init -q real && ln -s real/.git .git".to_owned(), "a link or a file"),
            ("mkfifo .git".to_owned(), "a link or a file"),
            ("git init -q . && mkfifo x && rm .git/config && mv x .git/config".to_owned(), "`.git/config` is a FIFO"),
            ("git init -q . && rm .git/HEAD && mkfifo .git/HEAD".to_owned(), "`.git/HEAD` is a FIFO"),
            ("git init -q . && mkfifo .gitignore".to_owned(), "`.gitignore` is a FIFO"),
            ("git init -q . && mkfifo .gitattributes".to_owned(), "`.gitattributes` is a FIFO"),
            ("mkdir .git".to_owned(), "not a usable repository"),
            ("git init -q . && echo '[core' >.git/config".to_owned(), "not a usable repository"),
            ("git init -q . && git config core.repositoryformatversion 99".to_owned(), "not a usable repository"),
            ("git init -q . && touch a && git add a && echo garbage >.git/index".to_owned(), "git failed"),
        ];
        for (make, expected) in table {
            agent.clear().await;
            agent.shell(&make).await;
            let text = agent.refusal("git_status", json!({})).await;
            assert!(text.contains(expected), "{}: {make}: {text}", agent.kind());
            if expected != "not a usable repository" {
                agent.refusal("git_init", json!({})).await;
            }
        }
        // A workspace beside a repository is not a part of it.
        agent.clear().await;
        let none = agent.status().await;
        assert_eq!(none.data["repository"], json!(false));
        // An empty `.git` becomes one.
        agent.shell("mkdir .git").await;
        agent.ok("git_init", json!({})).await;
        assert!(agent.status().await.text.contains("Initial commit"));
        let untouched =
            std::process::Command::new("git").args(["-C", &outside.to_string(), "rev-list", "--all"]).output();
        assert_eq!(untouched.expect("git is installed").stdout, b"");
        agent.scope.sandbox().close().await.expect("closed");
    }
}

#[tokio::test]
async fn a_worktree_with_anything_in_it_has_a_status() {
    for agent in Agent::each("git-worktree", &ToolSet::builtin()).await {
        agent.ok("git_init", json!({})).await;
        let names = "mkfifo fifo; ln -s loop loop; touch \"$(printf 'red\\033[31m')\" \"$(printf 'two\\nlines')\" \"$(printf 'bad\\377')\" \
                     '\"quoted\"' -- -rf; python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"sock\")' 2>/dev/null; true";
        agent.shell(names).await;
        let status = agent.status().await;
        let expected =
            [r#"?? "red\033[31m""#, r#"?? "two\nlines""#, r#"?? "bad\377""#, r#"?? "\"quoted\"""#, "?? -rf", "?? loop"];
        for line in expected {
            assert!(status.text.lines().any(|one| one == line), "{line}: {}", status.text);
        }
        assert!(!status.text.contains('\u{1b}'));
        // A name that a tool shows is one that a tool takes.
        agent.ok("read_file", json!({"path": r#""two\nlines""#})).await;
        agent.shell("printf 'subject \\033[2J\\033]0;x\\007end' | git commit -q --allow-empty -F -").await;
        let log = agent.status().await.text;
        assert!(log.contains("subject end") && !log.chars().any(|c| c.is_control() && c != '\n'), "{log}");
        // A lock that a killed git has left.
        agent.shell("touch .git/index.lock").await;
        agent.status().await;
        agent.shell("rm -rf .git/refs/heads/*").await;
        let locked = agent.refusal("git_init", json!({})).await;
        assert!(locked.contains("rm -f .git/index.lock"), "{locked}");
        agent.shell("rm -f .git/index.lock").await;
        agent.ok("git_init", json!({})).await;
        agent.scope.sandbox().close().await.expect("closed");
    }
}

#[tokio::test]
async fn a_status_of_very_many_files_is_cut_and_says_so() {
    for agent in Agent::each("git-many", &ToolSet::builtin()).await {
        agent.ok("git_init", json!({})).await;
        agent
            .shell("python3 -c '\nfor n in range(20000): open(\"a-file-with-a-rather-long-name-%05d\" % n, \"w\")'")
            .await;
        let status = agent.status().await;
        assert_eq!(status.data["changes"].as_array().map(Vec::len), Some(limits::GIT_STATUS_ENTRIES_MAX));
        assert!(status.data["is_cut"] == json!(true) && status.text.contains("at least "), "{}", status.text);
        assert!(status.text.len() < 16 * 1024 && status.text.contains("Initial commit"), "{}", status.text.len());
        agent.scope.sandbox().close().await.expect("closed");
    }
}
