//! Tables: which commands a script runs, and what is unclear.

use super::*;

/// The commands of `text`, each as its words with `…` for unknown text; `unclear` last if it is.
fn commands(text: &str) -> Vec<String> {
    let Script { parts, unclear } = parse(text);
    let opaque = |part: &Part| if part.opaque.is_some() { " (opaque)" } else { "" };
    let mut shown: Vec<String> = parts.iter().map(|part| format!("{}{}", part.text, opaque(part))).collect();
    shown.extend(unclear.map(|_| "unclear".to_owned()));
    shown
}

fn check(rows: &[(&str, &[&str])]) {
    for (text, expected) in rows {
        assert_eq!(commands(text), *expected, "{text}");
    }
}

#[test]
fn words_and_quotes() {
    check(&[
        ("", &[]),
        ("   \n\t\n", &[]),
        ("ls -la", &["ls -la"]),
        ("  ls\t-la  ", &["ls -la"]),
        ("'rm' \"-rf\" /", &["rm -rf /"]),
        ("r'm' -r\"f\" \\/", &["rm -rf /"]),
        ("r\\m -rf /", &["rm -rf /"]),
        ("\\rm -rf /", &["rm -rf /"]),
        ("r\\\nm -rf /", &["rm -rf /"]),
        ("rm \\\n  -rf \\\n  /", &["rm -rf /"]),
        ("echo 'a; rm -rf /'", &["echo a; rm -rf /"]),
        ("echo \"a && b | c\"", &["echo a && b | c"]),
        ("echo \"\\\"; rm -rf /\"", &["echo \"; rm -rf /"]),
        ("echo '\\'; rm -rf /", &["echo \\", "rm -rf /"]),
        ("echo \"it's\"", &["echo it's"]),
        ("echo ''", &["echo "]),
        ("'' rm", &[" rm"]),
        ("echo a#b # c; rm -rf /", &["echo a#b"]),
        ("# a comment\nls # another \\\nrm -rf /", &["ls", "rm -rf /"]),
        ("echo \\# ; ls", &["echo #", "ls"]),
        ("echo $HOME \"$HOME\" ${HOME:-x}", &["echo … … …"]),
        ("echo a$X'b'", &["echo a…b"]),
        ("ls *.py", &["ls ….py"]),
        ("echo $", &["echo $"]),
        ("ls\r\nrm", &["ls\r", "rm"]),
        ("ls\u{a0}-la", &["ls\u{a0}-la"]),
        ("ｒｍ -rf /", &["ｒｍ -rf /"]),
    ]);
}

#[test]
fn compound_commands_are_split() {
    check(&[
        ("a; b", &["a", "b"]),
        ("a && b || c", &["a", "b", "c"]),
        ("a|b|&c", &["a", "b", "c"]),
        ("a & b &", &["a", "b"]),
        ("a\nb", &["a", "b"]),
        ("a&&b", &["a", "b"]),
        ("a &\\\n& b", &["a", "b"]),
        ("(a; b)", &["a", "b"]),
        ("(a) && (b | (c))", &["a", "b", "c"]),
        ("{ a; b; }", &["a", "b"]),
        ("! a", &["a"]),
        ("if a; then b; elif c; then d; else e; fi", &["a", "b", "c", "d", "e"]),
        ("while a; do b; done < in", &["a", "b"]),
        ("until a; do b; done", &["a", "b"]),
        ("for x in a b $(c); do d \"$x\"; done", &["c", "d …"]),
        ("for x; do a; done", &["a"]),
        ("f() { rm -rf /; }; f", &["rm -rf /", "f"]),
        ("f () (rm -rf /)", &["rm -rf /"]),
        ("echo if then", &["echo if then"]),
        ("'if' a", &["if a"]),
        ("X=1 a", &["a"]),
        ("X=1", &["X=…"]),
        ("X=$(a)", &["a", "X=…"]),
        ("[ -f x ] && [[ -d y ]]", &["[ -f x ]", "[[ -d y ]]"]),
        ("test $((1 + 2)) -gt 2", &["test … -gt 2"]),
        ("time -p a", &["time -p a", "a"]),
    ]);
}

#[test]
fn substitutions_are_found_everywhere() {
    check(&[
        ("echo $(rm -rf /)", &["rm -rf /", "echo …"]),
        ("echo \"$(rm -rf /)\"", &["rm -rf /", "echo …"]),
        ("echo `rm -rf /`", &["rm -rf /", "echo …"]),
        ("echo \"`rm -rf /`\"", &["rm -rf /", "echo …"]),
        ("echo `echo \\`rm -rf /\\``", &["rm -rf /", "echo …", "echo …"]),
        ("echo $(a $(b \"$(c)\"))", &["c", "b …", "a …", "echo …"]),
        ("echo ${X:-$(rm -rf /)}", &["rm -rf /", "echo …"]),
        ("echo ${X:=`rm -rf /`}", &["rm -rf /", "echo …"]),
        ("echo '$(rm -rf /)'", &["echo $(rm -rf /)"]),
        ("echo \\$(rm", &["unclear"]),
        ("X=$(rm -rf /) ls", &["rm -rf /", "ls"]),
        ("ls > $(rm -rf /)", &["rm -rf /", "ls"]),
        ("cat <<< $(rm -rf /)", &["rm -rf /", "cat"]),
        ("for x in `rm -rf /`; do :; done", &["rm -rf /", ":"]),
        ("echo $(ls # ) \n rm -rf /)", &["ls", "rm -rf /", "echo …"]),
    ]);
}

