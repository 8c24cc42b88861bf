//! Stands here until the limiter is built.
use crate::model::{Name, RunId, SlotKey, Timestamp};
use std::time::Duration;
pub(super) struct Claim {
    pub(super) run: RunId,
    pub(super) node: Name,
    pub(super) attempt: u32,
    pub(super) slots: Vec<SlotKey>,
    pub(super) priority: i32,
}
/// A limit.
#[derive(Clone, Debug)]
pub struct Limit(Name);
impl Limit {
    pub(super) fn name(&self) -> &Name {
        &self.0
    }
}
pub(super) struct Limiter(Vec<Claim>);
impl Limiter {
    pub(super) fn new(_limits: Vec<Limit>) -> Self {
        Self(Vec::new())
    }
    pub(super) fn request(&mut self, _at: Timestamp, claim: Claim) {
        self.0.push(claim);
    }
    pub(super) fn hold(&mut self, _claim: Claim) {}
    pub(super) fn cancel(&mut self, _run: &RunId, _node: &Name) {}
    pub(super) fn release(&mut self, _run: &RunId, _node: &Name) {}
    pub(super) fn grants(&mut self, _at: Timestamp) -> (Vec<Claim>, Option<Timestamp>) {
        (std::mem::take(&mut self.0), None::<Timestamp>)
    }
}
const _: Duration = Duration::ZERO;
