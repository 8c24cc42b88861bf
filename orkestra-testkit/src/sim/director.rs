//! The course of a world: a storm in which anything may happen, then calm weather in which everything must come to an
//! end.

use std::sync::Arc;
use std::time::Duration;

use orkestra_core::kernel::{Wait, waits};
use orkestra_core::model::{Amount, Name, RunId, Seq, WorkflowSpec};
use orkestra_core::store::Store;
use orkestra_core::{Context, Engine, Workflow};
use tokio::time::{sleep, timeout};

use super::call::Call;
use super::client::{Client, Verb};
use super::program::{CHILD_WORKFLOWS, TASK, name, signal_name};
use super::store::SimStore;
use super::workflows;
use super::world::{Kind, Process, ProcessClock, World};

/// How long everything may take to end when nothing goes wrong any more.
const CALM_MAX: Duration = Duration::from_secs(3_600);
/// How long nothing must happen before everything has ended.
const SETTLE: Duration = Duration::from_secs(60);
/// How long an engine may take to shut down.
const SHUTDOWN_MAX: Duration = Duration::from_secs(120);

/// Makes things happen.
pub(super) struct Director {
    world: Arc<World>,
    seats: Vec<Option<Client>>,
    workflows: Vec<Arc<WorkflowSpec>>,
    /// Engines of dead processes. Dropping one would shut it down in good order, which a crash does not.
    graveyard: Vec<Client>,
    born: usize,
    numbers: u64,
    park_after: Duration,
}

fn run_id(number: usize) -> RunId {
    RunId::new(format!("r{number}")).expect("the ids of a simulation are ids")
}

impl Director {
    pub(super) fn new(world: Arc<World>) -> Self {
        let seats = match world.kind {
            Kind::Embedded => 1,
            Kind::Shared => 2 + usize::from(world.draw(|chance| chance.one_in(3))),
        };
        let count = world.draw(|chance| *chance.pick(&[1, 1, 2, 3]));
        let workflow = |number| Arc::new(world.draw(|chance| workflows::random(chance, number)));
        let workflows = (0..count).map(workflow).collect();
        let park_ms = world.draw(|chance| *chance.pick(&[1, 50, 1_000, 1_000, 20_000]));
        Self {
            seats: (0..seats).map(|_| None).collect(),
            workflows,
            graveyard: Vec::new(),
            born: 0,
            numbers: 0,
            park_after: Duration::from_millis(park_ms),
            world,
        }
    }

    /// All of it.
    pub(super) async fn play(mut self) {
        for seat in 0..self.seats.len() {
            self.boot(seat).await;
        }
        for number in 0..self.workflows.len() {
            self.start(number, number);
        }
        let acts = self.world.draw(|chance| chance.below(30));
        for _ in 0..acts {
            self.pass_time(&[0, 1, 1, 10, 30, 100, 500, 1_000, 4_000, 20_000]).await;
            self.act().await;
            if self.world.audit().violation().is_some() {
                return;
            }
        }
        self.calm_down().await;
        self.finish().await;
        self.close().await;
    }

    async fn pass_time(&self, millis: &[u64]) {
        let millis = self.world.draw(|chance| *chance.pick(millis));
        sleep(Duration::from_millis(millis)).await;
    }

    fn draw(&self, end: usize) -> usize {
        self.world.draw(|chance| chance.below(end))
    }

    /// A new process takes a seat.
    async fn boot(&mut self, seat: usize) {
        self.born += 1;
        let (world, process) = (Arc::clone(&self.world), Arc::new(Process::new(format!("p{}", self.born))));
        world.note(format_args!("{} boots", process.name));
        if world.kind == Kind::Embedded {
            world.disk.drop_leases();
        }
        let (inside, own) = (Arc::clone(&world), Arc::clone(&process));
        let task = move |cx: Context, input| Call::new(Arc::clone(&inside), Arc::clone(&own), cx).perform(input);
        let [one, two] = CHILD_WORKFLOWS;
        let one = Workflow::new(one).node("n0", task.clone()).build();
        let two = Workflow::new(two).node("n0", task.clone()).node("n1", task.clone()).build();
        let [first, second] = workflows::limits();
        // Some have little room: what they begin is for the others, or for later.
        let runs_max = if self.draw(3) == 0 { 2 + self.draw(4) } else { usize::MAX };
        let snapshot_every = 1 + self.draw(12) as u64;
        let engine = Engine::builder()
            .runs_max(runs_max)
            .snapshot_every(snapshot_every)
            .store(SimStore::new(Arc::clone(&world), Arc::clone(&process)))
            .clock(ProcessClock(Arc::clone(&world), Arc::clone(&process)))
            .park_after(self.park_after)
            .limit(first)
            .limit(second)
            .workflow(one.expect("a workflow"))
            .workflow(two.expect("a workflow"))
            .task(TASK, task)
            .start()
            .await;
        match engine {
            Ok(engine) => self.seats[seat] = Some(Client { world, process, engine }),
            Err(error) => world.broken(format!("an engine does not start: {error}")),
        }
    }

