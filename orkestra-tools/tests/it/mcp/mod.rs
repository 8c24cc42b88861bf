//! The tools of MCP servers: a server that misbehaves, one over HTTP, and two that others wrote.

mod http;
mod real;
mod servers;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use orkestra_tools::mcp::{McpConfig, McpError, McpOptions, McpSandboxes, McpServer, McpTools};
use orkestra_tools::{LocalOptions, ToolError, ToolOutput, ToolScope, ToolSet, ToolSource as _, Unobserved, Workspace};
use serde_json::Value;

use crate::support;

/// Servers in local sandboxes, and an agent's scope.
pub(crate) struct Bench {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) scope: ToolScope,
}

impl Bench {
    pub(crate) async fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("run");
        let workspace = Workspace::open(&path).expect("a workspace");
        let sandbox = support::local(&path).await;
        let scope = ToolScope::new(workspace, sandbox, directory.path().join("artifacts"), Arc::new(Unobserved));
        Self { directory, scope }
    }

    pub(crate) fn options(&self, readable: &[PathBuf]) -> McpOptions {
        let mut options = LocalOptions::default();
        options.readable = readable.to_vec();
        McpOptions::new(Arc::new(McpSandboxes::local(self.directory.path().join("servers"), options)))
    }

    pub(crate) async fn connect(&self, servers: Vec<McpServer>) -> Result<McpTools, McpError> {
        let mut config = McpConfig::default();
        config.servers = servers;
        McpTools::connect(config, self.options(&[tests_directory()])).await
    }

    pub(crate) async fn call(&self, tools: &McpTools, name: &str, arguments: Value) -> Result<ToolOutput, ToolError> {
        self.set(tools).call(&self.scope, name, arguments).await
    }

    pub(crate) fn set(&self, tools: &McpTools) -> ToolSet {
        tools.tools()
    }
}

pub(crate) fn tests_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/mcp")
}

/// The server of `fake.py`.
pub(crate) fn fake(name: &str, mode: &str) -> McpServer {
    McpServer::stdio(name, format!("python3 {}/fake.py {mode}", tests_directory().display()))
}
