//! Which MCP servers there are and what they may do: data of the operator. It must never come from a tenant, a repository, a
//! workspace or a model. Values of secrets are not in it, only their names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use crate::limits::{MCP_CALL_TIMEOUT_DEFAULT, MCP_CALL_TIMEOUT_MAX, MCP_SERVERS_MAX};

/// Longest name of a server: with `__` it is the beginning of its tools' names, which providers limit to 64 characters.
const NAME_MAX: usize = 24;

/// Why MCP servers cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum McpError {
    /// The configuration is not TOML of the right form.
    #[error("cannot read the configuration of MCP servers: {0}")]
    Syntax(String),
    /// A field has a value that cannot be used.
    #[error("the MCP server `{server}` is not configured correctly: `{field}` {problem}")]
    Field {
        /// The name of the server.
        server: String,
        /// The field, with those that it is in.
        field: &'static str,
        /// What is wrong and what to write instead.
        problem: String,
    },
    /// A server does not start, or does not speak MCP.
    #[error(
        "cannot use the MCP server `{server}`: {problem}; correct its configuration, or set `optional = true` to go on without it"
    )]
    Start {
        /// The name of the server.
        server: String,
        /// What happened, with the end of what it printed.
        problem: String,
    },
    /// A secret cannot be masked.
    #[error(transparent)]
    Secrets(#[from] crate::SecretsError),
}

/// The MCP servers of an operator. `docs/mcp.md` describes every field.
///
/// ```
/// use orkestra_tools::mcp::McpConfig;
///
/// let config = McpConfig::from_toml(r#"
///     [[servers]]
///     name = "time"
///     transport.stdio.command = "/opt/mcp-time/bin/mcp-server-time"
///     transport.stdio.readable = ["/opt/mcp-time"]
/// "#)?;
/// assert_eq!(config.servers[0].name, "time");
/// # Ok::<(), orkestra_tools::mcp::McpError>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct McpConfig {
    /// The servers. Names are unique.
    #[serde(default)]
    pub servers: Vec<McpServer>,
}

/// One MCP server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct McpServer {
    /// The beginning of its tools' names, before `__`: letters, digits, `-` and single `_`.
    pub name: String,
    /// How it is reached.
    pub transport: McpTransport,
    /// The tools that agents get, by the server's own names; all if it is missing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<BTreeSet<String>>,
    /// Tools that agents do not get.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub deny: BTreeSet<String>,
    /// Whether a tool that says that it only reads is believed, and repeated when a crash interrupts it.
    #[serde(default)]
    pub trust_read_only: bool,
    /// Fingerprints that the operator consents to, by the server's own names of tools: a policy that asks once does not ask
    /// about these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub approved: BTreeMap<String, String>,
    /// The time of one call, seconds.
    #[serde(default = "call_timeout")]
    pub call_timeout_s: u64,
    /// Whether agents go on without it when it cannot be started at first.
    #[serde(default)]
    pub optional: bool,
}

/// How a server is reached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum McpTransport {
    /// A command in a sandbox, which reads and writes lines.
    Stdio(McpStdio),
    /// A streamable HTTP endpoint.
    Http(McpHttp),
}

/// A server that is a command in a sandbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct McpStdio {
    /// The command for `sh -c`.
    pub command: String,
    /// Its variables, beside the few that every command of a sandbox has. Nothing of this process's environment is passed on.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environment: BTreeMap<String, String>,
    /// Further variables, whose values are secrets that the embedder gives.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<String>,
    /// Where it runs.
    #[serde(default)]
    pub sandbox: McpPlace,
    /// Files and directories of this machine that it may read and execute (local sandbox).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub readable: Vec<PathBuf>,
    /// The image of its container (Docker).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Whether it has a network: `none`, `registries` or `open` (Docker); `none` if it is missing.
    #[serde(default)]
    pub network: McpNetwork,
}

/// The sandbox of a server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum McpPlace {
    /// A sandbox of its own with an empty workspace; one process serves all runs.
    #[default]
    Own,
    /// The sandbox of the run that calls it, with the run's workspace; one process for each run. Commands of the run's agents
    /// can see, read and end it.
    Run,
}

