//! `github_create_pr` against git's own server and an API on loopback.

use orkestra_tools::web::{AddressPolicy, GuardedClient};
use orkestra_tools::{Github, Secrets, ToolError, ToolSet};
use serde_json::{Value, json};

use super::Agent;
use super::server::{BASIC, Hub, TOKEN};

fn tools(hub: &Hub) -> ToolSet {
    let client = GuardedClient::new(AddressPolicy::global().with_loopback_port(hub.port)).expect("a client");
    let github = Github::new(client, TOKEN).and_then(|github| github.with_api_base(&hub.api())).expect("valid");
    ToolSet::builtin().with_github(&github)
}

fn arguments(head: &str) -> Value {
    json!({"owner": "acme", "repo": "app", "title": "Add a page", "body": "It works.", "head": head, "base": "main"})
}

/// A workspace with the repository of the hub and a branch with a commit.
async fn begin(agent: &Agent, hub: &Hub, branch: &str) {
    agent.clear().await;
    std::fs::write(agent.path().join("bundle"), hub.bundle()).expect("written");
    agent.shell("git clone -q bundle copy && mv copy/.git . && rm -rf copy bundle && git remote remove origin").await;
    agent.shell("git config user.name A; git config user.email a@example.com").await;
    commit(agent, branch, "page.html").await;
}

async fn commit(agent: &Agent, branch: &str, file: &str) -> String {
    let line = format!(
        "git switch -q {branch} 2>/dev/null || git switch -q -c {branch}; echo {file} >{file}; git add {file} && git commit -q -m {file}"
    );
    agent.shell(&line).await;
    agent.shell("git rev-parse HEAD").await
}

/// Nothing that an agent or a person sees has the token, and it was sent in one header only.
fn assert_no_token(agent: &Agent, hub: &Hub, outputs: &[String]) {
    for text in outputs {
        assert!(!text.contains(TOKEN) && !text.contains(BASIC), "{text}");
    }
    assert!(!format!("{:?}", agent.seen.happenings()).contains(TOKEN));
    for request in hub.seen() {
        let authorization = request.header("authorization").expect("each request has one").to_owned();
        assert!(authorization == format!("Bearer {TOKEN}") || authorization == format!("Basic {BASIC}"));
        let rest: Vec<&String> = request.head.iter().filter(|line| !line.contains(&authorization)).collect();
        let rest = format!("{rest:?} {} {} {}", request.path, request.query, String::from_utf8_lossy(&request.body));
        assert!(!rest.contains(TOKEN) && !rest.contains(BASIC), "{rest}");
    }
}

#[tokio::test]
async fn a_branch_is_pushed_and_a_pull_request_opened_and_updated() {
    for mut agent in Agent::each("git-push", &ToolSet::builtin()).await {
        let hub = Hub::start().await;
        agent.tools = tools(&hub);
        begin(&agent, &hub, "feature/page").await;
        agent.shell("touch not-committed").await;
        let first = agent.ok("github_create_pr", arguments("feature/page")).await;
        let head = agent.shell("git rev-parse HEAD").await;
        assert_eq!(hub.git(&["rev-parse", "refs/heads/feature/page"]), head);
        assert_eq!(hub.git(&["show", "feature/page:page.html"]), "page.html");
        hub.git(&["fsck", "--strict"]);
        assert_eq!(first.data["url"], "https://hub.example/acme/app/pull/1");
        assert_eq!((&first.data["pushed_commit"], &first.data["previous_commit"]), (&json!(head), &json!(null)));
        assert!(
            first.text.contains("#1") && first.text.contains("not committed, and they were not pushed"),
            "{}",
            first.text
        );
        let sent = hub.pulls();
        assert_eq!((&sent[0]["title"], &sent[0]["body"]), (&json!("Add a page"), &json!("It works.")));
        // The same call again changes nothing and finds what is there.
        let again = agent.ok("github_create_pr", arguments("feature/page")).await;
        assert!(again.data["existed"] == json!(true) && again.data["number"] == json!(1), "{}", again.text);
        assert!(again.text.contains("was there already"), "{}", again.text);
        // A later commit, through a merge, moves the branch forward.
        agent.shell("git switch -q -c side HEAD~1; touch side; git add side; git commit -q -m side; git switch -q feature/page; git merge -q side").await;
        let second = commit(&agent, "feature/page", "second.html").await;
        let moved = agent.ok("github_create_pr", arguments("feature/page")).await;
        assert_eq!((&moved.data["pushed_commit"], &moved.data["previous_commit"]), (&json!(second), &json!(head)));
        assert_eq!(hub.git(&["rev-parse", "refs/heads/feature/page"]), second);
        hub.git(&["fsck", "--strict"]);
        assert_eq!(hub.pulls().len(), 1);
        assert_eq!(agent.shell("ls -a .git | grep orkestra-push; true").await, "", "nothing is left");
        assert_no_token(&agent, &hub, &[first, again, moved].map(|output| format!("{output:?}")));
        assert_eq!(agent.shell(&format!("grep -rlF {TOKEN} . ; true")).await, "");
        agent.scope.sandbox().close().await.expect("closed");
    }
}

