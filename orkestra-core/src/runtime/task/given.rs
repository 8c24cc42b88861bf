//! The keys that a call of a task has given out, and what it has let go.

use std::mem;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::FailureKind;
use crate::model::limits::STEP_KEY_BYTES_MAX;

use super::code::{TaskError, TaskResult};
use super::context::{Context, Inner};
use super::keys::{Naming, Use, base, first_use};
use super::outbox::Told;
use super::sides::scope_here;
use super::step::step_here;

/// The uses of one key in this invocation.
pub(in crate::runtime) struct Uses {
    count: u32,
    /// The tokio task of all of them.
    task: Option<tokio::task::Id>,
}

/// A wait or step whose future was dropped before it was ready.
#[derive(Debug)]
pub(in crate::runtime) struct LetGo {
    pub(super) step: String,
    /// Whether the work of a step that must not be done twice had begun.
    pub(super) begun: bool,
    /// Whether it is let go even if the attempt fails: others may be waiting for what it got.
    pub(super) at_once: bool,
}

/// A key that was given out.
#[derive(Clone, Debug)]
pub(super) struct Given {
    /// As it is written down.
    pub(super) step: String,
}

impl Context {
    /// The key under which something is remembered: the `n`th use of one key in an invocation gets `#n`.
    pub(super) fn unique(&self, what: Use<'_>) -> TaskResult<Given> {
        let naming = if self.inner().incarnation.is_some() { Naming::Exact } else { Naming::Glued };
        let scope = scope_here(self.inner(), &self.scope);
        let key = |nth| naming.key(&scope, what, nth);
        let first = key(1);
        if step_here(self.inner()).is_some() {
            let message = format!("`{first}` stands within a step, which is remembered as a whole: ask for it outside");
            return Err(TaskError::permanent(message).with_kind(FailureKind::Nested));
        }
        self.activity().used();
        let (mut keys, task) = (lock(&self.inner().keys), tokio::task::try_id());
        let uses = keys.entry(first.clone()).or_insert(Uses { count: 0, task });
        if uses.task != task {
            let message = format!(
                "`{first}` is used from two tokio tasks, and which comes first is left to chance: give each a key of its \
                 own, or a scope"
            );
            return Err(TaskError::permanent(message).with_kind(FailureKind::ConcurrentKey));
        }
        uses.count += 1;
        let step = key(uses.count);
        if step.len() > STEP_KEY_BYTES_MAX {
            return Err(TaskError::permanent(format!("the key of a step has at most {STEP_KEY_BYTES_MAX} bytes")));
        }
        Ok(Given { step })
    }

    /// Whether a step that must not be done twice was begun and let go, or lost, as another use of this key, on whichever side
    /// of a race.
    pub(super) fn was_interrupted(&self, step: &str) -> bool {
        lock(&self.inner().interrupted).contains(&base(step))
    }

    /// Lets a wait or a step go whose future was dropped. What its driver drops is not let go.
    pub(super) fn let_go(&self, what: LetGo) {
        if self.activity().is_over() {
            return;
        }
        if what.begun {
            lock(&self.inner().interrupted).insert(base(&what.step));
        }
        lock(&self.inner().let_go).push(what);
        if !self.activity().is_home() {
            // Nobody polls the task because of it.
            self.inner().tell_let_go(|_| true);
        }
    }

    /// Says of a step that must not be done twice that it was about to begin when its driver ended the call, and has not.
    pub(super) fn has_not_begun(&self, step: String) {
        self.inner().note(Told::LetGo { step, begun: false });
    }

    /// Whether this call of the task has come to where the key is used.
    pub(super) fn was_asked_for(&self, step: &str) -> bool {
        let (first, nth) = first_use(step);
        lock(&self.inner().keys).get(first).is_some_and(|uses| nth <= uses.count)
    }
}

impl Inner {
    /// Tells the driver what was let go, if `which` says so; the rest is forgotten. It comes before whatever the task asks for next.
    pub(super) fn tell_let_go(&self, which: impl Fn(&LetGo) -> bool) {
        for LetGo { step, begun, .. } in mem::take(&mut *lock(&self.let_go)).into_iter().filter(which) {
            self.note(Told::LetGo { step, begun });
        }
    }
}

/// Nothing that holds one of these locks can panic half-way through a change.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
