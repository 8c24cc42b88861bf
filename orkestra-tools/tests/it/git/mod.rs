//! Git tools in both sandboxes, with hostile repositories, and pushes to a real git server on loopback.

mod hostile;
mod init_status;
mod push;
mod server;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use orkestra_tools::{Command, Sandbox, ToolError, ToolOutput, ToolScope, ToolSet, Workspace};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Recorder, docker, docker_options, local, run_id};

/// An agent with a sandbox of its own.
struct Agent {
    _root: TempDir,
    tools: ToolSet,
    scope: ToolScope,
    seen: Arc<Recorder>,
}

impl Agent {
    /// One agent for each sandbox that there is.
    async fn each(name: &str, tools: &ToolSet) -> Vec<Self> {
        let mut agents = vec![Self::local(tools).await];
        if let Some(options) = docker_options().await {
            let root = TempDir::new().expect("a temporary directory");
            let sandbox = docker(options, &run_id(name), &root.path().join("workspace")).await;
            let agent = Self::of(root, sandbox, tools);
            if agent.shell("command -v git >/dev/null || echo none").await.is_empty() {
                agents.push(agent);
            } else {
                agent.scope.sandbox().close().await.expect("closed");
                eprintln!("\n==== SKIPPED on Docker: its image has no git ====\n");
            }
        }
        agents
    }

    async fn local(tools: &ToolSet) -> Self {
        let root = TempDir::new().expect("a temporary directory");
        let sandbox = local(&root.path().join("workspace")).await;
        Self::of(root, sandbox, tools)
    }

    fn of(root: TempDir, sandbox: Arc<dyn Sandbox>, tools: &ToolSet) -> Self {
        let seen = Arc::new(Recorder::default());
        let workspace = Workspace::open(sandbox.workspace().path()).expect("opened");
        let scope = ToolScope::new(workspace, sandbox, root.path().join("artifacts"), seen.clone());
        Self { _root: root, tools: tools.clone(), scope, seen }
    }

    fn kind(&self) -> &'static str {
        self.scope.sandbox().kind()
    }

    fn path(&self) -> &Path {
        self.scope.workspace().path()
    }

    /// The output of a command, as an agent runs it.
    async fn shell(&self, line: &str) -> String {
        let command = Command::new(line).with_timeout(Duration::from_secs(60));
        self.scope.sandbox().execute(command, self.seen.as_ref()).await.expect(line).output.trim().to_owned()
    }

    async fn call(&self, name: &str, arguments: Value) -> Result<ToolOutput, ToolError> {
        self.tools.call(&self.scope, name, arguments).await
    }

    async fn ok(&self, name: &str, arguments: Value) -> ToolOutput {
        self.call(name, arguments).await.unwrap_or_else(|error| panic!("{}: {name}: {error}", self.kind()))
    }

    async fn refusal(&self, name: &str, arguments: Value) -> String {
        let error = self.call(name, arguments).await.expect_err(name);
        assert!(error.is_for_model(), "{error}");
        let text = error.to_string();
        assert!(!text.ends_with('.') && text.len() < 900 && !text.chars().any(char::is_control), "{text}");
        text
    }

    async fn status(&self) -> ToolOutput {
        self.ok("git_status", json!({})).await
    }

    /// Removes everything, for the next case.
    async fn clear(&self) {
        self.shell("find . -mindepth 1 -delete").await;
    }
}
