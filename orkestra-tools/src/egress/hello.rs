//! Reads the server name from the first message of a TLS connection (RFC 8446, 4.1.2; RFC 6066, 3). Pure: bytes in, answer out.

/// What the bytes received so far say.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Hello {
    /// The message is not complete.
    Incomplete,
    /// The name that the client asks for, lower case.
    Name(String),
    /// It is not a TLS client hello, or it names no server.
    Invalid,
}

/// Reads the server name of a client hello, which may span several TLS records.
pub(super) fn server_name(bytes: &[u8]) -> Hello {
    let mut message = Vec::new();
    let mut records = Reader(bytes);
    // The message is collected until it is complete; each record has a type, a version, a length and a part of it.
    loop {
        if let Some(hello) = parse(&message) {
            return hello;
        }
        let Some(kind) = records.take(1) else { return Hello::Incomplete };
        if kind != [22] {
            return Hello::Invalid;
        }
        let Some(version) = records.take(2) else { return Hello::Incomplete };
        if version[0] != 3 {
            return Hello::Invalid;
        }
        let Some(length) = records.number(2) else { return Hello::Incomplete };
        if length == 0 {
            return Hello::Invalid;
        }
        let Some(part) = records.take(length) else { return Hello::Incomplete };
        message.extend_from_slice(part);
    }
}

/// `None` when the handshake message is not complete.
fn parse(message: &[u8]) -> Option<Hello> {
    let mut reader = Reader(message);
    let kind = reader.take(1)?;
    if kind != [1] {
        return Some(Hello::Invalid);
    }
    let length = reader.number(3)?;
    let body = reader.take(length)?;
    Some(name_in(body).map_or(Hello::Invalid, Hello::Name))
}

fn name_in(body: &[u8]) -> Option<String> {
    let mut reader = Reader(body);
    reader.take(2 + 32)?;
    for length_bytes in [1, 2, 1] {
        // Session id, cipher suites, compression methods.
        let length = reader.number(length_bytes)?;
        reader.take(length)?;
    }
    let length = reader.number(2)?;
    let mut extensions = Reader(reader.take(length)?);
    while let Some(kind) = extensions.number(2) {
        let length = extensions.number(2)?;
        let mut content = Reader(extensions.take(length)?);
        if kind != 0 {
            continue;
        }
        let length = content.number(2)?;
        let mut names = Reader(content.take(length)?);
        let kind = names.number(1)?;
        let length = names.number(2)?;
        let name = names.take(length)?;
        // A second name would be one that was not checked.
        return (kind == 0 && names.0.is_empty())
            .then(|| std::str::from_utf8(name).ok().map(str::to_ascii_lowercase))
            .flatten();
    }
    None
}

struct Reader<'bytes>(&'bytes [u8]);

impl<'bytes> Reader<'bytes> {
    fn take(&mut self, count: usize) -> Option<&'bytes [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    fn number(&mut self, bytes: usize) -> Option<usize> {
        Some(self.take(bytes)?.iter().fold(0, |number, byte| (number << 8) | usize::from(*byte)))
    }
}

#[cfg(test)]
pub(in crate::egress) mod tests {
    use super::*;

    /// A client hello for this name, in records of at most `record` bytes.
    pub(in crate::egress) fn hello(name: &str, record: usize) -> Vec<u8> {
        let sized = |bytes: &[u8], width: usize| -> Vec<u8> {
            let length = u32::try_from(bytes.len()).expect("small").to_be_bytes();
            [&length[4 - width..], bytes].concat()
        };
        let names = sized(&[&[0][..], &sized(name.as_bytes(), 2)].concat(), 2);
        let extensions = [&[0, 10, 0, 2, 0, 0][..], &[0, 0], &sized(&names, 2)].concat();
        let body = [&[3, 3][..], &[7; 32], &[0], &sized(&[0x13, 1], 2), &[1, 0], &sized(&extensions, 2)].concat();
        let message = [&[1][..], &sized(&body, 3)].concat();
        message.chunks(record).flat_map(|part| [&[22, 3, 1][..], &sized(part, 2)].concat()).collect()
    }

    #[test]
    fn the_name_is_read_from_one_record_or_many() {
        for record in [5, 17, 4096] {
            let bytes = hello("Files.Example.com", record);
            assert_eq!(server_name(&bytes), Hello::Name("files.example.com".to_owned()), "records of {record}");
            for end in 0..bytes.len() {
                assert_eq!(server_name(&bytes[..end]), Hello::Incomplete, "{end} bytes in records of {record}");
            }
        }
    }

    #[test]
    fn what_is_no_hello_is_invalid() {
        for bytes in
            [&b"GET / HTTP/1.1\r\n"[..], b"SSH-2.0-x", &[22, 2, 0, 0, 1, 1], &[22, 3, 1, 0, 0], &[22, 3, 1, 0, 1, 2]]
        {
            assert_eq!(server_name(bytes), Hello::Invalid, "{bytes:?}");
        }
        let mut bytes = hello("example.com", 4096);
        // Any single wrong byte is an answer, never a panic.
        for position in 0..bytes.len() {
            let before = bytes[position];
            for byte in [0, 1, 0x7f, 0xff] {
                bytes[position] = byte;
                let _ = server_name(&bytes);
            }
            bytes[position] = before;
        }
    }
}
