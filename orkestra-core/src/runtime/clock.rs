//! The source of the runtime's time, in one place so that tests can replace it.

use ulid::Ulid;

use crate::model::Timestamp;

/// A source of time.
pub trait Clock: Send + Sync + 'static {
    /// The current time. It may jump; within a run the engine never lets time go backwards.
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

/// A new unique id: sortable by time, with 80 random bits.
#[expect(clippy::disallowed_methods, reason = "the one place where the engine makes ids")]
pub(super) fn fresh_id() -> String {
    Ulid::generate().to_string()
}
