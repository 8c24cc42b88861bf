//! The random acts of the faulty phase.

use orkestra_core::model::{Amount, Name, RunId, Seq};
use orkestra_core::{CatchUp, Overlap, Schedule};
use serde_json::json;

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::sim::ability::Ability;
use crate::sim::client::Verb;
use crate::sim::program::{CHILD_WORKFLOWS, name, signal_name};
use crate::sim::value::odd;
use crate::sim::world::{Kind, World};

use super::{Director, run_id};

/// The name of the schedule of a world.
pub(super) const SCHEDULE: &str = "tick";
/// How far a clock jumps.
const YEAR_MS: i64 = 365 * 86_400_000;

impl Director {
    pub(super) fn some_verb(&mut self, run: &RunId) -> Verb {
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
        if self.world.abilities.has(Ability::Deletes) && self.draw(3) == 0 {
            return Verb::Delete;
        }
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

    pub(super) async fn act(&mut self) {
        let host = self.draw(self.hosts.len());
        let run = run_id(self.draw(self.workflows.len() + 1));
        match self.draw(24) {
            0..=3 => {
                // Sometimes with the id of a run of another workflow.
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
            13..=15 => self.kill(host).await,
            16 | 17 => self.boot_if_empty(host).await,
            18 => self.shut_down(host).await,
            19 => {
                self.world.note(format_args!("the power fails"));
                if self.world.kind == Kind::Embedded {
                    self.kill(0).await;
                } else {
                    self.world.lose_writes(None).await;
                }
            }
            20 => self.cut_off(host),
            21 => self.reconnect(host),
            _ => self.shift_clock(host),
        }
    }

    fn cut_off(&self, host: usize) {
        if let (Some(client), Kind::Shared) = (&self.hosts[host], self.world.kind) {
            self.world.note(format_args!("{} is cut off", client.process.name));
            client.process.cut_off(true);
        }
    }

    fn reconnect(&self, host: usize) {
        if let Some(client) = &self.hosts[host] {
            self.world.note(format_args!("{} is reached again", client.process.name));
            client.process.cut_off(false);
        }
    }

    fn shift_clock(&self, host: usize) {
        if let Some(client) = &self.hosts[host] {
            let world = &self.world;
            let mut millis = world.draw(|chance| *chance.pick(&[-50_000, -1_000, 0, 0, 3, 1_000, 50_000]));
            // If leases are judged by each client's clock, no other process could claim a run for a year.
            let may_jump = world.store_has_clock || world.kind == Kind::Embedded;
            if world.abilities.has(Ability::Jumps) && may_jump && self.draw(2) == 0 {
                world.jumped.store(true, Ordering::Relaxed);
                millis = YEAR_MS;
            }
            client.process.disturb(world.now());
            self.world.note(format_args!("the clock of {} is off by {millis} ms", client.process.name));
            client.process.set_skew(millis);
        }
    }

    /// Adds a schedule that starts runs.
    pub(super) fn put_schedule(&mut self) {
        let number = self.next_number();
        let Some(client) = self.some_client() else { return };
        let (period, overlap) = (60 * (1 + self.draw(5) as u64), self.draw(2) == 0);
        let v = odd(self.world.seed, self.world.abilities.has(Ability::Values), number);
        let schedule = Schedule::every(SCHEDULE, CHILD_WORKFLOWS[0], Duration::from_secs(period));
        let schedule = schedule.and_then(|schedule| schedule.with_input(&json!({ "start": number, "v": v })));
        let schedule = schedule.expect("a schedule");
        let schedule = schedule.with_catch_up(if self.draw(2) == 0 { CatchUp::Skip } else { CatchUp::One });
        let schedule = schedule.with_overlap(if overlap { Overlap::Skip } else { Overlap::Allow });
        tokio::spawn(async move { client.put_schedule(schedule).await });
    }
}
