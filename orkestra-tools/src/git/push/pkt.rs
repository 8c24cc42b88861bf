//! The packets of git's protocol ("pkt-line"), read strictly. Pure.

/// Largest packet, its length included.
const PACKET_BYTES_MAX: usize = 65_520;

/// A packet.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Packet<'a> {
    Data(&'a [u8]),
    Flush,
}

/// Splits bytes into packets. An error says what is wrong.
pub(super) fn packets(mut bytes: &[u8]) -> Result<Vec<Packet<'_>>, String> {
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        let Some((head, rest)) = bytes.split_at_checked(4) else {
            return Err("a packet ends within its length".to_owned());
        };
        let length = length(head).ok_or("a packet has no valid length")?;
        if length == 0 {
            packets.push(Packet::Flush);
            bytes = rest;
            continue;
        }
        if !(4..=PACKET_BYTES_MAX).contains(&length) {
            return Err(format!("a packet has the length {length}"));
        }
        let (data, rest) = rest.split_at_checked(length - 4).ok_or("a packet ends early")?;
        packets.push(Packet::Data(data));
        bytes = rest;
    }
    Ok(packets)
}

fn length(head: &[u8]) -> Option<usize> {
    // `from_str_radix` would accept a sign.
    if !head.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    usize::from_str_radix(std::str::from_utf8(head).ok()?, 16).ok()
}

/// One packet with this text.
pub(super) fn packet(text: &str) -> Vec<u8> {
    debug_assert!(text.len() + 4 <= PACKET_BYTES_MAX, "names are validated before");
    format!("{:04x}{text}", text.len() + 4).into_bytes()
}

/// The packet that ends a list.
pub(super) const FLUSH: &[u8] = b"0000";

/// The text of a packet, without its newline.
pub(super) fn text(data: &[u8]) -> Result<&str, String> {
    let text = std::str::from_utf8(data).map_err(|_| "a packet is not UTF-8".to_owned())?;
    Ok(text.strip_suffix('\n').unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::Packet::{Data, Flush};
    use super::*;

    /// Bytes, and their packets or what is wrong.
    type Row<'a> = (&'a [u8], Result<Vec<Packet<'a>>, &'a str>);

    #[test]
    fn packets_are_read_strictly() {
        let table: [Row<'_>; 12] = [
            (b"", Ok(vec![])),
            (b"0000", Ok(vec![Flush])),
            (b"0006a\n0000", Ok(vec![Data(b"a\n"), Flush])),
            (b"000Aabcdef0004", Ok(vec![Data(b"abcdef"), Data(b"")])),
            (b"0001", Err("length 1")),
            (b"0003", Err("length 3")),
            (b"fff1", Err("length 65521")),
            (b"0006a", Err("ends early")),
            (b"000", Err("within its length")),
            (b"00 6ab", Err("no valid length")),
            (b"+006ab", Err("no valid length")),
            (b"<!DOCTYPE html>", Err("no valid length")),
        ];
        for (bytes, expected) in table {
            match (packets(bytes), expected) {
                (Ok(got), Ok(want)) => assert_eq!(got, want, "{bytes:?}"),
                (Err(got), Err(want)) => assert!(got.contains(want), "{bytes:?}: {got}"),
                (got, want) => panic!("{bytes:?}: {got:?}, expected {want:?}"),
            }
        }
        assert_eq!(packet("ab\n"), b"0007ab\n");
    }
}
