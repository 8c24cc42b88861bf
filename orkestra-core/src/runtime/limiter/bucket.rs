//! The slots of one key: how many are held, how many may begin, who waits.

use std::collections::BTreeSet;

use crate::model::Timestamp;

use super::limit::{Limit, Rate};

pub(super) struct Bucket<O> {
    pub(super) held: u32,
    pub(super) queue: BTreeSet<O>,
    at_once: Option<u32>,
    tokens: Option<Tokens>,
}

/// A token bucket in whole numbers: a token is worth the period in milliseconds, and each millisecond brings `count`.
struct Tokens {
    rate: Rate,
    level: u64,
    filled_at: Timestamp,
}

impl<O: Ord> Bucket<O> {
    /// A limit that is not known limits nothing: whoever checks plans has refused it before.
    pub(super) fn new(limit: Option<&Limit>, at: Timestamp) -> Self {
        let tokens = |rate: Rate| Tokens { rate, level: rate.full(), filled_at: at };
        Self {
            held: 0,
            queue: BTreeSet::new(),
            at_once: limit.and_then(|limit| limit.at_once),
            tokens: limit.and_then(|limit| limit.rate).map(tokens),
        }
    }

    pub(super) const fn is_rated(&self) -> bool {
        self.tokens.is_some()
    }

    pub(super) fn is_free(&self) -> bool {
        let begins = self.tokens.as_ref().is_none_or(|tokens| tokens.level >= tokens.rate.period_ms);
        begins && self.at_once.is_none_or(|at_once| self.held < at_once)
    }

    pub(super) fn take(&mut self) {
        self.held += 1;
        if let Some(tokens) = &mut self.tokens {
            tokens.level = tokens.level.saturating_sub(tokens.rate.period_ms);
        }
    }

    pub(super) fn refill(&mut self, at: Timestamp) {
        if let Some(tokens) = &mut self.tokens {
            tokens.refill(at);
        }
    }

    /// When the next token is there, if one is missing.
    pub(super) fn refilled_at(&self, at: Timestamp) -> Option<Timestamp> {
        let tokens = self.tokens.as_ref()?;
        let missing = tokens.rate.period_ms.checked_sub(tokens.level).filter(|missing| *missing > 0)?;
        let millis = missing.div_ceil(u64::from(tokens.rate.count));
        Some(at.saturating_add(std::time::Duration::from_millis(millis)))
    }

    /// Whether a new bucket would be the same.
    pub(super) fn is_idle(&mut self, at: Timestamp) -> bool {
        self.refill(at);
        let full = self.tokens.as_ref().is_none_or(|tokens| tokens.level == tokens.rate.full());
        self.held == 0 && self.queue.is_empty() && full
    }
}

impl Rate {
    const fn full(self) -> u64 {
        self.period_ms * self.count as u64
    }
}

impl Tokens {
    /// A clock that goes back brings nothing, and is followed: what it brings from there on counts.
    fn refill(&mut self, at: Timestamp) {
        let millis = u64::try_from(at.since(self.filled_at).as_millis()).unwrap_or(u64::MAX);
        let brought = millis.saturating_mul(u64::from(self.rate.count));
        self.level = self.level.saturating_add(brought).min(self.rate.full());
        self.filled_at = at;
    }
}
