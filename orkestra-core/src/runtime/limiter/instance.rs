//! One limit for one key: what it has left, and who waits for it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{SlotKey, Timestamp};

use super::bucket::Bucket;
use super::limit::Limit;

/// The slots of a claim, each once, in order. Claims of the same slots fit at the same time: they wait in one line.
pub(super) type Line = Arc<[SlotKey]>;

/// The place of a claim among all that wait: higher priority first, then who came first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank {
    pub(super) priority: Reverse<i32>,
    pub(super) turn: u64,
}

#[derive(Debug)]
pub(super) struct Instance {
    concurrency: Option<u32>,
    bucket: Option<Bucket>,
    held: u32,
    /// The first claim of each line that waits for a slot here.
    pub(super) heads: BTreeMap<Rank, Line>,
    /// Those of them that a slot here is kept for.
    pub(super) kept_for: BTreeSet<Rank>,
    /// When somebody here wants to be looked at again.
    pub(super) wake_at: Option<Timestamp>,
}

impl Instance {
    pub(super) fn new(limit: &Limit, at: Timestamp) -> Self {
        Self {
            concurrency: limit.at_once,
            bucket: limit.rate.map(|rate| Bucket::new(rate, at)),
            held: 0,
            heads: BTreeMap::new(),
            kept_for: BTreeSet::new(),
            wake_at: None,
        }
    }

    pub(super) fn has_room(&mut self, at: Timestamp) -> bool {
        self.has_place() && self.bucket.as_mut().is_none_or(|bucket| bucket.has_token(at))
    }

    pub(super) fn has_place(&self) -> bool {
        self.concurrency.is_none_or(|count| self.held < count)
    }

    /// How many slots are in use, and how many may be.
    pub(super) const fn use_of_places(&self) -> (Option<u32>, Option<u32>) {
        (Some(self.held), self.concurrency)
    }

    /// Whether somebody before `rank` has this slot kept.
    pub(super) fn is_kept_from(&self, rank: Rank) -> bool {
        self.kept_for.first().is_some_and(|first| *first < rank)
    }

    /// When there is room again by the clock alone.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.bucket.as_ref().filter(|_| self.has_place()).map(Bucket::next)
    }

    pub(super) fn take(&mut self, at: Timestamp) {
        self.held += 1;
        if let Some(bucket) = &mut self.bucket {
            bucket.take(at);
        }
    }

    /// Is held by somebody who was not asked whether there is room.
    pub(super) fn hold(&mut self) {
        self.held += 1;
    }

    pub(super) fn give_back(&mut self) {
        debug_assert!(self.held > 0, "a slot is given back that nobody holds");
        self.held = self.held.saturating_sub(1);
    }

    /// Whether a new one would be the same.
    pub(super) fn is_idle(&mut self, at: Timestamp) -> bool {
        self.held == 0 && self.heads.is_empty() && self.bucket.as_mut().is_none_or(|bucket| bucket.is_full(at))
    }
}
