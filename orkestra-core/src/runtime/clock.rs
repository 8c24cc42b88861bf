//! Where the runtime's time comes from: one place, so that tests can put their own there.

use ulid::Ulid;

use crate::model::Timestamp;

/// Tells the time.
pub trait Clock: Send + Sync + 'static {
    /// The time now. It may jump; within a run the engine never lets it go backwards.
    fn now(&self) -> Timestamp;
}

/// The system's clock.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place where the engine reads the clock")]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Timestamp::from_millis(u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX))
    }
}

/// An id that nobody had before: sortable by time, with 80 bits of chance.
#[expect(clippy::disallowed_methods, reason = "the one place where the engine makes ids")]
pub(super) fn fresh_id() -> String {
    Ulid::generate().to_string()
}
