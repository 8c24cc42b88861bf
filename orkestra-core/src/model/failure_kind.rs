//! The kinds of failures that the engine itself reports: one table with name, meaning and whether they are retried. A
//! task may use these kinds or any word of its own.

use std::fmt;

use super::Failure;

/// A kind of failure that the engine itself reports in [`Failure::kind`].
///
/// ```
/// use orkestra_core::model::{Failure, FailureKind, Retried};
///
/// let failure = Failure::retryable(FailureKind::TimedOut, "`fetch` took longer than 30000 ms");
/// assert!(failure.kind == FailureKind::TimedOut);
/// assert_eq!(failure.known_kind(), Some(FailureKind::TimedOut));
/// assert_eq!(FailureKind::Interrupted.retried(), Retried::Never);
/// assert_eq!(Failure::permanent("validation_failure", "3 tests failed").known_kind(), None);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureKind {
    /// The task returned an error without a kind of its own.
    Error,
    /// The task panicked. The failure has the message and the backtrace.
    Panic,
    /// An attempt, a step, or all attempts of a node together took longer than allowed, or a wait passed its time
    /// limit.
    TimedOut,
    /// A task gave no sign of life for longer than its node's heartbeat timeout.
    HeartbeatTimedOut,
    /// The process died repeatedly while the attempt was running.
    Crashed,
    /// An at-most-once step was interrupted. It may or may not have taken effect, so it is not repeated.
    Interrupted,
    /// The attempt was asked to stop, and stopped.
    Cancelled,
    /// The run was terminated before the node was compensated.
    Terminated,
    /// The input of a node does not fit its task, its condition cannot be decided, or its task is not registered.
    BadInput,
    /// An output or the result of a step cannot be written as JSON, is too large, or was stored as another type.
    BadOutput,
    /// The store could not be read or written on behalf of an attempt.
    Store,
    /// A step was started within another step.
    Nested,
    /// Two concurrent calls used the same key.
    ConcurrentKey,
    /// The task behaved differently from an earlier call: it waits for something that it dropped before.
    NotRepeatable,
    /// A child run failed. The message names the node and its failure.
    ChildFailed,
    /// A child run was cancelled.
    ChildCancelled,
    /// A child run was terminated.
    ChildTerminated,
    /// A child run passed its deadline.
    ChildTimedOut,
    /// A child run could not be started, or its id belongs to another run.
    ChildNotStarted,
    /// A child run or its output cannot be read.
    ChildDamaged,
}

/// Whether a failure of a kind is followed by another attempt, within the node's retry policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Retried {
    /// Yes: another attempt may succeed.
    Always,
    /// No: another attempt could not succeed.
    Never,
    /// It depends on the failure: see [`Failure::retryable`](Failure#structfield.retryable).
    Depends,
}

impl FailureKind {
    /// Every kind.
    pub const ALL: [Self; 20] = [
        Self::Error,
        Self::Panic,
        Self::TimedOut,
        Self::HeartbeatTimedOut,
        Self::Crashed,
        Self::Interrupted,
        Self::Cancelled,
        Self::Terminated,
        Self::BadInput,
        Self::BadOutput,
        Self::Store,
        Self::Nested,
        Self::ConcurrentKey,
        Self::NotRepeatable,
        Self::ChildFailed,
        Self::ChildCancelled,
        Self::ChildTerminated,
        Self::ChildTimedOut,
        Self::ChildNotStarted,
        Self::ChildDamaged,
    ];

    /// Its name in [`Failure::kind`] and in the journal, and whether it is retried.
    const fn row(self) -> (&'static str, Retried) {
        match self {
            // The task decides.
            Self::Error => ("error", Retried::Depends),
            Self::Panic => ("panic", Retried::Always),
            // Attempts and steps are retried; waits, and the limit on all attempts together, are not.
            Self::TimedOut => ("timed_out", Retried::Depends),
            Self::HeartbeatTimedOut => ("heartbeat_timed_out", Retried::Always),
            Self::Crashed => ("crashed", Retried::Always),
            Self::Interrupted => ("interrupted", Retried::Never),
            Self::Cancelled => ("cancelled", Retried::Never),
            Self::Terminated => ("terminated", Retried::Never),
            Self::BadInput => ("bad_input", Retried::Never),
            Self::BadOutput => ("bad_output", Retried::Never),
            Self::Store => ("store", Retried::Always),
            Self::Nested => ("nested", Retried::Never),
            Self::ConcurrentKey => ("concurrent_key", Retried::Never),
            Self::NotRepeatable => ("not_repeatable", Retried::Never),
            Self::ChildFailed => ("child_failed", Retried::Never),
            Self::ChildCancelled => ("child_cancelled", Retried::Never),
            Self::ChildTerminated => ("child_terminated", Retried::Never),
            Self::ChildTimedOut => ("child_timed_out", Retried::Never),
            Self::ChildNotStarted => ("child_not_started", Retried::Never),
            Self::ChildDamaged => ("child_damaged", Retried::Never),
        }
    }

    /// Its name in [`Failure::kind`] and in the journal.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.row().0
    }

    /// Whether the kind concerns a child run as a whole, and none of its nodes.
    pub(crate) const fn concerns_no_node(self) -> bool {
        matches!(self, Self::ChildNotStarted | Self::ChildDamaged)
    }

    /// Whether a failure of this kind is followed by another attempt.
    #[must_use]
    pub const fn retried(self) -> Retried {
        self.row().1
    }
}

impl Failure {
    /// The engine's kind of this failure; `None` when the task used a word of its own.
    #[must_use]
    pub fn known_kind(&self) -> Option<FailureKind> {
        FailureKind::ALL.into_iter().find(|kind| kind.name() == self.kind)
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl From<FailureKind> for String {
    fn from(kind: FailureKind) -> Self {
        kind.name().to_owned()
    }
}

impl PartialEq<FailureKind> for String {
    fn eq(&self, kind: &FailureKind) -> bool {
        *self == kind.name()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_kind_has_a_unique_name_and_is_found_by_it() {
        let names: BTreeSet<_> = FailureKind::ALL.map(FailureKind::name).into();
        assert_eq!(names.len(), FailureKind::ALL.len());
        for kind in FailureKind::ALL {
            assert_eq!(Failure::retryable(kind, "").known_kind(), Some(kind));
            assert_eq!(String::from(kind), kind.name());
        }
    }

    #[test]
    fn the_table_lists_every_kind() {
        for (position, kind) in FailureKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, position);
        }
        assert_eq!(FailureKind::ALL.len(), FailureKind::ChildDamaged as usize + 1, "the last kind ends the table");
    }
}
