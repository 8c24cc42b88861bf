//! `aios resume`: resumes runs that an earlier process left unfinished.

use orkestra_agents::model::ModelChoice;
use orkestra_agents::{Job, SandboxChoice, SandboxKind};
use orkestra_core::model::RunId;
use orkestra_core::prelude::{Cursor, NodeStatus, RunStatus, RunView};

use super::session::{Session, Setup, summary_to};
use super::{place_of, print};
use crate::args::{Hidden, ResumeArguments};
use crate::exit::{Exit, Failure};
use crate::host::need_python;
use crate::place::Place;
use crate::reader::Reader;
use crate::screen::{self, Screen};
use crate::watch::{Watched, budget_used_up};

pub(super) async fn perform(arguments: ResumeArguments) -> Result<Exit, Failure> {
    let ResumeArguments { runs, show, hidden } = arguments;
    let place = match runs.first() {
        Some(first) => place_of(first).await?,
        None => match Place::open_existing().await? {
            Some(place) => place,
            None => return print_note("nothing to resume: this directory has no .orkestra", show.json),
        },
    };
    let views = wanted(&place, &runs).await?;
    if views.is_empty() {
        let all = "nothing to resume: all runs of this directory have ended";
        let named = "nothing to resume: the given runs have ended";
        return print_note(if runs.is_empty() { all } else { named }, show.json);
    }
    views.iter().for_each(print_progress);
    let views = views.into_iter().map(|view| (Cursor(view.last.0), view)).collect::<Vec<_>>();
    let mut screen = screen::open(show.json, views.len());
    resume(&place, views, &mut *screen, show.json, &hidden, Paused::Resume).await
}

/// What to do with a paused run.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Paused {
    /// Resume it.
    Resume,
    /// Leave it paused: the user only wants to watch.
    Stay,
}

/// Continues these runs and no others, and shows each from its cursor on.
pub(super) async fn resume(
    place: &Place,
    views: Vec<(Cursor, RunView)>,
    screen: &mut dyn Screen,
    json: bool,
    hidden: &Hidden,
    paused: Paused,
) -> Result<Exit, Failure> {
    let mut are_local = true;
    for (_, view) in &views {
        let job: Result<Job, _> = view.input.to();
        let is_local = job.is_ok_and(|job| job.sandbox.kind == SandboxKind::Local);
        if is_local {
            need_python("")?;
        }
        are_local &= is_local;
    }
    let choice = if are_local { SandboxChoice::Local } else { SandboxChoice::default() };
    let ids: Vec<RunId> = views.iter().map(|(_, view)| view.id.clone()).collect();
    let store = place.leaving_all_but(&ids);
    // NOTE: each run's journal holds its model and sandbox; these choices apply to new runs, of which there are none, and to
    // MCP servers.
    let setup = Setup { model: ModelChoice::automatic(), sandbox: choice, runtime: None, accepts_open_sockets: false };
    let session = Session::start(place, store, setup, hidden).await?;
    let mut runs = Vec::new();
    for (from, view) in views {
        if let Some(run) = session.orkestra.engine().get(&view.id).await? {
            if view.status == RunStatus::Paused
                && paused == Paused::Resume
                && let Err(error) = run.resume().await
            {
                session.shut_down().await;
                let exit = if budget_used_up(&view).is_some() { Exit::Budget } else { Exit::Failed };
                return Err(Failure::new(exit, error.to_string()));
            }
            session.warn(&run).await;
            runs.push((Watched { run, from }, view));
        }
    }
    session.show(place, runs, screen, &mut summary_to(json)).await
}

/// The named runs that are unfinished; all unfinished runs when `names` is empty.
async fn wanted(place: &Place, names: &[String]) -> Result<Vec<RunView>, Failure> {
    let reader = Reader::start(place).await?;
    let mut views = Vec::new();
    for name in names {
        let view = reader.find(name).await?.view().await?;
        if view.status.is_final() {
            eprintln!("note: run {} has already ended: {}", view.id, view.status.name());
        } else if views.iter().all(|known: &RunView| known.id != view.id) {
            views.push(view);
        }
    }
    if names.is_empty() {
        for record in &place.unfinished {
            views.push(reader.find(&record.id).await?.view().await?);
        }
    }
    reader.engine.shutdown().await;
    Ok(views)
}

fn print_progress(view: &RunView) {
    let done = view.nodes.iter().filter(|node| node.status == NodeStatus::Completed).count();
    eprintln!("resuming run {}: {done} of {} nodes are done", view.id, view.nodes.len());
}

fn print_note(text: &str, json: bool) -> Result<Exit, Failure> {
    if json {
        eprintln!("{text}");
        return Ok(Exit::Done);
    }
    print(&format!("{text}\n"))
}
