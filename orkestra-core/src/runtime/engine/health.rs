//! The health of an engine.

use crate::model::Timestamp;

use super::handle::Engine;
use crate::runtime::error::Error;

/// The key that is read to see whether the store answers. It does not exist.
const PROBE: &str = "health";

/// The health of an engine. See [`Engine::health`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// Why the store cannot be read, if it cannot. A store that only refuses writes shows in `commits_failing`, then in
    /// `blocked`.
    pub store: Option<Error>,
    /// Whether the engine was shut down.
    pub shut_down: bool,
    /// Number of runs in memory, driven by this engine.
    pub live: usize,
    /// Number of runs that should continue but cannot in this engine. See [`Engine::blocked`].
    pub blocked: usize,
    /// Number of commits waiting to be written. Thousands mean that the store does not keep up.
    pub commits_waiting: usize,
    /// Number of those commits whose run waits because a write failed. The write is retried for a minute.
    pub commits_failing: usize,
    /// Number of attempts waiting for slots of this engine's limits.
    pub slots_waiting: usize,
    /// Number of runs that wait for each other through a limit: one holds the last slot and waits for a child that
    /// needs one. See [`Engine::stuck`].
    pub deadlocked: usize,
    /// Number of schedules waiting for their next time.
    pub schedules: usize,
    /// Number of schedules that cannot be read, or whose time has passed but whose runs cannot be started here.
    pub schedules_held_up: usize,
    /// The earliest next time of all schedules.
    pub next_schedule: Option<Timestamp>,
}

impl Health {
    /// Whether the engine is healthy: the store answers, nothing is blocked or held up, no writes fail, and no runs
    /// wait for each other.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        let held_up = self.blocked + self.deadlocked + self.commits_failing + self.schedules_held_up;
        self.store.is_none() && !self.shut_down && held_up == 0
    }
}

impl Engine {
    /// Reports the engine's health. It costs one read of a key that does not exist; the rest is counted in memory.
    ///
    /// ```
    /// use orkestra_core::prelude::*;
    ///
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let workflow = Workflow::new("ask").gate::<bool>("approve").build()?;
    /// let engine = Engine::builder().workflow(workflow).start().await?;
    /// engine.run("ask").start().await?;
    /// let health = engine.health().await;
    /// assert!(health.is_good());
    /// assert_eq!(health.live, 1);
    /// # Ok(()) }
    /// ```
    pub async fn health(&self) -> Health {
        let shared = self.shared();
        let (schedules, next_schedule, schedules_held_up) = shared.schedules.glance();
        Health {
            store: shared.store.get(PROBE).await.err().map(Error::from),
            shut_down: shared.shutdown.get(),
            live: shared.live.count(),
            blocked: self.blocked().len(),
            commits_waiting: shared.committer.waiting(),
            commits_failing: shared.committer.failing(),
            slots_waiting: shared.slots.waiting(),
            deadlocked: shared.slots.deadlocked(),
            schedules,
            schedules_held_up,
            next_schedule,
        }
    }
}
