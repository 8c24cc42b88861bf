//! A set of tools by name. It validates the arguments of every call.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use jsonschema::Validator;
use serde_json::Value;

use crate::error::ToolError;
use crate::git::{self, Github};
use crate::policy::PolicyRequest;
use crate::scope::ToolScope;
use crate::tool::{Tool, ToolOutput, ToolSource};
use crate::web::WebTools;
use crate::workspace::Workspace;
use crate::{arguments, tools};

/// Tools by name. Cheap to clone.
#[derive(Clone, Default)]
pub struct ToolSet {
    entries: BTreeMap<String, Entry>,
    sources: Vec<Arc<dyn ToolSource>>,
}

#[derive(Clone)]
struct Entry {
    tool: Arc<dyn Tool>,
    /// Whether it is of a source, which can take it back.
    is_of_source: bool,
    /// Whether it is ours: then its paths have the usual names.
    is_ours: bool,
    /// The compiled schema, or why it does not compile: reported at the first call, so that `with` cannot fail.
    validator: Result<Arc<Validator>, String>,
}

impl ToolSet {
    /// An empty set.
    #[must_use]
    pub fn empty() -> Self {
        Self::default()
    }

    /// Every tool that works without a network; `docs/tools.md` lists them.
    #[must_use]
    pub fn builtin() -> Self {
        tools::builtin().into_iter().fold(Self::empty(), Self::with_ours)
    }

    /// Adds `web_search`, `browser_navigate`, `browser_get_content`, `browser_click` and `browser_screenshot`.
    ///
    /// ```
    /// use orkestra_tools::ToolSet;
    /// use orkestra_tools::web::{AddressPolicy, GuardedClient, WebTools};
    ///
    /// let client = GuardedClient::new(AddressPolicy::global())?;
    /// let tools = ToolSet::builtin().with_web(&WebTools::new(client));
    /// assert!(tools.get("web_search").is_some());
    /// # Ok::<(), orkestra_tools::web::FetchError>(())
    /// ```
    #[must_use]
    pub fn with_web(self, web: &WebTools) -> Self {
        web.tools().into_iter().fold(self, Self::with_ours)
    }

    /// Gives `github_create_pr` access to GitHub. Without it, the tool answers that `GITHUB_TOKEN` is not set.
    #[must_use]
    pub fn with_github(self, github: &Github) -> Self {
        self.with_ours(git::create_pr(Some(github.clone())))
    }

    /// Adds a tool, replacing one of the same name.
    #[must_use]
    pub fn with(self, tool: Arc<dyn Tool>) -> Self {
        self.with_entry(tool, false)
    }

    fn with_ours(self, tool: Arc<dyn Tool>) -> Self {
        self.with_entry(tool, true)
    }

    fn with_entry(mut self, tool: Arc<dyn Tool>, is_ours: bool) -> Self {
        let validator = jsonschema::validator_for(tool.schema()).map(Arc::new).map_err(|error| error.to_string());
        self.entries.insert(tool.name().to_owned(), Entry { tool, is_of_source: false, is_ours, validator });
        self
    }

    /// Adds the tools of a source, as they are now; [`Self::current`] has them as they are then. A tool of the set is not
    /// replaced by one of a source.
    #[must_use]
    pub fn with_source(mut self, source: Arc<dyn ToolSource>) -> Self {
        self.sources.push(source);
        self.current()
    }

    /// The set with the tools of its sources as they are now. An agent asks for it before each answer of its model.
    #[must_use]
    pub fn current(&self) -> Self {
        let mut current = self.clone();
        if self.sources.is_empty() {
            return current;
        }
        current.entries.retain(|_, entry| !entry.is_of_source);
        for source in &self.sources {
            for (name, entry) in source.tools().entries {
                current.entries.entry(name).or_insert(Entry { is_of_source: true, ..entry });
            }
        }
        current
    }