#[tokio::test]
async fn a_push_never_overwrites_commits_whatever_the_repository_claims() {
    let hub = Hub::start().await;
    for (number, agent) in Agent::each("git-force", &tools(&hub)).await.into_iter().enumerate() {
        let head = format!("shared{number}");
        begin(&agent, &hub, &head).await;
        agent.ok("github_create_pr", arguments(&head)).await;
        let theirs = hub.git(&["rev-parse", &head]);
        // Rewritten here.
        agent.shell("git commit -q --amend -m rewritten").await;
        let text = agent.refusal("github_create_pr", arguments(&head)).await;
        assert!(
            text.contains("never overwrites") && text.contains(&format!("git branch -m {head} {head}-2")),
            "{text}"
        );
        // The same with lies about ancestors: a graft, a replacement, a commit-graph.
        let lie = format!(
            "mkdir -p .git/info; echo \"$(git rev-parse HEAD) {theirs}\" >.git/info/grafts; git replace --graft HEAD {theirs}; \
             git commit-graph write --reachable; true"
        );
        agent.shell(&lie).await;
        assert_eq!(
            agent.shell(&format!("git merge-base --is-ancestor {theirs} HEAD 2>/dev/null && echo yes")).await,
            "yes",
            "git believes it"
        );
        agent.refusal("github_create_pr", arguments(&head)).await;
        // Commits there that are unknown here.
        begin(&agent, &hub, "other").await;
        agent
            .shell(&format!(
                "git branch -q -f {head} other; git reflog expire --expire=now --all; git gc -q --prune=now"
            ))
            .await;
        hub.git(&["update-ref", "refs/heads/unseen", &hub.git(&["commit-tree", "-m", "theirs", "main^{tree}"])]);
        commit(&agent, "unseen", "mine").await;
        agent.refusal("github_create_pr", arguments("unseen")).await;
        assert_eq!(hub.git(&["rev-parse", &head]), theirs);
        hub.git(&["update-ref", "-d", "refs/heads/unseen"]);
        agent.scope.sandbox().close().await.expect("closed");
    }
}

#[tokio::test]
async fn what_cannot_be_pushed_is_refused_with_the_next_step() {
    let hub = Hub::start().await;
    for agent in Agent::each("git-refused", &tools(&hub)).await {
        let with = |name: &str, value: &str| {
            let mut changed = arguments("feature");
            changed[name] = json!(value);
            changed
        };
        let none = agent.refusal("github_create_pr", arguments("feature")).await;
        assert!(none.contains("call git_init"), "{none}");
        begin(&agent, &hub, "feature").await;
        let table = [
            (with("owner", "../x"), "`owner`"),
            (with("owner", "acme/app?x="), "`owner`"),
            (with("repo", ".."), "`repo`"),
            (with("repo", "app#"), "`repo`"),
            (with("head", "a..b"), "`head`"),
            (with("head", "--upload-pack=touch ran-x"), "`head`"),
            (with("head", "x'; touch ran-y; '"), "`head`"),
            (with("base", "feature"), "both `feature`"),
            (with("title", " \u{200b}"), "`title`"),
            (with("title", &"x".repeat(300)), "`title`"),
            (with("body", &"x".repeat(70_000)), "`body`"),
            (with("repo", "other"), "not found (404)"),
            (with("base", "nowhere"), "no branch `nowhere` in acme/app"),
            (with("head", "missing"), "there is no branch `missing` in the workspace (`feature`"),
            // Even where it would be a fast-forward to the default branch.
            (
                json!({"owner": "acme", "repo": "app", "title": "t", "body": "", "head": "main", "base": "x"}),
                "default branch",
            ),
        ];
        for (arguments, expected) in table {
            let text = agent.refusal("github_create_pr", arguments).await;
            assert!(text.contains(expected), "{expected}: {text}");
        }
        agent.shell("git branch -q -f same main").await;
        let same = agent.refusal("github_create_pr", arguments("same")).await;
        assert!(same.contains("nothing to merge"), "{same}");
        assert_eq!(hub.git(&["for-each-ref", "--format=%(refname)"]), "refs/heads/main");
        assert!(hub.pulls().is_empty());
        assert_eq!(agent.shell("ls | grep ran-; true").await, "");
        agent.scope.sandbox().close().await.expect("closed");
    }
}

