//! What a path leads to through symbolic links, for the policy. It only looks: nothing is opened by the result, because a link can
//! change at any time.

use std::path::{Component, Path, PathBuf};

use super::{Workspace, name};

/// Symlinks whose target does not exist that are followed in one path; as many as the kernel.
const LINKS_MAX: usize = 40;

impl Workspace {
    /// The path in the workspace that a text leads to, as tools write it. Of a path that does not exist, the part that does is
    /// resolved. `None` for what is not in the workspace.
    pub(crate) fn target(&self, text: &str) -> Option<String> {
        let mut path = self.within(&name::parse(text).ok()?)?;
        for _ in 0..LINKS_MAX {
            match self.step(&path)? {
                Step::Arrived(target) => return Some(name::show(&target)),
                Step::Leads(further) => path = further,
            }
        }
        None
    }

    /// The path without the directory of the workspace: absolute ones are what tools of other programs take.
    fn within(&self, path: &Path) -> Option<PathBuf> {
        if !path.is_absolute() {
            return Some(path.to_owned());
        }
        let tops = [self.path(), Path::new("/workspace")];
        tops.into_iter().find_map(|top| path.strip_prefix(top).ok()).map(Path::to_owned)
    }

    /// Resolves the longest beginning that exists, and one link whose target does not.
    fn step(&self, path: &Path) -> Option<Step> {
        let dir = &self.handle.dir;
        let (mut begin, mut rest) = (path.to_owned(), PathBuf::new());
        loop {
            let shown = if begin.as_os_str().is_empty() { Path::new(".") } else { &begin };
            if let Ok(real) = dir.canonicalize(shown) {
                return plain(&real.join(rest)).map(Step::Arrived);
            }
            let above = begin.parent().map(Path::to_owned).unwrap_or_default();
            if let Ok(link) = dir.read_link_contents(&begin) {
                let target = if link.is_absolute() { self.within(&link)? } else { above.join(link) };
                // NOTE: joining nothing would add a slash, and a link with a slash is what it leads to.
                let is_last = rest.as_os_str().is_empty();
                return Some(Step::Leads(if is_last { target } else { target.join(rest) }));
            }
            let last = begin.components().next_back()?;
            rest = Path::new(last.as_os_str()).join(rest);
            begin = above;
        }
    }
}

enum Step {
    Arrived(PathBuf),
    Leads(PathBuf),
}

/// Without `.`; `.` for the workspace itself. `None` for a path with `..` below what does not exist: it leads nowhere, or outside.
fn plain(path: &Path) -> Option<PathBuf> {
    let parts: PathBuf = path.components().filter(|part| !matches!(part, Component::CurDir)).collect();
    let is_inside = parts.components().all(|part| matches!(part, Component::Normal(_)));
    let parts = if parts.as_os_str().is_empty() { PathBuf::from(".") } else { parts };
    is_inside.then_some(parts)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_path_leads_where_its_links_lead() {
        let root = tempfile::tempdir().expect("a directory");
        let workspace = Workspace::open(&root.path().join("w")).expect("opened");
        let top = workspace.path().to_owned();
        std::fs::create_dir_all(top.join("real/sub")).expect("created");
        std::fs::write(top.join("real/.env"), "x").expect("written");
        for (target, link) in [
            ("real", "dir"),
            ("real/.env", "notes.txt"),
            ("../real/.env", "real/up"),
            ("dir", "twice"),
            ("real/new.txt", "dangling"),
            ("loop", "loop"),
            ("/etc", "out"),
            ("../..", "above"),
        ] {
            symlink(target, top.join(link)).expect("linked");
        }
        symlink(top.join("real"), top.join("absolute")).expect("linked");
        let table = [
            ("real/.env", Some("real/.env")),
            ("notes.txt", Some("real/.env")),
            ("./dir/.env", Some("real/.env")),
            ("twice/sub/new/deep", Some("real/sub/new/deep")),
            ("real/up", Some("real/.env")),
            ("dangling", Some("real/new.txt")),
            ("absolute/.env", Some("real/.env")),
            ("/workspace/notes.txt", Some("real/.env")),
            ("missing/file", Some("missing/file")),
            (".", Some(".")),
            ("\"notes.txt\"", Some("real/.env")),
            ("loop", None),
            ("/etc/passwd", None),
            ("", Some(".")),
        ];
        for (path, expected) in table {
            assert_eq!(workspace.target(path).as_deref(), expected, "{path:?}");
        }
        let inside = format!("{}/dir/.env", top.display());
        assert_eq!(workspace.target(&inside).as_deref(), Some("real/.env"));
        for outside in ["out/passwd", "above/x", "../x", "missing/../x", "real/../../x"] {
            assert_eq!(workspace.target(outside), None, "{outside}");
        }
    }
}