    /// What a policy decides on before a call: the paths, commands and hosts in its arguments ([`Self::validate`] returns them),
    /// with what the tool itself names ([`Tool::paths`]), and, in a workspace, what the paths lead to through symbolic links.
    /// Blocks on disk I/O if there is a workspace.
    ///
    /// ```
    /// use orkestra_tools::ToolSet;
    /// use orkestra_tools::policy::{Action, Policy};
    /// use serde_json::json;
    ///
    /// let request = ToolSet::builtin().policy_request("run_command", &json!({"command": "git push"}), None);
    /// assert_eq!(Policy::default().decide(&request).action, Action::Ask);
    /// ```
    #[must_use]
    pub fn policy_request(&self, name: &str, arguments: &Value, workspace: Option<&Workspace>) -> PolicyRequest {
        let entry = self.entries.get(name);
        let named = entry.and_then(|entry| entry.tool.paths(arguments));
        let request = match named {
            Some(paths) => PolicyRequest::call(name, arguments).with_paths(paths),
            None if entry.is_some_and(|entry| entry.is_ours) => PolicyRequest::call(name, arguments),
            None => PolicyRequest::call_of_unknown(name, arguments),
        };
        match workspace {
            Some(workspace) => request.with_links_of(workspace),
            None => request,
        }
    }

    /// A set of only these tools.
    ///
    /// # Errors
    /// [`ToolError::UnknownTool`] for the first name that is not in the set.
    pub fn select(&self, names: &[&str]) -> Result<Self, ToolError> {
        let mut entries = BTreeMap::new();
        for name in names {
            entries.insert((*name).to_owned(), self.entry(name)?.clone());
        }
        Ok(Self { entries, sources: Vec::new() })
    }

    /// The tool of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Tool>> {
        self.entries.get(name).map(|entry| &entry.tool)
    }

    /// All tools, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Tool>> {
        self.entries.values().map(|entry| &entry.tool)
    }

    /// Validates the arguments, then calls the tool. The scope's secrets are masked in the result and in errors.
    ///
    /// # Errors
    /// [`ToolError::UnknownTool`] and [`ToolError::InvalidArguments`] before the tool is called; afterwards the tool's own
    /// errors.
    pub async fn call(&self, scope: &ToolScope, name: &str, arguments: Value) -> Result<ToolOutput, ToolError> {
        let result = match self.checked(name, arguments) {
            Ok((tool, arguments)) => tool.call(scope, arguments).await,
            Err(error) => Err(error),
        };
        let secrets = scope.secrets();
        match result {
            Ok(output) => Ok(secrets.output(output)),
            Err(error) => Err(secrets.tool_error(error)),
        }
    }

    /// Validates the arguments without calling the tool; returns them normalised, as the tool would get them.
    ///
    /// # Errors
    /// [`ToolError::UnknownTool`] and [`ToolError::InvalidArguments`].
    pub fn validate(&self, name: &str, arguments: Value) -> Result<Value, ToolError> {
        self.checked(name, arguments).map(|(_, arguments)| arguments)
    }

    fn checked(&self, name: &str, arguments: Value) -> Result<(&Arc<dyn Tool>, Value), ToolError> {
        let Entry { tool, validator, .. } = self.entry(name)?;
        let validator = validator
            .as_ref()
            .map_err(|error| ToolError::Internal(format!("the schema of tool `{name}` is not valid: {error}")))?;
        arguments::check_size(name, &arguments)?;
        let arguments = arguments::tidy(tool.schema(), arguments);
        arguments::check(tool.as_ref(), validator, &arguments)?;
        Ok((tool, arguments))
    }

    fn entry(&self, name: &str) -> Result<&Entry, ToolError> {
        self.entries.get(name).ok_or_else(|| ToolError::UnknownTool {
            name: name.chars().take(100).collect(),
            known: self.entries.keys().cloned().collect::<Vec<_>>().join(", "),
        })
    }
}

impl fmt::Debug for ToolSet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_set().entries(self.entries.keys()).finish()
    }
}
