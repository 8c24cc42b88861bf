//! A real Chromium, one process for each session, behind a proxy that connects as the agent's sandbox may. The only user of
//! chromiumoxide.
//!
//! ```text
//! session -> chromiumoxide -> Bridge -> pipes -> Chromium (ordinary user, empty profile, network of its own)
//!                                                    -> Proxy (Reach::connect, loopback too) -> server
//! ```

mod bridge;
mod flags;
mod process;
mod session;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;

use self::bridge::Bridge;
use self::process::{Process, executable_default};
use self::session::Session;
use super::proxy::Proxy;
use super::{Browser, BrowserError, BrowserSession};
use crate::limits::{BROWSER_ANSWER, BROWSER_LOAD, BROWSER_USER};
use crate::sandbox::Sandbox;
use crate::web::guard::Guard;
use crate::web::one_line;
use crate::web::reach::Reach;

/// How Chromium is started.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChromiumOptions {
    /// The program; `/usr/bin/chromium` by default.
    pub executable: PathBuf,
    /// The user and group that it runs as, if this process is root; 61001 then, which commands in a sandbox do not run as.
    pub user: Option<u32>,
    /// Whether Chromium confines its own processes. It needs user namespaces. Where there are none, a Chromium with a user of its
    /// own runs without, which [`Browser::gaps`] tells; one that runs as this user does not start.
    pub has_sandbox: bool,
    /// Whether it gets a network of its own, in which there is only its proxy. Root can make one, which is the default; others
    /// cannot, and then its settings alone keep it behind the proxy.
    pub own_network: bool,
    /// How long a page may take to load, before it is shown as it is.
    pub load_time: Duration,
    /// How long a page may take to answer a question about itself, before its browser is closed.
    pub answer_time: Duration,
}

impl Default for ChromiumOptions {
    fn default() -> Self {
        let is_root = rustix::process::geteuid().is_root();
        Self {
            executable: executable_default(),
            user: is_root.then_some(BROWSER_USER),
            own_network: is_root,
            has_sandbox: true,
            load_time: BROWSER_LOAD,
            answer_time: BROWSER_ANSWER,
        }
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

    /// Sets how long a page may take to load and to answer.
    #[must_use]
    pub fn with_times(mut self, load: Duration, answer: Duration) -> Self {
        (self.load_time, self.answer_time) = (load, answer);
        self
    }
}

/// Opens pages in Chromium, with scripts and screenshots. A page may connect to what the agent's sandbox may, and to the loopback
/// ports that the policy of its guard opens.
#[derive(Debug, Clone)]
pub struct Chromium {
    guard: Guard,
    options: ChromiumOptions,
    /// Whether one had to be started without Chromium's own sandbox.
    lacks_sandbox: Arc<AtomicBool>,
}

impl Chromium {
    /// Chromium behind this guard.
    #[must_use]
    pub fn new(guard: Guard, options: ChromiumOptions) -> Self {
        let lacks_sandbox = Arc::new(AtomicBool::new(!options.has_sandbox));
        Self { guard, options, lacks_sandbox }
    }

    async fn start(&self, reach: &Reach, has_sandbox: bool) -> Result<Session, Failure> {
        let started = Process::start(&self.options, has_sandbox).await.map_err(|error| Failure::of(&error))?;
        let mut process = started.process;
        let connect = async {
            let listener = tokio::net::TcpListener::from_std(started.listener).map_err(|error| error.to_string())?;
            let proxy = Proxy::serve(listener, reach.clone(), None);
            let bridge = Bridge::start(started.input, started.output).await.map_err(|error| error.to_string())?;
            Session::connect(&self.options, reach.clone(), bridge, proxy).await
        };
        match connect.await {
            Ok(connected) => Ok(connected.with(process)),
            Err(reason) => {
                let said = process.said();
                let has_ended = process.has_ended();
                Err(Failure { reason, said, has_ended })
            }
        }
    }
}

/// Why Chromium did not start.
struct Failure {
    reason: String,
    said: String,
    has_ended: bool,
}

impl Failure {
    fn of(error: &std::io::Error) -> Self {
        Self { reason: error.to_string(), said: String::new(), has_ended: false }
    }

    /// Whether it is that Chromium's own sandbox cannot be made here.
    fn is_sandbox(&self) -> bool {
        const SAYS: [&str; 4] =
            ["No usable sandbox", "Failed to move to new namespace", "zygote_host_impl_linux", "credentials.cc"];
        self.has_ended && SAYS.iter().any(|text| self.said.contains(text))
    }
}

#[async_trait]
impl Browser for Chromium {
    async fn session(&self, sandbox: &Arc<dyn Sandbox>) -> Result<Box<dyn BrowserSession>, BrowserError> {
        let reach = Reach::new(&self.guard, sandbox);
        let has_sandbox = !self.lacks_sandbox.load(Ordering::Relaxed);
        let mut started = self.start(&reach, has_sandbox).await;
        // With a user of its own, a fault of Chromium without its sandbox reaches nothing but itself.
        let may_do_without = has_sandbox && self.options.user.is_some();
        if may_do_without && started.as_ref().is_err_and(Failure::is_sandbox) {
            tracing::warn!(
                "Chromium cannot confine its own processes on this machine (no user namespaces); starting it without"
            );
            self.lacks_sandbox.store(true, Ordering::Relaxed);
            started = self.start(&reach, false).await;
        }
        match started {
            Ok(session) => Ok(Box::new(session)),
            Err(failure) => {
                let advice = if failure.is_sandbox() {
                    "; its own sandbox needs user namespaces, so ask the operator to allow them or to run it in a container"
                } else {
                    ""
                };
                let said = failure.said.trim().lines().last().unwrap_or_default();
                let what = one_line(&format!("{} {said}", failure.reason), 300);
                Err(BrowserError::Failed(format!("cannot start {}: {what}{advice}", self.options.executable.display())))
            }
        }
    }

    fn gaps(&self) -> Vec<String> {
        let mut gaps = Vec::new();
        if self.lacks_sandbox.load(Ordering::Relaxed) {
            gaps.push("Chromium runs without its own sandbox, because user namespaces are not allowed here".to_owned());
        }
        if !self.options.own_network {
            gaps.push(
                "Chromium shares this user and this machine's network: its settings alone keep it behind the proxy, and other \
                 programs of the machine can use that proxy"
                    .to_owned(),
            );
        }
        gaps
    }
}
