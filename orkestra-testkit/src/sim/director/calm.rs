//! The quiet phase: faults stop, every run must end, and the final state is checked.

use std::sync::atomic::Ordering;
use std::time::Duration;

use orkestra_core::kernel::{Wait, waits};
use orkestra_core::model::{RunId, Seq};
use orkestra_core::store::Store;
use tokio::time::{sleep, timeout};

use crate::sim::ability::Ability;
use crate::sim::client::Verb;

use super::acts::SCHEDULE;
use super::{Director, SHUTDOWN_MAX};

/// How long all runs may take to end once faults have stopped.
const CALM_MAX: Duration = Duration::from_secs(3_600);
/// How long no run may be live before the phase is over.
const SETTLE: Duration = Duration::from_secs(60);
/// How far all clocks are advanced if one was a year ahead, so that what became due a year later happens.
const LATER_MS: i64 = 400 * 86_400_000;
/// How often clients act on a run in the quiet phase.
const BUSY_MAX: usize = 12;
/// How often a call is tried that may fail in the quiet phase.
const TRIES_MAX: usize = 20;

impl Director {
    /// Stops faults, reconnects all processes, and makes sure that at least one runs.
    pub(super) async fn calm_down(&mut self) {
        self.world.note(format_args!("calm"));
        self.world.stop_faults();
        for host in 0..self.hosts.len() {
            match &self.hosts[host] {
                Some(client) => {
                    client.process.cut_off(false);
                    client.process.set_skew(0);
                }
                None if host == 0 || self.draw(2) == 0 => self.boot(host).await,
                None => {}
            }
        }
        if self.world.abilities.has(Ability::Schedules) {
            self.end_schedule().await;
        }
        self.advance_clocks();
    }

    /// Advances all clocks if one was a year ahead.
    fn advance_clocks(&self) {
        if self.world.jumped.load(Ordering::Relaxed) {
            for client in self.hosts.iter().flatten() {
                client.process.disturb(self.world.now());
                client.process.set_skew(LATER_MS);
            }
        }
    }

    /// Lets the schedule fire once more, and removes it.
    async fn end_schedule(&self) {
        sleep(4 * SETTLE).await;
        let Some(client) = self.hosts.iter().flatten().next() else { return };
        for _ in 0..TRIES_MAX {
            if client.end_schedule(SCHEDULE, self.world.now()).await.is_ok() {
                return;
            }
            sleep(Duration::from_secs(1)).await;
        }
        self.world.broken("a schedule cannot be removed".to_owned());
    }

    /// Sometimes a client acts on a run.
    async fn disturb_a_run(&mut self, busy: &mut usize) {
        if !self.world.abilities.has(Ability::Busy) || *busy == 0 || self.draw(2) == 0 {
            return;
        }
        *busy -= 1;
        let runs: Vec<_> = self.world.audit().states().map(|state| state.id().clone()).collect();
        let live: Vec<_> = self.hosts.iter().flatten().cloned().collect();
        if runs.is_empty() || live.is_empty() {
            return;
        }
        let run = self.world.draw(|chance| chance.pick(&runs).clone());
        let client = self.world.draw(|chance| chance.pick(&live).clone());
        let (verb, number) = (self.some_verb(&run), self.next_number());
        tokio::spawn(client.tell(run, verb, number));
    }

    /// Restarts processes with blocked runs: a run whose driver panicked is blocked in its process until that restarts.
    async fn restart_blocked(&mut self) {
        if !self.world.abilities.has(Ability::Panics) {
            return;
        }
        for host in 0..self.hosts.len() {
            let blocked = self.hosts[host].as_ref().is_some_and(|client| !client.engine.blocked().is_empty());
            if blocked {
                self.shut_down(host).await;
                self.boot(host).await;
                self.advance_clocks();
            }
        }
    }

    /// What engines report about runs that make no progress.
    async fn describe_blocked(&self) -> String {
        let mut said = String::new();
        for client in self.hosts.iter().flatten() {
            let stuck = timeout(SHUTDOWN_MAX, client.engine.stuck()).await;
            said.push_str(&format!(
                "; {}: stuck {stuck:?}, blocked {:?}",
                client.process.name,
                client.engine.blocked()
            ));
        }
        said
    }

