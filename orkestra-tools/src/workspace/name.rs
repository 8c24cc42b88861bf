//! How file names are shown and read back. Pure.
//!
//! A command can create names with newlines, escape codes or bytes that are not UTF-8. Such a name is shown as git shows it: in
//! double quotes with C escapes, `"a\nb"`, `"\377"`. A path in double quotes is decoded, so every name that a tool shows can be
//! given to a tool. Other paths are taken as they are.

use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// A path as text for people and models, which [`parse`] turns into the same path.
pub(crate) fn show(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes();
    match std::str::from_utf8(bytes) {
        Ok(text) if is_plain(text) => text.to_owned(),
        _ => quote(bytes),
    }
}

fn is_plain(text: &str) -> bool {
    !text.chars().any(must_escape) && !text.starts_with(' ') && !text.ends_with(' ')
}

/// Control characters, what reorders or hides text on a screen, and the characters of the notation itself.
fn must_escape(one: char) -> bool {
    one.is_control()
        || matches!(one, '"' | '\\' | '\u{ad}' | '\u{61c}' | '\u{feff}')
        || matches!(one, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}')
}

fn quote(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for chunk in bytes.utf8_chunks() {
        for one in chunk.valid().chars() {
            match one {
                '\n' => text.push_str("\\n"),
                '\t' => text.push_str("\\t"),
                '\r' => text.push_str("\\r"),
                '"' | '\\' => text.extend(['\\', one]),
                one if must_escape(one) => octal(&mut text, one.encode_utf8(&mut [0; 4]).as_bytes()),
                one => text.push(one),
            }
        }
        octal(&mut text, chunk.invalid());
    }
    text.push('"');
    text
}

fn octal(text: &mut String, bytes: &[u8]) {
    for byte in bytes {
        text.push_str(&format!("\\{byte:03o}"));
    }
}

/// The path that a text names, as listings and tools show it: a path in double quotes is decoded, another one is taken as it is.
///
/// ```
/// assert_eq!(orkestra_tools::parse_path("src/a.py"), Ok("src/a.py".into()));
/// assert_eq!(orkestra_tools::parse_path(r#""a\nb""#), Ok("a\nb".into()));
/// ```
///
/// # Errors
/// What is wrong with the quoting.
pub fn parse(text: &str) -> Result<PathBuf, String> {
    let Some(inside) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return Ok(PathBuf::from(text));
    };
    let mut bytes = Vec::with_capacity(inside.len());
    let mut rest = inside.as_bytes().iter().copied().peekable();
    while let Some(byte) = rest.next() {
        if byte != b'\\' {
            bytes.push(byte);
            continue;
        }
        bytes.push(match rest.next() {
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'a') => 7,
            Some(b'b') => 8,
            Some(b'v') => 11,
            Some(b'f') => 12,
            Some(one @ (b'"' | b'\\')) => one,
            Some(first @ b'0'..=b'3') => {
                let mut value = first - b'0';
                for _ in 0..2 {
                    let digit = rest.next_if(|digit| (b'0'..=b'7').contains(digit));
                    value =
                        value * 8 + (digit.ok_or("an octal escape in it needs three digits, such as `\\033`")? - b'0');
                }
                value
            }
            _ => return Err("its quotes contain an unknown escape; write `\\\\` for a backslash".to_owned()),
        });
    }
    Ok(PathBuf::from(OsString::from_vec(bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shown_name_is_read_back_and_shows_no_control_character() {
        let table: [(&[u8], &str); 14] = [
            (b"src/main.py", "src/main.py"),
            ("größe.txt".as_bytes(), "größe.txt"),
            (b"a b", "a b"),
            (b"a\nb", "\"a\\nb\""),
            (b"\x1b[31mred", "\"\\033[31mred\""),
            (b"a\xff", "\"a\\377\""),
            (b"\xff\xfe\x01", "\"\\377\\376\\001\""),
            (b"a\\nb", "\"a\\\\nb\""),
            (b"\"", "\"\\\"\""),
            (b"\"a\"", "\"\\\"a\\\"\""),
            (b" lead", "\" lead\""),
            (b"trail ", "\"trail \""),
            ("\u{202e}txt.exe".as_bytes(), "\"\\342\\200\\256txt.exe\""),
            ("\u{9b}31m".as_bytes(), "\"\\302\\23331m\""),
        ];
        for (bytes, expected) in table {
            let path = PathBuf::from(OsString::from_vec(bytes.to_vec()));
            let shown = show(&path);
            assert_eq!(shown, expected);
            assert_eq!(parse(&shown).as_deref(), Ok(path.as_path()), "{shown}");
        }
    }

    #[test]
    fn a_path_without_quotes_is_taken_as_it_is() {
        for text in ["a\\nb", "a\"b", "\"", "\"a", "a\nb"] {
            assert_eq!(parse(text), Ok(PathBuf::from(text)));
        }
        for text in [r#""\q""#, r#""\3""#, r#""\38x""#, r#""\""#, r#""\777""#] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert_eq!(parse("\"a b\""), Ok(PathBuf::from("a b")));
    }
}
