//! Rows that were tampered with, and texts that databases handle badly: they lead to precise errors, never to a panic
//! or to errors of other runs.

use orkestra_core::model::{RunId, Seq, Timestamp};
use orkestra_core::store::{AppendError, DueQuery, LetterId, RunQuery, Store, StoreErrorKind};
use orkestra_testkit::sample::SampleRun;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::support::Database;

async fn tamper(database: &Database, sql: &str) {
    let mut connection = PgConnection::connect(&database.url).await.expect("the server answers");
    let sql = format!("SET search_path = {}; {sql}", database.schema);
    connection.execute(AssertSqlSafe(sql)).await.expect("the rows are changed");
}

const DAMAGED: StoreErrorKind = StoreErrorKind::Damaged;

#[tokio::test]
async fn postgres_reports_damaged_rows() {
    let Some(database) = Database::new() else { return };
    let store = database.open().await;
    let (mut bad, mut good) = (SampleRun::new("bad"), SampleRun::new("good"));
    assert_eq!(store.append(vec![bad.create(), good.create()]).await, [Ok(()), Ok(())]);
    tamper(&database, "UPDATE records SET record = '{\"id\": 7' WHERE id = 'bad'").await;
    assert_eq!(store.record(bad.id()).await.map_err(|error| error.kind()), Err(DAMAGED));
    assert_eq!(store.list(&RunQuery::default()).await.map_err(|error| error.kind()), Err(DAMAGED));
    assert_eq!(store.record(good.id()).await.expect("it is read"), Some(good.record()));
    tamper(&database, "UPDATE journal SET first = -5 WHERE run = 'bad'").await;
    assert_eq!(store.read(bad.id(), Seq(0), 9).await.map_err(|error| error.kind()), Err(DAMAGED));
    tamper(&database, "UPDATE runs SET last = -5, id = 'no id', wake_at = 0 WHERE id = 'bad'").await;
    let due = store.due(&DueQuery::at(Timestamp::from_millis(u64::MAX), 9)).await;
    assert_eq!(due.map_err(|error| error.kind()), Err(DAMAGED));
    tamper(&database, "UPDATE runs SET id = 'bad' WHERE id = 'no id'").await;
    let answers = store.append(vec![bad.report(1)]).await;
    assert!(matches!(&answers[..], [Err(AppendError::Unknown(_) | AppendError::Conflict { .. })]), "{answers:?}");
    tamper(&database, "INSERT INTO letters VALUES ('good', -1, 'x')").await;
    assert_eq!(store.letters(good.id(), LetterId::ZERO, 9).await.expect("they are read"), []);
}

/// A commit that exists although its run has not reached it, as after a partial restore from a backup.
#[tokio::test]
async fn postgres_fails_no_other_commit_for_a_damaged_run() {
    let Some(database) = Database::new() else { return };
    let store = database.open().await;
    let (mut bad, mut good) = (SampleRun::new("bad"), SampleRun::new("good"));
    assert_eq!(store.append(vec![bad.create(), good.create()]).await, [Ok(()), Ok(())]);
    tamper(&database, "INSERT INTO journal SELECT run, 3, 3, 0, 'x' FROM journal WHERE run = 'bad'").await;
    let next = good.report(1);
    let answers = store.append(vec![bad.report(1), next.clone()]).await;
    let [Err(AppendError::Failed(error)), Ok(())] = &answers[..] else { panic!("{answers:?}") };
    assert_eq!(error.kind(), DAMAGED, "{error}");
    let lone = store.append(vec![bad.report(1)]).await;
    assert!(matches!(&lone[..], [Err(AppendError::Conflict { .. })]), "{lone:?}");
    let read = store.read(good.id(), Seq(3), 9).await.expect("it is read");
    assert_eq!(read, [next.commit]);
}

#[tokio::test]
async fn postgres_stores_any_label_and_refuses_keys_it_cannot_store() {
    let Some(database) = Database::new() else { return };
    let store = database.open().await;
    let long = "x".repeat(20_000);
    let odd = [("nul", "a\0b"), ("long", &*long), ("quote", "'\"\\'); DROP TABLE runs; --"), ("", ""), ("\0", "ü")];
    let mut runs: Vec<_> = odd
        .iter()
        .enumerate()
        .map(|(number, (key, value))| SampleRun::new(&format!("r{number}")).with_label(key, value))
        .collect();
    let answers = store.append(runs.iter_mut().map(SampleRun::create).collect()).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    for (run, (key, value)) in runs.iter().zip(odd) {
        let labels = [(key.to_owned(), value.to_owned())].into();
        let page = store.list(&RunQuery { labels, ..RunQuery::default() }).await.expect("it is listed");
        assert_eq!(page.items, [run.record()], "{key:?}");
    }
    let id = RunId::new("r0").expect("an id");
    let refused = [
        store.put_blob(&id, "a\0b", b"x").await,
        store.put("a\0b", 0, b"x").await.map(drop),
        store.get("a\0b").await.map(drop),
    ];
    assert_eq!(refused.map(|answer| answer.map_err(|error| error.kind())), [const { Err(StoreErrorKind::Invalid) }; 3]);
    assert_eq!(store.put("fine", 0, b"\0").await, Ok(Some(1)), "the connection still works");
}

#[tokio::test]
async fn postgres_stores_project_memory_in_a_table_of_its_own() {
    let Some(database) = Database::new() else { return };
    let store = database.open().await;
    for (version, key) in ["project:a:state", "project:a-:state", "project:", "project:a:other", "q"].iter().enumerate()
    {
        assert_eq!(store.put(key, 0, b"{}").await, Ok(Some(1)), "{version}");
    }
    assert_eq!(store.put("project:a:state", 1, b"{\"a\":1}").await, Ok(Some(2)));
    let mut connection = PgConnection::connect(&database.url).await.expect("the server answers");
    let sql = format!(
        "SELECT (convert_from(state, 'UTF8')::jsonb ->> 'a')::int8 FROM {}.project_memory WHERE project_id = 'a'",
        database.schema
    );
    let found: i64 = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await.expect("it is there");
    assert_eq!(found, 1);
    let cases: [(&str, &[&str]); 6] = [
        ("", &["project:", "project:a-:state", "project:a:other", "project:a:state", "q"]),
        ("proj", &["project:", "project:a-:state", "project:a:other", "project:a:state"]),
        ("project:a", &["project:a-:state", "project:a:other", "project:a:state"]),
        ("project:a:", &["project:a:other", "project:a:state"]),
        ("project:a:state", &["project:a:state"]),
        ("q", &["q"]),
    ];
    for (prefix, wanted) in cases {
        assert_eq!(store.keys(prefix, 9).await.expect("they are read"), wanted, "`{prefix}`");
    }
}
