//! `web_search`: titles, addresses and snippets. `data` is `{query, engine, results: [{title, url, snippet}]}`.

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use crate::error::ToolError;
use crate::scope::ToolScope;
use crate::tool::{Effect, ToolOutput, TypedTool};
use crate::web::search::{Found, WebSearch};
use crate::web::untrusted::{fenced, one_line};

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Arguments {
    /// A few words, as for a search engine.
    #[schemars(length(min = 1))]
    query: String,
}

pub(crate) struct Search(pub(crate) WebSearch);

#[async_trait]
impl TypedTool for Search {
    type Arguments = Arguments;
    const NAME: &'static str = "web_search";
    const DESCRIPTION: &'static str =
        "Search the web: titles, addresses and snippets of up to ten pages. Read a page with browser_navigate.";
    const EFFECT: Effect = Effect::ReadOnly;

    async fn call(&self, _: &ToolScope, arguments: Arguments) -> Result<ToolOutput, ToolError> {
        let found = self.0.search(&arguments.query).await.map_err(ToolError::Refused)?;
        let data = json!({"query": arguments.query, "engine": found.engine, "results": found.results});
        Ok(ToolOutput::new(describe(&arguments.query, &found), data))
    }
}

fn describe(query: &str, found: &Found) -> String {
    let query = one_line(query, 100);
    if found.results.is_empty() {
        return format!("{} has no results for `{query}`; try fewer or other words.", found.engine);
    }
    let mut list = String::new();
    for (index, result) in found.results.iter().enumerate() {
        list.push_str(&format!("{}. {}\n   {}\n", index + 1, result.title, result.url));
        if !result.snippet.is_empty() {
            list.push_str(&format!("   {}\n", result.snippet));
        }
    }
    let list = fenced(&found.engine, &list);
    format!("{} results for `{query}`; read one with browser_navigate.\n{list}", found.results.len())
}
