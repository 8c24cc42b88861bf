//! Parses the log that strace writes: every system call with its arguments and its result.
//!
//! ```text
//! 11257 openat(AT_FDCWD</tmp>, "/tmp/s/db", O_RDWR|O_CREAT, 0666) = 7</tmp/s/db>
//! 11260 fsync(7</tmp/s/db> <unfinished ...>
//! 11257 write(9</tmp/s/wal.0>, "\0\0ab", 4) = 4
//! 11260 <... fsync resumed>)              = 0
//! ```
//!
//! strace writes a call in two lines when another thread makes one meanwhile: the call began with the first line and ended with the
//! second. A line that cannot be parsed is an error and is never skipped: the log must hold all that happened.

use std::collections::BTreeMap;

const UNFINISHED: &str = " <unfinished ...>";

/// A system call that has ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) name: String,
    pub(super) arguments: Vec<Argument>,
    /// `None` when the process ended before the call did.
    pub(super) result: Option<i64>,
    /// The numbers of the lines with which it began and ended. They are the same for a call in one line.
    pub(super) began: usize,
    pub(super) ended: usize,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Argument {
    /// A string in quotes, unescaped.
    Text(Vec<u8>),
    /// Anything else, as it is in the log.
    Word(String),
}

/// Parses one line after the other.
#[derive(Default)]
pub(super) struct Reader {
    /// Calls that have begun and not ended, by thread: the first line and its number.
    begun: BTreeMap<String, (String, usize)>,
}

impl Reader {
    /// Parses the line `number`. Returns a call with the line that ends it.
    pub(super) fn read(&mut self, number: usize, line: &str) -> Result<Option<Call>, String> {
        let (thread, rest) = line.split_once(' ').ok_or("the line does not begin with a thread id")?;
        let rest = rest.trim_start();
        // The end of a thread, or a signal.
        if rest.starts_with("+++ ") || rest.starts_with("--- ") {
            return Ok(None);
        }
        if let Some(beginning) = rest.strip_suffix(UNFINISHED) {
            if let Some((_, end)) = beginning.split_once(" resumed>") {
                // The process ended during the call.
                return self.resume(thread, &format!("{end}) = ?"), number).map(Some);
            }
            let before = self.begun.insert(thread.to_owned(), (beginning.to_owned(), number));
            return if before.is_none() { Ok(None) } else { Err("its thread has not ended its last call".into()) };
        }
        if let Some(resumed) = rest.strip_prefix("<... ") {
            let (_, end) = resumed.split_once(" resumed>").ok_or("it resumes no call")?;
            return self.resume(thread, end, number).map(Some);
        }
        call(rest, number, number).map(Some)
    }

    fn resume(&mut self, thread: &str, end: &str, number: usize) -> Result<Call, String> {
        let (mut text, began) = self.begun.remove(thread).ok_or("it resumes a call that has not begun")?;
        text.push_str(end);
        call(&text, began, number)
    }
}

impl Call {
    pub(super) fn text(&self, at: usize) -> Result<&[u8], String> {
        match self.arguments.get(at) {
            Some(Argument::Text(bytes)) => Ok(bytes),
            other => Err(format!("expected a string as argument {at}, found {other:?}")),
        }
    }

    pub(super) fn word(&self, at: usize) -> Result<&str, String> {
        match self.arguments.get(at) {
            Some(Argument::Word(word)) => Ok(word),
            other => Err(format!("expected no string as argument {at}, found {other:?}")),
        }
    }

    pub(super) fn number(&self, at: usize) -> Result<u64, String> {
        let number = number(self.word(at)?).ok_or_else(|| format!("argument {at} is not a number"))?;
        u64::try_from(number).map_err(|error| error.to_string())
    }

    /// A descriptor and the path that strace shows for it, as in `7</tmp/s/db>`.
    pub(super) fn descriptor(&self, at: usize) -> Result<(&str, &str), String> {
        let (descriptor, path) =
            self.word(at)?.split_once('<').ok_or_else(|| format!("argument {at} is not a descriptor"))?;
        Ok((descriptor, path.strip_suffix('>').unwrap_or(path)))
    }
}

/// Parses `name(argument, argument) = result`.
fn call(text: &str, began: usize, ended: usize) -> Result<Call, String> {
    let (name, mut rest) = text.split_once('(').ok_or("it is not a call")?;
    let mut arguments = Vec::new();
    loop {
        rest = rest.trim_start_matches([',', ' ']);
        if let Some(end) = rest.strip_prefix(')') {
            rest = end;
            break;
        }
        let (argument, behind) = argument(rest)?;
        arguments.push(argument);
        rest = behind;
    }
    let result = rest.trim_start().strip_prefix('=').ok_or("it has no result")?.trim_start();
    let word = result.split([' ', '<']).next().unwrap_or_default();
    let result = if word == "?" { None } else { Some(number(word).ok_or("its result is not a number")?) };
    Ok(Call { name: name.to_owned(), arguments, result, began, ended })
}

fn number(word: &str) -> Option<i64> {
    match word.strip_prefix("0x") {
        // An address may use all 64 bits.
        Some(digits) => u64::from_str_radix(digits, 16).ok().map(u64::cast_signed),
        None => word.parse().ok(),
    }
}

