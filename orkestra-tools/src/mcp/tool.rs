//! One tool of a server, as it was listed. When the server describes it differently, this one refuses, and the source has another.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};

use super::answer;
use super::definition::Definition;
use super::server::{Server, Trouble};
use crate::error::ToolError;
use crate::limits::{MCP_MESSAGE_BYTES_MAX, OUTPUT_HEAD_BYTES, OUTPUT_TAIL_BYTES};
use crate::scope::ToolScope;
use crate::tool::{Effect, Tool, ToolOutput};
use crate::web::untrusted::{boundary, fenced_from};

/// Longest text about a call that failed, bytes.
const TROUBLE_BYTES_MAX: usize = 8 * 1024;

pub(super) struct McpTool {
    server: Arc<Server>,
    definition: Definition,
}

impl McpTool {
    pub(super) fn new(server: Arc<Server>, definition: Definition) -> Self {
        Self { server, definition }
    }
}

#[async_trait]
impl Tool for McpTool {
    fn name(&self) -> &str {
        &self.definition.name
    }

    fn description(&self) -> &str {
        &self.definition.description
    }

    fn schema(&self) -> &Value {
        &self.definition.schema
    }

    fn effect(&self) -> Effect {
        self.definition.effect
    }

    fn fingerprint(&self) -> Option<&str> {
        Some(&self.definition.fingerprint)
    }

    fn is_approved(&self) -> bool {
        self.server.spec.approved.get(&self.definition.original) == Some(&self.definition.fingerprint)
    }

    fn limits(&self) -> Vec<String> {
        vec![
            format!("a call takes at most {} s", self.server.spec.call_timeout_s),
            format!(
                "an answer has at most {} MiB, of which the first {} KiB and the last {} KiB are shown",
                MCP_MESSAGE_BYTES_MAX >> 20,
                OUTPUT_HEAD_BYTES >> 10,
                OUTPUT_TAIL_BYTES >> 10
            ),
        ]
    }

    async fn call(&self, scope: &ToolScope, arguments: Value) -> Result<ToolOutput, ToolError> {
        let name = &self.definition.name;
        let arguments = match arguments {
            Value::Object(arguments) => arguments,
            _ => Map::new(),
        };
        match self.server.call(scope, &self.definition, arguments).await {
            Ok(result) => answer::output(scope, name, result, &self.server.secrets).await,
            Err(Trouble::NotCalled(why)) => {
                Err(ToolError::Refused(format!("{name} was not called. {}", self.told(&why))))
            }
            Err(Trouble::Called(why)) => Err(ToolError::Failed(format!("{name} failed. {}", self.told(&why)))),
        }
    }
}

impl McpTool {
    /// What happened, in a fence: the server's words are in it.
    fn told(&self, why: &str) -> String {
        let why = self.server.secrets.mask(why);
        fenced_from("an MCP server and about it", &self.definition.name, &why[..boundary(&why, TROUBLE_BYTES_MAX)])
    }
}
