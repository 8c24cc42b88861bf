//! One configured server with its connections. It starts the server when a call needs it, again when it has died, and not for ever.
//!
//! ```text
//! call -> slot (one for all runs, or one for each run) -> connection, opened if there is none -> answer
//!                                                             | died or hangs: the call says so, the next one starts it again
//! list of tools: at each start, and when the server says that it changed
//! ```

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use rmcp::model::CallToolResult;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::config::{McpHttp, McpPlace, McpServer, McpStdio, McpTransport, filled};
use super::connection::{CallError, Connection};
use super::definition::{Definition, listed};
use super::http::{self, Endpoint};
use super::places::McpSandboxFactory;
use super::stdio;
use super::wire::Wire;
use crate::limits::{
    MCP_CHANGE_PAUSE, MCP_CHANGES_MAX, MCP_DOWN_PAUSE, MCP_RESTART_PAUSE, MCP_RESTARTS_MAX, MCP_START_TIMEOUT,
};
use crate::sandbox::{Command, Sandbox};
use crate::scope::ToolScope;
use crate::secrets::Secrets;
use crate::web::GuardedClient;

pub(super) struct Server {
    pub(super) spec: McpServer,
    pub(super) secrets: Secrets,
    values: BTreeMap<String, String>,
    sandboxes: Arc<dyn McpSandboxFactory>,
    client: Option<GuardedClient>,
    /// The sandbox of its own.
    own: tokio::sync::Mutex<Option<Arc<dyn Sandbox>>>,
    /// By the workspace of the run; an empty path for all runs.
    slots: Mutex<HashMap<PathBuf, Arc<Slot>>>,
    known: Mutex<Known>,
    /// Called when the list has changed.
    changed: Box<dyn Fn() + Send + Sync>,
}

/// The list of tools as it was read last.
#[derive(Default)]
struct Known {
    definitions: Arc<[Definition]>,
    warnings: Vec<String>,
}

/// One process of the server, or one session with it, over its lives.
#[derive(Default)]
struct Slot(tokio::sync::Mutex<Life>);

#[derive(Default)]
struct Life {
    connection: Option<Arc<Connection>>,
    /// Starts since the last answer.
    starts: u32,
    not_before: Option<Instant>,
    last: String,
}

/// What a server needs besides its configuration.
pub(super) struct Supplies {
    pub(super) secrets: Secrets,
    pub(super) values: BTreeMap<String, String>,
    pub(super) sandboxes: Arc<dyn McpSandboxFactory>,
    pub(super) client: Option<GuardedClient>,
}

/// Why a call has no result, as a sentence without the name of the tool.
pub(super) enum Trouble {
    /// The tool was not called.
    NotCalled(String),
    /// The tool was called, and answered with an error, or it is not known what became of the call.
    Called(String),
}

impl Server {
    pub(super) fn new(spec: McpServer, supplies: Supplies, changed: Box<dyn Fn() + Send + Sync>) -> Arc<Self> {
        let Supplies { secrets, values, sandboxes, client } = supplies;
        let (own, slots, known) = (tokio::sync::Mutex::new(None), Mutex::default(), Mutex::default());
        Arc::new(Self { spec, secrets, values, sandboxes, client, own, slots, known, changed })
    }

    /// Starts it for the first time and reads its list of tools. A server of the runs is ended again.
    pub(super) async fn introduce(self: &Arc<Self>) -> Result<(), String> {
        let slot = self.slot(None);
        let mut life = slot.0.lock().await;
        let connection = self.open(None).await?;
        if self.is_of_runs() {
            connection.close();
            drop(connection);
            self.close_own().await;
        } else {
            life.connection = Some(connection);
        }
        Ok(())
    }

    pub(super) fn definitions(&self) -> Arc<[Definition]> {
        Arc::clone(&lock(&self.known).definitions)
    }

    pub(super) fn warnings(&self) -> Vec<String> {
        lock(&self.known).warnings.clone()
    }

    /// Calls a tool.
    pub(super) async fn call(
        self: &Arc<Self>,
        scope: &ToolScope,
        definition: &Definition,
        arguments: Map<String, Value>,
    ) -> Result<CallToolResult, Trouble> {
        let slot = self.slot(Some(scope));
        let connection = self.live(&slot, scope).await.map_err(Trouble::NotCalled)?;
        // IMPORTANT: after the start, which reads the list again.
        if !connection.still_has(definition) {
            return Err(Trouble::NotCalled(
                "the server describes it differently now; read its description again, and call it if it still does what you \
                 need: a person may be asked first"
                    .to_owned(),
            ));
        }
        let time = Duration::from_secs(self.spec.call_timeout_s);
        let result = connection.call(&definition.original, arguments, time).await;
        let mut life = slot.0.lock().await;
        match result {
            Ok(result) => {
                life.starts = 0;
                Ok(result)
            }
            Err(CallError::Refused(why)) => {
                life.starts = 0;
                Err(Trouble::Called(format!("answered with an error: {why}")))
            }
            Err(CallError::Ended(how)) => {
                life.end(&connection, &how);
                Err(Trouble::Called(format!(
                    "did not answer, and it is not known what it did: {how}. The server is started again by the next call"
                )))
            }
            Err(CallError::TimedOut { is_alive: true }) => Err(Trouble::Called(format!(
                "did not answer within {} s and was cancelled; it is not known what it did. Ask for less at a time",
                time.as_secs()
            ))),
            Err(CallError::TimedOut { is_alive: false }) => {
                let how = format!(
                    "the server did not answer within {} s, nor a ping after it, and was ended",
                    time.as_secs()
                );
                life.end(&connection, &how);
                Err(Trouble::Called(format!(
                    "has no result, and it is not known what it did: {how}. The next call starts it again"
                )))
            }
        }
    }

