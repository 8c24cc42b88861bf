//! `aios store import`: reads an export into a store.

use std::fs::File;
use std::io::{self, Seek};

use orkestra_store::transfer::{self, ImportOptions};

use super::{as_json, failed, in_words};
use crate::args::ImportArguments;
use crate::commands::print;
use crate::exit::{Exit, Failure};
use crate::stores;

pub(super) async fn perform(arguments: &ImportArguments) -> Result<Exit, Failure> {
    let ImportArguments { file, store, merge, json } = arguments;
    let unreadable = |error: &io::Error| Failure::usage(format!("cannot read {}: {error}", file.display()));
    let mut input = if file.as_os_str() == "-" { stdin() } else { File::open(file) };
    let input = input.as_mut().map_err(|error| unreadable(error))?;
    let opened = stores::open(&store.place, true).await?;
    let options = ImportOptions::default().with_merge(*merge);
    let done = transfer::import(&*opened.store, input, options).await.map_err(|error| failed(&error))?;
    if done.counts.skipped > 0 {
        eprintln!("note: {} runs were skipped when this was exported", done.counts.skipped);
    }
    if *json {
        let mut summary = as_json(done.counts);
        summary["already"] = done.already.into();
        return print(&format!("{summary}\n"));
    }
    let already = if done.already > 0 { format!("; {} runs were already there", done.already) } else { String::new() };
    print(&format!("imported {} into {}{already}\n", in_words(done.counts), opened.store.describe()))
}

/// Copies stdin to an unnamed temporary file, because an import reads its input twice: to check it, then to write.
fn stdin() -> io::Result<File> {
    let mut file = tempfile::tempfile()?;
    io::copy(&mut io::stdin().lock(), &mut file)?;
    file.rewind()?;
    Ok(file)
}
