//! Opening: concurrently, with invalid options, on servers that do not sync or take no writes.

use orkestra_core::model::RunId;
use orkestra_core::store::{AppendError, Store, StoreErrorKind};
use orkestra_store::{PostgresDurability, PostgresStore};
use orkestra_testkit::sample::SampleRun;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

use super::support::{Database, own};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn postgres_schema_is_created_once_by_concurrent_openings() {
    for _ in 0..3 {
        let Some(database) = Database::new() else { return };
        let opening: Vec<_> = (0..8)
            .map(|_| {
                let (options, url) = (database.options(), database.url.clone());
                tokio::spawn(async move { options.connect(&url).await })
            })
            .collect();
        for (number, store) in opening.into_iter().enumerate() {
            let store = store.await.expect("no task panics").expect("the store opens");
            let mut run = SampleRun::new(&format!("r{number}"));
            assert_eq!(store.append(vec![run.create()]).await, [Ok(())]);
        }
    }
}

#[tokio::test]
async fn postgres_refuses_invalid_options() {
    let kind = async |options: orkestra_store::PostgresOptions, url: &str| {
        let error = options.connect(url).await.expect_err("the options are invalid");
        assert!(!error.to_string().contains("secret"), "{error}");
        error.kind()
    };
    let (options, url) = (PostgresStore::options, "postgres://me:secret@127.0.0.1:1/db");
    assert_eq!(kind(options(), "no url").await, StoreErrorKind::Invalid);
    assert_eq!(kind(options(), url).await, StoreErrorKind::Io, "no server listens there");
    for schema in ["", "1a", "a-b", "a\"b", "Ab", "pg_a", &"a".repeat(49)] {
        assert_eq!(kind(options().with_schema(schema), url).await, StoreErrorKind::Invalid, "{schema}");
    }
    let Some(database) = Database::new() else { return };
    let store = database.open().await;
    assert!(store.describe().ends_with(&format!("schema {}", database.schema)), "{}", store.describe());
    let mut connection = PgConnection::connect(&database.url).await.expect("the server answers");
    let sql = format!("INSERT INTO {}.migrations VALUES (99)", database.schema);
    connection.execute(AssertSqlSafe(sql)).await.expect("a future version");
    assert_eq!(kind(database.options(), &database.url).await, StoreErrorKind::Version);
}

#[tokio::test]
async fn postgres_schemas_separate_applications() {
    let (Some(one), Some(two)) = (Database::new(), Database::new()) else { return };
    let (mut run, other) = (SampleRun::new("r"), two.open().await);
    let store = one.open().await;
    assert_eq!(store.append(vec![run.create()]).await, [Ok(())]);
    assert_eq!(store.send(run.id(), b"x").await.map(|id| id.0), Ok(1));
    assert_eq!(other.record(run.id()).await.expect("it answers"), None);
    assert_eq!(other.append(vec![SampleRun::new("r").create()]).await, [Ok(())]);
}

#[tokio::test]
async fn postgres_holds_the_largest_blob() {
    let Some(database) = Database::new() else { return };
    let store = database.open().await;
    let bytes: Vec<u8> = (0..64_u32 << 20).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[2]).collect();
    let run = RunId::new("r").expect("an id");
    store.put_blob(&run, "large", &bytes).await.expect("it is kept");
    let read = store.blob(&run, "large").await.expect("it is read");
    assert!(read.as_ref() == Some(&bytes), "{:?} bytes instead of {}", read.map(|read| read.len()), bytes.len());
}

