//! The files that an objective names. The work is done only when they exist.

/// Extensions of files that users ask for.
const ENDINGS: [&str; 28] = [
    "py", "js", "mjs", "ts", "tsx", "jsx", "html", "css", "json", "md", "toml", "yaml", "yml", "txt", "sh", "rs", "go",
    "java", "rb", "php", "c", "h", "cpp", "cs", "sql", "csv", "xml", "ini",
];
/// Words after which such a name is a file to write and not a product: "a Node.js server" names no file.
const INTRODUCTIONS: [&str; 14] =
    ["write", "create", "make", "add", "file", "script", "module", "named", "called", "in", "into", "to", "and", "as"];

/// The files to write that `objective` names, in order, each once.
pub(crate) fn named_files(objective: &str) -> Vec<String> {
    let words: Vec<&str> = objective.split_whitespace().collect();
    let mut found: Vec<String> = Vec::new();
    for pair in words.windows(2) {
        let before = pair[0].trim_matches(|one: char| !one.is_alphanumeric()).to_lowercase();
        // A list continues after a comma: "Write a.py, b.py".
        let listed = pair[0].ends_with(',') && found.last().is_some_and(|last| pair[0].contains(last.as_str()));
        if !listed && !INTRODUCTIONS.contains(&before.as_str()) {
            continue;
        }
        // The beginning of a path stays: a path out of the workspace must not become one inside.
        let unquoted = pair[1].trim_start_matches(['`', '"', '\'', '(', '[', '*']);
        let name = unquoted.trim_end_matches(|one: char| !one.is_alphanumeric());
        if is_file(name) && !found.iter().any(|known| known == name) {
            found.push(name.to_owned());
        }
    }
    found
}

fn is_file(name: &str) -> bool {
    let plain = |one: char| one.is_ascii_alphanumeric() || "._-/".contains(one);
    let relative = name.split('/').all(|part| !part.is_empty() && part != "..");
    let ending = name.rsplit_once('.').filter(|(stem, _)| !stem.is_empty()).map(|(_, ending)| ending);
    relative && name.chars().all(plain) && ending.is_some_and(|ending| ENDINGS.contains(&ending))
}

/// The files of `wanted` that are missing in `files`. A file counts in any folder.
pub(crate) fn missing<'a>(wanted: &'a [String], files: &[String]) -> Vec<&'a str> {
    let is_there = |name: &str| files.iter().any(|file| file == name || file.ends_with(&format!("/{name}")));
    wanted.iter().map(String::as_str).filter(|name| !is_there(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_distinguished_from_products() {
        for (objective, files) in [
            ("Write hello.py that prints Hello, World!", vec!["hello.py"]),
            ("Create `src/app.ts` and tests/app.test.ts.", vec!["src/app.ts", "tests/app.test.ts"]),
            ("Write a.py, b.py and c.py", vec!["a.py", "b.py", "c.py"]),
            ("Build a REST API for a blog", vec![]),
            ("Build a Node.js server with Next.js", vec![]),
            ("Write ../../etc/x.txt", vec![]),
            ("A script called run.sh, which calls run.sh", vec!["run.sh"]),
        ] {
            assert_eq!(named_files(objective), files, "{objective}");
        }
    }

    #[test]
    fn a_wanted_file_may_be_in_a_folder() {
        let wanted = ["hello.py".to_owned(), "b.py".to_owned()];
        let files = ["src/hello.py".to_owned(), "ab.py".to_owned()];
        assert_eq!(missing(&wanted, &files), ["b.py"]);
    }
}
