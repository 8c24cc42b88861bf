//! Phrases that readers had to read twice, each with the phrase to write instead, and words that name no part of the code.
//!
//! Pages are checked as a whole, Rust files in their comments and literals. A phrase is found across line breaks, never across the
//! end of a sentence.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use super::Breach;
use super::source::{Prose, Source, is_word, prose};

/// What to avoid, and what to write. In a phrase `a|b` is either word and `*` is one to four words; `!a` at its start is a word that
/// must not come before it, and at its end one that must not follow.
const PHRASES: &[(&str, &str)] = &[
    ("makes|make|made|making a|no pause", "the run is paused; the run is not paused"),
    (
        "!there is|are|was no id|name|names|path|pointer|json|number|text|key|t|node|run|error|uuid|journal|commit|store|\
         workflow|url|utf-8|schema|answer|sandbox|event|wait",
        "is not a …; invalid run id: it must not be empty",
    ),
    ("is|are|was no matter", "is ignored when it does not exist"),
    ("is|are|was|were not there", "does not exist; not found; is missing"),
    ("that is|are none", "that is invalid; that is not set"),
    ("lets|let|letting * under way end|finish", "waits for running steps to finish"),
    ("lets|let|letting steps|tasks|runs end|finish", "waits for running steps to finish"),
    ("lets it|them rest", "pauses it"),
    ("who waits for", "waiting for; the waiter of"),
    ("whoever", "the caller; the code that; the engine that"),
    ("what was done is|was undone", "completed nodes are compensated in reverse order"),
    ("what was begun", "what was started"),
    ("after a crash or not", "always; also after a crash"),
    ("nobody|somebody|everybody knows", "it is unknown; it is known"),
    ("it|they is|are told !to", "it receives; it is notified; it is set to"),
    ("is|are to be told", "must be reported; must be notified"),
    ("cannot be told", "is unknown"),
    ("there is no more of", "no more …; the last … was read"),
    ("unless said otherwise", "by default"),
    ("says nothing any more", "is silent"),
    ("so many at a time", "at most n at a time"),
    ("so many at once", "at most n at once"),
    ("steps|step under way", "running steps"),
    ("run|runs is|are under way", "the run is live"),
    ("is|are owed still", "is still owed"),
    ("save when|where|those", "except when; except where; except those"),
];

/// Words for parts of the code that had two meanings, and the words of `docs/glossary.md`.
const WORDS: &[(&str, &str)] = &[
    ("house", "crate, repository"),
    ("mail", "inbox, letter"),
    ("room", "layer, module, capacity, size"),
    ("rooms", "layers, modules"),
    ("seat", "ownership, slot"),
    ("seats", "ownership, slots"),
    ("tenure", "ownership"),
    ("wing", "module"),
    ("wings", "modules"),
];

/// The table itself, and the pages that quote what to avoid.
const EXEMPT: &[&str] = &["tests/tidy/phrases.rs", "docs/glossary.md", "docs/rewrites.md", "docs/STATUS.md"];

/// A word, or the end of a sentence.
struct Token {
    text: String,
    position: usize,
}

const END: &str = ".";

fn tokens(text: &str) -> Vec<Token> {
    let mut tokens: Vec<Token> = Vec::new();
    let (mut word, mut line_is_blank) = (String::new(), false);
    for (position, c) in text.chars().chain(['\n']).enumerate() {
        if is_word(c) || (matches!(c, '-' | '\'') && !word.is_empty()) {
            word.extend(c.to_lowercase());
            line_is_blank = false;
            continue;
        }
        if !word.is_empty() {
            let start = position - word.chars().count();
            tokens.push(Token { text: std::mem::take(&mut word), position: start });
        }
        if matches!(c, '.' | ';' | ':' | '?' | '|') || (c == '\n' && line_is_blank) {
            tokens.push(Token { text: END.to_owned(), position });
        }
        line_is_blank = c == '\n' || (line_is_blank && c.is_whitespace());
    }
    tokens
}

/// A phrase in parts.
struct Phrase {
    not_after: Option<&'static str>,
    /// The choices for each word.
    words: Vec<Vec<&'static str>>,
    not_before: Option<&'static str>,
    write: &'static str,
}

static PARTS: LazyLock<Vec<Phrase>> = LazyLock::new(|| {
    let parts = |(avoid, write): &(&'static str, &'static str)| {
        let mut words: Vec<&str> = avoid.split(' ').collect();
        let not_after = words[0].strip_prefix('!');
        let not_before = words[words.len() - 1].strip_prefix('!');
        words.retain(|word| !word.starts_with('!'));
        let words = words.into_iter().map(|word| word.split('|').collect()).collect();
        Phrase { not_after, words, not_before, write }
    };
    PHRASES.iter().map(parts).collect()
});

fn begins(tokens: &[Token], phrase: &[Vec<&str>]) -> bool {
    let Some((choices, rest)) = phrase.split_first() else { return true };
    if choices == &["*"] {
        let words = tokens.iter().take(4).take_while(|token| token.text != END).count();
        return (1..=words).any(|count| begins(&tokens[count..], rest));
    }
    let Some((first, others)) = tokens.split_first() else { return false };
    choices.contains(&first.text.as_str()) && begins(others, rest)
}