/// With the local sandbox alone: the answers do not depend on where git runs.
#[tokio::test]
async fn each_answer_of_the_server_has_its_own_words() {
    let hub = Hub::start().await;
    let agent = Agent::local(&tools(&hub)).await;
    begin(&agent, &hub, "feature").await;
    let echo = format!(r#"{{"message": "bad {TOKEN} \u001b[2J {BASIC}"}}"#);
    let advertised = "content-type: application/x-git-receive-pack-advertisement";
    let pushed = "`feature` is pushed to acme/app, but";
    let table: [(_, &str); 21] = [
        (("GET", "/app", 401, "", echo.clone()), "does not accept the token"),
        (("GET", "/app", 403, "", echo.clone()), "write access"),
        (
            ("GET", "/app", 403, "x-ratelimit-remaining: 0\nx-ratelimit-reset: 1700000000", String::new()),
            "after 22:13:20 UTC",
        ),
        (("GET", "/app", 301, "location: http://127.0.0.1:1/steal", String::new()), "has moved"),
        (("GET", "/app", 200, "", "<html>".to_owned()), "not GitHub's"),
        (("GET", "/app", 500, "", String::new()), "call again later"),
        (("GET", "/info/refs", 401, "", String::new()), "does not accept the token"),
        (("GET", "/info/refs", 302, "location: http://127.0.0.1:1/steal", String::new()), "has moved"),
        (("GET", "/info/refs", 200, "content-type: text/html", String::new()), "another content type"),
        (("GET", "/info/refs", 200, advertised, "nonsense".to_owned()), "no valid length"),
        (("GET", "/info/refs", 200, advertised, "x".repeat(20_000_000)), "too long"),
        (("POST", "/git-receive-pack", 403, "", echo.clone()), "write access"),
        (("POST", "/git-receive-pack", 307, "location: http://127.0.0.1:1/steal", String::new()), "has moved"),
        (("POST", "/git-receive-pack", 500, "", String::new()), "not known whether `feature` was pushed"),
        (
            ("POST", "/git-receive-pack", 200, "", "000eunpack ok\n0000".to_owned()),
            "not known whether `feature` was pushed",
        ),
        (("POST", "/pulls", 403, "", echo.clone()), pushed),
        (("POST", "/pulls", 422, "", r#"{"message": "No commits between main and feature"}"#.to_owned()), pushed),
        (("POST", "/pulls", 422, "", echo.clone()), pushed),
        (("POST", "/pulls", 502, "", String::new()), "not known whether the pull request was created"),
        (("POST", "/pulls", 201, "", "{}".to_owned()), "not known whether the pull request was created"),
        (("POST", "/pulls", 422, "", r#"{"message": "it already exists"}"#.to_owned()), "but it is not found"),
    ];
    let mut texts = Vec::new();
    for (fault, expected) in table {
        let what = format!("{} {} {}", fault.0, fault.1, fault.2);
        let is_after_push = fault.1 == "/pulls" || expected.contains("not known");
        hub.fail(fault);
        let error = agent.call("github_create_pr", arguments("feature")).await.expect_err(&what);
        assert_eq!(matches!(error, ToolError::Failed(_)), is_after_push, "{what}: {error}");
        let text = error.to_string();
        assert!(text.contains(expected) && text.len() < 900 && !text.contains('\u{1b}'), "{what}: {text}");
        texts.push(text);
    }
    assert!(texts.iter().any(|text| text.contains("[secret GITHUB_TOKEN]")), "what a server echoes is masked");
    let done = agent.ok("github_create_pr", arguments("feature")).await;
    texts.push(format!("{done:?}"));
    assert_no_token(&agent, &hub, &texts);
    // A branch that the server protects.
    hub.git(&["config", "receive.denyDeletes", "true"]);
    let hook = "#!/bin/sh\necho 'this branch is \x1b[31mprotected' >&2\nexit 1\n";
    let path = hub.git(&["rev-parse", "--absolute-git-dir"]) + "/hooks/pre-receive";
    std::fs::create_dir_all(std::path::Path::new(&path).parent().expect("a directory")).expect("created");
    std::fs::write(&path, hook).expect("written");
    std::os::unix::fs::chown(&path, None, None).expect("there");
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).expect("executable");
    commit(&agent, "feature", "third").await;
    let text = agent.refusal("github_create_pr", arguments("feature")).await;
    assert!(text.contains("pre-receive hook declined (the server says: this branch is protected)"), "{text}");
}

#[tokio::test]
async fn what_is_published_has_no_secrets_and_without_a_token_nothing_is() {
    let hub = Hub::start().await;
    let mut agent = Agent::local(&tools(&hub)).await;
    begin(&agent, &hub, "feature").await;
    agent.scope = agent.scope.with_secrets(Secrets::new([("MODEL_KEY", "sk-0123456789")]).expect("a secret"));
    let mut leaking = arguments("feature");
    leaking["body"] = json!(format!("the key is sk-0123456789 and the token {TOKEN}"));
    agent.ok("github_create_pr", leaking).await;
    assert_eq!(hub.pulls()[0]["body"], "the key is [secret MODEL_KEY] and the token [secret GITHUB_TOKEN]");
    agent.tools = ToolSet::builtin();
    let text = agent.refusal("github_create_pr", arguments("feature")).await;
    assert!(text.contains("GITHUB_TOKEN is not set"), "{text}");
}
