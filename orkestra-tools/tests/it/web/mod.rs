//! The web tools and the guarded client, against real servers on loopback.

mod browser;
#[cfg(all(unix, feature = "chromium"))]
mod chromium;
mod client;
mod own_server;
mod search;
mod server;

use std::path::Path;
use std::sync::Arc;

use orkestra_tools::web::{AddressPolicy, GuardedClient, WebTools};
use orkestra_tools::{Sandbox, ToolError, ToolOutput, ToolScope, ToolSet, Unobserved};
use serde_json::Value;
use tempfile::TempDir;

use self::server::Server;
use crate::support::local;

/// A client for which the ports of these servers are open.
fn client_of(servers: &[&Server]) -> GuardedClient {
    let open = |policy: AddressPolicy, server: &&Server| policy.with_loopback_port(server.port);
    GuardedClient::new(servers.iter().fold(AddressPolicy::global(), open)).expect("a client")
}

/// An agent with the web tools.
struct Agent {
    _root: TempDir,
    tools: ToolSet,
    scope: ToolScope,
}

impl Agent {
    async fn new(web: &WebTools) -> Self {
        Self::of(ToolSet::builtin().with_web(web)).await
    }

    async fn of(tools: ToolSet) -> Self {
        let root = TempDir::new().expect("a temporary directory");
        let sandbox = local(&root.path().join("workspace")).await;
        Self::within(tools, root, sandbox)
    }

    /// In this sandbox, whose workspace is in `root`.
    fn within(tools: ToolSet, root: TempDir, sandbox: Arc<dyn Sandbox>) -> Self {
        let workspace = sandbox.workspace().clone();
        let scope = ToolScope::new(workspace, sandbox, root.path().join("artifacts"), Arc::new(Unobserved));
        Self { _root: root, tools, scope }
    }

    async fn call(&self, name: &str, arguments: Value) -> Result<ToolOutput, ToolError> {
        self.tools.call(&self.scope, name, arguments).await
    }

    async fn text(&self, name: &str, arguments: Value) -> String {
        self.call(name, arguments).await.expect(name).text
    }

    async fn refusal(&self, name: &str, arguments: Value) -> String {
        let error = self.call(name, arguments).await.expect_err(name);
        assert!(error.is_for_model(), "{error}");
        error.to_string()
    }
}

fn exists(path: &str) -> bool {
    Path::new(path).exists()
}