/// The network of a server's own sandbox.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum McpNetwork {
    /// None.
    #[default]
    None,
    /// Package registries.
    Registries,
    /// Everything that the machine reaches.
    Open,
}

/// A server behind an address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct McpHttp {
    /// Its address. Redirects are not followed.
    pub url: String,
    /// Headers of every request. `${NAME}` stands for a secret that the embedder gives.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Whether its host may have a private address. A loopback address is allowed when `url` names it.
    #[serde(default)]
    pub private_address: bool,
}

impl McpConfig {
    /// A configuration in TOML, checked.
    ///
    /// # Errors
    /// [`McpError::Syntax`] and [`McpError::Field`].
    pub fn from_toml(text: &str) -> Result<Self, McpError> {
        let config: Self = toml::from_str(text).map_err(|error| McpError::Syntax(error.to_string()))?;
        config.check()?;
        Ok(config)
    }

    /// The names of the secrets whose values [`McpOptions::with_secret`](super::McpOptions::with_secret) gives.
    #[must_use]
    pub fn secret_names(&self) -> BTreeSet<String> {
        self.servers.iter().flat_map(McpServer::secret_names).collect()
    }

    /// Checks every field.
    ///
    /// # Errors
    /// [`McpError::Field`] for the first that cannot be used.
    pub fn check(&self) -> Result<(), McpError> {
        if self.servers.len() > MCP_SERVERS_MAX {
            return Err(McpError::Syntax(format!("there are more than {MCP_SERVERS_MAX} servers; remove some")));
        }
        let mut names = BTreeSet::new();
        for server in &self.servers {
            server.check()?;
            if !names.insert(server.name.to_ascii_lowercase()) {
                return Err(server.wrong("name", "is the name of another server too; use another one"));
            }
        }
        Ok(())
    }
}

impl McpServer {
    /// A server that is a command in a sandbox of its own.
    pub fn stdio(name: impl Into<String>, command: impl Into<String>) -> Self {
        let stdio = McpStdio { command: command.into(), ..McpStdio::default() };
        Self::new(name.into(), McpTransport::Stdio(stdio))
    }

    /// A server behind an address.
    pub fn http(name: impl Into<String>, url: impl Into<String>) -> Self {
        let http = McpHttp { url: url.into(), ..McpHttp::default() };
        Self::new(name.into(), McpTransport::Http(http))
    }

    fn new(name: String, transport: McpTransport) -> Self {
        let (allow, deny, approved) = (None, BTreeSet::new(), BTreeMap::new());
        let call_timeout_s = call_timeout();
        Self { name, transport, allow, deny, trust_read_only: false, approved, call_timeout_s, optional: false }
    }

    /// Whether agents get the tool of this name.
    pub(super) fn gives(&self, tool: &str) -> bool {
        self.allow.as_ref().is_none_or(|allow| allow.contains(tool)) && !self.deny.contains(tool)
    }

    pub(super) fn secret_names(&self) -> Vec<String> {
        match &self.transport {
            McpTransport::Stdio(stdio) => stdio.secrets.clone(),
            McpTransport::Http(http) => http.headers.values().flat_map(|value| names_in(value)).collect(),
        }
    }

    fn wrong(&self, field: &'static str, problem: impl Into<String>) -> McpError {
        let server = self.name.chars().filter(|one| !one.is_control()).take(60).collect();
        McpError::Field { server, field, problem: problem.into() }
    }

    fn check(&self) -> Result<(), McpError> {
        let is_plain = |one: char| one.is_ascii_alphanumeric() || one == '-' || one == '_';
        let name = &self.name;
        let is_name = !name.is_empty() && name.len() <= NAME_MAX && name.chars().all(is_plain);
        if !is_name || name.contains("__") || name.starts_with('_') || name.ends_with('_') {
            let problem =
                format!("must be 1 to {NAME_MAX} letters, digits, `-` and single `_` within; use one such as `files`");
            return Err(self.wrong("name", problem));
        }
        if !(1..=MCP_CALL_TIMEOUT_MAX.as_secs()).contains(&self.call_timeout_s) {
            let problem = format!("must be 1 to {} seconds", MCP_CALL_TIMEOUT_MAX.as_secs());
            return Err(self.wrong("call_timeout_s", problem));
        }
        if let Some(tool) = self.allow.iter().flatten().find(|tool| self.deny.contains(*tool)) {
            return Err(self.wrong("deny", format!("has `{tool}`, which `allow` has too; remove it from one of them")));
        }
        match &self.transport {
            McpTransport::Stdio(stdio) => self.check_stdio(stdio),
            McpTransport::Http(http) => self.check_http(http),
        }
    }

