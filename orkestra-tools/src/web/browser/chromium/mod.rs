//! A real Chromium, one process for each session, behind a proxy that applies the [`Guard`]. The only user of chromiumoxide.
//!
//! ```text
//! session -> chromiumoxide -> Chromium (ordinary user, empty profile) -> Proxy (Guard::resolve, loopback too) -> server
//! ```

mod process;
mod proxy;
mod session;

use std::path::PathBuf;

use async_trait::async_trait;

use self::process::{Process, executable_default};
use self::proxy::Proxy;
use self::session::Session;
use super::{Browser, BrowserError, BrowserSession};
use crate::web::guard::Guard;

/// How Chromium is started.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChromiumOptions {
    /// The program; `/usr/bin/chromium` by default.
    pub executable: PathBuf,
    /// The user and group that it runs as, if this process is root; 65534 (`nobody`) then.
    pub user: Option<u32>,
    /// Whether Chromium confines its own processes. It needs user namespaces; where there are none, put it into a container instead of
    /// switching this off.
    pub has_sandbox: bool,
}

impl Default for ChromiumOptions {
    fn default() -> Self {
        let user = rustix::process::geteuid().is_root().then_some(65534);
        Self { executable: executable_default(), user, has_sandbox: true }
    }
}

impl ChromiumOptions {
    /// Replaces the program.
    #[must_use]
    pub fn with_executable(mut self, executable: impl Into<PathBuf>) -> Self {
        self.executable = executable.into();
        self
    }

    /// Starts Chromium without its own sandbox: a fault of Chromium is then worth the whole user that it runs as.
    #[must_use]
    pub fn without_sandbox(mut self) -> Self {
        self.has_sandbox = false;
        self
    }
}

/// Opens pages in Chromium, with scripts and screenshots. What a page may connect to is what its guard allows; give the guard
/// [`crate::web::AddressPolicy::with_loopback_port`] for the agent's own dev server.
#[derive(Debug, Clone)]
pub struct Chromium {
    guard: Guard,
    options: ChromiumOptions,
}

impl Chromium {
    /// Chromium behind this guard.
    #[must_use]
    pub fn new(guard: Guard, options: ChromiumOptions) -> Self {
        Self { guard, options }
    }
}

#[async_trait]
impl Browser for Chromium {
    async fn session(&self) -> Result<Box<dyn BrowserSession>, BrowserError> {
        let failed =
            |what: String| BrowserError::Failed(format!("cannot start {}: {what}", self.options.executable.display()));
        let proxy = Proxy::start(self.guard.clone()).await.map_err(|error| failed(error.to_string()))?;
        let process = Process::start(&self.options, proxy.port).await.map_err(|error| failed(error.to_string()))?;
        let session = Session::connect(self.guard.clone(), process, proxy).await.map_err(failed)?;
        Ok(Box::new(session))
    }
}
