//! Triggers in the database record who wrote each commit, from which address and when, and who claimed and released
//! which run. What workers report themselves is not used here.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::Duration;

use orkestra_core::journal::{Replayer, Written};
use orkestra_core::kernel::RunStatus;
use orkestra_core::model::{Epoch, RunId, Seq};
use orkestra_core::store::{Append, AppendError, Store};
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection, Row};

use super::super::support::Database;
use super::network::address;

/// Records each change of a run's row, with its author and time. Renewals are excluded.
const TRIGGERS: &str = "
    ALTER TABLE journal ADD COLUMN writer text DEFAULT coalesce(host(inet_client_addr()), 'parent'),
        ADD COLUMN seen_at int8 DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000)::int8;
    CREATE TABLE seen (number bigserial PRIMARY KEY, run text, worker text, epoch int8, held bool, due_at int8, status text,
        writer text DEFAULT coalesce(host(inet_client_addr()), 'parent'),
        seen_at int8 DEFAULT (extract(epoch FROM clock_timestamp()) * 1000000)::int8);
    CREATE INDEX seen_run ON seen (run, number);
    CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO seen (run, worker, epoch, held, due_at, status)
        VALUES (NEW.id, NEW.worker, NEW.epoch, NEW.until IS NOT NULL, NEW.due_at, NEW.status);
        RETURN NULL;
    END $$;
    CREATE TRIGGER see_born AFTER INSERT ON runs FOR EACH ROW EXECUTE FUNCTION see();
    CREATE TRIGGER see_moved AFTER UPDATE ON runs FOR EACH ROW WHEN (OLD.epoch <> NEW.epoch OR OLD.status IS DISTINCT FROM
        NEW.status OR OLD.due_at IS DISTINCT FROM NEW.due_at OR (OLD.until IS NULL) <> (NEW.until IS NULL))
        EXECUTE FUNCTION see();";

/// Runs that a worker held at a moment and that were due, each with the time when another worker had it. Excludes runs
/// that were ended or parked by statements already on their way to the server.
const TAKEN_OVER: &str = "
    WITH stood AS (SELECT DISTINCT ON (run) * FROM seen WHERE seen_at <= $2 ORDER BY run, number DESC)
    SELECT s.run, (SELECT min(n.seen_at) FROM seen n
        WHERE n.run = s.run AND n.number > s.number AND n.epoch > s.epoch AND n.worker <> s.worker) - $2
    FROM stood s WHERE s.held AND s.worker = $1 AND s.due_at <= $2 / 1000 AND s.status = 'running'
        AND NOT EXISTS (SELECT FROM seen n WHERE n.run = s.run AND n.number > s.number AND n.epoch = s.epoch
            AND NOT (n.status = 'running' AND coalesce(n.due_at <= $2 / 1000, false)) AND n.seen_at < $2 + 500000)";

/// The first epoch of each run that had several workers.
const SUPERSEDED: &str = "
    SELECT s.id, s.last, min(f.epoch) FROM runs s JOIN seen f ON f.run = s.id AND f.held AND f.worker <> 'parent'
    GROUP BY s.id, s.last HAVING count(DISTINCT f.worker) > 1 ORDER BY s.id LIMIT 200";

pub(crate) struct Witness(PgConnection);

/// The effects of steps.
#[derive(Debug)]
pub(crate) struct Effects {
    pub(crate) all: usize,
    pub(crate) repeated: usize,
    /// The times of all activity of each worker's tasks.
    pub(crate) by_worker: BTreeMap<String, Vec<i64>>,
}

/// When the result of a step was committed, by run, node and step.
type Results = HashMap<(String, String, String), i64>;

impl Witness {
    pub(crate) async fn install(database: &Database) -> Self {
        let mut connection = PgConnection::connect(&database.url).await.expect("the server answers");
        let sql = format!("SET search_path = {}; {TRIGGERS}", database.schema);
        connection.execute(AssertSqlSafe(sql)).await.expect("the triggers are created");
        Self(connection)
    }