    fn check_stdio(&self, stdio: &McpStdio) -> Result<(), McpError> {
        if stdio.command.trim().is_empty() || stdio.command.contains('\0') {
            return Err(self.wrong("transport.stdio.command", "must be a command line, such as `mcp-server-time`"));
        }
        for name in stdio.environment.keys().chain(&stdio.secrets) {
            if !is_variable(name) {
                let problem = format!("has `{name}`, which is not the name of a variable: letters, digits and `_`");
                return Err(self.wrong("transport.stdio.environment", problem));
            }
        }
        if let Some(name) = stdio.secrets.iter().find(|name| stdio.environment.contains_key(*name)) {
            let problem = format!("has `{name}`, which `environment` sets too; remove it there");
            return Err(self.wrong("transport.stdio.secrets", problem));
        }
        if stdio.environment.values().any(|value| value.contains('\0')) {
            return Err(self.wrong("transport.stdio.environment", "has a value with a NUL character"));
        }
        if stdio.sandbox == McpPlace::Run {
            if !stdio.secrets.is_empty() {
                let problem = "cannot be `run` for a server with `secrets`: commands of agents could read them from its process; use `own`";
                return Err(self.wrong("transport.stdio.sandbox", problem));
            }
            let own = !stdio.readable.is_empty() || stdio.image.is_some() || stdio.network != McpNetwork::None;
            if own {
                let problem =
                    "is `run`, where `readable`, `image` and `network` are those of the run; remove them or use `own`";
                return Err(self.wrong("transport.stdio.sandbox", problem));
            }
        }
        Ok(())
    }

    fn check_http(&self, http: &McpHttp) -> Result<(), McpError> {
        const FIELD: &str = "transport.http.url";
        let url = Url::parse(&http.url).map_err(|error| {
            self.wrong(FIELD, format!("is not an address: {error}; use one such as https://mcp.example.com/mcp"))
        })?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(self.wrong(FIELD, "must begin with https:// or http://"));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(self.wrong(FIELD, "has credentials in it; put them into `headers`, as a secret"));
        }
        let has_secret = http.headers.values().any(|value| !names_in(value).is_empty());
        if url.scheme() == "http" && has_secret && !http.private_address && !is_loopback(&url) {
            return Err(self.wrong(FIELD, "sends secrets without encryption; use https"));
        }
        for (name, value) in &http.headers {
            let is_name = reqwest::header::HeaderName::try_from(name.as_str()).is_ok();
            if !is_name || reqwest::header::HeaderValue::from_str(value).is_err() {
                let problem = format!("has `{}`, which is not a valid header", name.escape_default());
                return Err(self.wrong("transport.http.headers", problem));
            }
        }
        Ok(())
    }
}

/// Whether the operator wrote a loopback address.
pub(super) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

fn is_variable(name: &str) -> bool {
    let is_word = name.chars().all(|one| one.is_ascii_alphanumeric() || one == '_');
    is_word && !name.is_empty() && !name.starts_with(|one: char| one.is_ascii_digit())
}

/// The names of `${NAME}` in a text.
fn names_in(text: &str) -> Vec<String> {
    let parts = text.split("${").skip(1);
    parts.filter_map(|part| Some(part.split_once('}')?.0.to_owned())).filter(|name| is_variable(name)).collect()
}

/// A text with `${NAME}` replaced by the values that are known.
pub(super) fn filled(text: &str, values: &BTreeMap<String, String>) -> String {
    names_in(text).iter().fold(text.to_owned(), |text, name| match values.get(name) {
        Some(value) => text.replace(&format!("${{{name}}}"), value),
        None => text,
    })
}

fn call_timeout() -> u64 {
    MCP_CALL_TIMEOUT_DEFAULT.as_secs()
}
