//! Patches as data: what they say, and what they make of a file.

use super::form::{Action, FilePatch, parse};
use super::place::apply;

const FILE: &str =
    "import os\n\nclass A:\n    def run(self):\n        return 1\n\nclass B:\n    def run(self):\n        return 2\n";

/// Applies the only file of a patch.
fn patched(content: &str, patch: &str) -> Result<String, String> {
    let files = parse(patch)?;
    let [file] = &files[..] else { return Err(format!("{} files", files.len())) };
    apply(content, &file.hunks, &mut 100)
        .map_err(|problems| problems.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join("; "))
}

fn check(content: &str, patch: &str, expected: Result<&str, &str>) {
    match (patched(content, patch), expected) {
        (Ok(got), Ok(want)) => assert_eq!(got, want, "{patch}"),
        (Err(error), Err(want)) => assert!(error.contains(want), "{patch}\n{error}"),
        (got, want) => panic!("{patch}\ngot {got:?}, expected {want:?}"),
    }
}

fn unified(body: &str) -> String {
    format!("--- a/f.py\n+++ b/f.py\n{body}")
}

fn envelope(body: &str) -> String {
    format!("*** Begin Patch\n*** Update File: f.py\n{body}\n*** End Patch\n")
}

/// Path and action of each file, `old>new` for a rename.
fn files(patch: &str) -> Result<Vec<String>, String> {
    let show = |file: &FilePatch| match &file.action {
        Action::Add => format!("A {}", file.path),
        Action::Delete => format!("D {}", file.path),
        Action::Update => format!("M {}", file.path),
        Action::Rename(from) => format!("R {from}>{}", file.path),
        Action::Copy(from) => format!("C {from}>{}", file.path),
    };
    parse(patch).map(|files| files.iter().map(show).collect())
}

#[test]
fn headers_name_the_files_and_what_happens_to_them() {
    let table: [(&str, &[&str]); 18] = [
        ("--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n", &["M x.py"]),
        ("--- x.py\n+++ x.py\n@@\n-a\n+b\n", &["M x.py"]),
        ("--- a/x.py\t2026-01-01 00:00:00\n+++ b/x.py\t2026-01-01 00:00:01\n@@\n-a\n+b\n", &["M x.py"]),
        ("--- a/a/x\n+++ b/a/x\n@@\n-a\n+b\n", &["M a/x"]),
        ("--- a/x\n+++ a/x\n@@\n-a\n+b\n", &["M a/x"]),
        ("--- c/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", &["D c/x"]),
        ("--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+a\n", &["A x"]),
        ("--- a/x\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", &["D x"]),
        ("--- a/old\n+++ b/new\n@@\n-a\n+b\n", &["R old>new"]),
        ("diff --git a/x b/x\ndeleted file mode 100644\nindex e69de29..0000000\n", &["D x"]),
        ("diff --git a/x y b/x y\nnew file mode 100644\nindex 0000000..e69de29\n", &["A x y"]),
        ("diff --git a/o b/n\nsimilarity index 100%\nrename from o\nrename to n\n", &["R o>n"]),
        ("diff --git a/o b/n\nsimilarity index 90%\ncopy from o\ncopy to n\n", &["C o>n"]),
        ("diff --git a/x b/x\nold mode 100644\nnew mode 100755\n", &["M x"]),
        (
            "Here is the patch:\n```diff\n--- a/x\n+++ b/x\n@@\n-a\n+b\n```\n--- a/y\n+++ b/y\n@@\n-a\n+b\n\n\n",
            &["M x", "M y"],
        ),
        (
            "diff --git \"a/\\303\\244\" \"b/\\303\\244\"\n--- \"a/\\303\\244\"\n+++ \"b/\\303\\244\"\n@@\n-a\n+b\n",
            &["M \"\\303\\244\""],
        ),
        (
            "*** Begin Patch\n*** Add File: a\n+x\n*** Delete File: b\n*** Update File: c\n*** Move to: d\n@@\n-x\n+y\n*** End Patch",
            &["A a", "D b", "R c>d"],
        ),
        (
            "apply_patch <<'EOF'\n*** Begin Patch\r\n*** Update File: c\r\n@@\r\n-x\r\n+y\r\n*** End Patch\r\nEOF\n",
            &["M c"],
        ),
    ];
    for (patch, expected) in table {
        assert_eq!(
            files(patch).as_deref(),
            Ok(&expected.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>()[..]),
            "{patch}"
        );
    }
}

#[test]
fn a_file_that_shows_a_patch_can_be_patched() {
    let page = "a\n*** Begin Patch\n*** Add File: x\n*** End Patch\nb\n";
    let body = " *** Begin Patch\n *** Add File: x\n *** End Patch\n-b\n+c\n";
    let want = page.replace("b\n", "c\n");
    check(page, &unified(&format!("@@ -2,4 +2,4 @@\n{body}")), Ok(&want));
    check(page, &unified(&format!("@@\n{body}")), Ok(&want));
    check(page, &envelope(&format!("@@\n{body}")), Ok(&want));
}

