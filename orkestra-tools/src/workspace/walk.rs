//! Walks a workspace over directory handles: one directory at a time for a listing, and in parallel for searching it.
//!
//! The walker of the `ignore` crate opens paths by name, so it could be led outside by a directory swapped for a symlink, and a
//! `.gitignore` that is a FIFO would block it; only its pattern matcher is used here.

use std::ffi::OsString;
use std::io::{self, Read as _};
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use cap_std::fs::Dir;
use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::{TEMPORARY, Workspace, WorkspaceError, open_regular, path};
use crate::limits::{GITIGNORE_BYTES_MAX, LIST_DEPTH_MAX, SEARCH_THREADS_MAX, SEARCH_VISITS_MAX};

/// Directories that are skipped even without a `.gitignore`: they hold generated files and would use up the limit.
const SKIPPED: [&str; 5] = [".git", "node_modules", "__pycache__", ".venv", ".pytest_cache"];

/// Files that a thread takes at a time.
const CHUNK: usize = 32;

/// The `.gitignore` files that apply in a directory, the innermost first.
pub(super) type Ignores = Option<Arc<Ignore>>;

pub(super) struct Ignore {
    place: PathBuf,
    patterns: Gitignore,
    outer: Ignores,
}

/// One directory.
pub(super) struct Folder {
    pub(super) place: PathBuf,
    /// The names of its files and symlinks, sorted. Other kinds of files are left out.
    pub(super) files: Vec<(OsString, IsLink)>,
    pub(super) subdirectories: Vec<OsString>,
    pub(super) ignores: Ignores,
    /// Whether it has more entries than may be visited.
    pub(super) cut: bool,
}

pub(super) type IsLink = bool;

/// Reads one directory. `visits` counts down the entries that may still be visited.
pub(super) fn read_folder(dir: &Dir, place: &Path, outer: &Ignores, visits: &AtomicUsize) -> io::Result<Folder> {
    let ignores = ignores_of(dir, place, outer);
    let mut folder =
        Folder { place: place.to_owned(), files: Vec::new(), subdirectories: Vec::new(), ignores, cut: false };
    for entry in dir.entries()? {
        if visits.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(1)).is_err() {
            folder.cut = true;
            break;
        }
        let Ok(entry) = entry else { continue };
        let Ok(kind) = entry.file_type() else { continue };
        let name = entry.file_name();
        let is_ours = name.as_encoded_bytes().starts_with(TEMPORARY.as_bytes());
        if is_ours || is_ignored(&folder.ignores, place, &name, kind.is_dir()) {
            continue;
        }
        if kind.is_dir() {
            if !SKIPPED.iter().any(|skipped| *skipped == name) {
                folder.subdirectories.push(name);
            }
        } else if kind.is_file() || kind.is_symlink() {
            folder.files.push((name, kind.is_symlink()));
        }
    }
    folder.files.sort();
    folder.subdirectories.sort();
    Ok(folder)
}

fn ignores_of(dir: &Dir, place: &Path, outer: &Ignores) -> Ignores {
    let Some(patterns) = read_gitignore(dir) else { return outer.clone() };
    Some(Arc::new(Ignore { place: place.to_owned(), patterns, outer: outer.clone() }))
}

/// The innermost `.gitignore` with a matching pattern decides, as in git.
fn is_ignored(ignores: &Ignores, place: &Path, name: &OsString, is_dir: bool) -> bool {
    let mut next = ignores.as_deref();
    if next.is_none() {
        return false;
    }
    let path = place.join(name);
    while let Some(ignore) = next {
        if let Ok(below) = path.strip_prefix(&ignore.place) {
            match ignore.patterns.matched(below, is_dir) {
                Match::Ignore(_) => return true,
                Match::Whitelist(_) => return false,
                Match::None => {}
            }
        }
        next = ignore.outer.as_deref();
    }
    false
}

fn read_gitignore(dir: &Dir) -> Option<Gitignore> {
    let file = open_regular(dir, Path::new(".gitignore")).ok()??;
    let mut bytes = Vec::new();
    file.take(GITIGNORE_BYTES_MAX + 1).read_to_end(&mut bytes).ok()?;
    if bytes.len() as u64 > GITIGNORE_BYTES_MAX {
        return None;
    }
    let mut builder = GitignoreBuilder::new("");
    for line in String::from_utf8_lossy(&bytes).lines() {
        // Invalid patterns are ignored, as in git.
        let _ = builder.add_line(None, line);
    }
    builder.build().ok()
}

/// All files below one place, without those that `.gitignore` excludes.
pub(crate) struct Walked {
    /// The path where it began, empty for the workspace itself.
    pub(crate) start: PathBuf,
    folders: Vec<Folder>,
    /// Whether it is one file that was named, perhaps through links, which are followed then.
    is_one: bool,
    /// Whether the walk ended at a limit.
    pub(crate) truncated: bool,
    /// Directories that could not be read.
    pub(crate) unreadable: Vec<PathBuf>,
}

/// A file that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) bytes: u64,
    pub(crate) modified: SystemTime,
}

