//! `git_init` and `git_status` on ordinary repositories.

use orkestra_tools::{Happening, ToolSet, limits};
use serde_json::json;

use super::Agent;

#[tokio::test]
async fn a_repository_is_made_with_everything_in_its_first_commit() {
    for agent in Agent::each("git-init", &ToolSet::builtin()).await {
        let none = agent.status().await;
        assert!(none.text.contains("git_init") && none.data == json!({"repository": false}), "{none:?}");
        agent.shell("mkdir -p src node_modules && touch src/main.py node_modules/x .env").await;
        let made = agent.ok("git_init", json!({"message": "It's $(the) `first`\n\n# not a comment"})).await;
        assert!(made.text.contains("first commit") && made.text.contains("2 files"), "{}", made.text);
        assert_eq!((&made.data["branch"], &made.data["created"]), (&json!("main"), &json!(true)));
        assert_eq!(agent.shell("git ls-files").await, ".gitignore\nsrc/main.py");
        assert_eq!(
            agent.shell("git log --format='%B%an <%ae>'").await.lines().collect::<Vec<_>>(),
            ["It's $(the) `first`", "", "# not a comment", "Orkestra agent <agent@orkestra.invalid>"]
        );
        assert_eq!(agent.shell("git rev-parse HEAD").await, made.data["commit"]);
        let written =
            |happening: &Happening| matches!(happening, Happening::FileWritten { path, .. } if path == ".gitignore");
        assert!(agent.seen.happenings().iter().any(written));
        // Commands commit without further settings.
        let committed = agent.shell("echo 1 >> src/main.py; git add -A && git commit -q -m second && echo done").await;
        assert_eq!(committed, "done");
        let again = agent.ok("git_init", json!({})).await;
        assert!(again.text.contains("Nothing was changed") && again.data["created"] == json!(false), "{}", again.text);
        assert_eq!(agent.shell("git rev-list --count HEAD").await, "2");
        agent.scope.sandbox().close().await.expect("closed");
    }
}

#[tokio::test]
async fn what_is_there_already_is_kept() {
    for agent in Agent::each("git-kept", &ToolSet::builtin()).await {
        let empty = agent.ok("git_init", json!({"message": " "})).await;
        assert!(empty.data["files"] == json!(1) && empty.data["gitignore_written"] == json!(true), "{empty:?}");
        assert_eq!(agent.shell("git log --format=%s").await, "Initial commit");
        // A .gitignore of its own, and files that it should have named.
        agent.clear().await;
        agent.shell("echo mine > .gitignore; echo KEY=1 > .env; touch mine 'a b'").await;
        let own = agent.ok("git_init", json!({})).await;
        assert_eq!(
            (agent.shell("cat .gitignore").await.as_str(), &own.data["gitignore_written"]),
            ("mine", &json!(false))
        );
        assert!(
            own.text.contains("may hold secrets were committed: .env") && own.data["files"] == json!(3),
            "{}",
            own.text
        );
        // A repository without a commit, on another branch, which ignores everything.
        agent.clear().await;
        agent.shell("git init -q -b trunk . && echo '*' > .gitignore && git config user.name Somebody").await;
        let unborn = agent.status().await;
        assert!(unborn.text.contains("On branch trunk, without a commit yet: git_init"), "{}", unborn.text);
        let trunk = agent.ok("git_init", json!({})).await;
        assert_eq!((&trunk.data["branch"], &trunk.data["files"]), (&json!("trunk"), &json!(0)));
        assert_eq!(agent.shell("git config user.name").await, "Somebody", "its configuration is not changed");
        // A dangling link in the place of the .gitignore, and a repository within.
        agent.clear().await;
        agent.shell("ln -s /nowhere .gitignore; git init -q sub; cd sub; git -c user.name=a -c user.email=b commit -q --allow-empty -m x").await;
        let nested = agent.ok("git_init", json!({})).await;
        assert!(nested.text.contains("as links, without their files: sub"), "{}", nested.text);
        assert_eq!(agent.shell("readlink .gitignore").await, "/nowhere");
        let long = agent.refusal("git_init", json!({"message": "x".repeat(limits::GIT_MESSAGE_BYTES_MAX + 1)})).await;
        assert!(long.contains("shorter"), "{long}");
        agent.refusal("git_init", json!({"message": "a\u{0}b"})).await;
        agent.scope.sandbox().close().await.expect("closed");
    }
}

#[tokio::test]
async fn the_status_has_changes_and_the_last_five_commits() {
    for agent in Agent::each("git-status", &ToolSet::builtin()).await {
        agent.shell("touch kept staged gone 'with space'").await;
        agent.ok("git_init", json!({})).await;
        for number in 0..6 {
            agent.shell(&format!("git commit -q --allow-empty -m 'commit {number}\n\nbody'")).await;
        }
        let clean = agent.status().await;
        assert!(clean.text.contains("On branch main.\nNothing to commit."), "{}", clean.text);
        agent
            .shell("echo 1 > staged; git add staged; echo 2 > 'with space'; rm gone; mkdir new; touch new/a new/b")
            .await;
        let status = agent.status().await;
        for line in ["M  staged", " M with space", " D gone", "?? new/", "4 changed files"] {
            assert!(status.text.contains(line), "{line}: {}", status.text);
        }
        let subjects = status.data["commits"].as_array().expect("a list");
        let subjects: Vec<_> = subjects.iter().filter_map(|commit| commit["subject"].as_str()).collect();
        assert_eq!(subjects, ["commit 5", "commit 4", "commit 3", "commit 2", "commit 1"]);
        assert_eq!(status.data["changes"][0]["state"].as_str().map(str::len), Some(2));
        // From another directory of the container, and detached.
        agent.shell("git stash -q -u; git switch -q --detach").await;
        let detached = agent.status().await;
        assert!(detached.text.contains("detached HEAD") && detached.data["branch"].is_null(), "{}", detached.text);
        let wrong = agent.call("git_status", json!({"path": "src"})).await.expect_err("there is no such argument");
        assert!(wrong.to_string().contains("path"), "{wrong}");
        agent.scope.sandbox().close().await.expect("closed");
    }
}
