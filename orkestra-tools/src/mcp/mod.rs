//! The tools of any MCP server, as tools of agents: servers that are commands in a sandbox, and servers behind an address.
//!
//! ```text
//! McpConfig (the operator's) -> McpTools::connect -> Server: sandbox | guarded HTTP -> Wire -> rmcp
//! ToolSet::with_source(McpTools) -> agents see `server__tool` -> McpTool::call -> Server::call -> answer
//! ```
//! A server is a stranger: its descriptions, schemas and answers are capped, cleaned and fenced, its requests are refused, and it
//! gets no environment but the named one. A policy asks about its tools ([`crate::policy`]), once for each description: one that
//! changed asks again. `docs/mcp.md` says what an operator has to know, with the test of each guarantee.
//!
//! rmcp speaks the protocol; the transports are of this module, because they are where a hostile server is met.

mod answer;
mod config;
mod connection;
mod definition;
mod http;
mod places;
mod read_answer;
mod schema;
mod server;
mod stdio;
mod tool;
mod wire;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use url::Url;

pub use config::{McpConfig, McpError, McpHttp, McpNetwork, McpPlace, McpServer, McpStdio, McpTransport};
pub use places::{McpSandboxFactory, McpSandboxes};
use server::{Server, Supplies};
use tool::McpTool;

use crate::secrets::Secrets;
use crate::tool::{ToolSource, typed};
use crate::toolset::ToolSet;
use crate::web::{AddressPolicy, GuardedClient};

/// What [`McpTools::connect`] needs besides the configuration.
#[derive(Clone)]
pub struct McpOptions {
    sandboxes: Arc<dyn McpSandboxFactory>,
    values: BTreeMap<String, String>,
}

impl McpOptions {
    /// Servers that are commands get their sandboxes from here.
    #[must_use]
    pub fn new(sandboxes: Arc<dyn McpSandboxFactory>) -> Self {
        Self { sandboxes, values: BTreeMap::new() }
    }

    /// Gives the value of a secret that the configuration names. It is masked in all that comes from a server.
    #[must_use]
    pub fn with_secret(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.values.insert(name.into(), value.into());
        self
    }
}

/// The tools of the servers of one configuration: a [`ToolSource`] for [`ToolSet::with_source`]. Cheap to clone.
///
/// Processes of servers end with [`McpTools::close`], with the last clone, and with this process.
#[derive(Clone)]
pub struct McpTools {
    inner: Arc<Inner>,
}

struct Inner {
    servers: Vec<Arc<Server>>,
    warnings: Vec<String>,
    values: BTreeMap<String, String>,
    /// The tools as they are now; `None` when they have to be collected again.
    tools: Arc<Mutex<Option<ToolSet>>>,
}

impl McpTools {
    /// Starts the servers and reads their lists of tools, all at the same time.
    ///
    /// # Errors
    /// [`McpError::Field`] and [`McpError::Secrets`] for the configuration; [`McpError::Start`] for a server that cannot be used
    /// and is not optional: the others are ended.
    pub async fn connect(config: McpConfig, options: McpOptions) -> Result<Self, McpError> {
        config.check()?;
        let names = config.secret_names();
        let values: BTreeMap<String, String> =
            options.values.into_iter().filter(|(name, _)| names.contains(name)).collect();
        if let Some((server, name)) = config.servers.iter().find_map(|server| {
            let missing = server.secret_names().into_iter().find(|name| !values.contains_key(name))?;
            Some((server, missing))
        }) {
            let (server, field) = (server.name.clone(), "transport");
            let problem = format!("needs the secret `{name}`, which has no value; give it one");
            return Err(McpError::Field { server, field, problem });
        }
        let secrets = Secrets::new(values.clone())?;
        let tools = Arc::new(Mutex::new(None));
        let mut servers = Vec::new();
        for spec in config.servers {
            let client = client(&spec)?;
            let (values, secrets, sandboxes) = (values.clone(), secrets.clone(), Arc::clone(&options.sandboxes));
            let collected: Weak<Mutex<Option<ToolSet>>> = Arc::downgrade(&tools);
            let changed = move || {
                if let Some(tools) = collected.upgrade() {
                    *tools.lock().unwrap_or_else(PoisonError::into_inner) = None;
                }
            };
            servers.push(Server::new(spec, Supplies { secrets, values, sandboxes, client }, Box::new(changed)));
        }
        let started = futures_util::future::join_all(servers.iter().map(Server::introduce)).await;
        let mut warnings = Vec::new();
        let mut failed = None;
        for (server, started) in servers.iter().zip(started) {
            if let Err(problem) = started {
                let server_name = server.spec.name.clone();
                let error = McpError::Start { server: server_name, problem: secrets.masked(problem) };
                if server.spec.optional {
                    tracing::warn!("{error}");
                    warnings.push(error.to_string());
                } else {
                    failed = failed.or(Some(error));
                }
            }
        }
        let tools = Self { inner: Arc::new(Inner { servers, warnings, values, tools }) };
        match failed {
            None => Ok(tools),
            Some(error) => {
                tools.close().await;
                Err(error)
            }
        }
    }

