//! The keys that a call of a task has used, and the waits that it has withdrawn.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::FailureKind;
use crate::model::limits::STEP_KEY_BYTES_MAX;

use super::code::{TaskError, TaskResult};
use super::context::{Context, Inner};
use super::keys::{Naming, Use, base, first_use};
use super::outbox::NoteKind;
use super::sides::scope_here;
use super::step::step_here;

/// The uses of one key in this call.
pub(in crate::runtime) struct Uses {
    count: u32,
    /// The tokio task that uses it.
    task: Option<tokio::task::Id>,
}

/// A wait or step whose future was dropped before it was ready.
#[derive(Debug)]
pub(in crate::runtime) struct Withdrawal {
    pub(super) step: String,
    /// Whether the work of an at-most-once step had begun.
    pub(super) begun: bool,
    /// Whether it is withdrawn even if the attempt fails, because others may be waiting for the same thing.
    pub(super) at_once: bool,
}

/// A key that was assigned.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// As it is stored.
    pub(super) step: String,
}

impl Context {
    /// Assigns the key under which something is remembered: the `n`th use of a key in a call gets `#n`.
    pub(super) fn unique(&self, what: Use<'_>) -> TaskResult<Given> {
        let naming = if self.inner().incarnation.is_some() { Naming::Exact } else { Naming::Glued };
        let scope = scope_here(self.inner(), &self.scope);
        let key = |nth| naming.key(&scope, what, nth);
        let first = key(1);
        if step_here(self.inner()).is_some() {
            let message =
                format!("`{first}` is used within a step, which is remembered as a whole; use it outside of the step");
            return Err(TaskError::permanent(message).with_kind(FailureKind::Nested));
        }
        self.activity().used();
        let (mut keys, task) = (lock(&self.inner().keys), tokio::task::try_id());
        let uses = keys.entry(first.clone()).or_insert(Uses { count: 0, task });
        if uses.task != task {
            let message = format!(
                "`{first}` is used from two tokio tasks, whose order is not deterministic; give each of them its \
                 own key or scope"
            );
            return Err(TaskError::permanent(message).with_kind(FailureKind::ConcurrentKey));
        }
        uses.count += 1;
        let step = key(uses.count);
        if step.len() > STEP_KEY_BYTES_MAX {
            return Err(TaskError::permanent(format!(
                "the key of a step is too long: at most {STEP_KEY_BYTES_MAX} bytes are allowed"
            )));
        }
        Ok(Given { step })
    }

    /// Whether an at-most-once step with the same key, on either side of a race, was interrupted: dropped after it had
    /// begun, or lost with its process.
    pub(super) fn was_interrupted(&self, step: &str) -> bool {
        lock(&self.inner().interrupted).contains(&base(step))
    }

    /// Withdraws a wait or step whose future was dropped, unless the driver dropped it.
    pub(super) fn withdraw(&self, what: Withdrawal) {
        if self.activity().is_over() {
            return;
        }
        if what.begun {
            lock(&self.inner().interrupted).insert(base(&what.step));
        }
        lock(&self.inner().withdrawals).push(what);
        if !self.activity().is_own_task() {
            // Otherwise it would only be sent with the next poll of the task, which this does not cause.
            self.inner().send_withdrawals(|_| true);
        }
    }

    /// Reports that an at-most-once step was about to start when the driver ended the call, and has not started.
    pub(super) fn withdraw_unstarted(&self, step: String) {
        self.inner().note(NoteKind::Withdrawn { step, begun: false });
    }

    /// Whether this call of the task has reached this use of the key.
    pub(super) fn was_asked_for(&self, step: &str) -> bool {
        let (first, nth) = first_use(step);
        lock(&self.inner().keys).get(first).is_some_and(|uses| nth <= uses.count)
    }
}

impl Inner {
    /// Sends the withdrawals that `which` selects to the driver and forgets the rest. Sent before the task's next
    /// request.
    pub(super) fn send_withdrawals(&self, which: impl Fn(&Withdrawal) -> bool) {
        for Withdrawal { step, begun, .. } in mem::take(&mut *lock(&self.withdrawals)).into_iter().filter(which) {
            self.note(NoteKind::Withdrawn { step, begun });
        }
    }
}

/// A panic while one of these locks is held cannot leave a change half done.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
