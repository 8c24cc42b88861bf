//! A third-party crate is used in one file or folder only, so that it can be replaced there and is not part of our public API.

use super::Breach;
use super::paths::paths;
use super::source::Source;

/// A crate, and the beginnings of the paths of files that may use it.
pub(crate) const HOMES: &[(&str, &[&str])] = &[
    ("async_tungstenite", &["orkestra-tools/src/web/browser/chromium/bridge.rs"]),
    ("bollard", &["orkestra-tools/src/sandbox/docker"]),
    ("cap_std", &["orkestra-tools/src/workspace"]),
    ("chromiumoxide", &["orkestra-tools/src/web/browser/chromium"]),
    ("croner", &["orkestra-core/src/runtime/schedule/cron.rs"]),
    ("ego_tree", &["orkestra-tools/src/web/page"]),
    ("encoding_rs", &["orkestra-tools/src/web/fetch.rs"]),
    ("fjall", &["orkestra-store/src/fjall"]),
    ("genai", &["orkestra-agents/src/model/genai"]),
    ("globset", &["orkestra-tools/src/policy", "orkestra-tools/src/tools/grep/pattern.rs"]),
    ("granit_parser", &["orkestra-core/src/model/data/yaml.rs"]),
    ("grep_matcher", &["orkestra-tools/src/tools/grep/search.rs"]),
    ("grep_regex", &["orkestra-tools/src/tools/grep"]),
    ("grep_searcher", &["orkestra-tools/src/tools/grep/search.rs"]),
    ("html5ever", &["orkestra-tools/src/web/page"]),
    ("http_body_util", &["orkestra-tools/src/egress"]),
    ("hyper", &["orkestra-tools/src/egress"]),
    ("hyper_util", &["orkestra-tools/src/egress"]),
    ("jiff", &["orkestra-core/src/runtime/schedule/zone.rs"]),
    ("landlock", &["orkestra-tools/src/sandbox/local/confine.rs"]),
    ("metrics", &["orkestra-core/src/runtime/telemetry"]),
    ("opentelemetry", &["examples/telemetry.rs"]),
    ("opentelemetry_sdk", &["examples/telemetry.rs"]),
    ("petgraph", &["orkestra-core/src/model/graph.rs"]),
    ("regex_syntax", &["orkestra-tools/src/tools/grep/pattern.rs"]),
    ("rmcp", &["orkestra-tools/src/mcp"]),
    ("scraper", &["orkestra-tools/src/web"]),
    ("seccompiler", &["orkestra-tools/src/sandbox/local/syscalls.rs"]),
    ("sled", &["orkestra-store/src/sled", "benches/"]),
    ("sqlx", &["orkestra-store/src/postgres"]),
    ("tracing_opentelemetry", &["examples/telemetry.rs"]),
];

/// Uses of a crate outside of its files, and entries whose files do not use the crate.
pub(crate) fn strays(sources: &[Source], homes: &[(&str, &[&str])]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    let mut lived_in = Vec::new();
    for source in sources {
        for path in paths(source) {
            let Some((name, home)) = homes.iter().find(|(name, _)| *name == path.root) else { continue };
            if home.iter().any(|prefix| source.path.starts_with(prefix)) {
                lived_in.push(*name);
            } else if !source.is_test(path.position) {
                breaches.push(Breach::at(
                    source,
                    path.position,
                    format!("the crate {name} may be used in {} only", home.join(", ")),
                ));
            }
        }
    }
    for (name, home) in homes {
        if !lived_in.contains(name) {
            breaches.push(Breach::stale(home[0], format!("does not use the crate {name}: correct HOMES")));
        }
    }
    breaches
}

#[test]
fn a_stray_crate_and_a_stale_home_are_found() {
    let homes: &[(&str, &[&str])] = &[("bollard", &["tools/src/sandbox/docker"])];
    let home = || Source::new("tools/src/sandbox/docker/exec.rs", "use bollard::Docker;");
    let shown = |sources: &[Source]| -> Vec<String> {
        strays(sources, homes).iter().map(|breach| format!("{}:{}", breach.path, breach.line)).collect()
    };
    assert_eq!(shown(&[home()]), [] as [String; 0]);
    let stray = Source::new("tools/src/lib.rs", "\npub fn f(x: bollard::Docker) {}");
    assert_eq!(shown(&[home(), stray]), ["tools/src/lib.rs:2"]);
    let test = Source::new("tools/tests/it/docker.rs", "use bollard::Docker;");
    assert_eq!(shown(&[home(), test]), [] as [String; 0]);
    let own = Source::new("tools/src/lib.rs", "pub use crate::bollard::X; // bollard::Docker");
    assert_eq!(shown(&[own]), ["tools/src/sandbox/docker:1"], "no file uses the crate");
}