    /// What is wrong with servers and their tools, each a sentence: tools that are left out, optional servers that do not start.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let of_servers = self.inner.servers.iter().flat_map(|server| server.warnings());
        self.inner.warnings.iter().cloned().chain(of_servers).collect()
    }

    /// These secrets and those of the servers.
    ///
    /// # Errors
    /// As [`Secrets::with`].
    pub fn masking(&self, secrets: &Secrets) -> Result<Secrets, crate::SecretsError> {
        secrets.with(self.inner.values.clone())
    }

    /// The fingerprints of all tools, by server and the server's own name of the tool: what `approved` of a configuration takes.
    #[must_use]
    pub fn fingerprints(&self) -> BTreeMap<String, BTreeMap<String, String>> {
        let of = |server: &Arc<Server>| {
            let definitions = server.definitions();
            let pairs = definitions.iter().map(|one| (one.original.clone(), one.fingerprint.clone()));
            (server.spec.name.clone(), pairs.collect())
        };
        self.inner.servers.iter().map(of).collect()
    }

    /// Ends every server. Later calls start them again.
    pub async fn close(&self) {
        for server in &self.inner.servers {
            server.close().await;
        }
    }

    fn collect(&self) -> ToolSet {
        let mut set = ToolSet::empty();
        for server in &self.inner.servers {
            for definition in server.definitions().iter() {
                set = set.with(Arc::new(McpTool::new(Arc::clone(server), definition.clone())));
            }
        }
        if set.iter().next().is_some() { set.with(typed(read_answer::ReadAnswer)) } else { set }
    }
}

impl ToolSource for McpTools {
    fn tools(&self) -> ToolSet {
        let mut tools = self.inner.tools.lock().unwrap_or_else(PoisonError::into_inner);
        tools.get_or_insert_with(|| self.collect()).clone()
    }
}

impl fmt::Debug for McpTools {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_list().entries(self.inner.servers.iter().map(|server| &server.spec.name)).finish()
    }
}

/// The client for a server behind an address: it connects to what the operator named, and to nothing else.
fn client(server: &McpServer) -> Result<Option<GuardedClient>, McpError> {
    let McpTransport::Http(http) = &server.transport else { return Ok(None) };
    let wrong = |problem: String| McpError::Field { server: server.name.clone(), field: "transport.http.url", problem };
    let url = Url::parse(&http.url).map_err(|error| wrong(error.to_string()))?;
    let mut policy = AddressPolicy::global();
    if http.private_address {
        policy = policy.with_private_host(url.host_str().unwrap_or_default());
    }
    if config::is_loopback(&url)
        && let Some(port) = url.port_or_known_default()
    {
        policy = policy.with_loopback_port(port);
    }
    GuardedClient::new(policy).map(Some).map_err(|error| wrong(error.to_string()))
}
