//! How an engine is, at a glance.

use crate::model::Timestamp;

use super::handle::Engine;
use crate::runtime::error::Error;

/// The value that is read to see whether the store answers. There is none.
const PROBE: &str = "health";

/// How an engine is. See [`Engine::health`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Health {
    /// Why the store cannot be read, if it cannot. A store that refuses writes alone shows in `commits_failing`, then in
    /// `blocked`.
    pub store: Option<Error>,
    /// Whether the engine was shut down.
    pub shut_down: bool,
    /// Runs in memory, driven by this engine.
    pub live: usize,
    /// Runs that should go on and cannot here. See [`Engine::blocked`].
    pub blocked: usize,
    /// Commits that wait to be written. Of thousands, the store does not keep up.
    pub commits_waiting: usize,
    /// Those of them whose run waits because a write failed: they are written again for a minute.
    pub commits_failing: usize,
    /// Attempts that wait for slots of this engine's limits.
    pub slots_waiting: usize,
    /// Runs that wait for each other through a limit: one holds the last slot and waits for a child that needs one. See
    /// [`Engine::stuck`].
    pub deadlocked: usize,
    /// Schedules that wait for their time.
    pub schedules: usize,
    /// Schedules whose time has passed and whose runs cannot be started here, or which cannot be read.
    pub schedules_held_up: usize,
    /// The next time of all schedules.
    pub next_schedule: Option<Timestamp>,
}

impl Health {
    /// Whether nothing is wrong: the store answers, nothing is blocked or held up, and no runs wait for each other.
    #[must_use]
    pub const fn is_good(&self) -> bool {
        let held_up = self.blocked + self.deadlocked + self.commits_failing + self.schedules_held_up;
        self.store.is_none() && !self.shut_down && held_up == 0
    }
}

impl Engine {
    /// How the engine is. It costs one read of a value that is not there; the rest is counted in memory.
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
