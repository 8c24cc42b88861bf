//! `aios store export`: writes a store as lines of JSON. The file appears only once it is complete.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use orkestra_core::model::{RunId, WorkerId};
use orkestra_core::store::Store;
use orkestra_store::transfer::{self, ExportOptions, Exported};

use super::{as_json, failed, in_words};
use crate::args::ExportArguments;
use crate::commands::print;
use crate::exit::{Exit, Failure};
use crate::stores;

pub(super) async fn perform(arguments: &ExportArguments) -> Result<Exit, Failure> {
    let ExportArguments { file, store, skip_busy, json } = arguments;
    let opened = stores::open(&store.place, false).await?;
    let options = options().with_skip_busy(*skip_busy);
    let to_stdout = file.as_os_str() == "-";
    let done = if to_stdout {
        let mut out = BufWriter::new(io::stdout());
        transfer::export(&*opened.store, &mut out, &options).await.map_err(|error| failed(&error))?
    } else {
        to_file(&*opened.store, file, &options).await?
    };
    for run in &done.busy {
        eprintln!("note: run {run} was skipped: another process works on it");
    }
    let text = if *json {
        let mut summary = as_json(done.counts);
        summary["busy"] = done.busy.iter().map(RunId::as_str).collect();
        format!("{summary}\n")
    } else {
        format!("exported {} from {}\n", in_words(done.counts), opened.store.describe())
    };
    if to_stdout {
        eprint!("{text}");
        return Ok(Exit::Done);
    }
    print(&text)
}

/// Export as a worker named after this process, so that the name is unique while it runs.
pub(super) fn options() -> ExportOptions {
    let name = format!("aios-export-{}", std::process::id());
    ExportOptions::new(WorkerId::new(name).expect("a few letters and a number are a worker's name"))
}

/// Exports to a temporary file beside `file` and renames it once it is synced. A crash leaves the temporary file behind and
/// `file` as it was.
pub(super) async fn to_file(store: &dyn Store, file: &Path, options: &ExportOptions) -> Result<Exported, Failure> {
    let unwritable = |error: &io::Error| Failure::failed(format!("cannot write {}: {error}", file.display()));
    let temporary = temporary(file)
        .ok_or_else(|| Failure::usage(format!("cannot export to {}: not a file name", file.display())))?;
    let out = File::create(&temporary).map_err(|error| unwritable(&error))?;
    let mut out = BufWriter::new(out);
    let done = match transfer::export(store, &mut out, options).await {
        Ok(done) => done,
        Err(error) => {
            drop(fs::remove_file(&temporary));
            return Err(failed(&error));
        }
    };
    let placed = out.flush().and_then(|()| out.get_ref().sync_all()).and_then(|()| fs::rename(&temporary, file));
    placed.map_err(|error| unwritable(&error))?;
    Ok(done)
}

/// The temporary file for `file`.
fn temporary(file: &Path) -> Option<PathBuf> {
    let mut name = file.file_name()?.to_owned();
    name.push(".unfinished");
    Some(file.with_file_name(name))
}