    /// Ends every process and session.
    pub(super) async fn close(&self) {
        let slots: Vec<Arc<Slot>> = lock(&self.slots).drain().map(|(_, slot)| slot).collect();
        for slot in slots {
            if let Some(connection) = slot.0.lock().await.connection.take() {
                connection.close();
            }
        }
        self.close_own().await;
    }

    async fn close_own(&self) {
        if let Some(sandbox) = self.own.lock().await.take()
            && let Err(error) = sandbox.close().await
        {
            tracing::warn!(server = self.spec.name, %error, "cannot close the sandbox of an MCP server");
        }
    }

    fn is_of_runs(&self) -> bool {
        matches!(&self.spec.transport, McpTransport::Stdio(McpStdio { sandbox: McpPlace::Run, .. }))
    }

    fn slot(&self, scope: Option<&ToolScope>) -> Arc<Slot> {
        let place = scope.filter(|_| self.is_of_runs());
        let key = place.map(|scope| scope.workspace().path().to_owned()).unwrap_or_default();
        let mut slots = lock(&self.slots);
        // The processes of runs that have ended are gone with their sandboxes.
        slots.retain(|path, slot| *path == key || !slot.is_over());
        Arc::clone(slots.entry(key).or_default())
    }

    /// The live connection of a slot, opened if need be.
    async fn live(self: &Arc<Self>, slot: &Slot, scope: &ToolScope) -> Result<Arc<Connection>, String> {
        let mut life = slot.0.lock().await;
        if let Some(connection) = &life.connection {
            if connection.is_open() {
                return Ok(Arc::clone(connection));
            }
            let (connection, how) = (Arc::clone(connection), connection.fate().ended().await);
            life.end(&connection, &how);
        }
        life.wait().await?;
        life.starts += 1;
        match self.open(Some(scope)).await {
            Ok(connection) => {
                life.connection = Some(Arc::clone(&connection));
                Ok(connection)
            }
            Err(why) => {
                life.failed(&why);
                // The sandbox may be what is broken: the next start opens another one.
                self.close_own().await;
                Err(format!("the server cannot be started: {why}"))
            }
        }
    }

    /// Starts it and reads its list of tools.
    async fn open(self: &Arc<Self>, scope: Option<&ToolScope>) -> Result<Arc<Connection>, String> {
        let wire = match &self.spec.transport {
            McpTransport::Stdio(stdio) => {
                let place = scope.filter(|_| self.is_of_runs());
                let sandbox = match place {
                    Some(scope) => Arc::clone(scope.sandbox()),
                    None => self.sandbox().await?,
                };
                self.pipe(stdio, &*sandbox).await?
            }
            McpTransport::Http(http) => self.dial(http)?,
        };
        let connection = Arc::new(Connection::open(wire, MCP_START_TIMEOUT).await?);
        let is_of_all = !self.is_of_runs() || scope.is_none();
        self.read_list(&connection, is_of_all).await?;
        tokio::spawn(watch(Arc::downgrade(self), Arc::downgrade(&connection), is_of_all));
        Ok(connection)
    }

    async fn pipe(&self, stdio: &McpStdio, sandbox: &dyn Sandbox) -> Result<Wire, String> {
        let mut command = Command::new(stdio.command.clone()).with_secrets(self.secrets.clone());
        for (name, value) in &stdio.environment {
            command = command.with_environment(name, value);
        }
        for name in &stdio.secrets {
            let value = self.values.get(name).ok_or_else(|| format!("the secret `{name}` has no value"))?;
            command = command.with_environment(name, value);
        }
        let pipe = sandbox.pipe(command).await.map_err(|error| self.secrets.masked(error.to_string()))?;
        Ok(stdio::connect(Box::new(pipe), &self.secrets))
    }

    async fn sandbox(&self) -> Result<Arc<dyn Sandbox>, String> {
        let mut own = self.own.lock().await;
        if let Some(sandbox) = &*own {
            return Ok(Arc::clone(sandbox));
        }
        let sandbox = self.sandboxes.open(&self.spec).await.map_err(|error| error.to_string())?;
        *own = Some(Arc::clone(&sandbox));
        Ok(sandbox)
    }

