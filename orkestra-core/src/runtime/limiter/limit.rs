//! A limit as users define it.

use std::time::Duration;

use crate::model::{InvalidName, Name};

/// How many attempts may run at once, and how many may begin in a time, for each key that a node counts by.
///
/// Limits are of one engine in one process: two engines on one store hand out their slots each on its own. What ran when a
/// process died holds its slots again in the next one, also when that is more than the limit; a rate begins anew with a
/// full measure.
///
/// # Who goes first
/// An attempt gets all of its slots at once or none, so that none ever waits with a slot in its hands. Higher priority
/// goes first, then who came first; what lacks a slot is passed by those behind it that lack nothing. One that needs
/// several slots is not passed for ever: once each slot that it lacks was given away eight times to somebody behind it, its
/// other slots are kept for it. A low priority has no such right against a higher one.
///
/// ```
/// use std::time::Duration;
/// use orkestra_core::Limit;
/// use orkestra_core::prelude::*;
///
/// async fn call(_cx: Context, (): ()) -> TaskResult<()> {
///     Ok(())
/// }
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let workflow = Workflow::new("calls").node("call", call).limit_by("model", SlotBy::Label("customer".into())).build()?;
/// let limit = Limit::concurrency("model", 4).with_rate(100, Duration::from_secs(60));
/// let engine = Engine::builder().limit(limit).workflow(workflow).start().await?;
/// engine.run("calls").label("customer", "acme").start().await?.output::<()>().await?;
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limit {
    name: String,
    pub(super) at_once: Option<u32>,
    pub(super) rate: Option<Rate>,
}

/// So many in such a time; all of them may begin at once when none has for that long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) count: u32,
    pub(super) period_ms: u64,
}

impl Limit {
    /// At most `at_once` attempts at once, at least 1.
    #[must_use]
    pub fn concurrency(name: &str, at_once: u32) -> Self {
        Self { name: name.to_owned(), at_once: Some(at_once.max(1)), rate: None }
    }

    /// At most `count` attempts begin in `period`, at least 1 in a millisecond or more.
    #[must_use]
    pub fn rate(name: &str, count: u32, period: Duration) -> Self {
        Self { name: name.to_owned(), at_once: None, rate: None }.with_rate(count, period)
    }

    /// The same with a limit on how many attempts begin in `period`.
    #[must_use]
    pub fn with_rate(self, count: u32, period: Duration) -> Self {
        let period_ms = u64::try_from(period.as_millis()).unwrap_or(u64::MAX).clamp(1, u64::from(u32::MAX));
        Self { rate: Some(Rate { count: count.max(1), period_ms }), ..self }
    }

    /// The limit's name.
    pub(in super::super) fn name(&self) -> Result<Name, InvalidName> {
        Name::new(&self.name)
    }
}
