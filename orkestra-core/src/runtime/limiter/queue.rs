//! The places of requests among those that wait, for read models. It must never change the table.

use std::collections::HashMap;

use crate::model::{Name, RunId, SlotKey, Timestamp};
use crate::projection::SlotWait;

use super::instance::Rank;
use super::{Limiter, Place};

impl Limiter {
    /// The slots that each of these nodes of the run waits for, with their places in the queue and their use. Nodes that do not
    /// wait are left out. Each queue is read once, however many of the nodes stand in it.
    pub(super) fn queue_of<'a>(
        &self,
        run: &RunId,
        nodes: impl Iterator<Item = &'a Name>,
        now: Timestamp,
    ) -> Vec<(Name, Vec<SlotWait>)> {
        let mut queues: HashMap<&SlotKey, Vec<Rank>> = HashMap::new();
        let mut waits = Vec::new();
        for node in nodes {
            let Some((_, Place::Waits(line, rank))) = self.places.get(&(run.clone(), node.clone())) else { continue };
            let mut slots = Vec::new();
            for slot in line.iter() {
                let queue = queues.entry(slot).or_insert_with(|| self.queue(slot));
                slots.push(self.wait(slot, queue.partition_point(|before| before < rank), now));
            }
            waits.push((node.clone(), slots));
        }
        waits
    }

    /// The ranks of all requests that wait for this slot, in order.
    fn queue(&self, slot: &SlotKey) -> Vec<Rank> {
        let lines = self.instances.get(slot).into_iter().flat_map(|instance| instance.heads.values());
        let mut ranks: Vec<Rank> =
            lines.filter_map(|line| self.lines.get(line)).flat_map(|line| line.keys().copied()).collect();
        ranks.sort_unstable();
        ranks
    }

    fn wait(&self, slot: &SlotKey, before: usize, now: Timestamp) -> SlotWait {
        let mut wait = SlotWait::unknown(slot.clone());
        if let Some(instance) = self.instances.get(slot) {
            wait.place = Some(1 + before);
            (wait.in_use, wait.at_once) = instance.use_of_slots();
            wait.free_at = instance.next().filter(|free_at| *free_at > now);
        }
        wait
    }
}
