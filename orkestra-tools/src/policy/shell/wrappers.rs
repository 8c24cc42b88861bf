//! Commands that run other commands: `sh -c`, `env`, `sudo`, `xargs`, `find -exec` and the like become a part of their own and
//! the commands that they run. One whose options are not known here is opaque.

use super::parser::OPENING;
use super::{DEPTH_MAX, Part, Piece, Unclear, Word, into, is_special};

/// A command whose arguments end with a command.
#[derive(Clone, Copy)]
struct Wrapper {
    name: &'static str,
    /// Short options without a value.
    flags: &'static str,
    /// Short options with one.
    valued: &'static str,
    /// Long options; those with a value end with `=`.
    long: &'static [&'static str],
    /// Arguments before the command.
    operands: usize,
    /// Whether it adds nothing to what its command does, so that a policy need not know it.
    is_transparent: bool,
}

const fn wrapper(name: &'static str, flags: &'static str, valued: &'static str, operands: usize) -> Wrapper {
    Wrapper { name, flags, valued, long: &[], operands, is_transparent: true }
}

const fn with_long(wrapper: Wrapper, long: &'static [&'static str]) -> Wrapper {
    Wrapper { long, ..wrapper }
}

const fn visible(wrapper: Wrapper) -> Wrapper {
    Wrapper { is_transparent: false, ..wrapper }
}

/// As of coreutils, util-linux, findutils, sudo, POSIX.
const WRAPPERS: [Wrapper; 15] = [
    with_long(wrapper("env", "iv", "uC", 0), &["ignore-environment", "unset=", "chdir=", "debug"]),
    wrapper("nohup", "", "", 0),
    with_long(wrapper("nice", "0123456789", "n", 0), &["adjustment="]),
    with_long(
        wrapper("timeout", "fpv", "ks", 1),
        &["foreground", "preserve-status", "verbose", "kill-after=", "signal="],
    ),
    with_long(wrapper("time", "apv", "fo", 0), &["append", "portability", "verbose", "format=", "output="]),
    wrapper("command", "p", "", 0),
    wrapper("builtin", "", "", 0),
    wrapper("exec", "cl", "a", 0),
    with_long(wrapper("setsid", "cfw", "", 0), &["ctty", "fork", "wait"]),
    with_long(wrapper("stdbuf", "", "ioe", 0), &["input=", "output=", "error="]),
    wrapper("ionice", "t", "cn", 0),
    with_long(
        wrapper("xargs", "0rtx", "IEnLPsda", 0),
        &[
            "null",
            "no-run-if-empty",
            "verbose",
            "max-args=",
            "max-procs=",
            "max-lines=",
            "delimiter=",
            "arg-file=",
            "replace=",
        ],
    ),
    wrapper("busybox", "", "", 0),
    visible(with_long(
        wrapper("sudo", "EHnkKPSbA", "ugCpRTDhrt", 0),
        &["non-interactive", "preserve-env", "user=", "group="],
    )),
    visible(wrapper("doas", "n", "uC", 0)),
];

/// Commands that run others in ways that are not modelled here.
const OPAQUE: [&str; 26] = [
    "su",
    "runuser",
    "script",
    "watch",
    "parallel",
    "ssh",
    "unshare",
    "nsenter",
    "flock",
    "strace",
    "ltrace",
    "gdb",
    "systemd-run",
    "at",
    "batch",
    "crontab",
    "chroot",
    "toybox",
    "setpriv",
    "capsh",
    "chrt",
    "taskset",
    "prlimit",
    "expect",
    "fc",
    "run-parts",
];

/// Builtins that change what later words mean.
const REDEFINING: [&str; 8] = ["alias", "unalias", "hash", "enable", "shopt", "complete", "mapfile", "readarray"];

