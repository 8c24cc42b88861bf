//! `apply_patch` as a model uses it: all files or none.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use orkestra_tools::Happening;
use serde_json::json;

use crate::tools::Agent;

/// Every file with its content, temporary ones too.
fn tree(root: &Path) -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let mut folders = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("listed").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(root).expect("below").display().to_string();
            if path.is_dir() {
                files.insert(format!("{name}/"), String::new());
                folders.push(path);
            } else {
                files.insert(name, fs::read_to_string(&path).unwrap_or_default());
            }
        }
    }
    files
}

async fn project() -> Agent {
    let agent = Agent::new().await;
    for (path, content) in [("src/a.py", "one\ntwo\nthree\n"), ("b.txt", "b\n"), ("run.sh", "#!/bin/sh\n")] {
        agent.scope.workspace().write(path, content.as_bytes()).expect("written");
    }
    let script = agent.scope.workspace().path().join("run.sh");
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).expect("set");
    agent
}

const GIT: &str = "\
diff --git a/src/a.py b/src/a.py
index 1..2 100644
--- a/src/a.py
+++ b/src/a.py
@@ -1,3 +1,3 @@
 one
-two
+2
 three
diff --git a/b.txt b/b.txt
deleted file mode 100644
--- a/b.txt
+++ /dev/null
@@ -1 +0,0 @@
-b
diff --git a/run.sh b/bin/run
similarity index 50%
rename from run.sh
rename to bin/run
--- a/run.sh
+++ b/bin/run
@@ -1 +1,2 @@
 #!/bin/sh
+echo
diff --git a/new/c.sh b/new/c.sh
new file mode 100755
--- /dev/null
+++ b/new/c.sh
@@ -0,0 +1 @@
+c
";

const ENVELOPE: &str = "\
*** Begin Patch
*** Update File: src/a.py
@@
 one
-two
+2
*** Delete File: b.txt
*** Update File: run.sh
*** Move to: bin/run
@@
 #!/bin/sh
+echo
*** Add File: new/c.sh
+c
*** End Patch
";

#[tokio::test]
async fn both_forms_change_create_delete_and_rename_files() {
    for patch in [GIT, ENVELOPE] {
        let agent = project().await;
        let root = agent.scope.workspace().path().to_owned();
        let before = agent.seen.happenings().len();
        let done = agent.call("apply_patch", json!({"patch": patch})).await.expect(patch);
        let expected = "Applied the patch to 4 file(s):\nM src/a.py (+1 -1)\nD b.txt (+0 -";
        assert!(
            done.text.starts_with(expected) && done.text.contains("R run.sh -> bin/run (+1 -0)\nA new/c.sh (+1 -0)"),
            "{}",
            done.text
        );
        let files = [
            ("bin/", ""),
            ("bin/run", "#!/bin/sh\necho\n"),
            ("new/", ""),
            ("new/c.sh", "c\n"),
            ("src/", ""),
            ("src/a.py", "one\n2\nthree\n"),
        ];
        assert_eq!(tree(&root), files.map(|(path, content)| (path.to_owned(), content.to_owned())).into());
        let mode = |path: &str| fs::metadata(root.join(path)).expect("there").permissions().mode() & 0o777;
        assert_eq!(mode("bin/run"), 0o755, "a renamed file keeps its mode");
        assert_eq!(mode("new/c.sh") & 0o111 != 0, patch == GIT, "git's mode is kept");
        let written = |path: &str, bytes| Happening::FileWritten { path: path.to_owned(), bytes };
        assert_eq!(
            agent.seen.happenings()[before..],
            [written("src/a.py", 12), written("bin/run", 15), written("new/c.sh", 2)]
        );
    }
}

