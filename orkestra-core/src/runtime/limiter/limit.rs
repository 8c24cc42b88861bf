//! The definition of a limit.

use std::time::Duration;

use crate::model::{InvalidName, Name};

/// Limits how many attempts run at once, and how many begin within a period, for each key that a node counts by.
///
/// A limit belongs to one engine in one process: two engines on one store grant their slots independently. Attempts
/// that were running when a process died hold their slots again in the next one, even if that exceeds the limit; a rate
/// starts again with its full quota.
///
/// # Who goes first
/// An attempt is granted all of its slots at once or none, so no attempt waits while it holds some. Higher priority
/// goes first, then the earliest request; a request that lacks a slot is passed by later ones that lack nothing. A
/// request for several slots is not passed forever: once each slot that it lacks was given eight times to later
/// requests, its other slots are reserved for it. This does not protect a lower priority from a higher one.
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

/// `count` attempts per period. All of them may begin at once if none has begun for that long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) count: u32,
    pub(super) period_ms: u64,
}

impl Limit {
    /// At most `at_once` attempts at once; 0 counts as 1.
    #[must_use]
    pub fn concurrency(name: &str, at_once: u32) -> Self {
        Self { name: name.to_owned(), at_once: Some(at_once.max(1)), rate: None }
    }

    /// At most `count` attempts begin within `period`. 0 counts as 1, a shorter period as 1 millisecond.
    #[must_use]
    pub fn rate(name: &str, count: u32, period: Duration) -> Self {
        Self { name: name.to_owned(), at_once: None, rate: None }.with_rate(count, period)
    }

    /// Also limits how many attempts begin within `period`.
    #[must_use]
    pub fn with_rate(self, count: u32, period: Duration) -> Self {
        let period_ms = u64::try_from(period.as_millis()).unwrap_or(u64::MAX).clamp(1, u64::from(u32::MAX));
        Self { rate: Some(Rate { count: count.max(1), period_ms }), ..self }
    }

    /// The limit's name, if it is valid.
    pub(in super::super) fn name(&self) -> Result<Name, InvalidName> {
        Name::new(&self.name)
    }
}
