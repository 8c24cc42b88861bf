//! What is masked: every form, every split, and what must not be changed.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::json;

use super::*;

const TOKEN: &str = "ghp_Zz09+/?&=\"\\ü~x yQ7";
const KEY: &str = "sk-live-000111222333";

fn secrets() -> Secrets {
    Secrets::new([("TOKEN", TOKEN), ("KEY", KEY)]).expect("two secrets")
}

/// What is left of `text`, given in pieces of `size` bytes.
fn streamed(secrets: &Secrets, text: &[u8], size: usize) -> String {
    let mut stream = secrets.stream();
    let mut output = Vec::new();
    for piece in text.chunks(size) {
        output.extend_from_slice(&stream.push(piece));
    }
    output.extend_from_slice(&stream.finish());
    String::from_utf8_lossy(&output).into_owned()
}

/// `form` is masked within other text, at once and in pieces of every size; at most `left_max` bytes of it are left, which are
/// those of neighbours.
fn check_hidden(form: &str, left_max: usize) {
    let text = format!("before: {form} :after\n");
    let secrets = secrets();
    let at_once = secrets.mask(&text).into_owned();
    for masked in (1..=text.len()).map(|size| streamed(&secrets, text.as_bytes(), size)).chain([at_once]) {
        let left = masked.strip_prefix("before: ").and_then(|rest| rest.strip_suffix(" :after\n"));
        let left = left.and_then(|left| left.split_once("[secret TOKEN]")).expect(&masked);
        assert!(left.0.len() + left.1.len() <= left_max, "{form:?} -> {masked:?}");
    }
}

#[test]
fn every_form_is_masked_in_every_split() {
    let hex = |upper: bool| {
        TOKEN.bytes().map(|byte| if upper { format!("{byte:02X}") } else { format!("{byte:02x}") }).collect::<String>()
    };
    let percent = |upper: bool| {
        let one = |byte: u8| match byte {
            byte if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => char::from(byte).to_string(),
            byte if upper => format!("%{byte:02X}"),
            byte => format!("%{byte:02x}"),
        };
        TOKEN.bytes().map(one).collect::<String>()
    };
    check_hidden(TOKEN, 2);
    for before in ["", "u", "us", "usr", "x-access-token:"] {
        for after in ["", "\n", "@host/path"] {
            let text = format!("{before}{TOKEN}{after}");
            let neighbours = (before.len() + after.len()) * 4 / 3 + 4;
            check_hidden(&STANDARD.encode(&text), neighbours);
            check_hidden(&URL_SAFE_NO_PAD.encode(&text), neighbours);
        }
    }
    check_hidden(&hex(true), 2);
    check_hidden(&hex(false), 2);
    check_hidden(&percent(true), 2);
    check_hidden(&percent(false), 2);
    check_hidden(&percent(true).replace("%20", "+"), 2);
    check_hidden(&percent(false).replace("%2f", "/"), 2);
    let quoted = json!(TOKEN).to_string();
    check_hidden(&quoted, 2);
    check_hidden(&json!(quoted).to_string(), 6);
    check_hidden(&quoted.replace('ü', "\\u00fc"), 2);
    check_hidden(&quoted.replace('/', "\\/"), 2);
    check_hidden(&TOKEN.replace('&', "&amp;").replace('"', "&quot;"), 2);
}

#[test]
fn line_breaks_do_not_hide_a_secret() {
    let encoded = STANDARD.encode(format!("authorization: {TOKEN}"));
    for width in [4, 19, 20] {
        let wrapped: Vec<&str> =
            encoded.as_bytes().chunks(width).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
        check_hidden(&wrapped.join("\n"), 32);
        check_hidden(&wrapped.join("\r\n"), 36);
    }
    let folded: Vec<String> = KEY.as_bytes().chunks(5).map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    assert_eq!(secrets().mask(&folded.join("\n")), "[secret KEY]");
}

#[test]
fn each_line_of_a_key_with_several_lines_is_masked() {
    let line = |one: char| one.to_string().repeat(40);
    let pem = format!("-----BEGIN KEY-----\n{}\n{}\n-----END KEY-----\n", line('a'), line('b'));
    let secrets = Secrets::new([("PEM", pem.as_str())]).expect("one secret");
    assert_eq!(secrets.mask(&pem), "[secret PEM]\n");
    assert_eq!(secrets.mask(&format!("x {} y", line('b'))), "x [secret PEM] y");
    assert_eq!(secrets.mask(&pem.replace('\n', "\r\n")), "[secret PEM]\r\n");
    assert_eq!(secrets.mask("-----BEGIN KEY-----"), "-----BEGIN KEY-----");
}