#[tokio::test]
async fn a_patch_of_which_a_part_does_not_apply_changes_nothing_and_says_which() {
    let good = "*** Begin Patch\n*** Update File: src/a.py\n@@\n-one\n+1\n*** Add File: x/new\n+new\n";
    let table = [
        ("*** Update File: b.txt\n@@\n-c\n+d\n", "`b.txt`: hunk 1 of 1 (patch line 9)"),
        ("*** Update File: src/a.py\n@@\n-two\n+2\n@@\n-four\n+4\n", "`src/a.py`: hunk 2 of 2 (patch line 12)"),
        ("*** Update File: missing\n@@\n-a\n+b\n", "there is no file `missing`"),
        ("*** Delete File: missing\n", "there is no file `missing`"),
        ("*** Add File: b.txt\n+x\n", "`b.txt`: it exists already"),
        ("*** Add File: x/new\n+x\n", "`x/new`: it exists already"),
        ("*** Update File: b.txt\n*** Move to: src/a.py\n", "`src/a.py`: it exists already"),
        ("*** Update File: b.txt\n", "nothing is changed in it"),
        ("*** Add File: ../out\n+x\n", "component 1, `..`, leaves the workspace"),
        ("*** Add File: /etc/out\n+x\n", "leaves the workspace"),
        ("*** Add File: .git/hooks/pre-commit\n+x\n", "use git commands"),
        ("*** Add File: b.txt/x\n+x\n", "`b.txt`, is not a directory"),
        ("*** Add File: src\n+x\n", "it exists already"),
        ("*** Delete File: src\n", "is a directory"),
        ("*** Update File: src\n@@\n-a\n+b\n", "is a directory"),
        ("*** Add File: link/a\n+x\n", "`link`, is a symbolic link to `/etc`, which leaves the workspace"),
        ("*** Add File: here/b\n+x\n*** Delete File: src/a.py\n*** Add File: here/a.py\n+x\n", "it exists already"),
        ("*** Delete File: here/a.py\n", "is the same file as"),
    ];
    for (bad, expected) in table {
        let agent = project().await;
        let root = agent.scope.workspace().path().to_owned();
        symlink("/etc", root.join("link")).expect("linked");
        symlink("src", root.join("here")).expect("linked");
        let before = tree(&root.join("src"));
        let (all, seen) = (fs::read_dir(&root).expect("listed").count(), agent.seen.happenings().len());
        let refused = agent.refusal("apply_patch", json!({"patch": format!("{good}{bad}*** End Patch\n")})).await;
        assert!(refused.contains(expected), "{bad}: {refused}");
        assert_eq!((tree(&root.join("src")), fs::read_dir(&root).expect("listed").count()), (before, all), "{bad}");
        assert_eq!(agent.seen.happenings().len(), seen, "{bad}");
    }
}

#[tokio::test]
async fn every_problem_is_reported_at_once_and_the_nearest_lines_are_shown() {
    let agent = project().await;
    let patch = "*** Begin Patch\n*** Update File: src/a.py\n@@\n one\n-too\n+2\n@@\n-thre\n+3\n*** Update File: b.txt\n@@\n-c\n+d\n*** End Patch";
    let refused = agent.refusal("apply_patch", json!({"patch": patch})).await;
    for expected in [
        "no file was changed",
        "`src/a.py`: hunk 1 of 2 (patch line 3)",
        "hunk 2 of 2 (patch line 7)",
        "3| three",
        "`b.txt`: hunk 1 of 1",
    ] {
        assert!(refused.contains(expected), "{expected}: {refused}");
    }
}

#[tokio::test]
async fn a_later_part_of_a_patch_sees_what_an_earlier_one_did() {
    let agent = project().await;
    let patch = "*** Begin Patch\n*** Update File: src/a.py\n@@\n-one\n+1\n*** Update File: src/a.py\n@@\n-1\n+uno\n*** Delete File: b.txt\n\
                 *** Add File: b.txt\n+c\n*** Add File: t\n+t\n*** Update File: t\n*** Move to: u\n@@\n-t\n+u\n*** End Patch";
    agent.text("apply_patch", json!({"patch": patch})).await;
    let read =
        |path: &str| agent.scope.workspace().read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert_eq!(read("src/a.py").expect("read"), "uno\ntwo\nthree\n");
    assert_eq!((read("b.txt").expect("read"), read("u").expect("read")), ("c\n".to_owned(), "u\n".to_owned()));
    assert!(read("t").is_err());
    assert!(tree(agent.scope.workspace().path()).keys().all(|name| !name.contains(".orkestra-")));
}

#[tokio::test]
async fn large_patches_are_bounded() {
    let agent = Agent::new().await;
    let root = agent.scope.workspace().path().to_owned();
    for number in 0..4 {
        fs::write(root.join(format!("f{number}")), "x\n".repeat(5 << 20)).expect("written");
    }
    let copies: String = (0..4)
        .map(|number| format!("diff --git a/f{number} b/g{number}\nsimilarity index 100%\nrename from f{number}\nrename to g{number}\n"))
        .collect();
    let refused = agent.refusal("apply_patch", json!({"patch": copies})).await;
    assert!(refused.contains("more than 33554432 bytes"), "{refused}");
    let one = "*** Begin Patch\n*** Update File: f0\n@@\n-x\n+y\n*** End Patch";
    let refused = agent.refusal("apply_patch", json!({"patch": one})).await;
    assert!(refused.contains("it has more than 2097152 bytes"), "{refused}");
    let one = "diff --git a/f0 b/g0\nsimilarity index 100%\nrename from f0\nrename to g0\n";
    agent.text("apply_patch", json!({"patch": one})).await;
    assert_eq!(fs::metadata(root.join("g0")).expect("renamed").len(), 10 << 20);
}
