//! `aios store`: export, import and check, with runs of the pipeline.

use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use orkestra_core::store::Store;
use orkestra_store::SledStore;
use orkestra_testkit::postgres::Server;
use orkestra_testkit::sample::SampleRun;
use serde_json::Value;

use super::support::{Done, LOCAL_DEMO, Place, assert_no_call_twice, done, json_lines, run_id};

/// A directory with a run that has ended and one that was interrupted; returns the id of the latter.
fn with_runs() -> (Place, String) {
    let place = Place::new();
    place.good(&[&["run", "Build a shop", "--tasks", "planner"], &LOCAL_DEMO[..]].concat());
    let mut live = place.live_run(&["--tasks", "planner,backend"]);
    live.until_event("node_completed", "planner");
    let id = run_id(&live.events);
    live.kill();
    (place, id)
}

fn object(done: &Done) -> Value {
    let [object] = &json_lines(&done.out)[..] else { panic!("one object: {done:?}") };
    object.clone()
}

#[test]
fn exported_runs_can_be_resumed_in_another_store() {
    let (place, id) = with_runs();
    let summary = object(&place.good(&["store", "export", "all.jsonl", "--json"]));
    assert_eq!((&summary["runs"], &summary["skipped"]), (&2.into(), &0.into()), "{summary}");
    let lines = fs::read(place.path().join("all.jsonl")).expect("it is there");
    assert_eq!(json_lines(&String::from_utf8_lossy(&lines))[0]["format"], "orkestra-export");
    assert!(!place.path().join("all.jsonl.unfinished").exists());

    // Through the other backend and a pipe, back into an empty directory.
    let moved = place.good(&["store", "import", "all.jsonl", "--store", "fjall:other"]);
    assert!(moved.out.starts_with("imported 2 runs, ") && moved.out.contains("into fjall at other"), "{moved:?}");
    let piped = place.good(&["store", "export", "-", "--store", "other"]);
    assert_eq!(piped.out.as_bytes(), lines, "the lines are the same, byte for byte");
    assert!(piped.err.starts_with("exported 2 runs"), "{piped:?}");
    fs::rename(place.path().join(".orkestra/store"), place.path().join("before")).expect("it moves");
    let mut import = place.aios(&["store", "import", "-", "--json"]);
    let file = fs::File::open(place.path().join("all.jsonl")).expect("it is there");
    let summary = object(&done(import.stdin(Stdio::from(file))));
    assert_eq!((&summary["runs"], &summary["already"]), (&2.into(), &0.into()), "{summary}");

    assert_eq!(place.good(&["ls"]).out.lines().count(), 2);
    let resumed = place.good(&["resume", &id]);
    assert!(resumed.err.contains("1 of 2 nodes are done"), "{resumed:?}");
    assert_no_call_twice(&place.calls());
}

