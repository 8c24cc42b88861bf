//! A limit for one key: its free slots, and the requests that wait for them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::model::{SlotKey, Timestamp};

use super::bucket::Bucket;
use super::limit::Limit;

/// The slots of a request, deduplicated and sorted. Requests for the same slots fit at the same time, so they wait in
/// one line.
pub(super) type Line = Arc<[SlotKey]>;

/// The order of all waiting requests: higher priority first, then the earlier one.
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
    /// The first request of each line that waits for a slot here.
    pub(super) heads: BTreeMap<Rank, Line>,
    /// Those of them for which a slot here is reserved.
    pub(super) reserved_for: BTreeSet<Rank>,
    /// When a waiting request must be checked again.
    pub(super) wake_at: Option<Timestamp>,
}

impl Instance {
    pub(super) fn new(limit: &Limit, at: Timestamp) -> Self {
        Self {
            concurrency: limit.at_once,
            bucket: limit.rate.map(|rate| Bucket::new(rate, at)),
            held: 0,
            heads: BTreeMap::new(),
            reserved_for: BTreeSet::new(),
            wake_at: None,
        }
    }

    pub(super) fn is_available(&mut self, at: Timestamp) -> bool {
        self.has_free_slot() && self.bucket.as_mut().is_none_or(|bucket| bucket.has_token(at))
    }

    pub(super) fn has_free_slot(&self) -> bool {
        self.concurrency.is_none_or(|count| self.held < count)
    }

    /// How many slots are in use, and how many may be.
    pub(super) const fn use_of_slots(&self) -> (Option<u32>, Option<u32>) {
        (Some(self.held), self.concurrency)
    }

    /// Whether this slot is reserved for a request before `rank`.
    pub(super) fn is_reserved_before(&self, rank: Rank) -> bool {
        self.reserved_for.first().is_some_and(|first| *first < rank)
    }

    /// When a slot is available by time alone.
    pub(super) fn next(&self) -> Option<Timestamp> {
        self.bucket.as_ref().filter(|_| self.has_free_slot()).map(Bucket::next)
    }

    pub(super) fn take(&mut self, at: Timestamp) {
        self.held += 1;
        if let Some(bucket) = &mut self.bucket {
            bucket.take(at);
        }
    }

    /// Takes a slot without checking whether one is free.
    pub(super) fn hold(&mut self) {
        self.held += 1;
    }

    pub(super) fn release(&mut self) {
        debug_assert!(self.held > 0, "a slot was released that was not held");
        self.held = self.held.saturating_sub(1);
    }

    /// Whether a new instance would be the same.
    pub(super) fn is_idle(&mut self, at: Timestamp) -> bool {
        self.held == 0 && self.heads.is_empty() && self.bucket.as_mut().is_none_or(|bucket| bucket.is_full(at))
    }
}
