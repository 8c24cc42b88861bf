//! The process of one Chromium: its own directory, its own process group, an ordinary user, and no way around the proxy.

use std::io;
use std::path::PathBuf;
use std::process::Stdio;

use rustix::process::{Pid, Signal, kill_process_group};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::ChromiumOptions;
use crate::limits::MACHINERY_TIMEOUT;

/// Against what would not go through the proxy, and what a browser of nobody does not need.
const FLAGS: &[&str] = &[
    "--headless=new",
    "--remote-debugging-address=127.0.0.1",
    "--remote-debugging-port=0",
    // By itself, Chromium connects to loopback and link-local addresses without its proxy.
    "--proxy-bypass-list=<-loopback>",
    // Names are for the proxy to resolve: a lookup by Chromium itself finds nothing.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--dns-prefetch-disable",
    "--disable-quic",
    "--webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    "--disable-features=WebRtcHideLocalIpsWithMdns,AsyncDns,DnsOverHttps,MediaRouter,OptimizationHints,Translate,HttpsUpgrades",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-sync",
    "--deny-permission-prompts",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--metrics-recording-only",
    "--mute-audio",
    "--no-first-run",
    "--no-pings",
    "--no-default-browser-check",
    "--password-store=basic",
    "--window-size=1280,900",
];

const SAYS: &str = "DevTools listening on ";

/// A running Chromium. Dropping it kills its process group and removes its directory.
pub(super) struct Process {
    /// Where it is controlled.
    pub(super) address: String,
    group: Option<Pid>,
    _child: Child,
    _directory: TempDir,
}

impl Process {
    pub(super) async fn start(options: &ChromiumOptions, proxy_port: u16) -> io::Result<Self> {
        let directory = TempDir::with_prefix("orkestra-chromium-")?;
        let profile = directory.path().join("profile");
        std::fs::create_dir(&profile)?;
        let mut command = Command::new(&options.executable);
        command.args(FLAGS).arg(format!("--proxy-server=http://127.0.0.1:{proxy_port}"));
        command.arg(format!("--user-data-dir={}", profile.display()));
        if !options.has_sandbox {
            command.arg("--no-sandbox");
        }
        command.arg("about:blank");
        command.env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("HOME", &profile).env("TMPDIR", &profile);
        command.current_dir(&profile).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
        command.process_group(0).kill_on_drop(true);
        if let Some(user) = options.user {
            std::os::unix::fs::chown(directory.path(), Some(user), Some(user))?;
            std::os::unix::fs::chown(&profile, Some(user), Some(user))?;
            command.uid(user).gid(user);
        }
        let mut child = command.spawn()?;
        let group = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        let errors = child.stderr.take();
        let mut process = Self { address: String::new(), group, _child: child, _directory: directory };
        let mut lines = BufReader::new(errors.ok_or(io::ErrorKind::BrokenPipe)?).lines();
        let mut said = String::new();
        let found = async {
            while let Some(line) = lines.next_line().await? {
                if let Some(address) = line.strip_prefix(SAYS) {
                    return Ok(address.trim().to_owned());
                }
                said = line;
            }
            Err(io::Error::other(format!("it ended: {said}")))
        };
        process.address = timeout(MACHINERY_TIMEOUT, found).await.map_err(|_| io::ErrorKind::TimedOut)??;
        // What it prints later must be read, or it blocks.
        tokio::spawn(async move { while lines.next_line().await.is_ok_and(|line| line.is_some()) {} });
        Ok(process)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Some(group) = self.group {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Chromium as Debian names it.
pub(super) fn executable_default() -> PathBuf {
    PathBuf::from("/usr/bin/chromium")
}
