//! Live events: of one run, or of all runs of an organisation merged.
//!
//! ```text
//! engine.feed() --"run r has news"--> is it ours, is it new? --> run.events(cursor), one reader per live run
//!                                                                    \--> merged --> Live
//! ```
//! Every event is read from the store by cursor, so a slow client misses nothing and delays no other client. When the feed
//! reports missed items, all runs are checked again.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream, SelectAll};
use orkestra::prelude::{Cursor, Feed, Pulse, Run, RunEvent, RunId, RunQuery, RunRecord, RunStatus};
use orkestra::store::Page;

use super::App;
use super::error::ApiError;
use super::organisation::{ORGANISATION_LABEL, OrganisationId};

/// How many runs one watcher tracks. After that its stream ends, and its client must connect again.
const RUNS_MAX: usize = 10_000;

/// More than the length of any run. Larger values of clients are cut to this, so that counting from there does not overflow.
const SINCE_MAX: u64 = u64::MAX / 2;

/// Events as they become durable. Dropping it ends its readers. Dropping the future of its next event loses no event.
pub(crate) type Live = BoxStream<'static, Result<RunEvent, ApiError>>;

/// The events of one run after the position `since`, to its end.
pub(crate) fn of_run(run: &Run, since: u64) -> Live {
    let since = Cursor(since.min(SINCE_MAX));
    let next = async |mut events: orkestra::Events| Ok(events.next().await?.map(|event| (event, events)));
    stream::try_unfold(run.events(since), next).boxed()
}

/// The events of an organisation: all events of each live run, and of each future run.
pub(crate) async fn of_organisation(app: Arc<App>, organisation: OrganisationId) -> Result<Live, ApiError> {
    // IMPORTANT: subscribe to the feed first, so that runs created after the lists below are read are not missed.
    let feed = app.orkestra.engine().feed();
    let mut watch = Watch { app, organisation, feed, readers: SelectAll::new(), places: HashMap::new() };
    watch.begin().await?;
    let next = async |mut watch: Watch| Ok(watch.next().await?.map(|event| (event, watch)));
    Ok(stream::try_unfold(watch, next).boxed())
}

struct Watch {
    app: Arc<App>,
    organisation: OrganisationId,
    feed: Feed,
    readers: SelectAll<BoxStream<'static, (RunId, Result<RunEvent, ApiError>)>>,
    places: HashMap<RunId, Place>,
}

/// How far a run was read.
#[derive(Default)]
struct Place {
    cursor: Cursor,
    /// Whether a reader follows the run, or it has ended.
    settled: bool,
}

impl Watch {
    async fn next(&mut self) -> Result<Option<RunEvent>, ApiError> {
        while self.places.len() <= RUNS_MAX {
            tokio::select! {
                Some((run, read)) = self.readers.next() => {
                    let place = self.places.entry(run).or_default();
                    match read {
                        Ok(event) => {
                            place.cursor = event.cursor();
                            return Ok(Some(event));
                        }
                        // The run could not be read. The next item of the feed starts a new reader where this one ended.
                        Err(_) => place.settled = false,
                    }
                }
                pulse = self.feed.next() => match pulse {
                    Some(Pulse::Run(run, _)) => self.heard_of(&run).await?,
                    Some(Pulse::Missed(_)) => self.catch_up().await?,
                    None => return Ok(None),
                }
            }
        }
        Ok(None)
    }

    /// Follows all live runs, and marks those of the newest runs that have ended.
    async fn begin(&mut self) -> Result<(), ApiError> {
        let newest = self.page(RunQuery::default()).await?;
        let ended = newest.items.into_iter().filter(|record| record.status.is_final());
        self.places.extend(ended.map(|record| (record.id, Place { cursor: Cursor::START, settled: true })));
        let labels = self.labels();
        let live = RunQuery { statuses: RunStatus::LIVE.into(), labels, ..RunQuery::default() };
        let mut live = self.app.orkestra.engine().runs(live);
        while let Some(record) = live.next().await? {
            self.follow(&record.id).await?;
        }
        Ok(())
    }

    async fn heard_of(&mut self, run: &RunId) -> Result<(), ApiError> {
        let is_ours = match self.places.get(run) {
            Some(place) if place.settled => return Ok(()),
            Some(_) => true,
            None => {
                let owner = self.app.owners.of(self.app.orkestra.engine(), run).await?;
                owner.is_some_and(|owner| owner == self.organisation.as_str())
            }
        };
        if is_ours {
            self.follow(run).await?;
        }
        Ok(())
    }

    /// Follows every new run, and those whose reader failed.
    async fn catch_up(&mut self) -> Result<(), ApiError> {
        let mut query = RunQuery::default();
        loop {
            let page = self.page(query.clone()).await?;
            let has_news = page.items.iter().any(|record| !self.places.contains_key(&record.id));
            for record in &page.items {
                self.follow(&record.id).await?;
            }
            match page.next {
                // Newest first: after a page without new runs there are none.
                Some(next) if has_news && self.places.len() <= RUNS_MAX => query.cursor = Some(next),
                _ => return Ok(()),
            }
        }
    }

    /// The labels of this organisation's runs.
    fn labels(&self) -> BTreeMap<String, String> {
        BTreeMap::from([(ORGANISATION_LABEL.to_owned(), self.organisation.as_str().to_owned())])
    }

    /// NOTE: takes `&mut self`, because the readers are not `Sync`, so a future with `&self` would not be `Send`.
    async fn page(&mut self, query: RunQuery) -> Result<Page<RunRecord>, ApiError> {
        let labels = self.labels();
        Ok(self.app.orkestra.engine().list(&RunQuery { labels, ..query }).await?)
    }