#[test]
fn an_import_does_not_change_existing_runs() {
    let (place, _) = with_runs();
    place.good(&["store", "export", "all.jsonl"]);
    let refused = place.done(&["store", "import", "all.jsonl"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    let expected = "aios: cannot import into sled at .orkestra/store: it is not empty; use --merge to add what is missing and \
                    leave existing runs as they are\n";
    assert_eq!(refused.err, expected);
    let merged = place.good(&["store", "import", "all.jsonl", "--merge"]);
    assert!(merged.out.contains("; 2 runs were already there"), "{merged:?}");
    place.good(&["resume"]);
    let refused = place.done(&["store", "import", "all.jsonl", "--merge"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.err.contains("has continued in the store"), "{refused:?}");
}

#[test]
fn damaged_exports_and_missing_stores_are_refused() {
    let (place, _) = with_runs();
    place.good(&["store", "export", "all.jsonl"]);
    let whole = fs::read_to_string(place.path().join("all.jsonl")).expect("it is there");
    fs::write(place.path().join("cut.jsonl"), &whole[..whole.len() - 9]).expect("it writes");
    fs::write(place.path().join("newer.jsonl"), whole.replacen("\"version\":1", "\"version\":9", 1))
        .expect("it writes");
    for (arguments, code, why) in [
        (&["store", "import", "cut.jsonl", "--store", "new"][..], 1, "the export is incomplete"),
        (&["store", "import", "newer.jsonl", "--store", "new"], 1, "the export has format 9"),
        (&["store", "import", "none.jsonl", "--store", "new"], 2, "cannot read none.jsonl"),
        (&["store", "check", "--store", "nowhere"], 2, "there is no store at nowhere"),
        (&["store", "export", "x", "--store", "nowhere"], 2, "there is no store at nowhere"),
        (&["store", "export", "x", "--store", "fjall:.orkestra/store"], 2, "it holds a store of sled"),
        (&["store", "check", "--store", "."], 2, "there is no store at ."),
        (&["store", "export", "missing/x"], 1, "cannot write missing/x"),
        (&["store"], 2, "Usage"),
    ] {
        let refused = place.done(arguments);
        assert_eq!(refused.code, code, "{arguments:?}: {refused:?}");
        assert!(refused.err.contains(why) && refused.out.is_empty(), "{arguments:?}: {refused:?}");
    }
    assert!(!place.path().join("nowhere").exists() && !place.path().join("x").exists(), "nothing was made");
    let new = place.good(&["store", "check", "--store", "new"]);
    assert!(new.out.contains("whole      0 runs"), "nothing was written: {new:?}");
}

#[test]
fn a_check_reports_what_is_intact() {
    let (place, _) = with_runs();
    let checked = place.good(&["store", "check"]);
    assert!(checked.out.contains("store      sled at .orkestra/store\nwhole      2 runs, "), "{checked:?}");
    assert!(checked.out.contains("note       the last process that used the store did not close it"), "{checked:?}");
    let object = object(&place.good(&["store", "check", "--json"]));
    assert_eq!((&object["ok"], &object["whole"]["runs"]), (&true.into(), &2.into()), "{object}");
    assert_eq!(object["damage"].as_array().map(Vec::len), Some(0), "{object}");
}

#[test]
fn a_check_reports_damage_and_saves_the_rest() {
    let place = Place::new();
    damage(&place.path().join("store"));
    let checked = place.done(&["store", "check", "--store", "store"]);
    assert_eq!(checked.code, 1, "{checked:?}");
    for part in [
        "whole      1 runs, 2 commits",
        "damaged    cannot read the commit at 3 of run `broken`",
        "its first 1 commits can be read",
        "--save FILE",
    ] {
        assert!(checked.out.contains(part), "{part}: {checked:?}");
    }
    let refused = place.done(&["store", "export", "all.jsonl", "--store", "store"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(
        refused.err.contains("cannot export run `broken`: its journal is damaged")
            && refused.err.contains("check --save"),
        "{refused:?}"
    );
    assert!(!place.path().join("all.jsonl").exists() && !place.path().join("all.jsonl.unfinished").exists());

    let saved = place.done(&["store", "check", "--store", "store", "--save", "saved.jsonl", "--json"]);
    assert_eq!(saved.code, 1, "{saved:?}");
    let object = object(&saved);
    assert_eq!(
        (&object["ok"], &object["saved"]["runs"], &object["saved"]["skipped"]),
        (&false.into(), &1.into(), &1.into())
    );
    assert_eq!(
        (&object["damage"][0]["run_id"], &object["damage"][0]["readable_commits"]),
        (&"broken".into(), &1.into())
    );
    let imported = place.good(&["store", "import", "saved.jsonl", "--store", "new"]);
    assert!(imported.err.contains("1 runs were skipped when this was exported"), "{imported:?}");
    place.good(&["store", "check", "--store", "new"]);
}

#[test]
fn runs_can_be_moved_to_postgres_and_back() {
    let server = match Server::start() {
        Ok(server) => server,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            assert!(std::env::var("CI").as_deref() != Ok("true"), "this is CI, and {error}");
            eprintln!("\n=== SKIPPED: {error}; this test checked nothing ===\n");
            return;
        }
        Err(error) => panic!("cannot start a temporary Postgres server: {error}"),
    };
    let (place, url) = (with_runs().0, server.url());
    place.good(&["store", "export", "all.jsonl"]);
    let moved = place.good(&["store", "import", "all.jsonl", "--store", &url]);
    assert!(
        moved.out.starts_with("imported 2 runs, ") && moved.out.contains("into postgres at 127.0.0.1"),
        "{moved:?}"
    );
    let lines = fs::read_to_string(place.path().join("all.jsonl")).expect("it is there");
    assert_eq!(place.good(&["store", "export", "-", "--store", &url]).out, lines, "the same, byte for byte");
    let checked = place.good(&["store", "check", "--store", &url]);
    assert!(checked.out.contains("whole      2 runs, "), "{checked:?}");
}

/// Creates a store with an intact run and one whose second commit is garbage.
fn damage(path: &Path) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let store = SledStore::open(path).expect("it opens");
    let (mut whole, mut broken) = (SampleRun::new("whole"), SampleRun::new("broken"));
    let mut appends = vec![whole.create(), whole.complete(), broken.create(), broken.report(1)];
    appends[3].commit.body = Arc::from(&b"garbage"[..]);
    let answers = runtime.block_on(store.append(appends));
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

#[test]
fn store_commands_refuse_a_store_that_is_in_use() {
    let place = Place::new();
    let mut live = place.live(
        place
            .aios(&[&["run", "Build a wiki", "--json"], &LOCAL_DEMO[..]].concat())
            .env("ORKESTRA_DEMO_DELAY_MS", "600000"),
    );
    live.until_event("node_started", "planner");
    for arguments in [&["store", "check"][..], &["store", "export", "x"], &["store", "import", "/dev/null"]] {
        let refused = place.done(arguments);
        assert_eq!(refused.code, 1, "{arguments:?}: {refused:?}");
        let expected = format!(
            "aios: cannot open the store in .orkestra/store: it is open in process {} (`aios`); stop it or use another directory\n",
            live.process()
        );
        assert_eq!(refused.err, expected, "the advice is given once");
    }
    live.signal("INT");
    assert_eq!(live.finish().0, 130);
}