    /// A process dies between two instructions.
    async fn kill(&mut self, seat: usize) {
        let Some(client) = self.seats[seat].take() else { return };
        self.world.note(format_args!("{} dies", client.process.name));
        client.process.die();
        self.world.lose_writes(Some(&client.process)).await;
        self.graveyard.push(client);
    }

    /// A process is asked to end, and does.
    async fn shut_down(&mut self, seat: usize) {
        let Some(client) = self.seats[seat].take() else { return };
        self.world.note(format_args!("{} shuts down", client.process.name));
        if timeout(SHUTDOWN_MAX, client.engine.shutdown()).await.is_err() {
            self.world.broken(format!("{} does not shut down", client.process.name));
        }
        self.world.note(format_args!("{} is gone", client.process.name));
        client.process.die();
        self.world.lose_writes(Some(&client.process)).await;
    }

    fn some_client(&self) -> Option<Client> {
        let seat = self.draw(self.seats.len());
        self.seats[seat].clone()
    }

    fn start(&self, workflow: usize, run: usize) {
        let Some(client) = self.some_client() else { return };
        let spec = Arc::clone(&self.workflows[workflow]);
        tokio::spawn(client.start(spec, run_id(run), run as u64));
    }

    fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    fn some_verb(&mut self, run: &RunId) -> Verb {
        let nodes: Vec<Name> = {
            let audit = self.world.audit();
            let state = audit.state(run);
            state
                .map(|state| state.plan().nodes().iter().map(|node| node.spec.name.clone()).collect())
                .unwrap_or_default()
        };
        let node = |world: &World| {
            let node = world.draw(|chance| (!nodes.is_empty()).then(|| chance.pick(&nodes).clone()));
            node.unwrap_or_else(|| name("n0"))
        };
        match self.draw(16) {
            0..=4 => Verb::Signal(self.world.draw(signal_name)),
            5 => Verb::Cancel,
            6 => Verb::Terminate,
            7 | 8 => Verb::Pause,
            9 => Verb::Resume,
            10 | 11 => Verb::Retry(node(&self.world)),
            12 => Verb::Budget(Some(Amount::whole(1 + self.draw(9) as u64))),
            13 | 14 => {
                let fork = RunId::new(format!("f{}", self.draw(2))).expect("the ids of a simulation are ids");
                Verb::Fork(fork, node(&self.world))
            }
            _ => {
                let last = usize::try_from(self.world.audit().last(run).0).unwrap_or(0);
                Verb::Answer(Seq(self.draw(last + 1) as u64))
            }
        }
    }

    async fn act(&mut self) {
        let seat = self.draw(self.seats.len());
        let run = run_id(self.draw(self.workflows.len() + 1));
        match self.draw(24) {
            0..=3 => {
                // Now and then with the id of a run of another workflow.
                let workflow = self.draw(self.workflows.len());
                let other = self.draw(8) == 0;
                self.start(workflow, if other { self.workflows.len() } else { workflow });
            }
            4..=8 => {
                let (verb, number) = (self.some_verb(&run), self.next_number());
                drop(self.some_client().map(|client| tokio::spawn(client.tell(run, verb, number))));
            }
            9..=11 => {
                let after = Seq(self.draw(3) as u64).min(self.world.audit().last(&run));
                drop(self.some_client().map(|client| tokio::spawn(client.read_along(run, after))));
            }
            12 => drop(self.some_client().map(|client| tokio::spawn(client.wait(run)))),
            13..=15 => self.kill(seat).await,
            16 | 17 => self.boot_if_empty(seat).await,
            18 => self.shut_down(seat).await,
            19 => {
                self.world.note(format_args!("the power fails"));
                if self.world.kind == Kind::Embedded {
                    self.kill(0).await;
                } else {
                    self.world.lose_writes(None).await;
                }
            }
            20 => self.cut_off(seat),
            21 => self.reconnect(seat),
            _ => self.shift_clock(seat),
        }
    }