impl Workspace {
    /// Walks a directory, or looks at one file. Sorted: the files of a directory before those of its subdirectories.
    ///
    /// # Errors
    /// A path that does not exist or cannot be used.
    pub(crate) fn walk(&self, start: &str) -> Result<Walked, WorkspaceError> {
        let clean = path::relative_to(start, self.path())?;
        let error = |source| self.error(start, source);
        let root = &self.handle.dir;
        let place = if clean == Path::new(".") { PathBuf::new() } else { clean };
        let metadata =
            root.metadata(if place.as_os_str().is_empty() { Path::new(".") } else { &place }).map_err(error)?;
        if !metadata.is_dir() {
            return match (place.parent(), place.file_name()) {
                (Some(parent), Some(name)) if metadata.is_file() => Ok(Walked::one(parent, name.to_owned())),
                _ => Err(WorkspaceError::NotAFile(path::shown(start))),
            };
        }
        // The `.gitignore` files of the directories above apply too.
        let mut ignores = None;
        let mut above = PathBuf::new();
        for component in place.components() {
            if let Ok(dir) = root.open_dir(if above.as_os_str().is_empty() { Path::new(".") } else { &above }) {
                ignores = ignores_of(&dir, &above, &ignores);
            }
            above.push(component);
        }
        let dir = root.open_dir(if place.as_os_str().is_empty() { Path::new(".") } else { &place }).map_err(error)?;
        let walk = Walk::new(dir, &place, ignores);
        run_in_parallel(|| walk.work());
        walk.end(place).map_err(error)
    }

    /// Calls `work` with each file, opened for reading, in several threads; `init` makes what a thread keeps. Returns the results
    /// in the order of the files. Once `stop` is set no further files are begun: the results are those of the first files.
    pub(crate) fn each_file<S, T: Send>(
        &self,
        walked: &Walked,
        stop: &AtomicBool,
        is_wanted: impl Fn(&Path) -> bool + Sync,
        init: impl Fn() -> S + Sync,
        work: impl Fn(&mut S, PathBuf, io::Result<std::fs::File>) -> Option<T> + Sync,
    ) -> Vec<T> {
        let chunks: Vec<(usize, usize)> = walked.chunks().collect();
        let next = AtomicUsize::new(0);
        let results = Mutex::new(Vec::new());
        run_in_parallel(|| {
            let mut state = init();
            let mut open: Option<(usize, io::Result<Dir>)> = None;
            while !stop.load(Ordering::Relaxed) {
                let number = next.fetch_add(1, Ordering::Relaxed);
                let Some((index, first)) = chunks.get(number) else { break };
                let folder = &walked.folders[*index];
                let mut found = Vec::new();
                for (name, is_link) in folder.files.iter().skip(*first).take(CHUNK) {
                    let path = folder.place.join(name);
                    // The target of a link is looked at itself, if it is inside.
                    if (*is_link && !walked.is_one) || !is_wanted(&path) {
                        continue;
                    }
                    if open.as_ref().is_none_or(|(at, _)| at != index) {
                        open = Some((*index, self.open_folder(&folder.place)));
                    }
                    let file = match &open {
                        Some((_, Ok(dir))) if !walked.is_one => open_regular(dir, Path::new(name)),
                        Some((_, Err(error))) => Err(error.kind().into()),
                        _ => open_regular(&self.handle.dir, &path),
                    };
                    match file {
                        Ok(None) => {}
                        Ok(Some(file)) => found.extend(work(&mut state, path, Ok(file.into_std()))),
                        Err(error) => found.extend(work(&mut state, path, Err(error))),
                    }
                }
                if !found.is_empty() {
                    lock(&results).push((number, found));
                }
            }
        });
        let mut results = results.into_inner().unwrap_or_else(PoisonError::into_inner);
        results.sort_by_key(|(number, _)| *number);
        results.into_iter().flat_map(|(_, found)| found).collect()
    }

    /// The files for which `is_wanted` holds, with size and time, in the order of the walk.
    pub(crate) fn find(&self, walked: &Walked, is_wanted: impl Fn(&Path) -> bool) -> Vec<Found> {
        let mut found = Vec::new();
        for folder in &walked.folders {
            let mut dir = None;
            for (name, is_link) in &folder.files {
                let path = folder.place.join(name);
                if !is_wanted(&path) {
                    continue;
                }
                let dir = dir.get_or_insert_with(|| self.open_folder(&folder.place));
                let metadata = match dir {
                    // A link may lead out of its directory and stay in the workspace.
                    _ if *is_link => self.handle.dir.metadata(&path),
                    Ok(dir) => dir.symlink_metadata(name),
                    Err(_) => continue,
                };
                let Ok(metadata) = metadata else { continue };
                if metadata.is_file() {
                    let modified =
                        metadata.modified().map_or(SystemTime::UNIX_EPOCH, cap_std::time::SystemTime::into_std);
                    found.push(Found { path, bytes: metadata.len(), modified });
                }
            }
        }
        found
    }