#[tokio::test]
async fn postgres_refuses_a_server_that_does_not_sync_and_survives_one_that_takes_no_writes() {
    let Some(server) = own() else { return };
    let database = Database::alone(server);
    let store = database.open().await;
    let mut run = SampleRun::new("r");
    assert_eq!(store.append(vec![run.create()]).await, [Ok(())]);
    let mut connection = PgConnection::connect(&database.url).await.expect("the server answers");
    let mut set = async |what: &str| {
        connection.execute(AssertSqlSafe(format!("ALTER SYSTEM SET {what}"))).await.expect("it is set");
        connection.execute("SELECT pg_reload_conf()").await.expect("it is read");
        // A new session shows when the server has applied the setting.
        let (name, value) = what.split_once(" = ").expect("a name and a value");
        loop {
            let mut fresh = PgConnection::connect(&database.url).await.expect("the server answers");
            let shown: String =
                sqlx::query_scalar(AssertSqlSafe(format!("SHOW {name}"))).fetch_one(&mut fresh).await.expect("a value");
            if shown == value {
                return;
            }
        }
    };
    set("default_transaction_read_only = on").await;
    let next = run.report(1);
    // Existing sessions may or may not still take writes; both answers are correct.
    let answers = store.append(vec![next.clone()]).await;
    assert!(matches!(&answers[..], [Ok(()) | Err(AppendError::Failed(_))]), "{answers:?}");
    let answers = store.append(vec![run.report(2)]).await;
    assert!(
        matches!(&answers[..], [Err(AppendError::Failed(_) | AppendError::Conflict { .. }) | Ok(())]),
        "{answers:?}"
    );
    assert!(store.record(run.id()).await.expect("it can be read").is_some());
    set("default_transaction_read_only = off").await;
    assert_eq!(store.append(vec![next]).await, [Ok(())], "once it takes writes again");
    set("fsync = off").await;
    let refused = database.options().connect(&database.url).await.map(drop).map_err(|error| error.kind());
    assert_eq!(refused, Err(StoreErrorKind::Invalid));
    database.open_as(database.options().with_durability(PostgresDurability::Engine)).await;
}

/// A server with the role `app`, which can create only what it is granted.
async fn with_a_role() -> Option<(Database, PgConnection, String)> {
    let server = own()?;
    let database = Database::alone(server);
    let mut admin = PgConnection::connect(&database.url).await.expect("the server answers");
    admin.execute("CREATE ROLE app LOGIN").await.expect("a role");
    let (scheme, rest) = database.url.split_once("://").expect("a URL");
    let (_, place) = rest.split_once('@').expect("a role");
    let url = format!("{scheme}://app@{place}");
    Some((database, admin, url))
}

#[tokio::test]
async fn postgres_needs_no_right_to_create_an_existing_schema() {
    let Some((database, mut admin, url)) = with_a_role().await else { return };
    let refused = database.options().connect(&url).await.expect_err("it may not create the schema");
    assert!(refused.to_string().contains("permission denied"), "{refused}");
    let schema = &database.schema;
    for sql in [format!("CREATE SCHEMA {schema}"), format!("GRANT USAGE, CREATE ON SCHEMA {schema} TO app")] {
        admin.execute(AssertSqlSafe(sql)).await.expect("it is granted");
    }
    for name in ["first", "again"] {
        let store = database.options().connect(&url).await.expect("the schema exists");
        assert_eq!(store.append(vec![SampleRun::new(name).create()]).await, [Ok(())]);
    }
}

#[tokio::test]
async fn postgres_needs_no_right_to_create_anything_when_everything_exists() {
    let Some((database, mut admin, url)) = with_a_role().await else { return };
    drop(database.open().await);
    let schema = &database.schema;
    for sql in [
        format!("GRANT USAGE ON SCHEMA {schema} TO app"),
        format!("GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO app"),
        format!("GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO app"),
    ] {
        admin.execute(AssertSqlSafe(sql)).await.expect("it is granted");
    }
    let store = database.options().connect(&url).await.expect("everything exists");
    let mut run = SampleRun::new("r");
    assert_eq!(store.append(vec![run.create()]).await, [Ok(())]);
    assert_eq!(store.append(vec![run.report(1)]).await, [Ok(())]);
    assert!(store.send(run.id(), b"x").await.is_ok());
    assert!(store.record(run.id()).await.expect("it can be read").is_some());
    // Without the right to read the version, opening fails.
    let sql = format!("REVOKE ALL ON {schema}.migrations FROM app");
    admin.execute(AssertSqlSafe(sql)).await.expect("it is revoked");
    let refused = database.options().connect(&url).await.expect_err("it may not read the version");
    assert!(refused.to_string().contains("permission denied"), "{refused}");
}
