//! What a server reports after a push. Pure.

use super::pkt::{Packet, packets, text};
use crate::web::one_line;

/// What a git server says to people about a push, bytes; the rest is cut.
const GIT_REMOTE_TEXT_BYTES_MAX: usize = 1000;

/// The outcome of a push, as the server reports it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Report {
    Pushed,
    /// With the reason of the server.
    Rejected(String),
}

/// Reads the answer to a push of `reference`. `has_bands` says whether packets begin with the number of their band.
pub(super) fn read(bytes: &[u8], reference: &str, has_bands: bool) -> Result<Report, String> {
    let (report, said) = if has_bands { bands(bytes)? } else { (bytes.to_vec(), String::new()) };
    let (mut is_unpacked, mut outcome) = (false, None);
    for packet in packets(&report)? {
        let Packet::Data(data) = packet else { break };
        let line = text(data)?;
        if let Some(unpack) = line.strip_prefix("unpack ") {
            if unpack != "ok" {
                return Ok(Report::Rejected(reason(&format!("it cannot read the pack: {unpack}"), &said)));
            }
            is_unpacked = true;
        } else if line.strip_prefix("ok ") == Some(reference) {
            outcome = Some(Report::Pushed);
        } else if let Some((name, why)) = line.strip_prefix("ng ").and_then(|rest| rest.split_once(' '))
            && name == reference
        {
            outcome = Some(Report::Rejected(reason(why, &said)));
        }
    }
    outcome.filter(|_| is_unpacked).ok_or_else(|| "the report does not mention the branch".to_owned())
}

/// The report of band 1, and what band 2 says to people. Band 3 is a fatal error.
fn bands(bytes: &[u8]) -> Result<(Vec<u8>, String), String> {
    let (mut report, mut said) = (Vec::new(), String::new());
    for packet in packets(bytes)? {
        match packet {
            Packet::Flush => break,
            Packet::Data([1, data @ ..]) => report.extend_from_slice(data),
            Packet::Data([2, data @ ..]) => {
                if said.len() < GIT_REMOTE_TEXT_BYTES_MAX {
                    said.push_str(&String::from_utf8_lossy(data));
                }
            }
            Packet::Data([3, data @ ..]) => {
                return Err(format!("the server failed: {}", one_line(&String::from_utf8_lossy(data), 300)));
            }
            Packet::Data(_) => return Err("a packet has no band".to_owned()),
        }
    }
    Ok((report, said))
}

fn reason(why: &str, said: &str) -> String {
    let why = one_line(why, 300);
    let said = one_line(said, GIT_REMOTE_TEXT_BYTES_MAX);
    if said.is_empty() { why } else { format!("{why} (the server says: {said})") }
}

#[cfg(test)]
mod tests {
    use super::super::pkt::{FLUSH, packet};
    use super::*;

    fn plain(lines: &[&str]) -> Vec<u8> {
        [lines.iter().flat_map(|line| packet(line)).collect(), FLUSH.to_vec()].concat()
    }

    fn band(number: u8, data: &[u8]) -> Vec<u8> {
        [format!("{:04x}", data.len() + 5).into_bytes(), vec![number], data.to_vec()].concat()
    }

    #[test]
    fn the_outcome_is_what_the_server_reports() {
        let rejected = |reason: &str| Ok(Report::Rejected(reason.to_owned()));
        let ok = plain(&["unpack ok\n", "ok refs/heads/a\n"]);
        let no = plain(&["unpack ok\n", "ng refs/heads/a protected \u{1b}[31mbranch\n"]);
        let table = [
            (ok.clone(), false, Ok(Report::Pushed)),
            (no.clone(), false, rejected("protected branch")),
            (plain(&["unpack index-pack failed\n"]), false, rejected("it cannot read the pack: index-pack failed")),
            (plain(&["unpack ok\n"]), false, Err("does not mention")),
            (plain(&["ok refs/heads/a\n"]), false, Err("does not mention")),
            (plain(&["unpack ok\n", "ok refs/heads/ab\n"]), false, Err("does not mention")),
            (vec![], false, Err("does not mention")),
            (b"<html>".to_vec(), false, Err("length")),
            ([band(1, &ok[..9]), band(2, b"hi"), band(1, &ok[9..]), FLUSH.to_vec()].concat(), true, Ok(Report::Pushed)),
            (
                [band(2, b"GH013: no"), band(1, &no)].concat(),
                true,
                rejected("protected branch (the server says: GH013: no)"),
            ),
            (band(3, b"out of disk"), true, Err("out of disk")),
            (band(9, b"x"), true, Err("no band")),
            (b"0004".to_vec(), true, Err("no band")),
        ];
        for (bytes, has_bands, expected) in table {
            match (read(&bytes, "refs/heads/a", has_bands), expected) {
                (Ok(got), Ok(want)) => assert_eq!(got, want),
                (Err(got), Err(want)) => assert!(got.contains(want), "{got}"),
                (got, want) => panic!("{got:?}, expected {want:?}"),
            }
        }
    }
}