    /// Continues to read a run where it was left, unless a reader follows it.
    async fn follow(&mut self, id: &RunId) -> Result<(), ApiError> {
        let Some(run) = self.app.orkestra.engine().get(id).await? else { return Ok(()) };
        let place = self.places.entry(id.clone()).or_default();
        if !place.settled {
            place.settled = true;
            let id = id.clone();
            self.readers.push(of_run(&run, place.cursor.0).map(move |read| (id.clone(), read)).boxed());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future;
    use orkestra::prelude::{Event, MemoryStore, Name, NodeSpec, WorkflowSpec};
    use orkestra_agents::model::{ModelChoice, ModelSpec, PendingModel};
    use orkestra_agents::{Job, Orkestra, SandboxChoice, SandboxKind};
    use orkestra_testkit::compensating::{compensating, reach, undoable};

    use super::*;

    /// More items than the feed keeps for a slow reader.
    const MANY: usize = 5_000;

    async fn waiting_run(app: &App, owner: &str) -> Run {
        let name = |text| Name::new(text).expect("a name");
        let nodes = vec![NodeSpec::gate(name("wait"), name("go"))];
        let workflow = WorkflowSpec { name: name("waiting"), version: None, nodes };
        let run = app.orkestra.engine().run_spec(&workflow).label(ORGANISATION_LABEL, owner);
        run.start().await.expect("it starts")
    }

    /// A run whose only completed node is being compensated, by an agent whose model never answers.
    async fn compensating_run(app: &App, owner: &str) -> Run {
        let job = Job {
            objective: "Build it".to_owned(),
            project_id: None,
            model: ModelSpec::named("pending"),
            sandbox: SandboxKind::Local.into(),
            tasks: Vec::new(),
        };
        let request = app.orkestra.engine().run_spec(&undoable("backend")).label(ORGANISATION_LABEL, owner);
        let (run, mut events) = compensating(request.input(&job).expect("a job is JSON")).await;
        // The compensation has called its model, so nothing more happens.
        reach(&mut events, |event| matches!(event, Event::StepCompleted { .. })).await;
        run
    }

    async fn start() -> (tempfile::TempDir, Arc<App>, OrganisationId) {
        start_with(ModelChoice::demo()).await
    }

    async fn start_with(model: ModelChoice) -> (tempfile::TempDir, Arc<App>, OrganisationId) {
        let directory = tempfile::tempdir().expect("a directory");
        let orkestra = Orkestra::builder(directory.path()).model(model).sandbox(SandboxChoice::Local);
        let orkestra = orkestra.start(Arc::new(MemoryStore::new())).await.expect("it starts");
        let app = App::new(orkestra).await.expect("an app");
        (directory, app, OrganisationId::fresh().expect("chance"))
    }

    /// Every event so far arrives, in order, although nothing happens to the run any more.
    async fn watched_to_its_last_event(app: &Arc<App>, organisation: &OrganisationId, run: &Run) {
        let last = run.view().await.expect("it is there").last;
        let mut live = of_organisation(Arc::clone(app), organisation.clone()).await.expect("a watch");
        for seq in 1..=last.0 {
            let event = live.next().await.expect("the watch continues").expect("it can be read");
            assert_eq!((&event.run, event.seq.0), (run.id(), seq));
        }
    }

    #[tokio::test]
    async fn a_paused_run_is_watched_before_anything_happens_to_it() {
        let (_directory, app, ours) = start().await;
        let run = waiting_run(&app, ours.as_str()).await;
        run.pause("lunch").await.expect("it runs");
        watched_to_its_last_event(&app, &ours, &run).await;
    }

    #[tokio::test]
    async fn a_compensating_run_is_watched_before_anything_happens_to_it() {
        let (_directory, app, ours) = start_with(ModelChoice::custom(Arc::new(PendingModel))).await;
        let run = compensating_run(&app, ours.as_str()).await;
        assert_eq!(run.status().await.expect("it is there").status, RunStatus::Compensating);
        watched_to_its_last_event(&app, &ours, &run).await;
        assert_eq!(
            app.owners.of(app.orkestra.engine(), run.id()).await.expect("a store").as_deref(),
            Some(ours.as_str())
        );
    }

    #[tokio::test]
    async fn a_watcher_that_was_long_away_misses_no_event_of_its_own_runs_and_sees_no_other() {
        let (_directory, app, ours) = start().await;
        let before = waiting_run(&app, ours.as_str()).await;
        let foreign = waiting_run(&app, "somebody else").await;
        let mut live = of_organisation(Arc::clone(&app), ours.clone()).await.expect("a watch");

        let (during, ended) = (waiting_run(&app, ours.as_str()).await, waiting_run(&app, ours.as_str()).await);
        ended.signal("go", &()).await.expect("it is taken");
        ended.outcome().await.expect("it ends");
        // These push the items of all runs above out of the feed.
        let noise = (0..MANY).map(|_| foreign.signal("noise", &()));
        future::try_join_all(noise).await.expect("they are taken");
        for run in [&before, &during] {
            run.signal("go", &()).await.expect("it is taken");
        }

        let mut seen = HashMap::<RunId, Vec<u64>>::new();
        let mut ends = 0;
        while ends < 3 {
            let event = live.next().await.expect("the watch continues").expect("it can be read");
            ends += usize::from(event.event.ends_run());
            seen.entry(event.run).or_default().push(event.seq.0);
        }
        assert_eq!(seen.len(), 3);
        for run in [before, during, ended] {
            let last = run.view().await.expect("it is there").last.0;
            assert_eq!(seen[run.id()], (1..=last).collect::<Vec<_>>(), "each event once, in order");
        }
    }
}