    /// Sends every run what it waits for from outside, until all have ended.
    pub(super) async fn finish(&mut self) {
        let begun = self.world.now();
        let (mut quiet, mut busy) = (false, BUSY_MAX);
        loop {
            self.disturb_a_run(&mut busy).await;
            self.restart_blocked().await;
            if self.world.audit().violation().is_some() {
                return;
            }
            let open: Vec<_> = {
                let audit = self.world.audit();
                let live = audit.states().filter(|state| !state.status().is_final());
                live.map(|state| (state.id().clone(), waits(state))).collect()
            };
            let unread = if open.is_empty() { self.unread().await } else { None };
            if let Some(run) = unread {
                if self.world.now().since(begun) > CALM_MAX {
                    return self.world.broken(format!("the letters of `{run}` are never taken"));
                }
                self.pass_time(&[2_000]).await;
                continue;
            }
            if open.is_empty() {
                // A start that was still in progress may create another run, which must end as well.
                if quiet {
                    return;
                }
                quiet = true;
                sleep(SETTLE).await;
                continue;
            }
            quiet = false;
            if self.world.now().since(begun) > CALM_MAX {
                let (run, waits) = &open[0];
                let said = self.describe_blocked().await;
                return self.world.broken(format!("`{run}` does not come to an end, it waits for {waits:?}{said}"));
            }
            for (run, waits) in open {
                for wait in waits {
                    self.provide(&run, wait).await;
                }
            }
            self.pass_time(&[10, 300, 2_000, 10_000]).await;
        }
    }

    /// A run with letters in its inbox.
    async fn unread(&self) -> Option<RunId> {
        let runs: Vec<_> = self.world.audit().states().map(|state| state.id().clone()).collect();
        for run in runs {
            if !self.world.letters(&run).await.is_empty() {
                return Some(run);
            }
        }
        None
    }

    /// Sends a run what only a client can provide.
    async fn provide(&mut self, run: &RunId, wait: Wait) {
        let verbs = match wait {
            Wait::Signal(signal) => vec![Verb::Signal(signal)],
            Wait::Answer(question) => vec![Verb::Answer(question)],
            Wait::Resume => vec![Verb::Budget(None), Verb::Resume],
            _ => Vec::new(),
        };
        for verb in verbs {
            let number = self.next_number();
            let live: Vec<_> = self.hosts.iter().flatten().cloned().collect();
            let client = self.world.draw(|chance| chance.pick(&live).clone());
            if timeout(SHUTDOWN_MAX, client.tell(run.clone(), verb, number)).await.is_err() {
                self.world.broken(format!("a verb for `{run}` is never answered"));
            }
        }
    }

    /// Checks the outputs of all runs.
    async fn read_outputs(&self) {
        let Some(client) = self.hosts.iter().flatten().next() else { return };
        let runs: Vec<_> = self.world.audit().states().map(|state| state.id().clone()).collect();
        for run in runs {
            if timeout(SHUTDOWN_MAX, client.clone().read_output(run.clone())).await.is_err() {
                self.world.broken(format!("a read of the output of `{run}` is never answered"));
            }
        }
    }

    /// Shuts all engines down and checks what the disk holds.
    pub(super) async fn close(&mut self) {
        self.read_outputs().await;
        for host in 0..self.hosts.len() {
            if let Some(client) = &self.hosts[host] {
                let ended = |run: &RunId| self.world.audit().state(run).is_none_or(|state| state.status().is_final());
                for (run, error) in client.engine.blocked() {
                    if !ended(&run) {
                        self.world.broken(format!("{} does not drive `{run}`: {error}", client.process.name));
                    }
                }
            }
            self.shut_down(host).await;
        }
        let runs: Vec<_> = self.world.audit().states().map(|state| state.id().clone()).collect();
        for run in runs {
            let journal = self.world.disk.read(&run, Seq(1), usize::MAX).await.unwrap_or_default();
            let record = self.world.disk.record(&run).await.unwrap_or_default();
            for commit in &journal {
                self.world.note(format_args!("{} {}", commit.first, String::from_utf8_lossy(&commit.body)));
            }
            self.world.audit().compare(&run, &journal, record.as_ref());
        }
        self.world.audit().check_histories();
    }
}
