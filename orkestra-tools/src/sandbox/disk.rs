//! Stops a command whose workspace takes too much of the disk, where the file system cannot refuse to give more.
//!
//! It looks at what the whole file system takes, which costs one system call, and measures the workspace only when that has
//! grown so much that a limit may be near. What it must never do is to delay a command that writes little.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::Confinement;
use crate::limits::{DISK_LOOK, DISK_LOOK_NEAR, DISK_MEASURE, DISK_MEASURE_SHARE, DISK_SLACK_BYTES, DISK_SLACK_FILES};
use crate::workspace::{Usage, Workspace};

/// The processes of a command as this host numbers them; empty where it cannot know.
pub(super) type Processes = Arc<dyn Fn() -> Vec<u32> + Send + Sync>;

/// Why a command was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full {
    place: &'static str,
    usage: Usage,
    limit: Usage,
}

/// The places that are watched, in words for a model.
pub(super) const WORKSPACE: &str = "the workspace";
pub(super) const SCRATCH: &str = "the scratch space (HOME and TMPDIR)";

impl Full {
    /// For the end of the command's output.
    pub(super) fn note(&self) -> String {
        let Self { place, usage, limit } = self;
        let deep = usage.files == u64::MAX;
        let what = if deep {
            "its directories are nested too deeply to be counted".to_owned()
        } else if usage.bytes > limit.bytes {
            format!("it takes {} MB of the disk, and may take {} MB", usage.bytes / 1_000_000, limit.bytes / 1_000_000)
        } else {
            format!("it has {} files, and may have {}", usage.files, limit.files)
        };
        format!(
            "\n[disk] the command was stopped because {place} is full: {what}; remove what is not needed there (`du -x . | sort -n | tail` shows \
             the largest directories), then run the command again\n"
        )
    }
}

/// What a started sandbox reports.
pub(super) fn report(limit: Usage, sees_open_files: bool, confinement: &mut Confinement) {
    confinement.enforced.push(format!(
        "the workspace takes at most {} bytes in {} files; commands that write more are stopped",
        limit.bytes, limit.files
    ));
    confinement.gaps.push(format!(
        "disk space is watched every {} ms, not limited by the file system: a fast writer exceeds the limit before it is stopped",
        DISK_LOOK.as_millis()
    ));
    if !sees_open_files {
        confinement.gaps.push("disk space of files that were removed and are still open is not counted".to_owned());
    }
}

/// Returns when the place takes more than it may; never, when it has no limit. Harmless to drop.
pub(super) async fn exceeded(place: &'static str, workspace: &Workspace, processes: Processes) -> Full {
    let Some(limit) = workspace.disk_limit() else { return std::future::pending().await };
    let mut watch = Watch::new(place, workspace.clone(), limit, processes);
    loop {
        tokio::time::sleep(watch.pause()).await;
        if !watch.is_due() {
            continue;
        }
        let look = tokio::task::spawn_blocking(move || (watch.measure(), watch));
        match look.await {
            Ok((None, same)) => watch = same,
            Ok((Some(full), _)) => return full,
            // The runtime ends.
            Err(error) if error.is_cancelled() => return std::future::pending().await,
            // The measurement panicked. Commands must not run without a limit, so the workspace counts as full.
            Err(_) => return Full { place, usage: Usage { bytes: 0, files: u64::MAX }, limit },
        }
    }
}

/// What one command is watched by.
struct Watch {
    place: &'static str,
    workspace: Workspace,
    limit: Usage,
    /// The limit, or more when the workspace exceeded it as the command began.
    allowed: Option<Usage>,
    /// What the file system took when the command began.
    begun: Usage,
    processes: Processes,
    is_near: bool,
}

impl Watch {
    fn new(place: &'static str, workspace: Workspace, limit: Usage, processes: Processes) -> Self {
        // After a command was stopped, what is known is older than what it wrote until it ended.
        let known = workspace.known_usage().filter(|known| known.is_whole && !known.usage.exceeds(limit));
        let allowed = known.map(|known| allowed(limit, known.usage));
        let begun = workspace.space();
        Self { place, workspace, limit, allowed, begun, processes, is_near: false }
    }

    fn pause(&self) -> Duration {
        if self.is_near { DISK_LOOK_NEAR } else { DISK_LOOK }
    }

    /// Whether to measure: more than half of what was left may have been taken, or it was long ago and something has changed.
    fn is_due(&mut self) -> bool {
        let (Some(known), Some(allowed)) = (self.workspace.known_usage(), self.allowed) else { return true };
        let space = self.workspace.space();
        let (grown, left) = (space.minus(known.space), allowed.minus(known.usage));
        self.is_near = grown.bytes > left.bytes / 4 || grown.files > left.files / 4;
        let since = Instant::now().saturating_duration_since(known.at);
        if grown.bytes > left.bytes || grown.files > left.files {
            return true;
        }
        // Others may write on this file system too, so not all of the time goes into measuring.
        if grown.bytes > left.bytes / 2 || grown.files > left.files / 2 {
            return since >= known.cost * 3;
        }
        space != known.space && since >= DISK_MEASURE.max(known.cost * DISK_MEASURE_SHARE)
    }

    /// Blocking.
    fn measure(&mut self) -> Option<Full> {
        let slack = Usage { bytes: DISK_SLACK_BYTES, files: DISK_SLACK_FILES };
        // Not ended early when it is the first measurement: the command may only free space.
        let enough =
            self.allowed.map_or(Usage { bytes: u64::MAX, files: self.limit.files * 4 }, |most| most.plus(slack));
        let mut usage = self.workspace.measure(enough);
        let allowed = *self.allowed.get_or_insert_with(|| self.workspace.ceiling(usage, allowed(self.limit, usage)));
        let grown = self.workspace.space().minus(self.begun);
        if !usage.exceeds(allowed) && grown.exceeds(allowed.minus(usage)) {
            let has_closed = self.workspace.known_usage().is_some_and(|known| known.has_closed);
            // What cannot be seen is taken for the command's.
            let unseen = if has_closed { grown } else { removed_but_open(&(self.processes)(), &self.workspace) };
            usage = usage.plus(unseen);
        }
        usage.exceeds(allowed).then_some(Full { place: self.place, usage, limit: self.limit })
    }
}

fn allowed(limit: Usage, now: Usage) -> Usage {
    // Nested too deeply to be counted: what is done about that must be quick, for nothing more is allowed.
    let now = if now.files == u64::MAX { Usage { files: 0, ..now } } else { now };
    let slack = Usage { bytes: DISK_SLACK_BYTES, files: DISK_SLACK_FILES };
    if now.exceeds(limit) { limit.most(now.plus(slack)) } else { limit }
}

/// What files take that have no name any more and are open in these processes.
fn removed_but_open(processes: &[u32], workspace: &Workspace) -> Usage {
    let Ok(device) = fs::metadata(workspace.path()).map(|metadata| metadata.dev()) else { return Usage::default() };
    let open =
        |process: &u32| fs::read_dir(PathBuf::from(format!("/proc/{process}/fd"))).into_iter().flatten().flatten();
    let mut seen = HashSet::new();
    let mut usage = Usage::default();
    for descriptor in processes.iter().flat_map(open) {
        // NOTE: this reads the file that is open, whatever its name leads to now.
        let Ok(metadata) = fs::metadata(descriptor.path()) else { continue };
        if metadata.dev() == device && metadata.nlink() == 0 && metadata.is_file() && seen.insert(metadata.ino()) {
            usage = usage.plus(Usage { bytes: metadata.blocks().saturating_mul(512), files: 1 });
        }
    }
    usage
}
