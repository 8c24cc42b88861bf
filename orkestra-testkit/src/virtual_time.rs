//! Virtual time: it stands still while any task can run, and jumps to the next timer when none can. A workflow that sleeps for
//! three days is tested in a millisecond.

use std::future::Future;

use orkestra_core::Clock;
use orkestra_core::model::Timestamp;
use tokio::time::Instant;

/// When virtual time begins by default: 1 January 2026.
const BEGINNING: Timestamp = Timestamp::from_millis(1_767_225_600_000);

/// A clock for engines under test. The engines of one test share it through clones.
#[derive(Clone, Copy, Debug)]
pub struct VirtualClock {
    beginning: Timestamp,
    origin: Instant,
}

impl VirtualClock {
    /// A clock that now shows the beginning of 2026.
    #[must_use]
    pub fn new() -> Self {
        Self::showing(BEGINNING)
    }

    /// A clock that now shows this time.
    #[must_use]
    pub fn showing(now: Timestamp) -> Self {
        Self { beginning: now, origin: Instant::now() }
    }
}

impl Default for VirtualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Timestamp {
        self.beginning.saturating_add(self.origin.elapsed())
    }
}

/// Runs a test in virtual time, on one thread. `tokio::time::sleep` in it advances the time.
///
/// ```
/// use orkestra_core::prelude::*;
/// use orkestra_testkit::{VirtualClock, run};
///
/// async fn rest(cx: Context, (): ()) -> TaskResult<()> {
///     cx.sleep(days(3)).await
/// }
///
/// run(async {
///     let workflow = Workflow::new("lazy").node("rest", rest).build()?;
///     let engine = Engine::builder().clock(VirtualClock::new()).workflow(workflow).start().await?;
///     let run = engine.run("lazy").id("monday").start().await?;
///     assert!(matches!(run.outcome().await?, Outcome::Completed(_)));
///     Ok::<_, Box<dyn std::error::Error>>(())
/// })?;
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
///
/// # Panics
/// When the test panics, or when called inside a runtime; a `#[tokio::test(start_paused = true)]` has virtual time without it.
pub fn run<F: Future>(test: F) -> F::Output {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime with only a timer needs no resources").block_on(test)
}