    async fn count(&mut self, sql: &'static str) -> i64 {
        let row = self.0.fetch_one(sql).await.expect("the server answers");
        row.get(0)
    }

    /// How long it took until others had what `worker` held at `moment`.
    pub(crate) async fn taken_over(&mut self, worker: usize, moment: i64) -> Vec<Duration> {
        let query = sqlx::query(TAKEN_OVER).bind(format!("w{worker}")).bind(moment);
        let rows = query.fetch_all(&mut self.0).await.expect("the server answers");
        let mut times = Vec::new();
        for row in rows {
            let micros: Option<i64> = row.get(1);
            let micros = micros.unwrap_or_else(|| panic!("no worker took over run {}", row.get::<String, _>(0)));
            times.push(Duration::from_micros(micros.try_into().expect("later than the moment")));
        }
        times.sort_unstable();
        times
    }

    /// How many runs a worker has claimed since `moment`.
    pub(crate) async fn claims_since(&mut self, worker: usize, moment: i64) -> i64 {
        let sql = "SELECT count(DISTINCT epoch) FROM seen WHERE worker = $1 AND writer = $2 AND seen_at > $3 AND held";
        let query = sqlx::query(sql).bind(format!("w{worker}")).bind(address(worker)).bind(moment);
        query.fetch_one(&mut self.0).await.expect("the server answers").get(0)
    }

    /// How long after `moment` a worker made its first claim.
    pub(crate) async fn first_claim_after(&mut self, worker: usize, moment: i64) -> Option<Duration> {
        let sql = "SELECT min(seen_at) - $2 FROM seen WHERE writer = $1 AND seen_at > $2 AND held";
        let query = sqlx::query(sql).bind(address(worker)).bind(moment);
        let micros: Option<i64> = query.fetch_one(&mut self.0).await.expect("the server answers").get(0);
        micros.map(|micros| Duration::from_micros(micros.unsigned_abs()))
    }

    /// Late commits of earlier owners of runs, which must be fenced. Returns how many were tried.
    pub(crate) async fn late_writes_must_be_fenced(&mut self, store: &dyn Store) -> usize {
        let rows = self.0.fetch_all(SUPERSEDED).await.expect("the server answers");
        let number = |row: &PgRow, at: usize| row.get::<i64, _>(at).unsigned_abs();
        let late = |row: &PgRow| {
            let (run, next) = (RunId::new(row.get::<String, _>(0)).expect("an id"), Seq(number(row, 1) + 1));
            let commit =
                Written { run, first: next, last: next, epoch: Epoch(number(row, 2)), body: (*b"late").into() };
            Append { commit, record: None, taken: Vec::new() }
        };
        let answers = store.append(rows.iter().map(late).collect()).await;
        let fenced = |answer: &Result<(), AppendError>| matches!(answer, Err(AppendError::Fenced { .. }));
        assert!(answers.iter().all(fenced), "{answers:?}");
        answers.len()
    }

    /// When the last commit of each run was written.
    pub(crate) async fn ends(&mut self) -> HashMap<String, i64> {
        let sql = "SELECT run, max(seen_at) FROM journal GROUP BY run";
        let rows = self.0.fetch_all(sql).await.expect("the server answers");
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    }

