//! A pool of a few connections, each used by one call at a time.
//!
//! sqlx's own pool pings a connection each time it is returned: one more round trip per call. This pool closes a
//! connection that failed or whose call was cancelled, and pings one only if it was idle for a while. A connection is
//! never returned with an answer pending.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{ConnectOptions, Connection, Executor};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::error::DatabaseError;

/// A statement with its parameters.
pub(super) type Statement<'q> = Query<'q, Postgres, PgArguments>;

/// After this idle time a connection is pinged, to notice a restart of the server without a round trip per call.
const IDLE_MAX: Duration = Duration::from_secs(5);
/// An idle connection that does not answer a ping within this time is dead. A new one is faster than waiting.
const PING_MAX: Duration = Duration::from_secs(2);
/// How much longer than the server's own time limit to wait for an answer before the connection counts as dead.
const GRACE: Duration = Duration::from_secs(5);
/// The most tries of a read: a restart of the server may have closed several connections.
const READS_MAX: usize = 3;

#[derive(Debug)]
pub(super) struct Pool {
    options: PgConnectOptions,
    /// Runs once per session.
    setup: &'static str,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<(PgConnection, Instant)>>,
    /// `None` in virtual time, which runs ahead of every answer.
    timeouts: Option<Timeouts>,
}

/// Time limits.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timeouts {
    /// For getting a connection.
    pub(super) acquire: Duration,
    /// For the answer of the server.
    pub(super) statement: Duration,
}

/// A connection in use. It is closed if it is dropped without being returned.
#[derive(Debug)]
pub(super) struct PooledConnection {
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

    /// Runs a read-only statement, and again on another connection if one was lost.
    pub(super) async fn read<'q>(
        &self,
        statement: impl Fn() -> Statement<'q> + Send,
    ) -> Result<Vec<PgRow>, DatabaseError> {
        let mut tries = 1;
        loop {
            match self.write(statement()).await {
                Err(error) if (error.breaks_connection() || error.is_transient()) && tries < READS_MAX => {
                    tries += 1;
                }
                answer => return answer,
            }
        }
    }

    /// Runs a statement once.
    pub(super) async fn write(&self, statement: Statement<'_>) -> Result<Vec<PgRow>, DatabaseError> {
        let mut taken = self.take().await?;
        let answer = self.with_timeout(statement.fetch_all(&mut taken.connection)).await;
        self.give_back(taken, answer)
    }

    /// Takes a connection for several statements.
    pub(super) async fn take(&self) -> Result<PooledConnection, DatabaseError> {
        let Some(Timeouts { acquire, .. }) = self.timeouts else {
            return self.find().await;
        };
        let too_long = |_| DatabaseError::NotSent(format!("no free connection within {acquire:?}"));
        tokio::time::timeout(acquire, self.find()).await.map_err(too_long)?
    }

    /// Returns a connection to the pool, or closes it if the answer says so.
    pub(super) fn give_back<T>(
        &self,
        taken: PooledConnection,
        answer: Result<T, DatabaseError>,
    ) -> Result<T, DatabaseError> {
        let broken = answer.as_ref().is_err_and(DatabaseError::breaks_connection);
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if broken {
            // What closed this connection has most likely closed the others.
            idle.clear();
        } else {
            idle.push((taken.connection, Instant::now()));
        }
        answer
    }

    /// Waits for an answer, with a time limit.
    pub(super) async fn with_timeout<T>(
        &self,
        answer: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, DatabaseError> {
        let answer = match self.timeouts {
            Some(Timeouts { statement, .. }) => match tokio::time::timeout(statement + GRACE, answer).await {
                Ok(answer) => answer,
                Err(_) => return Err(DatabaseError::Unknown("the database did not answer in time".into())),
            },
            None => answer.await,
        };
        answer.map_err(|error| DatabaseError::sent(&error))
    }

    async fn find(&self) -> Result<PooledConnection, DatabaseError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|_| DatabaseError::NotSent("the store is closed".into()))?;
        while let Some((mut connection, since)) = self.pop() {
            if since.elapsed() < IDLE_MAX || self.timeouts.is_none() || is_alive(&mut connection).await {
                return Ok(PooledConnection { connection, _permit: permit });
            }
            // What closed this connection has most likely closed the others.
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        let connection = self.connect().await?;
        Ok(PooledConnection { connection, _permit: permit })
    }

    fn pop(&self) -> Option<(PgConnection, Instant)> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop()
    }

    async fn connect(&self) -> Result<PgConnection, DatabaseError> {
        let mut connection = self.options.connect().await.map_err(|error| DatabaseError::connecting(&error))?;
        connection.execute(self.setup).await.map_err(|error| DatabaseError::connecting(&error))?;
        Ok(connection)
    }
}

async fn is_alive(connection: &mut PgConnection) -> bool {
    tokio::time::timeout(PING_MAX, connection.ping()).await.is_ok_and(|answer| answer.is_ok())
}
