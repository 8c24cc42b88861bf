//! What is to be decided on: a tool call, or a host.

use serde_json::Value;

/// Arguments that name paths, by the names that our tools and common MCP servers use.
const PATH_ARGUMENTS: [&str; 7] = ["path", "paths", "file", "files", "file_path", "source", "destination"];
const COMMAND_ARGUMENTS: [&str; 2] = ["command", "commands"];
const HOST_ARGUMENTS: [&str; 4] = ["url", "urls", "uri", "host"];
/// What stands before a path in a patch.
const PATCH_HEADERS: [&str; 10] = [
    "--- ", "+++ ", "*** Add File: ", "*** Update File: ", "*** Delete File: ", "*** Move to: ", "rename from ",
    "rename to ", "copy from ", "copy to ",
];

/// A tool call, or a host, to decide on.
///
/// ```
/// use orkestra_tools::policy::PolicyRequest;
/// use serde_json::json;
///
/// let request = PolicyRequest::call("run_command", &json!({"command": "git push"}));
/// assert_eq!(request.commands, ["git push"]);
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PolicyRequest {
    /// The tool; empty for a host alone.
    pub tool: String,
    /// Paths in the arguments.
    pub paths: Vec<String>,
    /// Command lines in the arguments.
    pub commands: Vec<String>,
    /// Hosts of addresses in the arguments.
    pub hosts: Vec<String>,
    /// Whether a relative path in a command line is relative to a directory other than the workspace.
    pub has_cwd: bool,
}

impl PolicyRequest {
    /// A call of a tool. Paths, commands and hosts are taken from its arguments by their names; of a `patch`, from its headers.
    #[must_use]
    pub fn call(tool: impl Into<String>, arguments: &Value) -> Self {
        let mut request = Self { tool: tool.into(), ..Self::default() };
        for (name, value) in arguments.as_object().into_iter().flatten() {
            let name = name.as_str();
            for text in texts(value) {
                if PATH_ARGUMENTS.contains(&name) {
                    request.paths.push(text.to_owned());
                } else if COMMAND_ARGUMENTS.contains(&name) {
                    request.commands.push(text.to_owned());
                } else if HOST_ARGUMENTS.contains(&name) {
                    request.hosts.push(host_of(text));
                } else if name == "patch" {
                    request.paths.extend(patched(text));
                } else if name == "cwd" {
                    request.has_cwd |= super::matching::cleaned(text) != ".";
                }
            }
        }
        request
    }

    /// A connection to a host, by whatever means.
    #[must_use]
    pub fn host(host: impl Into<String>) -> Self {
        Self { hosts: vec![host_of(&host.into())], ..Self::default() }
    }
}

fn texts(value: &Value) -> Vec<&str> {
    match value {
        Value::String(text) => vec![text],
        Value::Array(values) => values.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// The host of an address, in lower case and without a final dot.
fn host_of(address: &str) -> String {
    let rest = address.split_once("://").map_or(address, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#', '\\']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    let is_ipv6 = host.starts_with('[');
    let host = if is_ipv6 { host.split(']').next().unwrap_or_default().trim_start_matches('[') } else { host.split(':').next().unwrap_or_default() };
    host.trim().trim_end_matches('.').to_lowercase()
}

fn patched(text: &str) -> Vec<String> {
    let path = |line: &str| {
        let path = PATCH_HEADERS.iter().find_map(|header| line.strip_prefix(header))?;
        let path = path.split('\t').next().unwrap_or(path).trim();
        Some(path.strip_prefix("a/").or_else(|| path.strip_prefix("b/")).unwrap_or(path).to_owned())
    };
    text.lines().filter_map(path).filter(|path| path != "/dev/null").collect()
}
