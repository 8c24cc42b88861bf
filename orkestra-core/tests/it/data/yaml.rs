//! Workflows from YAML: its types, its aliases, its traps.

use orkestra_core::model::{SpecErrorKind, WorkflowSpec};

fn input(yaml: &str) -> Result<String, String> {
    let text = format!("name: w\nnodes:\n  - name: a\n    task: t\n    input: {yaml}\n");
    let spec = WorkflowSpec::from_yaml(&text).map_err(|error| error.to_string())?;
    Ok(spec.nodes[0].input.as_ref().expect("an input").as_json().to_owned())
}

#[test]
fn scalars_are_those_of_yaml_1_2() {
    for (yaml, json) in [
        ("no", r#""no""#),
        ("true", "true"),
        ("~", "null"),
        ("", "null"),
        ("1.0", "1.0"),
        ("0x10", "16"),
        ("12345678901234567890123", "12345678901234567890123"),
        ("1e3", "1e3"),
        ("'1'", r#""1""#),
        ("!!str 1", r#""1""#),
        ("! 1", r#""1""#),
        ("!!float 1", "1"),
        ("2026-01-01", r#""2026-01-01""#),
        ("{b: [1, two], a: {}}", r#"{"b":[1,"two"],"a":{}}"#),
        ("{1: x, true: y}", r#"{"1":"x","true":"y"}"#),
        ("\"a\\u0000\\\"b\"", r#""a\u0000\"b""#),
        ("|\n      two\n      lines", "\"two\\nlines\\n\""),
    ] {
        assert_eq!(input(yaml).as_deref(), Ok(json), "{yaml}");
    }
}

#[test]
fn yaml_without_a_json_equivalent_is_refused() {
    for (yaml, words) in [
        (".inf", "line 5, column 12: JSON has no number `.inf`; quote it to use it as a string"),
        ("!!int 1.5", "line 5, column 18: the value does not match the tag `!!int`"),
        ("!secret x", "line 5, column 20: unsupported tag `!secret`"),
        ("!secret {}", "line 5, column 20: unsupported tag `!secret`"),
        ("{a: 1, a: 2}", "line 5, column 19: duplicate key `a`"),
        ("{[a]: 1}", "line 5, column 13: a key must be a string, not a list or a mapping"),
        ("*nobody", "line 5, column 12: invalid YAML: while parsing node, found unknown anchor"),
    ] {
        assert_eq!(input(yaml), Err(words.to_owned()), "{yaml}");
    }
}

#[test]
fn yaml_errors_have_a_place() {
    let refuses = |text: &str, words: &str| {
        assert_eq!(WorkflowSpec::from_yaml(text).expect_err(text).to_string(), words);
    };
    refuses("", "line 1, column 1: the text contains no document");
    refuses(
        "name: w\nnodes: []\n---\nname: v\n",
        "line 3, column 1: the text contains a second document; only one is read",
    );
    refuses(
        "name: w\nnodes:\n  - name: a\n   task: t\n",
        "line 4, column 4: invalid YAML: while parsing a block collection, did not find expected '-' indicator",
    );
    refuses(
        "name: w\nnodes:\n  - name: a\n    task: t\n    retries: 3\n",
        "line 5, column 5, node `a`: unknown field `retries`, expected one of `name`, `task`, `gate`, `after`, `join`, `when`, `retry`, `timeout_ms`, `total_timeout_ms`, `heartbeat_timeout_ms`, `on_failure`, `compensate`, `compensate_retry`, `compensate_timeout_ms`, `priority`, `limits`, `input`, `version`, `takes`, `gives`",
    );
    refuses(
        "name: w\nversion: 1.0\nnodes: []\n",
        "line 2, column 10: `version`: invalid type: floating point `1.0`, expected a string",
    );
    refuses(
        "name: w\nnodes:\n  - {name: ä, task: t}\n",
        "line 3, column 12, node number 1: `name`: invalid name `ä`: use 1 to 128 letters, digits, `_`, `-`, `.`, `:` or `/`, beginning with a letter, a digit or `_`",
    );
    refuses(
        "name: w\nnodes:\n  - {name: a, task: t, after: [b]}\n  - name: b\n    task: t\n    after:\n      - a\n",
        "line 3, column 32: the workflow has a cycle: `a` (line 3) -> `b` (line 7) -> `a` (line 3)",
    );
}

#[test]
fn aliases_are_expanded() {
    let text = "
name: w
nodes:
  - &first {name: a, task: t, retry: &often {attempts_max: 3}}
  - {name: b, task: t, after: [a], retry: *often, input: [*often, *often]}
";
    let spec = WorkflowSpec::from_yaml(text).expect("a workflow");
    assert_eq!(spec.nodes[0].retry, spec.nodes[1].retry);
    let input = spec.nodes[1].input.as_ref().expect("an input");
    assert_eq!(input.as_json(), r#"[{"attempts_max":3},{"attempts_max":3}]"#);
}

#[test]
fn aliases_cannot_expand_without_bound() {
    // Each line expands to ten of the line before: a billion in total.
    let mut laughs = "name: w\nnodes:\n- name: a\n  task: t\n  input:\n  - &l0 lol\n".to_owned();
    for level in 1..10 {
        let ten = vec![format!("*l{}", level - 1); 10].join(", ");
        laughs.push_str(&format!("  - &l{level} [{ten}]\n"));
    }
    // Each line nests one level deeper than the line before.
    let mut deeper = "name: w\nnodes:\n- name: a\n  task: t\n  input:\n  - &l0 [x]\n".to_owned();
    for level in 1..5000 {
        deeper.push_str(&format!("  - &l{level} [*l{}]\n", level - 1));
    }
    // Each anchor contains the anchors inside it.
    let inside_out = format!("{}{}{}", "&a [".repeat(60), "x".repeat(100_000), "]".repeat(60));
    let inside_out = format!("name: w\nnodes:\n- name: a\n  task: t\n  input: {inside_out}\n");
    for bomb in [laughs, deeper, inside_out] {
        let error = WorkflowSpec::from_yaml(&bomb).expect_err("a bomb");
        assert_eq!(error.kind(), &SpecErrorKind::TooLarge, "{error}");
    }
    let own = WorkflowSpec::from_yaml("name: w\nnodes: &n [*n]\n").expect_err("no end").to_string();
    assert_eq!(own, "line 2, column 12: the alias refers to a value that contains it");
}

#[test]
fn depth_is_limited() {
    for (open, close) in [("[", "]"), ("{a: ", "}"), ("- ", ""), ("? ", "")] {
        let deep = format!("{}1{}", open.repeat(3000), close.repeat(3000));
        for text in [deep.clone(), format!("name: w\nnodes:\n  {deep}")] {
            let error = WorkflowSpec::from_yaml(&text).expect_err("too deep");
            assert_eq!(error.kind(), &SpecErrorKind::TooLarge, "{error}");
            assert!(error.to_string().ends_with("the value nests deeper than 64 levels"), "{error}");
        }
    }
}