#[test]
fn here_documents_are_text_and_their_substitutions_are_commands() {
    check(&[
        ("cat > a.py <<'EOF'\nrm -rf /\n$(rm)\nEOF\nls", &["cat", "ls"]),
        ("cat <<EOF\nrm -rf / $(rm -rf /)\nEOF\nls", &["cat", "rm -rf /", "ls"]),
        ("cat <<EOF\n`rm -rf /` \\`x\\` \\$(x)\nEOF", &["cat", "rm -rf /"]),
        ("cat <<-EOF\n\trm\n\tEOF\nls", &["cat", "ls"]),
        ("cat <<EOF\n\tEOF\nrm -rf /\nEOF", &["cat"]),
        ("cat <<A <<B\nA\nx\nB\nrm -rf /", &["cat", "rm -rf /"]),
        ("cat <<'E F'\nE F\nrm -rf /", &["cat", "rm -rf /"]),
        ("cat <<\\EOF\n$(x)\nEOF\nrm", &["cat", "rm"]),
        ("cat <<EOF && rm -rf /\nx\nEOF", &["cat", "rm -rf /"]),
        ("cat <<EOF\nEOF \nrm\nEOF", &["cat"]),
        ("cat <<EOF\nx", &["cat", "unclear"]),
        ("cat <<EOF", &["cat", "unclear"]),
        ("cat <<EOF\nx\\\nEOF\nrm -rf /\nEOF\n", &["cat", "unclear"]),
        ("cat <<$X\nx\n$X", &["unclear"]),
        ("$(cat <<EOF)\nx\nEOF", &["cat", "unclear"]),
        ("python3 - <<'PY'\nprint('it''s; rm')\nPY", &["python3 -"]),
    ]);
}

#[test]
fn redirections_are_kept_apart_from_words() {
    let writes = |text: &str| {
        let script = parse(text);
        assert_eq!(script.unclear, None, "{text}");
        script.parts.iter().flat_map(|part| part.writes.iter().map(Word::show)).collect::<Vec<_>>()
    };
    let none: [&str; 0] = [];
    for (text, expected) in [
        ("a > f", &["f"][..]),
        ("a >f 2>>g", &["f", "g"]),
        ("a >| f", &["f"]),
        ("a <> f", &["f"]),
        ("> f a", &["f"]),
        ("> f", &["f"]),
        ("a &> f", &["f"]),
        ("a &>> f; b", &["f"]),
        ("a >& f", &["f"]),
        ("a > \"$X\"", &["…"]),
        ("a 2>&1 < f > /dev/null", &none),
        ("a >&2 2>&-", &none),
        ("(a; b) > f", &["f"]),
        ("{ a; } 2> f", &["f"]),
    ] {
        assert_eq!(writes(text), expected, "{text}");
    }
    check(&[("a 2>&1 b", &["a b"]), ("a 2 > f", &["a 2"]), ("a '2'> f", &["a 2"]), ("2>f a", &["a"])]);
}

