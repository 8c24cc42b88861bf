//! The forms in which a secret is searched for. Pure.
//!
//! | form | variants |
//! |---|---|
//! | as it is | the whole value; each line of a value with several lines |
//! | base64 | at each of the three alignments, in the standard and the URL alphabet. The characters that neighbours influence are left out, so padding does not matter |
//! | hexadecimal | lower and upper case |
//! | URL-encoded | all reserved characters, without `/`, as `encodeURIComponent`, as a form (`+` for a space); `%2f` and `%2F` |
//! | escaped | JSON, also within JSON, with `\/`, with `\u` for what is not ASCII; HTML |
//!
//! Line breaks are not part of a pattern: the search skips them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;

use crate::limits::SECRET_BYTES_MIN;

/// Lines of a value that are shorter are not secret by themselves: they are the rest of a line, or a heading.
const LINE_BYTES_MIN: usize = 16;

/// Every form of `value`, without line breaks and repetitions.
pub(super) fn of(value: &str) -> BTreeSet<Vec<u8>> {
    let mut forms = BTreeSet::new();
    let mut add = |form: String| {
        let form: Vec<u8> = form.into_bytes().into_iter().filter(|byte| !super::is_break(*byte)).collect();
        if form.len() >= SECRET_BYTES_MIN {
            forms.insert(form);
        }
    };
    let lines = value.lines().map(str::trim).filter(|line| value.contains('\n') && is_secret_line(line));
    for part in std::iter::once(value).chain(lines) {
        add(part.to_owned());
        base64_forms(part.as_bytes()).into_iter().for_each(&mut add);
        let hexadecimal = hexadecimal(part.as_bytes());
        add(hexadecimal.to_uppercase());
        add(hexadecimal);
        url_forms(part).into_iter().for_each(&mut add);
        escaped_forms(part).into_iter().for_each(&mut add);
    }
    forms
}

/// `-----BEGIN PRIVATE KEY-----` says what follows and is not secret.
fn is_secret_line(line: &str) -> bool {
    line.len() >= LINE_BYTES_MIN && !line.starts_with("-----")
}

/// The characters of its base64 that depend on the value alone, at each alignment and in both alphabets.
fn base64_forms(value: &[u8]) -> Vec<String> {
    let mut forms = Vec::new();
    for before in 0..3 {
        let mut bytes = vec![0; before];
        bytes.extend_from_slice(value);
        let encoded = STANDARD_NO_PAD.encode(&bytes);
        // A character holds six bits; the first and the last may hold bits of a neighbour.
        let start = (before * 8).div_ceil(6);
        let end = bytes.len() * 8 / 6;
        let certain = encoded[start..end].to_owned();
        forms.push(certain.replace('+', "-").replace('/', "_"));
        forms.push(certain);
    }
    forms
}

fn hexadecimal(value: &[u8]) -> String {
    value.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn url_forms(value: &str) -> Vec<String> {
    // What each encoder leaves as it is, besides letters, digits and `-_.~`.
    ["", "/", "!'()*", "*"]
        .into_iter()
        .flat_map(|kept| {
            let upper = percent(value, kept, false);
            let form = percent(value, kept, true);
            [lower_escapes(&form), form, lower_escapes(&upper), upper]
        })
        .collect()
}

fn percent(value: &str, kept: &str, is_form: bool) -> String {
    value.bytes().fold(String::new(), |mut text, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) || kept.as_bytes().contains(&byte) {
            text.push(char::from(byte));
        } else if is_form && byte == b' ' {
            text.push('+');
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
        text
    })
}

/// `%2F` as `%2f`.
fn lower_escapes(text: &str) -> String {
    let mut parts = text.split('%');
    let mut lower = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_at(part.len().min(2));
        let _ = write!(lower, "%{}{rest}", digits.to_lowercase());
    }
    lower
}

fn escaped_forms(value: &str) -> Vec<String> {
    let json = json_escaped(value);
    let ascii = json.chars().fold(String::new(), |mut text, one| {
        if one.is_ascii() {
            text.push(one);
        } else {
            one.encode_utf16(&mut [0; 2]).iter().for_each(|unit| {
                let _ = write!(text, "\\u{unit:04x}");
            });
        }
        text
    });
    let html = value.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    let attribute = html.replace('"', "&quot;").replace('\'', "&#x27;");
    let decimal = html.replace('"', "&#34;").replace('\'', "&#39;");
    vec![json_escaped(&json), json.replace('/', "\\/"), json, ascii, html, attribute, decimal]
}

fn json_escaped(value: &str) -> String {
    let quoted = serde_json::Value::from(value).to_string();
    quoted[1..quoted.len() - 1].to_owned()
}
