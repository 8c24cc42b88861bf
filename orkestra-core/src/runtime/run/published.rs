//! What the tasks of a run have published.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use crate::kernel::RunState;
use crate::model::{Name, Payload};

use super::handle::Run;
use crate::runtime::error::Error;
use crate::runtime::storage::load::load;

impl Run {
    /// The value that a task of the run has published last under this key, with [`Context::publish`](crate::Context::publish);
    /// none when there is none. It is durable, and read from the store: while the run is live, after its end, from any
    /// process.
    ///
    /// ```
    /// # use orkestra_core::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// async fn count(cx: Context, pages: u32) -> TaskResult<()> {
    ///     cx.publish("progress", pages / 2).await?;
    ///     cx.publish("progress", pages).await
    /// }
    /// let workflow = Workflow::new("pages").node("count", count).build()?;
    /// let engine = Engine::builder().store(MemoryStore::new()).workflow(workflow).start().await?;
    /// let run = engine.run("pages").id("monday").input(10)?.start().await?;
    /// run.outcome().await?;
    /// assert_eq!(run.published::<u32>("progress").await?, Some(10));
    /// assert_eq!(run.published::<u32>("address").await?, None);
    /// # Ok(()) }
    /// ```
    ///
    /// # Errors
    /// When the store cannot be read, the journal is damaged, the run was deleted, or the value is no `T`.
    pub async fn published<T: DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Error> {
        let published = self.all_published().await?;
        match published.get(key) {
            Some(value) => Ok(Some(self.value(value).await?)),
            None => Ok(None),
        }
    }

    /// All that the run's tasks have published, by key. A large value is a reference: read it with [`Run::value`].
    ///
    /// # Errors
    /// As [`Run::view`].
    pub async fn all_published(&self) -> Result<BTreeMap<Name, Payload>, Error> {
        let shared = self.shared();
        let state = shared.patiently(|| load(&*shared.store, self.id())).await?;
        state.as_ref().map(RunState::published).cloned().ok_or_else(|| self.not_found())
    }
}
