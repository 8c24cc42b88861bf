//! What is to be decided on: a tool call, or a host.

use serde_json::Value;

use crate::limits::{PATH_BYTES_MAX, POLICY_GUESSES_MAX};
use crate::tools::apply_patch;
use crate::workspace::{Workspace, parse_path};

/// Arguments that name paths, by the names that our tools and common MCP servers use.
const PATH_ARGUMENTS: [&str; 9] =
    ["path", "paths", "file", "files", "file_path", "filename", "directory", "source", "destination"];
const COMMAND_ARGUMENTS: [&str; 2] = ["command", "commands"];
const HOST_ARGUMENTS: [&str; 4] = ["url", "urls", "uri", "host"];
/// What stands before a path in a patch.
const PATCH_HEADERS: [&str; 10] = [
    "--- ",
    "+++ ",
    "*** Add File: ",
    "*** Update File: ",
    "*** Delete File: ",
    "*** Move to: ",
    "rename from ",
    "rename to ",
    "copy from ",
    "copy to ",
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
    /// Texts in the arguments that may be paths, where a tool does not say: rules on paths that ask or deny match them, those
    /// that allow do not.
    pub possible_paths: Vec<String>,
    /// Command lines in the arguments.
    pub commands: Vec<String>,
    /// Hosts of addresses in the arguments.
    pub hosts: Vec<String>,
    /// Whether there are more such texts than [`POLICY_GUESSES_MAX`]: then rules on paths that ask or deny match.
    pub has_more_texts: bool,
    /// Whether a relative path in a command line is relative to a directory other than the workspace.
    pub has_cwd: bool,
}

impl PolicyRequest {
    /// A call of a tool. Paths, commands and hosts are taken from its arguments by their names, at any
    /// depth; of a `patch`, from its headers.
    #[must_use]
    pub fn call(tool: impl Into<String>, arguments: &Value) -> Self {
        let mut request = Self { tool: tool.into(), ..Self::default() };
        request.read("", arguments);
        request
    }

    /// As [`Self::call`], for a tool that does not say what of its arguments are paths.
    #[must_use]
    pub fn call_of_unknown(tool: impl Into<String>, arguments: &Value) -> Self {
        let mut request = Self::call(tool, arguments);
        request.guess(arguments);
        request
    }

    /// Adds paths that a tool names.
    #[must_use]
    pub fn with_paths<P: AsRef<str>>(mut self, paths: impl IntoIterator<Item = P>) -> Self {
        paths.into_iter().for_each(|path| self.path(path.as_ref()));
        self
    }

    /// Adds what the paths lead to through symbolic links in this workspace: a rule holds for a file under each of its names.
    /// Blocks on disk I/O. A command can change a link after it was looked at.
    #[must_use]
    pub fn with_links_of(mut self, workspace: &Workspace) -> Self {
        let target = |path: &String| workspace.target(path).filter(|target| target != path);
        let targets: Vec<String> = self.paths.iter().filter_map(target).collect();
        let possible: Vec<String> = self.possible_paths.iter().filter_map(target).collect();
        self.paths.extend(targets);
        self.possible_paths.extend(possible);
        self
    }

    /// Every text that is short enough for a path.
    fn guess(&mut self, value: &Value) {
        match value {
            Value::String(text) => self.may_be_path(text),
            Value::Array(values) => values.iter().for_each(|value| self.guess(value)),
            Value::Object(fields) => fields.iter().for_each(|(name, value)| {
                // A map from paths to contents is common. Names of arguments are not paths in themselves, and match no rule.
                self.may_be_path(name);
                self.guess(value);
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn may_be_path(&mut self, text: &str) {
        if self.possible_paths.len() >= POLICY_GUESSES_MAX {
            self.has_more_texts = true;
        } else if !text.is_empty() && text.len() <= PATH_BYTES_MAX && !text.contains('\n') {
            self.possible_paths.push(text.strip_prefix("file://").unwrap_or(text).to_owned());
        }
    }

    /// Reads the argument `name`, and what is in it.
    fn read(&mut self, name: &str, value: &Value) {
        match value {
            Value::String(text) if PATH_ARGUMENTS.contains(&name) => self.path(text),
            Value::String(text) if COMMAND_ARGUMENTS.contains(&name) => self.commands.push(text.clone()),
            Value::String(text) if HOST_ARGUMENTS.contains(&name) => self.hosts.push(host_of(text)),
            Value::String(text) if name == "patch" => {
                patched(text).iter().for_each(|path| self.path(path));
                // What the tool itself reads: also the files of a patch without such lines.
                apply_patch::paths(text).iter().for_each(|path| self.path(path));
            }
            Value::String(text) if name == "cwd" => self.has_cwd |= super::matching::cleaned(text) != ".",
            Value::Array(values) => values.iter().for_each(|value| self.read(name, value)),
            Value::Object(fields) => fields.iter().for_each(|(name, value)| self.read(name, value)),
            Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    /// A path as it is written, and as our tools read it: they decode a path in double quotes, and other tools may not.
    fn path(&mut self, text: &str) {
        let decoded = parse_path(text).map(|path| path.to_string_lossy().into_owned());
        self.paths.extend(decoded.ok().filter(|decoded| decoded != text));
        self.paths.push(text.to_owned());
    }

    /// A connection to a host, by whatever means.
    #[must_use]
    pub fn host(host: impl Into<String>) -> Self {
        Self { hosts: vec![host_of(&host.into())], ..Self::default() }
    }
}

/// The host of an address as browsers read it, or of `host:port`; in lower case and without a final dot.
fn host_of(address: &str) -> String {
    let host = |text: &str| url::Url::parse(text).ok()?.host_str().map(str::to_owned);
    let host = host(address).or_else(|| host(&format!("http://{address}"))).unwrap_or_else(|| address.to_owned());
    host.trim_end_matches('.').to_lowercase()
}

fn patched(text: &str) -> Vec<String> {
    let path = |line: &str| {
        let path = PATCH_HEADERS.iter().find_map(|header| line.strip_prefix(header))?;
        let path = path.split('\t').next().unwrap_or(path).trim();
        let decoded = parse_path(path).map(|path| path.to_string_lossy().into_owned());
        let path = decoded.as_deref().unwrap_or(path);
        Some(path.strip_prefix("a/").or_else(|| path.strip_prefix("b/")).unwrap_or(path).to_owned())
    };
    text.lines().filter_map(path).filter(|path| path != "/dev/null").collect()
}