    async fn boot_if_empty(&mut self, seat: usize) {
        if self.seats[seat].is_none() {
            self.boot(seat).await;
        }
    }

    fn cut_off(&self, seat: usize) {
        if let (Some(client), Kind::Shared) = (&self.seats[seat], self.world.kind) {
            self.world.note(format_args!("{} is cut off", client.process.name));
            client.process.cut_off(true);
        }
    }

    fn reconnect(&self, seat: usize) {
        if let Some(client) = &self.seats[seat] {
            self.world.note(format_args!("{} is reached again", client.process.name));
            client.process.cut_off(false);
        }
    }

    fn shift_clock(&self, seat: usize) {
        if let Some(client) = &self.seats[seat] {
            let millis = self.world.draw(|chance| *chance.pick(&[-50_000, -1_000, 0, 0, 3, 1_000, 50_000]));
            self.world.note(format_args!("the clock of {} is off by {millis} ms", client.process.name));
            client.process.set_skew(millis);
        }
    }

    /// Nothing goes wrong any more. At least one process is there.
    async fn calm_down(&mut self) {
        self.world.note(format_args!("calm"));
        self.world.calm();
        for seat in 0..self.seats.len() {
            match &self.seats[seat] {
                Some(client) => {
                    client.process.cut_off(false);
                    client.process.set_skew(0);
                }
                None if seat == 0 || self.draw(2) == 0 => self.boot(seat).await,
                None => {}
            }
        }
    }

    /// Gives every run what it waits for from outside, until all have ended.
    async fn finish(&mut self) {
        let begun = self.world.now();
        let mut quiet = false;
        loop {
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
                    return self.world.broken(format!("nobody takes the letters of `{run}`"));
                }
                self.pass_time(&[2_000]).await;
                continue;
            }
            if open.is_empty() {
                // Whoever was about to start a run has done so after a while, and then it must end as well.
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
                return self.world.broken(format!("`{run}` does not come to an end, it waits for {waits:?}"));
            }
            for (run, waits) in open {
                for wait in waits {
                    self.provide(&run, wait).await;
                }
            }
            self.pass_time(&[10, 300, 2_000, 10_000]).await;
        }
    }

    /// A run with letters.
    async fn unread(&self) -> Option<RunId> {
        let runs: Vec<_> = self.world.audit().states().map(|state| state.id().clone()).collect();
        for run in runs {
            if !self.world.letters(&run).await.is_empty() {
                return Some(run);
            }
        }
        None
    }

    /// Gives a run what only somebody outside can give.
    async fn provide(&mut self, run: &RunId, wait: Wait) {
        let verbs = match wait {
            Wait::Signal(signal) => vec![Verb::Signal(signal)],
            Wait::Answer(question) => vec![Verb::Answer(question)],
            Wait::Resume => vec![Verb::Budget(None), Verb::Resume],
            _ => Vec::new(),
        };
        for verb in verbs {
            let number = self.next_number();
            let live: Vec<_> = self.seats.iter().flatten().cloned().collect();
            let client = self.world.draw(|chance| chance.pick(&live).clone());
            if timeout(SHUTDOWN_MAX, client.tell(run.clone(), verb, number)).await.is_err() {
                self.world.broken(format!("nobody says what became of something for `{run}`"));
            }
        }
    }

    /// Everybody goes home, and what is left is looked at once more.
    async fn close(&mut self) {
        for seat in 0..self.seats.len() {
            if let Some(client) = &self.seats[seat] {
                let ended = |run: &RunId| self.world.audit().state(run).is_none_or(|state| state.status().is_final());
                for (run, error) in client.engine.blocked() {
                    if !ended(&run) {
                        self.world.broken(format!("{} does not drive `{run}`: {error}", client.process.name));
                    }
                }
            }
            self.shut_down(seat).await;
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
        self.world.audit().check_attempts();
    }
}
