//! Retries while the store fails, or while another engine is about to do what was requested.
//!
//! A caller sees a delay, not an error, unless it lasts longer than [`STORE_PATIENCE`].

use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::limits::STORE_PATIENCE;
use crate::store::{StoreError, StoreErrorKind};

use super::panics;
use crate::runtime::error::Error;

/// The first delay before the next try; doubled each time.
const AGAIN_AFTER: Duration = Duration::from_millis(10);
/// The longest such delay.
const AGAIN_AFTER_MAX: Duration = Duration::from_millis(500);

/// Growing delays up to a limit.
pub(in crate::runtime) struct Patience {
    delay: Duration,
    until: Instant,
}

impl Patience {
    pub(in crate::runtime) fn new(most: Duration) -> Self {
        Self { delay: AGAIN_AFTER, until: Instant::now() + most }
    }

    /// Waits before the next try; returns `error` if the time is up.
    pub(in crate::runtime) async fn rest(&mut self, error: Error) -> Result<(), Error> {
        if Instant::now() >= self.until {
            return Err(error);
        }
        let delay = self.delay;
        self.delay = (delay * 2).min(AGAIN_AFTER_MAX);
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

/// The store's answer. A panic counts as an error.
pub(in crate::runtime) async fn guarded<T, E>(asked: impl Future<Output = Result<T, E>>) -> Result<T, Error>
where
    E: Into<Error>,
{
    match panics::guard(asked).await {
        Ok(answer) => answer.map_err(Into::into),
        Err(panic) => Err(StoreError::new(StoreErrorKind::Io, format!("the store panicked: {panic}")).into()),
    }
}

/// The store's answer, retried for a while if it fails temporarily. For work that is dropped when the engine shuts
/// down.
pub(in crate::runtime) async fn insist<T, E, F>(ask: impl Fn() -> F + Send) -> Result<T, Error>
where
    F: Future<Output = Result<T, E>> + Send,
    E: Into<Error>,
{
    let mut patience = Patience::new(STORE_PATIENCE);
    loop {
        let error = match guarded(ask()).await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        if !matches!(error.store_kind(), Some(StoreErrorKind::Io | StoreErrorKind::Busy)) {
            return Err(error);
        }
        patience.rest(error).await?;
    }
}
