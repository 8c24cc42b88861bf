//! Which of our crates may depend on which: the core on none, tools and store never on each other, and none on the crates at
//! the top. The table of crates in `ARCHITECTURE.md` must say what the manifests say.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::Breach;

/// A crate, what it may depend on, and what its tests may use besides.
const ARROWS: &[(&str, &[&str], &[&str])] = &[
    ("orkestra-core", &[], &["orkestra-testkit"]),
    ("orkestra-testkit", &["orkestra-core"], &[]),
    ("orkestra-replay", &[], &["orkestra-core"]),
    ("orkestra-store", &["orkestra-core"], &["orkestra-testkit"]),
    ("orkestra-tools", &["orkestra-core"], &["orkestra-testkit"]),
    ("orkestra-agents", &["orkestra-core", "orkestra-store", "orkestra-tools"], &["orkestra-testkit"]),
    ("orkestra", &["orkestra-agents", "orkestra-core", "orkestra-store", "orkestra-tools"], &["orkestra-testkit"]),
    (
        "orkestra-bench",
        &["orkestra-agents", "orkestra-core", "orkestra-store", "orkestra-tools"],
        &["orkestra-testkit"],
    ),
    (
        "orkestra-cli",
        &["orkestra-agents", "orkestra-bench", "orkestra-core", "orkestra-store", "orkestra-tools"],
        &["orkestra-testkit"],
    ),
];

/// One line of a `Cargo.toml`: who depends on whom.
pub(crate) struct Dependency {
    /// The manifest, from the repository's root.
    pub(crate) manifest: String,
    /// Where in the manifest.
    pub(crate) line: usize,
    pub(crate) from: String,
    pub(crate) to: String,
    /// Whether only its tests, examples and benchmarks use it.
    pub(crate) dev: bool,
}

/// What the manifests of the workspace say, asked of cargo itself.
pub(crate) fn dependencies(root: &Path) -> Vec<Dependency> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root)
        .output()
        .expect("cargo runs: it has built this test");
    assert!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let packages = metadata["packages"].as_array().expect("cargo metadata lists packages");
    packages.iter().flat_map(|package| of_package(root, package)).collect()
}

fn of_package(root: &Path, package: &Value) -> Vec<Dependency> {
    let path = Path::new(package["manifest_path"].as_str().expect("a package has a manifest"));
    let text = std::fs::read_to_string(path).expect("a manifest is readable");
    let manifest = path.strip_prefix(root).unwrap_or(path).to_string_lossy().replace('\\', "/");
    let listed = package["dependencies"].as_array().expect("a package lists its dependencies");
    let dependency = |entry: &Value| {
        let to = entry["name"].as_str().expect("a dependency has a name").to_owned();
        let dev = entry["kind"] == "dev";
        let line = line_of(&text, &to, dev);
        let from = package["name"].as_str().expect("a package has a name").to_owned();
        Dependency { manifest: manifest.clone(), line, from, to, dev }
    };
    listed.iter().map(dependency).collect()
}

/// The line that names the dependency, in the section of its kind.
fn line_of(manifest: &str, name: &str, dev: bool) -> usize {
    let mut section = "";
    for (index, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            section = line;
        }
        let in_section =
            section.contains("dependencies") && !section.contains("workspace") && section.contains("dev-") == dev;
        let key = line.split(['.', '=', ' ']).next().unwrap_or_default();
        if in_section && (key == name || section.contains(&format!(".{name}]"))) {
            return index + 1;
        }
    }
    1
}

pub(crate) fn wrong_arrows(dependencies: &[Dependency]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for dependency in dependencies.iter().filter(|dependency| is_ours(&dependency.to)) {
        let breach = |what: String| Breach { path: dependency.manifest.clone(), line: dependency.line, what };
        let Some((_, always, in_tests)) = ARROWS.iter().find(|(name, _, _)| *name == dependency.from) else {
            breaches.push(breach(format!("{} is not listed: add it to ARROWS", dependency.from)));
            continue;
        };
        let to = dependency.to.as_str();
        let allowed = always.contains(&to) || (dependency.dev && in_tests.contains(&to));
        if !allowed {
            let kind = if dependency.dev { ", not even in tests" } else { "" };
            breaches.push(breach(format!("{} may not depend on {to}{kind}", dependency.from)));
        }
    }
    breaches
}

fn is_ours(name: &str) -> bool {
    name == "orkestra" || name.starts_with("orkestra-")
}

const MAP: &str = "ARCHITECTURE.md";

