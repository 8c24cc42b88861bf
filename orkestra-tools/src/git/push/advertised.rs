//! What a server advertises before a push: its branches and what it can do. Pure.

use std::collections::BTreeMap;

use super::pkt::{Packet, packets, text};
use crate::limits::GIT_REFS_MAX;

/// The id that stands for "no object".
pub(super) const ZERO: &str = "0000000000000000000000000000000000000000";

/// The branches of a server.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Advertised {
    /// Commits by the name of their branch, without `refs/heads/`.
    pub(super) branches: BTreeMap<String, String>,
    capabilities: Vec<String>,
}

impl Advertised {
    pub(super) fn can(&self, capability: &str) -> bool {
        self.capabilities.iter().any(|one| one == capability)
    }

    /// Reads the answer to `info/refs?service=git-receive-pack`.
    pub(super) fn read(bytes: &[u8]) -> Result<Self, String> {
        let mut packets = packets(bytes)?.into_iter();
        match packets.next() {
            Some(Packet::Data(data)) if text(data)? == "# service=git-receive-pack" => {}
            _ => return Err("it does not begin as the answer of a git server".to_owned()),
        }
        if packets.next() != Some(Packet::Flush) {
            return Err("its heading does not end".to_owned());
        }
        let (mut advertised, mut is_first, mut is_complete) = (Self::default(), true, false);
        for packet in packets.by_ref() {
            let Packet::Data(data) = packet else {
                is_complete = true;
                break;
            };
            let line = text(data)?;
            let (reference, capabilities) = line.split_once('\0').unwrap_or((line, ""));
            if is_first {
                advertised.capabilities = capabilities.split(' ').map(str::to_owned).collect();
                is_first = false;
            }
            advertised.add(reference)?;
        }
        if !is_complete || packets.next().is_some() {
            return Err("its list of branches is not complete".to_owned());
        }
        if advertised.can("object-format=sha256") {
            return Err("it has SHA-256 object names, which are not supported".to_owned());
        }
        if !advertised.can("report-status") {
            return Err("it does not report the outcome of a push".to_owned());
        }
        Ok(advertised)
    }

    fn add(&mut self, reference: &str) -> Result<(), String> {
        if reference.starts_with("shallow ") {
            return Ok(());
        }
        let (id, name) = reference.split_once(' ').ok_or("a branch has no name")?;
        if !is_id(id) {
            return Err("a branch has no valid commit".to_owned());
        }
        if let Some(branch) = name.strip_prefix("refs/heads/") {
            if self.branches.len() >= GIT_REFS_MAX {
                return Err(format!("it has more than {GIT_REFS_MAX} branches"));
            }
            self.branches.insert(branch.to_owned(), id.to_owned());
        }
        Ok(())
    }
}

/// Whether a text is an object id (SHA-1), as git writes it.
pub(super) fn is_id(text: &str) -> bool {
    text.len() == ZERO.len() && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::super::pkt::{FLUSH, packet};
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef01234567";

    fn answer(lines: &[&str]) -> Vec<u8> {
        let lines = lines.iter().flat_map(|line| packet(line));
        [packet("# service=git-receive-pack\n"), FLUSH.to_vec(), lines.collect(), FLUSH.to_vec()].concat()
    }

    #[test]
    fn branches_and_capabilities_are_read() {
        let lines = [
            &format!("{ID} refs/heads/main\0report-status side-band-64k ofs-delta\n"),
            &format!("{ID} refs/heads/a/b\n"),
            &format!("{ID} refs/tags/v1\n"),
            &format!("{ID} .have\n"),
            &format!("shallow {ID}\n"),
        ];
        let read = Advertised::read(&answer(&lines.map(String::as_str))).expect("valid");
        assert_eq!(read.branches.keys().collect::<Vec<_>>(), ["a/b", "main"]);
        assert!(read.can("side-band-64k") && !read.can("side-band") && !read.can("atomic"));
        let empty = format!("{ZERO} capabilities^{{}}\0report-status\n");
        assert_eq!(Advertised::read(&answer(&[&empty])).expect("valid").branches.len(), 0);
    }

    #[test]
    fn other_answers_are_refused() {
        let good = format!("{ID} refs/heads/main\0report-status\n");
        let whole = answer(&[&good]);
        let table: [(Vec<u8>, &str); 9] = [
            (vec![], "begin"),
            (b"<!DOCTYPE html><title>Sign in</title>".to_vec(), "length"),
            (answer(&[]), "does not report"),
            (answer(&[&format!("{ID} refs/heads/main\0atomic\n")]), "does not report"),
            (answer(&[&good, "nonsense"]), "no name"),
            (answer(&[&good, "0123 refs/heads/x"]), "no valid commit"),
            (whole[..whole.len() - 4].to_vec(), "not complete"),
            ([whole.clone(), packet("more")].concat(), "not complete"),
            (answer(&[&format!("{ID} refs/heads/main\0report-status object-format=sha256\n")]), "SHA-256"),
        ];
        for (bytes, expected) in table {
            let error = Advertised::read(&bytes).expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
    }
}
