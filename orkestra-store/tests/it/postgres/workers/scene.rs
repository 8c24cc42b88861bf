//! The server and the worker processes in their namespaces, and an engine that starts runs and drives none.

use std::io::Write;
use std::path::PathBuf;

use orkestra_core::prelude::*;
use orkestra_store::PostgresStore;
use orkestra_testkit::postgres::Server;
use tempfile::TempDir;
use tokio::task::block_in_place;

use super::super::support::{Database, usable};
use super::network::{Network, server_for};
use super::witness::Witness;
use super::worker::builder;
use crate::support::child::{ChildPart, command};

/// The state of a worker.
#[derive(Debug)]
pub(crate) struct Report {
    /// Number of runs it drives.
    pub(crate) live: usize,
    /// Number of its commits that were fenced.
    pub(crate) fenced: usize,
    /// Number of its commits with any other error.
    pub(crate) refused: usize,
    /// Number of leases it lost.
    pub(crate) lost: usize,
    /// Runs that it cannot drive.
    pub(crate) blocked: String,
}

/// Fields are dropped in order.
pub(crate) struct Scene {
    pub(crate) engine: Engine,
    pub(crate) store: PostgresStore,
    pub(crate) witness: Witness,
    workers: Vec<ChildPart>,
    database: Database,
    pub(crate) network: Network,
    directory: TempDir,
}

impl Scene {
    /// `None` where it cannot be set up: the test is skipped with a note, and fails in CI.
    pub(crate) async fn set_up(name: &str, workers: usize) -> Option<Self> {
        let network = block_in_place(|| Network::create(name, workers))?;
        let server = usable(block_in_place(|| Server::start_in(&network.hub)))?;
        let database = Database::beside(server);
        let store = PostgresStore::options().with_schema(&database.schema).connect(&database.url).await;
        let store = store.expect("the store opens");
        let witness = Witness::install(&database).await;
        let directory = tempfile::tempdir().expect("a directory");
        let engine = builder(store.clone(), "parent").runs_max(0).start().await.expect("an engine");
        let mut scene = Self { engine, store, witness, workers: Vec::new(), database, network, directory };
        for worker in 1..=workers {
            scene.start(worker);
        }
        Some(scene)
    }

    fn start(&mut self, worker: usize) {
        let (url, file) = (self.database.server().url_at(&server_for(worker)), self.acts());
        let file = file.to_str().expect("a plain path");
        let words = [&*url, &*self.database.schema, &*format!("w{worker}"), file];
        let mut playing = ChildPart::start(command(&self.network.inside(worker), "worker", &words));
        assert_eq!(block_in_place(|| playing.next()).as_deref(), Some("ready"));
        self.workers.push(playing);
    }

    /// The file of the effects of all workers' tasks.
    pub(crate) fn acts(&self) -> PathBuf {
        self.directory.path().join("acts")
    }

    pub(crate) fn kill(&mut self, worker: usize) {
        self.workers[worker - 1].kill();
    }

    /// Sends a signal, such as `-STOP`, to the worker's process.
    pub(crate) fn signal(&self, worker: usize, signal: &str) {
        let pid = self.workers[worker - 1].child.id().to_string();
        let status = std::process::Command::new("kill").args([signal, &pid]).status().expect("kill is there");
        assert!(status.success());
    }

    fn ask(&mut self, worker: usize, what: &str) -> String {
        let playing = &mut self.workers[worker - 1];
        let input = playing.child.stdin.as_mut().expect("its input is piped");
        writeln!(input, "{what}").expect("it listens");
        block_in_place(|| playing.next()).expect("it answers")
    }

    pub(crate) fn report(&mut self, worker: usize) -> Report {
        let answer = self.ask(worker, "report");
        let words: Vec<_> = answer.splitn(5, ' ').collect();
        let number = |at: usize| words[at].parse().expect("a number");
        let blocked = words[4].to_owned();
        Report { live: number(0), fenced: number(1), refused: number(2), lost: number(3), blocked }
    }

    /// Shuts a worker down as a deployment does, and waits until its process has ended.
    pub(crate) fn shut_down(&mut self, worker: usize) {
        assert_eq!(self.ask(worker, "shut down"), "shut down");
        let playing = &mut self.workers[worker - 1];
        assert!(block_in_place(|| playing.child.wait()).expect("it ends").success());
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        for worker in &mut self.workers {
            // It may have ended.
            drop(worker.child.kill());
            drop(worker.child.wait());
        }
    }
}
