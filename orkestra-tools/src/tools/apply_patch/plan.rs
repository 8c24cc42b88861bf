//! What a patch makes of the files of a workspace. Nothing is written here: all files are read and changed in memory first.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::form::{Action, FilePatch, Hunk, Side};
use super::place::apply;
use crate::error::ToolError;
use crate::limits::{PATCH_BYTES_MAX, PATCH_PROBLEMS_MAX, READ_BYTES_MAX, WRITE_BYTES_MAX};
use crate::workspace::{Change, Workspace, WorkspaceError, shown};

/// The files after the patch, as far as it changes them.
pub(super) struct Plan<'a> {
    workspace: &'a Workspace,
    files: BTreeMap<PathBuf, Planned>,
    bytes_left: u64,
    /// Problems that are still reported in detail.
    details: usize,
}

struct Planned {
    change: Change,
    existed: bool,
}

/// One line of the answer.
#[derive(Debug)]
pub(super) struct Done {
    pub(super) mark: char,
    pub(super) path: String,
    pub(super) from: Option<String>,
    pub(super) bytes: Option<u64>,
    pub(super) added: usize,
    pub(super) removed: usize,
}

/// Why one file cannot be changed.
enum Problem {
    /// For the model, without the name of the file.
    Refused(String),
    /// The fault of the host.
    Host(WorkspaceError),
}

impl From<WorkspaceError> for Problem {
    fn from(error: WorkspaceError) -> Self {
        if error.is_for_model() { Self::Refused(error.to_string()) } else { Self::Host(error) }
    }
}

impl From<&str> for Problem {
    fn from(text: &str) -> Self {
        Self::Refused(text.to_owned())
    }
}

/// Plans the whole patch. An error lists what is wrong in each file.
pub(super) fn plan(workspace: &Workspace, patches: &[FilePatch]) -> Result<(Vec<Change>, Vec<Done>), ToolError> {
    let mut plan = Plan { workspace, files: BTreeMap::new(), bytes_left: PATCH_BYTES_MAX, details: PATCH_PROBLEMS_MAX };
    let (mut done, mut problems) = (Vec::new(), Vec::new());
    for patch in patches {
        match plan.one(patch) {
            Ok(one) => done.push(one),
            Err(Problem::Host(error)) => return Err(error.into()),
            Err(Problem::Refused(text)) => problems.push(format!("- `{}`: {text}", shown(&patch.path))),
        }
    }
    if problems.is_empty() {
        let changes = plan.files.into_values().filter(|file| file.existed || file.change.content.is_some());
        return Ok((changes.map(|file| file.change).collect(), done));
    }
    let count = problems.len();
    problems.truncate(PATCH_PROBLEMS_MAX);
    if count > problems.len() {
        problems.push(format!("- and {} more files", count - problems.len()));
    }
    Err(ToolError::Refused(format!(
        "the patch was not applied and no file was changed:\n{}\nCorrect these parts and give the whole patch again.",
        problems.join("\n")
    )))
}