#[test]
fn what_is_not_a_patch_is_refused_with_the_line() {
    let table = [
        ("", "changes no file"),
        ("please change x to y", "changes no file"),
        ("*** Begin Patch\n*** End Patch", "changes no file"),
        ("@@ -1 +1 @@\n-a\n+b\n", "patch line 1: a hunk without a file"),
        ("--- a/x\n+++ b/x\n@@ -1,2 +1,2 @@\n-a\n+b\nc\n", "patch line 6, \"c\", has no mark"),
        ("--- a/x\n+++ b/x\n@@ -1 +1 @@\n", "patch line 3: the hunk changes nothing"),
        ("--- /dev/null\n+++ /dev/null\n@@\n-a\n", "has no path"),
        ("diff --git a/x b/x\nGIT binary patch\nliteral 3\n", "binary patches"),
        (
            "diff --git a/x b/x\nnew file mode 120000\n--- /dev/null\n+++ b/x\n@@ -0,0 +1 @@\n+/etc\n",
            "run_command makes links",
        ),
        ("*** Begin Patch\n*** Update File:\n@@\n-a\n*** End Patch", "has no path"),
        ("*** Begin Patch\n*** Change File: x\n*** End Patch", "is not expected here"),
        ("*** Begin Patch\n*** Update File: x\n*** Rename: y\n", "is not expected here"),
        ("*** Begin Patch\n*** Add File: x\nhello\n*** End Patch", "begin each line of a new file with `+`"),
        ("*** Begin Patch\n*** Update File: x\n@@\nhello\n*** End Patch", "has no mark"),
        ("*** Begin Patch\n*** Delete File: x\n-a\n*** End Patch", "nothing may follow"),
    ];
    for (patch, expected) in table {
        let error = parse(patch).expect_err(patch);
        assert!(error.contains(expected), "{patch}\n{error}");
    }
    let many: String = (0..101).map(|number| format!("*** Delete File: {number}\n")).collect();
    assert!(parse(&many).expect_err("too many").contains("limit is 100"));
    let many = format!("*** Update File: x\n{}", "@@\n-a\n".repeat(501));
    assert!(parse(&many).expect_err("too many").contains("501 hunks"));
    let many = format!("*** Update File: x\n{}-a\n", "@@ a\n".repeat(9));
    assert!(parse(&many).expect_err("too many").contains("`@@` lines"));
}

#[test]
fn counts_may_be_right_wrong_or_missing() {
    let changed = FILE.replace("import os", "import sys");
    for header in ["@@ -1,3 +1,3 @@", "@@ -1,9 +1,7 @@", "@@ -1 +1 @@", "@@ -40,3 +40,3 @@", "@@ ... @@", "@@ @@", "@@"]
    {
        check(FILE, &unified(&format!("{header}\n-import os\n+import sys\n \n class A:\n")), Ok(&changed));
        // A blank line without its mark, and blank lines after the patch.
        check(FILE, &unified(&format!("{header}\n-import os\n+import sys\n\n class A:\n\n\n")), Ok(&changed));
    }
    // Exact counts end the hunk, so a removed line that looks like a header is one.
    let sql = "-- a\n++ b\nx\n";
    check(sql, &unified("@@ -1,3 +1,2 @@\n--- a\n-++ b\n+++ c\n x\n"), Ok("++ c\nx\n"));
    // The signature that git writes below a patch.
    check("a\nb\n", &unified("@@ -1,2 +1,2 @@\n-a\n+c\n b\n-- \n2.39.5\n\n"), Ok("c\nb\n"));
}

#[test]
fn several_hunks_of_both_forms_are_applied_in_order() {
    let want = "import sys\n\nclass A:\n    def run(self):\n        return 10\n\nclass B:\n    def run(self):\n        return 20\n";
    let body = "-import os\n+import sys\n@@\n-        return 1\n+        return 10\n@@\n-        return 2\n+        return 20\n";
    check(FILE, &unified(&format!("@@\n{body}")), Ok(want));
    check(FILE, &envelope(&format!("@@\n{body}")), Ok(want));
    check(FILE, &envelope(body), Ok(want));
    let swapped = "@@\n-        return 2\n+        return 20\n@@\n-        return 1\n+        return 10\n";
    check(FILE, &unified(swapped), Err("put the hunks in the order of the file"));
}

