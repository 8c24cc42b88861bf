//! The layers of `orkestra-core`: a layer imports only from the layers before it, and only the runtime uses an executor.
//! Tests beside the code may import anything.

use super::Breach;
use super::paths::{PathStart, paths};
use super::source::Source;

const CORE: &str = "orkestra-core/src/";

/// Crates that a pure layer may use: those that describe data.
const PURE: &[&str] = &["serde", "serde_json", "sha2", "thiserror"];

struct Layer {
    name: &'static str,
    /// The other layers that it may import.
    imports: &'static [&'static str],
    /// The dependencies of `orkestra-core` that it may use; `None` for all of them.
    crates: Option<&'static [&'static str]>,
}

const LAYERS: &[Layer] = &[
    Layer { name: "model", imports: &[], crates: Some(PURE) },
    Layer { name: "kernel", imports: &["model"], crates: Some(PURE) },
    Layer { name: "journal", imports: &["model", "kernel"], crates: Some(PURE) },
    Layer {
        name: "store",
        imports: &["model", "kernel", "journal"],
        crates: Some(&["async_trait", "serde", "serde_json", "sha2", "thiserror"]),
    },
    Layer { name: "projection", imports: &["model", "kernel", "journal"], crates: Some(PURE) },
    Layer { name: "runtime", imports: &["model", "kernel", "journal", "store", "projection"], crates: None },
];

/// Files of a pure layer that may use one crate more, which no other file of the layer may use.
const EXCEPTED: &[(&str, &str)] =
    &[("orkestra-core/src/model/graph.rs", "petgraph"), ("orkestra-core/src/model/data/yaml.rs", "granit_parser")];

/// `dependencies` are the crates that `orkestra-core` depends on, as code spells them.
pub(crate) fn imports(sources: &[Source], dependencies: &[String]) -> Vec<Breach> {
    let mut breaches = Vec::new();
    for source in sources {
        let Some(inside) = source.path.strip_prefix(CORE) else { continue };
        let parts: Vec<&str> = inside.trim_end_matches(".rs").split('/').filter(|part| *part != "mod").collect();
        // `model.rs` beside `model/` belongs to the layer too.
        let Some(layer) = LAYERS.iter().find(|layer| layer.name == parts[0]) else {
            if !matches!(inside, "lib.rs" | "prelude.rs") {
                breaches.push(Breach::new(source, 1, "is in no layer of orkestra-core".to_owned()));
            }
            continue;
        };
        for path in paths(source).iter().filter(|path| !source.is_test(path.position)) {
            if let Some(what) = breach(layer, path, parts.len(), &source.path, dependencies) {
                breaches.push(Breach::at(source, path.position, what));
            }
        }
    }
    breaches
}

/// What is wrong with a path in a file whose module lies `depth` levels below the crate.
fn breach(layer: &Layer, path: &PathStart, depth: usize, file: &str, dependencies: &[String]) -> Option<String> {
    let to_the_top = path.root == "crate" || (path.root == "super" && path.supers >= depth);
    if to_the_top {
        if path.next == layer.name || layer.imports.contains(&path.next.as_str()) {
            return None;
        }
        let known = LAYERS.iter().any(|other| other.name == path.next);
        return Some(match known {
            true => format!("{}/ may not import {}/", layer.name, path.next),
            false => format!("{}/ names `crate::{}`, which is not a layer: name the layer", layer.name, path.next),
        });
    }
    let crates = layer.crates?;
    let outside = dependencies.contains(&path.root) && !crates.contains(&path.root.as_str());
    let excepted = EXCEPTED.contains(&(file, &path.root));
    (outside && !excepted).then(|| format!("{}/ may not use the crate {}", layer.name, path.root))
}

#[cfg(test)]
fn found(path: &str, text: &str) -> Vec<String> {
    let dependencies: Vec<String> = ["async_trait", "petgraph", "serde", "tokio", "tracing"].map(str::to_owned).into();
    imports(&[Source::new(path, text)], &dependencies)
        .into_iter()
        .map(|breach| format!("{}: {}", breach.line, breach.what))
        .collect()
}

