//! A durable workflow engine to embed, and an agent pipeline built on it.
//!
//! A *workflow* is a graph of tasks. Each *run* of it is stored as a journal of events, so that it survives the death of the
//! process: after a restart every run continues from its last durable event. Work inside [`Context::step`] is not repeated.
//!
//! This crate is the facade. It re-exports the engine (`orkestra-core`), the stores that its features select
//! (`orkestra-store`), and, with the feature `agents`, the agent pipeline.
//!
//! ```
//! use orkestra::prelude::*;
//!
//! async fn greet(cx: Context, name: String) -> TaskResult<String> {
//!     cx.step("greeting", || async { Ok::<_, TaskError>(format!("Hello, {name}!")) }).await
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path();
//! let workflow = Workflow::new("greeting").node("greet", greet).build()?;
//! let engine = Engine::builder().store(SledStore::open(path)?).workflow(workflow).start().await?;
//! let run = engine.run("greeting").id("first").input("world")?.start().await?;
//! assert_eq!(run.output::<String>().await?, "Hello, world!");
//! # Ok(()) }
//! ```
//!
//! # Where to start
//!
//! - [`prelude`] has everything that a first workflow needs.
//! - [`Workflow`], [`Context`], [`Engine`] and [`Run`] are the four types that you use most.
//! - `docs/verbs.md` in the repository has every operation with its guarantees and an example, `docs/store.md` compares the
//!   stores.
//!
//! # Features
//!
//! | feature | adds | default |
//! |---|---|---|
//! | `sled` | [`store::SledStore`]: one directory, no service | yes |
//! | `fjall` | `store::FjallStore`: the same, for large amounts of data | no |
//! | `postgres` | `store::PostgresStore`: many processes on one database; name each engine with [`EngineBuilder::worker`] | no |
//! | `yaml` | workflows from YAML | no |
//! | `schedules` | schedules by cron expression, in time zones; schedules with a period need no feature | no |
//! | `agents` | modules `agents` and `tools`: models, tools, sandbox, the pipeline of planner, backend, frontend and qa | no |
//! | `unstable` | `kernel`, `journal`: the rules and the bytes, which may change in any version | no |
//!
//! What events, views and records say is in [`event`], ids and workflows in [`model`], the backends in [`store`], drawings and
//! timelines in [`projection`]; the [`prelude`] has what most programs need of them.

pub use orkestra_core::{
    BuildError, CatchUp, Clock, Context, Cursor, Engine, EngineBuilder, ErasedTask, Error, ErrorKind, Events, Feed,
    Finding, Fire, FireOutcome, Health, IntoTask, Limit, Overlap, Pulse, Retention, Run, RunEvent, RunRequest,
    Schedule, ScheduleStatus, Schedules, Step, SystemClock, Task, TaskError, TaskResult, TypeTag, UpgradeReport, Wait,
    When, Winner, Workflow, WorkflowBuilder,
};
pub use orkestra_core::{event, model, projection, telemetry};

#[cfg(feature = "unstable")]
pub use orkestra_core::{journal, kernel};

/// Names that programs may have used before the types were where they are now. Aliases, because rustc warns of no re-export.
#[cfg(not(feature = "unstable"))]
macro_rules! moved {
    ($note:literal, $home:path: $($name:ident)*) => {
        use $home as home;
        $(
            #[deprecated(since = "0.1.0", note = $note)]
            #[doc(hidden)]
            pub type $name = home::$name;
        )*
    };
}

#[cfg(not(feature = "unstable"))]
#[deprecated(since = "0.1.0", note = "use `orkestra::event`; for the rest turn on the feature `unstable`")]
#[doc(hidden)]
pub mod kernel {
    moved!("use `orkestra::event`", orkestra_core::event: Abandoned Event Next NodeStatus Outcome PauseReason RunStatus SkipReason StopReason Undo UnknownStatus);
    #[deprecated(since = "0.1.0", note = "turn on the feature `unstable`")]
    #[doc(hidden)]
    pub type RunState = orkestra_core::kernel::RunState;
}

#[cfg(not(feature = "unstable"))]
#[deprecated(since = "0.1.0", note = "use `orkestra::store::Written`; for the rest turn on the feature `unstable`")]
#[doc(hidden)]
pub mod journal {
    moved!("use `orkestra::store::Written`; for the rest turn on the feature `unstable`", orkestra_core::journal: CodecError Commit ReplayError Replayer Written);
    pub use orkestra_core::journal::decode;
}

/// Backends of the engine.
pub mod store {
    pub use orkestra_core::store::*;
    pub use orkestra_store::*;
}

#[cfg(feature = "agents")]
pub use orkestra_agents as agents;
#[cfg(feature = "agents")]
pub use orkestra_tools as tools;

/// The examples of `docs/verbs.md`, which are doc tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/verbs.md")]
#[derive(Debug)]
pub struct Verbs;

/// The examples of `docs/store.md`, which are doc tests.
#[cfg(doctest)]
#[doc = include_str!("../docs/store.md")]
#[derive(Debug)]
pub struct Stores;

/// Everything that a first workflow needs.
pub mod prelude {
    pub use orkestra_core::prelude::*;
    #[cfg(any(feature = "sled", feature = "fjall"))]
    pub use orkestra_store::Durability;
    #[cfg(feature = "fjall")]
    pub use orkestra_store::FjallStore;
    #[cfg(feature = "sled")]
    pub use orkestra_store::SledStore;
    #[cfg(feature = "postgres")]
    pub use orkestra_store::{PostgresDurability, PostgresStore};
}