    /// Opens a file that a walk found; `None` if it is no longer a regular file.
    pub(crate) fn open_file(&self, path: &Path) -> io::Result<Option<std::fs::File>> {
        Ok(open_regular(&self.handle.dir, path)?.map(cap_std::fs::File::into_std))
    }

    fn open_folder(&self, place: &Path) -> io::Result<Dir> {
        self.handle.dir.open_dir(if place.as_os_str().is_empty() { Path::new(".") } else { place })
    }
}

impl Walked {
    fn one(parent: &Path, name: OsString) -> Self {
        let start = parent.join(&name);
        let folder = Folder {
            place: parent.to_owned(),
            files: vec![(name, false)],
            subdirectories: Vec::new(),
            ignores: None,
            cut: false,
        };
        Self { start, folders: vec![folder], is_one: true, truncated: false, unreadable: Vec::new() }
    }

    fn chunks(&self) -> impl Iterator<Item = (usize, usize)> {
        let folders = self.folders.iter().enumerate();
        folders.flat_map(|(index, folder)| (0..folder.files.len()).step_by(CHUNK).map(move |first| (index, first)))
    }
}

/// A directory to read: opened only when a thread takes it, so that few handles are open at once.
struct Job {
    parent: Arc<Dir>,
    name: PathBuf,
    place: PathBuf,
    ignores: Ignores,
    depth: usize,
}

#[derive(Default)]
struct Progress {
    jobs: Vec<Job>,
    /// Jobs that threads work on, which may add more.
    active: usize,
    folders: Vec<Folder>,
    truncated: bool,
    unreadable: Vec<PathBuf>,
    /// The error about the first directory.
    failed: Option<io::Error>,
}

struct Walk {
    progress: Mutex<Progress>,
    changed: Condvar,
    visits: AtomicUsize,
}

impl Walk {
    fn new(dir: Dir, place: &Path, ignores: Ignores) -> Self {
        let job = Job { parent: Arc::new(dir), name: PathBuf::from("."), place: place.to_owned(), ignores, depth: 0 };
        let progress = Mutex::new(Progress { jobs: vec![job], ..Progress::default() });
        Self { progress, changed: Condvar::new(), visits: AtomicUsize::new(SEARCH_VISITS_MAX) }
    }

    fn work(&self) {
        while let Some(job) = self.take() {
            let read = self.read(&job);
            let mut progress = lock(&self.progress);
            progress.active -= 1;
            match read {
                Ok((mut folder, dir)) => {
                    let dir = Arc::new(dir);
                    let subdirectories = std::mem::take(&mut folder.subdirectories);
                    let is_too_deep = job.depth + 1 >= LIST_DEPTH_MAX;
                    progress.truncated |= folder.cut || (is_too_deep && !subdirectories.is_empty());
                    if !is_too_deep && !folder.cut {
                        progress.jobs.extend(subdirectories.into_iter().rev().map(|name| Job {
                            parent: Arc::clone(&dir),
                            place: folder.place.join(&name),
                            name: name.into(),
                            ignores: folder.ignores.clone(),
                            depth: job.depth + 1,
                        }));
                    }
                    if !folder.files.is_empty() {
                        progress.folders.push(folder);
                    }
                }
                Err(error) if job.depth == 0 => progress.failed = Some(error),
                // It was removed or swapped meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(_) => progress.unreadable.push(job.place),
            }
            drop(progress);
            self.changed.notify_all();
        }
    }

    /// The next directory; `None` when no thread can find another.
    fn take(&self) -> Option<Job> {
        let mut progress = lock(&self.progress);
        loop {
            if let Some(job) = progress.jobs.pop() {
                progress.active += 1;
                return Some(job);
            }
            if progress.active == 0 {
                return None;
            }
            progress = self.changed.wait(progress).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Opening is confined to the parent; it fails if the directory was swapped for a link that leads elsewhere.
    fn read(&self, job: &Job) -> io::Result<(Folder, Dir)> {
        let dir = job.parent.open_dir(&job.name)?;
        let folder = read_folder(&dir, &job.place, &job.ignores, &self.visits)?;
        Ok((folder, dir))
    }

    fn end(self, start: PathBuf) -> io::Result<Walked> {
        let progress = self.progress.into_inner().unwrap_or_else(PoisonError::into_inner);
        let Progress { mut folders, truncated, mut unreadable, failed, .. } = progress;
        if let Some(error) = failed {
            return Err(error);
        }
        folders.sort_by(|left, right| left.place.cmp(&right.place));
        unreadable.sort();
        Ok(Walked { start, folders, is_one: false, truncated, unreadable })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs the same work in several threads and waits for all of them.
fn run_in_parallel(work: impl Fn() + Sync) {
    let threads = std::thread::available_parallelism().map_or(1, NonZero::get).min(SEARCH_THREADS_MAX);
    std::thread::scope(|scope| {
        for _ in 1..threads {
            // Without another thread this one does all the work.
            let _ = std::thread::Builder::new().spawn_scoped(scope, &work);
        }
        work();
    });
}
