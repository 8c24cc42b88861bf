//! One live connection with a server: initialisation, its list of tools, calls.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rmcp::model::{
    CallToolRequestParams, CallToolResponse, CallToolResult, ClientCapabilities, ClientConfig, ClientRequest,
    Implementation, PaginatedRequestParams, PingRequest, ProtocolVersion, Tool,
};
use rmcp::service::{ClientInitializeError, RunningService, ServiceError, serve_client};
use rmcp::{ClientHandler, RoleClient};
use serde_json::{Map, Value};
use tokio::time::timeout;

use super::definition::Definition;
use super::wire::{Fate, Wire};
use crate::limits::{MCP_PAGES_MAX, MCP_PING_TIMEOUT, MCP_TOOLS_MAX};
use crate::web::untrusted::one_line;

/// How long the reason of an end is waited for.
const REASON_TIME: Duration = Duration::from_secs(5);
/// Tools that are read of a list. More than are used, because the operator may have chosen the last ones.
const LISTED_MAX: usize = 8 * MCP_TOOLS_MAX;

pub(super) struct Connection {
    service: RunningService<RoleClient, Client>,
    fate: Arc<Fate>,
    /// What this process of the server lists.
    definitions: Mutex<Arc<[Definition]>>,
}

/// Why a call has no result.
#[derive(Debug)]
pub(super) enum CallError {
    /// The server answered with an error.
    Refused(String),
    /// The connection ended before the answer.
    Ended(String),
    /// There was no answer in time. Whether the server still answers a ping.
    TimedOut { is_alive: bool },
}

struct Client;

impl ClientHandler for Client {
    fn get_info(&self) -> ClientConfig {
        // No capability: nothing is offered to the server.
        let own = Implementation::new("orkestra", env!("CARGO_PKG_VERSION"));
        ClientConfig::new(ClientCapabilities::default(), own).with_protocol_version(ProtocolVersion::V_2025_11_25)
    }
}

impl Connection {
    /// Initialises the connection.
    pub(super) async fn open(wire: Wire, time: Duration) -> Result<Self, String> {
        let fate = wire.fate();
        let service = match timeout(time, serve_client(Client, wire)).await {
            Ok(Ok(service)) => service,
            Ok(Err(error)) => return Err(not_initialised(&error, &fate).await),
            Err(_) => {
                // The wire is gone, which ends the server, and its stderr is known then.
                let end = reason(&fate).await;
                return Err(format!("it did not answer within {} s ({end})", time.as_secs_f32()));
            }
        };
        Ok(Self { service, fate, definitions: Mutex::default() })
    }

    pub(super) fn fate(&self) -> &Arc<Fate> {
        &self.fate
    }

    pub(super) fn define(&self, definitions: Arc<[Definition]>) {
        *self.definitions.lock().unwrap_or_else(PoisonError::into_inner) = definitions;
    }

    /// Whether the server describes this tool as it did.
    pub(super) fn still_has(&self, definition: &Definition) -> bool {
        let definitions = self.definitions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        definitions.iter().any(|known| known == definition)
    }

    pub(super) fn is_open(&self) -> bool {
        !self.fate.has_ended() && !self.service.is_closed() && !self.service.peer().is_transport_closed()
    }

    /// Reads the list of tools, and whether it was longer.
    pub(super) async fn list(&self, time: Duration) -> Result<(Vec<Tool>, bool), String> {
        let pages = async {
            let (mut tools, mut cursor) = (Vec::new(), None);
            for _ in 0..MCP_PAGES_MAX {
                let request = PaginatedRequestParams::default().with_cursor(cursor);
                let page = self.service.peer().list_tools(Some(request)).await?;
                let room = LISTED_MAX - tools.len();
                let is_cut = page.tools.len() > room;
                tools.extend(page.tools.into_iter().take(room));
                cursor = page.next_cursor;
                if is_cut || cursor.is_none() {
                    return Ok((tools, is_cut));
                }
            }
            Ok((tools, true))
        };
        match timeout(time, pages).await {
            Ok(Ok(tools)) => Ok(tools),
            Ok(Err(error)) => Err(format!("it does not list its tools: {}", self.say(error).await)),
            Err(_) => Err(format!("it did not list its tools within {} s", time.as_secs_f32())),
        }
    }

    /// Calls a tool. A call whose future is dropped, or that times out, is cancelled with a notification.
    pub(super) async fn call(
        &self,
        tool: &str,
        arguments: Map<String, Value>,
        time: Duration,
    ) -> Result<CallToolResult, CallError> {
        let request = CallToolRequestParams::new(tool.to_owned()).with_arguments(arguments);
        match timeout(time, self.service.peer().call_tool_once(request)).await {
            Ok(Ok(CallToolResponse::Complete(result))) => Ok(result),
            Ok(Ok(_)) => {
                Err(CallError::Refused("it answered with a question or a task, which is not supported".to_owned()))
            }
            Ok(Err(ServiceError::McpError(error))) => Err(CallError::Refused(error.message.into_owned())),
            Ok(Err(ServiceError::UnexpectedResponse)) => {
                Err(CallError::Refused("its answer is not the result of a tool".to_owned()))
            }
            Ok(Err(_)) => Err(CallError::Ended(reason(&self.fate).await)),
            Err(_) => Err(CallError::TimedOut { is_alive: self.ping().await }),
        }
    }

    /// Whether the server answers at all. One that does not is ended.
    async fn ping(&self) -> bool {
        let ping = self.service.peer().send_request(ClientRequest::PingRequest(PingRequest::default()));
        let is_alive = matches!(timeout(MCP_PING_TIMEOUT, ping).await, Ok(Ok(_) | Err(ServiceError::McpError(_))));
        if !is_alive {
            self.close();
        }
        is_alive
    }

    /// Ends the connection, and with it a server that is a command.
    pub(super) fn close(&self) {
        self.fate.stop();
        self.service.cancellation_token().cancel();
    }

    async fn say(&self, error: ServiceError) -> String {
        match error {
            ServiceError::McpError(error) => one_line(&error.message, 500),
            ServiceError::UnexpectedResponse => "its answer is not a list of tools".to_owned(),
            _ => reason(&self.fate).await,
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.fate.stop();
    }
}

/// How the connection ended. It has ended, or is about to.
async fn reason(fate: &Fate) -> String {
    fate.stop();
    timeout(REASON_TIME, fate.ended()).await.unwrap_or_else(|_| "the connection was closed".to_owned())
}

// NOTE: rmcp's own texts print whole messages of the server, so they are not used.
async fn not_initialised(error: &ClientInitializeError, fate: &Fate) -> String {
    match error {
        ClientInitializeError::JsonRpcError(error) => {
            format!("it refuses to be initialised: {}", one_line(&error.message, 500))
        }
        ClientInitializeError::ConflictInitResponseId(..) | ClientInitializeError::UncorrelatedErrorResponse { .. } => {
            "it answers requests that were not made; it does not speak MCP".to_owned()
        }
        ClientInitializeError::ConnectionClosed(_) | ClientInitializeError::TransportError { .. } => reason(fate).await,
        _ => format!("it does not speak MCP ({})", reason(fate).await),
    }
}
