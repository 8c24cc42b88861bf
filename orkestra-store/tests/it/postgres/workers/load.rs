//! Starts runs, signals them and waits for them, in a process that drives none.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use orkestra_core::prelude::*;
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, JoinSet};

use super::worker::{is_told, micros, output};

/// The load and its progress.
pub(crate) struct Load {
    engine: Engine,
    /// How many runs are in progress at once.
    at_once: usize,
    done: AtomicUsize,
    failed: AtomicBool,
    /// Whether to stop starting runs.
    over: AtomicBool,
}

/// A completed run, and when its waiter knew.
pub(crate) type Done = (String, i64);

impl Load {
    /// Starts runs until [`enough`](Self::enough) is called, at least `least`.
    pub(crate) fn begin(engine: Engine, least: usize, at_once: usize) -> (Arc<Self>, JoinHandle<Vec<Done>>) {
        let (done, failed, over) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicBool::new(false));
        let load = Arc::new(Self { engine, at_once, done, failed, over });
        let all = tokio::spawn(Arc::clone(&load).start_all(least));
        (load, all)
    }

    async fn start_all(self: Arc<Self>, least: usize) -> Vec<Done> {
        let (permits, mut runs) = (Arc::new(Semaphore::new(self.at_once)), JoinSet::new());
        for number in 0_usize.. {
            if number >= least && self.over.load(Ordering::SeqCst) {
                break;
            }
            let permit = Arc::clone(&permits).acquire_owned().await.expect("it stays open");
            let load = Arc::clone(&self);
            runs.spawn(async move {
                let done = load.one(number as u64).await;
                drop(permit);
                load.done.fetch_add(1, Ordering::SeqCst);
                done.inspect_err(|why| {
                    eprintln!("run r{number}: {why}");
                    load.failed.store(true, Ordering::SeqCst);
                })
            });
        }
        runs.join_all().await.into_iter().map(|done| done.expect("every run completes")).collect()
    }

    async fn one(&self, number: u64) -> Result<Done, Error> {
        let id = format!("r{number}");
        let run = self.engine.run("order").id(&id).input(&number)?.start().await?;
        if is_told(number) {
            run.signal("go", &7_u64).await?;
        }
        let got = run.output::<u64>().await?;
        let known = micros();
        assert_eq!(got, output(number), "run {id}");
        Ok((id, known))
    }

    pub(crate) fn done(&self) -> usize {
        self.done.load(Ordering::SeqCst)
    }

    /// Waits until this many runs are done.
    pub(crate) async fn reached(&self, done: usize) {
        while self.done() < done {
            assert!(!self.failed.load(Ordering::SeqCst), "a run failed, see above");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Starts no more runs than the minimum.
    pub(crate) fn enough(&self) {
        self.over.store(true, Ordering::SeqCst);
    }
}
