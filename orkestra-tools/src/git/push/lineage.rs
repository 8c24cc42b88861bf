//! Whether one commit descends from another, proved by the commits between them. Pure.
//!
//! A server moves a branch wherever a push says; that nothing of it is lost is up to who pushes. What git in the sandbox says is not
//! believed: the ids of commits are hashes of their content, so a chain of commits cannot be made up.

use std::collections::{HashMap, HashSet};

use sha1::{Digest as _, Sha1};

use super::advertised::is_id;

/// Whether the output of `git cat-file --batch` has a chain of commits from `new` to its ancestor `old`.
pub(super) fn descends<'a>(new: &'a str, old: &str, batch: &'a [u8]) -> bool {
    let parents = parents(batch);
    let (mut seen, mut open) = (HashSet::new(), vec![new]);
    while let Some(id) = open.pop() {
        if id == old {
            return true;
        }
        if seen.insert(id) {
            open.extend(parents.get(id).into_iter().flatten());
        }
    }
    false
}

/// The parents of each commit whose content has the hash that it should have. What follows something malformed is ignored.
fn parents(mut batch: &[u8]) -> HashMap<&str, Vec<&str>> {
    let mut all = HashMap::new();
    while let Some((id, content, rest)) = next(batch) {
        let mut hash = Sha1::new();
        hash.update(format!("commit {}\0", content.len()));
        hash.update(content);
        let actual: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if actual == id {
            all.insert(id, parents_of(content));
        }
        batch = rest;
    }
    all
}

/// The id, the content, and what follows.
fn next(batch: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let end = batch.iter().position(|byte| *byte == b'\n')?;
    let heading = std::str::from_utf8(&batch[..end]).ok()?;
    let (id, size) = heading.split_once(" commit ")?;
    let (content, rest) = batch[end + 1..].split_at_checked(size.parse().ok()?)?;
    is_id(id).then_some((id, content, rest.strip_prefix(b"\n")?))
}

/// The parents of a commit: the lines directly after its tree, and no later ones, as git reads them.
fn parents_of(content: &[u8]) -> Vec<&str> {
    let mut lines = content.split(|byte| *byte == b'\n');
    if !lines.next().is_some_and(|line| line.starts_with(b"tree ")) {
        return Vec::new();
    }
    let parents = lines.map_while(|line| std::str::from_utf8(line.strip_prefix(b"parent ")?).ok());
    parents.filter(|id| is_id(id)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(parents: &[&str], message: &str) -> (String, String) {
        let parents: String = parents.iter().map(|id| format!("parent {id}\n")).collect();
        let content = format!("tree {}\n{parents}author A\n\n{message}\n", "a".repeat(40));
        (hash_of(&content), content)
    }

    fn hash_of(content: &str) -> String {
        let hash = Sha1::digest(format!("commit {}\0{content}", content.len()).as_bytes());
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn batch(commits: &[&(String, String)]) -> Vec<u8> {
        let entries = commits.iter().map(|(id, content)| format!("{id} commit {}\n{content}\n", content.len()));
        entries.collect::<String>().into_bytes()
    }

    #[test]
    fn only_a_chain_of_real_commits_is_a_proof() {
        let old = "1".repeat(40);
        let other = "2".repeat(40);
        let first = commit(&[&old], "first");
        let merge = commit(&[&other, &first.0], "merge");
        let stranger = commit(&[&other], &format!("x\n\nparent {old}"));
        let forged = (other.clone(), first.1.clone());
        let late = format!("tree {old}\nauthor A\nparent {old}\n\nx\n");
        let late = (hash_of(&late), late);
        let check = |new: &str, commits: &[&(String, String)]| descends(new, &old, &batch(commits));
        assert!(check(&old, &[]), "a commit is its own ancestor");
        assert!(check(&first.0, &[&first]) && check(&merge.0, &[&merge, &first]) && check(&merge.0, &[&first, &merge]));
        assert!(!check(&merge.0, &[&merge]), "a gap");
        assert!(!check(&stranger.0, &[&stranger]), "a parent in the message");
        assert!(!check(&stranger.0, &[&stranger, &forged]), "content that is not that of its id");
        assert!(!check(&late.0, &[&late]), "a parent after the author, which git does not read");
        assert!(!check(&first.0, &[]));
        let mut cut = batch(&[&first]);
        cut.truncate(cut.len() - 5);
        assert!(!descends(&first.0, &old, &cut));
        for nonsense in ["", "x", "x commit 5\n", &format!("{old} missing\n"), &format!("{} commit -1\n\n", first.0)] {
            assert!(!descends(&first.0, &old, nonsense.as_bytes()), "{nonsense}");
        }
    }
}