const SHELLS: [&str; 8] = ["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "rbash"];

/// Adds `part`, and the commands that it runs.
pub(super) fn unwrap(mut part: Part, depth: usize, parts: &mut Vec<Part>) -> Result<(), Unclear> {
    if depth > DEPTH_MAX {
        return Err("it is nested too deeply".to_owned());
    }
    let Some(name) = part.name().map(str::to_owned) else {
        parts.push(part);
        return Ok(());
    };
    let mut inner = Inner::default();
    match name.as_str() {
        name if REDEFINING.contains(&name) => return Err(format!("`{name}` changes what later words mean")),
        name if OPAQUE.contains(&name) => inner.opaque(&format!("what `{name}` runs is not known")),
        name if SHELLS.contains(&name) => shell(&part.words, &mut inner),
        "eval" => match joined(&part.words[1..]) {
            Some(text) => inner.scripts.push(text),
            None => inner.opaque("what `eval` runs is not known"),
        },
        "trap" => match part.words.get(1).map(Word::literal) {
            None => {}
            Some(Some("--")) | Some(None) => inner.opaque("what `trap` runs is not known"),
            Some(Some(text)) => inner.scripts.push(text.to_owned()),
        },
        "." | "source" => {
            if !part.words.get(1).and_then(Word::literal).is_some_and(is_file) {
                inner.opaque("what it reads is not known");
            }
        }
        "find" => find(&part.words, &mut inner),
        name => {
            if let Some(wrapper) = WRAPPERS.iter().find(|wrapper| wrapper.name == name) {
                command(wrapper, &part.words, &mut inner);
                part.is_wrapper = wrapper.is_transparent && !inner.commands.is_empty();
                part.assigned.append(&mut inner.assigned);
            }
        }
    }
    part.opaque = inner.opaque;
    let assigned = representative(&part.assigned);
    parts.push(part);
    let first = parts.len();
    for text in inner.scripts {
        into(&text, depth + 1, parts)?;
    }
    for words in inner.commands {
        unwrap(Part::new(words), depth + 1, parts)?;
    }
    // What a wrapper sets holds for what it runs.
    parts[first..].iter_mut().for_each(|part| part.assigned.extend_from_slice(&assigned));
    Ok(())
}

/// What matters of the names that a wrapper sets: whether there are any, and a special one if there is one. IMPORTANT: a script can set
/// thousands of names for thousands of commands, so all of them must not be kept for each.
fn representative(names: &[String]) -> Vec<String> {
    names.iter().find(|name| is_special(name)).or(names.first()).cloned().into_iter().collect()
}

/// What a command runs.
#[derive(Default)]
struct Inner {
    commands: Vec<Vec<Word>>,
    scripts: Vec<String>,
    assigned: Vec<String>,
    opaque: Option<Unclear>,
}

impl Inner {
    fn opaque(&mut self, reason: &str) {
        self.opaque = Some(reason.to_owned());
    }
}

/// The command after the options and operands of a wrapper.
fn command(wrapper: &Wrapper, words: &[Word], inner: &mut Inner) {
    let asks_where = words.get(1).and_then(Word::literal).is_some_and(|text| matches!(text, "-v" | "-V"));
    if wrapper.name == "command" && asks_where {
        return;
    }
    let Some(mut at) = after_options(wrapper, words) else {
        return inner.opaque(&format!("an option of `{}` is not known, so neither is what it runs", wrapper.name));
    };
    if matches!(wrapper.name, "env" | "sudo" | "doas") {
        while let Some((name, _)) = words.get(at).and_then(|word| word.leading().split_once('=')) {
            inner.assigned.push(name.to_owned());
            at += 1;
        }
    }
    let operands = words.get(at..at + wrapper.operands).unwrap_or_default();
    if operands.iter().any(|word| word.splits) {
        return inner.opaque(&format!("an argument of `{}` is not known, so neither is what it runs", wrapper.name));
    }
    let mut rest = words.get(at + wrapper.operands..).unwrap_or_default().to_vec();
    if rest.is_empty() {
        return;
    }
    // `time { …; }` is a compound command in some shells.
    if wrapper.name == "time" && rest[0].literal().is_some_and(|text| OPENING.contains(&text) || text == "for") {
        return inner.opaque("`time` before a compound command is not followed");
    }
    if wrapper.name == "xargs" {
        // Its input takes the place of words, or is added.
        let replaced = replaced(&words[..at]);
        let holds =
            |word: &Word| word.literal().is_none_or(|text| replaced.is_some_and(|replaced| text.contains(replaced)));
        for word in rest.iter_mut().filter(|word| holds(word)) {
            *word = Word { pieces: vec![Piece::Any], splits: word.splits, ..Word::default() };
        }
        rest.push(Word::unknown());
    }
    inner.commands.push(rest);
}

/// The text that `xargs` replaces in its command.
fn replaced(options: &[Word]) -> Option<&str> {
    let at =
        options.iter().position(|word| word.leading().starts_with("-I") || word.leading().starts_with("--replace"))?;
    let option = options[at].leading();
    let inline =
        option.strip_prefix("-I").filter(|text| !text.is_empty()).or_else(|| option.strip_prefix("--replace="));
    inline.or_else(|| options.get(at + 1).and_then(Word::literal))
}

/// The position after the options of a wrapper; `None` if one is not known.
fn after_options(wrapper: &Wrapper, words: &[Word]) -> Option<usize> {
    let mut at = 1;
    while let Some(word) = words.get(at) {
        let Some(text) = word.literal() else {
            // A word that is not known may be an option, unless it cannot begin with a `-`.
            return (!word.leading().is_empty() && !word.leading().starts_with('-')).then_some(at);
        };
        if text == "-" {
            return None;
        }
        if text == "--" {
            return Some(at + 1);
        }
        if let Some(long) = text.strip_prefix("--") {
            let is_flag = wrapper.long.contains(&long);
            let valued = |known: &&&str| long.starts_with(**known) || **known == format!("{long}=");
            let known = wrapper.long.iter().filter(|known| known.ends_with('=')).find(valued);
            match known {
                Some(known) => at += if long.starts_with(*known) { 1 } else { 2 },
                None if is_flag => at += 1,
                None => return None,
            }
            continue;
        }
        let Some(cluster) = text.strip_prefix('-').filter(|cluster| !cluster.is_empty()) else { return Some(at) };
        at += 1;
        for (position, letter) in cluster.char_indices() {
            if wrapper.valued.contains(letter) {
                at += usize::from(position + letter.len_utf8() == cluster.len());
                break;
            }
            if !wrapper.flags.contains(letter) {
                return None;
            }
        }
    }
    Some(at)
}

/// `sh -c TEXT`, `sh FILE`, or a shell that reads its commands from elsewhere.
fn shell(words: &[Word], inner: &mut Inner) {
    let mut runs_text = false;
    let mut at = 1;
    while let Some(word) = words.get(at) {
        let Some(text) = word.literal() else { break };
        let known = ["--norc", "--noprofile", "--posix", "--login"];
        match text {
            "--" => {
                at += 1;
                break;
            }
            _ if known.contains(&text) => {}
            _ if text.starts_with(['-', '+']) && text.len() > 1 && !text.starts_with("--") => {
                let letters = &text[1..];
                if !letters.chars().all(|letter| "abcefhklmnoptuvxBCEHOPT".contains(letter)) {
                    return inner.opaque("an option of the shell is not known");
                }
                runs_text |= letters.contains('c') && text.starts_with('-');
                at += usize::from(letters.contains(['o', 'O']));
            }
            _ => break,
        }
        at += 1;
    }
    match (words.get(at).map(|word| (word.literal(), word.splits)), runs_text) {
        (Some((Some(text), _)), true) => inner.scripts.push(text.to_owned()),
        (Some((Some(text), _)), false) if is_file(text) => {}
        _ => inner.opaque("what the shell runs is not known"),
    }
}

/// Whether it names a file, not an option, an open stream or something in `/proc`.
fn is_file(path: &str) -> bool {
    !path.is_empty() && !path.starts_with('-') && !path.starts_with("/dev/") && !path.starts_with("/proc/")
}

/// The commands after `-exec` and the like.
fn find(words: &[Word], inner: &mut Inner) {
    if words.iter().any(|word| word.splits && word.leading().is_empty()) {
        return inner.opaque("an argument of `find` is not known");
    }
    let mut at = 1;
    while at < words.len() {
        let is_exec = |text: &str| matches!(text, "-exec" | "-execdir" | "-ok" | "-okdir");
        at += 1;
        if !words[at - 1].literal().is_some_and(is_exec) {
            continue;
        }
        let rest = &words[at..];
        let end = rest.iter().position(|word| matches!(word.literal(), Some(";" | "+"))).unwrap_or(rest.len());
        let found = |word: &Word| match word.literal() {
            Some(text) if text.contains("{}") => {
                Word { pieces: vec![Piece::Any], splits: word.literal() == Some("{}"), ..Word::default() }
            }
            _ => word.clone(),
        };
        inner.commands.push(rest[..end].iter().map(found).collect());
        at += end;
    }
}

/// The words as one text, if all are known.
fn joined(words: &[Word]) -> Option<String> {
    let texts: Option<Vec<&str>> = words.iter().map(|word| word.literal().filter(|_| !word.splits)).collect();
    texts.map(|texts| texts.join(" "))
}