#[test]
fn the_longest_secret_wins_and_overlapping_ones_are_one_place() {
    let secrets =
        Secrets::new([("SHORT", "abcdefgh"), ("LONG", "abcdefghijkl"), ("NEXT", "ijklmnopqr")]).expect("three");
    for size in 1..20 {
        let check =
            |text: &str, expected: &str| assert_eq!(streamed(&secrets, text.as_bytes(), size), expected, "{size}");
        check("abcdefgh.", "[secret SHORT].");
        check("abcdefghijkl.", "[secret LONG].");
        check("abcdefghij.", "[secret SHORT]ij.");
        check("abcdefgh abcdefgh", "[secret SHORT] [secret SHORT]");
    }
    for size in 1..30 {
        let masked = streamed(&secrets, b"abcdefghijklmnopqr!", size);
        assert!(masked.starts_with("[secret ") && masked.ends_with("]!") && masked.len() < 20, "{size}: {masked}");
    }
}

#[test]
fn a_secret_that_repeats_itself_holds_back_no_more_than_its_length() {
    let secrets = Secrets::new([("A", "aaaaaaaa")]).expect("one");
    let mut stream = secrets.stream();
    let mut output = Vec::new();
    for _ in 0..1000 {
        output.extend_from_slice(&stream.push(b"aaaaaaaaaaaaaaaaaaaa"));
        assert!(stream.held.bytes.len() < 8);
    }
    output.extend_from_slice(&stream.push(b"b"));
    output.extend_from_slice(&stream.finish());
    assert_eq!(String::from_utf8_lossy(&output), "[secret A]b");
}

#[test]
fn a_stream_loses_nothing_and_holds_back_only_what_may_be_a_secret() {
    let secrets = secrets();
    let text: Vec<u8> =
        (0..5000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    for size in [1, 2, 3, 7, 64, 1000] {
        let mut stream = secrets.stream();
        let mut output = Vec::new();
        text.chunks(size).for_each(|piece| output.extend_from_slice(&stream.push(piece)));
        output.extend_from_slice(&stream.finish());
        assert_eq!(output, text, "{size}");
    }
    let mut stream = secrets.stream();
    assert_eq!(&*stream.push(b"a line that ends with g\n"), b"a line that ends with g\n", "it is not late");
    assert_eq!(&*stream.push(b"ghp_"), b"", "it may begin a secret");
    assert_eq!(&*stream.push(b"no"), b"ghp_no");
    assert!(stream.finish().is_empty());
}

#[test]
fn nothing_is_copied_when_nothing_matches() {
    let secrets = secrets();
    assert!(matches!(secrets.mask("nothing of interest: ghp sk-live"), Cow::Borrowed(_)));
    assert!(matches!(secrets.stream().push(b"nothing of interest\n"), Cow::Borrowed(_)));
    assert!(matches!(Secrets::default().mask(KEY), Cow::Borrowed(_)));
}

#[test]
fn short_values_are_listed_and_not_masked() {
    let secrets = Secrets::new([("PIN", "1234567"), ("EMPTY", " "), ("KEY", KEY)]).expect("three");
    assert_eq!(secrets.unmasked(), ["PIN"]);
    assert_eq!(secrets.mask("1234567"), "1234567");
    assert!(secrets.with([("KEY2", "x".repeat(SECRET_BYTES_MAX + 1))]).is_err());
    assert_eq!(secrets.with([("KEY2", "another-secret")]).expect("two").mask(KEY), "[secret KEY]");
}

#[test]
fn json_is_masked_everywhere() {
    let mut value = json!({"a": [KEY, {KEY: 1}], "n": 1, "other": true});
    secrets().mask_json(&mut value);
    assert_eq!(value, json!({"a": ["[secret KEY]", {"[secret KEY]": 1}], "n": 1, "other": true}));
}

#[test]
fn debug_and_errors_name_secrets_and_show_none() {
    let secrets = secrets();
    let mut stream = secrets.stream();
    let _ = stream.push(b"sk-live-0001112");
    let shown = format!("{secrets:?} {secrets:#?} {stream:?}");
    let error = Secrets::new([("BIG", "s3cret-value".repeat(10_000))]).expect_err("too long");
    let shown = format!("{shown} {error} {error:?}");
    for part in ["sk-live", "ghp_", "s3cret"] {
        assert!(!shown.contains(part), "{shown}");
    }
    assert!(shown.contains("TOKEN") && shown.contains("BIG"), "{shown}");
}

#[test]
fn the_search_is_linear_in_hostile_text() {
    let secrets = secrets();
    // Beginnings of a secret only.
    let hostile = KEY[..KEY.len() - 1].repeat(20_000);
    assert_eq!(secrets.mask(&hostile), hostile);
    assert_eq!(streamed(&secrets, hostile.as_bytes(), 4096), hostile);
    let breaks = format!("s{}", "\n".repeat(300_000));
    assert_eq!(streamed(&secrets, breaks.as_bytes(), 1), breaks);
}