#[test]
fn a_hunk_that_fits_in_several_places_needs_its_line_or_a_heading() {
    let body = "     def run(self):\n+        print(1)\n";
    check(FILE, &unified(&format!("@@\n{body}")), Err("in 2 places (lines 4, 8)"));
    check(FILE, &unified(&format!("@@ -5,1 +5,2 @@\n{body}")), Err("in 2 places (lines 4, 8)"));
    let second = FILE
        .replace("return 2", "return 2#")
        .replace("    def run(self):\n        return 2#", "    def run(self):\n        print(1)\n        return 2");
    check(FILE, &unified(&format!("@@ -8,1 +8,2 @@\n{body}")), Ok(&second));
    check(FILE, &unified(&format!("@@ -80,1 +80,2 @@ class B:\n{body}")), Ok(&second));
    check(FILE, &envelope(&format!("@@ class B:\n{body}")), Ok(&second));
    check(FILE, &envelope("@@ class B:\n@@     def run(self):\n+        print(1)"), Ok(&second));
    check(
        FILE,
        &envelope("@@     def run(self):\n-        return 2\n+        return 3"),
        Ok(&FILE.replace("return 2", "return 3")),
    );
    check(FILE, &envelope("@@     def run(self):\n+        print(1)"), Err("in several places"));
    check(FILE, &envelope(&format!("@@ class C:\n{body}")), Err("the line \"class C:\" after `@@` is not in the file"));
    // One place only: the heading does not matter.
    check(FILE, &envelope("@@ class C:\n-import os\n+import sys"), Ok(&FILE.replace("import os", "import sys")));
}

#[test]
fn only_blanks_at_line_ends_may_differ_and_the_file_keeps_its_own() {
    check("a  \nb\t\nc\n", &unified("@@\n a\n-b\n+B\n c\n"), Ok("a  \nB\nc\n"));
    check("a\r\nb\r\nc\r\n", &unified("@@\n a\n-b\n+B\n+D\n c\n"), Ok("a\r\nB\r\nD\r\nc\r\n"));
    check("a\nb\n", "--- a/f\r\n+++ b/f\r\n@@ -1,2 +1,2 @@\r\n a\r\n-b\r\n+B\r\n", Ok("a\nB\n"));
    check("    b\n", &unified("@@\n-b\n+B\n"), Err("1|     b"));
    // An exact place is preferred to one that differs in blanks.
    check("b  \nb\n", &unified("@@\n-b\n+B\n"), Ok("b  \nB\n"));
}

#[test]
fn the_last_line_keeps_its_ending_unless_the_patch_changes_it() {
    check("a\nb", &unified("@@\n a\n-b\n+c\n"), Ok("a\nc"));
    check("a\nb", &unified("@@\n-a\n+c\n b\n"), Ok("c\nb"));
    check("a\nb", &unified("@@ -1,2 +1,3 @@\n a\n b\n+c\n"), Ok("a\nb\nc"));
    check("a\nb", &unified("@@ -1,2 +1,2 @@\n a\n-b\n\\ No newline at end of file\n+b\n"), Ok("a\nb\n"));
    check("a\nb\n", &unified("@@ -1,2 +1,2 @@\n a\n-b\n+b\n\\ No newline at end of file\n"), Ok("a\nb"));
    check("", &unified("@@ -0,0 +1 @@\n+a\n\\ No newline at end of file\n"), Ok("a"));
    check("", &unified("@@ -0,0 +1,2 @@\n+a\n+b\n"), Ok("a\nb\n"));
    check("a\n", &unified("@@ -1 +0,0 @@\n-a\n"), Ok(""));
}

#[test]
fn lines_can_be_added_without_any_around_them_when_the_place_is_clear() {
    check("a\nb\n", &unified("@@ -1,0 +2 @@\n+x\n"), Ok("a\nx\nb\n"));
    check("a\nb\n", &unified("@@ -0,0 +1 @@\n+x\n"), Ok("x\na\nb\n"));
    check("a\nb\n", &unified("@@ -7,0 +8 @@\n+x\n"), Err("the file has 2 lines"));
    check("a\nb\n", &unified("@@\n+x\n"), Err("does not say where"));
    check("a\nb\n", &unified("@@ -1,3 +1,4 @@\n+x\n"), Err("does not say where"));
    check("a\nb\n", &envelope("@@\n+x"), Ok("a\nb\nx\n"));
    check("a\nb\n", &envelope("@@ a\n+x"), Ok("a\nx\nb\n"));
    check("x\nb\nx\n", &envelope("@@\n x\n+y\n*** End of File"), Ok("x\nb\nx\ny\n"));
    check("x\nb\n", &envelope("@@\n x\n+y\n*** End of File"), Err("not at the end of the file"));
}

#[test]
fn a_hunk_that_does_not_fit_shows_the_nearest_lines() {
    check(
        FILE,
        &unified("@@\n class A:\n     def run(self):\n-        return 3\n+        return 4\n"),
        Err("5|         return 1"),
    );
    check(FILE, &unified("@@\n-zzzzzzzz\n+y\n"), Err("Nothing in the file resembles them"));
    check(FILE, &unified("@@\n class A:\n-    def go(self):\n+    def run(self):\n"), Err("already has its new lines"));
}

#[test]
fn a_file_of_equal_lines_takes_linear_time() {
    let file = "x\n".repeat(300_000);
    let hunk = format!("@@\n{}-y\n", " x\n".repeat(100_000));
    check(&file, &unified(&hunk), Err("are not in the file"));
    check(&file, &unified("@@\n-x\n+y\n"), Err("in 300000 places"));
    let file = format!("{file}b\n");
    check(&file, &envelope("@@ x\n@@ b\n+y"), Err("in several places"));
    check(&file, &envelope("@@ x\n@@ c\n+y"), Err("the line \"c\" after `@@` is not in the file"));
}
