//! Directs a world: first a faulty phase in which anything may happen, then a quiet phase in which every run must end.

mod acts;
mod calm;

use std::sync::Arc;
use std::time::Duration;

use orkestra_core::model::{RunId, WorkflowSpec};
use orkestra_core::{Context, Engine, Retention, Workflow};
use tokio::time::{sleep, timeout};

use super::ability::Ability;
use super::call::Call;
use super::client::Client;
use super::program::{CHILD_WORKFLOWS, TASK};
use super::store::SimStore;
use super::workflows;
use super::world::{Kind, Process, ProcessClock, World};

/// How long an engine may take to shut down.
const SHUTDOWN_MAX: Duration = Duration::from_secs(120);

/// Starts and stops processes, and makes clients act.
pub(super) struct Director {
    world: Arc<World>,
    hosts: Vec<Option<Client>>,
    workflows: Vec<Arc<WorkflowSpec>>,
    /// Engines of dead processes, kept because dropping one would shut it down gracefully, unlike a crash.
    dead_clients: Vec<Client>,
    born: usize,
    numbers: u64,
    park_after: Duration,
}

fn run_id(number: usize) -> RunId {
    RunId::new(format!("r{number}")).expect("the ids of a simulation are ids")
}

impl Director {
    pub(super) fn new(world: Arc<World>) -> Self {
        let hosts = match world.kind {
            Kind::Embedded => 1,
            Kind::Shared => 2 + usize::from(world.draw(|chance| chance.one_in(3))),
        };
        let count = world.draw(|chance| *chance.pick(&[1, 1, 2, 3]));
        let workflow = |number| Arc::new(world.draw(|chance| workflows::random(chance, &world.abilities, number)));
        let workflows = (0..count).map(workflow).collect();
        let park_ms = world.draw(|chance| *chance.pick(&[1, 50, 1_000, 1_000, 20_000]));
        Self {
            hosts: (0..hosts).map(|_| None).collect(),
            workflows,
            dead_clients: Vec::new(),
            born: 0,
            numbers: 0,
            park_after: Duration::from_millis(park_ms),
            world,
        }
    }

    /// Plays the whole world.
    pub(super) async fn play(mut self) {
        for host in 0..self.hosts.len() {
            self.boot(host).await;
        }
        for number in 0..self.workflows.len() {
            self.start(number, number);
        }
        if self.world.abilities.has(Ability::Schedules) {
            self.put_schedule();
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

    /// Starts a new process on a host.
    async fn boot(&mut self, host: usize) {
        self.born += 1;
        let (world, process) = (Arc::clone(&self.world), Arc::new(Process::new(format!("p{}", self.born))));
        world.note(format_args!("{} boots", process.name));
        if world.kind == Kind::Embedded {
            world.disk.drop_leases();
        }
        let (inside, own) = (Arc::clone(&world), Arc::clone(&process));
        let task = move |cx: Context, input| Call::new(Arc::clone(&inside), Arc::clone(&own), cx).perform(input);
        let [one, two] = CHILD_WORKFLOWS;
        let one = Workflow::new(one).node("n0", task.clone());
        // With a limit that no parent uses: otherwise parent and child might wait for each other.
        let one = if world.seed.is_multiple_of(3) { one.limit(workflows::CHILD_LIMIT) } else { one }.build();
        let two = Workflow::new(two).node("n0", task.clone()).node("n1", task.clone()).build();
        let [first, second, third] = workflows::limits();
        // Some engines have a small capacity: other engines must take the runs that they start, or they do so later.
        let runs_max = if self.draw(3) == 0 { 2 + self.draw(4) } else { usize::MAX };
        let snapshot_every = 1 + self.draw(12) as u64;
        let keep = |seconds| self.world.abilities.has(Ability::Retention).then(|| Duration::from_secs(seconds));
        let retention = Retention { completed: keep(120), failed: keep(300), others: keep(200) };
        let engine = Engine::builder()
            .runs_max(runs_max)
            .snapshot_every(snapshot_every)
            .store(SimStore::new(Arc::clone(&world), Arc::clone(&process)))
            .clock(ProcessClock(Arc::clone(&world), Arc::clone(&process)))
            .park_after(self.park_after)
            .limit(first)
            .limit(second)
            .limit(third)
            .retention(retention)
            .workflow(one.expect("a workflow"))
            .workflow(two.expect("a workflow"))
            .task(TASK, task)
            .start()
            .await;
        match engine {
            Ok(engine) => self.hosts[host] = Some(Client { world, process, engine }),
            Err(error) => world.broken(format!("an engine does not start: {error}")),
        }
    }

    /// Kills a process.
    async fn kill(&mut self, host: usize) {
        let Some(client) = self.hosts[host].take() else { return };
        self.world.note(format_args!("{} dies", client.process.name));
        client.process.die();
        self.world.lose_writes(Some(&client.process)).await;
        self.dead_clients.push(client);
    }

    /// Shuts a process down gracefully.
    async fn shut_down(&mut self, host: usize) {
        let Some(client) = self.hosts[host].take() else { return };
        self.world.note(format_args!("{} shuts down", client.process.name));
        client.process.disturb(self.world.now());
        if timeout(SHUTDOWN_MAX, client.engine.shutdown()).await.is_err() {
            self.world.broken(format!("{} does not shut down", client.process.name));
        }
        self.world.note(format_args!("{} is gone", client.process.name));
        client.process.die();
        self.world.lose_writes(Some(&client.process)).await;
    }

    fn some_client(&self) -> Option<Client> {
        let host = self.draw(self.hosts.len());
        self.hosts[host].clone()
    }

    fn start(&mut self, workflow: usize, run: usize) {
        let number = self.next_number();
        let Some(client) = self.some_client() else { return };
        let spec = Arc::clone(&self.workflows[workflow]);
        tokio::spawn(client.start(spec, run_id(run), number));
    }

    fn next_number(&mut self) -> u64 {
        self.numbers += 1;
        self.numbers
    }

    async fn boot_if_empty(&mut self, host: usize) {
        if self.hosts[host].is_none() {
            self.boot(host).await;
        }
    }
}