/// Rows of the crate table of `ARCHITECTURE.md` that are not what the manifests say:
/// `| `crate` | holds | depends on | in tests also on |`.
pub(crate) fn wrong_rows(page: &str, dependencies: &[Dependency], crates: &[&str]) -> Vec<Breach> {
    let names = |cell: &str| -> BTreeSet<String> { cell.split('`').skip(1).step_by(2).map(str::to_owned).collect() };
    let real = |from: &str, dev: bool| -> BTreeSet<String> {
        let ours = dependencies.iter().filter(|found| found.from == from && found.dev == dev && is_ours(&found.to));
        ours.map(|found| found.to.clone()).collect()
    };
    let mut breaches = Vec::new();
    let mut listed = BTreeSet::new();
    for (index, line) in page.lines().enumerate() {
        let cells: Vec<&str> = line.split(" |").collect();
        let [head, _, always, tests, ""] = cells[..] else { continue };
        let Some(name) = head.strip_prefix("| `").and_then(|name| name.strip_suffix('`')).filter(|name| is_ours(name))
        else {
            continue;
        };
        listed.insert(name.to_owned());
        let always_real = real(name, false);
        let tests_real: BTreeSet<_> = real(name, true).difference(&always_real).cloned().collect();
        for (told, real, what) in [(names(always), always_real, "depends on"), (names(tests), tests_real, "tests use")]
        {
            if told != real {
                let real = real.into_iter().collect::<Vec<_>>().join(", ");
                let what = format!("`{name}`: its manifest says that it {what} [{real}]");
                breaches.push(Breach { path: MAP.to_owned(), line: index + 1, what });
            }
        }
    }
    let missing = crates.iter().filter(|name| !listed.contains(**name));
    breaches.extend(missing.map(|name| Breach::stale(MAP, format!("has no row for the crate `{name}`"))));
    breaches
}

#[test]
fn the_table_of_crates_is_what_the_manifests_say() {
    let root = super::root();
    let page = std::fs::read_to_string(root.join(MAP)).expect("the page is readable");
    let crates: Vec<&str> = ARROWS.iter().map(|(name, ..)| *name).collect();
    super::assert_none(MAP, &wrong_rows(&page, &dependencies(&root), &crates));
}

#[test]
fn a_wrong_row_and_a_missing_crate_are_found() {
    let dependency = |from: &str, to: &str, dev| Dependency {
        manifest: "Cargo.toml".into(),
        line: 1,
        from: from.into(),
        to: to.into(),
        dev,
    };
    let real = [
        dependency("orkestra-a", "orkestra-b", false),
        dependency("orkestra-a", "orkestra-b", true),
        dependency("orkestra-a", "orkestra-c", true),
        dependency("orkestra-a", "serde", false),
    ];
    let found = |page: &str| -> Vec<String> {
        wrong_rows(page, &real, &["orkestra-a"]).into_iter().map(|breach| breach.what).collect()
    };
    assert_eq!(found("| `orkestra-a` | x | `orkestra-b` | `orkestra-c` |"), [] as [String; 0]);
    assert_eq!(found("| crate | x |"), ["has no row for the crate `orkestra-a`"]);
    assert_eq!(
        found("| `orkestra-a` | x | | `orkestra-c` |"),
        ["`orkestra-a`: its manifest says that it depends on [orkestra-b]"]
    );
}

#[test]
fn a_wrong_arrow_is_found() {
    let cases = [
        ("orkestra-core", "orkestra-store", false, Some("orkestra-core may not depend on orkestra-store")),
        ("orkestra-core", "orkestra-testkit", false, Some("orkestra-core may not depend on orkestra-testkit")),
        ("orkestra-core", "orkestra-testkit", true, None),
        (
            "orkestra-tools",
            "orkestra-store",
            true,
            Some("orkestra-tools may not depend on orkestra-store, not even in tests"),
        ),
        ("orkestra-store", "orkestra-tools", false, Some("orkestra-store may not depend on orkestra-tools")),
        ("orkestra-agents", "orkestra-cli", false, Some("orkestra-agents may not depend on orkestra-cli")),
        ("orkestra-agents", "orkestra-tools", false, None),
        ("orkestra-new", "orkestra-core", false, Some("orkestra-new is not listed: add it to ARROWS")),
        ("orkestra-core", "serde", false, None),
    ];
    for (from, to, dev, expected) in cases {
        let dependency = Dependency { manifest: "Cargo.toml".into(), line: 7, from: from.into(), to: to.into(), dev };
        let found: Vec<String> = wrong_arrows(&[dependency]).into_iter().map(|breach| breach.what).collect();
        assert_eq!(found, expected.map(str::to_owned).into_iter().collect::<Vec<_>>(), "{from} -> {to}");
    }
}

#[test]
fn the_line_of_a_dependency_is_told() {
    let manifest = "[package]\nname = \"a\"\n[dependencies]\nb.workspace = true\n[dev-dependencies]\nb = { path = \"b\" }\nc = \"1\"\n[target.x.dependencies.d]\n";
    assert_eq!(
        [("b", false), ("b", true), ("c", true), ("d", false)].map(|(name, dev)| line_of(manifest, name, dev)),
        [4, 6, 7, 8]
    );
}