/// Phrases and words in a text: where they begin, what is wrong, and whether it is a word.
fn found(text: &str) -> Vec<(usize, String, bool)> {
    let tokens = tokens(text);
    let mut wrong = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        for Phrase { not_after, words, not_before, write } in PARTS.iter().filter(|p| begins(&tokens[at..], &p.words)) {
            let is = |at: Option<usize>, word: &str| {
                at.and_then(|at| tokens.get(at)).is_some_and(|token| token.text == word)
            };
            let excused = not_after.is_some_and(|word| is(at.checked_sub(1), word))
                || not_before.is_some_and(|word| is(Some(at + words.len()), word));
            if !excused {
                let quote: Vec<&str> = tokens[at..].iter().take(words.len() + 1).map(|token| &*token.text).collect();
                wrong.push((token.position, format!("\"{}\": write \"{write}\"", quote.join(" ")), false));
            }
        }
        if let Some((word, write)) = WORDS.iter().find(|(word, _)| *word == token.text) {
            wrong.push((token.position, format!("\"{word}\": write \"{write}\""), true));
        }
    }
    wrong
}

/// The phrases of a page, and the words outside of its examples.
pub(crate) fn in_page(path: &str, page: &str) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for (position, what, is_word) in found(page) {
        let line = 1 + page.chars().take(position).filter(|c| *c == '\n').count();
        let in_code = page.lines().take(line).filter(|line| line.starts_with("```")).count() % 2 == 1;
        if !(is_word && in_code) {
            breaches.push(Breach { path: path.to_owned(), line, what });
        }
    }
    breaches
}

/// The phrases in the comments and literals of a Rust file, and the words in its comments.
pub(crate) fn in_source(source: &Source) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for Prose { position, is_comment, text } in prose(&source.text) {
        for (offset, what, _) in found(&text).into_iter().filter(|(_, _, is_word)| is_comment || !is_word) {
            breaches.push(Breach::at(source, position + offset, what));
        }
    }
    breaches
}

/// The breaches of all Rust files.
pub(crate) fn in_sources(sources: &[Source]) -> Vec<Breach> {
    let checked = sources.iter().filter(|source| !EXEMPT.contains(&source.path.as_str()));
    checked.flat_map(in_source).collect()
}

/// The pages of the repository: those at its root and below `docs/`.
pub(crate) fn pages(root: &Path) -> Vec<(String, String)> {
    let mut pages = Vec::new();
    for folder in ["", "docs", "docs/decisions"] {
        for entry in fs::read_dir(root.join(folder)).expect("a folder of the repository can be listed") {
            let path = entry.expect("a folder of the repository can be listed").path();
            if path.extension().is_some_and(|extension| extension == "md") {
                let name = path.strip_prefix(root).expect("the walk began at the root").to_string_lossy().into_owned();
                pages.push((name, fs::read_to_string(&path).expect("a page is readable UTF-8")));
            }
        }
    }
    pages.sort();
    pages.retain(|(name, _)| !EXEMPT.contains(&name.as_str()));
    pages
}

#[test]
fn pages_use_plain_phrases() {
    let pages = pages(&super::root());
    assert!(pages.iter().any(|(name, _)| name == "docs/verbs.md"), "the walk misses docs/");
    let breaches: Vec<Breach> = pages.iter().flat_map(|(name, page)| in_page(name, page)).collect();
    super::assert_none("phrases of the pages", &breaches);
}

#[test]
fn comments_and_messages_use_plain_phrases() {
    super::assert_none("phrases of the sources", &in_sources(&super::tree()));
}

#[test]
fn phrases_are_found_across_lines_and_not_across_sentences() {
    let cases = [
        ("The run makes a pause", 1),
        ("the run makes\n no pause", 1),
        ("It makes sense. A pause", 0),
        ("`{id}` is no id", 1),
        ("there is no id", 0),
        ("it is no longer", 0),
        ("one that is not\n there is no matter", 2),
        ("lets steps that are under way end", 1),
        ("lets steps. What is under way ends", 0),
        ("Who waits for an end", 1),
        ("a name that is none", 1),
        ("it is told of the end", 1),
        ("until it is told to end", 0),
        ("at most so many at once", 1),
        ("so many at\na time", 1),
    ];
    for (text, count) in cases {
        assert_eq!(found(text).len(), count, "of {text}");
    }
}

#[test]
fn words_are_found_in_comments_and_literals_are_left_alone() {
    let lines = |text: &str| -> Vec<usize> {
        in_source(&Source::new("a/src/b.rs", text)).iter().map(|breach| breach.line).collect()
    };
    assert_eq!(lines("//! One\n//! room.\nfn f() { g(\"no room\"); } // mail\n"), [2, 3]);
    assert_eq!(lines("// An e-mail, a mailbox, a classroom.\nlet room = 1;\n"), [] as [usize; 0]);
    assert_eq!(lines("/// It makes\n/// a pause.\nfn f() {}\n// so\nlet x = \"makes a\\\n    pause\";"), [1, 5]);
    let page = "a room\n```rust\nroom();\n```\nno seat\n";
    let lines: Vec<usize> = in_page("a.md", page).iter().map(|breach| breach.line).collect();
    assert_eq!(lines, [1, 5]);
}
