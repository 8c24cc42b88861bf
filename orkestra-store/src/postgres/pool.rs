//! A few connections, each used by one call at a time.
//!
//! sqlx has a pool of its own, which asks the server whether a connection is well each time that it is given back: a round
//! trip more for each call. Here a connection that failed, or whose call was given up half-way, is closed; what has stood
//! idle for a while is asked before it is used. A connection never comes back here with an answer still under way.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{ConnectOptions, Connection, Executor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::error::Trouble;

/// A statement with its parameters.
pub(super) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// A server that was restarted is noticed by asking; asking each time would be a round trip each time.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// An idle line that does not answer within that is dead: a new one is faster than finding out.
const PING_MAX: Duration = Duration::from_secs(2);
/// How much longer than the server's own limit an answer is waited for before its line counts as dead.
const GRACE: Duration = Duration::from_secs(5);
/// Readers try as often: once for each connection that a restart of the server may have spoiled, within reason.
const READS_MAX: usize = 3;

/// The connections.
#[derive(Debug)]
pub(super) struct Pool {
    options: PgConnectOptions,
    /// Said to each new session.
    setup: &'static str,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<(PgConnection, Instant)>>,
    /// Nothing is given up in virtual time, which runs ahead of every answer.
    timeouts: Option<Timeouts>,
}

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// For a connection.
    pub(super) acquire: Duration,
    /// For the server to answer.
    pub(super) statement: Duration,
}

/// A connection in use. Dropped without being given back, it is closed.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) connection: PgConnection,
    _permit: OwnedSemaphorePermit,
}

impl Pool {
    pub(super) fn new(
        options: PgConnectOptions,
        setup: &'static str,
        connections: u32,
        timeouts: Option<Timeouts>,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(connections as usize));
        Self { options, setup, permits, idle: Mutex::default(), timeouts }
    }

    /// Runs a statement that changes nothing, and again on another connection when one was lost.
    pub(super) async fn read<'q>(&self, statement: impl Fn() -> Statement<'q> + Send) -> Result<Vec<PgRow>, Trouble> {
        let mut tries = 1;
        loop {
            match self.write(statement()).await {
                Err(trouble) if (trouble.spoils_connection() || trouble.is_passing()) && tries < READS_MAX => {
                    tries += 1;
                }
                answer => return answer,
            }
        }
    }

    /// Runs a statement once.
    pub(super) async fn write(&self, statement: Statement<'_>) -> Result<Vec<PgRow>, Trouble> {
        let mut taken = self.take().await?;
        let answer = self.within(statement.fetch_all(&mut taken.connection)).await;
        self.give_back(taken, answer)
    }

    /// A connection for several statements. Until it is given back, nobody else has it.
    pub(super) async fn take(&self) -> Result<Taken, Trouble> {
        let Some(Timeouts { acquire, .. }) = self.timeouts else {
            return self.find().await;
        };
        let too_long = |_| Trouble::NotSent(format!("no connection within {acquire:?}"));
        tokio::time::timeout(acquire, self.find()).await.map_err(too_long)?
    }

    /// Gives a connection back, unless it is of no use after this answer.
    pub(super) fn give_back<T>(&self, taken: Taken, answer: Result<T, Trouble>) -> Result<T, Trouble> {
        let spoilt = answer.as_ref().is_err_and(Trouble::spoils_connection);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if spoilt {
            // What has ended this one has most likely ended the others too.
            idle.clear();
        } else {
            idle.push((taken.connection, Instant::now()));
        }
        answer
    }

    /// Waits for an answer, but not for ever.
    pub(super) async fn within<T>(&self, answer: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, Trouble> {
        let answer = match self.timeouts {
            Some(Timeouts { statement, .. }) => match tokio::time::timeout(statement + GRACE, answer).await {
                Ok(answer) => answer,
                Err(_) => return Err(Trouble::Unknown("the database does not answer".into())),
            },
            None => answer.await,
        };
        answer.map_err(|error| Trouble::sent(&error))
    }

    async fn find(&self) -> Result<Taken, Trouble> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| Trouble::NotSent("the store is closed".into()))?;
        while let Some((mut connection, since)) = self.pop() {
            if since.elapsed() < IDLE_MAX || self.timeouts.is_none() || is_well(&mut connection).await {
                return Ok(Taken { connection, _permit: permit });
            }
            // What has ended this one has most likely ended the others too.
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        let connection = self.connect().await?;
        Ok(Taken { connection, _permit: permit })
    }

    fn pop(&self) -> Option<(PgConnection, Instant)> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    async fn connect(&self) -> Result<PgConnection, Trouble> {
        let mut connection = self.options.connect().await.map_err(|error| Trouble::connecting(&error))?;
        connection.execute(self.setup).await.map_err(|error| Trouble::connecting(&error))?;
        Ok(connection)
    }
}

async fn is_well(connection: &mut PgConnection) -> bool {
    tokio::time::timeout(PING_MAX, connection.ping()).await.is_ok_and(|answer| answer.is_ok())
}