    /// What must always hold: one writer per epoch, the one that claimed it, and nothing left over.
    pub(crate) async fn must_be_consistent(&mut self) {
        let falling = "SELECT count(*) FROM (SELECT epoch, lag(epoch) OVER (PARTITION BY run ORDER BY first) AS before
            FROM journal) AS j WHERE before > epoch";
        assert_eq!(self.count(falling).await, 0, "epochs that fall within a journal");
        let shared =
            "SELECT count(*) FROM (SELECT 1 FROM journal GROUP BY run, epoch HAVING count(DISTINCT writer) > 1) AS j";
        assert_eq!(self.count(shared).await, 0, "epochs under which two have written");
        let stolen = "SELECT count(*) FROM journal j WHERE NOT EXISTS (SELECT FROM seen s
            WHERE s.run = j.run AND s.epoch = j.epoch AND s.held AND s.writer = j.writer)";
        assert_eq!(self.count(stolen).await, 0, "commits of a worker that had not claimed the run");
        let late = "SELECT count(*) FROM journal j JOIN seen s ON s.run = j.run AND s.epoch > j.epoch AND s.seen_at < j.seen_at";
        assert_eq!(self.count(late).await, 0, "commits under an epoch that was not the newest");
        assert_eq!(self.count("SELECT count(*) FROM letters").await, 0, "letters are left");
        assert_eq!(self.count("SELECT count(*) FROM runs WHERE mail <> 0").await, 0, "letters are counted");
        assert_eq!(self.count("SELECT count(*) FROM runs WHERE due_at IS NOT NULL").await, 0, "runs are due");
        let writers = self.0.fetch_all("SELECT writer, count(*) FROM journal GROUP BY 1 ORDER BY 1").await;
        for row in writers.expect("the server answers") {
            println!("  {} wrote {} commits", row.get::<String, _>(0), row.get::<i64, _>(1));
        }
    }

    /// Replays every journal. Returns the number of runs, and when the results of steps were committed.
    pub(crate) async fn replay_all(&mut self, store: &dyn Store) -> (usize, Results) {
        let rows = self.0.fetch_all("SELECT run, first, seen_at FROM journal").await.expect("the server answers");
        let times: HashMap<(String, i64), i64> =
            rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect();
        let rows = self.0.fetch_all("SELECT id FROM runs").await.expect("the server answers");
        let mut results = Results::new();
        for row in &rows {
            let run = RunId::new(row.get::<String, _>(0)).expect("an id");
            let mut replayer = Replayer::new(run.clone());
            for written in store.read(&run, Seq(1), usize::MAX).await.expect("it is read") {
                let first = i64::try_from(written.first.0).expect("a small number");
                let at = times[&(run.to_string(), first)];
                let commit = replayer.add(&written).unwrap_or_else(|error| panic!("{run} does not replay: {error}"));
                for (node, step) in commit.events.iter().filter_map(|event| event.settled_step()) {
                    results.insert((run.to_string(), node.to_string(), step.to_owned()), at);
                }
            }
            let status = replayer.finish().map(|state| state.status());
            assert_eq!(status, Some(RunStatus::Completed), "run {run}");
        }
        (rows.len(), results)
    }
}

impl Effects {
    /// Reads the effects of all workers. Fails if a step ran again after its result was committed.
    pub(crate) fn read(acts: &Path, results: &Results) -> Self {
        let text = std::fs::read_to_string(acts).expect("the workers have done something");
        let mut effects = Self { all: 0, repeated: 0, by_worker: BTreeMap::new() };
        let mut done: HashMap<(String, String, String), usize> = HashMap::new();
        for line in text.lines() {
            let words: Vec<_> = line.split(' ').collect();
            let [what, run, node, step, _attempt, worker, at] = words[..] else { panic!("invalid line `{line}`") };
            let at: i64 = at.parse().expect("a time");
            effects.by_worker.entry(worker.to_owned()).or_default().push(at);
            let key = (run.to_owned(), node.to_owned(), step.to_owned());
            if what == "effect" {
                let written = results.get(&key).unwrap_or_else(|| panic!("`{line}` has no result"));
                assert!(at <= *written, "ran again after its result was committed: `{line}`, committed at {written}");
                effects.all += 1;
                effects.repeated += usize::from(*done.entry(key).and_modify(|times| *times += 1).or_insert(1) > 1);
            }
        }
        effects
    }

    /// How long after `moment` the worker's tasks were last active, before `until`.
    pub(crate) fn last_sign(&self, worker: usize, moment: i64, until: i64) -> Option<Duration> {
        let times = self.by_worker.get(&format!("w{worker}"))?;
        let last = times.iter().filter(|at| (moment..until).contains(*at)).max()?;
        Some(Duration::from_micros(last.abs_diff(moment)))
    }
}