#[test]
fn wrappers_show_what_they_run() {
    check(&[
        ("sh -c 'rm -rf /'", &["sh -c rm -rf /", "rm -rf /"]),
        ("bash -ec \"a && b\" x y", &["bash -ec a && b x y", "a", "b"]),
        ("/bin/sh -c 'sh -c \"rm -rf /\"'", &["/bin/sh -c sh -c \"rm -rf /\"", "sh -c rm -rf /", "rm -rf /"]),
        ("sh -o errexit -c 'a'", &["sh -o errexit -c a", "a"]),
        ("sh script.sh", &["sh script.sh"]),
        ("sh", &["sh (opaque)"]),
        ("sh -s", &["sh -s (opaque)"]),
        ("curl x | sh", &["curl x", "sh (opaque)"]),
        ("sh <<EOF\nrm\nEOF", &["sh (opaque)"]),
        ("sh -c \"$X\"", &["sh -c … (opaque)"]),
        ("sh -c", &["sh -c (opaque)"]),
        ("sh /dev/stdin", &["sh /dev/stdin (opaque)"]),
        ("bash --rcfile x -c ls", &["bash --rcfile x -c ls (opaque)"]),
        ("env A=1 -i rm", &["env A=1 -i rm", "-i rm"]),
        ("env -i A=1 B=2 rm -rf /", &["env -i A=1 B=2 rm -rf /", "rm -rf /"]),
        ("env -u X --chdir=/ rm", &["env -u X --chdir=/ rm", "rm"]),
        ("env --unset X rm", &["env --unset X rm", "rm"]),
        ("env -S 'rm -rf /'", &["env -S rm -rf / (opaque)"]),
        ("env", &["env"]),
        ("sudo -n -u root rm -rf /", &["sudo -n -u root rm -rf /", "rm -rf /"]),
        ("sudo -nu root rm", &["sudo -nu root rm", "rm"]),
        ("sudo -s", &["sudo -s (opaque)"]),
        (
            "nice -n 5 nohup timeout -k 1 5 rm -rf /",
            &[
                "nice -n 5 nohup timeout -k 1 5 rm -rf /",
                "nohup timeout -k 1 5 rm -rf /",
                "timeout -k 1 5 rm -rf /",
                "rm -rf /",
            ],
        ),
        ("timeout $T rm", &["timeout … rm (opaque)"]),
        ("command rm; command -v rm", &["command rm", "rm", "command -v rm"]),
        ("exec rm", &["exec rm", "rm"]),
        ("exec 3>&1", &["exec"]),
        ("ls | xargs rm -rf", &["ls", "xargs rm -rf", "rm -rf …"]),
        ("xargs -n1 -I {} sh -c 'rm {}'", &["xargs -n1 -I {} sh -c rm {}", "sh -c … … (opaque)"]),
        ("xargs -I% cp % dest/%", &["xargs -I% cp % dest/%", "cp … … …"]),
        ("xargs --weird rm", &["xargs --weird rm (opaque)"]),
        (
            "find . -name '*.py' -exec rm {} \\; -exec sh -c 'ls' ';'",
            &["find . -name *.py -exec rm {} ; -exec sh -c ls ;", "rm …", "sh -c ls", "ls"],
        ),
        ("find . -execdir rm -rf {} +", &["find . -execdir rm -rf {} +", "rm -rf …"]),
        ("find $X", &["find … (opaque)"]),
        ("eval rm -rf /", &["eval rm -rf /", "rm -rf /"]),
        ("eval 'a; b'", &["eval a; b", "a", "b"]),
        ("eval \"$X\"", &["eval … (opaque)"]),
        ("trap 'rm -rf /' EXIT", &["trap rm -rf / EXIT", "rm -rf /"]),
        ("busybox rm -rf /", &["busybox rm -rf /", "rm -rf /"]),
        ("ssh host rm", &["ssh host rm (opaque)"]),
        (". ./env.sh", &[". ./env.sh"]),
        (". /dev/stdin", &[". /dev/stdin (opaque)"]),
        ("time { rm -rf /; }", &["time { rm -rf / (opaque)"]),
    ]);
}

#[test]
fn what_shells_disagree_about_is_unclear() {
    for text in [
        "alias ls='rm -rf /'; ls",
        "shopt -s extglob",
        "case x in x) rm -rf /;; esac",
        "function f { rm; }",
        "select x in a; do rm; done",
        "((x = 1))",
        "for ((i = 0; i < 3; i++)); do a; done",
        "diff <(a) <(b)",
        "tee >(rm)",
        "a=(rm -rf /)",
        "echo $'\\x72m'",
        "echo ${X@P}",
        "echo \"${X:-'}'}\"",
        "echo $[1 + 1]",
        "echo $((X[$(rm)]))",
        "echo $((rm -rf /); (ls))",
        "ls )",
        "(ls",
        "$(ls",
        "`ls",
        "ls 'x",
        "ls \"x",
        "ls \\",
        "echo ${X",
        "ls >",
        "<\\\n<EOF",
        "echo $\\\n(rm -rf /)",
        "echo &>/dev/null rm -rf /",
        "fi rm -rf /",
        "rm\0 -rf /",
        "cat <<EOF $(rm\nx\n)\nEOF",
        "hash -p /bin/rm ls; ls",
    ] {
        assert!(parse(text).unclear.is_some(), "{text}: {:?}", commands(text));
    }
}

#[test]
fn hostile_text_is_parsed_in_linear_time_and_without_deep_recursion() {
    let long = 64 * 1024;
    for unit in [
        "(",
        "$(",
        "`",
        "\"$(",
        "${x:-",
        "[",
        "{",
        "a;",
        "'",
        "\\\n",
        "<<E ",
        "env ",
        "sh -c '",
        "!",
        "$((",
        "find -exec ",
        "((",
        "*a",
        "$x ",
        "${",
        "\n",
    ] {
        let _ = parse(&unit.repeat(long / unit.len()));
    }
    for depth in [1, 8, 100, 10_000] {
        let text = format!("{}rm{}", "$(".repeat(depth), ")".repeat(depth));
        assert_eq!(parse(&text).unclear.is_some(), depth > DEPTH_MAX, "{depth}");
    }
}

/// Every text either is unclear or has parts; a byte that is not known never panics.
#[test]
fn any_text_can_be_parsed() {
    let alphabet: Vec<char> = " \t\n\\'\"$`(){}[]<>|&;#*?=-+~!aE1é\0".chars().collect();
    let mut state = 1_u64;
    for _ in 0..30_000 {
        let text: String = (0..12)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                alphabet[usize::try_from(state >> 33).unwrap_or(0) % alphabet.len()]
            })
            .collect();
        let _ = parse(&text);
    }
}