impl Plan<'_> {
    fn one(&mut self, patch: &FilePatch) -> Result<Done, Problem> {
        let (added, removed) = count(&patch.hunks);
        let done = |mark, from: Option<&str>, bytes: Option<usize>| Done {
            mark,
            path: patch.path.clone(),
            from: from.map(str::to_owned),
            bytes: bytes.map(|bytes| bytes as u64),
            added,
            removed,
        };
        match &patch.action {
            Action::Add => {
                if self.exists(&patch.path)? {
                    return Err("it exists already; update it, or delete it in a patch before this one".into());
                }
                let content = self.changed(Vec::new(), &patch.hunks)?;
                let bytes = content.len();
                self.set(&patch.path, Some(content), None, patch.executable)?;
                Ok(done('A', None, Some(bytes)))
            }
            Action::Delete => {
                let content = if patch.hunks.is_empty() { Vec::new() } else { self.read(&patch.path)? };
                if !self.changed(content, &patch.hunks)?.is_empty() {
                    return Err("the hunk does not remove all of its lines; a deleted file must become empty".into());
                }
                if !self.exists(&patch.path)? {
                    return Err(WorkspaceError::NotFound(shown(&patch.path)).into());
                }
                self.set(&patch.path, None, None, None)?;
                Ok(done('D', None, None))
            }
            Action::Update => {
                if patch.hunks.is_empty() && patch.executable.is_none() {
                    return Err("nothing is changed in it; add a hunk or leave the file out".into());
                }
                let content = self.read(&patch.path)?;
                let content = self.changed(content, &patch.hunks)?;
                let bytes = content.len();
                self.set(&patch.path, Some(content), None, patch.executable)?;
                Ok(done('M', None, Some(bytes)))
            }
            Action::Rename(from) | Action::Copy(from) => {
                let is_copy = matches!(patch.action, Action::Copy(_));
                let same = self.clean(from)? == self.clean(&patch.path)?;
                if !same && self.exists(&patch.path)? {
                    return Err(
                        "it exists already; choose another name, or delete it in a patch before this one".into()
                    );
                }
                let content = self.read(from)?;
                let content = self.changed(content, &patch.hunks)?;
                let bytes = content.len();
                if is_copy {
                    self.charge(bytes as u64)?;
                }
                let mode_of = if same { None } else { self.mode_of(from)? };
                if !is_copy && !same {
                    self.set(from, None, None, None)?;
                }
                self.set(&patch.path, Some(content), mode_of, patch.executable)?;
                Ok(done(if is_copy { 'C' } else { 'R' }, Some(from), Some(bytes)))
            }
        }
    }

    /// The content after the hunks.
    fn changed(&mut self, content: Vec<u8>, hunks: &[Hunk]) -> Result<Vec<u8>, Problem> {
        if hunks.is_empty() {
            return Ok(content);
        }
        let too_large = |content: &[u8]| content.len() as u64 > WRITE_BYTES_MAX;
        if too_large(&content) {
            return Err(Problem::Refused(format!(
                "it has more than {WRITE_BYTES_MAX} bytes; change it with run_command"
            )));
        }
        let Ok(text) = String::from_utf8(content) else {
            return Err("it is not a text file; change it with run_command".into());
        };
        let describe = |(index, problem): (usize, String)| {
            format!("hunk {} of {} (patch line {}): {problem}", index + 1, hunks.len(), hunks[index].patch_line)
        };
        match apply(&text, hunks, &mut self.details) {
            Ok(text) if too_large(text.as_bytes()) => Err(Problem::Refused(format!(
                "it would have more than {WRITE_BYTES_MAX} bytes; split it into several files"
            ))),
            Ok(text) => Ok(text.into_bytes()),
            Err(problems) => {
                let shown: Vec<String> = problems.into_iter().take(PATCH_PROBLEMS_MAX).map(describe).collect();
                Err(Problem::Refused(shown.join("\n  ")))
            }
        }
    }

    fn clean(&self, path: &str) -> Result<PathBuf, Problem> {
        Ok(self.workspace.writable(path)?)
    }

    fn exists(&self, path: &str) -> Result<bool, Problem> {
        match self.files.get(&self.clean(path)?) {
            Some(file) => Ok(file.change.content.is_some()),
            None => Ok(self.workspace.is_taken(path)?),
        }
    }

    fn read(&mut self, path: &str) -> Result<Vec<u8>, Problem> {
        if let Some(file) = self.files.get(&self.clean(path)?) {
            return file.change.content.clone().ok_or_else(|| WorkspaceError::NotFound(shown(path)).into());
        }
        let content = self.workspace.read_capped(path, READ_BYTES_MAX)?;
        self.charge(content.len() as u64)?;
        Ok(content)
    }

    /// Counts bytes that are kept in memory.
    fn charge(&mut self, bytes: u64) -> Result<(), Problem> {
        let left = self.bytes_left.checked_sub(bytes);
        self.bytes_left = left.ok_or_else(|| {
            Problem::Refused(format!(
                "with it the files of the patch have more than {PATCH_BYTES_MAX} bytes; split the patch"
            ))
        })?;
        Ok(())
    }

    /// The file on disk whose mode a renamed file gets.
    fn mode_of(&self, from: &str) -> Result<Option<String>, Problem> {
        match self.files.get(&self.clean(from)?) {
            Some(file) if !file.existed => Ok(file.change.mode_of.clone()),
            _ => Ok(Some(from.to_owned())),
        }
    }

    fn set(
        &mut self,
        path: &str,
        content: Option<Vec<u8>>,
        mode_of: Option<String>,
        executable: Option<bool>,
    ) -> Result<(), Problem> {
        let clean = self.clean(path)?;
        let before = self.files.remove(&clean);
        let existed = match &before {
            Some(file) => file.existed,
            None => self.workspace.is_taken(path)?,
        };
        let before = before.map(|file| file.change);
        let mode_of = mode_of.or_else(|| before.as_ref().and_then(|change| change.mode_of.clone()));
        let executable = executable.or_else(|| before.as_ref().and_then(|change| change.executable));
        let change = Change { path: path.to_owned(), content, mode_of, executable };
        self.files.insert(clean, Planned { change, existed });
        Ok(())
    }
}

fn count(hunks: &[Hunk]) -> (usize, usize) {
    let count = |side| hunks.iter().flat_map(|hunk| &hunk.lines).filter(|(of, _)| *of == side).count();
    (count(Side::New), count(Side::Old))
}
