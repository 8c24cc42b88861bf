//! `aios run`: starts a run and shows it until it ends.

use orkestra_agents::model::ModelChoice;
use orkestra_agents::{Job, PipelineRequest, pipeline};
use orkestra_core::prelude::{Cursor, Run};
use orkestra_tools::egress::AllowedHost;

use super::session::{Session, Setup, summary_to};
use crate::args::{NetworkName, RunArguments, Sandbox};
use crate::exit::{Exit, Failure};
use crate::host::Ground;
use crate::place::Place;
use crate::screen;
use crate::watch::Watched;

pub(super) async fn perform(arguments: RunArguments) -> Result<Exit, Failure> {
    check(&arguments)?;
    let (sandbox, runtime) = Sandbox::choice(arguments.sandbox.clone());
    let ground = Ground::look(sandbox).await?;
    let place = Place::open().await?;
    let accepts_open_sockets = arguments.accept_open_sockets;
    let RunArguments { objective, project, tasks, model, base_url, network, allowed_hosts, show, hidden, .. } =
        arguments;
    let choice = model.as_ref().map_or_else(ModelChoice::automatic, ModelChoice::named);
    let choice = base_url.into_iter().fold(choice, ModelChoice::with_base_url);

    let setup = Setup { model: choice, sandbox, runtime, accepts_open_sockets };
    let session = Session::start(&place, place.leaving_all_but(&[]), setup, &hidden).await?;
    let network = network.map(Into::into);
    let request = PipelineRequest {
        objective,
        project_id: project,
        tasks,
        model,
        network,
        allowed_hosts,
        ..PipelineRequest::default()
    };
    let run = match session.orkestra.create(request).await {
        Ok(run) => run,
        Err(error) => {
            session.shut_down().await;
            return Err(error.into());
        }
    };
    session.warn(&run).await;
    print_unfinished(&place);
    print_banners(&run, &ground).await?;
    let view = run.view().await?;
    let mut screen = screen::open(show.json, 1);
    let watched = Watched { run, from: Cursor::START };
    session.show(&place, vec![(watched, view)], &mut *screen, &mut summary_to(show.json)).await
}

/// Checks the arguments before anything is opened or created.
fn check(arguments: &RunArguments) -> Result<(), Failure> {
    if arguments.objective.trim().is_empty() {
        return Err(Failure::usage("the objective is empty; say what to build, as in aios run \"Build a REST API\""));
    }
    if arguments.budget.is_some() {
        return Err(Failure::usage(
            "--budget is not supported yet, because no prices of models are known; run without it, and see the tokens of each call \
             in its usage event",
        ));
    }
    check_network(arguments)?;
    pipeline::select(&arguments.tasks)?;
    Ok(())
}

fn check_network(arguments: &RunArguments) -> Result<(), Failure> {
    let is_local = arguments.sandbox == Some(Sandbox::Local);
    if is_local && arguments.network == Some(NetworkName::Registries) {
        return Err(Failure::usage(
            "--network registries is not possible with --sandbox local, which cannot keep commands from other hosts; use \
             --sandbox docker, or --network open or none",
        ));
    }
    for host in &arguments.allowed_hosts {
        AllowedHost::new(host).map_err(|error| Failure::usage(format!("--allow-host: {error}")))?;
    }
    let has_list = !is_local && matches!(arguments.network, None | Some(NetworkName::Registries));
    if !arguments.allowed_hosts.is_empty() && !has_list {
        return Err(Failure::usage(
            "--allow-host needs --sandbox docker and --network registries: another network has no list of hosts",
        ));
    }
    Ok(())
}

fn print_unfinished(place: &Place) {
    match place.unfinished.as_slice() {
        [] => {}
        [one] => eprintln!("note: run {} is unfinished and is not touched; resume it with `aios resume`", one.id),
        more => eprintln!("note: {} unfinished runs are not touched; resume them with `aios resume`", more.len()),
    }
}

/// Prints the model and the sandbox on stderr, before the first event is shown.
async fn print_banners(run: &Run, ground: &Ground) -> Result<(), Failure> {
    let view = run.view().await?;
    let job: Job = run.value(&view.input).await?;
    if job.model.is_demo() {
        // The first notice among the events says more.
        eprintln!("model: demo, a script that builds a small project: no AI");
    } else {
        let at = job.model.base_url.as_ref().map(|url| format!(" at {url}")).unwrap_or_default();
        eprintln!("model: {}{at}", job.model.name);
    }
    eprintln!("{}", ground.banner(&job.sandbox));
    eprintln!("run: {} (Ctrl-C detaches, `aios resume` continues it)", run.id());
    Ok(())
}
