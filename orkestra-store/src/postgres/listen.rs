//! Notifications about letters: a connection of its own, which reconnects by itself.
//!
//! A listener never claims to have heard everything: after each interruption it returns `None`.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};

use orkestra_core::model::RunId;
use orkestra_core::store::Listener;

/// The first pause before reconnecting. It doubles up to the maximum.
const PAUSE: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// Listens on one channel. The first `next` connects and returns `None`: letters sent before must be looked for.
pub(super) struct DatabaseListener {
    options: PgConnectOptions,
    channel: String,
    state: State,
}

enum State {
    /// Kept, so that dropping a `next` does not restart connecting.
    Connecting(BoxFuture<'static, PgListener>),
    Listening(Box<PgListener>),
}

impl DatabaseListener {
    pub(super) fn new(options: PgConnectOptions, channel: String) -> Self {
        let state = connecting(&options, &channel);
        Self { options, channel, state }
    }
}

impl fmt::Debug for DatabaseListener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseListener").field("channel", &self.channel).finish_non_exhaustive()
    }
}

fn connecting(options: &PgConnectOptions, channel: &str) -> State {
    let (options, channel) = (options.clone(), channel.to_owned());
    State::Connecting(connect_with_retries(options, channel).boxed())
}

async fn connect_with_retries(options: PgConnectOptions, channel: String) -> PgListener {
    let mut pause = PAUSE;
    loop {
        match connect(options.clone(), &channel).await {
            Ok(listener) => return listener,
            Err(error) => tracing::debug!(%error, "cannot listen for letters; trying again"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

async fn connect(options: PgConnectOptions, channel: &str) -> Result<PgListener, sqlx::Error> {
    let pool = PgPoolOptions::new().max_connections(1).max_lifetime(None).idle_timeout(None);
    let mut listener = PgListener::connect_with(&pool.connect_lazy_with(options)).await?;
    listener.eager_reconnect(false);
    listener.listen(channel).await?;
    Ok(listener)
}

#[async_trait]
impl Listener for DatabaseListener {
    async fn next(&mut self) -> Option<RunId> {
        loop {
            match &mut self.state {
                State::Connecting(listener) => {
                    self.state = State::Listening(Box::new(listener.await));
                    return None;
                }
                State::Listening(listener) => match listener.try_recv().await {
                    Ok(Some(told)) => {
                        // Any client can notify. Ignore what is not a run id.
                        if let Ok(run) = RunId::new(told.payload()) {
                            return Some(run);
                        }
                    }
                    Ok(None) | Err(_) => self.state = connecting(&self.options, &self.channel),
                },
            }
        }
    }
}
