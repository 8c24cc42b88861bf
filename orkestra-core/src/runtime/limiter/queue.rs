//! The place of a request among those that wait, for read models. It must never change the table.

use crate::model::{SlotKey, Timestamp};
use crate::projection::SlotWait;

use super::instance::Rank;
use super::{Limiter, Place, Who};

impl Limiter {
    /// The slots of a waiting request, each with its place in the queue and its use; `None` if `who` has no request. The cost
    /// grows with the number of requests before it.
    pub(super) fn queue_of(&self, who: &Who, now: Timestamp) -> Option<Vec<SlotWait>> {
        match self.places.get(who) {
            Some((_, Place::Waits(line, rank))) => Some(line.iter().map(|slot| self.wait(slot, *rank, now)).collect()),
            _ => None,
        }
    }

    fn wait(&self, slot: &SlotKey, rank: Rank, now: Timestamp) -> SlotWait {
        let mut wait = SlotWait::unknown(slot.clone());
        if let Some(instance) = self.instances.get(slot) {
            let lines = instance.heads.values().filter_map(|line| self.lines.get(line));
            wait.place = Some(1 + lines.map(|line| line.range(..rank).count()).sum::<usize>());
            (wait.in_use, wait.at_once) = instance.use_of_slots();
            wait.free_at = instance.next().filter(|free_at| *free_at > now);
        }
        wait
    }
}