    fn dial(&self, http: &McpHttp) -> Result<Wire, String> {
        let client = self.client.as_ref().ok_or("there is no HTTP client")?;
        let client = client.client_for(&http.url).map_err(|error| error.to_string())?;
        let mut headers = HeaderMap::new();
        for (name, value) in &http.headers {
            let value = filled(value, &self.values);
            let invalid = || format!("the header `{}` has a value that cannot be sent", name.escape_default());
            let parsed = HeaderName::try_from(name.as_str()).map_err(|_| invalid())?;
            let mut value = HeaderValue::from_str(&value).map_err(|_| invalid())?;
            value.set_sensitive(true);
            headers.insert(parsed, value);
        }
        let time = Duration::from_secs(self.spec.call_timeout_s) + Duration::from_secs(5);
        let (url, secrets) = (http.url.clone(), self.secrets.clone());
        Ok(http::connect(Endpoint { client, url, headers, time, secrets }))
    }

    async fn read_list(&self, connection: &Connection, is_of_all: bool) -> Result<(), String> {
        let (tools, is_cut) = connection.list(MCP_START_TIMEOUT).await?;
        let mut listed = listed(&self.spec, &tools);
        // A server may repeat what it was configured with.
        for definition in &mut listed.definitions {
            definition.description = self.secrets.masked(std::mem::take(&mut definition.description));
            self.secrets.mask_json(&mut definition.schema);
        }
        listed.warnings = listed.warnings.into_iter().map(|warning| self.secrets.masked(warning)).collect();
        if is_cut {
            listed.warnings.push(format!(
                "the list of tools of the MCP server `{}` is too long; its end was not read",
                self.spec.name
            ));
        }
        for warning in &listed.warnings {
            tracing::warn!("{warning}");
        }
        let definitions: Arc<[Definition]> = listed.definitions.into();
        connection.define(Arc::clone(&definitions));
        // IMPORTANT: what a process in the sandbox of one run says must not reach the agents of another.
        if !is_of_all {
            return Ok(());
        }
        let has_changed = {
            let mut known = lock(&self.known);
            let has_changed = *known.definitions != *definitions;
            (known.definitions, known.warnings) = (definitions, listed.warnings);
            has_changed
        };
        if has_changed {
            (self.changed)();
        }
        Ok(())
    }
}

impl Slot {
    fn is_over(&self) -> bool {
        let Ok(life) = self.0.try_lock() else { return false };
        life.connection.as_ref().is_none_or(|connection| !connection.is_open()) && life.starts == 0
    }
}

impl Life {
    /// Forgets a connection that has ended. Ignored when it is not the one of now.
    fn end(&mut self, ended: &Arc<Connection>, how: &str) {
        if self.connection.as_ref().is_some_and(|connection| Arc::ptr_eq(connection, ended)) {
            self.connection = None;
            self.failed(how);
        }
    }

    fn failed(&mut self, how: &str) {
        self.last = how.to_owned();
        let pause = match self.starts {
            starts if starts >= MCP_RESTARTS_MAX => MCP_DOWN_PAUSE,
            starts => MCP_RESTART_PAUSE * 2_u32.pow(starts),
        };
        self.not_before = Some(Instant::now() + pause);
    }

    /// Waits until it may be started again.
    async fn wait(&mut self) -> Result<(), String> {
        let Some(when) = self.not_before else { return Ok(()) };
        if self.starts < MCP_RESTARTS_MAX {
            tokio::time::sleep_until(when).await;
        } else if Instant::now() < when {
            return Err(format!(
                "the server is down: it was started {MCP_RESTARTS_MAX} times without answering ({}). Do without it, and say in \
                 your summary what is left to do",
                self.last
            ));
        } else {
            self.starts = 0;
        }
        Ok(())
    }
}

/// Reads the list again when the server says that it changed.
async fn watch(server: Weak<Server>, connection: Weak<Connection>, is_of_all: bool) {
    let Some(fate) = connection.upgrade().map(|connection| Arc::clone(connection.fate())) else { return };
    for change in 1.. {
        tokio::select! {
            () = fate.changed.notified() => {}
            _ = fate.ended() => return,
        }
        // Changes in quick succession are one.
        tokio::time::sleep(MCP_CHANGE_PAUSE).await;
        let (Some(server), Some(connection)) = (server.upgrade(), connection.upgrade()) else { return };
        if change > MCP_CHANGES_MAX {
            tracing::warn!(
                server = server.spec.name,
                "an MCP server changes its list of tools all the time; ignored from now on"
            );
            return;
        }
        if let Err(error) = server.read_list(&connection, is_of_all).await {
            tracing::warn!(server = server.spec.name, error, "cannot read the changed list of tools of an MCP server");
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // No code that holds such a lock can panic in the middle of a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