#[test]
fn a_wrong_import_of_a_layer_is_found() {
    let bad = [
        (
            "orkestra-core/src/model/plan.rs",
            "use std::fmt;\nuse crate::kernel::Event;",
            "2: model/ may not import kernel/",
        ),
        (
            "orkestra-core/src/kernel/apply.rs",
            "use crate::{model::Id, store::Store};",
            "1: kernel/ may not import store/",
        ),
        (
            "orkestra-core/src/kernel/decide/cancel.rs",
            "fn f() {\n    super::super::super::runtime::now();\n}",
            "2: kernel/ may not import runtime/",
        ),
        (
            "orkestra-core/src/kernel/decide/mod.rs",
            "use super::super::journal::Commit;",
            "1: kernel/ may not import journal/",
        ),
        ("orkestra-core/src/projection/mod.rs", "use crate::store::Store;", "1: projection/ may not import store/"),
        (
            "orkestra-core/src/store/mod.rs",
            "use crate::Engine;",
            "1: store/ names `crate::Engine`, which is not a layer: name the layer",
        ),
        (
            "orkestra-core/src/journal/codec.rs",
            "use crate::prelude::*;",
            "1: journal/ names `crate::prelude`, which is not a layer: name the layer",
        ),
        ("orkestra-core/src/extra.rs", "//! x", "1: is in no layer of orkestra-core"),
    ];
    for (path, text, expected) in bad {
        assert_eq!(found(path, text), [expected], "in {path}");
    }
    let good = [
        ("orkestra-core/src/model/plan.rs", "use crate::model::Id; use super::graph::Graph;"),
        ("orkestra-core/src/kernel/decide/cancel.rs", "use super::super::state::State; use crate::model::Id;"),
        ("orkestra-core/src/runtime/engine.rs", "use crate::{kernel, projection, store::Store}; use tokio::task;"),
        ("orkestra-core/src/kernel/apply.rs", "#[cfg(test)]\nmod tests { use crate::journal::Commit; }"),
        ("orkestra-core/src/lib.rs", "pub use crate::runtime::Engine;"),
        ("orkestra-store/src/sled.rs", "use crate::anything::X;"),
    ];
    for (path, text) in good {
        assert_eq!(found(path, text), [] as [String; 0], "in {path}");
    }
}

#[test]
fn a_wrong_crate_in_a_layer_is_found() {
    let bad = [
        ("orkestra-core/src/kernel/decide.rs", "use tokio::sync::Mutex;", "1: kernel/ may not use the crate tokio"),
        ("orkestra-core/src/store/memory.rs", "fn f() { tokio::spawn(g()); }", "1: store/ may not use the crate tokio"),
        (
            "orkestra-core/src/journal/codec.rs",
            "fn f() { ::tracing::debug!(x); }",
            "1: journal/ may not use the crate tracing",
        ),
        ("orkestra-core/src/model/plan.rs", "use petgraph::Graph;", "1: model/ may not use the crate petgraph"),
        (
            "orkestra-core/src/kernel/apply.rs",
            "#[async_trait::async_trait] trait T {}",
            "1: kernel/ may not use the crate async_trait",
        ),
    ];
    for (path, text, expected) in bad {
        assert_eq!(found(path, text), [expected], "in {path}");
    }
    let good = [
        ("orkestra-core/src/model/graph.rs", "use petgraph::Graph; use serde::Serialize;"),
        ("orkestra-core/src/store/mod.rs", "use async_trait::async_trait;"),
        ("orkestra-core/src/runtime/executor.rs", "use tokio::task; use tracing::debug;"),
        ("orkestra-core/src/kernel/decide.rs", "// use tokio::sync::Mutex;\nuse std::fmt;"),
    ];
    for (path, text) in good {
        assert_eq!(found(path, text), [] as [String; 0], "in {path}");
    }
}