/// Parses the first argument in `text`. Returns what follows it, too.
fn argument(text: &str) -> Result<(Argument, &str), String> {
    if let Some(quoted) = text.strip_prefix('"') {
        let (bytes, rest) = unquote(quoted)?;
        let whole = !rest.starts_with("...");
        return if whole { Ok((Argument::Text(bytes), rest)) } else { Err("strace has shortened its data".into()) };
    }
    let (mut depth, mut quoted) = (0_u32, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b',' | b')' if depth == 0 => return Ok((Argument::Word(text[..at].to_owned()), &text[at..])),
            b'(' | b'[' | b'{' | b'<' => depth += 1,
            // The arrow in `{…} => {…}`, which shows what the system has written.
            b'>' if text[..at].ends_with('=') => {}
            b')' | b']' | b'}' | b'>' => {
                depth = depth.checked_sub(1).ok_or("a bracket is closed that was not opened")?;
            }
            _ => {}
        }
    }
    Err("an argument does not end".into())
}

/// The bytes up to the closing quotation mark, and what follows it. All data goes through this loop: it must be fast in a debug build.
fn unquote(text: &str) -> Result<(Vec<u8>, &str), String> {
    let bytes = text.as_bytes();
    let (mut plain, mut at) = (Vec::with_capacity(bytes.len() / 2), 0);
    while at < bytes.len() {
        match bytes[at] {
            b'"' => return Ok((plain, &text[at + 1..])),
            b'\\' => {
                let (byte, length) = unescape(&bytes[at + 1..])?;
                plain.push(byte);
                at += 1 + length;
            }
            byte => {
                plain.push(byte);
                at += 1;
            }
        }
    }
    Err("a string does not end".into())
}

/// The byte that an escape stands for, and the length of the escape without its backslash.
fn unescape(bytes: &[u8]) -> Result<(u8, usize), String> {
    let simple = match bytes.first() {
        Some(b'n') => b'\n',
        Some(b't') => b'\t',
        Some(b'r') => b'\r',
        Some(b'v') => 0x0b,
        Some(b'f') => 0x0c,
        Some(same @ (b'"' | b'\\')) => *same,
        _ => {
            let (mut value, mut length) = (0_u16, 0);
            while length < 3 && bytes.get(length).is_some_and(|digit| (b'0'..=b'7').contains(digit)) {
                value = value * 8 + u16::from(bytes[length] - b'0');
                length += 1;
            }
            let byte = u8::try_from(value).ok().filter(|_| length > 0);
            return byte.map(|byte| (byte, length)).ok_or_else(|| "an unknown escape".into());
        }
    };
    Ok((simple, 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(word: &str) -> Argument {
        Argument::Word(word.into())
    }

    fn read(lines: &[&str]) -> Vec<Call> {
        let mut reader = Reader::default();
        let read = |(number, line): (usize, &&str)| reader.read(number, line).expect("it is valid");
        lines.iter().enumerate().filter_map(read).collect()
    }

    #[test]
    fn calls_are_parsed() {
        let calls = read(&[
            r#"71 write(9</s/wal.0>, "a\0\"\\\n\3779, \10", 9) = 9"#,
            r"72 fsync(7</s/db> <unfinished ...>",
            r#"71 openat(AT_FDCWD</s>, "/s/x", O_RDWR|O_CREAT, 0666) = 8</s/x>"#,
            r"72 <... fsync resumed>)              = 0",
            r"71 +++ exited with 0 +++",
            r"72 clone3({flags=CLONE_VM|CLONE_FILES, tls=0x7} => {parent_tid=[73]}, 88) = 73",
            r"72 close(9) = -1 EBADF (Bad file descriptor)",
            r"72 fsync(7</s/db> <unfinished ...>",
            r"72 <... fsync resumed> <unfinished ...>",
        ]);
        let found: Vec<_> = calls.iter().map(|c| (c.name.as_str(), c.began, c.ended, c.result)).collect();
        let expected = [
            ("write", 0, 0, Some(9)),
            ("openat", 2, 2, Some(8)),
            ("fsync", 1, 3, Some(0)),
            ("clone3", 5, 5, Some(73)),
            ("close", 6, 6, Some(-1)),
            ("fsync", 7, 8, None),
        ];
        assert_eq!(found, expected);
        assert_eq!(calls[0].arguments[1], Argument::Text(b"a\0\"\\\n\xff9, \x08".to_vec()));
        assert_eq!(calls[0].descriptor(0), Ok(("9", "/s/wal.0")));
        assert_eq!(calls[1].arguments[2..], [word("O_RDWR|O_CREAT"), word("0666")]);
    }

    #[test]
    fn a_line_that_cannot_be_parsed_is_an_error() {
        for line in [
            r#"71 write(9, "abc"..., 90) = 90"#,
            r#"71 write(9, "abc"#,
            r"71 <... fsync resumed>) = 0",
            r"71 fsync(7)",
            r#"71 write(9, "\9", 1) = 1"#,
            "strace: something",
        ] {
            assert!(Reader::default().read(0, line).is_err(), "{line}");
        }
    }
}
