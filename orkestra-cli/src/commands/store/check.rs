//! `aios store check`: reports what is intact in a store, what is damaged, and what can be saved.

use std::fmt::Write;

use orkestra_store::transfer::{Damage, Exported, Survey, survey};
use serde_json::{Value, json};

use super::{as_json, export, in_words};
use crate::args::CheckArguments;
use crate::commands::print;
use crate::exit::{Exit, Failure};
use crate::stores::{self, Opened, refused};

pub(super) async fn perform(arguments: &CheckArguments) -> Result<Exit, Failure> {
    let CheckArguments { store, save, json } = arguments;
    let opened = stores::open(&store.place, false).await?;
    let mut found = survey(&*opened.store).await.map_err(|error| refused(&error))?;
    if found.damage.is_empty()
        && let Some(what) = opened.damage().await.map_err(|error| refused(&error))?
    {
        found.damage.push(Damage::of_store(what));
    }
    let saved = match save {
        None => None,
        Some(file) => {
            let options = export::options().with_salvage(true).with_skip_busy(true);
            Some(export::to_file(&*opened.store, file, &options).await?)
        }
    };
    print(&if *json { as_object(&opened, &found, saved.as_ref()) } else { as_text(&opened, &found, saved.as_ref()) })?;
    Ok(if found.damage.is_empty() { Exit::Done } else { Exit::Failed })
}

fn as_text(opened: &Opened, found: &Survey, saved: Option<&Exported>) -> String {
    let mut text = format!("store      {}\nwhole      {}\n", opened.store.describe(), in_words(found.whole));
    for note in &opened.notes {
        let _ = writeln!(text, "note       {note}");
    }
    for damage in &found.damage {
        let readable = match (&damage.run, damage.saved) {
            (None, _) => String::new(),
            (Some(_), true) => " (its journal is intact)".into(),
            (Some(_), false) => format!(" (its first {} commits can be read)", damage.commits),
        };
        let _ = writeln!(text, "damaged    {}{readable}", damage.what);
    }
    if let Some(saved) = saved {
        let _ = writeln!(text, "saved      {}", in_words(saved.counts));
        for run in &saved.busy {
            let _ = writeln!(text, "note       run {run} was skipped: another process works on it");
        }
    } else if !found.damage.is_empty() {
        text.push_str("`aios store check --save FILE` exports every run whose journal can be replayed.\n");
    }
    text
}

fn as_object(opened: &Opened, found: &Survey, saved: Option<&Exported>) -> String {
    let damage = |damage: &Damage| -> Value {
        json!({
            "run_id": damage.run, "what": damage.what, "readable_commits": damage.commits,
            "journal_whole": damage.saved,
        })
    };
    let object = json!({
        "store": opened.store.describe(), "ok": found.damage.is_empty(), "notes": opened.notes,
        "whole": as_json(found.whole), "damage": found.damage.iter().map(damage).collect::<Value>(),
        "saved": saved.map(|saved| as_json(saved.counts)),
    });
    format!("{object}\n")
}
